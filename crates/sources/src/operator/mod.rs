//! What an operator says of people: that two handles are one person, or that they never are.
//!
//! It goes the way of everything else: a request at the door, a record of the raw topic with its stamp, an event, a
//! join. So it is replayed with the rest, and says the same whenever it is processed. That two handles aren't one person
//! stands for ever; a merge of them doesn't take it back.

mod deliveries;
mod normalize;
pub(crate) mod operations;

use commerce::person::Identifier;
use commerce::{EventName, Mark, Reason, Source};

use crate::http::{Accepted, Decision, Refused, Reply, Request, stored_headers};
use crate::meter::Meter;
use crate::workspace::Workspaces;
use crate::{Family, Place, analytics, json};

pub(crate) const FAMILY: Family = Family {
    source: Source::Operator,
    title: ("Identity", "Who is whom, said by whoever runs the product."),
    operations: operations::OPERATIONS,
    place,
    accept,
    normalize: normalize::normalize,
    present: crate::analytics::present,
    #[cfg(test)]
    vocabulary: Vec::new,
    deliveries: deliveries::all,
    error,
};

const MERGE: &str = "/v1/identity/merge";
const UNMERGE: &str = "/v1/identity/unmerge";
const BODY_LIMIT: usize = 16 * 1024;

fn place(path: &str) -> Option<Place> {
    event_of(path).map(|_| Place { body_limit: BODY_LIMIT, allow: "POST" })
}

/// What a path says of the two.
fn event_of(path: &str) -> Option<EventName> {
    match path {
        MERGE => Some(EventName::CustomerMerged),
        UNMERGE => Some(EventName::CustomerSeparated),
        _ => None,
    }
}

fn error(status: u16, message: &str, _: &str) -> Reply {
    Reply::new(status, format!(r#"{{"error":{}}}"#, json::quoted(message)))
}

fn accept(request: &Request<'_>, workspaces: &Workspaces, meter: &dyn Meter) -> Decision {
    let refuse = |reason, status, message: &str| Refused::plain(reason, error(status, message, ""));
    let Some(caller) = analytics::caller(request, workspaces, None) else {
        return refuse(Reason::UnknownKey, 401, "Invalid API key");
    };
    if !caller.is_secret {
        return refuse(Reason::KeyNotAllowed, 403, "Secret key required");
    }
    if let Some(early) = analytics::too_fast(&caller, meter) {
        return early;
    }
    let workspace = caller.workspace;
    if let Err(fault) = handles(request.body) {
        return refuse(fault.reason, 400, &fault.message);
    }
    let parts = [b"operator", workspace.id.as_str().as_bytes(), request.path.as_bytes(), request.body];
    Decision::Accept(Accepted {
        keyed: None,
        source: Source::Operator,
        workspace: workspace.id.clone(),
        verdict: "key",
        headers: stored_headers(request, None),
        delivery: Mark::of(&parts),
        body: None,
        reply: Reply::new(200, r#"{"ok":true}"#),
    })
}

/// The two handles of a body; the first one stays where they are merged.
fn handles(body: &[u8]) -> Result<(Identifier, Identifier), commerce::reason::Failure> {
    let failure =
        |field: &str, message: String| commerce::reason::Failure::at(Reason::BadValue, field, message);
    let said = json::bag(body)?;
    let handle = |name: &str| {
        let text = said.get(name).owned().unwrap_or_default();
        Identifier::parse(&text).ok_or_else(|| {
            failure(name, format!("'{name}' isn't a handle such as user:5 or email:jane@example.com"))
        })
    };
    let (a, b) = (handle("a")?, handle("b")?);
    if a == b {
        return Err(failure("b", "'a' and 'b' are the same handle".to_owned()));
    }
    Ok((a, b))
}
