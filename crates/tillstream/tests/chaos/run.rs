//! One run: start, send, ill-treat, wait, check.

use std::thread;
use std::time::{Duration, Instant};

use crate::checker::Verdict;
use crate::plan::{self, Back, Fault, SERVICES, Size};
use crate::rig::Rig;

/// The share that is sent after all stages have been killed at rest, in thousandths of all deliveries: what they
/// restored is put to use.
const EPILOGUE: usize = 30;

/// Runs it, and gives the checker's verdict.
pub fn run(size: &Size) -> Verdict {
    let mut run = Run { size: *size, rig: Rig::start(size, &SERVICES), later: Vec::new() };
    run.ill_treat();
    let kills: usize = run.rig.fleet.kills.values().sum();
    assert!(kills >= size.kills, "{kills} kills");
    run.rig.verdict()
}

struct Run {
    size: Size,
    rig: Rig,
    /// What happens at an instant, not at a count.
    later: Vec<(Instant, Later)>,
}

/// The second half of a fault.
enum Later {
    Start { service: &'static str, copy: usize },
    KillAgain { service: &'static str, copy: usize },
    Thaw { service: &'static str, copy: usize },
}

impl Run {
    /// Sends, and does all faults at their counts.
    fn ill_treat(&mut self) {
        let most = self.rig.sender.len() * (1000 - EPILOGUE) / 1000;
        self.rig.sender.send_up_to(most);
        for (share, fault) in plan::faults(&self.size) {
            self.wait_until(|run| run.rig.sender.answered() >= most * share / 1000);
            self.rig.say(&format!("{fault:?}"));
            self.strike(&fault);
        }
        self.wait_until(|run| run.rig.sender.answered() >= most && run.later.is_empty());
        self.rig.say("all stages are killed at rest");
        self.rig.drain();
        self.rig.fleet.kill_stages();
        self.rig.sender.send_up_to(self.rig.sender.len());
        self.wait_until(|run| run.rig.sender.answered() == run.rig.sender.len());
        self.rig.drain();
    }

    /// Waits, doing meanwhile what is due and what a supervisor does.
    fn wait_until(&mut self, done: impl Fn(&Self) -> bool) {
        loop {
            let due = self.later.iter().position(|(at, _)| Instant::now() >= *at);
            if let Some(index) = due {
                let (_, later) = self.later.swap_remove(index);
                self.resume(&later);
                continue;
            }
            self.rig.fleet.supervise();
            if done(self) {
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn strike(&mut self, fault: &Fault) {
        match *fault {
            Fault::Kill { service, copy, moment, back } => {
                thread::sleep(moment);
                self.kill(service, copy, back);
            }
            Fault::Freeze { service, copy, lasts } => {
                // One that has just been killed has nothing to hold on to: it comes first.
                self.rig.fleet.start(service, copy);
                assert!(self.rig.fleet.freeze(service, copy));
                self.postpone(lasts, Later::Thaw { service, copy });
                self.rig.count("frozen beyond the session, and woken");
            }
            Fault::Add { service } => {
                self.rig.fleet.add(service);
                self.rig.count("copies added");
            }
            Fault::Remove { service, gently } => {
                self.rig.fleet.remove(service, gently);
                self.rig.count("copies removed");
            }
            Fault::RestartBroker => self.rig.restart_broker(),
            Fault::KillBroker(broker) => {
                self.rig.cluster.kill(broker).unwrap();
                self.rig.count("`kill -9` of a broker of three, and back");
            }
            Fault::ReviveBroker(broker) => self.rig.cluster.restart(broker).unwrap(),
        }
    }

    /// Kills a copy; if that one is frozen or away just now, its neighbour or the next service's.
    fn kill(&mut self, service: &'static str, copy: usize, back: Back) {
        let first = SERVICES.iter().position(|(name, _)| *name == service).unwrap();
        let services = (first..).map(|index| SERVICES[index % SERVICES.len()]).take(SERVICES.len());
        let mut copies = services
            .flat_map(|(service, copies)| (copy..copy + copies).map(move |copy| (service, copy % copies)));
        let able = |run: &mut Self, (service, copy)| {
            !run.rig.fleet.is_frozen(service, copy) && run.rig.fleet.kill(service, copy)
        };
        let (service, copy) = copies.find(|copy| able(self, *copy)).unwrap();
        match back {
            Back::AtOnce => self.rig.fleet.start(service, copy),
            Back::KilledAgainAfter(moment) => {
                self.rig.fleet.start(service, copy);
                self.postpone(moment, Later::KillAgain { service, copy });
            }
            Back::After(moment) => self.postpone(moment, Later::Start { service, copy }),
        }
    }

    fn resume(&mut self, later: &Later) {
        match *later {
            Later::Start { service, copy } => self.rig.fleet.start(service, copy),
            Later::KillAgain { service, copy } => {
                // Another fault may have come in between.
                self.rig.fleet.thaw(service, copy);
                self.rig.fleet.start(service, copy);
                self.rig.fleet.kill(service, copy);
                self.rig.fleet.start(service, copy);
            }
            Later::Thaw { service, copy } => self.rig.fleet.thaw(service, copy),
        }
    }

    fn postpone(&mut self, by: Duration, later: Later) {
        self.later.push((Instant::now() + by, later));
    }
}
