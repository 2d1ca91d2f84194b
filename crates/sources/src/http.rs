//! What the gateway hands in and gets back. Nothing here knows a web framework.

use std::net::IpAddr;

use commerce::reason::Failure;
use commerce::{Mark, Reason, ReceivedTime, Source, WorkspaceId};

/// One request, its body complete and no longer compressed.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The method.
    pub method: &'a http::Method,
    /// The path, as it was sent.
    pub path: &'a str,
    /// What follows the `?`, as it was sent.
    pub query: Option<&'a str>,
    /// All headers.
    pub headers: &'a http::HeaderMap,
    /// The exact bytes that a signature covers.
    pub body: &'a [u8],
    /// When it arrived.
    pub received_at: ReceivedTime,
    /// Names the answer: `x-correlation-id`.
    pub correlation: &'a str,
    /// The address that it came from, where it is known. It is never stored.
    pub peer: Option<IpAddr>,
}

impl<'a> Request<'a> {
    /// A header that is visible ASCII; `name` in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&'a str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The first value of a query parameter, decoded, trimmed and not empty.
    pub(crate) fn parameter(&self, name: &str) -> Option<String> {
        form_urlencoded::parse(self.query?.as_bytes())
            .filter(|(key, _)| key == name)
            .map(|(_, value)| value.trim().to_owned())
            .find(|value| !value.is_empty())
    }
}

/// What a path leads to: known before the body is read, so that the body can be bounded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Route {
    /// The family.
    pub source: Source,
    /// The greatest body in bytes, before and after decompression.
    pub body_limit: usize,
}

/// An answer. The body is JSON.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// The JSON text.
    pub body: String,
    /// `Retry-After`, in whole seconds.
    pub retry_after: Option<u32>,
    /// `Allow`, of a 405.
    pub allow: Option<&'static str>,
    /// `Idempotency-Replayed: true`: it was the answer to an earlier request of the same key.
    pub replayed: bool,
}

impl Reply {
    /// An answer with nothing but a status and a JSON body.
    pub fn new(status: u16, body: impl Into<String>) -> Self {
        Self { status, body: body.into(), retry_after: None, allow: None, replayed: false }
    }
}

/// What becomes of a request at the door.
#[must_use = "a decision that is dropped is a delivery that vanished"]
#[derive(Clone, PartialEq, Debug)]
pub enum Decision {
    /// Commit it to the raw topic, then send the reply.
    Accept(Accepted),
    /// Send the reply; write no raw record.
    Refuse(Refused),
    /// A question that leaves nothing behind: send the reply.
    Answer(Reply),
}

/// A delivery that is to be stored. The reply may be sent only after the record is committed.
#[derive(Clone, PartialEq, Debug)]
pub struct Accepted {
    /// The family.
    pub source: Source,
    /// The tenant of the credential.
    pub workspace: WorkspaceId,
    /// How it was authenticated: `hmac` or `key`.
    pub verdict: &'static str,
    /// What is stored beside the body, without secrets: `path`, `query.*`, `http.*`, and `space` where the
    /// credential names it.
    pub headers: Vec<(String, String)>,
    /// The transport key (R9.1): the same delivery again has the same mark, and so the same partition.
    pub delivery: Mark,
    /// What is stored in place of the body, where the body held a credential.
    pub body: Option<Vec<u8>>,
    /// The answer, once the record is committed.
    pub reply: Reply,
    /// Present when the sender named its request: then what was answered before decides.
    pub keyed: Option<Keyed>,
}

/// A request that its sender gave a key (R9). It is asked first what the key was used for before.
#[derive(Clone, PartialEq, Debug)]
pub struct Keyed {
    /// The key with all that it is scoped by.
    pub key: Mark,
    /// What the request says: the same key with another content is another request.
    pub content: Mark,
    /// What that other request is.
    pub other: OtherContent,
    /// How many records were taken, each of which is a duplicate when the request comes again.
    pub records: u32,
    /// What is kept of a request whose key stands for another content.
    pub letter: Letter,
}

/// What becomes of a request whose key came before with another content (D-REC-1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OtherContent {
    /// The first one stands and is answered; the other one is a dead letter.
    IsLetter,
    /// It is applied: the last one counts.
    IsApplied,
}

/// A request that is not stored in the raw topic.
#[derive(Clone, PartialEq, Debug)]
pub struct Refused {
    /// Why; the label of the counter.
    pub reason: Reason,
    /// The answer.
    pub reply: Reply,
    /// Present when the sender is known and the contract keeps what it sent: written as a dead letter.
    pub letter: Option<Letter>,
    /// Present when the request's key may have been answered before, and then that is the answer.
    pub keyed: Option<Keyed>,
}

impl Refused {
    /// A refusal that leaves nothing behind.
    pub(crate) fn plain(reason: Reason, reply: Reply) -> Decision {
        Decision::Refuse(Self { reason, reply, letter: None, keyed: None })
    }
}

/// What a dead letter of the gateway needs beside the body.
#[derive(Clone, PartialEq, Debug)]
pub struct Letter {
    /// The tenant of the credential.
    pub workspace: WorkspaceId,
    /// How it was authenticated.
    pub verdict: &'static str,
    /// As [`Accepted::headers`].
    pub headers: Vec<(String, String)>,
    /// What is wrong: the first fault, where there are several.
    pub failure: Failure,
}

/// The headers that every source stores: those of HTTP that help a person, and our own label of a backfill.
pub(crate) fn stored_headers(request: &Request<'_>, prefix: Option<&str>) -> Vec<(String, String)> {
    const ALWAYS: [&str; 4] = ["content-type", "user-agent", BACKFILL, IMPORT];
    let mut stored = vec![("path".to_owned(), request.path.to_owned())];
    for (name, value) in request.headers {
        let name = name.as_str();
        let own = prefix.is_some_and(|prefix| name.starts_with(prefix)) && !name.contains("hmac");
        if let Ok(value) = value.to_str()
            && (own || ALWAYS.contains(&name))
        {
            stored.push((format!("http.{name}"), value.to_owned()));
        }
    }
    stored
}

/// The header that labels a load (R13.1).
pub(crate) const BACKFILL: &str = "tillstream-backfill";

/// The header by which `tillstream import` labels what it sends.
pub(crate) const IMPORT: &str = "tillstream-import";
