//! Webhooks as the documentation shows them.

use crate::operation::{
    Answer, Body, Credential, Example, Field, Kind, Operation, Parameter, Scheme, example,
};

const CREDENTIALS: &[Credential] = &[Credential {
    name: "stripe_signature",
    scheme: Scheme::Header("Stripe-Signature"),
    text: "`t=<unix seconds>,v1=<hex>`: HMAC-SHA256 of the time, a full stop and the exact body under the endpoint's \
           secret. Stripe makes it. It is refused when it is older than the workspace tolerates, five minutes unless \
           configured.",
}];

const BODY: Body = Body {
    text: "An Event object. Those of an invoice give payments, renewals and refunds; other types are taken and give \
           nothing. Thin events of the v2 API are refused.",
    fields: &[
        Field::new("id", Kind::Text, "Names the event: the same id again is the same delivery.").required(),
        Field::new("type", Kind::Text, "`invoice.payment_succeeded`, for example.").required(),
        Field::new("created", Kind::Unix, "When it happened."),
        Field::new("data", Kind::Object, "Its `object` is the invoice, charge or subscription."),
    ],
};

const DESCRIPTION: &str = "Everything signed that is an Event object is answered 200 once it is committed, whether it \
                           is used or not. What is signed and isn't one is kept as a dead letter.";

const ANSWERS: &[Answer] = &[
    Answer::new(200, "The delivery is committed.", ""),
    Answer::new(
        400,
        "The signature is missing, too old, or made by no secret of a workspace.",
        r#"{"error":"invalid signature"}"#,
    ),
    Answer::new(400, "The body is signed and no Event object.", r#"{"error":"invalid payload"}"#),
];

const EXAMPLES: &[Example] = &[example!("stripe_invoice_payment_succeeded", 200, r#"{"ok":true}"#)];

pub(super) const OPERATIONS: &[Operation] = &[
    Operation {
        id: "stripePayment",
        method: "POST",
        path: "/webhooks/stripe/payment",
        summary: "Takes an event; the secret that signed it names the workspace",
        description: DESCRIPTION,
        credentials: CREDENTIALS,
        parameters: &[],
        body: Some(BODY),
        examples: EXAMPLES,
        answers: ANSWERS,
    },
    Operation {
        id: "stripeWebhook",
        method: "POST",
        path: "/webhooks/stripe",
        summary: "The same at the shorter address",
        description: DESCRIPTION,
        credentials: CREDENTIALS,
        parameters: &[],
        body: Some(BODY),
        examples: EXAMPLES,
        answers: ANSWERS,
    },
    Operation {
        id: "stripeWebhookOfWorkspace",
        method: "POST",
        path: "/webhooks/stripe/{workspace}",
        summary: "Takes an event that a secret of one workspace signed",
        description: DESCRIPTION,
        credentials: CREDENTIALS,
        parameters: &[Parameter::path("workspace", "Whose secrets are tried.", "demo")],
        body: Some(BODY),
        examples: EXAMPLES,
        answers: ANSWERS,
    },
];
