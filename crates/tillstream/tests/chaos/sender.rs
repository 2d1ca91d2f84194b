//! The shops: they send in order, several at once, and repeat what isn't answered, as providers do.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader, BufWriter, Write as _};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::json;

/// Requests under way at once.
const AT_ONCE: usize = 16;
/// Deliveries a second, at most: so few that all faults of a run find the services at work.
const RATE: u64 = 250;
/// Providers give up waiting then.
const PATIENCE: Duration = Duration::from_secs(5);
/// A delivery that isn't taken for this long isn't lost, it is stuck.
const STUCK: Duration = Duration::from_secs(180);

#[derive(Deserialize)]
struct Delivery {
    path: String,
    headers: BTreeMap<String, String>,
    body: String,
    expect: u16,
}

/// Sends in the background.
pub struct Sender {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    began: Instant,
    deliveries: Vec<Delivery>,
    gateways: Vec<u16>,
    next: AtomicUsize,
    /// Nothing beyond is sent yet.
    limit: AtomicUsize,
    answered: AtomicUsize,
    /// A delivery that nobody takes.
    stuck: Mutex<Option<String>>,
    journal: Mutex<BufWriter<File>>,
}

impl Sender {
    /// Starts to send what the folder has, up to `limit`.
    pub fn start(folder: &Path, gateways: Vec<u16>) -> Self {
        let file = BufReader::new(File::open(folder.join("deliveries.jsonl")).unwrap());
        let deliveries = file.lines().map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect();
        let shared = Arc::new(Shared {
            began: Instant::now(),
            deliveries,
            gateways,
            next: AtomicUsize::new(0),
            limit: AtomicUsize::new(0),
            answered: AtomicUsize::new(0),
            stuck: Mutex::new(None),
            journal: Mutex::new(BufWriter::new(File::create(folder.join("answers.jsonl")).unwrap())),
        });
        let work = |_| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || shared.work())
        };
        Self { threads: (0..AT_ONCE).map(work).collect(), shared }
    }

    /// Lets it send this many in all.
    pub fn send_up_to(&self, limit: usize) {
        self.shared.limit.store(limit, Ordering::Release);
    }

    /// How many deliveries there are.
    pub fn len(&self) -> usize {
        self.shared.deliveries.len()
    }

    /// How many have been answered for good.
    pub fn answered(&self) -> usize {
        let stuck = self.shared.stuck.lock().unwrap();
        assert!(stuck.is_none(), "not answered for {} s: {}", STUCK.as_secs(), stuck.as_ref().unwrap());
        self.shared.answered.load(Ordering::Acquire)
    }

    /// Waits for the last answer, and closes the journal.
    pub fn finish(self) {
        for thread in self.threads {
            thread.join().unwrap();
        }
        self.shared.journal.lock().unwrap().flush().unwrap();
    }
}

impl Shared {
    fn work(&self) {
        let client = reqwest::blocking::Client::builder().no_proxy().timeout(PATIENCE).build().unwrap();
        loop {
            let number = self.next.fetch_add(1, Ordering::AcqRel);
            let Some(delivery) = self.deliveries.get(number) else { return };
            let due = Duration::from_micros(1_000_000 / RATE * number as u64);
            while number >= self.limit.load(Ordering::Acquire) || self.began.elapsed() < due {
                thread::sleep(Duration::from_millis(5));
            }
            let statuses = self.deliver(&client, number, delivery);
            let line = json!({"delivery": number, "statuses": statuses});
            writeln!(self.journal.lock().unwrap(), "{line}").unwrap();
            self.answered.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// Tries until there is an answer other than "later"; `None` for a try without one, which may have been taken.
    fn deliver(
        &self,
        client: &reqwest::blocking::Client,
        number: usize,
        delivery: &Delivery,
    ) -> Vec<Option<u16>> {
        let mut statuses = Vec::new();
        let deadline = Instant::now() + STUCK;
        loop {
            let gateway = self.gateways[(number + statuses.len()) % self.gateways.len()];
            let mut request = client
                .post(format!("http://127.0.0.1:{gateway}{}", delivery.path))
                .body(delivery.body.clone());
            for (name, value) in &delivery.headers {
                request = request.header(name, value);
            }
            // The answer counts when it is whole.
            let answer = request.send().and_then(|answer| {
                let status = answer.status().as_u16();
                answer.bytes().map(|_| status)
            });
            statuses.push(answer.ok());
            match statuses.last() {
                Some(Some(status)) if *status == delivery.expect || *status < 500 => return statuses,
                _ => {}
            }
            if Instant::now() > deadline {
                *self.stuck.lock().unwrap() = Some(format!("delivery {number}: {statuses:?}"));
                return statuses;
            }
            thread::sleep(Duration::from_millis(100));
        }
    }
}
