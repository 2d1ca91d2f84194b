//! The stored corpus and mutations of it through every reader of every source: no panic, one named outcome with a
//! documented answer, the same twice, and nothing lost.
//!
//! `tests/corpus` has a folder for each kind of body: `sound.json`, and one file for each way in which senders get it
//! wrong (numbers of 300 digits, keys that come twice, no UTF-8, NUL, the year 9999, zones that there aren't, `[]` for an
//! object, numbers as strings and strings as numbers, ids beyond 2^53, deep nesting). A file that is added is read by the
//! next run; a body that made something fail belongs there.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use commerce::letter::redrive::{self, Redriven};
use commerce::policy::Policy;
use commerce::{EventTime, WorkspaceId};
use http::Method;
use serde_json::Value;
use sources::meter::Unmetered;
use sources::{Accepted, Decision, Workspace, route};

use crate::call::Call;
use crate::fixture::*;
use crate::hostile::{Judge, is_told};

const CORPUS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus");

/// How many mutations of its own example, and of each file, every operation is sent.
const OF_EXAMPLE: usize = 200;
const OF_FILE: usize = 3;

/// All files of the corpus, by their names without the folder before them.
fn files() -> BTreeMap<String, Vec<u8>> {
    let list = |path: &Path| -> Vec<PathBuf> {
        std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect()
    };
    let folders = list(Path::new(CORPUS)).into_iter().filter(|path| path.is_dir());
    let files = folders.flat_map(|folder| list(&folder));
    let name = |path: &Path| path.strip_prefix(CORPUS).unwrap().display().to_string();
    files.map(|path| (name(&path), std::fs::read(&path).unwrap())).collect()
}

/// The lines of a file of the corpus.
fn lines(name: &str) -> Vec<String> {
    std::fs::read_to_string(format!("{CORPUS}/{name}")).unwrap().lines().map(str::to_owned).collect()
}

/// The same numbers in each run, so that a failure is there again.
struct Dice(u64);

impl Dice {
    fn of(name: &str) -> Self {
        // FNV-1a.
        let hash = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        Self(name.bytes().fold(0xcbf2_9ce4_8422_2325, hash))
    }

    fn below(&mut self, most: usize) -> usize {
        // xorshift64.
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(most.max(1)).unwrap()).unwrap()
    }

    /// A place in bytes, and one behind it that isn't far.
    fn span(&mut self, bytes: &[u8]) -> (usize, usize) {
        let from = self.below(bytes.len() + 1);
        (from, from + self.below((bytes.len() - from + 1).min(40)))
    }

    /// Bytes with a few changes, each of a kind that a broken sender, line or library makes.
    fn mutated(&mut self, sound: &[u8], other: &[u8]) -> Vec<u8> {
        const WORDS: [&[u8]; 18] = [
            b"null",
            b"[]",
            b"{}",
            b"\"\"",
            b"true",
            b"-0",
            b"1e400",
            b"9007199254740993",
            b"\\u0000",
            b"\\ud800",
            b"\xff",
            b"\0",
            b"\"9999-12-31T23:59:60+99:99\"",
            b",",
            b":",
            b"\"",
            b"}",
            b"]",
        ];
        let mut bytes = sound.to_vec();
        for _ in 0..=self.below(3) {
            let (from, to) = self.span(&bytes);
            match self.below(6) {
                0 => drop(bytes.drain(from..to)),
                1 => {
                    let twice = bytes[from..to].to_vec();
                    bytes.splice(to..to, twice);
                }
                2 => bytes.truncate(from),
                3 => {
                    let word = WORDS[self.below(WORDS.len())];
                    bytes.splice(from..to, word.iter().copied());
                }
                4 => {
                    let (start, end) = self.span(other);
                    bytes.splice(from..to, other[start..end].iter().copied());
                }
                _ => {
                    let bit = 1 << self.below(8);
                    bytes.get_mut(from).into_iter().for_each(|byte| *byte ^= bit);
                }
            }
        }
        bytes
    }
}

/// Whether each entry of what was sent as a list is in the answer, taken or told; `None` where that isn't said.
fn is_whole(body: &[u8], answer: &str) -> Option<bool> {
    let sent: Value = serde_json::from_slice(body).ok()?;
    let said: Value = serde_json::from_str(answer).ok()?;
    let entries = |list: &str| sent[list].as_array().map(|entries| entries.len() as u64);
    if let Some(accepted) = said["accepted"].as_u64() {
        let told = said["errors"].as_array().map_or(0, Vec::len) as u64;
        return Some(accepted + told == entries("events")?);
    }
    let (taken, told) =
        (said["data"]["acceptedRecords"].as_u64()?, said["data"]["rejectedRecords"].as_u64()?);
    Some(taken + told == entries("records")?)
}

