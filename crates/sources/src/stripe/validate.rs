//! Paths, and what makes a body an Event object.

use std::borrow::Cow;

use commerce::Reason;
use commerce::id::LONGEST_ID;
use commerce::reason::Failure;

use crate::json::{self, Bag, Value};

/// Whose secrets a path allows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Tenants<'a> {
    /// Everybody's: the one that signed is meant.
    All,
    /// One tenant's, so that a deployment of many needn't try them all.
    One(&'a str),
}

/// `/webhooks/stripe/payment` and `/webhooks/stripe`, which are the same, and `/webhooks/stripe/<workspace>`.
pub(super) fn tenants(path: &str) -> Option<Tenants<'_>> {
    let rest = path.strip_prefix("/webhooks/stripe")?;
    if matches!(rest, "" | "/payment") {
        return Some(Tenants::All);
    }
    let id = rest.strip_prefix('/')?;
    (!id.is_empty() && !id.contains('/')).then_some(Tenants::One(id))
}

/// An Event object.
pub(super) struct Event<'a> {
    /// `evt_…`
    pub(super) id: Cow<'a, str>,
    /// `invoice.payment_succeeded`
    pub(super) r#type: Cow<'a, str>,
    /// All of it.
    pub(super) body: Bag<'a>,
}

/// Reads what every Event object has. The thin events of Stripe's second API name an object and don't contain it, and
/// Stripe's own libraries refuse them here too.
pub(super) fn event(body: &[u8]) -> Result<Event<'_>, Failure> {
    let body = json::bag(body)?;
    if body.get("object").text().as_deref() == Some("v2.core.event") {
        let message = "a thin event of the v2 API doesn't contain its object";
        return Err(Failure::at(Reason::UnsupportedEvent, "object", message));
    }
    Ok(Event { id: name(&body, "id")?, r#type: name(&body, "type")?, body })
}

fn name<'a>(body: &Bag<'a>, field: &str) -> Result<Cow<'a, str>, Failure> {
    match body.get(field).value() {
        Value::Text(text) if text.len() <= LONGEST_ID => Ok(text),
        Value::Absent => Err(Failure::at(Reason::MissingField, field, "an Event object has it")),
        _ => Err(Failure::at(Reason::BadValue, field, "it is not a string of at most 512 bytes")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_allows_all_tenants_or_one() {
        assert_eq!(tenants("/webhooks/stripe"), Some(Tenants::All));
        assert_eq!(tenants("/webhooks/stripe/payment"), Some(Tenants::All));
        assert_eq!(tenants("/webhooks/stripe/acme"), Some(Tenants::One("acme")));
        for path in ["/webhooks/stripe/", "/webhooks/stripe/a/b", "/webhooks/stripes", "/webhooks", "/"] {
            assert_eq!(tenants(path), None, "{path}");
        }
    }
}
