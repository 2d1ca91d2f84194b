//! The versions of the figures, each kept by a run of the stage under names of its own.
//!
//! The list is followed for as long as the service lives: a version that comes is begun, and one that goes is ended. One
//! whose part changes (served or not) works on without a pause: only what it is counted as, who writes letters and whose
//! readiness is the service's change. The service is ready when the served version is, and ends when that fails; one that
//! is kept beside it and fails is begun again. What a version that is no more has left on disk is removed.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use service::stage::{Label, Names};
use service::{Config, Metrics, Readiness, Shutdown};
use stream::{Follow, Followed, Storage, follow};
use topics::{Topic, Version, Versions, version};

use crate::{METRICS, PLAN, processor};

/// Before a version that failed, or the reading of the list, is tried again.
const PAUSE: Duration = Duration::from_secs(5);
/// The label of the counters of a version that isn't served: its records are no outcomes of the pipeline.
const BESIDE: &str = "replay";

/// Runs all versions until the shutdown, or until the served one fails. Blocks.
pub(crate) fn run(
    config: &Config,
    metrics: &Metrics,
    readiness: &Readiness,
    shutdown: &Shutdown,
) -> anyhow::Result<()> {
    let listed = readiness.part("versions");
    listed.not_ready("reading which versions of the figures there are");
    let what = Follow {
        client: service::kafka::client_config(config),
        topics: vec![Topic::Versions.name().to_owned()],
    };
    let fleet = RefCell::new(Fleet {
        config: Arc::new(config.clone()),
        metrics: metrics.clone(),
        readiness: readiness.clone(),
        runs: BTreeMap::new(),
        failed: BTreeMap::new(),
        cleared: None,
    });
    let stop = || shutdown.is_triggered() || fleet.borrow().served_has_ended();
    while !stop() {
        // What a record that can't be read says isn't known: what is at work goes on, and nothing is begun or ended.
        let (mut versions, mut is_known) = (Versions::default(), true);
        let mut failed = Ok(());
        let followed = follow(&what, &stop, &mut |met| {
            match met {
                Followed::Record { key: version::KEY, value: Some(value), .. } => match Versions::read(value)
                {
                    Ok(read) => (versions, is_known) = (read, true),
                    Err(error) => {
                        tracing::error!(error, "the list of versions can't be read");
                        listed.not_ready(format!("the list of versions can't be read: {error}"));
                        is_known = false;
                    }
                },
                Followed::Record { .. } => {}
                Followed::CaughtUp | Followed::Idle if is_known && failed.is_ok() => {
                    listed.ready(format!("{} is served", versions.served));
                    failed = fleet.borrow_mut().adjust(&versions);
                }
                Followed::CaughtUp | Followed::Idle => {}
            }
            Ok(())
        });
        failed?;
        match followed {
            Ok(()) => {}
            Err(stream::Error::MissingTopic { topic }) => {
                // A cluster from before there were versions: nothing was ever switched on it.
                tracing::warn!(topic, "there is one version only; run `tillstream topics apply`");
                listed.ready("main is served");
                fleet.borrow_mut().adjust(&Versions::default())?;
                shutdown.sleep(PAUSE);
            }
            Err(error) => {
                tracing::warn!(%error, "the list of versions can't be read, trying again");
                shutdown.sleep(PAUSE);
            }
        }
    }
    fleet.into_inner().end()
}

/// What a version is at the moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Part {
    is_served: bool,
    writes_letters: bool,
}

/// The parts of all versions.
fn parts(versions: &Versions) -> BTreeMap<Version, Part> {
    let part = |entry: &version::Entry| Part {
        is_served: entry.name == versions.served,
        writes_letters: entry.was_served,
    };
    versions.all.iter().map(|entry| (entry.name.clone(), part(entry))).collect()
}

/// One version at work.
struct Run {
    part: Part,
    label: Label,
    writes_letters: Arc<AtomicBool>,
    readiness: Readiness,
    shutdown: Shutdown,
    thread: JoinHandle<anyhow::Result<()>>,
}

impl Run {
    /// Gives it another part while it works. `service`: whose readiness is that of the served version.
    fn turn(&mut self, part: Part, service: &Readiness) {
        self.part = part;
        self.label.turn(!part.is_served);
        self.writes_letters.store(part.writes_letters, Ordering::Release);
        self.readiness.tell(part.is_served.then(|| service.clone()));
    }

    fn end(self) -> anyhow::Result<()> {
        self.shutdown.trigger();
        self.thread.join().unwrap_or_else(|_| Err(anyhow!("it panicked")))
    }
}

/// All versions at work.
struct Fleet {
    config: Arc<Config>,
    metrics: Metrics,
    readiness: Readiness,
    runs: BTreeMap<Version, Run>,
    /// When one that isn't served failed last.
    failed: BTreeMap<Version, Instant>,
    /// The list by which it was looked last what is left on disk.
    cleared: Option<Versions>,
}

