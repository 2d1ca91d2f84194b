//! What a product is called: the title under which it was bought last (analytics.md §6.4).
//!
//! A cell of the metric `product_name` has no figure; the title is one of its dimensions. Every purchase says its
//! titles at the time of its payment, and takes them back when it stops counting, so each of them is kept: a title that
//! was only remembered as the latest would depend on what came between.

use std::collections::BTreeMap;

use commerce::order::Figures;
use commerce::{Fact, Metric, ReceivedTime, WorkspaceId};
use serde::{Deserialize, Serialize};
use stream::{Context, Failure};

use crate::cell::cut;
use crate::product::item_id;
use crate::{NAME, TITLE, kept};

/// The metric's name.
pub(crate) const METRIC: &str = "product_name";

/// What a product is called.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
struct Name {
    /// The latest title and the time at which it was said.
    latest: Option<(i64, String)>,
    /// The title of the record that is published, which has to be taken back before another one is.
    published: Option<String>,
    as_of: i64,
}

/// What a fact says and takes back.
pub(crate) fn apply(fact: &Fact<Figures>, ctx: &mut Context<'_>) -> Result<(), Failure> {
    for ((product, at, title), change) in said(fact).into_iter().filter(|(_, change)| *change != 0) {
        let product = kept::key(&(&fact.workspace, product))?;
        let key = [&product, &kept::sortable(at)[..], title.as_bytes()].concat();
        let count = kept::get::<i64>(ctx, TITLE, &key)?.unwrap_or(0).saturating_add(change);
        if count == 0 {
            ctx.remove(TITLE, &key)?;
        } else {
            kept::put(ctx, TITLE, &key, &count)?;
        }
        let mut name: Name = kept::get(ctx, NAME, &product)?.unwrap_or_default();
        let this = (at, title.to_owned());
        if count != 0 && name.latest.as_ref().is_some_and(|latest| *latest >= this) {
            continue;
        }
        name.latest = match count {
            0 if name.latest.as_ref() != Some(&this) => continue,
            // Only when the latest of all has gone, the one before it has to be looked for.
            0 => ctx.last(TITLE, &product).and_then(|(key, _)| read(&key, product.len())),
            _ => Some(this),
        };
        name.as_of = name.as_of.max(fact.received_at.0);
        kept::put(ctx, NAME, &product, &name)?;
    }
    Ok(())
}

/// The titles that are said more (or, below zero, less) often than before, by product and time.
fn said(fact: &Fact<Figures>) -> BTreeMap<(&str, i64, &str), i64> {
    let mut said = BTreeMap::new();
    for (view, sign) in [(&fact.before, -1), (&fact.after, 1)] {
        let Some(view) = view else { continue };
        let Some((at, _)) = view.purchase() else { continue };
        for line in &view.items {
            let title = line.title.as_deref().map(str::trim).filter(|title| !title.is_empty());
            if let (Some(product), Some(title)) = (item_id(line), title) {
                *said.entry((cut(product), at.0, cut(title))).or_default() += sign;
            }
        }
    }
    said
}

/// The records that a change of names asks for: key, and the record or its end.
pub(crate) fn changed(ctx: &mut Context<'_>) -> Result<Vec<(String, Option<Metric>)>, Failure> {
    let mut records = Vec::new();
    for key in ctx.changed(NAME) {
        let Some(mut name) = kept::get::<Name>(ctx, NAME, &key)? else { continue };
        let latest = name.latest.as_ref().map(|(_, title)| title.clone());
        if name.published == latest {
            continue;
        }
        let (workspace, product): (WorkspaceId, String) =
            postcard::from_bytes(&key).map_err(|e| kept::unreadable_key(&e))?;
        let metric = |title: &str| metric(&workspace, &product, title, name.as_of);
        if let Some(old) = &name.published {
            records.push((metric(old).key(), None));
        }
        if let Some(new) = &latest {
            let metric = metric(new);
            records.push((metric.key(), Some(metric)));
        }
        name.published = latest;
        kept::put(ctx, NAME, &key, &name)?;
    }
    Ok(records)
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

/// Time and title of a key after the product.
fn read(key: &[u8], product: usize) -> Option<(i64, String)> {
    let (at, title) = key.get(product..)?.split_first_chunk()?;
    Some((kept::sorted(*at), String::from_utf8(title.to_vec()).ok()?))
}

#[cfg(test)]
mod tests {
    use commerce::order::Figures;

    use crate::aggregation::samples::{line, paid};
    use crate::processor::samples::Folded;

    fn called(title: &str, day: i64) -> Figures {
        Figures { id: title.to_owned(), items: vec![line("A", title, 1, 10)], ..paid(10, day) }
    }

    #[test]
    fn the_title_of_the_latest_purchase_is_the_name_whatever_comes_late() {
        let mut folded = Folded::new();
        folded.order(None, Some(&called("Second", 5)));
        assert_eq!(folded.cells("product_name"), [" A Second: "]);
        folded.order(None, Some(&called("First", 1)));
        folded.order(None, Some(&called(" ", 8)));
        assert_eq!(folded.cells("product_name"), [" A Second: "]);
        folded.order(None, Some(&called("Third", 9)));
        assert_eq!(folded.cells("product_name"), [" A Third: "]);
    }

    #[test]
    fn a_title_that_is_taken_back_gives_way_to_the_one_before() {
        let mut folded = Folded::new();
        let (first, second) = (called("First", 1), called("Second", 5));
        folded.order(None, Some(&first));
        folded.order(None, Some(&second));
        folded.order(Some(&second), Some(&Figures { counted: false, ..second.clone() }));
        assert_eq!(folded.cells("product_name"), [" A First: "]);
        folded.order(Some(&first), Some(&Figures { items: vec![], ..first.clone() }));
        assert!(folded.cells("product_name").is_empty());
    }
}
