//! Starts, watches and stops the children.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    process::Command,
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use crate::{
    Artifacts, Error, Options,
    folder::{Folder, Identity},
    http,
    ports::Ports,
    process::{self, Process},
    settings::{self, Node},
    sys::Signal,
    transactions::Settling,
    wire,
};

const REGISTRY_PATH: &str = "/apis/ccompat/v7";
/// Between two questions to a child that is starting.
const POLL: Duration = Duration::from_millis(50);
/// For one answer.
const ANSWER: Duration = Duration::from_secs(2);
/// How long each may take to stop before it is killed. The registry keeps nothing that Kafka does not have.
const REGISTRY_STOPS_WITHIN: Duration = Duration::from_secs(5);
const BROKERS_STOP_WITHIN: Duration = Duration::from_secs(20);
const LAST_BROKER_STOPS_WITHIN: Duration = Duration::from_secs(2);

/// A Kafka, and perhaps a registry, that live as long as this value.
///
/// All methods block; under an async runtime call them from a blocking thread.
pub struct Cluster {
    artifacts: Artifacts,
    options: Options,
    /// The data folder's canonical path.
    dir: PathBuf,
    log_dir: PathBuf,
    nodes: Vec<Node>,
    bootstrap: String,
    registry_port: u16,
    registry_url: String,
    state: Mutex<State>,
}

struct State {
    /// `None` once stopped.
    folder: Option<Folder>,
    /// By node id less one; `None` for one that was killed on purpose.
    brokers: Vec<Option<Process>>,
    registry: Option<Process>,
    wants_registry: bool,
    /// Whether the brokers have answered once. Before that the registry may give up waiting for them, and is then
    /// started again.
    answered: bool,
    /// Whether a broker has been started since Kafka's transactions were last looked at.
    unsettled: bool,
}

impl Cluster {
    /// Prepares the data folder if this is its first start, and starts the processes; does not wait for them.
    ///
    /// With one broker the registry starts at once and waits for Kafka by itself, which saves three seconds. With
    /// three it is started by [`wait_kafka`](Self::wait_kafka), because its topics want three brokers to be there.
    pub fn start(artifacts: &Artifacts, options: Options) -> Result<Self, Error> {
        options.check()?;
        let folder = Folder::open(&options.data_dir)?;
        let dir = folder.dir.clone();
        let kept = folder.identity(options.brokers)?;
        let mut ports = Ports::default();
        let nodes = (1..=options.brokers)
            .map(|id| {
                let asked = options.kafka_port.filter(|_| id == 1);
                let proxied = match options.proxy_port.filter(|_| options.brokers == 1) {
                    Some(announced) => Some((ports.take_free()?, announced)),
                    None => None,
                };
                Ok(Node { id, kafka: ports.take(asked, "kafka")?, controller: ports.take_free()?, proxied })
            })
            .collect::<Result<Vec<_>, Error>>()?;
        let registry_port = ports.take(options.registry_port, "the registry")?;

        let log_dir = match &options.log_dir {
            Some(dir) => dir.clone(),
            None => dir.join("logs"),
        };
        for made in [&log_dir, &dir.join("registry")] {
            fs::create_dir_all(made).map_err(|e| Error::io("create the folder", made, e))?;
        }
        // Not relative to the data folder, where children run.
        let log_dir = log_dir.canonicalize().map_err(|e| Error::io("find", &log_dir, e))?;
        empty(&dir.join("tmp"))?;
        write(&dir.join("log4j2.properties"), include_str!("log4j2.properties"))?;
        for node in &nodes {
            let name = format!("{}.properties", settings::broker_name(node.id));
            write(&dir.join(name), &settings::broker(*node, &nodes))?;
        }
        let cluster = Self {
            artifacts: artifacts.clone(),
            dir,
            log_dir,
            bootstrap: settings::bootstrap(&nodes),
            registry_port,
            registry_url: format!("http://127.0.0.1:{registry_port}{REGISTRY_PATH}"),
            state: Mutex::new(State {
                folder: Some(folder),
                brokers: nodes.iter().map(|_| None).collect(),
                registry: None,
                wants_registry: options.with_registry,
                answered: false,
                unsettled: kept.is_some(),
            }),
            nodes,
            options,
        };
        {
            let mut state = cluster.state();
            if kept.is_none() {
                cluster.format(&state)?;
            }
            drop(ports);
            for id in 1..=cluster.options.brokers {
                cluster.start_broker(&mut state, id)?;
            }
            if cluster.nodes.len() == 1 {
                cluster.start_registry(&mut state)?;
            }
        }
        Ok(cluster)
    }