/// Everything that is asked of one body at one path.
struct Trial<'a> {
    judge: Judge,
    call: Call<'a>,
    /// As the sound example is stored, to be read with other bytes in it: a record that is redriven meets no door.
    stored: Option<Accepted>,
    /// How many lists were found in their answers.
    whole: usize,
}

impl<'a> Trial<'a> {
    fn new(call: Call<'a>) -> Self {
        let judge = Judge::new();
        let stored = match call.decide(&judge.workspaces) {
            Decision::Accept(accepted) => Some(Accepted { body: None, ..accepted }),
            _ => None,
        };
        Self { judge, call, stored, whole: 0 }
    }

    fn with(&mut self, body: &[u8], what: &str) {
        let call = Call { body: Some(body.to_vec()), ..self.call.clone() };
        let name = || format!("{}, {what}: {}", call.name(), String::from_utf8_lossy(body));
        self.judge.judge(&call, what);
        let decision = call.decide(&self.judge.workspaces);
        let reply = match &decision {
            Decision::Accept(accepted) => &accepted.reply,
            Decision::Refuse(refused) => {
                refused
                    .letter
                    .iter()
                    .for_each(|letter| assert!(is_told(&letter.failure.message), "{}", name()));
                &refused.reply
            }
            Decision::Answer(reply) => reply,
        };
        if let Some(whole) = is_whole(body, &reply.body) {
            assert!(whole, "{}: {}", name(), reply.body);
            self.whole += 1;
        }
        assert_eq!(call.decide(&self.judge.workspaces), decision, "{}", name());
        if let Decision::Accept(accepted) = &decision {
            let read = || items(accepted, body);
            assert_eq!(read(), read(), "{}", name());
        }
        if let Some(stored) = &self.stored {
            self.read(&items(stored, body), &name);
        }
    }

    /// An event or a reason, of each item.
    fn read(&self, found: &Result<Vec<sources::Item>, commerce::reason::Failure>, name: &dyn Fn() -> String) {
        match found {
            Ok(items) => {
                for fault in items.iter().filter_map(|item| item.as_ref().err()) {
                    assert!(is_told(&fault.failure.message), "{}", name());
                }
            }
            Err(failure) => assert!(is_told(&failure.message), "{}", name()),
        }
    }
}

#[test]
fn the_corpus_and_mutations_of_it_end_in_a_named_outcome_at_every_path_and_nothing_is_lost() {
    let files = files();
    assert!(files.len() > 100, "{}", files.len());
    let (mut outcomes, mut whole) = (BTreeMap::<&str, usize>::new(), 0);
    for call in Call::all() {
        let mut trial = Trial::new(call.clone());
        for (name, body) in &files {
            trial.with(body, name);
            let mut dice = Dice::of(&format!("{} {name}", call.name()));
            for n in 0..OF_FILE {
                let other = files.values().nth(dice.below(files.len())).unwrap();
                trial.with(&dice.mutated(body, other), &format!("{name}, mutation {n}"));
            }
        }
        let (sound, mut dice) = (call.example.body.as_bytes(), Dice::of(&call.name()));
        for n in 0..OF_EXAMPLE {
            let other = files.values().nth(dice.below(files.len())).unwrap();
            trial.with(&dice.mutated(sound, other), &format!("its example, mutation {n}"));
        }
        whole += trial.whole;
        for (outcome, count) in trial.judge.outcomes {
            *outcomes.entry(outcome).or_default() += count;
        }
    }
    for outcome in
        ["published", "partly dead-lettered", "dead-lettered", "refused", "refused and kept", "answered"]
    {
        assert!(outcomes.contains_key(outcome), "none is {outcome}: {outcomes:?}");
    }
    assert!(whole > 100, "{whole} lists");
}

#[test]
fn each_sound_body_of_the_corpus_is_taken_somewhere() {
    let files = files();
    let sound: Vec<_> = files.iter().filter(|(name, _)| name.ends_with("/sound.json")).collect();
    assert!(sound.len() > 10, "{}", sound.len());
    for (name, body) in sound {
        let mut calls = Call::all().filter(|call| !call.example.body.is_empty());
        let taken = calls.any(|call| {
            let call = Call { body: Some(body.clone()), ..call };
            let Decision::Accept(accepted) = call.decide(&workspaces()) else { return false };
            items(&accepted, body).is_ok_and(|items| items.iter().any(Result::is_ok))
        });
        assert!(taken, "{name}: its mutations would only show how it is refused");
    }
}

