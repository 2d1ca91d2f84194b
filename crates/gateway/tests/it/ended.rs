//! Keys whose copy is gone, and keys whose time is over: what such copies leave in the topics is put there as they do it.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use commerce::time;
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use reqwest::StatusCode;
use serde_json::{Value, json};
use sources::Keyed;
use tokio::task::spawn_blocking;
use topics::Topic;

use crate::keys::{order, say, try_once};
use crate::rig::Rig;

const APPEND: &str = "orders/append";

fn claim(keyed: &Keyed, owner: &str, at: i64) -> Value {
    let content = keyed.content.to_hex();
    json!({"is": "claim", "id": keyed.key.to_uuid(), "owner": owner, "previous": null, "content": content, "at": at})
}

fn answer(keyed: &Keyed, at: i64) -> Value {
    let body = json!({"success": true, "correlationId": "4bf92f3577b34da6a3ce929d0e0e4736"}).to_string();
    let correlation = "4bf92f3577b34da6a3ce929d0e0e4736";
    json!({
        "is": "answer", "claim": keyed.key.to_uuid(), "at": at, "records": 1, "correlation": correlation, "status": 200, "body": body,
    })
}

/// A producer of a copy that isn't there; transactional under the id that the copy would have.
fn producer(rig: &Rig, owner: Option<&str>) -> BaseProducer {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &rig.bootstrap).set("partitioner", "murmur2_random");
    if let Some(owner) = owner {
        config.set("transactional.id", owner).set("transaction.timeout.ms", "60000");
    }
    config.create().unwrap()
}

fn send(producer: &BaseProducer, topic: Topic, key: &str, value: &str) {
    producer.send(BaseRecord::to(topic.name()).key(key).payload(value)).map_err(|(e, _)| e).unwrap();
    producer.flush(Duration::from_secs(10)).unwrap();
}

