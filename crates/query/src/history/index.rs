//! The rows on disk, found by person, order and workspace.
//!
//! One key space; the first byte of a key says what it is. Newest first is ascending: times and offsets are turned round.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};

use commerce::fact::PERSON_ERASED;
use commerce::order::View;
use commerce::{Event, EventName, Fact, Mark, PersonId, ReceivedTime, Source};
use fjall::{Database, Keyspace, KeyspaceCreateOptions, OwnedWriteBatch};
use serde_json::Value;
use tempfile::TempDir;

use super::keys::{self, Use};
use super::rows::{self, OrderRow, Packed, PaymentRow};

/// person, newest first: an event of theirs.
const TOLD: u8 = b'e';
/// person, newest first: a payment of theirs; the row is the workspace's.
const PAID: u8 = b'p';
/// workspace, newest first: a payment.
const PAYMENT: u8 = b'w';
/// order, by arrival: a version.
const VERSION: u8 = b'o';
/// key that a sender chose, by arrival: the arrival, and what came.
const KEYED: u8 = b'y';
/// payment event: marks of who paid.
const PAYER: u8 = b'm';
/// former person: who they are now.
const INTO: u8 = b'c';
/// person, former person.
const FORMER: u8 = b'k';
/// order: the arrival up to which its buyer is erased.
const ERASED: u8 = b'x';

/// How the folder of an index is called.
pub(super) const PREFIX: &str = "tillstream-history-";
/// The file in there that the process has locked.
const LOCK: &str = "lock";
/// Rows that wait to be written together.
const TOGETHER: usize = 1_000;
/// How many steps from a former id to the one of today are followed, so that a circle of them ends.
const STEPS: usize = 64;
/// As many former ids of a person are asked about.
const MOST_FORMER: usize = 10_000;
/// As many versions of one order are answered.
pub const MOST_VERSIONS: usize = 10_000;
/// What is kept in memory of what was written and read.
const MEMORY: u64 = 8 << 20;

/// Why the index can't be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The folder can't be made or emptied.
    #[error("the folder {} can't be used", .0.display())]
    Folder(PathBuf, #[source] std::io::Error),
    /// The store on disk refused.
    #[error("the index on disk can't be used")]
    Store(#[from] fjall::Error),
    /// A row couldn't be packed or isn't as it was written.
    #[error("a row isn't what it must be")]
    Row(#[from] postcard::Error),
    /// A row couldn't be answered.
    #[error("a row can't be answered")]
    Answer(#[from] serde_json::Error),
}

/// A place in a list that is answered newest first: the row before it in the answer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Cursor {
    received_at: ReceivedTime,
    offset: i64,
}

impl Cursor {
    /// Everything that arrived before an instant.
    pub const fn at(received_at: ReceivedTime) -> Self {
        Self { received_at, offset: 0 }
    }

    /// Reads an instant, or what [`Cursor`] prints.
    pub fn parse(text: &str) -> Option<Self> {
        if let Ok(read) = commerce::time::parse_iso(text) {
            return Some(Self::at(ReceivedTime(read.at.0)));
        }
        let (received_at, offset) = text.split_once('-')?;
        let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())?;
        Some(Self { received_at: ReceivedTime(digits(received_at)?), offset: digits(offset)? })
    }

    fn key(self) -> [u8; 16] {
        let turned = |number: i64| (!sorting(number)).to_be_bytes();
        let mut key = [0; 16];
        key[..8].copy_from_slice(&turned(self.received_at.0));
        key[8..].copy_from_slice(&turned(self.offset));
        key
    }

    fn read(key: &[u8]) -> Option<Self> {
        let (rest, offset) = key.split_last_chunk::<8>()?;
        let received_at = rest.last_chunk::<8>()?;
        let number = |bytes: &[u8; 8]| (!u64::from_be_bytes(*bytes) ^ (1 << 63)).cast_signed();
        Some(Self { received_at: ReceivedTime(number(received_at)), offset: number(offset) })
    }
}

impl std::fmt::Display for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.received_at.0, self.offset)
    }
}

/// With the sign bit flipped, bytes sort as the numbers do.
const fn sorting(number: i64) -> u64 {
    number.cast_unsigned() ^ (1 << 63)
}

/// The rows of all workspaces. The reading thread alone writes.
pub struct Index {
    database: Database,
    keyspace: Keyspace,
    /// Removed with the index.
    _folder: TempDir,
    /// Held as long as the process lives, so that another one can tell an index that nobody has any more.
    _lock: File,
}

