//! Kafka, the schema registry, and what is on them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use commerce::Currency;
use commerce::fx::Hour;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use service::Config;
use service::config::FxProvider;
use topics::{Plan, SchemaRegistry, Topic};

use super::Check;
use crate::fx::{fetch, publish};
use crate::lag::{self, Ends, Place};
use crate::reach::{self, next_for};
use crate::replay::status::{self, Standing};
use crate::topic;

/// How long Kafka or the registry may take to answer.
const ANSWER: Duration = Duration::from_secs(5);
/// An open transaction that doesn't move for so long hangs: a stage commits several times a second.
const HANGS_AFTER: Duration = Duration::from_secs(10);
/// More than this is worth a word.
const BEHIND: i64 = 10_000;
/// How many differences are listed.
const SHOWN: usize = 8;

/// Whether a broker answers, and which address was tried.
pub(super) fn kafka(config: &Config) -> Check {
    let bootstrap = &config.kafka.bootstrap;
    let client = service::kafka::client_config(config).set("group.id", "tillstream-doctor").create();
    let client: BaseConsumer = match client {
        Ok(client) => client,
        Err(error) => {
            let next = "tillstream config show, and mend [kafka.properties]";
            return Check::fail("kafka", format!("the client can't be made: {error}"), next);
        }
    };
    match client.fetch_metadata(None, ANSWER) {
        Ok(metadata) => {
            let brokers = metadata.brokers().len();
            let plural = if brokers == 1 { "broker" } else { "brokers" };
            Check::ok("kafka", format!("{bootstrap} answers, {brokers} {plural}"))
        }
        Err(error) => {
            let tried: Vec<String> = bootstrap.split(',').map(|address| connect(address.trim())).collect();
            let detail = format!("no broker answers ({error})\n{}", tried.join("\n"));
            Check::fail("kafka", detail, next_for(bootstrap, "[kafka] bootstrap"))
        }
    }
}

/// What a plain connection to an address meets.
fn connect(address: &str) -> String {
    match reach::connect(address) {
        Ok(()) => {
            format!("{address}: something listens, but doesn't speak as it should (TLS or SASL settings?)")
        }
        Err(error) => format!("{address}: {error}"),
    }
}

/// Whether the schema registry answers.
pub(super) fn registry(config: &Config) -> Check {
    let url = &config.registry.url;
    let asked = SchemaRegistry::new(url, Duration::from_secs(3)).and_then(|registry| {
        registry.compatibility(&Topic::Events.subject())?;
        Ok(registry.address().to_owned())
    });
    match asked {
        Ok(address) => Check::ok("registry", format!("{address} answers")),
        Err(error) => Check::fail("registry", error.to_string(), next_for(url, "[registry] url")),
    }
}

/// Whether topics are as the list says.
pub(super) fn topics(config: &Config) -> Check {
    match plan(config, None) {
        Ok((plan, replication)) => judge("topics", &plan, replication),
        Err(error) => Check::fail("topics", format!("{error:#}"), "tillstream topics plan"),
    }
}

/// Whether this build's schemas are registered.
pub(super) fn schemas(config: &Config) -> Check {
    let planned = || -> anyhow::Result<(Plan, i32)> {
        let registry = SchemaRegistry::new(&config.registry.url, ANSWER)?;
        let (of_topics, _) = plan(config, None)?;
        let (mut all, replication) = plan(config, Some(&registry))?;
        // What differs of the topics themselves is told of them.
        all.changes.retain(|change| !of_topics.changes.contains(change));
        all.refusals.retain(|refusal| !of_topics.refusals.contains(refusal));
        Ok((all, replication))
    };
    match planned() {
        Ok((plan, replication)) => judge("schemas", &plan, replication),
        Err(error) => Check::fail("schemas", format!("{error:#}"), "tillstream topics plan"),
    }
}

/// The plan for as many copies as the topics have, or a new cluster of this size would get.
fn plan(config: &Config, registry: Option<&SchemaRegistry>) -> anyhow::Result<(Plan, i32)> {
    let replication = topic::replication(config)?;
    Ok((topic::admin(config, replication)?.plan(registry)?, replication))
}

fn judge(check: &'static str, plan: &Plan, replication: i32) -> Check {
    if plan.is_empty() {
        return Check::ok(check, "as this build wants them");
    }
    let refusals = plan.refusals.iter().map(ToString::to_string);
    let changes = plan.changes.iter().map(ToString::to_string);
    let all: Vec<String> =
        refusals.chain(changes).map(|text| text.lines().next().unwrap_or_default().to_owned()).collect();
    let mut detail = format!("{} differ", all.len());
    for line in all.iter().take(SHOWN) {
        detail.push_str(&format!("\n{line}"));
    }
    if all.len() > SHOWN {
        detail.push_str(&format!("\n… and {} more", all.len() - SHOWN));
    }
    let next = if plan.refusals.is_empty() { "apply" } else { "plan" };
    Check::fail(check, detail, format!("tillstream topics {next} --replication {replication}"))
}