impl Fleet {
    /// True when the served version isn't at work any more, although nobody ended it.
    fn served_has_ended(&self) -> bool {
        self.runs.values().any(|run| run.part.is_served && run.thread.is_finished())
    }

    /// Ends what isn't wanted, gives their parts to those that stay, and begins what is wanted.
    fn adjust(&mut self, versions: &Versions) -> anyhow::Result<()> {
        let wanted = parts(versions);
        let ending = |(name, run): (&Version, &Run)| {
            let over = !run.part.is_served && run.thread.is_finished();
            (over || !wanted.contains_key(name)).then(|| name.clone())
        };
        let ending: Vec<Version> = self.runs.iter().filter_map(ending).collect();
        for name in &ending {
            let Some(run) = self.runs.remove(name) else { continue };
            tracing::info!(version = name.as_str(), "a version of the figures ends");
            if let Err(error) = run.end() {
                let error = format!("{error:#}");
                tracing::error!(version = name.as_str(), error, "a version of the figures failed");
                self.failed.insert(name.clone(), Instant::now());
            }
        }
        self.clear(versions);
        // Who isn't served any more is silent before the other one speaks.
        for is_served in [false, true] {
            let turning =
                self.runs.iter_mut().filter_map(|(name, run)| Some((name, *wanted.get(name)?, run)));
            for (name, part, run) in
                turning.filter(|(_, part, run)| *part != run.part && part.is_served == is_served)
            {
                tracing::info!(
                    version = name.as_str(),
                    served = is_served,
                    "a version of the figures gets another part"
                );
                run.turn(part, &self.readiness);
            }
        }
        for (name, part) in wanted {
            let rests = self.failed.get(&name).is_some_and(|at| at.elapsed() < PAUSE);
            if !self.runs.contains_key(&name) && (part.is_served || !rests) {
                let run = self.begin(&name, part)?;
                self.runs.insert(name, run);
            }
        }
        Ok(())
    }

    /// Removes what versions that aren't listed any more have left on disk, also of those that went while this copy
    /// was away. What can't be removed stays until the next look.
    fn clear(&mut self, versions: &Versions) {
        if self.cleared.as_ref() == Some(versions) {
            return;
        }
        self.cleared = Some(versions.clone());
        let Ok(Storage::Disk(disk)) = (PLAN.storage)(&self.config) else { return };
        let instance = service::stage::instance(&self.config);
        let kept = disk.stages(instance).unwrap_or_else(|error| {
            tracing::warn!(%error, "it can't be seen what versions of the figures have left on disk");
            Vec::new()
        });
        for stage in gone(kept, versions) {
            match disk.remove(&stage, instance, &|| self.readiness.is_draining()) {
                Ok(_) => tracing::info!(stage, "the store of a version that is no more is removed"),
                Err(error) => {
                    tracing::warn!(%error, "the store of a version that is no more can't be removed")
                }
            }
        }
    }

    fn begin(&self, name: &Version, part: Part) -> anyhow::Result<Run> {
        tracing::info!(version = name.as_str(), served = part.is_served, "a version of the figures begins");
        let shutdown = Shutdown::new();
        let own = shutdown.clone();
        let names = names(name, part);
        let label = names.label.clone();
        let (config, metrics) = (Arc::clone(&self.config), self.metrics.clone());
        // What isn't served keeps nobody waiting: only the served one's is told to the service's.
        let readiness = Readiness::new(shutdown.clone());
        readiness.tell(part.is_served.then(|| self.readiness.clone()));
        let writes_letters = Arc::new(AtomicBool::new(part.writes_letters));
        let (letters, told) = (Arc::clone(&writes_letters), readiness.clone());
        let thread = Builder::new()
            .name(format!("figures-{name}"))
            .spawn(move || {
                let settings = config.aggregator.stage();
                service::stage::run_as(&PLAN, &names, &config, settings, &metrics, &told, &own, &|made| {
                    Ok(Box::new(processor(&config, made)?.with_letters(Arc::clone(&letters))))
                })
            })
            .context("the thread of a version couldn't start")?;
        Ok(Run { part, label, writes_letters, readiness, shutdown, thread })
    }

    /// Ends all; the served one's failure is the service's.
    fn end(self) -> anyhow::Result<()> {
        self.runs.values().for_each(|run| run.shutdown.trigger());
        let mut result = Ok(());
        for (name, run) in self.runs {
            let is_served = run.part.is_served;
            match run.end().with_context(|| format!("version {name} of the figures")) {
                Err(error) if is_served => result = Err(error),
                Err(error) => tracing::error!(error = format!("{error:#}"), "a version failed at its end"),
                Ok(()) => {}
            }
        }
        result
    }
}

