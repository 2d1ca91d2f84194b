//! The stage's tables, their keys, and how values are stored.

use commerce::{EventTime, PersonId};
use serde::Serialize;
use serde::de::DeserializeOwned;
use stream::{Context, Failure, Table};

/// `workspace:` and an id of an order to its [`commerce::order::links::Entry`]; likewise other names of orders.
pub(crate) const ORDER: Table = Table { number: 0, name: "orders", ordered: false };
/// `workspace:` and the 16 bytes of a handle's id to [`crate::people::Person`].
pub(crate) const PERSON: Table = Table { number: 1, name: "people", ordered: false };
/// Counted orders of a handle by time, see [`person_order`], to [`commerce::profile::Share`].
pub(crate) const PERSON_ORDER: Table = Table { number: 2, name: "person_orders", ordered: true };
/// `workspace\0source\0outcome\0detail` to [`crate::outcomes::Count`].
pub(crate) const OUTCOME: Table = Table { number: 3, name: "outcomes", ordered: false };

/// Marks of deliveries and facts: see [`crate::seen`].
pub(crate) const SEEN: Table = Table { number: 4, name: "seen", ordered: false };
/// The same by the hour in which they end. No value.
pub(crate) const SEEN_END: Table = Table { number: 5, name: "seen_ends", ordered: true };
/// `workspace\0payment` to what guards it.
pub(crate) const PAYMENT: Table = Table { number: 6, name: "payments", ordered: false };
/// `workspace\0kind\0id` of a cart or checkout to what is known of it.
pub(crate) const BASKET: Table = Table { number: 7, name: "baskets", ordered: false };

/// `workspace\0source\0month` to how many events of it were used: [`crate::outcomes::Count`].
pub(crate) const USAGE: Table = Table { number: 8, name: "usage", ordered: false };

/// A handle's key to [`crate::identity`]'s link.
pub(crate) const LINK: Table = Table { number: 9, name: "links", ordered: false };
/// `workspace:` and a number to the handles that are linked with each other.
pub(crate) const COMPONENT: Table = Table { number: 10, name: "components", ordered: false };
/// All orders of a handle: its key and the order's. No value.
pub(crate) const ORDER_OF: Table = Table { number: 11, name: "orders_of", ordered: true };
/// A handle's key to what its person asked for: [`crate::privacy`]'s notice.
pub(crate) const NOTICE: Table = Table { number: 17, name: "notices", ordered: false };
/// A person's key to [`commerce::audience::Membership`].
pub(crate) const MEMBER: Table = Table { number: 18, name: "members", ordered: false };
/// Whose membership is to be asked about again, by time: see [`due`]. No value.
pub(crate) const DUE: Table = Table { number: 19, name: "due", ordered: true };

/// A base currency and an hour to the rates of it: [`crate::fx`].
pub(crate) const FX_RATE: Table = Table { number: 26, name: "fx_rates", ordered: false };
/// A base currency, an hour, a currency and the key of an order that waits for the rate. No value.
pub(crate) const FX_WAITING: Table = Table { number: 27, name: "fx_waiting", ordered: true };

/// A handle's key, the kind and the id of an automation to [`crate::automations::Open`].
pub(crate) const AUTOMATION: Table = Table { number: 12, name: "automations", ordered: true };
/// What is to happen when: see [`crate::timers`]. No value.
pub(crate) const TIMER: Table = Table { number: 13, name: "timers", ordered: true };
/// `workspace:` and a mark of a cart's or checkout's name to the open automations of that name.
pub(crate) const NAME: Table = Table { number: 14, name: "basket_names", ordered: false };
/// Closings of such names by the period in which they came: see [`crate::baskets`].
pub(crate) const CLOSED: Table = Table { number: 28, name: "closed_names", ordered: true };
/// A handle's key to the instant of the last payment under it.
pub(crate) const PAID: Table = Table { number: 15, name: "paid", ordered: false };
/// `workspace` to the stream's time of it.
pub(crate) const CLOCK: Table = Table { number: 16, name: "clocks", ordered: false };
/// The key of a handle that stands for a person to all their handles: [`crate::identity`]'s group.
pub(crate) const GROUP: Table = Table { number: 20, name: "groups", ordered: false };

/// `workspace\0source\0matter` of open disagreements to their number: [`crate::outcomes::Count`].
pub(crate) const DISAGREED: Table = Table { number: 23, name: "disagreements", ordered: false };

pub(crate) const ALL: [Table; 25] = [
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
];

/// Reads a value.
pub(crate) fn get<T: DeserializeOwned>(
    ctx: &Context<'_>,
    table: Table,
    key: &[u8],
) -> Result<Option<T>, Failure> {
    ctx.get(table, key)
        .map(|bytes| postcard::from_bytes(&bytes))
        .transpose()
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
