//! What the documentation says of an operation: plain data beside the code that it describes.
//!
//! Each source has a file `operations.rs`. What stands there is held against the code by `tests/it/operations.rs`: paths
//! are routed, examples get exactly the answer that is shown, and a field that is called required is.

use commerce::Source;

use crate::Reply;

pub use crate::analytics::operations::SECRET as ANALYTICS_SECRET;

/// One method at one path.
#[derive(Debug)]
pub struct Operation {
    /// Names it for code generators: `shopifyWebhook`. Never changed.
    pub id: &'static str,
    /// `POST`
    pub method: &'static str,
    /// With parameters in braces: `/webhooks/shopify/{resource}/{action}`.
    pub path: &'static str,
    /// A line without a full stop.
    pub summary: &'static str,
    /// What a sender has to know beyond the summary, in sentences; may be empty.
    pub description: &'static str,
    /// Any one of them lets a request in; empty where none is asked for.
    pub credentials: &'static [Credential],
    /// Those of the path, of the query and of the head.
    pub parameters: &'static [Parameter],
    /// What the body is, if there is one.
    pub body: Option<Body>,
    /// Requests with the answers that they get.
    pub examples: &'static [Example],
    /// All answers but those that every operation has, see [`common_answers`].
    pub answers: &'static [Answer],
}

/// A way to say who asks.
#[derive(Debug)]
pub struct Credential {
    /// Names it within the documentation.
    pub name: &'static str,
    /// Where it stands.
    pub scheme: Scheme,
    /// How it is made or where it comes from, in sentences.
    pub text: &'static str,
}

/// Where a credential stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scheme {
    /// In a header of that name.
    Header(&'static str),
    /// In a query parameter of that name.
    Query(&'static str),
    /// `Authorization: Basic`.
    Basic,
    /// `Authorization: Bearer`.
    Bearer,
}

/// Where a parameter stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum In {
    /// In the path, where it is required.
    Path,
    /// After the `?`.
    Query,
    /// In the head.
    Header,
}

/// A parameter.
#[derive(Debug)]
pub struct Parameter {
    /// Its name.
    pub name: &'static str,
    /// Where it stands.
    pub place: In,
    /// Whether a request without it is refused.
    pub required: bool,
    /// What it means, in sentences.
    pub text: &'static str,
    /// A value that works in the development workspace.
    pub example: &'static str,
    /// All values that there are; empty where there is no such list.
    pub values: &'static [&'static str],
}

impl Parameter {
    /// One of the path.
    pub const fn path(name: &'static str, text: &'static str, example: &'static str) -> Self {
        Self { name, place: In::Path, required: true, text, example, values: &[] }
    }

    /// One of the query that may be left out.
    pub const fn query(name: &'static str, text: &'static str, example: &'static str) -> Self {
        Self { name, place: In::Query, required: false, text, example, values: &[] }
    }

    /// One of the head that may be left out.
    pub const fn header(name: &'static str, text: &'static str, example: &'static str) -> Self {
        Self { name, place: In::Header, required: false, text, example, values: &[] }
    }

    /// The same, without which a request is refused.
    pub const fn required(self) -> Self {
        Self { required: true, ..self }
    }

    /// The same, with all its values.
    pub const fn one_of(self, values: &'static [&'static str]) -> Self {
        Self { values, ..self }
    }
}

/// A JSON body.
#[derive(Debug)]
pub struct Body {
    /// What it is, in sentences.
    pub text: &'static str,
    /// What it is made of, at its top. Further fields are always allowed.
    pub fields: &'static [Field],
}

/// A field of a body.
#[derive(Debug)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// What may stand there.
    pub kind: Kind,
    /// Whether every body without it is refused.
    pub required: bool,
    /// What it means, in sentences.
    pub text: &'static str,
}

impl Field {
    /// A field that may be left out.
    pub const fn new(name: &'static str, kind: Kind, text: &'static str) -> Self {
        Self { name, kind, required: false, text }
    }

