//! Paths and topics. Nothing in a signed body is refused at the door.

use commerce::EventName;

const BASE: &str = "/webhooks/shopify";

/// `/webhooks/shopify` and `/webhooks/shopify/{resource}/{action}`.
pub(super) fn is_path(path: &str) -> bool {
    path == BASE || topic_of_path(path).is_some()
}

fn topic_of_path(path: &str) -> Option<&str> {
    let topic = path.strip_prefix(BASE)?.strip_prefix('/')?;
    let (resource, action) = topic.split_once('/')?;
    (!resource.is_empty() && !action.is_empty() && !action.contains('/')).then_some(topic)
}

/// The topic: the header's, which Shopify sets, else that of the path (D-SHOP-6).
pub(super) fn topic(header: Option<&str>, path: Option<&str>) -> Option<String> {
    header
        .map(str::trim)
        .filter(|topic| !topic.is_empty())
        .or_else(|| path.and_then(topic_of_path))
        .map(str::to_ascii_lowercase)
}

/// True when path and header name different topics.
pub(super) fn mismatch(header: Option<&str>, path: Option<&str>) -> bool {
    match (header.map(str::trim).filter(|topic| !topic.is_empty()), path.and_then(topic_of_path)) {
        (Some(header), Some(path)) => !header.eq_ignore_ascii_case(path),
        _ => false,
    }
}

/// What a topic's body is, and what its event is named after.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Subject {
    Order(EventName),
    /// The edit of an order, or the order.
    Edit,
    /// One refund.
    Refund,
    Checkout(EventName),
    Customer(EventName),
    /// A customer that the shop has removed: of its body only the id is left.
    RemovedCustomer,
    /// The request to forget a customer.
    Redaction,
    /// A privacy request that only a person can answer.
    Operator,
}

/// The topics that are known.
const TOPICS: [(&str, Subject); 16] = [
    ("orders/create", Subject::Order(EventName::OrderPlaced)),
    ("orders/updated", Subject::Order(EventName::OrderUpdated)),
    ("orders/edited", Subject::Edit),
    ("orders/paid", Subject::Order(EventName::OrderPaid)),
    ("orders/fulfilled", Subject::Order(EventName::OrderFulfilled)),
    ("orders/partially_fulfilled", Subject::Order(EventName::OrderPartiallyFulfilled)),
    ("orders/cancelled", Subject::Order(EventName::OrderCancelled)),
    ("refunds/create", Subject::Refund),
    ("checkouts/create", Subject::Checkout(EventName::CheckoutStarted)),
    ("checkouts/update", Subject::Checkout(EventName::CheckoutUpdated)),
    ("customers/create", Subject::Customer(EventName::CustomerCreated)),
    ("customers/update", Subject::Customer(EventName::CustomerUpdated)),
    ("customers/delete", Subject::RemovedCustomer),
    ("customers/redact", Subject::Redaction),
    ("customers/data_request", Subject::Operator),
    ("shop/redact", Subject::Operator),
];

/// The subject of a topic; `None` for topics that have no event.
pub(super) fn subject(topic: &str) -> Option<Subject> {
    TOPICS.iter().find(|(known, _)| *known == topic).map(|(_, subject)| *subject)
}

/// The topics whose event is always the same.
pub(crate) fn vocabulary() -> impl Iterator<Item = (&'static str, EventName)> {
    TOPICS.into_iter().filter_map(|(topic, subject)| match subject {
        Subject::Order(event) | Subject::Checkout(event) | Subject::Customer(event) => Some((topic, event)),
        Subject::Refund => Some((topic, EventName::OrderRefunded)),
        Subject::Redaction => Some((topic, EventName::CustomerDeleted)),
        Subject::Edit | Subject::RemovedCustomer | Subject::Operator => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_a_resource_and_an_action_or_neither() {
        for path in
            ["/webhooks/shopify", "/webhooks/shopify/orders/create", "/webhooks/shopify/app/uninstalled"]
        {
            assert!(is_path(path), "{path}");
        }
        for path in [
            "/webhooks/shopify/",
            "/webhooks/shopify/orders",
            "/webhooks/shopify//create",
            "/webhooks/shopify/orders/",
            "/webhooks/shopify/a/b/c",
            "/webhooks/shopifyx/a/b",
            "/webhooks",
        ] {
            assert!(!is_path(path), "{path}");
        }
    }

    #[test]
    fn the_header_decides_the_topic() {
        assert_eq!(
            topic(Some("Orders/Paid"), Some("/webhooks/shopify/orders/create")).unwrap(),
            "orders/paid"
        );
        assert_eq!(topic(Some(" "), Some("/webhooks/shopify/orders/create")).unwrap(), "orders/create");
        assert_eq!(topic(None, Some("/webhooks/shopify")), None);
        assert!(mismatch(Some("orders/paid"), Some("/webhooks/shopify/orders/create")));
        assert!(!mismatch(Some("orders/paid"), Some("/webhooks/shopify")));
    }
}