#[test]
fn an_id_in_a_path_is_read_or_refused_whatever_it_is_and_a_deletion_is_of_one_person() {
    let authorization = ("authorization", "Basic ZGV2LXNpdGU6ZGV2LXRyYWNrLWtleQ==");
    let secret = ("x-api-key", "sk_dev_demo");
    let bearer = ("authorization", "Bearer dev-records-key");
    let mut taken = 0;
    for id in lines("path_ids.txt") {
        for (method, path, header) in [
            (Method::DELETE, format!("/v1/api/analytics/user/{id}"), secret),
            (Method::DELETE, format!("/api/v1/customers/{id}"), authorization),
            (Method::PUT, format!("/api/v1/customers/{id}"), authorization),
            (Method::POST, format!("/api/v1/customers/{id}/events"), authorization),
            (Method::DELETE, format!("/api/v1/customers/5/devices/{id}"), authorization),
            (Method::POST, format!("/unsubscribe/{id}"), authorization),
            (Method::POST, format!("/public/v1/records/{id}/append"), bearer),
            (Method::POST, format!("/webhooks/shopify/{id}/{id}"), bearer),
        ] {
            let Ok(_) = route(&method, &path) else { continue };
            let body = br#"{"name":"x","unsubscribe":true,"record":{"email":"a@b.c"}}"#;
            let body: &[u8] = if method == Method::DELETE { b"" } else { body };
            match call(&workspaces(), &Unmetered, &method, &path, None, &[header], body) {
                Decision::Accept(accepted) => {
                    let found = items(&accepted, body).unwrap_or_else(|failure| panic!("{path}: {failure}"));
                    assert!(found.iter().all(Result::is_ok), "{path}: {found:?}");
                    if method == Method::DELETE && !path.contains("/devices/") {
                        assert_eq!(found.len(), 1, "{path}");
                        let person = found[0].as_ref().unwrap().person.as_ref().unwrap();
                        assert_eq!(person.identifiers.len(), 1, "{path}");
                    }
                    taken += 1;
                }
                Decision::Refuse(refused) => {
                    assert!(
                        matches!(refused.reply.status, 400 | 401 | 404),
                        "{path}: {}",
                        refused.reply.body
                    );
                }
                Decision::Answer(reply) => assert!(reply.status < 500, "{path}: {}", reply.body),
            }
        }
    }
    assert!(taken > 50, "{taken}");
}

#[test]
fn no_header_of_a_redrive_makes_it_panic_or_lose_the_letter_that_it_is_of() {
    let values = lines("header_values.txt");
    for value in &values {
        for name in redrive::HEADERS {
            let header = |asked: &str| match asked {
                _ if asked == name => Some(value.as_str()),
                redrive::OF => Some("first-id"),
                _ => None,
            };
            let redriven = Redriven::read(header).unwrap();
            let own = if name == redrive::OF { value } else { "first-id" };
            assert_eq!(redriven.of, own);
            assert_eq!(redriven.letter_id(0), own, "{name}: {value}");
            // What can't be read as a number names no item: then all are meant, and none is lost.
            let is_number = name == redrive::ITEM && value.parse::<i32>().is_ok();
            assert_eq!(redriven.item.is_some(), is_number, "{name}: {value}");
            assert!(is_number || (0..3).all(|item| redriven.takes(item)), "{name}: {value}");
        }
    }
}

#[test]
fn a_damaged_announcement_of_a_policy_is_none_or_one_that_says_itself() {
    let workspace = WorkspaceId::try_new("demo").unwrap();
    let policy = Policy {
        workspace: workspace.clone(),
        version: 2,
        effective_at: EventTime(1),
        published_at: EventTime(1),
        published_by: "jane".to_owned(),
        note: Some("why".to_owned()),
        rules: Workspace::development().unwrap().rules,
    };
    let sound = policy.announcement().unwrap().payload.properties;
    assert_eq!(Policy::announced(&workspace, &sound).as_ref(), Some(&policy));
    let (name, text) = sound.first_key_value().unwrap();
    let others: Vec<Vec<u8>> = files().into_values().collect();
    let (mut dice, mut read) = (Dice::of("policy"), 0);
    let mutations = (0..2_000).map(|n| dice.mutated(text.as_bytes(), &others[n % others.len()]));
    for mutated in mutations.chain(others.clone()) {
        let properties = BTreeMap::from([(name.clone(), String::from_utf8_lossy(&mutated).into_owned())]);
        if let Some(found) = Policy::announced(&workspace, &properties) {
            assert!(found.version > 0 && found.workspace == workspace);
            let again = found.announcement().unwrap().payload.properties;
            assert_eq!(Policy::announced(&workspace, &again), Some(found));
            read += 1;
        }
    }
    assert!(read > 10 && read < 1_500, "{read} of the damaged ones were read");
}
