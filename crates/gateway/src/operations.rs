//! What the documentation says of the gateway's own answers, beside those of the sources.

use sources::operation::{Answer, Operation};

const BASE: Operation = Operation {
    id: "",
    method: "OPTIONS",
    path: "",
    summary: "Says to browsers of every origin that they may post here",
    description: "Asked by a browser before it posts from another origin: `Access-Control-Allow-Origin` is `*`, \
                  `Access-Control-Allow-Methods` and `-Headers` name what may be sent. No other path allows another origin.",
    credentials: &[],
    parameters: &[],
    body: None,
    examples: &[],
    answers: &[Answer::new(204, "They may, and needn't ask again for a day.", "")],
};

/// What browsers ask before they post.
pub const PREFLIGHT: &[Operation] = &[
    Operation { id: "trackEventPreflight", path: "/v1/api/analytics/ecommerce/track", ..BASE },
    Operation { id: "trackBatchPreflight", path: "/v1/api/analytics/ecommerce/batch", ..BASE },
];

/// What a report that is asked for here is answered beside what the query service answers.
pub const OF_REPORTS: &[Answer] = &[
    Answer::new(
        404,
        "At a gateway that isn't told where the query service is (`gateway.reports_url`).",
        r#"{"error":"not found"}"#,
    ),
    Answer::again(503, "At a gateway, when the query service doesn't answer.", r#"{"error":"unavailable"}"#),
];