impl std::fmt::Debug for Index {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Index").finish_non_exhaustive()
    }
}

/// What waits to be written.
#[derive(Default)]
pub struct Waiting(Vec<(Vec<u8>, Vec<u8>)>);

/// Removes what processes that are gone have left in a folder that others use too; how many indexes that were. What can't
/// be removed, because it is somebody else's, stays.
pub(super) fn clear_left_behind(folder: &Path) -> std::io::Result<usize> {
    let mut cleared = 0;
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if !name.starts_with(PREFIX) {
            continue;
        }
        // One that is being made has no lock yet.
        let Ok(lock) = File::open(path.join(LOCK)) else { continue };
        if lock.try_lock().is_ok() && std::fs::remove_dir_all(&path).is_ok() {
            cleared += 1;
        }
    }
    Ok(cleared)
}

impl Index {
    /// An empty index in a folder of its own inside `folder`.
    pub fn create(folder: &Path) -> Result<Self, Error> {
        let refused = |error| Error::Folder(folder.to_owned(), error);
        std::fs::create_dir_all(folder).map_err(refused)?;
        let own = tempfile::Builder::new().prefix(PREFIX).tempdir_in(folder).map_err(refused)?;
        let lock = File::create(own.path().join(LOCK)).map_err(refused)?;
        lock.lock().map_err(refused)?;
        let database =
            Database::builder(own.path().join("rows")).cache_size(MEMORY).worker_threads(1).open()?;
        let keyspace =
            database.keyspace("rows", || KeyspaceCreateOptions::default().max_memtable_size(MEMORY))?;
        Ok(Self { database, keyspace, _folder: own, _lock: lock })
    }

    /// Takes in an event: a version of an order, or who made a payment.
    pub fn event(&self, event: &Event, waiting: &mut Waiting) -> Result<(), Error> {
        // What a fraud rule has blocked is the operator's to see, and counts nowhere.
        if event.fraud.as_ref().is_some_and(|fraud| fraud.severity >= 2) {
            return Ok(());
        }
        let workspace = event.workspace.as_str();
        if event.payload.order.is_some() {
            let mut key = keyed(VERSION, order(workspace, &event.entity.id));
            let stamp = event.stamp();
            key.extend_from_slice(&sorting(stamp.received_at.0).to_be_bytes());
            for number in
                [i64::from(stamp.partition), stamp.offset, i64::from(stamp.item), i64::from(stamp.part)]
            {
                key.extend_from_slice(&sorting(number).to_be_bytes());
            }
            let row = OrderRow::of(event);
            if let Some((mark, content)) = row.key {
                let used = [keyed(KEYED, mark), key.get(17..).unwrap_or_default().to_vec()].concat();
                let value = [event.received_at.0.to_be_bytes(), content.to_be_bytes()].concat();
                waiting.0.push((used, value));
            }
            waiting.0.push((key, row.pack()?));
        } else if event.event == EventName::PaymentSucceeded {
            let key = keyed(PAYER, of_event(workspace, &event.event_id));
            waiting.0.push((key, rows::payer(event).to_vec()));
        }
        self.write_many(waiting)
    }

    /// Takes in a fact of the topic's place `offset`.
    pub fn fact(&self, fact: Fact<View>, offset: i64, waiting: &mut Waiting) -> Result<(), Error> {
        let tenant_of = fact.workspace.clone();
        let workspace = tenant_of.as_str();
        let place = Cursor { received_at: fact.received_at, offset }.key();
        if let (EventName::CustomerMerged | EventName::CustomerSeparated, Some(from), Some(to)) =
            (fact.event, fact.from_person_id, fact.person_id)
        {
            self.write(waiting)?;
            // Who is kept apart may still be somebody; the handle is not.
            let stays = fact.event == EventName::CustomerSeparated;
            let from = if stays { PersonId::parse(&fact.entity_id) } else { Some(from) };
            self.merge(from.map(|from| person(workspace, from)), person(workspace, to))?;
        }
        let is_erasure = match fact.event {
            EventName::CustomerDeleted => true,
            // A handle of theirs, of which rows were kept under its own id.
            EventName::CustomerSeparated => is_flagged(PERSON_ERASED, &fact),
            _ => false,
        };
        if let Some(gone) = fact.person_id.filter(|_| is_erasure) {
            self.write(waiting)?;
            self.forget(person(workspace, gone))?;
        }
        if is_flagged(PERSON_ERASED, &fact)
            && let Some(id) = &fact.order_id
        {
            let key = keyed(ERASED, order(workspace, id));
            waiting.0.push((key, fact.received_at.0.to_be_bytes().to_vec()));
        }
        if fact.event == EventName::PaymentSucceeded {
            let key = [&keyed(PAYMENT, tenant(workspace))[..], &place].concat();
            waiting.0.push((key, PaymentRow::of(&fact).pack()?));
            if let Some(of) = fact.person_id {
                let key = [&keyed(PAID, person(workspace, of))[..], &place].concat();
                waiting.0.push((key, tenant(workspace).to_vec()));
            }
        }
        // Of an erasure nothing is left, not even that there was one.
        if let Some(of) = fact.person_id.filter(|_| !is_erasure) {
            let key = [&keyed(TOLD, person(workspace, of))[..], &place].concat();
            waiting.0.push((key, rows::kept(fact)?));
        }
        self.write_many(waiting)
    }

