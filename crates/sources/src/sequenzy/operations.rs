//! Pushed orders and checkouts as the documentation shows them.

use crate::operation::{Answer, Body, Credential, Field, Kind, Operation, Scheme, example};

const CREDENTIALS: &[Credential] =
    &[Credential { name: "orders_key", scheme: Scheme::Bearer, text: "An orders key of the workspace." }];

const DENIED: Answer = Answer::new(
    401,
    "The key is missing or unknown.",
    r#"{"success":false,"error":"unauthorized","message":"Invalid or missing API key"}"#,
);
const FAULTY: Answer = Answer::new(400, "Fields are missing or can't be read: all of them are listed.", "");
const LIMITED: Answer = Answer::again(
    429,
    "The key has used up its requests per second.",
    r#"{"success":false,"error":"rate_limited","message":"Too many requests"}"#,
);

const CUSTOMER: Field = Field::new(
    "customer",
    Kind::Object,
    "`email`, which is required, and `externalId`, `firstName`, `lastName`, `attributes`.",
);
const ITEMS: Field = Field::new(
    "items",
    Kind::Objects,
    "`productId`, `title` and `quantity`, which are required, and `variantId`, `variantTitle`, `sku`, `priceCents`.",
);
const PROPERTIES: Field = Field::new(
    "properties",
    Kind::Object,
    "Anything else. `refundId` names a refund, `backfill` labels a load; the names of our own fields are ignored.",
);

pub(super) const OPERATIONS: &[Operation] = &[
    Operation {
        id: "pushOrder",
        method: "POST",
        path: "/api/v1/orders",
        summary: "Takes the state of an order",
        description: "One call for each state. The answer is the same for every repeat and says nothing of what became \
                      of the push. Amounts are whole numbers of the currency's smallest unit.",
        credentials: CREDENTIALS,
        parameters: &[],
        body: Some(Body {
            text: "An order.",
            fields: &[
                Field::new("orderId", Kind::Id, "At most 512 bytes.").required(),
                Field::new("orderNumber", Kind::Id, "What people call it."),
                Field::new(
                    "status",
                    Kind::Text,
                    "`placed` unless given, `cancelled`, `fulfilled` or `refunded`.",
                ),
                Field::new("totalCents", Kind::Whole, "The total.").required(),
                Field::new("currency", Kind::Text, "ISO 4217.").required(),
                Field::new("orderedAt", Kind::Time, "When it was placed."),
                Field { required: true, ..CUSTOMER },
                Field::new(
                    "customerTotals",
                    Kind::Object,
                    "`ordersCount` and `totalSpentCents`, as the sender counts them.",
                ),
                Field::new(
                    "refundAmountCents",
                    Kind::Whole,
                    "What went back: the sum so far, or one amount where `properties.refundId` names it.",
                ),
                ITEMS,
                PROPERTIES,
            ],
        }),
        examples: &[
            example!(
                "sequenzy_order_placed",
                202,
                r#"{"success":true,"queued":true,"jobId":"commerce-order-872e3ef6aec52a3947c3f16f8dc8dca4","orderId":"ord_81744","status":"placed"}"#
            ),
            example!(
                "sequenzy_order_incomplete",
                400,
                r#"{"success":false,"error":"validation_error","message":"status must be one of placed, cancelled, fulfilled, refunded","details":[{"field":"status","message":"must be one of placed, cancelled, fulfilled, refunded"},{"field":"customer.email","message":"must be a valid e-mail address"}]}"#
            ),
        ],
        answers: &[Answer::new(202, "The push is committed.", ""), FAULTY, DENIED, LIMITED],
    },
    Operation {
        id: "pushCheckout",
        method: "POST",
        path: "/api/v1/checkouts",
        summary: "Takes a checkout that was started",
        description: "Amounts are whole numbers of the currency's smallest unit.",
        credentials: CREDENTIALS,
        parameters: &[],
        body: Some(Body {
            text: "A checkout.",
            fields: &[
                Field::new("checkoutId", Kind::Id, "At most 512 bytes.").required(),
                Field::new("checkoutUrl", Kind::Text, "Where it is taken up again."),
                Field::new("totalCents", Kind::Whole, "The total so far."),
                Field::new("currency", Kind::Text, "ISO 4217; the workspace's base currency unless given."),
                Field { required: true, ..CUSTOMER },
                ITEMS,
                PROPERTIES,
            ],
        }),
        examples: &[example!(
            "sequenzy_checkout_started",
            200,
            r#"{"success":true,"checkoutId":"chk_5521","subscriberId":"b5119a78261a843cfd0b3a2e2f3c87e8","eventId":"ba33937f-4f48-8fc7-a165-fccb53c20101"}"#
        )],
        answers: &[Answer::new(200, "The push is committed.", ""), FAULTY, DENIED, LIMITED],
    },
];
