//! One child process with its log.
//!
//! Children are started from one thread that never ends, because the kernel kills them when the *thread* that started
//! them ends (see [`sys::tie_to_parent`]): a caller's worker thread may end long before the caller does.

use std::{
    fs::{self, File},
    io::{self, Read as _, Seek as _, SeekFrom},
    os::{fd::RawFd, unix::process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        OnceLock,
        mpsc::{SyncSender, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use crate::{
    Error,
    sys::{self, Signal},
};

struct Job {
    command: Command,
    answer: SyncSender<io::Result<Child>>,
}

/// Starts a child that gets the signal `orphaned` when this process dies. `inherit` stays open in it.
pub(crate) fn spawn(mut command: Command, inherit: Option<RawFd>, orphaned: Signal) -> io::Result<Child> {
    static SPAWNER: OnceLock<SyncSender<Job>> = OnceLock::new();
    sys::tie_to_parent(&mut command, inherit, orphaned);
    let gone = || io::Error::other("the thread that starts processes has ended");
    let spawner = match SPAWNER.get() {
        Some(spawner) => spawner,
        None => {
            let started = start_spawner()?;
            // The loser of a race drops its sender, which ends a thread that has started nothing yet.
            SPAWNER.get_or_init(|| started)
        }
    };
    let (answer, child) = sync_channel(1);
    spawner.send(Job { command, answer }).map_err(|_| gone())?;
    child.recv().map_err(|_| gone())?
}

fn start_spawner() -> io::Result<SyncSender<Job>> {
    let (jobs, queue) = sync_channel::<Job>(1);
    thread::Builder::new().name("localkafka-spawner".into()).spawn(move || {
        for mut job in queue {
            // A caller that has gone gets no child either: `Child` does not kill when dropped.
            if let Err(unwanted) = job.answer.send(job.command.spawn())
                && let Ok(mut child) = unwanted.0
            {
                let _ = child.kill();
                let _ = child.wait();
            }
        }
    })?;
    Ok(jobs)
}

/// A child whose output goes to a log file, in a process group of its own.
pub(crate) struct Process {
    name: String,
    log: PathBuf,
    child: Child,
    paused: bool,
}

impl Process {
    /// Starts `command`; the log of the run before is kept as `<log>.previous`.
    pub(crate) fn start(
        name: &str,
        log: PathBuf,
        mut command: Command,
        inherit: RawFd,
        orphaned: Signal,
    ) -> Result<Self, Error> {
        if log.exists() {
            let previous = log.with_extension("log.previous");
            fs::rename(&log, &previous).map_err(|e| Error::io("move the old log to", &previous, e))?;
        }
        let to_log = |e| Error::io("write the log", &log, e);
        let output = File::create(&log).map_err(to_log)?;
        let errors = output.try_clone().map_err(to_log)?;
        command.stdin(Stdio::null()).stdout(output).stderr(errors).process_group(0);
        let program = PathBuf::from(command.get_program());
        let child = spawn(command, Some(inherit), orphaned).map_err(|e| Error::io("run", &program, e))?;
        tracing::debug!(process = name, pid = child.id(), log = %log.display(), "started a child process");
        Ok(Self { name: name.to_owned(), log, child, paused: false })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn log(&self) -> &Path {
        &self.log
    }

    pub(crate) fn paused(&self) -> bool {
        self.paused
    }

    /// Its exit status, once it has one.
    pub(crate) fn exited(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Whether it still runs; if not, why.
    pub(crate) fn check(&mut self) -> Result<(), Error> {
        let Some(status) = self.exited() else { return Ok(()) };
        let tail = tail(&self.log);
        if tail.contains("No space left on device") {
            let free = sys::free_bytes(&self.log).unwrap_or(0);
            return Err(Error::DiskFull { path: self.log.clone(), free, needed: crate::error::NEEDED_BYTES });
        }
        Err(Error::ChildDied {
            name: self.name.clone(),
            status: status.to_string(),
            log: self.log.clone(),
            tail,
        })
    }

    /// Sends a signal; one that has exited gets none.
    pub(crate) fn signal(&mut self, signal: Signal) -> Result<(), Error> {
        // `exited` reaps; after it the number may belong to somebody else.
        if self.exited().is_some() {
            return Ok(());
        }
        match signal {
            Signal::Pause => self.paused = true,
            Signal::Resume => self.paused = false,
            Signal::Terminate | Signal::Kill => {}
        }
        sys::signal(self.pid(), signal).map_err(|e| Error::io("signal the process of", &self.log, e))
    }

    /// Kills it and waits until it is gone.
    pub(crate) fn kill(&mut self) {
        let _ = self.signal(Signal::Kill);
        let _ = self.child.wait();
    }

    /// Asks it to end. A paused one acts on that when it is resumed, so it is.
    pub(crate) fn terminate(&mut self) {
        let _ = self.signal(Signal::Terminate);
        let _ = self.signal(Signal::Resume);
    }

    /// Waits until it has ended; kills it at the deadline.
    pub(crate) fn reap(&mut self, deadline: Instant) {
        while self.exited().is_none() {
            if Instant::now() >= deadline {
                tracing::warn!(
                    process = self.name,
                    pid = self.pid(),
                    "a child did not stop in time and is killed"
                );
                return self.kill();
            }
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The end of a log, and before it the errors that are easily buried by what a JVM prints while it shuts down.
pub(crate) fn tail(log: &Path) -> String {
    const READ: u64 = 128 << 10;
    let read = || -> io::Result<Vec<u8>> {
        let mut file = File::open(log)?;
        let from = file.metadata()?.len().saturating_sub(READ);
        file.seek(SeekFrom::Start(from))?;
        let mut bytes = Vec::new();
        file.take(READ).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    match read() {
        Ok(bytes) => select(&String::from_utf8_lossy(&bytes)),
        Err(error) => format!("(the log cannot be read: {error})"),
    }
}

fn select(text: &str) -> String {
    const LAST: usize = 12;
    const ERRORS: usize = 4;
    let lines: Vec<&str> = text.lines().collect();
    let (before, last) = lines.split_at(lines.len().saturating_sub(LAST));
    let is_error = |line: &str| [" ERROR ", " FATAL "].iter().any(|level| line.contains(level));
    let mut chosen = Vec::new();
    // An exception is on the line after its error.
    for (index, line) in before.iter().enumerate().filter(|(_, line)| is_error(line)).take(ERRORS) {
        chosen.push(*line);
        chosen.extend(before.get(index + 1).filter(|next| next.contains("Exception") && !is_error(next)));
    }
    chosen.extend(last);
    chosen.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_of_a_log_keeps_the_error_that_came_before_the_shutdown() {
        let mut text =
            String::from("1 INFO starting\n2 ERROR could not bind\njava.net.BindException: in use\n\tat x\n");
        for line in 0..40 {
            text.push_str(&format!("3 INFO closing {line}\n"));
        }
        let tail = select(&text);
        assert!(
            tail.starts_with("2 ERROR could not bind\njava.net.BindException: in use\n3 INFO closing 28"),
            "{tail}"
        );
        assert!(tail.ends_with("closing 39"));
    }

    #[test]
    fn a_child_outlives_the_thread_that_asked_for_it() {
        let mut command = Command::new("sleep");
        command.arg("30");
        let mut child = thread::spawn(move || spawn(command, None, Signal::Kill)).join().unwrap().unwrap();
        thread::sleep(Duration::from_millis(200));
        assert!(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