    fn write_many(&self, waiting: &mut Waiting) -> Result<(), Error> {
        if waiting.0.len() < TOGETHER { Ok(()) } else { self.write(waiting) }
    }

    /// Writes what waits.
    pub fn write(&self, waiting: &mut Waiting) -> Result<(), Error> {
        if waiting.0.is_empty() {
            return Ok(());
        }
        let mut batch = self.database.batch();
        for (key, value) in waiting.0.drain(..) {
            batch.insert(&self.keyspace, key, value);
        }
        Ok(batch.commit()?)
    }

    /// A former id leads to the one of today.
    fn merge(&self, from: Option<[u8; 16]>, to: [u8; 16]) -> Result<(), Error> {
        let mut batch = self.database.batch();
        // Whoever others become is somebody: if they were a part of somebody else before, they no longer are.
        self.part(&mut batch, to)?;
        if let Some(from) = from.filter(|from| *from != to) {
            self.part(&mut batch, from)?;
            batch.insert(&self.keyspace, keyed(INTO, from), to.to_vec());
            batch.insert(&self.keyspace, [&keyed(FORMER, to)[..], &from].concat(), Vec::new());
        }
        Ok(batch.commit()?)
    }

    fn part(&self, batch: &mut OwnedWriteBatch, person: [u8; 16]) -> Result<(), Error> {
        if let Some(into) = self.keyspace.get(keyed(INTO, person))? {
            batch.remove(&self.keyspace, keyed(INTO, person));
            batch.remove(&self.keyspace, [&[FORMER][..], &into, &person].concat());
        }
        Ok(())
    }

    /// Removes what was told of a person and of whom they were, and leaves their payments to nobody.
    fn forget(&self, person: [u8; 16]) -> Result<(), Error> {
        for id in self.ids(person)? {
            let mut batch = self.database.batch();
            self.part(&mut batch, id)?;
            for entry in self.keyspace.prefix(keyed(TOLD, id)) {
                batch.remove(&self.keyspace, entry.key()?);
            }
            for entry in self.keyspace.prefix(keyed(PAID, id)) {
                let (key, tenant) = entry.into_inner()?;
                let row = [&[PAYMENT][..], &tenant, key.get(17..).unwrap_or_default()].concat();
                if let Some(mut payment) = self.payment(&row)? {
                    let event = of_event(&payment.workspace, &payment.event_id);
                    batch.remove(&self.keyspace, keyed(PAYER, event));
                    payment.person_id = None;
                    batch.insert(&self.keyspace, row, payment.pack()?);
                }
                batch.remove(&self.keyspace, key);
            }
            batch.commit()?;
        }
        Ok(())
    }

    /// Who a person is now.
    fn now(&self, mut person: [u8; 16]) -> Result<[u8; 16], Error> {
        for _ in 0..STEPS {
            let into = self.keyspace.get(keyed(INTO, person))?;
            let Some(into) = into.and_then(|into| <[u8; 16]>::try_from(&*into).ok()) else { break };
            person = into;
        }
        Ok(person)
    }