/// Whether somebody publishes rates of exchange: the hour of the newest ones into each base, held against this hour.
/// `None` where nobody is asked for any.
pub(super) fn rates(config: &Config) -> Option<Check> {
    if config.fx.provider == FxProvider::Off {
        return None;
    }
    let now = Hour::of(service::clock::now().as_event());
    Some(match fetch::bases(config).and_then(|bases| Ok((publish::newest(config)?, bases))) {
        Ok((newest, bases)) => fresh(now, &bases, &newest),
        Err(error) => Check::fail("rates", format!("{error:#}"), "tillstream fx ls"),
    })
}

fn fresh(now: Hour, bases: &BTreeSet<Currency>, newest: &BTreeMap<Currency, Hour>) -> Check {
    let (mut old, mut fine) = (Vec::new(), Vec::new());
    for base in bases {
        match newest.get(base) {
            // The hour before, too: this one has only just begun.
            Some(hour) if now.0 - hour.0 <= 1 => fine.push(format!("into {base} of {hour}")),
            Some(hour) => old.push(format!("into {base} none since {hour}")),
            None => old.push(format!("into {base} none at all")),
        }
    }
    if old.is_empty() {
        return Check::ok("rates", fine.join(", "));
    }
    let detail = format!("{}: orders in other currencies are held", old.join(", "));
    Check::warn("rates", detail, "tillstream fx fetch; `tillstream serve fx` does it every hour")
}

/// Which version of the figures is served, and whether one is being made beside it.
pub(super) fn figures(config: &Config) -> Check {
    match status::standings(config) {
        Ok(all) => versions(&all),
        Err(error) => Check::fail("figures", format!("{error:#}"), "tillstream replay status"),
    }
}

fn versions(all: &[Standing]) -> Check {
    let name = |one: &Standing| format!("{} ({} facts behind)", one.version, one.behind);
    let (served, beside): (Vec<&Standing>, Vec<&Standing>) = all.iter().partition(|one| one.served);
    let served: String = served.iter().map(|one| one.version.to_string()).collect();
    if beside.is_empty() {
        return Check::ok("figures", format!("version {served} is served, there is no other"));
    }
    let beside: Vec<String> = beside.into_iter().map(name).collect();
    Check::ok("figures", format!("version {served} is served, beside it is kept {}", beside.join(", ")))
}

/// How far the stages are behind.
pub(super) fn lag(config: &Config) -> Check {
    match lag::places(config) {
        Ok(places) => behind(&places),
        Err(error) => Check::fail("lag", format!("{error:#}"), "tillstream lag"),
    }
}

fn behind(places: &[Place]) -> Check {
    let mut stages: BTreeMap<&str, (i64, bool)> = BTreeMap::new();
    for place in places {
        let (lag, started) = stages.entry(&place.group).or_default();
        // Loads wait in the slow lane on purpose.
        *lag = lag.saturating_add(if place.slow_lane { 0 } else { place.lag });
        *started |= place.committed.is_some();
    }
    let idle = stages.iter().find(|(_, (lag, started))| *lag > 0 && !started);
    if let Some((group, (lag, _))) = idle {
        let detail = format!("{group} has never committed, and {lag} records wait for it");
        // Every version of the figures is the aggregator's.
        let stage = group.trim_start_matches("tillstream-");
        let stage = if stage.starts_with("figures-") { "aggregator" } else { stage };
        return Check::fail("lag", detail, format!("tillstream serve {stage} --instance NAME"));
    }
    let text: Vec<String> = stages.iter().map(|(group, (lag, _))| format!("{group} {lag}")).collect();
    let detail = format!("records waiting: {}", text.join(", "));
    if stages.values().any(|(lag, _)| *lag > BEHIND) {
        return Check::warn(
            "lag",
            detail,
            "tillstream lag, twice: if it grows, start another copy of the stage",
        );
    }
    Check::ok("lag", detail)
}

/// Whether a transaction hangs: readers of committed records get no further than it.
pub(super) fn transactions(config: &Config) -> Check {
    let began = Instant::now();
    let mut suspects: BTreeMap<(Topic, i32), i64> = BTreeMap::new();
    let mut first = true;
    loop {
        let ends = match lag::ends(config, Topic::ALL) {
            Ok(ends) => ends,
            Err(error) => return Check::fail("transactions", format!("{error:#}"), "tillstream topics plan"),
        };
        let open = open(&ends);
        if first {
            suspects = open;
            first = false;
        } else {
            suspects.retain(|place, offset| open.get(place) == Some(offset));
        }
        if suspects.is_empty() {
            return Check::ok("transactions", "none hangs");
        }
        if began.elapsed() >= HANGS_AFTER {
            break;
        }
        std::thread::sleep(Duration::from_secs(1));
    }
    let places =
        suspects.iter().map(|((topic, partition), offset)| format!("{topic}-{partition} at {offset}"));
    let detail = format!(
        "open for more than {} s, and nobody who reads committed records gets past: {}",
        HANGS_AFTER.as_secs(),
        places.collect::<Vec<_>>().join(", ")
    );
    Check::fail(
        "transactions",
        detail,
        "start the stage that writes there: it ends what its predecessor left open; or restart `tillstream up`",
    )
}

