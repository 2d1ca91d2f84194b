//! Credentials change while requests come in.

use gateway::Gateway;
use reqwest::StatusCode;
use service::{Config, Metrics, Readiness, Shutdown};
use sources::Workspaces;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use topics::Topic;

use crate::rig::{Rig, sign, tenant};

fn workspaces(rig: &Rig, secrets: &[String]) -> Workspaces {
    let settings = [("TILLSTREAM_WORKSPACES".to_owned(), tenant(&rig.workspace, secrets))];
    Config::load_from(None, &settings, Vec::new()).unwrap().workspaces().unwrap()
}

/// The settings of a workspace with a quota.
fn limited(workspace: &str) -> String {
    format!(
        "[{{id = '{workspace}', plan = {{monthly_events = 10}}, analytics = {{secret_keys = ['sk-{workspace}-01']}}}}]"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_that_nobody_settles_stops_the_start_and_a_reload() {
    const SAID: &str = "workspaces.quota.plan.monthly_events: it needs gateway.reports_url";
    let load = |more: &[(&str, &str)]| {
        let mut settings = vec![("TILLSTREAM_WORKSPACES".to_owned(), limited("quota"))];
        settings.push(("TILLSTREAM_GATEWAY__LISTEN".to_owned(), "127.0.0.1:0".to_owned()));
        settings.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        Config::load_from(None, &settings, Vec::new()).unwrap()
    };
    let bind = async |config: &Config| {
        let shutdown = Shutdown::new();
        let readiness = Readiness::new(shutdown.clone());
        Gateway::bind(config, Metrics::new("test").unwrap(), readiness, shutdown).await.map(drop)
    };
    let refused = bind(&load(&[])).await.unwrap_err().to_string();
    assert!(refused.contains(SAID), "{refused}");
    bind(&load(&[("TILLSTREAM_GATEWAY__REPORTS_URL", "http://127.0.0.1:9")])).await.unwrap();

    let rig = Rig::start("quota").await;
    let refused = rig.door.reload(&load(&[]).workspaces().unwrap()).unwrap_err();
    assert!(refused.len() == 1 && refused[0].starts_with(SAID), "{refused:?}");
    assert_eq!(rig.shopify(b"{}").send().await.unwrap().status(), StatusCode::OK, "the old one stays");
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_are_read_again_without_dropping_a_request() {
    const SENDERS: usize = 8;
    const EACH: usize = 60;
    let rig = Rig::start("reload").await;
    let (old, new) = (rig.secret(), "another-secret".to_owned());
    let sent = |secret: &str, body: &str| {
        let request = rig.post("/webhooks/shopify/orders/create");
        request.header("X-Shopify-Hmac-Sha256", sign(secret, body.as_bytes())).body(body.to_owned()).send()
    };
    // One that has begun before the first change and ends after the last.
    let body = r#"{"id":"slow"}"#;
    let mut slow = TcpStream::connect(rig.address).await.unwrap();
    let head = format!(
        "POST /webhooks/shopify HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-shopify-hmac-sha256: {}\r\ncontent-length: {}\r\n\r\n{}",
        sign(&old, body.as_bytes()),
        body.len(),
        &body[..4]
    );
    slow.write_all(head.as_bytes()).await.unwrap();

    let both = workspaces(&rig, &[old.clone(), new.clone()]);
    let alone = workspaces(&rig, std::slice::from_ref(&old));
    let (sent_by, old_secret) = (&sent, old.as_str());
    let senders = futures_util::future::join_all((0..SENDERS).map(|sender| async move {
        let mut statuses = Vec::new();
        for n in 0..EACH {
            statuses
                .push(sent_by(old_secret, &format!(r#"{{"id":"{sender}-{n}"}}"#)).await.unwrap().status());
        }
        statuses
    }));
    let changes = async {
        for n in 0..200 {
            let kept = rig.door.reload(if n % 2 == 0 { &alone } else { &both }).unwrap();
            assert!(kept.is_empty(), "{kept:?}");
            tokio::task::yield_now().await;
        }
    };
    let (statuses, ()) = tokio::join!(senders, changes);
    let refused = statuses.iter().flatten().filter(|status| **status != StatusCode::OK).count();
    assert_eq!(refused, 0);

    slow.write_all(&body.as_bytes()[4..]).await.unwrap();
    let mut answer = String::new();
    slow.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert_eq!(sent(&new, "{}").await.unwrap().status(), StatusCode::OK);
    rig.door.reload(&workspaces(&rig, std::slice::from_ref(&new))).unwrap();
    assert_eq!(sent(&old, "{}").await.unwrap().status(), StatusCode::UNAUTHORIZED);
    // All that were answered are stored, and the one that was refused isn't.
    assert_eq!(rig.records(Topic::Raw).await.len(), SENDERS * EACH + 2);
}