    /// A person and everybody they were.
    fn ids(&self, person: [u8; 16]) -> Result<Vec<[u8; 16]>, Error> {
        let (mut ids, mut next) = (vec![person], 0);
        let mut known = BTreeSet::from([person]);
        while let Some(id) = ids.get(next).copied() {
            next += 1;
            for entry in self.keyspace.prefix(keyed(FORMER, id)) {
                let former = entry.key()?.last_chunk::<16>().copied();
                if let Some(former) = former.filter(|former| ids.len() < MOST_FORMER && known.insert(*former))
                {
                    ids.push(former);
                }
            }
        }
        Ok(ids)
    }

    /// True when anything was told of a person.
    pub fn is_known(&self, workspace: &str, id: PersonId) -> Result<bool, Error> {
        let now = self.now(person(workspace, id))?;
        for id in self.ids(now)? {
            if self.keyspace.prefix(keyed(TOLD, id)).next().is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// What was told of a person, newest arrival first, as JSON, and where the list goes on.
    pub fn told(
        &self,
        workspace: &str,
        id: PersonId,
        before: Option<Cursor>,
        limit: usize,
    ) -> Result<(Vec<Value>, Option<Cursor>), Error> {
        let (rows, next) = self.newest(TOLD, person(workspace, id), before, limit)?;
        let told = |(_, row): &(Vec<u8>, Vec<u8>)| Ok(rows::told(&Fact::unpack(row)?)?);
        Ok((rows.iter().map(told).collect::<Result<_, Error>>()?, next))
    }

    /// The payments of a person, or of the whole workspace, newest arrival first.
    pub fn payments(
        &self,
        workspace: &str,
        of: Option<PersonId>,
        before: Option<Cursor>,
        limit: usize,
    ) -> Result<(Vec<PaymentRow>, Option<Cursor>), Error> {
        let (entries, next) = match of {
            Some(of) => self.newest(PAID, person(workspace, of), before, limit)?,
            None => {
                let mut entries = self.page(&keyed(PAYMENT, tenant(workspace)), before, limit + 1)?;
                let next = cut(&mut entries, limit);
                (entries, next)
            }
        };
        let mut rows = Vec::with_capacity(entries.len());
        for (key, value) in entries {
            let row = match of {
                Some(_) => {
                    self.payment(&[&[PAYMENT][..], &value, key.get(17..).unwrap_or_default()].concat())?
                }
                None => Some(PaymentRow::unpack(&value)?),
            };
            let Some(mut row) = row else { continue };
            let event = of_event(&row.workspace, &row.event_id);
            if let (Some(_), Some(marks)) = (row.person_id, self.keyspace.get(keyed(PAYER, event))?) {
                row.payer = rows::read_payer(&marks);
            }
            rows.push(row);
        }
        Ok((rows, next))
    }

    fn payment(&self, key: &[u8]) -> Result<Option<PaymentRow>, Error> {
        Ok(self.keyspace.get(key)?.map(|value| PaymentRow::unpack(&value)).transpose()?)
    }

    /// The versions of an order, under all of its ids, by arrival; each once, with how often it came.
    pub fn versions(&self, workspace: &str, view: &View) -> Result<Vec<OrderRow>, Error> {
        let ids = view.aliases.iter().chain([&view.id]).collect();
        self.rows(workspace, ids, |row| view.sources.contains(&row.source))
    }

    /// Rows of an id that no order has, because others stand in their place.
    pub fn set_aside(&self, workspace: &str, id: &str) -> Result<Vec<OrderRow>, Error> {
        self.rows(workspace, BTreeSet::from([&id.to_owned()]), |row| row.set_aside)
    }

    fn rows(
        &self,
        workspace: &str,
        ids: BTreeSet<&String>,
        is_meant: impl Fn(&OrderRow) -> bool,
    ) -> Result<Vec<OrderRow>, Error> {
        let mut found: Vec<(Vec<u8>, OrderRow)> = Vec::new();
        // It may have been known by another of its ids when its person was erased.
        let mut erased = None;
        for id in &ids {
            let at = self.keyspace.get(keyed(ERASED, order(workspace, id)))?;
            erased = erased.max(at.and_then(|at| <[u8; 8]>::try_from(&*at).ok()).map(i64::from_be_bytes));
        }
        for id in ids {
            for entry in self.keyspace.prefix(keyed(VERSION, order(workspace, id))).take(MOST_VERSIONS) {
                let (key, value) = entry.into_inner()?;
                let mut row = OrderRow::unpack(&value)?;
                let place = key.get(17..).unwrap_or_default();
                row.set_aside = row.key.map_or(Ok(false), |(mark, _)| self.is_set_aside(mark, place))?;
                // The id of one source may be another order's number at another one.
                if !is_meant(&row) {
                    continue;
                }
                if erased.is_some_and(|erased| row.received_at.0 <= erased) {
                    if row.source == Source::Analytics {
                        continue;
                    }
                    row.email = None;
                }
                found.push((place.to_vec(), row));
            }
        }
        found.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok(rows::versions(found.into_iter().map(|(_, row)| row)))
    }

    fn is_set_aside(&self, mark: [u8; 16], place: &[u8]) -> Result<bool, Error> {
        let mut all = Vec::new();
        for entry in self.keyspace.prefix(keyed(KEYED, mark)).take(MOST_VERSIONS) {
            all.push(entry.into_inner()?);
        }
        let uses = all.iter().filter_map(|(key, value)| {
            let (arrival, rest) = value.split_first_chunk::<8>()?;
            Some(Use {
                place: key.get(17..)?,
                received_at: ReceivedTime(i64::from_be_bytes(*arrival)),
                content: u64::from_be_bytes(*rest.first_chunk::<8>()?),
            })
        });
        Ok(keys::is_set_aside(uses, place))
    }

    /// Rows of a person and of everybody they were.
    fn newest(&self, kind: u8, of: [u8; 16], before: Option<Cursor>, limit: usize) -> Result<Page, Error> {
        let mut all = Entries::new();
        for id in self.ids(self.now(of)?)? {
            all.extend(self.page(&keyed(kind, id), before, limit + 1)?);
        }
        all.sort_by(|(a, _), (b, _)| a.get(17..).cmp(&b.get(17..)));
        let next = cut(&mut all, limit);
        Ok((all, next))
    }

    fn page(&self, prefix: &[u8], before: Option<Cursor>, limit: usize) -> Result<Entries, Error> {
        let from = match before {
            // Before an instant: what arrived at it is passed over. After a row: so is that row.
            Some(cursor) => [prefix, &cursor.key()[..]].concat(),
            None => prefix.to_vec(),
        };
        let mut entries = Entries::new();
        for entry in self.keyspace.range(from.clone()..) {
            let (key, value) = entry.into_inner()?;
            if !key.starts_with(prefix) || entries.len() == limit {
                break;
            }
            if *key != from {
                entries.push((key.to_vec(), value.to_vec()));
            }
        }
        Ok(entries)
    }
}

type Entries = Vec<(Vec<u8>, Vec<u8>)>;
type Page = (Entries, Option<Cursor>);

/// Leaves the first rows, and says where the others begin.
fn cut(entries: &mut Entries, limit: usize) -> Option<Cursor> {
    let more = entries.len() > limit;
    entries.truncate(limit);
    entries.last().filter(|_| more).and_then(|(key, _)| Cursor::read(key))
}

fn is_flagged(flag: &str, fact: &Fact<View>) -> bool {
    fact.flags.iter().any(|known| known == flag)
}

fn keyed(kind: u8, id: [u8; 16]) -> Vec<u8> {
    let mut key = Vec::with_capacity(64);
    key.push(kind);
    key.extend_from_slice(&id);
    key
}

fn person(workspace: &str, person: PersonId) -> [u8; 16] {
    Mark::of(&[workspace.as_bytes(), &person.0.to_be_bytes()]).0.to_be_bytes()
}

fn order(workspace: &str, id: &str) -> [u8; 16] {
    Mark::of(&[workspace.as_bytes(), b"order", id.as_bytes()]).0.to_be_bytes()
}

fn of_event(workspace: &str, id: &str) -> [u8; 16] {
    Mark::of(&[workspace.as_bytes(), b"event", id.as_bytes()]).0.to_be_bytes()
}

fn tenant(workspace: &str) -> [u8; 16] {
    Mark::of(&[workspace.as_bytes()]).0.to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_process_left_is_removed_and_what_is_in_use_stays() {
        let folder = tempfile::tempdir().unwrap();
        let alive = Index::create(folder.path()).unwrap();
        let left = folder.path().join(format!("{PREFIX}left"));
        std::fs::create_dir_all(left.join("rows")).unwrap();
        std::fs::write(left.join(LOCK), b"").unwrap();
        let others = folder.path().join("somebody-elses");
        std::fs::create_dir(&others).unwrap();
        assert_eq!(clear_left_behind(folder.path()).unwrap(), 1);
        assert!(!left.exists() && others.exists());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
        drop(alive);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
