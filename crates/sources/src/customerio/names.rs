//! What an event name means: names are a contract, so they are compared exactly and never repaired.

use std::collections::BTreeMap;

use commerce::EventName;
use commerce::event::SCHEMA_VERSION;

/// The names that have a meaning without a setting.
pub(super) const TABLE: &[(&str, EventName)] = &[
    ("cart_created", EventName::CartCreated),
    ("checkout_started", EventName::CheckoutStarted),
    ("order_paid", EventName::OrderPaid),
    ("order_fulfilled", EventName::OrderFulfilled),
    ("product_viewed", EventName::ProductViewed),
    ("back_in_stock_requested", EventName::BackInStockRequested),
    ("subscription_renewed", EventName::SubscriptionRenewed),
    ("subscription_canceled", EventName::SubscriptionCancelled),
    ("subscription_cancelled", EventName::SubscriptionCancelled),
    ("subscription_skipped", EventName::SubscriptionSkipped),
    ("subscription_paused", EventName::SubscriptionPaused),
];

/// What a name means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Meaning {
    pub(super) event: EventName,
    /// The sender's own version of its structure.
    pub(super) schema_version: i32,
    /// What the name was probably meant to be: loud, not repaired (D-CIO-5).
    pub(super) drift: Option<EventName>,
}

/// Reads a trimmed name. `map` are the further names of the workspace; they stand before the table.
pub(super) fn meaning(name: &str, map: Option<&BTreeMap<String, String>>) -> Meaning {
    let further =
        || map.into_iter().flatten().filter_map(|(key, event)| Some((key.trim(), EventName::parse(event)?)));
    let all = || further().chain(TABLE.iter().copied());
    let mapped = |name: &str| all().find(|(key, _)| *key == name).map(|(_, event)| event);
    if let Some(event) = mapped(name) {
        return Meaning { event, schema_version: SCHEMA_VERSION, drift: None };
    }
    let (base, version) = versioned(name).map_or((name, None), |(base, version)| (base, Some(version)));
    if let (Some(event), Some(schema_version)) = (mapped(base), version) {
        return Meaning { event, schema_version, drift: None };
    }
    let folded = fold(base);
    let drift = all().find(|(key, _)| fold(key) == folded).map(|(_, event)| event);
    Meaning { event: EventName::CustomTracked, schema_version: version.unwrap_or(SCHEMA_VERSION), drift }
}

/// Takes `_v2`, ` v2` or `.v2` off the end.
fn versioned(name: &str) -> Option<(&str, i32)> {
    let base = name.trim_end_matches(|c: char| c.is_ascii_digit());
    let version: i32 = name.get(base.len()..)?.parse().ok().filter(|version| *version > 0)?;
    let base = base.strip_suffix('v')?.strip_suffix(['_', ' ', '.'])?.trim_end();
    (!base.is_empty()).then_some((base, version))
}

fn fold(name: &str) -> String {
    name.chars().filter(|c| !matches!(c, ' ' | '_' | '-')).flat_map(char::to_lowercase).collect()
}
