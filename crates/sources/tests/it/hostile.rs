//! Every hostile body at every path of every source: one named outcome each, never a 5xx, never a panic, in bounded memory.
//!
//! The paths and their sound bodies are those of the documentation, so a new source is attacked as soon as it is told of there.

use std::collections::{BTreeMap, BTreeSet};

use commerce::Reason;
use serde_json::{Value, json};
use sources::operation::common_answers;
use sources::{Decision, Workspace, Workspaces};

use crate::any_bytes::places;
use crate::call::Call;
use crate::fixture::*;

const MIB: usize = 1024 * 1024;
/// What stands where a value is replaced by text that no library would write.
const HERE: &str = "@here@";

/// Bodies that have nothing to do with what is asked for.
fn bodies(sound: &[u8]) -> Vec<(String, Vec<u8>)> {
    let nested = |open: &str, close: &str| format!("{}1{}", open.repeat(100_000), close.repeat(100_000));
    let keys: Vec<String> = (0..100_000).map(|i| format!("\"k{i}\":{i}")).collect();
    let mut found: Vec<(&str, Vec<u8>)> = vec![
        ("nothing", Vec::new()),
        ("white space", b" \r\n\t ".to_vec()),
        ("a NUL", b"\0".to_vec()),
        ("no UTF-8", b"\xff\xfe\xfd".to_vec()),
        ("UTF-16", b"\xff\xfe{\0}\0".to_vec()),
        ("a byte order mark", b"\xef\xbb\xbf{}".to_vec()),
        ("null", b"null".to_vec()),
        ("a list", b"[]".to_vec()),
        ("a list of lists", b"[[],[[]],{}]".to_vec()),
        ("an empty object", b"{}".to_vec()),
        ("a text", b"\"order\"".to_vec()),
        ("a number", b"9007199254740993".to_vec()),
        ("300 digits", b"9".repeat(300)),
        ("true", b"true".to_vec()),
        ("NaN", b"NaN".to_vec()),
        ("a form", b"id=1&total=2".to_vec()),
        ("XML", b"<order id='1'/>".to_vec()),
        ("lists in lists", nested("[", "]").into_bytes()),
        ("objects in objects", nested("{\"a\":", "}").into_bytes()),
        ("an end that never comes", b"{\"a\":".repeat(100_000)),
        ("a closed one that goes on", [sound, b"}"].concat()),
        ("two of them", [sound, sound].concat()),
        ("a half", sound[..sound.len() / 2].to_vec()),
        ("100,000 keys", format!("{{{}}}", keys.join(",")).into_bytes()),
        ("one key 100,000 times", format!("{{{}\"a\":1}}", "\"a\":1,".repeat(100_000)).into_bytes()),
        ("5 MB of text", format!("{{\"a\":\"{}\"}}", "x".repeat(5_000_000)).into_bytes()),
        ("5 MB of zeros", format!("[{}0]", "0,".repeat(2_500_000)).into_bytes()),
        ("5 MB of white space", b" ".repeat(5_000_000)),
        ("5 MB of a number", b"9".repeat(5_000_000)),
        ("11 MiB", b" ".repeat(11 * MIB)),
    ];
    for (list, entry) in
        [("events", "{}"), ("batch", "{}"), ("records", "{}"), ("line_items", "{}"), ("items", "1")]
    {
        let entries = vec![entry; 100_000].join(",");
        found.push(("100,000 entries", format!("{{\"{list}\":[{entries}]}}").into_bytes()));
    }
    found.into_iter().map(|(name, body)| (name.to_owned(), body)).collect()
}

/// JSON texts for the place of any value.
fn values() -> Vec<Vec<u8>> {
    let digits = "9".repeat(300);
    let texts = [
        "null",
        "[]",
        "{}",
        "\"\"",
        "\" \"",
        "true",
        "\"true\"",
        "0",
        "-1",
        "-0.0",
        "1.5",
        "1E400",
        "1e-400",
        "\"1e5\"",
        "\"12,34\"",
        "NaN",
        "\"NaN\"",
        "0x10",
        "9007199254740993",
        "\"9007199254740993\"",
        "18446744073709551616",
        "\"-9223372036854775809\"",
        "99999999999999999999.99",
        "\"9999-12-31T23:59:59.999999999+23:59\"",
        "\"10000-01-01T00:00:00Z\"",
        "\"-009999-01-01T00:00:00Z\"",
        "\"2026-02-30T25:61:61Z\"",
        "\"2026-03-14T09:00:00+99:99\"",
        "\"2026-03-14T09:00:00[Mars/Olympus]\"",
        "\"2026-03-14T09:00:00\"",
        "253402300800",
        "-62135596801",
        "99999999999999999",
        "\"gid://shopify/Order/\"",
        "\"\\u0000\"",
        "\"\\ud800\"",
        "\"\\x\"",
        "\"a@b@c\"",
        "[[],{},null,1,\"\"]",
        "{\"a\":1,\"a\":{\"a\":[]}}",
    ];
    let mut found: Vec<Vec<u8>> = texts.into_iter().map(|text| text.as_bytes().to_vec()).collect();
    found.push(digits.clone().into_bytes());
    found.push(format!("\"{digits}\"").into_bytes());
    found.push(format!("0.{digits}").into_bytes());
    found.push(format!("{}1{}", "[".repeat(2_000), "]".repeat(2_000)).into_bytes());
    found.push(format!("\"{}\"", "\u{1f6d2}".repeat(2_000)).into_bytes());
    found.push(b"\"\xff\xc0\"".to_vec());
    found.push(b"\"a\0b\"".to_vec());
    found
}