/// Of some stages those that kept a version which isn't listed.
fn gone(stages: Vec<String>, versions: &Versions) -> Vec<String> {
    let groups: Vec<String> = versions.all.iter().map(|entry| entry.name.group()).collect();
    let is_gone = |stage: &String| Version::of_group(stage).is_some() && !groups.contains(stage);
    stages.into_iter().filter(is_gone).collect()
}

/// The names of a version; `main`'s are those of the plan.
fn names(name: &Version, part: Part) -> Names {
    let mut names = Names::of(&PLAN);
    names.group = name.group();
    names.changelog = name.changelog();
    if let Some(metrics) = names.outputs.get_mut(METRICS) {
        *metrics = name.metrics();
    }
    names.label = Label::either(PLAN.name, BESIDE, !part.is_served);
    names
}

#[cfg(test)]
mod tests {
    use topics::version::Entry;

    use super::*;

    #[test]
    fn main_alone_has_the_names_of_the_plan_and_another_one_none_of_them() {
        let versions = Versions::default();
        let (name, part) = parts(&versions).pop_first().unwrap();
        assert_eq!(part, Part { is_served: true, writes_letters: true });
        assert_eq!(names(&name, part), Names::of(&PLAN));

        let v2 = Version::try_new("v2").unwrap();
        let entry = Entry { name: v2.clone(), begun_at: None, from: None, was_served: false };
        let part = parts(&versions.begun(entry).unwrap())[&v2];
        assert_eq!(part, Part { is_served: false, writes_letters: false });
        let (other, main) = (names(&v2, part), Names::of(&PLAN));
        assert!(
            other.label.get() == BESIDE && other.group != main.group && other.changelog != main.changelog
        );
        assert_ne!(other.outputs[METRICS], main.outputs[METRICS]);
        assert_eq!(other.outputs[crate::LETTERS], Topic::DeadLetters.name());
    }

    #[test]
    fn what_is_left_on_disk_is_removed_of_versions_that_are_no_more_and_of_nothing_else() {
        let v2 = Version::try_new("v2").unwrap();
        let entry = Entry { name: v2.clone(), begun_at: None, from: None, was_served: false };
        let both = Versions::default().begun(entry).unwrap();
        let kept = || {
            let stages = [
                "tillstream-aggregator",
                "tillstream-figures-v2",
                "tillstream-figures-old",
                "tillstream-state",
            ];
            stages.map(str::to_owned).to_vec()
        };
        assert_eq!(gone(kept(), &both), ["tillstream-figures-old"]);
        let alone = both.switched(&v2).unwrap().dropped(&Version::main()).unwrap();
        assert_eq!(gone(kept(), &alone), ["tillstream-aggregator", "tillstream-figures-old"]);
        assert_eq!(
            gone(vec!["tillstream-figures-v2-a".to_owned()], &alone),
            Vec::<String>::new(),
            "no version's"
        );
    }

    #[test]
    fn the_part_of_both_changes_at_a_switch_and_both_write_letters_from_then_on() {
        let v2 = Version::try_new("v2").unwrap();
        let entry = Entry { name: v2.clone(), begun_at: None, from: None, was_served: false };
        let switched = Versions::default().begun(entry).unwrap().switched(&v2).unwrap();
        let parts = parts(&switched);
        assert_eq!(parts[&v2], Part { is_served: true, writes_letters: true });
        assert_eq!(parts[&Version::main()], Part { is_served: false, writes_letters: true });
    }

    #[test]
    fn a_version_that_is_switched_to_while_it_works_is_counted_heard_and_writes_letters_from_then_on() {
        let service = Readiness::new(Shutdown::new());
        let beside = Part { is_served: false, writes_letters: false };
        let names = names(&Version::try_new("v2").unwrap(), beside);
        let (shutdown, readiness) = (Shutdown::new(), Readiness::new(Shutdown::new()));
        let until = shutdown.clone();
        let thread = Builder::new().spawn(move || {
            until.sleep(Duration::MAX);
            Ok(())
        });
        let mut run = Run {
            part: beside,
            label: names.label.clone(),
            writes_letters: Arc::default(),
            readiness: readiness.clone(),
            shutdown,
            thread: thread.unwrap(),
        };
        let letters = Arc::clone(&run.writes_letters);
        let partitions = readiness.part("partitions");
        partitions.ready("4 partitions");
        assert!(!service.is_ready());
        run.turn(Part { is_served: true, writes_letters: true }, &service);
        assert!(service.is_ready() && letters.load(Ordering::Acquire));
        assert_eq!(names.label.get(), PLAN.name);
        assert!(!run.thread.is_finished(), "it wasn't begun anew");
        run.turn(Part { is_served: false, writes_letters: true }, &service);
        partitions.not_ready("restoring");
        assert!(
            service.is_ready() && letters.load(Ordering::Acquire),
            "the other one answers for the service"
        );
        assert_eq!(names.label.get(), BESIDE);
        run.end().unwrap();
    }
}
