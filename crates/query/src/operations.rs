//! What the documentation says of the service's paths.
//!
//! The answers in `operations/` are those to the figures of `http/tests.rs`, which holds them against the code;
//! `TILLSTREAM_WRITE_EXAMPLES=1 cargo test -p query documentation` writes them anew.

use sources::operation::{ANALYTICS_SECRET, Answer, Operation, Parameter, WRONG_METHOD};

const DAYS: Parameter =
    Parameter::query("days", "The last so many days, today among them; 30 unless given.", "7");
const START: Parameter = Parameter::query(
    "start",
    "The first day, `YYYY-MM-DD`; together with `end` it wins over `days`.",
    "2026-03-01",
);
const END: Parameter = Parameter::query("end", "The last day, `YYYY-MM-DD`.", "2026-03-15");
const CURRENCY: Parameter =
    Parameter::query("currency", "Asks for the figures in this currency by itself, in ISO 4217.", "EUR");
const RANGE: &[Parameter] = &[DAYS, START, END, CURRENCY];
const SOURCE: Parameter = Parameter::query("source", "Only what came from this source.", "shopify");
const WORKSPACE: Parameter =
    Parameter::query("workspace", "Which, where the dashboard is open; the first unless given.", "demo");
const LIMIT: Parameter = Parameter::query("limit", "How many are listed, at most 100; 20 unless given.", "5");
const EXCLUDE: Parameter = Parameter::query(
    "exclude_flagged",
    "`true` leaves out the orders that a fraud rule has marked; rates of carts and actors keep them.",
    "true",
);
const OF_REPORT: &[Parameter] = &[DAYS, START, END, CURRENCY, SOURCE, EXCLUDE];
const OF_CARTS: &[Parameter] = &[DAYS, START, END, CURRENCY, SOURCE];
const ORDERED: Parameter = Parameter::query(
    "ordered",
    "`true` counts a step only after the one before it, within `window` of the first, which is in the range.",
    "true",
);
const FUNNEL_WINDOW: Parameter =
    Parameter::query("window", "With `ordered`: `30m`, `24h` or `7d`; `24h` unless given.", "7d");
const OF_FUNNEL: &[Parameter] = &[DAYS, START, END, CURRENCY, SOURCE, ORDERED, FUNNEL_WINDOW];
const GRANULARITY: Parameter = Parameter::query(
    "granularity",
    "`day` or `hour`; `day` unless given. By hour each entry has `hour` too, 0 to 23 of the workspace's clock, and a range \
     has at most 92 days.",
    "hour",
);
const OF_TIMESERIES: &[Parameter] = &[DAYS, START, END, CURRENCY, SOURCE, EXCLUDE, GRANULARITY];
const MODEL: Parameter =
    Parameter::query("model", "`last_click`, `linear` or `time_decay`; `last_click` unless given.", "linear");
const WINDOW: Parameter = Parameter::query(
    "window",
    "How many days a touch may lie before its purchase: 7, 14, 30, 60 or 90; 30 unless given.",
    "14",
);
const MONTHS: Parameter =
    Parameter::query("months", "The last so many months, 1 to 24; 6 unless given.", "12");
const USER: Parameter =
    Parameter::query("user_id", "Any identifier of the person.", "june@example.com").required();
const ROWS: Parameter =
    Parameter::query("limit", "How many are listed, at most 1000; 50 unless given.", "100");
const BEFORE: Parameter = Parameter::query(
    "before",
    "Only what arrived before this instant (RFC 3339), or what comes after an answer: its `next_before`.",
    "2026-03-15T12:00:00Z",
);
const ATTRIBUTED: &[Parameter] = &[DAYS, START, END, CURRENCY, SOURCE, MODEL, WINDOW];
const OF_COHORTS: &[Parameter] = &[MONTHS, START, END, CURRENCY];
const OF_PERSON: &[Parameter] = &[USER, DAYS, START, END];
const RANKED: &[Parameter] = &[DAYS, START, END, CURRENCY, SOURCE, EXCLUDE, LIMIT];