fn now() -> i64 {
    service::clock::now().0
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_killed_between_claim_and_answer_leaves_a_key_that_another_one_takes_and_can_never_answer_it()
{
    let rig = Rig::start("ended-killed").await;
    let keyed = rig.keyed(APPEND, "k", &order("1"));
    let (key, owner) = (keyed.key.to_hex(), "tillstream-gateway-ended-gone-0");
    // It has claimed the key and has its transaction open: raw record and answer are there, the end isn't.
    let gone = producer(&rig, None);
    send(&gone, Topic::Claims, &key, &claim(&keyed, owner, now()).to_string());
    let zombie = producer(&rig, Some(owner));
    zombie.init_transactions(Duration::from_secs(10)).unwrap();
    zombie.begin_transaction().unwrap();
    send(&zombie, Topic::Raw, &key, "of a copy that is gone");
    send(&zombie, Topic::Claims, &key, &answer(&keyed, now()).to_string());

    let early = loop {
        let said = try_once(rig.row(APPEND, "k", order("1"))).await;
        // A machine under load may be too slow for any answer.
        if said.status != StatusCode::SERVICE_UNAVAILABLE {
            break said;
        }
    };
    assert_eq!(early.status, StatusCode::CONFLICT, "it may still be at it: {early:?}");
    let said = say(rig.row(APPEND, "k", order("1"))).await;
    assert!(said.is_first(), "{said:?}");
    let late = spawn_blocking(move || zombie.commit_transaction(Duration::from_secs(10))).await.unwrap();
    assert!(late.is_err(), "a copy that wakes up can't add its answer");
    let all = rig.records(Topic::Raw).await;
    assert_eq!(all.len(), 1);
    assert_eq!(all[0].value, order("1").as_bytes());
    let again = say(rig.row(APPEND, "k", order("1"))).await;
    assert!(again.replayed && again.body == said.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_killed_after_its_commit_and_before_its_answer_has_answered_all_the_same() {
    let rig = Rig::start("ended-committed").await;
    let keyed = rig.keyed(APPEND, "k", &order("1"));
    let (key, owner) = (keyed.key.to_hex(), "tillstream-gateway-ended-committed-gone-0");
    send(&producer(&rig, None), Topic::Claims, &key, &claim(&keyed, owner, now()).to_string());
    let gone = producer(&rig, Some(owner));
    gone.init_transactions(Duration::from_secs(10)).unwrap();
    gone.begin_transaction().unwrap();
    send(&gone, Topic::Claims, &key, &answer(&keyed, now()).to_string());
    gone.commit_transaction(Duration::from_secs(10)).unwrap();
    let said = say(rig.row(APPEND, "k", order("1"))).await;
    assert!(said.replayed && said.status == StatusCode::OK, "{said:?}");
    assert_eq!(said.json()["correlationId"], "4bf92f3577b34da6a3ce929d0e0e4736");
    assert!(rig.records(Topic::Raw).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_copy_takes_the_key_that_it_had_claimed_itself_at_once() {
    let first = Rig::start("ended-own").await;
    let keyed = first.keyed(APPEND, "k", &order("1"));
    let key = keyed.key.to_hex();
    let own = "tillstream-gateway-ended-own-again-0";
    send(&producer(&first, None), Topic::Claims, &key, &claim(&keyed, own, now()).to_string());
    let again = first.copy("ended-own-again").await;
    let said = say(again.row(APPEND, "k", order("1"))).await;
    assert!(said.is_first(), "{said:?}");
    assert_eq!(again.records(Topic::Raw).await.len(), 1);
}

/// What a request meets whose key was answered that long ago.
async fn after(workspace: &str, ago: i64) -> (Rig, crate::keys::Said) {
    let rig = Rig::start(workspace).await;
    let keyed = rig.keyed(APPEND, "k", &order("1"));
    let (key, at) = (keyed.key.to_hex(), now() - ago);
    let before = producer(&rig, None);
    send(&before, Topic::Claims, &key, &claim(&keyed, "tillstream-gateway-before-0", at).to_string());
    send(&before, Topic::Claims, &key, &answer(&keyed, at).to_string());
    let said = say(rig.row(APPEND, "k", order("1"))).await;
    (rig, said)
}

#[tokio::test(flavor = "multi_thread")]
async fn just_under_24_hours_the_stored_answer_is_given_and_just_over_the_key_is_a_new_one() {
    // The clock goes on while the test runs, so "under" leaves it two minutes.
    let (rig, under) = after("ended-under", time::DAY - 120 * time::SECOND).await;
    assert!(under.replayed && under.status == StatusCode::OK, "{under:?}");
    assert!(rig.records(Topic::Raw).await.is_empty());
    let (rig, over) = after("ended-over", time::DAY + time::SECOND).await;
    assert!(over.is_first() && over.json()["correlationId"] != under.json()["correlationId"], "{over:?}");
    let rows = rig.records(Topic::Raw).await;
    assert_eq!(rows.len(), 1);
    let before = rig.keyed(APPEND, "k", &order("1")).key.to_uuid().to_string();
    assert_eq!(
        rows[0].header(sources::KEY_ROUND),
        Some(&*before),
        "stages downstream must not take it for the old one"
    );
    assert!(say(rig.row(APPEND, "k", order("1"))).await.replayed);
}

/// A gateway in a process of its own, which can be killed.
struct Process(Child);

impl Process {
    fn start(bootstrap: &str, workspace: &str, instance: &str) -> (Self, String) {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "ended::the_process_that_is_killed", "--ignored", "--nocapture"]);
        command.env("TEST_GATEWAY", format!("{bootstrap} {workspace} {instance}"));
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let address =
            lines.filter_map(|line| line.split_once("listens at ").map(|(_, at)| at.to_owned())).next();
        (Self(child), address.expect("it says where it listens"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "the process that a test kills"]
async fn the_process_that_is_killed() {
    let arguments = std::env::var("TEST_GATEWAY").expect("started by the test that kills it");
    let [bootstrap, workspace, instance] = arguments.split(' ').collect::<Vec<_>>()[..] else { panic!() };
    let rig = Rig::on(bootstrap, "http://127.0.0.1:9/none", workspace, |env| {
        env.push(("TILLSTREAM_INSTANCE", instance.to_owned()));
    })
    .await;
    rig.until_ready().await;
    println!("listens at {}", rig.address);
    rig.server.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_a_copy_was_doing_when_it_was_killed_each_key_is_one_row_in_the_end() {
    const KEYS: usize = 40;
    let rig = Rig::start("ended-kills").await;
    for kill in 0..3_u64 {
        let (process, address) = {
            let (bootstrap, workspace) = (rig.bootstrap.clone(), rig.workspace.clone());
            let instance = format!("ended-kills-{kill}");
            spawn_blocking(move || Process::start(&bootstrap, &workspace, &instance)).await.unwrap()
        };
        let keys: Vec<_> = (0..KEYS).map(|key| format!("{kill}-{key}")).collect();
        let asked = keys.iter().map(|key| {
            let url = format!("http://{address}/public/v1/records/{APPEND}");
            let request = rig.row(APPEND, key, order("1")).build().unwrap();
            let (client, headers) = (rig.client.clone(), request.headers().clone());
            async move {
                let answer = client.post(url).headers(headers).body(order("1")).send().await.ok()?;
                (answer.status() == StatusCode::OK).then_some(answer.text().await.ok()?)
            }
        });
        // The kill meets them at whatever step they are.
        let killer = async {
            tokio::time::sleep(Duration::from_millis(10 + 15 * kill)).await;
            spawn_blocking(move || drop(process)).await.unwrap();
        };
        let (told, ()) = tokio::join!(futures_util::future::join_all(asked), killer);
        for (key, told) in keys.iter().zip(told) {
            let said = say(rig.row(APPEND, key, order("1"))).await;
            assert_eq!(said.status, StatusCode::OK);
            if let Some(told) = told {
                assert!(said.replayed && said.body == told, "what it was told stands");
            }
        }
        let mut rows: Vec<_> = rig.records(Topic::Raw).await.into_iter().map(|row| row.key).collect();
        rows.sort_unstable();
        assert_eq!(rows.len(), KEYS * (usize::try_from(kill).unwrap() + 1));
        rows.dedup();
        assert_eq!(rows.len(), KEYS * (usize::try_from(kill).unwrap() + 1), "no key has two rows");
    }
}
