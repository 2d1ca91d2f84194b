//! What a product is called: the title under which it was bought last.
//!
//! A cell of the metric `product_name` has no figure; the title is one of its dimensions. Every purchase says its
//! titles at the time of its payment, and takes them back when it stops counting. What is kept of them is how often
//! each was said on a day, and when on average, so that neither a product that sells well nor the order in which facts
//! come makes a difference: the name is the title that was said latest, on average, of the last day that has any. A
//! product that was given another title is called by it from the next purchase on.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use commerce::order::{Figures, Line};
use commerce::time::DAY;
use commerce::{Fact, Metric, ReceivedTime, WorkspaceId};
use serde::{Deserialize, Serialize};
use stream::{Context, Failure};

use crate::cell::cut;
use crate::kept::unreadable_key;
use crate::product::item_id;
use crate::{NAME, TITLE, kept};

/// The metric's name.
pub(crate) const METRIC: &str = "product_name";

/// Microseconds of a millisecond: sums of milliseconds stay far below 64 bits.
const MILLI: i64 = 1_000;

/// As many titles of one day are weighed against each other, the first by their letters: nobody calls a product by more,
/// and whoever does must not make each purchase cost a thousand of them.
const MOST_TITLES: usize = 32;

/// How often a title was said on a day, and the sum of the milliseconds of the day at which it was.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
struct Times {
    count: i64,
    millis: i64,
}

impl Times {
    /// By when it was said on average. Counts are above zero.
    fn by_mean(&self, other: &Self) -> Ordering {
        let cross = |a: &Self, b: &Self| i128::from(a.millis) * i128::from(b.count);
        cross(self, other).cmp(&cross(other, self))
    }
}

/// What the open transaction changes of one title on one day of a product.
#[derive(Debug, Default)]
pub(crate) struct Moved {
    /// How long the part of the key is that says which product it is.
    product: usize,
    by: Times,
    as_of: i64,
}

/// What a product is called.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Name {
    title: String,
    /// The day of it, the last that has any title.
    day: i64,
    /// True when it is the only title of that day.
    alone: bool,
    /// The arrival that brought it.
    as_of: i64,
}

/// What the facts of the open transaction say and take back: by the key of the row.
pub(crate) type Titles = hashbrown::HashMap<Vec<u8>, Moved>;

/// What a fact says and takes back.
pub(crate) fn said(fact: &Fact<Figures>) -> Result<Vec<(Vec<u8>, Moved)>, Failure> {
    let [before, after] =
        [&fact.before, &fact.after].map(|view| view.as_ref().map(titles).unwrap_or_default());
    if before == after {
        return Ok(Vec::new());
    }
    let mut moves = Vec::new();
    for (titles, sign) in [(before, -1), (after, 1)] {
        let Some(at) = titles.at else { continue };
        let (day, millis) = (at.div_euclid(DAY), at.rem_euclid(DAY) / MILLI);
        for (product, title) in titles.of {
            let mut key = kept::key(&(&fact.workspace, product))?;
            let product = key.len();
            key.extend_from_slice(&kept::sortable(day));
            key.extend_from_slice(title.as_bytes());
            let by = Times { count: sign, millis: millis * sign };
            moves.push((key, Moved { product, by, as_of: fact.received_at.0 }));
        }
    }
    Ok(moves)
}

/// Adds them to those of the transaction.
pub(crate) fn collect(titles: &mut Titles, moves: Vec<(Vec<u8>, Moved)>) {
    for (key, moved) in moves {
        let known = titles.entry(key).or_default();
        known.product = moved.product;
        known.by.count += moved.by.count;
        known.by.millis += moved.by.millis;
        known.as_of = known.as_of.max(moved.as_of);
    }
}

/// What an order calls its products, and when: each product's last title.
#[derive(Default, PartialEq)]
struct Called<'a> {
    at: Option<i64>,
    of: BTreeMap<&'a str, &'a str>,
}

fn titles(view: &Figures) -> Called<'_> {
    let Some((at, _)) = view.purchase() else { return Called::default() };
    let titled = view.items.iter().filter_map(|line| Some((cut(item_id(line)?), cut(title(line)?))));
    Called { at: Some(at.0), of: titled.collect() }
}

fn title(line: &Line) -> Option<&str> {
    line.title.as_deref().map(str::trim).filter(|title| !title.is_empty())
}

/// A record that a change of names asks for: key, and the record or its end.
type Named = (String, Option<Metric>);

