//! Sources: from an HTTP request to a stored delivery, and from a stored delivery to canonical events.
//!
//! | step | in | out |
//! |---|---|---|
//! | [`route`] | method and path | the source and the greatest body, or 404 / 405 |
//! | [`accept`] | the request, its body complete | [`Decision`]: what to store and answer, or what to refuse |
//! | [`normalize`] | a stored delivery ([`Raw`]) | an [`Item`] per event, or why the whole body can't be read |
//!
//! Pure: no socket, no clock, no Kafka. What a source promises its senders is in its `operations.rs`, as `/docs` shows it:
//!
//! - **Accepted** means authenticated, and checked as far as the source's contract lets its sender be told. The reply
//!   may be sent only once the body is committed. What is stored beside the body holds no secret.
//! - **Refused** writes nothing, unless the contract keeps the body: then there is a [`Letter`] for the dead letters.
//! - **A failure to normalize** names a stable reason and the field at fault; the bytes stay in the raw topic.
//! - The same delivery gives the same events, ids included, whenever and wherever it is read.
//!
//! Each source is one folder (`authenticate`, `validate`, `normalize`, `operations`, `deliveries`) and one line of [`FAMILIES`].

mod analytics;
mod checkout;
mod country;
mod customer;
mod customerio;
mod envelope;
pub mod http;
mod json;
mod label;
mod lifesight;
pub mod meter;
pub mod operation;
mod operator;
mod order;
mod phone;
mod present;
mod read;
pub mod records;
mod sequenzy;
mod shopify;
mod stripe;
pub mod taxonomy;
pub mod workspace;

#[cfg(test)]
use commerce::EventName;
use commerce::event::Fraud;
use commerce::reason::Failure;
use commerce::{Event, Reason, ReceivedTime, Source};

pub use crate::http::{Accepted, Decision, Keyed, Letter, OtherContent, Refused, Reply, Request, Route};
pub use crate::label::{is_load_label, is_test_label};
pub use crate::meter::Meter;
pub use crate::present::Presented;
pub use crate::workspace::{TestAccounts, Workspace, WorkspaceConfig, Workspaces};

