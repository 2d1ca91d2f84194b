//! What is done to the services, and when: a function of the seed. Faults come at counts of answered deliveries and not
//! at times, so that a slow machine gets as many of them in the middle of its work as a fast one.

use std::time::Duration;

/// How much of everything.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    pub brokers: u8,
    pub orders: usize,
    pub kills: usize,
    pub seed: u64,
}

impl Size {
    /// `CHAOS_ORDERS`, `CHAOS_KILLS` and `CHAOS_SEED` replace the sizes of the run with `CHAOS_BROKERS` brokers (1 if
    /// that isn't set either).
    pub fn or_from_environment(self) -> Self {
        let number = |name: &str| Some(std::env::var(name).ok()?.parse::<u64>().expect("a number"));
        if number("CHAOS_BROKERS").unwrap_or(1) != u64::from(self.brokers) {
            return self;
        }
        let size = |name, default| number(name).map_or(default, |n| usize::try_from(n).unwrap());
        Self {
            orders: size("CHAOS_ORDERS", self.orders),
            kills: size("CHAOS_KILLS", self.kills),
            seed: number("CHAOS_SEED").unwrap_or(self.seed),
            ..self
        }
    }
}

/// The services that run, and in how many copies.
pub const SERVICES: [(&str, usize); 5] =
    [("gateway", 2), ("normalizer", 2), ("state", 2), ("aggregator", 2), ("query", 1)];

/// The stages have most to lose, and are killed most.
const VICTIMS: [&str; 8] =
    ["state", "normalizer", "aggregator", "gateway", "state", "normalizer", "aggregator", "query"];

/// Longer than a silent copy keeps its partitions (`session_timeout`, 6 s): the others have taken over.
const BEYOND_SESSION: Duration = Duration::from_secs(10);

/// Something that is done to the services.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// `kill -9` after a moment, and a start: at once, after a moment at which it is killed again, or when others have
    /// its partitions.
    Kill { service: &'static str, copy: usize, moment: Duration, back: Back },
    /// `SIGSTOP`, and `SIGCONT` when others have its partitions: it wakes in the belief that they are its own.
    Freeze { service: &'static str, copy: usize, lasts: Duration },
    /// One more copy.
    Add { service: &'static str },
    /// The copy that was added last goes for good: asked to (`SIGTERM`), or killed with its transaction open.
    Remove { service: &'static str, gently: bool },
    /// A broker is stopped in order and started again.
    RestartBroker,
    /// A broker of three dies and stays away.
    KillBroker(u8),
    /// It comes back.
    ReviveBroker(u8),
}

/// How a killed copy comes back.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Back {
    AtOnce,
    /// At once, and killed once more while it starts or restores.
    KilledAgainAfter(Duration),
    After(Duration),
}

/// Faults with the share of the deliveries at which they come, in thousandths, ascending.
pub fn faults(size: &Size) -> Vec<(usize, Fault)> {
    let mut chance = Chance(size.seed);
    let mut faults = kills(size.kills, &mut chance);
    faults.extend([
        (180, Fault::Add { service: "state" }),
        (240, Fault::Freeze { service: "state", copy: 1, lasts: BEYOND_SESSION }),
        (330, Fault::Add { service: "normalizer" }),
        (420, Fault::Freeze { service: "normalizer", copy: 0, lasts: BEYOND_SESSION }),
        (620, Fault::Remove { service: "state", gently: false }),
        (700, Fault::Remove { service: "normalizer", gently: true }),
    ]);
    if size.brokers == 1 {
        faults.push((520, Fault::RestartBroker));
    } else {
        faults.extend([(450, Fault::KillBroker(2)), (650, Fault::ReviveBroker(2))]);
    }
    faults.sort_by_key(|(at, _)| *at);
    faults
}

/// Kills spread over the run, over the services and over their copies.
fn kills(count: usize, chance: &mut Chance) -> Vec<(usize, Fault)> {
    let mut faults = Vec::new();
    let mut left = count;
    while left > 0 {
        let number = count - left;
        let service = VICTIMS[number % VICTIMS.len()];
        let copies = SERVICES.iter().find(|(name, _)| *name == service).map_or(1, |(_, copies)| *copies);
        let back = match chance.below(6) {
            0 if left > 1 => Back::KilledAgainAfter(Duration::from_millis(100 + chance.below(1_400))),
            1 => Back::After(BEYOND_SESSION),
            _ => Back::AtOnce,
        };
        left -= if matches!(back, Back::KilledAgainAfter(_)) { 2 } else { 1 };
        let copy = usize::try_from(chance.below(copies as u64)).unwrap();
        let moment = Duration::from_millis(chance.below(300));
        faults.push((20 + 920 * number / count, Fault::Kill { service, copy, moment, back }));
    }
    faults
}

/// splitmix64.
pub struct Chance(pub u64);

impl Chance {
    pub fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % n
    }
}

#[test]
fn one_seed_is_one_plan_with_every_service_and_as_many_kills_as_asked() {
    let size = Size { brokers: 1, orders: 0, kills: 25, seed: 3 };
    let plan = faults(&size);
    assert_eq!(plan, faults(&size));
    let mut kills = 0;
    for (service, _) in SERVICES {
        let of_service = |fault: &Fault| match fault {
            Fault::Kill { service: victim, back, .. } if *victim == service => {
                1 + usize::from(matches!(back, Back::KilledAgainAfter(_)))
            }
            _ => 0,
        };
        let count: usize = plan.iter().map(|(_, fault)| of_service(fault)).sum();
        assert!(count > 0, "{service}");
        kills += count;
    }
    assert_eq!(kills, 25);
}
