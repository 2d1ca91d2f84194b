//! A copy of the stage in a process of its own: it can be killed, frozen and told to fail without touching the others.
//!
//! The process is this test binary again, which runs [`a_copy`] and nothing else. It prints its state as lines of
//! `name=number` and stops when its input ends. A point can be held: the copy waits there for the line `go`, and at the
//! next time it comes by after the line `hold`. What it logs is the test's to read, and is shown when that fails.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use stream::Storage;

use crate::cluster::wait;
use crate::counting::{Job, on_disk};

pub const BOOTSTRAP: &str = "STREAM_IT_BOOTSTRAP";
/// The settings of the job's clients, as lines of `name=value`.
const CLIENT: &str = "STREAM_IT_CLIENT";
const JOB: &str = "STREAM_IT_JOB";
const INSTANCE: &str = "STREAM_IT_INSTANCE";
/// The folder of the stores, for a job that is on disk.
const FOLDER: &str = "STREAM_IT_FOLDER";
const CUT_RECORDS: &str = "STREAM_IT_CUT_RECORDS";
const SESSION_MILLIS: &str = "STREAM_IT_SESSION_MILLIS";
/// The point at which the copy waits.
const HOLD: &str = "STREAM_IT_HOLD";
/// Short, so that what a dead copy had is taken over soon.
pub const SESSION: Duration = Duration::from_millis(2_000);

/// For tests of what happens between transactions and between sessions: several of them for a few hundred records.
pub fn settings(job: &mut Job) {
    job.stage.cut.records = 50;
    job.stage.session_timeout = SESSION;
}

#[test]
#[ignore = "run by other tests, as a process of its own"]
fn a_copy() {
    let told = |name: &str| std::env::var(name).unwrap();
    let mut job = Job::named(&told(JOB));
    if let Ok(folder) = std::env::var(FOLDER) {
        job.stage.storage = Storage::Disk(on_disk(Path::new(&folder)));
    }
    job.stage.cut.records = told(CUT_RECORDS).parse().unwrap();
    job.stage.session_timeout = Duration::from_millis(told(SESSION_MILLIS).parse().unwrap());
    for (name, value) in told(CLIENT).lines().filter_map(|line| line.split_once('=')) {
        job.stage.client.set(name, value);
    }
    let (go, gone) = mpsc::channel();
    let (stop, armed) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(true)));
    let (stopping, arming) = (Arc::clone(&stop), Arc::clone(&armed));
    thread::spawn(move || {
        for line in std::io::stdin().lines() {
            if line.unwrap() == "hold" {
                arming.store(true, Ordering::SeqCst);
                println!("\narmed=1");
            } else {
                let _ = go.send(());
            }
        }
        stopping.store(true, Ordering::Relaxed);
    });
    if let Ok(point) = std::env::var(HOLD) {
        let (gone, times) = (Mutex::new(gone), AtomicU64::new(0));
        let hold = move || {
            if armed.swap(false, Ordering::SeqCst) {
                println!("\nheld={}", times.fetch_add(1, Ordering::Relaxed) + 1);
                let _ = gone.lock().unwrap().recv();
            }
        };
        fail::cfg_callback(point, hold).unwrap();
    }
    let copy = job.start(&told(INSTANCE));
    let mut last = String::new();
    while !copy.is_finished() && !stop.load(Ordering::Relaxed) {
        let state = format!(
            "records={}\ntasks={}\nrunning={}\nat={}\nrestored={}\naborts={}",
            copy.records(),
            copy.seen.tasks(),
            copy.seen.running(),
            copy.seen.at(),
            copy.seen.restored.load(Ordering::Relaxed),
            copy.seen.aborted.lock().unwrap().len()
        );
        if state != last {
            println!("\n{state}");
            last = state;
        }
        thread::sleep(Duration::from_millis(10));
    }
    if let Err(error) = copy.stop() {
        println!("\nerror: {error}");
        std::process::exit(1);
    }
}

/// A running process.
pub struct Process {
    child: Child,
    stdin: Option<ChildStdin>,
    seen: Arc<Mutex<HashMap<String, i64>>>,
    error: Arc<Mutex<String>>,
    log: Option<JoinHandle<String>>,
}