/// What a source brings along.
struct Family {
    source: Source,
    /// What the documentation calls it, and what it is in a sentence.
    title: (&'static str, &'static str),
    /// What the documentation says of each of its paths.
    operations: &'static [operation::Operation],
    /// What a path of this source allows, `None` if the path is not its own.
    place: fn(path: &str) -> Option<Place>,
    accept: fn(&Request<'_>, &Workspaces, &dyn Meter) -> Decision,
    normalize: fn(&Raw<'_>) -> Result<Vec<Item>, Failure>,
    /// What opens the door for a request of a workspace, as its sender makes it.
    present: fn(&WorkspaceConfig, body: &[u8], now: ReceivedTime) -> Option<Presented>,
    /// Its own names of its events and what they are named after, where it has a list of them.
    #[cfg(test)]
    vocabulary: fn() -> Vec<(&'static str, EventName)>,
    /// A request for each of its names, for the taxonomy.
    deliveries: fn() -> Vec<taxonomy::Delivery>,
    /// An error in the source's shape; the last argument is the correlation id.
    error: fn(status: u16, message: &str, correlation: &str) -> Reply,
}

/// What a path allows.
struct Place {
    body_limit: usize,
    /// Methods, as `Allow` has them: `PUT, DELETE`.
    allow: &'static str,
}

/// All sources that are served: one line each.
static FAMILIES: &[Family] = &[
    shopify::FAMILY,
    stripe::FAMILY,
    lifesight::FAMILY,
    sequenzy::FAMILY,
    customerio::FAMILY,
    analytics::FAMILY,
    records::FAMILY,
    operator::FAMILY,
];

/// 5 MiB, the limit of webhooks (R8.6).
const WEBHOOK_LIMIT: usize = 5 * 1024 * 1024;

/// After how many seconds a refused delivery should come again.
const RETRY_AFTER: u32 = 5;

/// Says which source a path belongs to. `Err` is the 404 or 405 to answer.
pub fn route(method: &::http::Method, path: &str) -> Result<Route, Reply> {
    let found = FAMILIES.iter().find_map(|family| (family.place)(path).map(|place| (family.source, place)));
    let Some((source, place)) = found else { return Err(Reply::new(404, r#"{"error":"not found"}"#)) };
    if !place.allow.split(", ").any(|allowed| allowed == method.as_str()) {
        return Err(wrong_method(place.allow));
    }
    Ok(Route { source, body_limit: place.body_limit })
}

/// The answer to another method than a path has.
fn wrong_method(allow: &'static str) -> Reply {
    Reply { allow: Some(allow), ..Reply::new(405, r#"{"error":"method not allowed"}"#) }
}

/// Authenticates and checks a request. What it may use up is asked of `meter`.
pub fn accept(route: &Route, request: &Request<'_>, workspaces: &Workspaces, meter: &dyn Meter) -> Decision {
    let decision = match family(route.source) {
        Some(family) => (family.accept)(request, workspaces, meter),
        None => Refused::plain(Reason::UnknownPath, Reply::new(404, r#"{"error":"not found"}"#)),
    };
    match decision {
        Decision::Accept(accepted) => Decision::Accept(label::told(accepted, request, workspaces)),
        other => other,
    }
}

/// The answer to a body beyond [`Route::body_limit`].
pub fn too_large(source: Source, correlation: &str) -> Reply {
    error(source, 413, "payload too large", correlation)
}

/// The answer when the record can't be committed now: the sender retries.
pub fn unavailable(source: Source, correlation: &str) -> Reply {
    Reply { retry_after: Some(RETRY_AFTER), ..error(source, 503, "unavailable", correlation) }
}

/// The answer while another request of the same key is on its way: the sender comes again.
pub fn in_progress(source: Source, correlation: &str) -> Reply {
    let message = "a request with this key is being processed";
    Reply { retry_after: Some(1), ..error(source, 409, message, correlation) }
}

/// The answer to a body that broke off or can't be decompressed.
pub fn unreadable_body(source: Source, correlation: &str) -> Reply {
    error(source, 400, "unreadable body", correlation)
}

/// A delivery as it is stored in the raw topic.
#[derive(Clone, Copy, Debug)]
pub struct Raw<'a> {
    /// The family.
    pub source: Source,
    /// The tenant.
    pub workspace: &'a Workspace,
    /// The gateway's stamp.
    pub received_at: ReceivedTime,
    /// Place in the raw topic.
    pub partition: i32,
    /// Place in the raw topic.
    pub offset: i64,
    /// What [`Accepted::headers`] stored; further ones do no harm.
    pub headers: &'a [(&'a str, &'a str)],
    /// The exact body.
    pub body: &'a [u8],
}

impl<'a> Raw<'a> {
    /// A stored header by its full name: `path`, `query.source`, `http.x-shopify-topic`.
    pub fn header(&self, name: &str) -> Option<&'a str> {
        self.headers.iter().find(|(key, _)| *key == name).map(|(_, value)| *value)
    }

    /// A stored header of the request; `name` in lower case.
    pub(crate) fn http_header(&self, name: &str) -> Option<&'a str> {
        let stored = self.headers.iter().find(|(key, _)| key.strip_prefix("http.") == Some(name));
        stored.map(|(_, value)| *value)
    }

    /// The verdict that the gateway's fraud rules gave on an item: `<item>:<severity>:<rule>,<rule>;…`.
    pub(crate) fn fraud(&self, item: i32) -> Option<Fraud> {
        self.header(FRAUD)?.split(';').find_map(|verdict| {
            let mut parts = verdict.splitn(3, ':');
            let (of, severity, rules) = (parts.next()?, parts.next()?, parts.next()?);
            let severity = severity.parse().ok().filter(|_| of.parse() == Ok(item))?;
            Some(Fraud { severity, rules: rules.split(',').map(str::to_owned).collect() })
        })
    }

    /// True for an item that the gateway refused within a batch whose rest it took.
    pub(crate) fn is_rejected(&self, item: i32) -> bool {
        let rejected = self.header(REJECTED_ITEMS).unwrap_or_default();
        rejected.split(',').any(|of| of.parse() == Ok(item))
    }
}

/// The header that tells apart uses of one key of a sender's: present when the key was used before and that is over.
pub const KEY_ROUND: &str = "key_round";

/// The header with the verdicts of the fraud rules.
pub(crate) const FRAUD: &str = "fraud";

/// The header that lists the items which the gateway refused, by their places in the body.
pub(crate) const REJECTED_ITEMS: &str = "rejected_items";

/// One item of a body: its event, or why it has none.
pub type Item = Result<Event, Fault>;

/// An item of a batch that can't become an event, while others of the batch can.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fault {
    /// Its place in the body, as in [`Event::raw_item`].
    pub item: i32,
    /// What is wrong with it.
    pub failure: Failure,
}

/// Reads a stored delivery. `Err` says why nothing of the body can be read: it is one dead letter.
pub fn normalize(raw: &Raw<'_>) -> Result<Vec<Item>, Failure> {
    match family(raw.source) {
        Some(family) => (family.normalize)(raw),
        None => Err(Failure::new(Reason::UnsupportedEvent, "the source is not served")),
    }
}

/// What the documentation calls a source, and what it is in a sentence.
pub fn title(source: Source) -> (&'static str, &'static str) {
    family(source).map_or(("", ""), |family| family.title)
}

/// What opens the door of a source for a request of a workspace, as its sender makes it: the first of its credentials, and
/// the signature where it signs. `None` where it has no credential.
pub fn present(
    source: Source,
    workspace: &WorkspaceConfig,
    body: &[u8],
    now: ReceivedTime,
) -> Option<Presented> {
    (family(source)?.present)(workspace, body, now)
}

fn family(source: Source) -> Option<&'static Family> {
    FAMILIES.iter().find(|family| family.source == source)
}

fn error(source: Source, status: u16, message: &str, correlation: &str) -> Reply {
    match family(source) {
        Some(family) => (family.error)(status, message, correlation),
        None => Reply::new(status, format!(r#"{{"error":{}}}"#, json::quoted(message))),
    }
}
