//! The versions of the figures: which there are, which one is served, and the names of what is theirs.
//!
//! A version has its own metrics topic, changelog and consumer group, so several are kept side by side from the same facts
//! and never touch. The document in [`Topic::Versions`] is the only word on them: one record, so that no reader ever sees
//! half of a change.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Topic;

/// The key of the document.
pub const KEY: &[u8] = b"versions";

/// What the groups of all but the first version begin with.
const GROUPS: &str = "tillstream-figures-";

/// The name of a version: up to 16 lower-case letters and digits. It is part of names of topics and of transactional ids,
/// where a hyphen would let two different names meet.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Version(String);

impl Version {
    /// The one that is there from the beginning.
    pub fn main() -> Self {
        Self("main".to_owned())
    }

    /// A name that a version can have.
    pub fn try_new(name: &str) -> Result<Self, String> {
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        if name.is_empty() || name.len() > 16 || !name.bytes().all(fits) {
            return Err(format!("'{name}' can't be a version: it has 1 to 16 lower-case letters and digits"));
        }
        Ok(Self(name.to_owned()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// True for the one that is there from the beginning.
    pub fn is_main(&self) -> bool {
        self.0 == "main"
    }

    /// The topic of its figures.
    pub fn metrics(&self) -> String {
        self.of(Topic::Metrics.name(), |base| format!("{base}.{self}"))
    }

    /// The topic of its state.
    pub fn changelog(&self) -> String {
        self.of(Topic::AggregatorChangelog.name(), |base| base.replacen(".main.", &format!(".{self}."), 1))
    }

    /// The consumer group that keeps it, and what its transactional ids begin with. No other stage's name begins like it,
    /// so no copy of one version can fence a copy of another, whatever copies are called.
    pub fn group(&self) -> String {
        self.of("tillstream-aggregator", |_| format!("{GROUPS}{self}"))
    }

    /// The version that a group keeps, if it is one that keeps any.
    pub fn of_group(group: &str) -> Option<Self> {
        if group == Self::main().group() {
            return Some(Self::main());
        }
        let name = Self::try_new(group.strip_prefix(GROUPS)?).ok()?;
        (name.group() == group).then_some(name)
    }

    fn of(&self, main: &str, other: impl FnOnce(&str) -> String) -> String {
        if self.is_main() { main.to_owned() } else { other(main) }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Version {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        Self::try_new(&name)
    }
}

impl From<Version> for String {
    fn from(version: Version) -> Self {
        version.0
    }
}

/// One version.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Entry {
    /// Its name.
    pub name: Version,
    /// When it was begun, RFC 3339; absent for the first one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub begun_at: Option<String>,
    /// It was made from the facts that arrived since then (RFC 3339) and not from all: its older days are wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// It was served at some time. From then on it writes the dead letters of facts that can't be read; before, those are
    /// another one's, and a second letter would open anew what an operator has closed.
    #[serde(default)]
    pub was_served: bool,
}

/// The document.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Versions {
    /// The one that reports are answered from.
    pub served: Version,
    /// All of them, the served one included.
    pub all: Vec<Entry>,
}

impl Default for Versions {
    /// What holds as long as nothing has been written.
    fn default() -> Self {
        let main = Entry { name: Version::main(), begun_at: None, from: None, was_served: true };
        Self { served: Version::main(), all: vec![main] }
    }
}

impl Versions {
    /// Reads a record of the topic.
    pub fn read(value: &[u8]) -> Result<Self, String> {
        let read: Self = serde_json::from_slice(value)
            .map_err(|e| format!("the document of the versions can't be read: {e}"))?;
        if read.get(&read.served).is_none() {
            return Err(format!("the served version {} isn't in the list", read.served));
        }
        Ok(read)
    }

    /// The value of a record.
    pub fn to_bytes(&self) -> Vec<u8> {
        // Strings and flags: can't fail.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// A version by its name.
    pub fn get(&self, name: &Version) -> Option<&Entry> {
        self.all.iter().find(|entry| entry.name == *name)
    }

    /// Those that aren't served.
    pub fn beside(&self) -> impl Iterator<Item = &Entry> {
        self.all.iter().filter(|entry| entry.name != self.served)
    }

    /// With one more, which isn't served. Two at most: each costs as much as the first.
    pub fn begun(mut self, entry: Entry) -> Result<Self, String> {
        if self.get(&entry.name).is_some() {
            return Err(format!("version {} is there already", entry.name));
        }
        if entry.name.is_main() {
            return Err("main was the first version and is no more: choose another name".to_owned());
        }
        if let Some(other) = self.beside().next() {
            return Err(format!(
                "version {} is there beside {}: end it first, with `tillstream replay drop {0}`",
                other.name, self.served
            ));
        }
        self.all.push(entry);
        Ok(self)
    }

    /// With another one served.
    pub fn switched(mut self, name: &Version) -> Result<Self, String> {
        let Some(entry) = self.all.iter_mut().find(|entry| entry.name == *name) else {
            return Err(format!("there is no version {name}"));
        };
        entry.was_served = true;
        self.served = name.clone();
        Ok(self)
    }

    /// Without one.
    pub fn dropped(mut self, name: &Version) -> Result<Self, String> {
        if self.get(name).is_none() {
            return Err(format!("there is no version {name}"));
        }
        if self.served == *name {
            return Err(format!("version {name} is the one that is served"));
        }
        self.all.retain(|entry| entry.name != *name);
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str) -> Entry {
        let name = Version::try_new(name).unwrap();
        Entry { name, begun_at: None, from: None, was_served: false }
    }

    #[test]
    fn what_belongs_to_a_version_has_names_of_its_own_and_main_those_of_the_list() {
        let (main, v2) = (Version::main(), Version::try_new("v2").unwrap());
        assert_eq!(main.metrics(), Topic::Metrics.name());
        assert_eq!(main.changelog(), Topic::AggregatorChangelog.name());
        assert_eq!(v2.metrics(), format!("{}.v2", Topic::Metrics));
        assert_eq!(v2.changelog(), "tillstream.aggregator.v2.changelog");
        assert_ne!(v2.group(), main.group());
        for version in [&main, &v2] {
            assert_eq!(Version::of_group(&version.group()).as_ref(), Some(version));
        }
        for other in
            ["tillstream-state", "tillstream-figures-", "tillstream-figures-v-2", "tillstream-figures-main"]
        {
            assert_eq!(Version::of_group(other), None, "{other}");
        }
        // A copy of main that is called like the version.
        assert!(!format!("{}-v2-a-0", main.group()).starts_with(&v2.group()));
    }

    #[test]
    fn a_name_that_topics_or_ids_could_not_carry_is_refused() {
        for wrong in ["", "V2", "v-2", "v 2", "v.2", "ä", "seventeenletters1"] {
            assert!(Version::try_new(wrong).unwrap_err().contains("lower-case"), "{wrong}");
        }
        assert!(serde_json::from_str::<Version>("\"v-2\"").is_err());
    }

    #[test]
    fn a_version_begins_beside_the_served_one_is_switched_to_and_the_old_one_dropped() {
        let v2 = Version::try_new("v2").unwrap();
        let begun = Versions::default().begun(entry("v2")).unwrap();
        assert_eq!(Versions::read(&begun.to_bytes()).unwrap(), begun);
        assert_eq!((begun.served.as_str(), begun.beside().count()), ("main", 1));
        assert!(begun.clone().begun(entry("v2")).is_err());
        assert!(begun.clone().begun(entry("v3")).unwrap_err().contains("drop v2"));
        assert!(begun.clone().dropped(&Version::main()).unwrap_err().contains("served"));

        let switched = begun.switched(&v2).unwrap();
        assert!(switched.get(&v2).unwrap().was_served && switched.served == v2);
        let back = switched.clone().switched(&Version::main()).unwrap();
        assert_eq!(back.served, Version::main());
        let alone = switched.dropped(&Version::main()).unwrap();
        assert_eq!(alone.all.len(), 1);
        assert!(alone.clone().switched(&Version::main()).is_err());
        assert!(alone.begun(entry("main")).unwrap_err().contains("no more"));
    }

    #[test]
    fn a_document_that_serves_what_is_not_there_is_refused() {
        for text in ["", "{}", r#"{"served":"v2","all":[{"name":"main"}]}"#] {
            assert!(Versions::read(text.as_bytes()).is_err(), "{text}");
        }
    }
}