    /// The brokers' addresses, as Kafka clients take them.
    #[must_use]
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// Where the only broker listens for a proxy, if the options asked for that.
    #[must_use]
    pub fn proxied_port(&self) -> Option<u16> {
        self.nodes.first()?.proxied.map(|(port, _)| port)
    }

    /// The registry's Confluent-compatible URL; nothing listens there if the options asked for no registry.
    #[must_use]
    pub fn registry_url(&self) -> &str {
        &self.registry_url
    }

    /// The folder that everything is kept in.
    #[must_use]
    pub fn data_dir(&self) -> &Path {
        &self.dir
    }

    /// Where the children's logs are.
    #[must_use]
    pub fn log_dir(&self) -> &Path {
        &self.log_dir
    }

    /// Waits until every broker that was not killed or paused has joined and tells its clients of all the others.
    ///
    /// Topics can be created from then on. Also the way to wait after [`restart`](Self::restart).
    pub fn wait_kafka(&self) -> Result<(), Error> {
        let deadline = Instant::now() + self.options.ready_within;
        loop {
            let running = self.running()?;
            let missing = running.iter().find(|node| !answers(node, &running));
            let Some(missing) = missing else { break };
            if Instant::now() >= deadline {
                let log = self.log(&settings::broker_name(missing.id));
                return Err(self.not_ready("kafka", log));
            }
            thread::sleep(POLL);
        }
        self.settle(deadline)?;
        let mut state = self.state();
        state.answered = true;
        self.start_registry(&mut state)
    }

    /// Ends transactions that Kafka has left open for ever, if a broker was started since the last time.
    fn settle(&self, deadline: Instant) -> Result<(), Error> {
        let mut settling = Settling::default();
        while self.state().unsettled {
            let running = self.running()?;
            let Some(node) = running.first() else { break };
            match settling.look(node.kafka, ANSWER) {
                Ok(true) => self.state().unsettled = false,
                Ok(false) => {}
                Err(error) => tracing::debug!(%error, "transactions could not be looked at yet"),
            }
            if Instant::now() >= deadline {
                let log = self.log(&settings::broker_name(node.id));
                return Err(self.not_ready("kafka's transaction coordinator", log));
            }
            thread::sleep(POLL);
        }
        Ok(())
    }

    /// Waits for Kafka and then until the registry answers.
    pub fn wait_registry(&self) -> Result<(), Error> {
        self.wait_kafka()?;
        let deadline = Instant::now() + self.options.ready_within;
        // It answers requests before it has read what it knows, as if it knew nothing; its health says when that is over.
        let paths = [format!("{REGISTRY_PATH}/subjects"), "/health/ready".to_owned()];
        loop {
            if !self.state().wants_registry {
                return Err(Error::NoRegistry);
            }
            self.check()?;
            let is_ok =
                |path| http::status(self.registry_port, path, ANSWER).is_ok_and(|status| status == 200);
            if paths.iter().all(|path| is_ok(path)) {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(self.not_ready("registry", self.log("registry")));
            }
            thread::sleep(POLL);
        }
    }

    /// Whether every child still runs; if not, which one ended, how, and the last lines of its log.
    ///
    /// Brokers that were killed or paused through this value are meant to be so, and not reported.
    pub fn check(&self) -> Result<(), Error> {
        let mut state = self.state();
        state.brokers.iter_mut().flatten().try_for_each(Process::check)?;
        let answered = state.answered;
        match &mut state.registry {
            Some(registry) if answered => registry.check(),
            _ => Ok(()),
        }
    }

