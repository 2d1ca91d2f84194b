//! Ingestion as the documentation shows it.

use crate::operation::{
    Answer, Body, Credential, Example, Field, Kind, Operation, Parameter, Scheme, example,
};

const INGEST: &[Credential] = &[
    Credential {
        name: "analytics_key",
        scheme: Scheme::Header("X-API-Key"),
        text: "A publishable key, which may stand in web pages, or a secret key. It is looked for here, then in \
               `Authorization: Bearer`, then in the body's `apiKey`.",
    },
    Credential { name: "analytics_bearer", scheme: Scheme::Bearer, text: "The same key as a bearer token." },
];

/// Of erasures and of reports.
pub const SECRET: &[Credential] = &[
    Credential {
        name: "analytics_secret",
        scheme: Scheme::Header("X-API-Key"),
        text: "A secret key of the workspace. It is looked for here, then in `Authorization: Bearer`.",
    },
    Credential {
        name: "analytics_secret_bearer",
        scheme: Scheme::Bearer,
        text: "The same secret key as a bearer token.",
    },
];

const KEY: Parameter = Parameter::header(
    "Idempotency-Key",
    "The sender's own name of the request: the same key again is the same request.",
    "cart-42-purchase",
);

const DENIED: Answer = Answer::new(401, "The key is missing or unknown.", r#"{"error":"Invalid API key"}"#);
const MALFORMED: Answer = Answer::new(400, "The body is no JSON object.", r#"{"error":"Invalid JSON"}"#);
const GATED: Answer = Answer::new(
    403,
    "The workspace's plan has no e-commerce events.",
    r#"{"error":"Ecommerce events are not available on the free tier","code":"FEATURE_GATED"}"#,
);
pub(crate) const PACED: Answer = Answer::again(
    429,
    "The key has used up its requests per second.",
    r#"{"error":"Too many requests. Please slow down."}"#,
);
const USED_UP: Answer = Answer::again(
    429,
    "The plan's events of this month are used up, as the pipeline has counted them: duplicates and blocked events use nothing \
     up, and the count lags by seconds. `Retry-After` is the time until the next month (UTC).",
    r#"{"error":"Ecommerce event quota exceeded","code":"USAGE_EXCEEDED"}"#,
);

const PURCHASE: Example = example!("analytics_purchase", 200, r#"{"ok":true}"#);

pub(super) const OPERATIONS: &[Operation] = &[
    Operation {
        id: "trackEvent",
        method: "POST",
        path: "/v1/api/analytics/ecommerce/track",
        summary: "Takes one e-commerce event",
        description: "Open to browsers of every origin. Without `event_id` and `Idempotency-Key` each request counts.",
        credentials: INGEST,
        parameters: &[KEY],
        body: Some(Body {
            text: "An event.",
            fields: &[
                Field::new(
                    "event_type",
                    Kind::Text,
                    "`view_item`, `add_to_cart`, `remove_from_cart`, `add_to_wishlist`, `view_cart`, `begin_checkout`, \
                     `add_payment_info`, `purchase`, `refund`, `search`, `share`, `rate` or `spend_credits`.",
                )
                .required(),
                Field::new("event_id", Kind::Id, "The sender's own id: the same id again is the same event."),
                Field::new("timestamp", Kind::Any, "When it happened: ISO 8601 or Unix seconds or milliseconds."),
                Field::new("transaction_id", Kind::Id, "The order. Required for `purchase` and `refund`."),
                Field::new("revenue", Kind::Amount, "Required for `purchase`, `refund` and `spend_credits`."),
                Field::new("currency", Kind::Text, "ISO 4217; the workspace's base currency unless given."),
                Field::new("discount", Kind::Amount, "Of a purchase."),
                Field::new("shipping", Kind::Amount, "Of a purchase."),
                Field::new("tax", Kind::Amount, "Of a purchase."),
                Field::new("user_id", Kind::Id, "Who, where it is known."),
                Field::new("cart_id", Kind::Id, "The cart."),
                Field::new("coupon_code", Kind::Text, "The coupon."),
                Field::new(
                    "items",
                    Kind::Objects,
                    "Each with `item_id`, which is required, and `item_name`, `item_category`, `item_brand`, \
                     `item_variant`, `price`, `quantity` …. Required for events that are about an item.",
                ),
                Field::new("properties", Kind::Object, "Anything else."),
                Field::new("campaign", Kind::Text, "Where the visit came from."),
                Field::new("source", Kind::Text, "Where the visit came from."),
                Field::new("medium", Kind::Text, "Where the visit came from."),
                Field::new("apiKey", Kind::Text, "The key, from a page that is being left. It is never stored."),
            ],
        }),
        examples: &[PURCHASE],
        answers: &[
            Answer::new(200, "The event is committed.", ""),
            Answer::new(
                400,
                "The first thing that is wrong with the event.",
                r#"{"error":"transaction_id is required for purchase events"}"#,
            ),
            MALFORMED,
            DENIED,
            GATED,
            PACED,
            USED_UP,
        ],
    },
    Operation {
        id: "trackBatch",
        method: "POST",
        path: "/v1/api/analytics/ecommerce/batch",
        summary: "Takes up to 100 e-commerce events",
        description: "Good events are taken beside bad ones, which the answer lists. Open to browsers of every origin.",
        credentials: INGEST,
        parameters: &[KEY],
        body: Some(Body {
            text: "Events.",
            fields: &[
                Field::new("events", Kind::Objects, "1 to 100 events, each as in `track`.").required(),
                Field::new("apiKey", Kind::Text, "The key, from a page that is being left. It is never stored."),
            ],
        }),
        examples: &[
            example!("analytics_batch", 200, r#"{"ok":true,"accepted":3}"#),
            example!(
                "analytics_batch_partly",
                200,
                r#"{"ok":true,"accepted":1,"errors":["events[1]: revenue is required for purchase events"]}"#
            ),
        ],
        answers: &[
            Answer::new(200, "The good events are committed; the others are in `errors`.", ""),
            Answer::new(
                400,
                "There is no event.",
                r#"{"error":"events array is required and must not be empty"}"#,
            ),
            Answer::new(400, "There are too many events.", r#"{"error":"Maximum 100 events per batch"}"#),
            MALFORMED,
            DENIED,
            GATED,
            PACED,
            USED_UP,
        ],
    },
    Operation {
        id: "eraseUser",
        method: "DELETE",
        path: "/v1/api/analytics/user/{user_id}",
        summary: "Erases a user",
        description: "The answer is the same whether there is such a user or not.",
        credentials: SECRET,
        parameters: &[Parameter::path("user_id", "The user's id, percent-encoded.", "user_123")],
        body: None,
        examples: &[Example::bodiless("analytics_erase", 200, r#"{"ok":true,"deleted_user_id":"user_123"}"#)],
        answers: &[
            Answer::new(200, "The erasure is committed.", ""),
            DENIED,
            Answer::new(403, "The key is a publishable one.", r#"{"error":"Secret key required"}"#),
            PACED,
        ],
    },
];