/// What is asked of every answer and of everything that was taken.
pub(crate) struct Judge {
    pub(crate) workspaces: Workspaces,
    workspace: Workspace,
    /// How many ended how.
    pub(crate) outcomes: BTreeMap<&'static str, usize>,
}

impl Judge {
    pub(crate) fn new() -> Self {
        let workspace = Workspace::development().unwrap();
        Self { workspaces: workspaces(), workspace, outcomes: BTreeMap::new() }
    }

    pub(crate) fn judge(&mut self, call: &Call<'_>, what: &str) {
        let name = || format!("{}, {what}", call.name());
        let decision = call.decide(&self.workspaces);
        let (outcome, reply) = match &decision {
            Decision::Accept(accepted) => {
                // Whatever is stored ends as an event or as a dead letter with a reason.
                let outcome = match items_of(&self.workspace, accepted, call.bytes()) {
                    Ok(items) if items.iter().all(Result::is_ok) => "published",
                    Ok(items) => {
                        let faults = items.iter().filter_map(|item| item.as_ref().err());
                        faults.for_each(|fault| assert!(is_told(&fault.failure.message), "{}", name()));
                        "partly dead-lettered"
                    }
                    Err(failure) => {
                        assert!(is_told(&failure.message), "{}", name());
                        "dead-lettered"
                    }
                };
                (outcome, &accepted.reply)
            }
            Decision::Refuse(refused) => {
                assert_ne!(refused.reason, Reason::Unavailable, "{}", name());
                (if refused.letter.is_some() { "refused and kept" } else { "refused" }, &refused.reply)
            }
            Decision::Answer(reply) => ("answered", reply),
        };
        assert!(reply.status < 500, "{}: {} {}", name(), reply.status, reply.body);
        let documented: BTreeSet<u16> = call
            .operation
            .answers
            .iter()
            .map(|answer| answer.status)
            .chain(call.operation.examples.iter().map(|example| example.status))
            .chain(common_answers(call.source).into_iter().map(|(_, reply)| reply.status))
            .collect();
        assert!(documented.contains(&reply.status), "{}: {} isn't documented", name(), reply.status);
        let is_json = serde_json::from_str::<Value>(&reply.body).is_ok();
        assert!(is_json || reply.status == 204, "{}: {}", name(), reply.body);
        *self.outcomes.entry(outcome).or_default() += 1;
    }
}

pub(crate) fn is_told(message: &str) -> bool {
    !message.trim().is_empty() && message.len() < 1_000
}

/// The most memory that this process ever had, in bytes.
fn peak() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    let kilobytes: usize = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kilobytes * 1024
}

#[test]
fn every_hostile_body_at_every_path_ends_in_a_named_outcome_and_in_bounded_memory() {
    let mut judge = Judge::new();
    let before = peak();
    for call in Call::all() {
        for (what, body) in bodies(call.example.body.as_bytes()) {
            judge.judge(&Call { body: Some(body), ..call.clone() }, &what);
        }
    }
    // The greatest body is 10 MiB, and the tests beside this one have some too.
    let grown = peak() - before;
    assert!(grown < 400 * MIB, "{} MiB", grown / MIB);
    for outcome in ["refused", "refused and kept", "dead-lettered", "published", "answered"] {
        assert!(judge.outcomes.contains_key(outcome), "none is {outcome}: {:?}", judge.outcomes);
    }
}

#[test]
fn every_hostile_value_in_every_field_of_every_example_ends_in_a_named_outcome() {
    let mut judge = Judge::new();
    let values = values();
    let mut tried = BTreeSet::new();
    for call in Call::all().filter(|call| call.example.status < 300 && !call.example.body.is_empty()) {
        let sound: Value = serde_json::from_str(call.example.body).unwrap();
        let mut all = Vec::new();
        places(&sound, String::new(), &mut all);
        for place in all.into_iter().filter(|place| !place.is_empty()) {
            // The second of two equal entries of a list has nothing new to say.
            if !tried.insert((call.operation.id, without_digits(&place))) {
                continue;
            }
            let mut marked = sound.clone();
            *marked.pointer_mut(&place).unwrap() = json!(HERE);
            let marked = marked.to_string();
            let (before, after) = marked.split_once(&format!("\"{HERE}\"")).unwrap();
            for value in &values {
                let body = [before.as_bytes(), value, after.as_bytes()].concat();
                let what = format!("{place} = {:?}", String::from_utf8_lossy(&value[..value.len().min(60)]));
                judge.judge(&Call { body: Some(body), ..call.clone() }, &what);
            }
        }
    }
    assert!(tried.len() > 200, "{}", tried.len());
    for outcome in ["refused", "refused and kept", "dead-lettered", "published"] {
        assert!(judge.outcomes.contains_key(outcome), "none is {outcome}: {:?}", judge.outcomes);
    }
}

fn without_digits(place: &str) -> String {
    place.split('/').filter(|part| part.parse::<usize>().is_err()).collect::<Vec<_>>().join("/")
}