    /// Whether [`check`](Self::check) finds nothing wrong.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.check().is_ok()
    }

    /// A broker's process id, while it runs; brokers are counted from 1.
    #[must_use]
    pub fn pid(&self, broker: u8) -> Option<u32> {
        let mut state = self.state();
        let process = state.brokers.get_mut(usize::from(broker).checked_sub(1)?)?.as_mut()?;
        process.exited().is_none().then(|| process.pid())
    }

    /// The registry's process id, while it runs.
    #[must_use]
    pub fn registry_pid(&self) -> Option<u32> {
        let mut state = self.state();
        let process = state.registry.as_mut()?;
        process.exited().is_none().then(|| process.pid())
    }

    /// Kills a broker as a power cut would (`SIGKILL`) and waits until it is gone.
    pub fn kill(&self, broker: u8) -> Result<(), Error> {
        let mut state = self.state();
        self.slot(&mut state, broker)?.take().ok_or(Error::NotRunning(broker)).map(drop)
    }

    /// Freezes a broker (`SIGSTOP`): it keeps its connections and answers nothing.
    pub fn pause(&self, broker: u8) -> Result<(), Error> {
        self.signal(broker, Signal::Pause)
    }

    /// Lets a paused broker go on.
    pub fn resume(&self, broker: u8) -> Result<(), Error> {
        self.signal(broker, Signal::Resume)
    }

    /// Stops a broker in order, if it runs, and starts it again on the same ports; does not wait for it to answer.
    pub fn restart(&self, broker: u8) -> Result<(), Error> {
        let mut state = self.state();
        if let Some(mut process) = self.slot(&mut state, broker)?.take() {
            process.terminate();
            process.reap(Instant::now() + BROKERS_STOP_WITHIN);
        }
        state.unsettled = true;
        self.start_broker(&mut state, broker)
    }

    /// Stops the registry, then the brokers, and gives the data folder free; kills what takes too long.
    ///
    /// `Drop` does the same. A second call does nothing.
    pub fn stop(&self) {
        let mut state = self.state();
        if let Some(mut registry) = state.registry.take() {
            registry.terminate();
            registry.reap(Instant::now() + REGISTRY_STOPS_WITHIN);
        }
        stop_brokers(&mut state.brokers);
        state.folder = None;
    }

    /// Starts a registry beside a Kafka that was started without one.
    pub(crate) fn add_registry(&self) -> Result<(), Error> {
        let mut state = self.state();
        state.wants_registry = true;
        if state.answered { self.start_registry(&mut state) } else { Ok(()) }
    }

    /// Kills all children, unless another thread is busy with them.
    pub(crate) fn kill_all(&self) {
        if let Ok(mut state) = self.state.try_lock() {
            state.registry = None;
            state.brokers.fill_with(|| None);
            state.folder = None;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic between two statements leaves at worst a child that is not listed, and the kernel ends that one.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn slot<'s>(&self, state: &'s mut State, broker: u8) -> Result<&'s mut Option<Process>, Error> {
        let missing = Error::NoSuchBroker { broker, brokers: self.options.brokers };
        usize::from(broker).checked_sub(1).and_then(|index| state.brokers.get_mut(index)).ok_or(missing)
    }

    fn signal(&self, broker: u8, signal: Signal) -> Result<(), Error> {
        let mut state = self.state();
        self.slot(&mut state, broker)?.as_mut().ok_or(Error::NotRunning(broker))?.signal(signal)
    }

    /// The brokers that should answer, all of which run.
    fn running(&self) -> Result<Vec<Node>, Error> {
        self.check()?;
        let state = self.state();
        let running = |node: &&Node| {
            state
                .brokers
                .get(usize::from(node.id) - 1)
                .is_some_and(|p| p.as_ref().is_some_and(|p| !p.paused()))
        };
        let nodes: Vec<Node> = self.nodes.iter().filter(running).copied().collect();
        if nodes.is_empty() { Err(Error::NotRunning(1)) } else { Ok(nodes) }
    }

    fn log(&self, name: &str) -> PathBuf {
        self.log_dir.join(format!("{name}.log"))
    }

    fn not_ready(&self, name: &str, log: PathBuf) -> Error {
        let tail = process::tail(&log);
        Error::NotReady { name: name.to_owned(), within: self.options.ready_within, log, tail }
    }

    fn java(&self) -> Command {
        let mut command = Command::new(&self.artifacts.java);
        command.current_dir(&self.dir);
        command
    }

    /// Prepares each broker's folder, side by side, and then writes down that it has been done.
    fn format(&self, state: &State) -> Result<(), Error> {
        let Some(folder) = &state.folder else { return Ok(()) };
        let identity = Identity::new(self.options.brokers);
        let mut tools = Vec::new();
        for node in &self.nodes {
            let dir = self.dir.join(settings::broker_name(node.id));
            if dir.join("__cluster_metadata-0").exists() {
                let path = self.dir.join("cluster.json");
                return Err(Error::Damaged {
                    path,
                    reason: format!("missing, though {} has data", dir.display()),
                });
            }
            if dir.exists() {
                // Of a first start that was cut short before any broker ran.
                fs::remove_dir_all(&dir).map_err(|e| Error::io("remove the unfinished folder", &dir, e))?;
            }
            let mut command = self.java();
            command.args(settings::format_arguments(&self.artifacts.kafka, node.id, &identity.cluster_id));
            let log = self.log(&format!("format-{}", node.id));
            tools.push((
                dir,
                Process::start(&format!("format {}", node.id), log, command, folder.lock(), Signal::Kill)?,
            ));
        }
        let deadline = Instant::now() + self.options.ready_within;
        for (dir, mut tool) in tools {
            tool.reap(deadline);
            if !tool.exited().is_some_and(|status| status.success()) {
                return Err(Error::FormatFailed { dir, tail: process::tail(tool.log()) });
            }
        }
        folder.keep(&identity)
    }

    fn start_broker(&self, state: &mut State, id: u8) -> Result<(), Error> {
        let lock = state.folder.as_ref().ok_or(Error::NotRunning(id))?.lock();
        let mut command = self.java();
        command.args(settings::broker_arguments(
            &self.artifacts.kafka,
            self.options.kafka_heap,
            id,
            &self.dir.join("tmp"),
        ));
        let name = settings::broker_name(id);
        // A lone broker that has the time ends its transactions itself, and its next start need not wait until its old
        // session has run out. Of three, the last one could not stop in order. What a kill leaves is mended by `settle`.
        let orphaned = if self.options.brokers == 1 { Signal::Terminate } else { Signal::Kill };
        *self.slot(state, id)? = Some(Process::start(&name, self.log(&name), command, lock, orphaned)?);
        Ok(())
    }

    /// Starts the registry if it is wanted and does not run.
    fn start_registry(&self, state: &mut State) -> Result<(), Error> {
        let runs = state.registry.as_mut().is_some_and(|registry| registry.exited().is_none());
        let Some(folder) = state.folder.as_ref().filter(|_| state.wants_registry && !runs) else {
            return Ok(());
        };
        let mut command = self.java();
        command
            .args(settings::registry_arguments(
                &self.artifacts.registry,
                self.options.registry_heap,
                self.registry_port,
                &self.dir.join("tmp"),
            ))
            .envs(settings::registry_environment(&self.bootstrap, &self.dir.join("registry")));
        state.registry =
            Some(Process::start("registry", self.log("registry"), command, folder.lock(), Signal::Kill)?);
        Ok(())
    }
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster")
            .field("dir", &self.dir)
            .field("bootstrap", &self.bootstrap)
            .finish_non_exhaustive()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Stops all brokers at once.
