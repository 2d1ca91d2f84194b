//! The webhook of a custom backend as the documentation shows it.

use crate::operation::{Answer, Body, Credential, Field, Kind, Operation, Parameter, Scheme, example};

const EVENTS: &[&str] = &[
    "orders_create",
    "orders_updated",
    "orders_fulfilled",
    "orders_partially_fulfilled",
    "orders_paid",
    "orders_cancelled",
    "checkouts_create",
    "checkouts_update",
    "customers_create",
    "customers_update",
];

const FIELDS: &[Field] = &[
    Field::new("id", Kind::Id, "The order, checkout or customer. A checkout may have a `token` instead."),
    Field::new("token", Kind::Text, "Of a checkout, in the place of an `id`."),
    Field::new(
        "created_at",
        Kind::Time,
        "Required for `orders_create`, `orders_paid`, `checkouts_create` and `customers_create`.",
    ),
    Field::new("updated_at", Kind::Time, "Required for the other events but `orders_cancelled`."),
    Field::new("cancelled_at", Kind::Time, "Required for `orders_cancelled`."),
    Field::new("currency", Kind::Text, "ISO 4217. Required for orders and checkouts."),
    Field::new("total_price", Kind::Amount, "Required for orders and checkouts."),
    Field::new(
        "email",
        Kind::Text,
        "One of `email`, `phone` and those of `customer` is required for orders; `email` or `phone` for customers.",
    ),
    Field::new("phone", Kind::Text, "See `email`."),
    Field::new(
        "customer",
        Kind::Object,
        "`id`, `email`, `phone`, `first_name`, `last_name`, `orders_count`, `total_spent`.",
    ),
    Field::new("line_items", Kind::Objects, "Each with `price` and `quantity`, which are required."),
    Field::new(
        "financial_status",
        Kind::Text,
        "`pending`, `paid`, `partially_refunded`, `refunded`, `voided` …",
    ),
    Field::new("refunds", Kind::Objects, "All refunds so far."),
];

pub(super) const OPERATIONS: &[Operation] = &[Operation {
    id: "backendWebhook",
    method: "POST",
    path: "/transform-webhook-data",
    summary: "Takes an event of a custom backend",
    description: "The sender is told at once everything that is missing or can't be read. A body that is refused is kept \
                  as a dead letter under the first of its faults.",
    credentials: &[Credential {
        name: "backend_key",
        scheme: Scheme::Query("key"),
        text: "A backend key of the workspace.",
    }],
    parameters: &[
        Parameter::query("event_name", "What happened, in any case.", "orders_create").required().one_of(EVENTS),
        Parameter::query("workspace", "If it is there, it must be the workspace of the key.", "demo"),
        Parameter::query(
            "source",
            "The sending system, within which ids are unique: 1 to 100 characters, `custom` unless given.",
            "shop",
        ),
    ],
    body: Some(Body { text: "An order, checkout or customer.", fields: FIELDS }),
    examples: &[
        example!("lifesight_orders_create", 200, r#"{"success":true,"event":"orders_create","id":"5812290347117"}"#),
        example!("lifesight_checkouts_update", 200, r#"{"success":true,"event":"checkouts_update","id":"40188203775021"}"#)
            .given(&[("event_name", "checkouts_update")]),
        example!("lifesight_customers_create", 200, r#"{"success":true,"event":"customers_create","id":"7031184426612"}"#)
            .given(&[("event_name", "customers_create")]),
        example!(
            "lifesight_orders_paid_incomplete",
            400,
            r#"{"success":false,"errors":[{"field":"created_at","message":"is required"},{"field":"total_price","message":"must be a decimal amount"}]}"#
        )
        .given(&[("event_name", "orders_paid")]),
    ],
    answers: &[
        Answer::new(200, "The delivery is committed.", ""),
        Answer::new(
            400,
            "`event_name` is none of the ten.",
            r#"{"success":false,"errors":[{"field":"event_name","message":"unknown event_name"}]}"#,
        ),
        Answer::new(400, "Fields are missing or can't be read: all of them are listed.", ""),
        Answer::new(401, "The key is missing or unknown.", r#"{"success":false,"error":"invalid key"}"#),
        Answer::new(
            403,
            "The key is another workspace's.",
            r#"{"success":false,"error":"key does not belong to workspace"}"#,
        ),
        Answer::again(
            429,
            "The key has used up its requests per second. Nothing of the delivery was kept: send it again.",
            r#"{"success":false,"error":"too many requests"}"#,
        ),
    ],
}];
