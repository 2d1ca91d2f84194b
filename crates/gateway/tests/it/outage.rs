//! A broker that stops answering, on a Kafka of its own.

use std::time::{Duration, Instant};

use localkafka::{ApiKey, Artifacts, Cluster, FaultProxy, Options};
use reqwest::StatusCode;
use tokio::task::spawn_blocking;
use topics::Topic;

use crate::rig::{self, Rig};

#[tokio::test(flavor = "multi_thread")]
async fn shop_c22_a_broker_that_is_silent_is_a_503_with_retry_after_and_the_retry_is_stored() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options::ephemeral(dir.path());
    let cluster = spawn_blocking(move || {
        let cluster = Cluster::start(&Artifacts::resolve(&|_| ()).unwrap(), options).unwrap();
        cluster.wait_kafka().unwrap();
        rig::create_topics(cluster.bootstrap());
        std::sync::Arc::new(cluster)
    })
    .await
    .unwrap();
    let rig = Rig::on(cluster.bootstrap(), "http://127.0.0.1:9/none", "outage", |env| {
        env.push(("TILLSTREAM_GATEWAY__MAX_IN_FLIGHT_BYTES", "16MiB".to_owned()));
    })
    .await;
    rig.until_ready().await;
    assert_eq!(rig.shopify(b"{\"id\":1}").send().await.unwrap().status(), StatusCode::OK);

    cluster.pause(1).unwrap();
    let large = vec![b' '; 5 * 1024 * 1024];
    let bodies: Vec<&[u8]> = vec![b"{\"id\":2}", &large, &large, &large, &large, &large];
    let asked = bodies.iter().map(|body| async {
        let began = Instant::now();
        let answer = rig.shopify(body).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(answer.headers()["retry-after"].to_str().unwrap().parse::<u32>().unwrap() > 0);
        assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
        began.elapsed()
    });
    let took = futures_util::future::join_all(asked).await;
    // What finds no room isn't kept waiting.
    assert!(took.iter().any(|took| *took < Duration::from_secs(2)), "{took:?}");
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(rig.get("/readyz").await.0, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(rig.get("/livez").await.0, StatusCode::OK);
    let metrics = rig.get("/metrics").await.1;
    assert!(metrics.contains("tillstream_gateway_in_flight_bytes 0"), "given up, so given back: {metrics}");

    cluster.resume(1).unwrap();
    let began = Instant::now();
    while rig.shopify(b"{\"id\":2}").send().await.unwrap().status() != StatusCode::OK {
        assert!(began.elapsed() < Duration::from_secs(20), "it never came back");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    eprintln!("stored again {:?} after the broker came back", began.elapsed());
    let values: Vec<_> = rig.records(Topic::Raw).await.into_iter().map(|record| record.value).collect();
    assert!(
        values.iter().any(|value| value == b"{\"id\":1}")
            && values.iter().any(|value| value == b"{\"id\":2}")
    );
    rig.until_ready().await;

    cluster.pause(1).unwrap();
    let began = Instant::now();
    rig.shutdown.trigger();
    tokio::time::timeout(Duration::from_secs(10), rig.server).await.unwrap().unwrap();
    assert!(began.elapsed() < Duration::from_secs(10));
    cluster.resume(1).unwrap();
    spawn_blocking(move || drop(cluster)).await.unwrap();
}

/// The broker carries both records out, and its answers are lost. The first record runs out of time; that mustn't make the
/// producer send the second one again under another epoch, for which the broker can't know it.
#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_is_on_its_way_when_another_runs_out_of_time_is_stored_once_for_each_try() {
    let proxy = FaultProxy::bind().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let options = Options { proxy_port: Some(proxy.port()), ..Options::ephemeral(dir.path()) };
    let cluster = spawn_blocking(move || {
        let cluster = Cluster::start(&Artifacts::resolve(&|_| ()).unwrap(), options).unwrap();
        cluster.wait_kafka().unwrap();
        rig::create_topics(cluster.bootstrap());
        cluster
    })
    .await
    .unwrap();
    proxy.forward_to(cluster.proxied_port().unwrap());
    let rig = Rig::on(&proxy.bootstrap(), "http://127.0.0.1:9/none", "unheard", |_| ()).await;
    rig.until_ready().await;
    assert_eq!(rig.shopify(b"{\"id\":1}").send().await.unwrap().status(), StatusCode::OK);

    let answer = proxy.hold_answer("tillstream-unheard", ApiKey::Produce);
    let first = rig.shopify(b"{\"id\":2}").send();
    let second = async {
        // Late enough to have time left when the first one has none, early enough to be stored by then.
        tokio::time::sleep(Duration::from_secs(2)).await;
        tries(&rig, b"{\"id\":3}").await
    };
    let (first, tries) = tokio::join!(first, second);
    assert_eq!(first.unwrap().status(), StatusCode::SERVICE_UNAVAILABLE);
    answer.release();
    let values: Vec<_> = rig.records(Topic::Raw).await.into_iter().map(|record| record.value).collect();
    let stored = values.iter().filter(|value| *value == b"{\"id\":3}").count();
    assert!((1..=tries).contains(&stored), "{tries} tries, {stored} stored");

    rig.shutdown.trigger();
    rig.server.await.unwrap();
    spawn_blocking(move || drop(cluster)).await.unwrap();
}

/// Sends until it is taken, as a provider does.
async fn tries(rig: &Rig, body: &[u8]) -> usize {
    let began = Instant::now();
    let mut tries = 1;
    while rig.shopify(body).send().await.unwrap().status() != StatusCode::OK {
        assert!(began.elapsed() < Duration::from_secs(60), "it never came back");
        tokio::time::sleep(Duration::from_millis(200)).await;
        tries += 1;
    }
    tries
}