///
/// A broker hands its partitions over before it stops, through the controllers. When most of them have gone there is
/// nobody left to ask, and the last would ask for minutes: it is killed soon, which costs it a look at its last segments
/// at the next start and no data.
fn stop_brokers(brokers: &mut [Option<Process>]) {
    let all = brokers.len();
    brokers.iter_mut().flatten().for_each(Process::terminate);
    let mut deadline = Instant::now() + BROKERS_STOP_WITHIN;
    let mut has_quorum = true;
    loop {
        brokers.iter_mut().for_each(|slot| {
            slot.take_if(|broker| broker.exited().is_some());
        });
        let left = brokers.iter().flatten().count();
        if left == 0 {
            return;
        }
        if has_quorum && left <= all / 2 {
            has_quorum = false;
            deadline = deadline.min(Instant::now() + LAST_BROKER_STOPS_WITHIN);
        }
        if Instant::now() >= deadline {
            tracing::debug!(left, "brokers did not stop in time and are killed");
            return brokers.fill_with(|| None);
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// Whether a broker tells its clients of all that run.
fn answers(node: &Node, running: &[Node]) -> bool {
    wire::brokers(node.kafka, ANSWER).is_ok_and(|metadata| {
        let lives = |other: &Node| metadata.brokers.iter().any(|(id, _)| *id == i32::from(other.id));
        metadata.controller >= 0 && running.iter().all(lives)
    })
}

fn write(path: &Path, text: &str) -> Result<(), Error> {
    fs::write(path, text).map_err(|e| Error::io("write", path, e))
}

/// Makes an empty folder.
fn empty(dir: &Path) -> Result<(), Error> {
    if dir.exists() {
        fs::remove_dir_all(dir).map_err(|e| Error::io("remove the folder", dir, e))?;
    }
    fs::create_dir(dir).map_err(|e| Error::io("create the folder", dir, e))
}
