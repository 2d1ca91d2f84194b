//! A stored request to its events: one per record.

use std::collections::HashSet;

use commerce::reason::Failure;
use commerce::{Event, EventName, Mark, Reason};

use super::address::{Address, Object};
use super::row::{self, Context, Row};
use super::{CREDENTIAL, KEY, canonical, keyed, path_of, validate};
use crate::envelope::{self, Draft};
use crate::http::{BACKFILL, IMPORT};
use crate::json::Scalar;
use crate::order::content;
use crate::read::Reader;
use crate::{Fault, Item, KEY_ROUND, REJECTED_ITEMS, Raw};

/// Rows have no space of their own: a workspace has one set of objects.
const SPACE: &str = "";

pub(super) fn normalize(raw: &Raw<'_>) -> Result<Vec<Item>, Failure> {
    let address = raw.header("path").and_then(Address::parse);
    let address =
        address.ok_or_else(|| Failure::at(Reason::UnsupportedEvent, "path", "the path names no object"))?;
    let object = Object::parse(address.object, raw.workspace)
        .ok_or_else(|| Failure::at(Reason::UnsupportedEvent, "object", "there is no such object"))?;
    address.check(object)?;
    let body = validate::body(address, raw.body)?;
    let labelled = [IMPORT, BACKFILL].iter().any(|name| raw.http_header(name).is_some());
    let context =
        Context { workspace: raw.workspace, labelled, address, object, match_key: body.match_key.as_deref() };
    let rejected: HashSet<i32> =
        raw.header(REJECTED_ITEMS).unwrap_or_default().split(',').filter_map(|of| of.parse().ok()).collect();
    let key = raw.http_header(KEY);
    let mut items = Vec::with_capacity(body.records.len());
    for (index, record) in body.records.iter().enumerate() {
        let item = i32::try_from(index).unwrap_or(i32::MAX);
        if rejected.contains(&item) {
            continue;
        }
        match event(raw, context, key, item, *record) {
            Ok(event) => items.push(Ok(event)),
            Err(failure) => {
                let field = path_of(&address.path(index), failure.field.as_deref().unwrap_or_default());
                let failure = Failure { field: Some(field), ..failure };
                if !address.batch {
                    return Err(failure);
                }
                items.push(Err(Fault { item, failure }));
            }
        }
    }
    Ok(items)
}

fn event(
    raw: &Raw<'_>,
    context: Context<'_>,
    key: Option<&str>,
    item: i32,
    record: Scalar<'_>,
) -> Result<Event, Failure> {
    let mut reader = Reader::new(raw.received_at);
    let row = row::read(&mut reader, context, record)?;
    let transport = transport(raw, context.address, key, item);
    let content = key.map(|_| canonical::content(record, context.match_key));
    let semantic = semantic(raw, &row, transport, content, item);
    let draft = Draft {
        occurred_at: row.occurred_at,
        person: row.person,
        payload: row.payload,
        content: content.map(Mark::to_hex),
        item,
        backfill: row.backfill,
        ..Draft::new(row.event, &row.source_event, SPACE, row.entity, (transport, semantic))
    };
    Ok(envelope::seal(raw, draft, reader))
}

/// The key that the sender chose, of a batch with the record's place; else the delivery's own place.
fn transport(raw: &Raw<'_>, address: Address<'_>, key: Option<&str>, item: i32) -> Mark {
    let workspace = raw.workspace.id.as_str();
    let Some(key) = key else { return place(raw, b"delivery", item) };
    let mut request = keyed(workspace, raw.header(CREDENTIAL).unwrap_or_default(), address, key);
    // A key whose time was over is a new one. Stages downstream count its time in hours, and would take it for the old one.
    if let Some(round) = raw.header(KEY_ROUND) {
        request = Mark::of(&[b"records round", &request.0.to_be_bytes(), round.as_bytes()]);
    }
    if address.batch {
        Mark::of(&[b"records item", &request.0.to_be_bytes(), &item.to_be_bytes()])
    } else {
        request
    }
}

fn place(raw: &Raw<'_>, kind: &[u8], item: i32) -> Mark {
    Mark::of(&[
        b"records",
        raw.workspace.id.as_str().as_bytes(),
        kind,
        &raw.partition.to_be_bytes(),
        &raw.offset.to_be_bytes(),
        &item.to_be_bytes(),
    ])
}

/// What makes a row the same fact as another one (R9):
///
/// - a payment: its id, it is collected once;
/// - a row of an order: the order, the version and everything that the row says, under the key that names it; without
///   key and version nothing, since the arrival is the version then;
/// - an upsert: nothing, since what it sets may have been something else in between;
/// - any other row: the key and the content, and without a key nothing.
fn semantic(raw: &Raw<'_>, row: &Row, transport: Mark, content: Option<Mark>, item: i32) -> Mark {
    let workspace = raw.workspace.id.as_str().as_bytes();
    let named = content.map(|content| [transport.0.to_be_bytes(), content.0.to_be_bytes()].concat());
    match (row.event, &row.payload.order, named) {
        (_, Some(_), None) if row.version.is_none() => place(raw, b"row", item),
        (_, Some(order), named) => {
            let said = |at: Option<commerce::EventTime>| at.map_or(i64::MIN, |at| at.0).to_le_bytes();
            let mut properties = Vec::new();
            for (name, value) in &row.payload.properties {
                properties.extend_from_slice(&Mark::of(&[name.as_bytes(), value.as_bytes()]).0.to_be_bytes());
            }
            Mark::of(&[
                b"records",
                workspace,
                b"order",
                row.entity.id.as_bytes(),
                &said(row.occurred_at),
                &said(row.version),
                &content::of(order, row.person.as_ref(), raw.received_at, false),
                &properties,
                &named.unwrap_or_default(),
            ])
        }
        (EventName::PaymentSucceeded, ..) => {
            Mark::of(&[b"records", workspace, b"payment", row.entity.id.as_bytes(), b"succeeded"])
        }
        (EventName::CustomerUpdated, ..) | (_, _, None) => place(raw, b"row", item),
        (_, _, Some(named)) => Mark::of(&[b"records", workspace, b"row", &named]),
    }
}
