//! `identity`: who is whom in a workspace, and why; an operator's word on two handles.
//!
//! What is shown comes from the books: the events are read from their start and linked as the state stage links them, so
//! it holds for what has been normalised by now. The audiences are those of the profiles that are published. What is said goes to the gateway, as everything else does.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use anyhow::anyhow;
use commerce::id::Stamp;
use commerce::identity::{Component, Group, Limits, Said};
use commerce::person::Identifier;
use commerce::policy::{Policy, Rules};
use commerce::{Event, EventName, EventTime, PersonId, Profile, ReceivedTime, WorkspaceId};
use serde_json::{Value, json};
use service::Config;
use sources::Workspace;
use stream::{Follow, Followed, follow};
use topics::Topic;

use crate::cli::Common;
use crate::home::here;
use crate::tail::Reader;
use crate::{Output, Stop, data, reach};

/// `identity`
#[derive(clap::Subcommand, Debug)]
pub enum Command {
    /// Shows the person of a handle: all handles, what linked them, whom they are kept apart from, and since when they are
    /// in which audience.
    Show {
        /// The workspace.
        workspace: String,
        /// user:5, email:jane@example.com, shopify_customer:acme.myshopify.com/7, …
        #[arg(value_parser = handle)]
        handle: Identifier,
        /// How to write it.
        #[arg(short, long, value_enum, default_value_t)]
        output: Output,
    },
    /// Says that two handles are never one person. It stands for ever.
    Unmerge(Two),
    /// Says that two handles are one person; the first one stays.
    Merge(Two),
}

/// Two handles of a workspace.
#[derive(clap::Args, Debug)]
pub struct Two {
    /// The workspace.
    workspace: String,
    /// One handle.
    #[arg(value_parser = handle)]
    a: Identifier,
    /// The other one.
    #[arg(value_parser = handle)]
    b: Identifier,
    /// Doesn't ask.
    #[arg(long)]
    yes: bool,
    /// The gateway. Default: that of the running `up`.
    #[arg(long, value_name = "URL")]
    gateway: Option<String>,
}

fn handle(text: &str) -> Result<Identifier, String> {
    Identifier::parse(text)
        .ok_or_else(|| "that is no handle; write user:5 or email:jane@example.com".to_owned())
}

/// Runs the command.
pub fn run(common: &Common, command: &Command) -> Result<(), Stop> {
    let config = common.load(vec![])?;
    match command {
        Command::Show { workspace, handle, output } => {
            reach::check(&config)?;
            show(&config, workspace, handle, *output)
        }
        Command::Unmerge(two) => say(common, &config, two, "unmerge", "will never be one person"),
        Command::Merge(two) => say(common, &config, two, "merge", "will be one person"),
    }
}

fn say(common: &Common, config: &Config, two: &Two, word: &str, means: &str) -> Result<(), Stop> {
    let workspace = workspace(config, &two.workspace)?;
    let key = workspace.analytics.secret_keys.first().ok_or_else(|| {
        Stop::Usage(anyhow!("workspace '{}' has no secret analytics key, which opens this", workspace.id))
    })?;
    if !two.yes
        && !confirmed(&format!("{} and {} {means}, for all events so far and to come.", two.a, two.b))?
    {
        return Err(Stop::Failed(anyhow!("nothing was said")));
    }
    let gateway = two.gateway.clone().or_else(|| Some(common.home().ok()?.endpoints().ok()?.gateway));
    let gateway = gateway.unwrap_or_else(|| here(config.gateway.listen));
    let body = json!({"a": two.a.to_string(), "b": two.b.to_string()}).to_string();
    let client = reqwest::blocking::Client::builder().no_proxy().timeout(Duration::from_secs(10)).build()?;
    let request =
        client.post(format!("{gateway}/v1/identity/{word}")).header("x-api-key", key.expose()).body(body);
    let answer = request.send().map_err(|error| {
        anyhow!("no answer from the gateway at {gateway} ({}): is it running?", error.without_url())
    })?;
    let (status, text) = (answer.status(), answer.text().unwrap_or_default());
    if !status.is_success() {
        return Err(Stop::Failed(anyhow!("the gateway answered {status} {text}")));
    }
    data(&format!("{word} {} {}: committed, the figures follow", two.a, two.b))
}