/// Where transactions are open: the first offset of the first of them, by partition.
fn open(ends: &BTreeMap<(Topic, i32), Ends>) -> BTreeMap<(Topic, i32), i64> {
    let open = ends.iter().filter(|(_, ends)| ends.stable < ends.high);
    open.map(|(place, ends)| (*place, ends.stable)).collect()
}

#[cfg(test)]
mod tests {
    use topics::Change;

    use super::super::Status;
    use super::*;

    fn place(group: &str, lag: i64, committed: Option<i64>, slow_lane: bool) -> Place {
        let topic = Topic::Raw.name();
        Place { group: group.to_owned(), topic, partition: 0, slow_lane, committed, end: 0, lag, open: 0 }
    }

    #[test]
    fn a_stage_that_never_ran_fails_only_when_something_waits_for_it() {
        let check = behind(&[place("tillstream-state", 0, None, false)]);
        assert_eq!(check.status, Status::Ok);
        let check = behind(&[place("tillstream-state", 3, None, false)]);
        assert_eq!(check.status, Status::Fail);
        assert_eq!(check.next.unwrap(), "tillstream serve state --instance NAME");
        let mixed = [place("g", 3, None, false), place("g", 0, Some(7), false)];
        assert_eq!(behind(&mixed).status, Status::Ok);
    }

    #[test]
    fn the_version_that_is_served_is_named_and_so_is_one_beside_it() {
        let standing = |name: &str, served, behind| Standing {
            version: topics::Version::try_new(name).unwrap(),
            served,
            begun_at: None,
            from: None,
            behind,
            of: 10,
            ready_in_s: None,
            metrics: String::new(),
        };
        let alone = versions(&[standing("main", true, 3)]);
        assert_eq!(alone.detail, "version main is served, there is no other");
        let two = versions(&[standing("main", false, 0), standing("v2", true, 7)]);
        assert_eq!(two.detail, "version v2 is served, beside it is kept main (0 facts behind)");
    }

    #[test]
    fn a_load_in_the_slow_lane_is_no_lag() {
        assert_eq!(behind(&[place("g", BEHIND + 1, Some(0), false)]).status, Status::Warn);
        assert_eq!(behind(&[place("g", BEHIND + 1, Some(0), true)]).status, Status::Ok);
    }

    #[test]
    fn rates_are_old_when_an_hour_has_passed_without_one() {
        let bases = BTreeSet::from([Currency::USD]);
        let check = |newest: &[(Currency, Hour)]| {
            fresh(Hour(490_000), &bases, &newest.iter().copied().collect::<BTreeMap<_, _>>())
        };
        assert_eq!(check(&[(Currency::USD, Hour(490_000))]).status, Status::Ok);
        assert_eq!(check(&[(Currency::USD, Hour(489_999))]).status, Status::Ok);
        assert_eq!(check(&[(Currency::USD, Hour(489_998))]).status, Status::Warn);
        assert!(check(&[]).detail.starts_with("into USD none at all"));
    }

    #[test]
    fn a_difference_names_the_command_that_shows_or_mends_it() {
        assert_eq!(judge("topics", &Plan::default(), 1).status, Status::Ok);
        let change = |name: &str| Change::RegisterSchema { topic: Topic::Facts, subject: name.to_owned() };
        let plan = Plan { changes: (0..10).map(|n| change(&format!("s{n}"))).collect(), refusals: vec![] };
        let check = judge("schemas", &plan, 3);
        assert_eq!(check.next.unwrap(), "tillstream topics apply --replication 3");
        assert!(check.detail.starts_with("10 differ\n+ s0") && check.detail.ends_with("… and 2 more"));
        let refusal = topics::Refusal { topic: Topic::Facts, sentence: "has too few".to_owned() };
        let plan = Plan { refusals: vec![refusal], ..plan };
        assert_eq!(judge("topics", &plan, 1).next.unwrap(), "tillstream topics plan --replication 1");
    }

    #[test]
    fn a_transaction_is_open_where_the_two_ends_differ() {
        let ends = |stable, high| Ends { start: 0, stable, high };
        let found = BTreeMap::from([((Topic::Facts, 0), ends(4, 4)), ((Topic::Facts, 1), ends(4, 9))]);
        assert_eq!(open(&found), BTreeMap::from([((Topic::Facts, 1), 4)]));
    }
}
