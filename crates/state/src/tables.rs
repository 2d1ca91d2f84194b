//! The stage's tables, their keys, and how values are stored.

use commerce::{EventTime, PersonId};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use stream::{Context, Failure, Pages, Table};

/// `workspace:` and an id of an order to its [`commerce::order::links::Entry`]; likewise other names of orders.
pub(crate) const ORDER: Table = Table::hashed(0, "orders");
/// `workspace:` and the 16 bytes of a handle's id to [`crate::people::Person`].
pub(crate) const PERSON: Table = Table::hashed(1, "people").in_pages(&PAGES);
/// Counted orders of a handle by time, see [`person_order`], to [`commerce::profile::Share`].
pub(crate) const PERSON_ORDER: Table = Table::ordered(2, "person_orders").in_pages(&PAGES);
/// `workspace\0source\0outcome\0detail` to [`crate::outcomes::Count`].
pub(crate) const OUTCOME: Table = Table::hashed(3, "outcomes");

/// Marks of deliveries and facts: see [`crate::seen`].
pub(crate) const SEEN: Table = Table::hashed(4, "seen");
/// The same by the hour in which they end. No value.
pub(crate) const SEEN_END: Table = Table::ordered(5, "seen_ends");
/// `workspace`, a lane and the payment to what guards it: [`crate::payments`].
pub(crate) const PAYMENT: Table = Table::hashed(6, "payments");
/// `workspace\0kind\0id` of a cart or checkout to what is known of it.
pub(crate) const BASKET: Table = Table::hashed(7, "baskets");

/// `workspace\0source\0month` to how many events of it were used: [`crate::outcomes::Count`].
pub(crate) const USAGE: Table = Table::hashed(8, "usage");

/// A handle's key to [`crate::identity`]'s link.
pub(crate) const LINK: Table = Table::hashed(9, "links").in_pages(&PAGES);
/// `workspace:` and a number to the handles that are linked with each other.
pub(crate) const COMPONENT: Table = Table::hashed(10, "components");
/// All orders of a handle: its key and the order's. No value.
pub(crate) const ORDER_OF: Table = Table::ordered(11, "orders_of").in_pages(&PAGES);
/// A handle's key to what its person asked for: [`crate::privacy`]'s notice.
pub(crate) const NOTICE: Table = Table::hashed(17, "notices").in_pages(&PAGES);
/// A person's key to [`crate::audience::Kept`].
pub(crate) const MEMBER: Table = Table::hashed(18, "members").in_pages(&PAGES);
/// Whose membership is to be asked about again, by time: see [`due`]. No value.
pub(crate) const DUE: Table = Table::ordered(19, "due");

/// A base currency and an hour to the rates of it: [`crate::fx`].
pub(crate) const FX_RATE: Table = Table::ordered(26, "fx_rates");
/// A base currency, an hour, a currency and the key of an order that waits for the rate. No value.
pub(crate) const FX_WAITING: Table = Table::ordered(27, "fx_waiting");

/// `workspace:` and a mark of an order's id to when it was bought, for ids that are used again: [`crate::reuse`].
pub(crate) const BOUGHT: Table = Table::hashed(42, "bought");

/// `workspace` to the versions of its policy that the stream has brought: [`crate::policy`].
pub(crate) const POLICY: Table = Table::hashed(40, "policies");

/// A handle's key, the kind and the id of an automation to [`crate::automations::Open`].
pub(crate) const AUTOMATION: Table = Table::ordered(12, "automations").in_pages(&PAGES);
/// What is to happen when: see [`crate::timers`]. No value.
pub(crate) const TIMER: Table = Table::ordered(13, "timers");
/// `workspace:` and a mark of a cart's or checkout's name to the open automations of that name.
pub(crate) const NAME: Table = Table::hashed(14, "basket_names");
/// Closings of such names, each under its period: see [`crate::baskets`].
pub(crate) const CLOSING: Table = Table::hashed(41, "closings");
/// The marks of names by the period in which they were closed, several in a row.
pub(crate) const CLOSED: Table = Table::ordered(28, "closed_names");
/// A handle's key to the instant of the last payment under it.
pub(crate) const PAID: Table = Table::hashed(15, "paid").in_pages(&PAGES);
/// `workspace` to the stream's time of it.
pub(crate) const CLOCK: Table = Table::hashed(16, "clocks");
/// The key of a handle that stands for a person to all their handles: [`crate::identity`]'s group.
pub(crate) const GROUP: Table = Table::hashed(20, "groups").in_pages(&PAGES);

/// `workspace\0source\0matter` of open disagreements to their number: [`crate::outcomes::Count`].
pub(crate) const DISAGREED: Table = Table::hashed(23, "disagreements");

/// Refunds of a handle with very many orders by time: as [`person_order`], of what comes after the handle in the key of
/// the order. No value.
pub(crate) const PERSON_REFUND: Table = Table::ordered(30, "person_refunds").in_pages(&PAGES);
/// The key of a handle with very many orders to what they sum up to: [`crate::wide`].
pub(crate) const WIDE: Table = Table::hashed(31, "wide").in_pages(&PAGES);

pub(crate) const ALL: [Table; 30] = [
    ORDER,
    PERSON,
    PERSON_ORDER,
    OUTCOME,
    SEEN,
    SEEN_END,
    PAYMENT,
    BASKET,
    USAGE,
    LINK,
    COMPONENT,
    ORDER_OF,
    AUTOMATION,
    TIMER,
    NAME,
    CLOSING,
    CLOSED,
    PAID,
    CLOCK,
    NOTICE,
    MEMBER,
    DUE,
    GROUP,
    DISAGREED,
    FX_RATE,
    FX_WAITING,
    POLICY,
    BOUGHT,
    PERSON_REFUND,
    WIDE,
];