/// Stores what the transaction moves, and gives the records that this asks for.
pub(crate) fn store(ctx: &mut Context<'_>, titles: Titles) -> Result<Vec<Named>, Failure> {
    let mut moves: Vec<(Vec<u8>, Moved)> = titles.into_iter().collect();
    moves.retain(|(_, moved)| moved.by != Times::default());
    moves.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    let mut records = Vec::new();
    for of_one in moves.chunk_by(|(a, of), (b, _)| a.get(..of.product) == b.get(..of.product)) {
        let Some((product, _)) = of_one.first().and_then(|(key, of)| key.split_at_checked(of.product)) else {
            continue;
        };
        let before: Option<Name> = kept::get(ctx, NAME, product)?;
        // Neither another day nor the same title again can change the name.
        let mut same = true;
        for (key, moved) in of_one {
            let left = change(ctx, key, moved.by)?;
            let (day, title) = read(product, key)?;
            same &= before.as_ref().is_some_and(|name| {
                day < name.day || (day == name.day && name.alone && left && title == name.title)
            });
        }
        if same {
            continue;
        }
        let as_of = of_one.iter().map(|(_, moved)| moved.as_of).max().unwrap_or_default();
        let after = latest(ctx, product, as_of.max(before.as_ref().map_or(i64::MIN, |name| name.as_of)))?;
        rename(ctx, product, before, after, &mut records)?;
    }
    Ok(records)
}

/// Changes a row; false when nothing is left of it.
fn change(ctx: &mut Context<'_>, key: &[u8], by: Times) -> Result<bool, Failure> {
    let known: Times = kept::get(ctx, TITLE, key)?.unwrap_or_default();
    let times =
        Times { count: known.count.saturating_add(by.count), millis: known.millis.saturating_add(by.millis) };
    if times.count > 0 {
        kept::put(ctx, TITLE, key, &times)?;
    } else {
        ctx.remove(TITLE, key)?;
    }
    Ok(times.count > 0)
}

/// Day and title of a row of a product.
fn read<'a>(product: &[u8], key: &'a [u8]) -> Result<(i64, &'a str), Failure> {
    let parts = key.get(product.len()..).and_then(<[u8]>::split_first_chunk::<8>);
    let parts = parts.and_then(|(day, title)| Some((kept::sorted(*day), std::str::from_utf8(title).ok()?)));
    parts.ok_or_else(|| Failure::Fatal("the key of a stored title can't be read".to_owned()))
}

/// What a product is called by its rows.
fn latest(ctx: &Context<'_>, product: &[u8], as_of: i64) -> Result<Option<Name>, Failure> {
    let Some((last, _)) = ctx.last(TITLE, product) else { return Ok(None) };
    let (day, _) = read(product, &last)?;
    let of_day = [product, &kept::sortable(day)].concat();
    let rows = ctx.scan(TITLE, &of_day, None, MOST_TITLES);
    let mut best: Option<(Times, &str)> = None;
    for (key, value) in &rows {
        let (_, title) = read(product, key)?;
        let times: Times = kept::read(TITLE, value)?;
        // Titles come in order, so of two that were said at the same time the later one stays.
        if best.is_none_or(|(known, _)| times.by_mean(&known).is_ge()) {
            best = Some((times, title));
        }
    }
    Ok(best.map(|(_, title)| Name { title: title.to_owned(), day, alone: rows.len() == 1, as_of }))
}

fn rename(
    ctx: &mut Context<'_>,
    product: &[u8],
    before: Option<Name>,
    mut after: Option<Name>,
    records: &mut Vec<Named>,
) -> Result<(), Failure> {
    let title = |name: &Option<Name>| name.as_ref().map(|name| name.title.clone());
    if title(&before) == title(&after) {
        if let (Some(before), Some(after)) = (&before, &mut after) {
            after.as_of = before.as_of;
        }
    } else {
        let (workspace, id): (WorkspaceId, String) =
            postcard::from_bytes(product).map_err(|e| unreadable_key(&e))?;
        if let Some(name) = &before {
            records.push((metric(&workspace, &id, &name.title, name.as_of).key(), None));
        }
        if let Some(name) = &after {
            let metric = metric(&workspace, &id, &name.title, name.as_of);
            records.push((metric.key(), Some(metric)));
        }
    }
    match &after {
        _ if after == before => Ok(()),
        Some(name) => kept::put(ctx, NAME, product, name),
        None => ctx.remove(NAME, product),
    }
}

fn metric(workspace: &WorkspaceId, product: &str, title: &str, as_of: i64) -> Metric {
    Metric {
        workspace: workspace.clone(),
        metric: METRIC.to_owned(),
        window: "all".to_owned(),
        window_start: String::new(),
        dimensions: [("item_id", product), ("title", title)]
            .map(|(name, text)| (name.to_owned(), text.to_owned()))
            .into(),
        values: BTreeMap::new(),
        revision: 0,
        corrected: false,
        as_of: ReceivedTime(as_of),
        window_end_at: None,
        members: None,
    }
}

#[cfg(test)]
mod tests;