/// Asks at a terminal; elsewhere `--yes` says it.
pub(crate) fn confirmed(what: &str) -> Result<bool, Stop> {
    if !std::io::stdin().is_terminal() {
        return Err(Stop::Usage(anyhow!("{what} Say --yes to do so without being asked")));
    }
    eprint!("{what} Go on? [y/N] ");
    std::io::stderr().flush()?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

fn workspace(config: &Config, id: &str) -> Result<Workspace, Stop> {
    let all = config.workspaces().map_err(|mistakes| Stop::Usage(anyhow!(mistakes.join("; "))))?;
    all.iter().find(|workspace| workspace.id.as_str() == id).cloned().ok_or_else(|| {
        let known: Vec<&str> = all.iter().map(|workspace| workspace.id.as_str()).collect();
        Stop::Usage(anyhow!("no workspace '{id}'; there are {}", known.join(", ")))
    })
}

fn show(config: &Config, id: &str, handle: &Identifier, output: Output) -> Result<(), Stop> {
    let workspace = workspace(config, id)?.id;
    let key =
        config.state.person_id_key.clone().unwrap_or_else(|| commerce::PersonId::DEVELOPMENT_KEY.to_owned());
    let (evidence, audiences) = read(config, &workspace)?;
    let shown = evidence.of(handle, &|handle| PersonId::derive(&key, &workspace, handle), &audiences);
    if shown["edges"].as_array().is_some_and(Vec::is_empty) {
        eprintln!("{handle} was never seen with another handle");
    }
    match output {
        Output::Json => data(&shown.to_string()),
        Output::Table => table(&shown),
    }
}

/// Since when who is in which audience.
type Audiences = BTreeMap<PersonId, BTreeMap<String, EventTime>>;

/// Reads the books of a workspace.
fn read(config: &Config, workspace: &WorkspaceId) -> Result<(Evidence, Audiences), Stop> {
    let mut reader = Reader::new(config)?;
    let (mut evidence, mut audiences) = (Evidence::default(), Audiences::new());
    let what = Follow {
        client: service::kafka::client_config(config),
        topics: [Topic::Events, Topic::Profiles].map(|topic| topic.name().to_owned()).to_vec(),
    };
    let own = format!("{workspace}:").into_bytes();
    let done = std::cell::Cell::new(false);
    let mut failed = Ok(());
    follow(&what, &|| done.get(), &mut |followed| {
        let read = match followed {
            Followed::CaughtUp => {
                done.set(true);
                Ok(())
            }
            Followed::Record { topic, key, value, .. } if key.starts_with(&own) => {
                match (Topic::parse(topic), value) {
                    (Some(Topic::Events), Some(value)) => {
                        reader.decode::<Event>(value).map(|event| evidence.take(&event))
                    }
                    (Some(Topic::Profiles), Some(value)) => reader.decode::<Profile>(value).map(|profile| {
                        audiences.insert(profile.person_id, profile.audiences_since);
                    }),
                    (Some(Topic::Profiles), None) => {
                        let id = std::str::from_utf8(&key[own.len()..]).ok().and_then(PersonId::parse);
                        id.map(|id| audiences.remove(&id));
                        Ok(())
                    }
                    _ => Ok(()),
                }
            }
            _ => Ok(()),
        };
        if let Err(error) = read {
            failed = Err(error);
            done.set(true);
        }
        Ok(())
    })?;
    failed?;
    Ok((evidence, audiences))
}

/// What deliveries said of two handles: each thing once, with the smallest stamp and who said it.
#[derive(Debug, Default)]
struct Evidence {
    /// What the workspace has settled, each with the arrival after which it counts.
    settled: Settled,
    /// The greatest arrival so far.
    clock: Option<ReceivedTime>,
    links: BTreeMap<(Identifier, Identifier, &'static str), (Stamp, String)>,
}

/// The versions of a policy, as far as they concern handles.
#[derive(Debug, Default)]
struct Settled(Vec<(ReceivedTime, Rules)>);

impl Limits for Settled {
    fn most_neighbours(&self, seen: Stamp) -> usize {
        let held = self.0.iter().rev().find(|(after, _)| *after < seen.received_at);
        let Some((_, rules)) = held else { return ().most_neighbours(seen) };
        usize::try_from(rules.shared_handle_neighbours).unwrap_or(usize::MAX)
    }

    fn is_blocked(&self, handle: &Identifier) -> bool {
        self.0.last().is_some_and(|(_, rules)| rules.blocked().any(|blocked| blocked == *handle))
    }
}

impl Evidence {
    fn take(&mut self, event: &Event) {
        if event.event == EventName::PolicyPublished {
            let policy = Policy::announced(&event.workspace, &event.payload.properties);
            let clock = self.clock.unwrap_or(ReceivedTime(i64::MIN));
            self.settled.0.extend(policy.map(|policy| (policy.in_force_after(clock), policy.rules)));
            return;
        }
        self.clock = self.clock.max(Some(event.received_at));
        let Some(person) = &event.person else { return };
        let handles: BTreeSet<&Identifier> = person.identifiers.iter().collect();
        let Some(first) = handles.first() else { return };
        let absorbed = match event.event {
            EventName::CustomerMerged => "merged",
            EventName::CustomerSeparated => "kept apart",
            _ => "seen together",
        };
        let together = handles.iter().skip(1).map(|other| (*other, "seen together"));
        for (other, said) in together.chain(person.absorbed.iter().map(|other| (other, absorbed))) {
            let found = (event.stamp(), format!("{} {}", event.source, event.source_event));
            let known =
                self.links.entry(((*first).clone(), other.clone(), said)).or_insert_with(|| found.clone());
            if found < *known {
                *known = found;
            }
        }
    }

    /// What is to be shown of a handle.
    fn of(&self, handle: &Identifier, id: &dyn Fn(&Identifier) -> PersonId, audiences: &Audiences) -> Value {
        let mut reached = BTreeSet::from([handle]);
        loop {
            let before = reached.len();
            for (a, b, _) in self.links.keys() {
                if reached.contains(a) || reached.contains(b) {
                    reached.extend([a, b]);
                }
            }
            if reached.len() == before {
                break;
            }
        }
        let mut component = Component::default();
        let mut edges = Vec::new();
        for ((a, b, said), (stamp, source)) in &self.links {
            if !reached.contains(a) {
                continue;
            }
            let word = match *said {
                "merged" => Said::Merge,
                "kept apart" => Said::Veto,
                _ => Said::Together,
            };
            component.link(a, b, word, *stamp);
            edges.push(json!({"a": a.to_string(), "b": b.to_string(), "said": said, "by": source,
                "received_at": stamp.received_at.to_rfc3339(), "raw_partition": stamp.partition, "raw_offset": stamp.offset}));
        }
        let alone = Group { handles: vec![handle.clone()], representative: handle.clone(), conflict: false };
        let mut groups = component.groups(&self.settled);
        if groups.is_empty() {
            groups.push(alone);
        }
        let people = groups.iter().map(|group| {
            let person = id(&group.representative);
            let since = audiences.get(&person).into_iter().flatten();
            let since: BTreeMap<&String, String> = since.map(|(name, at)| (name, at.to_rfc3339())).collect();
            json!({"person_id": person.to_string(), "audiences": since, "representative": group.representative.to_string(),
                "handles": group.handles.iter().map(ToString::to_string).collect::<Vec<_>>(),
                "conflict": group.conflict, "asked_for": group.handles.contains(handle)})
        });
        json!({"handle": handle.to_string(), "people": people.collect::<Vec<_>>(), "edges": edges})
    }
}

fn table(shown: &Value) -> Result<(), Stop> {
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    for person in shown["people"].as_array().into_iter().flatten() {
        let mark = if person["asked_for"] == true { "*" } else { " " };
        let conflict = if person["conflict"] == true { "  shares a handle with somebody else" } else { "" };
        data(&format!(
            "{mark} {}  {}{conflict}",
            word(&person["person_id"]),
            word(&person["representative"])
        ))?;
        for handle in person["handles"].as_array().into_iter().flatten() {
            data(&format!("      {}", word(handle)))?;
        }
        for (name, since) in person["audiences"].as_object().into_iter().flatten() {
            data(&format!("      in {name} since {}", word(since)))?;
        }
    }
    for edge in shown["edges"].as_array().into_iter().flatten() {
        data(&format!(
            "{}  {} {} {}  ({})",
            word(&edge["received_at"]),
            word(&edge["a"]),
            word(&edge["said"]),
            word(&edge["b"]),
            word(&edge["by"])
        ))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(t: i64) -> Stamp {
        Stamp { received_at: ReceivedTime(t), partition: 0, offset: t, item: 0, part: 0 }
    }

    #[test]
    fn a_handle_is_shown_with_everybody_it_was_seen_with_and_nobody_else() {
        let of = |text: &str| Identifier::parse(text).unwrap();
        let mut evidence = Evidence::default();
        for (a, b, said, t) in [
            ("user:5", "email:j@example.com", "seen together", 1),
            ("user:6", "email:j@example.com", "seen together", 2),
            ("user:5", "user:6", "merged", 3),
            ("user:5", "user:6", "kept apart", 4),
            ("user:7", "email:x@example.com", "seen together", 5),
        ] {
            evidence.links.insert((of(a), of(b), said), (stamp(t), "customerio identify".to_owned()));
        }
        let since = BTreeMap::from([("lapsed_90d".to_owned(), EventTime(1_773_482_400_000_000))]);
        let audiences = Audiences::from([(PersonId(1), since)]);
        let shown = evidence.of(&of("user:6"), &|_| PersonId(1), &audiences);
        assert_eq!(shown["edges"].as_array().unwrap().len(), 4);
        let people = shown["people"].as_array().unwrap();
        assert_eq!(people.len(), 2);
        assert_eq!(people[1]["audiences"], json!({"lapsed_90d": "2026-03-14T10:00:00Z"}));
        assert_eq!((&people[1]["handles"], &people[1]["asked_for"]), (&json!(["user:6"]), &json!(true)));
        assert_eq!(
            evidence.of(&of("user:9"), &|_| PersonId(2), &audiences)["people"][0]["handles"],
            json!(["user:9"])
        );
    }
}