    /// The same, without which a body is refused.
    pub const fn required(self) -> Self {
        Self { required: true, ..self }
    }
}

/// What may stand in a field.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A text.
    Text,
    /// A text or a number.
    Id,
    /// An amount in major units, as a decimal text or a number.
    Amount,
    /// A whole number.
    Whole,
    /// A text in ISO 8601.
    Time,
    /// Unix seconds.
    Unix,
    /// An object.
    Object,
    /// A list of objects.
    Objects,
    /// `true` or `false`.
    Flag,
    /// Any JSON.
    Any,
}

/// A request that works in the development workspace, and its answer.
#[derive(Debug)]
pub struct Example {
    /// Names it; `schemas/examples/<name>.json` is its body, if it has one.
    pub name: &'static str,
    /// The JSON text, empty for a request without a body.
    pub body: &'static str,
    /// Parameters that differ from [`Parameter::example`] or are optional.
    pub given: &'static [(&'static str, &'static str)],
    /// What it is answered.
    pub status: u16,
    /// The JSON text of the answer, for the correlation id [`CORRELATION`] at [`RECEIVED_AT`].
    pub answer: &'static str,
}

impl Example {
    /// A request without a body.
    pub(crate) const fn bodiless(name: &'static str, status: u16, answer: &'static str) -> Self {
        Self { name, body: "", given: &[], status, answer }
    }

    /// The same, with parameters.
    pub(crate) const fn given(self, given: &'static [(&'static str, &'static str)]) -> Self {
        Self { given, ..self }
    }
}

/// An example whose body is a file.
macro_rules! example {
    ($name:literal, $status:literal, $answer:expr) => {
        $crate::operation::Example {
            name: $name,
            body: include_str!(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/../../schemas/examples/",
                $name,
                ".json"
            )),
            given: &[],
            status: $status,
            answer: $answer,
        }
    };
}
pub(crate) use example;

/// The correlation id in the answers that are shown.
pub const CORRELATION: &str = "0af7651916cd43dd8448eb211c80319c";

/// When the requests that are shown arrive.
pub const RECEIVED_AT: &str = "2026-03-14T16:00:00Z";

/// An answer, and what it is given to.
#[derive(Clone, Copy, Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// When it is given, in a sentence.
    pub when: &'static str,
    /// A JSON text as an example; empty where there is none beside those of the requests that are shown.
    pub body: &'static str,
    /// Whether `Retry-After` says when to come again.
    pub retry_after: bool,
}

impl Answer {
    /// An answer with an example of its body.
    pub const fn new(status: u16, when: &'static str, body: &'static str) -> Self {
        Self { status, when, body, retry_after: false }
    }

    /// An answer with `Retry-After` and an example of its body.
    pub const fn again(status: u16, when: &'static str, body: &'static str) -> Self {
        Self { status, when, body, retry_after: true }
    }
}

/// When a path answers 405.
pub const WRONG_METHOD: &str = "The method is none of those that the path has, which `Allow` names.";

/// All operations of all sources, in the order in which the sources are served.
pub fn all() -> impl Iterator<Item = (Source, &'static Operation)> {
    crate::FAMILIES
        .iter()
        .flat_map(|family| family.operations.iter().map(|operation| (family.source, operation)))
}

/// The answers that every operation of a source has, made by the code that gives them, and what they are given to.
pub fn common_answers(source: Source) -> Vec<(&'static str, Reply)> {
    let unreadable = |status| Reply { status, ..crate::unreadable_body(source, CORRELATION) };
    vec![
        ("The body broke off or can't be decompressed.", unreadable(400)),
        (WRONG_METHOD, crate::wrong_method("")),
        ("The body didn't arrive in time.", unreadable(408)),
        (
            "The body is larger than the limit, before or after decompression.",
            crate::too_large(source, CORRELATION),
        ),
        ("The `Content-Encoding` is another one than gzip.", unreadable(415)),
        (
            "The delivery can't be stored now, and nothing of it was kept: send it again.",
            crate::unavailable(source, CORRELATION),
        ),
    ]
}
