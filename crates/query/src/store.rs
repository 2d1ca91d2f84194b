//! Millions of people and orders, found by any of their ids.
//!
//! They are not part of a snapshot: copying maps of that size at every publication would cost more than all the
//! reading. A record is looked up alone, so it needs no agreement with the others, only with itself. Hence shards, each
//! behind its own lock, which the reading thread holds for one insertion; a look-up meets it in one of 64 cases, for
//! less than a microsecond (rarely longer, when a shard's table grows).
//!
//! Records are kept in their compact binary form (postcard), about a third of the decoded size and one allocation each.
//! The index from id to record is by hash; a look-up therefore checks that the record it found really has the id, which
//! also makes the moment between the two insertions harmless.

use std::collections::BTreeSet;
use std::marker::PhantomData;
use std::sync::{PoisonError, RwLock};

use commerce::id::Mark;
use hashbrown::HashMap;
use serde::Serialize;
use serde::de::DeserializeOwned;

const SHARDS: usize = 64;

/// What can be kept: it names the ids by which it is found.
pub trait Kept: Serialize + DeserializeOwned {
    /// Calls `each` with every id.
    fn ids(&self, each: &mut dyn FnMut(&str));
}

/// The records of one kind, all workspaces.
#[derive(Debug)]
pub struct Store<T> {
    records: Vec<RwLock<HashMap<u128, Box<[u8]>>>>,
    /// Hash of workspace and id, and the record that has it. Two records may share an id.
    index: Vec<RwLock<BTreeSet<(u64, u128)>>>,
    of: PhantomData<fn() -> T>,
}

impl<T> Default for Store<T> {
    fn default() -> Self {
        Self {
            records: (0..SHARDS).map(|_| RwLock::default()).collect(),
            index: (0..SHARDS).map(|_| RwLock::default()).collect(),
            of: PhantomData,
        }
    }
}

impl<T: Kept> Store<T> {
    /// Keeps a record under the key of its topic, `workspace:…`, or drops it (`None`). Called by one thread.
    pub fn put(&self, key: &[u8], workspace: &str, record: Option<&T>) -> Result<(), postcard::Error> {
        let name = Mark::of(&[key]).0;
        let bytes = record.map(postcard::to_allocvec).transpose()?.map(Vec::into_boxed_slice);
        let mut new = hashes(workspace, record);
        let Some(shard) = shard(&self.records, name) else { return Ok(()) };
        let before = {
            let mut records = shard.write().unwrap_or_else(PoisonError::into_inner);
            match bytes {
                Some(bytes) => records.insert(name, bytes),
                None => records.remove(&name),
            }
        };
        let before: Option<T> = before.and_then(|bytes| postcard::from_bytes(&bytes).ok());
        let mut old = hashes(workspace, before.as_ref());
        old.retain(|hash| !new.contains(hash));
        if let Some(before) = &before {
            let known = hashes(workspace, Some(before));
            new.retain(|hash| !known.contains(hash));
        }
        for (hash, add) in
            old.into_iter().map(|hash| (hash, false)).chain(new.into_iter().map(|hash| (hash, true)))
        {
            let Some(shard) = shard64(&self.index, hash) else { continue };
            let mut index = shard.write().unwrap_or_else(PoisonError::into_inner);
            if add {
                index.insert((hash, name));
            } else {
                index.remove(&(hash, name));
            }
        }
        Ok(())
    }

    /// Every record of the workspace that has the id.
    pub fn find(&self, workspace: &str, id: &str) -> Vec<T> {
        let hash = hash(workspace, id);
        let names: Vec<u128> = match shard64(&self.index, hash) {
            Some(shard) => {
                let index = shard.read().unwrap_or_else(PoisonError::into_inner);
                index.range((hash, 0)..=(hash, u128::MAX)).map(|(_, name)| *name).collect()
            }
            None => Vec::new(),
        };
        names.into_iter().filter_map(|name| self.get(name)).filter(|record| has(record, id)).collect()
    }

    /// How many records there are.
    pub fn len(&self) -> usize {
        self.records.iter().map(|shard| shard.read().unwrap_or_else(PoisonError::into_inner).len()).sum()
    }

    /// True without any record.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn get(&self, name: u128) -> Option<T> {
        let shard = shard(&self.records, name)?.read().unwrap_or_else(PoisonError::into_inner);
        shard.get(&name).and_then(|bytes| postcard::from_bytes(bytes).ok())
    }
}

fn has<T: Kept>(record: &T, id: &str) -> bool {
    let mut found = false;
    record.ids(&mut |known| found |= known == id);
    found
}

fn hashes<T: Kept>(workspace: &str, record: Option<&T>) -> Vec<u64> {
    let mut hashes = Vec::new();
    if let Some(record) = record {
        record.ids(&mut |id| hashes.push(hash(workspace, id)));
    }
    hashes
}

fn hash(workspace: &str, id: &str) -> u64 {
    Mark::of(&[workspace.as_bytes(), id.as_bytes()]).high()
}

fn shard<S>(shards: &[S], name: u128) -> Option<&S> {
    shards.get(usize::try_from(name % (SHARDS as u128)).unwrap_or(0))
}

fn shard64<S>(shards: &[S], hash: u64) -> Option<&S> {
    shard(shards, u128::from(hash))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    struct Thing(Vec<String>);

    impl Kept for Thing {
        fn ids(&self, each: &mut dyn FnMut(&str)) {
            self.0.iter().for_each(|id| each(id));
        }
    }

    fn thing(ids: &[&str]) -> Thing {
        Thing(ids.iter().map(|id| (*id).to_owned()).collect())
    }

    #[test]
    fn a_record_is_found_by_every_id_it_has_now_and_by_none_it_had() {
        let store = Store::default();
        store.put(b"demo:1", "demo", Some(&thing(&["1", "#1001", "old"]))).unwrap();
        store.put(b"demo:1", "demo", Some(&thing(&["1", "#1001", "new"]))).unwrap();
        for id in ["1", "#1001", "new"] {
            assert_eq!(store.find("demo", id).len(), 1, "{id}");
        }
        assert!(store.find("demo", "old").is_empty());
        assert_eq!(store.len(), 1);
        store.put(b"demo:1", "demo", None).unwrap();
        store.put(b"demo:1", "demo", None).unwrap();
        assert!(store.find("demo", "1").is_empty() && store.is_empty());
        assert!(store.index.iter().all(|shard| shard.read().unwrap().is_empty()));
    }

    #[test]
    fn nothing_crosses_workspaces_and_a_shared_id_finds_both() {
        let store = Store::default();
        store.put(b"a:1", "a", Some(&thing(&["1", "shared"]))).unwrap();
        store.put(b"a:2", "a", Some(&thing(&["2", "shared"]))).unwrap();
        store.put(b"b:1", "b", Some(&thing(&["1"]))).unwrap();
        assert_eq!(store.find("a", "1"), [thing(&["1", "shared"])]);
        assert_eq!(store.find("a", "shared").len(), 2);
        assert_eq!(store.find("b", "1").len(), 1);
        assert!(store.find("b", "2").is_empty());
    }
}
