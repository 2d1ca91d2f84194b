//! Negative controls: a protection is taken away from the state stage, at a point at which it is needed, and the same
//! checker must find what comes of it. With the protection the same crash leaves nothing to find.

use std::os::unix::process::ExitStatusExt as _;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};

use crate::checker::{self, Verdict};
use crate::plan::Size;
use crate::rig::Rig;

const SIZE: Size = Size { brokers: 1, orders: 300, kills: 0, seed: 7 };
const SERVICES: [(&str, usize); 4] = [("gateway", 1), ("normalizer", 1), ("state", 1), ("aggregator", 1)];
/// SIGABRT.
const ABORTED: i32 = 6;
const FACTS: &str = "commerce.facts.v1";
const CHANGELOG: &str = "tillstream.state.main.changelog";

impl Verdict {
    /// Whether the checker found this.
    pub fn has(&self, topic: &str, kind: &str) -> bool {
        self.anomalies.iter().any(|found| found.topic == topic && found.kind == kind && found.count > 0)
    }
}

/// A third is done; then the state stage, with `sabotage`, dies at the first pass of a point, and another does the rest.
pub fn crash(point: &str, sabotage: &str) -> Verdict {
    let mut rig = Rig::start(&SIZE, &SERVICES);
    let all = rig.sender.len();
    send(&rig, all / 3);
    rig.drain();
    assert!(rig.fleet.kill("state", 0));
    rig.fleet.set("state", "FAILPOINTS", &format!("{sabotage};{point}=return(abort)"));
    rig.fleet.start("state", 0);
    rig.sender.send_up_to(all);
    let ended = rig.fleet.wait_for_the_end("state", 0);
    assert_eq!(ended.signal(), Some(ABORTED), "{ended}");
    rig.say("the state stage died as told");
    rig.fleet.set("state", "FAILPOINTS", sabotage);
    rig.fleet.start("state", 0);
    wait_for_all_answers(&rig);
    rig.drain();
    rig.verdict()
}

/// One of two copies of the state stage is frozen in the middle of a transaction and wakes when the other has done its
/// work.
pub fn zombie(sabotage: &str) -> Verdict {
    let services = SERVICES.map(|(service, copies)| (service, if service == "state" { 2 } else { copies }));
    let mut rig = Rig::start(&SIZE, &services);
    let all = rig.sender.len();
    send(&rig, all / 3);
    rig.drain();
    assert!(rig.fleet.kill("state", 0));
    // Longer than it takes to find it there.
    let hold = "stream::after-produce=1*sleep(30000)";
    rig.fleet.set("state", "FAILPOINTS", &format!("{sabotage};{hold}"));
    rig.fleet.start("state", 0);
    wait(|| rig.fleet.is_ready("state", 0));
    rig.sender.send_up_to(all);
    wait_for_all_answers(&rig);
    let (bootstrap, registry) = (rig.cluster.bootstrap(), rig.cluster.registry_url());
    assert!(checker::held(bootstrap, registry, FACTS), "no open transaction");
    assert!(rig.fleet.freeze("state", 0));
    rig.say("frozen with its transaction open");
    assert!(checker::group_drained(bootstrap, registry, "tillstream-state"), "nobody took over");
    rig.fleet.thaw("state", 0);
    rig.say("the other one has done it all, and it wakes");
    rig.drain();
    rig.verdict()
}

/// The state stage dies and restores beside a transaction of somebody else that is open, with committed state behind
/// it.
pub fn restore_beside_an_open_transaction(sabotage: &str) -> Verdict {
    let mut rig = Rig::start(&SIZE, &SERVICES);
    let all = rig.sender.len();
    send(&rig, all / 3);
    rig.drain();
    let foreign = open_transaction(rig.cluster.bootstrap());
    send(&rig, all * 2 / 3);
    rig.drain();
    assert!(rig.fleet.kill("state", 0));
    rig.fleet.set("state", "FAILPOINTS", sabotage);
    rig.fleet.start("state", 0);
    rig.sender.send_up_to(all);
    wait_for_all_answers(&rig);
    if sabotage.is_empty() {
        // It waits as long as the state can't be known.
        foreign.abort_transaction(Duration::from_secs(30)).unwrap();
        rig.drain();
    } else {
        rig.drain();
        foreign.abort_transaction(Duration::from_secs(30)).unwrap();
    }
    rig.verdict()
}

fn send(rig: &Rig, up_to: usize) {
    rig.sender.send_up_to(up_to);
    wait(|| rig.sender.answered() >= up_to);
}

fn wait_for_all_answers(rig: &Rig) {
    wait(|| rig.sender.answered() == rig.sender.len());
}

fn wait(done: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(120);
    while !done() {
        assert!(Instant::now() < deadline, "waited two minutes");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A transaction in all partitions of the stage's changelog.
fn open_transaction(bootstrap: &str) -> ThreadedProducer<DefaultProducerContext> {
    let producer: ThreadedProducer<DefaultProducerContext> = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("transactional.id", "chaos-foreign")
        .set("transaction.timeout.ms", "600000")
        .create()
        .unwrap();
    producer.init_transactions(Duration::from_secs(30)).unwrap();
    producer.begin_transaction().unwrap();
    for partition in 0..4 {
        let record = BaseRecord::to(CHANGELOG).partition(partition).key(&b"\0zzz"[..]).payload("x");
        producer.send(record).map_err(|(error, _)| error).unwrap();
    }
    producer.flush(Duration::from_secs(30)).unwrap();
    producer
}