impl Process {
    /// Starts a copy. `failpoints` is what the environment variable says, `hold` the point at which it waits.
    pub fn start(job: &Job, instance: &str, failpoints: &str, hold: Option<&str>) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", "process::a_copy", "--ignored", "--nocapture", "--test-threads=1"])
            .env(BOOTSTRAP, job.stage.client.get("bootstrap.servers").unwrap())
            .env(CLIENT, lines(&job.stage.client))
            .env(JOB, &job.stage.name)
            .env(INSTANCE, instance)
            .env(CUT_RECORDS, job.stage.cut.records.to_string())
            .env(SESSION_MILLIS, job.stage.session_timeout.as_millis().to_string())
            .env("FAILPOINTS", failpoints)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if let Storage::Disk(options) = &job.stage.storage {
            command.env(FOLDER, &options.folder);
        }
        if std::env::var_os("RUST_LOG").is_none() {
            command.env("RUST_LOG", "stream=info");
        }
        if let Some(point) = hold {
            command.env(HOLD, point);
        }
        let mut child = command.spawn().unwrap();
        let (seen, error) = (Arc::default(), Arc::default());
        let (reading, failing): (Arc<Mutex<HashMap<String, i64>>>, Arc<Mutex<String>>) =
            (Arc::clone(&seen), Arc::clone(&error));
        let out = BufReader::new(child.stdout.take().unwrap());
        thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                if let Some(message) = line.strip_prefix("error: ") {
                    message.clone_into(&mut failing.lock().unwrap());
                } else if let Some((name, value)) = line.split_once('=')
                    && let Ok(value) = value.parse()
                {
                    reading.lock().unwrap().insert(name.to_owned(), value);
                }
            }
        });
        let log = BufReader::new(child.stderr.take().unwrap());
        let log = thread::spawn(move || {
            let mut all = String::new();
            for line in log.lines().map_while(Result::ok) {
                eprintln!("{line}");
                all.push_str(&line);
                all.push('\n');
            }
            all
        });
        let stdin = child.stdin.take();
        Self { child, stdin, seen, error, log: Some(log) }
    }

    /// The last number that it printed under a name.
    pub fn seen(&self, name: &str) -> i64 {
        self.seen.lock().unwrap().get(name).copied().unwrap_or(0)
    }

    /// Waits until it has processed the input up to there, in all partitions that it has.
    pub fn wait_at(&self, partitions: i64, offsets: i64) {
        wait("the end of the input", || self.seen("running") == partitions && self.seen("at") == offsets);
    }

    /// Waits until it is held for the n-th time.
    pub fn wait_held(&self, times: i64) {
        wait("the point to be reached", || self.seen("held") == times);
    }

    /// Lets it go on from the point at which it is held.
    pub fn go(&mut self) {
        self.stdin.as_mut().unwrap().write_all(b"go\n").unwrap();
    }

    /// Holds it once more when it comes by.
    pub fn hold(&mut self) {
        self.stdin.as_mut().unwrap().write_all(b"hold\n").unwrap();
        wait("the point to be armed", || self.seen("armed") == 1);
    }

    /// Kills it as a power cut would, and gives what it has logged.
    pub fn kill(mut self) -> String {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.log.take().unwrap().join().unwrap()
    }

    /// Sends a signal by name.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Stops it in order, and gives what it has logged.
    pub fn stop(mut self) -> String {
        self.stdin = None;
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{status}: {}", self.error.lock().unwrap());
        self.log.take().unwrap().join().unwrap()
    }

    /// False when it has ended.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits until it ends by itself, and says how.
    pub fn end(mut self) -> (ExitStatus, String) {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                let error = self.error.lock().unwrap().clone();
                return (status, error);
            }
            assert!(Instant::now() < deadline, "waited a minute for the process to end");
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// A configuration as lines of `name=value`.
fn lines(client: &rdkafka::ClientConfig) -> String {
    client.config_map().iter().map(|(name, value)| format!("{name}={value}\n")).collect()
}

impl Drop for Process {
    fn drop(&mut self) {
        // Already gone where the test went well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