/// What is kept under the key of a handle lies together, whatever it is: an order touches most of it.
pub(crate) const PAGES: Pages = Pages { numbers: (64, 65), name: "handles", group };

/// The length of what [`person`] makes, at the beginning of a longer key.
fn group(key: &[u8]) -> Option<usize> {
    let workspace = key.iter().position(|byte| *byte == b':')? + 1;
    Some(workspace + size_of::<PersonId>()).filter(|length| key.len() >= *length)
}

/// Reads a value.
pub(crate) fn get<T: DeserializeOwned>(
    ctx: &Context<'_>,
    table: Table,
    key: &[u8],
) -> Result<Option<T>, Failure> {
    ctx.get(table, key).map(|bytes| read(table, &bytes)).transpose()
}

/// Reads what is stored of a value.
pub(crate) fn read<'a, T: Deserialize<'a>>(table: Table, bytes: &'a [u8]) -> Result<T, Failure> {
    postcard::from_bytes(bytes)
        .map_err(|e| Failure::Fatal(format!("stored state of table {} can't be read: {e}", table.name)))
}

/// Stores a value.
pub(crate) fn put<T: Serialize>(
    ctx: &mut Context<'_>,
    table: Table,
    key: &[u8],
    value: &T,
    buffer: &mut Vec<u8>,
) -> Result<(), Failure> {
    buffer.clear();
    let bytes = postcard::to_extend(value, std::mem::take(buffer))
        .map_err(|e| Failure::Fatal(format!("state of table {} can't be stored: {e}", table.name)))?;
    let result = ctx.put(table, key, &bytes);
    *buffer = bytes;
    result
}

/// The key of a person.
pub(crate) fn person(workspace: &str, person: PersonId) -> Vec<u8> {
    let mut key = Vec::with_capacity(workspace.len() + 17);
    key.extend_from_slice(workspace.as_bytes());
    key.push(b':');
    key.extend_from_slice(&person.0.to_be_bytes());
    key
}

/// The same without an allocation, for a look-up alone.
pub(crate) fn person_key(workspace: &str, person: PersonId) -> SmallVec<[u8; 48]> {
    let mut key = SmallVec::new();
    key.extend_from_slice(workspace.as_bytes());
    key.push(b':');
    key.extend_from_slice(&person.0.to_be_bytes());
    key
}

/// Workspace and person of a key that [`person`] made.
pub(crate) fn read_person(key: &[u8]) -> Option<(&str, PersonId)> {
    let (head, id) = key.split_last_chunk::<16>()?;
    let workspace = std::str::from_utf8(head.strip_suffix(b":")?).ok()?;
    Some((workspace, PersonId(u128::from_be_bytes(*id))))
}

/// The key of an order among the counted orders of its person, in order of time.
pub(crate) fn person_order(person: &[u8], placed_at: EventTime, order: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(person.len() + 8 + order.len());
    key.extend_from_slice(person);
    key.extend_from_slice(&sorting(placed_at));
    key.extend_from_slice(order);
    key
}

/// The instant of a key that [`person_order`] made.
pub(crate) fn placed_at(person: &[u8], key: &[u8]) -> Option<EventTime> {
    let (at, _) = key.get(person.len()..)?.split_first_chunk::<8>()?;
    Some(sorted(*at))
}

/// The key of a person's next date in a workspace; of `None` what all of them start with.
pub(crate) fn due(workspace: &str, entry: Option<(EventTime, &[u8])>) -> Vec<u8> {
    let mut key = workspace.as_bytes().to_vec();
    key.push(0);
    if let Some((at, person)) = entry {
        key.extend_from_slice(&sorting(at));
        key.extend_from_slice(person);
    }
    key
}

/// Date and person of a key that [`due`] made.
pub(crate) fn read_due<'a>(prefix: &[u8], key: &'a [u8]) -> Option<(EventTime, &'a [u8])> {
    let (at, person) = key.get(prefix.len()..)?.split_first_chunk::<8>()?;
    Some((sorted(*at), person))
}

/// With the sign bit flipped, bytes sort as the numbers do.
fn sorting(at: EventTime) -> [u8; 8] {
    (at.0.cast_unsigned() ^ (1 << 63)).to_be_bytes()
}

fn sorted(bytes: [u8; 8]) -> EventTime {
    EventTime((u64::from_be_bytes(bytes) ^ (1 << 63)).cast_signed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_under_a_handle_is_one_group_whatever_follows_its_key() {
        let handle = person("demo", PersonId(u128::from_be_bytes([b':'; 16])));
        let order = person_order(&handle, EventTime(5), b"demo:1");
        assert_eq!((group(&handle), group(&order)), (Some(handle.len()), Some(handle.len())));
        assert_eq!((group(&handle[..handle.len() - 1]), group(b"demo")), (None, None));
    }

    #[test]
    fn keys_read_back_and_sort_by_time() {
        let id = PersonId(7);
        let key = person("demo", id);
        assert_eq!(read_person(&key), Some(("demo", id)));
        let times = [i64::MIN, -5, 0, 3, i64::MAX];
        let keys: Vec<Vec<u8>> = times.iter().map(|t| person_order(&key, EventTime(*t), b"o")).collect();
        assert!(keys.is_sorted());
        for (time, order) in times.iter().zip(&keys) {
            assert_eq!(placed_at(&key, order), Some(EventTime(*time)));
        }
    }
}
