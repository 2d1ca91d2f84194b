//! What an operator says, as the documentation shows it.

use crate::analytics::operations::PACED;
use crate::operation::{ANALYTICS_SECRET, Answer, Body, Field, Kind, Operation, example};

const BODY: Body = Body {
    text: "Two handles: `user:5`, `email:jane@example.com`, `phone:+12025550100`, `stripe_customer:cus_1`, \
           `shopify_customer:acme.myshopify.com/7`, `backend_customer:storefront/7`, `anonymous:…`, `cart:…`.",
    fields: &[
        Field::new("a", Kind::Text, "One of them; of two who are merged the one who stays.").required(),
        Field::new("b", Kind::Text, "The other one.").required(),
    ],
};

const ANSWERS: &[Answer] = &[
    Answer::new(200, "It is committed; the figures follow.", ""),
    Answer::new(400, "A handle is missing or is none.", r#"{"error":"'a' and 'b' are the same handle"}"#),
    Answer::new(401, "The key is missing or unknown.", r#"{"error":"Invalid API key"}"#),
    Answer::new(403, "The key is a publishable one.", r#"{"error":"Secret key required"}"#),
    PACED,
];

const BASE: Operation = Operation {
    id: "",
    method: "POST",
    path: "",
    summary: "",
    description: "",
    credentials: ANALYTICS_SECRET,
    parameters: &[],
    body: Some(BODY),
    examples: &[],
    answers: ANSWERS,
};

pub(super) const OPERATIONS: &[Operation] = &[
    Operation {
        id: "identityMerge",
        path: super::MERGE,
        summary: "Says that two handles are one person",
        examples: &[example!("operator_merge", 200, r#"{"ok":true}"#)],
        description: "Their orders, rollups and figures become those of one person, each counted once.",
        ..BASE
    },
    Operation {
        id: "identityUnmerge",
        path: super::UNMERGE,
        summary: "Says that two handles are never one person",
        examples: &[example!("operator_unmerge", 200, r#"{"ok":true}"#)],
        description: "It stands for ever. Orders, rollups and forwarding records become what they would be without \
                      whatever linked the two; what was done under them later is kept apart.",
        ..BASE
    },
];