const DENIED: Answer = Answer::new(401, "The key is missing or unknown.", r#"{"error":"Invalid API key"}"#);
const PUBLISHABLE: Answer =
    Answer::new(403, "The key is a publishable one.", r#"{"error":"Secret key required"}"#);
const FOREIGN: Answer = Answer::new(
    403,
    "The dashboard is open on this machine alone, and was asked for under another name.",
    r#"{"error":"This dashboard answers to localhost only"}"#,
);
const LOADING: Answer = Answer::again(
    503,
    "Not everything has been read since the start.",
    r#"{"error":"Figures are being loaded"}"#,
);
const UNKNOWN: Answer = Answer::new(404, "The workspace has none of this id.", r#"{"error":"Not found"}"#);
const UNKNOWN_FILE: Answer = Answer::new(404, "There is no such file.", r#"{"error":"Not found"}"#);
const NO_WORKSPACE: Answer = Answer::new(404, "There is no such workspace.", r#"{"error":"Not found"}"#);
const BAD_RANGE: Answer = Answer::new(
    400,
    "The days are no range, end before they start, or are too many.",
    r#"{"error":"Invalid date range"}"#,
);
const BAD_CURRENCY: Answer =
    Answer::new(400, "`currency` is no code of ISO 4217.", r#"{"error":"Invalid currency"}"#);
const BAD_QUERY: Answer = Answer::new(400, "The query can't be decoded.", r#"{"error":"Invalid query"}"#);
const UNSUPPORTED: Answer = Answer::new(
    400,
    "`source` is given: this answer isn't kept apart by source yet.",
    r#"{"error":"source is not supported yet"}"#,
);
const FLAGGED: Answer = Answer::new(
    400,
    "`exclude_flagged` is `true`, and the figures are no sums over orders.",
    r#"{"error":"exclude_flagged is not supported yet"}"#,
);
const BAD_FLAG: Answer = Answer::new(
    400,
    "`exclude_flagged` is neither `true` nor `false`.",
    r#"{"error":"Invalid exclude_flagged"}"#,
);
const BAD_ORDERED: Answer =
    Answer::new(400, "`ordered` is neither `true` nor `false`.", r#"{"error":"Invalid ordered"}"#);
const BAD_FUNNEL_WINDOW: Answer =
    Answer::new(400, "`window` is none of the three.", r#"{"error":"Invalid funnel window"}"#);
const BAD_GRANULARITY: Answer =
    Answer::new(400, "`granularity` is neither `day` nor `hour`.", r#"{"error":"Invalid granularity"}"#);
const TOO_MANY_HOURS: Answer = Answer::new(
    400,
    "`granularity` is `hour`, and the range has more than 92 days.",
    r#"{"error":"granularity=hour is for at most 92 days"}"#,
);
const HOURS_OF_A_SOURCE: Answer = Answer::new(
    400,
    "`granularity` is `hour` and `source` is given: hours aren't kept apart by source yet.",
    r#"{"error":"source is not supported yet"}"#,
);
const BAD_SOURCE: Answer = Answer::new(400, "`source` is no source key.", r#"{"error":"Invalid source"}"#);
const BAD_LIMIT: Answer =
    Answer::new(400, "`limit` is no positive whole number.", r#"{"error":"Invalid limit"}"#);
const BAD_MODEL: Answer =
    Answer::new(400, "`model` is none of the three.", r#"{"error":"Invalid attribution model"}"#);
const BAD_WINDOW: Answer =
    Answer::new(400, "`window` is none of the five.", r#"{"error":"Invalid attribution window"}"#);
const BAD_MONTHS: Answer = Answer::new(400, "`months` isn't 1 to 24.", r#"{"error":"Invalid months"}"#);
const NO_USER: Answer = Answer::new(400, "`user_id` is missing.", r#"{"error":"user_id is required"}"#);
const BAD_BEFORE: Answer = Answer::new(
    400,
    "`before` is neither an instant nor the `next_before` of an answer.",
    r#"{"error":"Invalid before"}"#,
);
const UNCHANGED: Answer = Answer::new(304, "It is what `If-None-Match` names.", "");

/// What every operation answers beside its own answers.
pub const COMMON: &[Answer] = &[
    Answer::new(405, WRONG_METHOD, r#"{"error":"Method not allowed"}"#),
    Answer::new(500, "A fault of this program; its log says which.", r#"{"error":"Internal error"}"#),
];

/// An answer, kept in a file that is named by the operation's id.
macro_rules! shown {
    ($file:literal, $when:literal) => {
        Answer::new(200, $when, include_str!(concat!("operations/", $file)))
    };
}

/// The answers to a question about days.
macro_rules! of_range {
    ($file:literal $(, $further:expr)*) => {
        &[
            shown!($file, "The figures, with `as_of`: the newest arrival that is contained."),
            UNCHANGED,
            BAD_RANGE,
            BAD_CURRENCY,
            BAD_QUERY,
            BAD_FLAG,
            DENIED,
            PUBLISHABLE,
            LOADING,
            $($further),*
        ]
    };
}

/// What all operations have.
const BASE: Operation = Operation {
    id: "",
    method: "GET",
    path: "",
    summary: "",
    description: "",
    credentials: ANALYTICS_SECRET,
    parameters: &[],
    body: None,
    examples: &[],
    answers: &[],
};

const REPORT: &str = "Amounts are in the workspace's base currency, each order's at the rate of its hour. `held` are orders whose rate isn't known yet: they are in no total. With `Accept: text/csv` the \
                      answer is its table.";

/// The reports, which the gateway forwards too.
pub const REPORTS: &[Operation] = &[
    Operation {
        id: "reportOverview",
        path: "/v1/api/analytics/ecommerce/overview",
        summary: "Revenue, orders, refunds, items and rates of a range of days",
        description: REPORT,
        parameters: OF_REPORT,
        answers: of_range!("reportOverview.json", BAD_SOURCE),
        ..BASE
    },
    Operation {
        id: "reportRevenueTimeseries",
        path: "/v1/api/analytics/ecommerce/revenue-timeseries",
        summary: "Revenue and orders of each day, or each hour, of a range",
        description: REPORT,
        parameters: OF_TIMESERIES,
        answers: of_range!(
            "reportRevenueTimeseries.json",
            BAD_SOURCE,
            BAD_GRANULARITY,
            TOO_MANY_HOURS,
            HOURS_OF_A_SOURCE
        ),
        ..BASE
    },
    Operation {
        id: "reportTopProducts",
        path: "/v1/api/analytics/ecommerce/top-products",
        summary: "The products that brought most",
        description: REPORT,
        parameters: RANKED,
        answers: of_range!("reportTopProducts.json", BAD_SOURCE, BAD_LIMIT),
        ..BASE
    },
    Operation {
        id: "reportRevenueByChannel",
        path: "/v1/api/analytics/ecommerce/revenue-by-channel",
        summary: "Revenue and orders by campaign, source and medium",
        description: REPORT,
        parameters: OF_REPORT,
        answers: of_range!("reportRevenueByChannel.json", BAD_SOURCE),
        ..BASE
    },
    Operation {
        id: "reportRevenueByCoupon",
        path: "/v1/api/analytics/ecommerce/revenue-by-coupon",
        summary: "Revenue, orders and discount by coupon",
        description: REPORT,
        parameters: OF_REPORT,
        answers: of_range!("reportRevenueByCoupon.json", BAD_SOURCE),
        ..BASE
    },
    Operation {
        id: "reportRevenueByDevice",
        path: "/v1/api/analytics/ecommerce/revenue-by-device",
        summary: "Revenue and orders by kind of device",
        description: REPORT,
        parameters: OF_REPORT,
        answers: of_range!("reportRevenueByDevice.json", BAD_SOURCE),
        ..BASE
    },
    Operation {
        id: "reportRevenueByPlatform",
        path: "/v1/api/analytics/ecommerce/revenue-by-platform",
        summary: "Revenue and orders by platform",
        description: REPORT,
        parameters: OF_REPORT,
        answers: of_range!("reportRevenueByPlatform.json", BAD_SOURCE),
        ..BASE
    },
    Operation {
        id: "reportRevenueByCountry",
        path: "/v1/api/analytics/ecommerce/revenue-by-country",
        summary: "Revenue and orders by country",
        description: REPORT,
        parameters: OF_REPORT,
        answers: of_range!("reportRevenueByCountry.json", BAD_SOURCE),
        ..BASE
    },
    Operation {
        id: "reportFunnel",
        path: "/v1/api/analytics/ecommerce/funnel",
        summary: "How many people took each step to a purchase",
        description: REPORT,
        parameters: OF_FUNNEL,
        answers: of_range!("reportFunnel.json", BAD_SOURCE, BAD_ORDERED, BAD_FUNNEL_WINDOW, FLAGGED),
        ..BASE
    },
    Operation {
        id: "reportCartAbandonment",
        path: "/v1/api/analytics/ecommerce/cart-abandonment",
        summary: "Carts that were left, and carts that were bought",
        description: REPORT,
        parameters: OF_CARTS,
        answers: of_range!("reportCartAbandonment.json", BAD_SOURCE, FLAGGED),
        ..BASE
    },
    Operation {
        id: "reportAttribution",
        path: "/v1/api/analytics/ecommerce/attribution",
        summary: "Which campaigns have brought the revenue, by one of three models",
        description: REPORT,
        parameters: ATTRIBUTED,
        answers: of_range!("reportAttribution.json", BAD_SOURCE, BAD_MODEL, BAD_WINDOW, FLAGGED),
        ..BASE
    },
    Operation {
        id: "reportCohorts",
        path: "/v1/api/analytics/ecommerce/cohorts",
        summary: "Buyers by the month of their first purchase, and their revenue since",
        description: REPORT,
        parameters: OF_COHORTS,
        answers: of_range!("reportCohorts.json", BAD_MONTHS, BAD_SOURCE, UNSUPPORTED, FLAGGED),
        ..BASE
    },
    Operation {
        id: "reportUserJourney",
        path: "/v1/api/analytics/ecommerce/user-journey",
        summary: "What one person did",
        description: REPORT,
        parameters: OF_PERSON,
        answers: of_range!("reportUserJourney.json", NO_USER, BAD_SOURCE, UNSUPPORTED, FLAGGED),
        ..BASE
    },
];

/// What only this service answers.
pub const OPERATIONS: &[Operation] = &[
    Operation {
        id: "metricsSummary",
        path: "/v1/metrics/summary",
        summary: "Everything that the dashboard shows at once",
        parameters: RANGE,
        answers: of_range!("metricsSummary.json", UNSUPPORTED, BAD_SOURCE, FLAGGED),
        ..BASE
    },
    Operation {
        id: "metricsOutcomes",
        path: "/v1/metrics/outcomes",
        summary: "What became of all deliveries, by stage, source and outcome",
        answers: &[shown!("metricsOutcomes.json", "The counts."), UNCHANGED, DENIED, PUBLISHABLE, LOADING],
        ..BASE
    },
    Operation {
        id: "metricsUsage",
        path: "/v1/metrics/usage",
        summary: "How many events each month had, by source",
        description: "What plans are held against: the gateway asks for it every 5 s. Events of the last seconds may be \
                      missing; `as_of` is the newest arrival that is contained.",
        answers: &[shown!("metricsUsage.json", "The months."), UNCHANGED, DENIED, PUBLISHABLE, LOADING],
        ..BASE
    },
    Operation {
        id: "deadLettersSummary",
        path: "/v1/dead-letters/summary",
        summary: "Dead letters of the last 30 days by reason, and the newest 20",
        description: "No bodies: `tillstream dlq show` has them.",
        answers: &[
            shown!("deadLettersSummary.json", "The letters."),
            UNCHANGED,
            DENIED,
            PUBLISHABLE,
            LOADING,
        ],
        ..BASE
    },
    Operation {
        id: "person",
        path: "/v1/people/{id}",
        summary: "One person: contact, handles, totals",
        parameters: &[Parameter::path(
            "id",
            "Any identifier: a person id, also a former one, a user id, an e-mail address, a customer id.",
            "jane+1@example.com",
        )],
        answers: &[shown!("person.json", "The person."), UNCHANGED, DENIED, PUBLISHABLE, UNKNOWN, LOADING],
        ..BASE
    },
    Operation {
        id: "order",
        path: "/v1/orders/{id}",
        summary: "One order as everybody sees it",
        parameters: &[Parameter::path("id", "Its id, its number, or any other name of it.", "450789469")],
        answers: &[shown!("order.json", "The order."), UNCHANGED, DENIED, PUBLISHABLE, UNKNOWN, LOADING],
        ..BASE
    },
    Operation {
        id: "personEvents",
        path: "/v1/people/{id}/events",
        summary: "What was said of one person, newest arrival first",
        description: "Every event once, under its canonical name, with flags, times and the person that it attached to: \
                      nothing is left out, not tests, backfills or what another source owns. What a person did under a \
                      former id is theirs. An erasure removes all of it. `next_before` is null at the end of the list.",
        parameters: &[
            Parameter::path(
                "id",
                "Any identifier: a person id, also a former one, a user id, an e-mail address, a device.",
                "jane+1@example.com",
            ),
            ROWS,
            BEFORE,
        ],
        answers: &[
            shown!("personEvents.json", "The events."),
            UNCHANGED,
            BAD_LIMIT,
            BAD_BEFORE,
            BAD_QUERY,
            DENIED,
            PUBLISHABLE,
            UNKNOWN,
            LOADING,
        ],
        ..BASE
    },
    Operation {
        id: "orderHistory",
        path: "/v1/orders/{id}/history",
        summary: "Every accepted version of one order, by arrival",
        description: "A row is what one delivery of one source said; no later one changes it. A delivery that came again is \
                      counted in `deliveries` of its row; `stale` is a version that is older than one that its source had \
                      sent before. `customer_email` is shown while the order has a person who has that address.",
        parameters: &[Parameter::path("id", "Its id, its number, or any other name of it.", "450789469")],
        answers: &[
            shown!("orderHistory.json", "The versions."),
            UNCHANGED,
            DENIED,
            PUBLISHABLE,
            UNKNOWN,
            LOADING,
        ],
        ..BASE
    },
    Operation {
        id: "payments",
        path: "/v1/payments",
        summary: "Payments that succeeded, newest arrival first",
        description: "One row per invoice. Without `person`: all of the workspace, also those of nobody. `next_before` is \
                      null at the end of the list.",
        parameters: &[
            Parameter::query("person", "Any identifier of a person.", "jane+1@example.com"),
            ROWS,
            BEFORE,
        ],
        answers: &[
            shown!("payments.json", "The payments."),
            UNCHANGED,
            BAD_LIMIT,
            BAD_BEFORE,
            BAD_QUERY,
            DENIED,
            PUBLISHABLE,
            UNKNOWN,
            LOADING,
        ],
        ..BASE
    },
    Operation {
        id: "dashboard",
        path: "/",
        summary: "The dashboard",
        credentials: &[],
        answers: &[Answer::new(200, "HTML.", ""), UNCHANGED],
        ..BASE
    },
    Operation {
        id: "dashboardAsset",
        path: "/assets/{name}",
        summary: "A file of the dashboard",
        credentials: &[],
        parameters: &[Parameter::path("name", "Its name.", "style.css")],
        answers: &[Answer::new(200, "The file.", ""), UNCHANGED, UNKNOWN_FILE],
        ..BASE
    },
    Operation {
        id: "dashboardAccess",
        path: "/dashboard/access",
        summary: "Says whether the dashboard needs a key",
        description: "The workspaces are named only where no key is needed. `development_key` is there where the \
                      development workspace is, on this machine alone; `development_workspace` is the one that it \
                      opens. `digits` are those after the point of currencies \
                      that haven't two.",
        credentials: &[],
        answers: &[shown!("dashboardAccess.json", "Whether it does."), UNCHANGED, FOREIGN],
        ..BASE
    },
    Operation {
        id: "dashboardPipeline",
        path: "/dashboard/pipeline",
        summary: "What the stages have done since their processes began",
        description: "From the counters of all services that `query.services` names; those that don't answer are named. \
                      Asked at most once a second. A key is asked for unless the dashboard is open.",
        parameters: &[WORKSPACE],
        answers: &[
            shown!("dashboardPipeline.json", "The stages, in the direction of the flow."),
            UNCHANGED,
            BAD_QUERY,
            DENIED,
            PUBLISHABLE,
            FOREIGN,
            NO_WORKSPACE,
        ],
        ..BASE
    },
    Operation {
        id: "dashboardReport",
        path: "/dashboard/reports/{report}",
        summary: "A report, for whoever may see the dashboard",
        description: "The reports of /v1/api/analytics/ecommerce with their parameters, but the journey. A key is asked \
                      for unless the dashboard is open.",
        parameters: &[
            Parameter::path("report", "Its name there.", "overview"),
            WORKSPACE,
            DAYS,
            START,
            END,
            CURRENCY,
            SOURCE,
        ],
        answers: of_range!("dashboardReport.json", BAD_SOURCE, FOREIGN, NO_WORKSPACE),
        ..BASE
    },
    Operation {
        id: "dashboardStream",
        path: "/dashboard/stream",
        summary: "The summary, live, as server-sent events",
        description: "Events are `reading` (`loading`, `live` or `interrupted`), `summary`, at most four a second, and \
                      `beat` after ten quiet seconds. A key is asked for unless the dashboard is open.",
        parameters: &[WORKSPACE, DAYS, START, END, CURRENCY],
        answers: &[
            Answer::new(200, "A stream without end.", ""),
            BAD_RANGE,
            BAD_CURRENCY,
            BAD_QUERY,
            UNSUPPORTED,
            BAD_SOURCE,
            BAD_FLAG,
            FLAGGED,
            DENIED,
            PUBLISHABLE,
            FOREIGN,
            NO_WORKSPACE,
            Answer::again(503, "As many streams as there may be.", r#"{"error":"Too many live streams"}"#),
        ],
        ..BASE
    },
];
