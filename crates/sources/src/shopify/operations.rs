//! Webhooks as the documentation shows them.

use crate::operation::{Answer, Body, Credential, Example, Operation, Parameter, Scheme, example};

const CREDENTIALS: &[Credential] = &[Credential {
    name: "shopify_signature",
    scheme: Scheme::Header("X-Shopify-Hmac-Sha256"),
    text: "HMAC-SHA256 of the exact body under a secret of the shop, in standard base64. Shopify makes it.",
}];

const TOPIC: Parameter = Parameter::header(
    "X-Shopify-Topic",
    "The topic. It wins over the one that the path names.",
    "orders/create",
);
const WEBHOOK_ID: Parameter = Parameter::header(
    "X-Shopify-Webhook-Id",
    "Names the delivery: the same id again is the same delivery, whatever its body.",
    "b54557e4-bdd9-4b37-8a5f-bf7d70bcd043",
);
const SHOP: Parameter = Parameter::header(
    "X-Shopify-Shop-Domain",
    "The shop. It isn't signed, so it only says whose secrets are tried first.",
    "demo-shop.myshopify.com",
);

const BODY: Body = Body {
    text: "The resource as Shopify sends it: an order, a refund, or an edit of an order. A signed body is taken as it is; \
           what can't be read becomes a dead letter.",
    fields: &[],
};

const DESCRIPTION: &str = "Everything that is signed is answered 200 once it is committed: an error would only bring the same bytes again. \
     Events come from `orders/create`, `orders/updated`, `orders/edited`, `orders/paid`, `orders/fulfilled`, \
     `orders/partially_fulfilled`, `orders/cancelled` and `refunds/create`.";

const ANSWERS: &[Answer] = &[
    Answer::new(200, "The delivery is committed.", ""),
    Answer::new(
        401,
        "The signature is missing, or no secret of a workspace made it.",
        r#"{"error":"invalid signature"}"#,
    ),
];

const OK: &str = r#"{"ok":true}"#;
const CREATED: Example = example!("shopify_order_create", 200, OK);
const REFUNDED: Example = example!("shopify_refund_create", 200, OK);

pub(super) const OPERATIONS: &[Operation] = &[
    Operation {
        id: "shopifyWebhook",
        method: "POST",
        path: "/webhooks/shopify/{resource}/{action}",
        summary: "Takes a webhook whose topic the path names",
        description: DESCRIPTION,
        credentials: CREDENTIALS,
        parameters: &[
            Parameter::path("resource", "The first part of the topic.", "orders"),
            Parameter::path("action", "The second part of the topic.", "create"),
            TOPIC,
            WEBHOOK_ID,
            SHOP,
        ],
        body: Some(BODY),
        examples: &[CREATED, REFUNDED.given(&[("resource", "refunds")])],
        answers: ANSWERS,
    },
    Operation {
        id: "shopifyWebhookByHeader",
        method: "POST",
        path: "/webhooks/shopify",
        summary: "Takes a webhook whose topic the header names",
        description: DESCRIPTION,
        credentials: CREDENTIALS,
        parameters: &[TOPIC, WEBHOOK_ID, SHOP],
        body: Some(BODY),
        examples: &[
            CREATED.given(&[("X-Shopify-Topic", "orders/create")]),
            REFUNDED.given(&[("X-Shopify-Topic", "refunds/create")]),
        ],
        answers: ANSWERS,
    },
];
