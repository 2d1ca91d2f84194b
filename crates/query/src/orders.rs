//! `GET /v1/orders/{id}`: one order as everybody sees it.

use commerce::EventTime;
use commerce::order::View;
use serde_json::Value;

use crate::store::{Kept, Store};

impl Kept for View {
    fn ids(&self, each: &mut dyn FnMut(&str)) {
        each(&self.id);
        for alias in self.aliases.iter().filter(|alias| **alias != self.id) {
            each(alias);
        }
    }
}

/// The order with an id or alias; a display number is found with and without its `#`. Where several orders share an
/// alias, the one whose id it is, else the smallest id.
pub fn find(orders: &Store<View>, workspace: &str, id: &str) -> Option<View> {
    let id = id.trim();
    let best =
        |candidates: Vec<View>| candidates.into_iter().min_by_key(|view| (view.id != id, view.id.clone()));
    best(orders.find(workspace, id))
        .or_else(|| best(orders.find(workspace, id.strip_prefix("gid://shopify/Order/")?)))
        .or_else(|| best(orders.find(workspace, &format!("number:{}", id.trim_start_matches('#')))))
}

/// The order as JSON: the names of the topic, times in RFC 3339, money as `{minor, currency}`.
pub fn json(view: &View) -> Result<Value, serde_json::Error> {
    let mut value = serde_json::to_value(view)?;
    times(
        &mut value,
        &[
            "updated_at",
            "placed_at",
            "paid_at",
            "partially_fulfilled_at",
            "fulfilled_at",
            "cancelled_at",
            "counted_at",
        ],
    );
    if let Some(Value::Object(refunds)) = value.get_mut("refund_times") {
        refunds.values_mut().for_each(time);
    }
    Ok(value)
}

/// Writes microseconds as RFC 3339 where they stand under one of the names.
pub(crate) fn times(value: &mut Value, names: &[&str]) {
    for name in names {
        if let Some(found) = value.get_mut(*name) {
            time(found);
        }
    }
}

/// Turns an instant into RFC 3339.
pub(crate) fn time(value: &mut Value) {
    if let Some(micros) = value.as_i64() {
        *value = Value::String(EventTime(micros).to_rfc3339());
    }
}

#[cfg(test)]
pub(crate) mod samples {
    use super::*;
    use commerce::{Currency, Money};
    use std::collections::BTreeMap;

    /// An order of 30.49 USD with one refund.
    pub(crate) fn order(id: &str, aliases: &[&str]) -> View {
        let usd = |minor| Some(Money::new(minor, Currency::USD));
        View {
            id: id.to_owned(),
            aliases: aliases.iter().map(|alias| (*alias).to_owned()).collect(),
            source: Some(commerce::Source::Shopify),
            sources: vec![commerce::Source::Shopify],
            person_id: Some(commerce::PersonId(7)),
            placed_at: Some(EventTime(1_000_000)),
            counted: true,
            total: usd(3049),
            refunds: BTreeMap::from([("r1".to_owned(), Money::new(49, Currency::USD))]),
            refund_times: BTreeMap::from([("r1".to_owned(), EventTime(2_000_000))]),
            refunded_total: usd(49),
            net: usd(3000),
            ..View::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::samples::order;
    use super::*;

    fn orders(views: &[View]) -> Store<View> {
        let store = Store::default();
        for view in views {
            store.put(format!("demo:{}", view.id).as_bytes(), "demo", Some(view)).unwrap();
        }
        store
    }

    #[test]
    fn every_name_finds_the_order() {
        let store = orders(&[order("820982911946154508", &["number:1001", "s-1"])]);
        for id in ["820982911946154508", "#1001", "1001", "s-1", "gid://shopify/Order/820982911946154508"] {
            assert!(find(&store, "demo", id).is_some(), "{id}");
        }
        assert_eq!(find(&store, "demo", "1002"), None);
    }

    #[test]
    fn an_id_stands_above_an_alias() {
        let store = orders(&[order("1", &["2"]), order("2", &[])]);
        assert_eq!(find(&store, "demo", "2").unwrap().id, "2");
    }

    #[test]
    fn money_is_minor_units_with_their_currency_and_times_are_texts() {
        let json = json(&order("1", &[])).unwrap();
        assert_eq!(json["total"], serde_json::json!({"minor": 3049, "currency": "USD"}));
        assert_eq!(json["placed_at"], "1970-01-01T00:00:01Z");
        assert_eq!(json["refund_times"]["r1"], "1970-01-01T00:00:02Z");
        assert_eq!(json["source"], "shopify");
        assert_eq!(json["paid_at"], Value::Null);
    }
}
