//! What a product is called: the title under which it was bought last (analytics.md §6.4).
//!
//! A cell of the metric `product_name` has no figure; the title is one of its dimensions. Every purchase says its
//! titles at the time of its payment, and takes them back when it stops counting, so each of them is kept: a title that
//! was only remembered as the latest would depend on what came between. Nearly every purchase says what the product is
//! called already, and then nothing is looked up among them.

use std::collections::BTreeMap;

use commerce::order::{Figures, Line};
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
    /// The latest title.
    title: Option<String>,
    /// The title of the record that is published, which has to be taken back before another one is.
    published: Option<String>,
    as_of: i64,
}

/// What a fact says and takes back.
pub(crate) fn apply(fact: &Fact<Figures>, ctx: &mut Context<'_>) -> Result<(), Failure> {
    let (before, after) = (fact.before.as_ref().map(said), fact.after.as_ref().map(said));
    if before == after {
        return Ok(());
    }
    let (before, after) = (before.unwrap_or_default(), after.unwrap_or_default());
    let products = before.keys().chain(after.keys().filter(|product| !before.contains_key(*product)));
    for product in products {
        let (old, new) = (before.get(product), after.get(product));
        if old != new {
            change(&kept::key(&(&fact.workspace, product))?, old, new, fact.received_at, ctx)?;
        }
    }
    Ok(())
}

/// What an order calls a product.
#[derive(Clone, PartialEq, Debug)]
struct Said<'a> {
    at: i64,
    order: &'a str,
    title: &'a str,
}

impl Said<'_> {
    /// Its place among all that was said of the product: by time, and by the order where two are of one instant.
    fn key(&self, product: &[u8]) -> Vec<u8> {
        [product, &kept::sortable(self.at)[..], self.order.as_bytes()].concat()
    }
}

/// The titles that an order says, each product's last.
fn said(view: &Figures) -> BTreeMap<&str, Said<'_>> {
    let Some((at, _)) = view.purchase() else { return BTreeMap::new() };
    let titled = view.items.iter().filter_map(|line| Some((item_id(line)?, title(line)?)));
    titled.map(|(id, title)| (cut(id), Said { at: at.0, order: &view.id, title: cut(title) })).collect()
}

fn title(line: &Line) -> Option<&str> {
    line.title.as_deref().map(str::trim).filter(|title| !title.is_empty())
}

fn change(
    product: &[u8],
    old: Option<&Said<'_>>,
    new: Option<&Said<'_>>,
    received_at: ReceivedTime,
    ctx: &mut Context<'_>,
) -> Result<(), Failure> {
    let mut name: Name = kept::get(ctx, NAME, product)?.unwrap_or_default();
    if let Some(old) = old {
        ctx.remove(TITLE, &old.key(product))?;
    }
    if let Some(new) = new {
        ctx.put(TITLE, &new.key(product), new.title.as_bytes())?;
    }
    let known = name.title.as_deref();
    // The name stays when it is said again, and when another title goes.
    if old.is_none_or(|old| Some(old.title) != known) && new.is_none_or(|new| Some(new.title) == known) {
        return Ok(());
    }
    let latest = ctx.last(TITLE, product).and_then(|(_, title)| String::from_utf8(title).ok());
    if latest != name.title {
        name = Name { title: latest, as_of: name.as_of.max(received_at.0), ..name };
        kept::put(ctx, NAME, product, &name)?;
    }
    Ok(())
}

/// The records that a change of names asks for: key, and the record or its end.
pub(crate) fn changed(ctx: &mut Context<'_>) -> Result<Vec<(String, Option<Metric>)>, Failure> {
    let mut records = Vec::new();
    for key in ctx.changed(NAME) {
        let Some(mut name) = kept::get::<Name>(ctx, NAME, &key)? else { continue };
        let latest = name.title.clone();
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

    #[test]
    fn a_purchase_whose_time_moves_takes_its_title_along() {
        let mut folded = Folded::new();
        let second = called("Second", 5);
        folded.order(None, Some(&called("First", 3)));
        folded.order(None, Some(&second));
        let earlier = Figures { counted_at: called("", 1).counted_at, ..second.clone() };
        folded.order(Some(&second), Some(&earlier));
        assert_eq!(folded.cells("product_name"), [" A First: "]);
        folded.order(Some(&earlier), Some(&second));
        assert_eq!(folded.cells("product_name"), [" A Second: "]);
        // One that says the same name again changes no record.
        folded.order(None, Some(&Figures { id: "9".into(), ..called("Second", 8) }));
        assert!(folded.metrics.values().filter(|metric| metric.metric == "product_name").count() == 1);
    }
}
