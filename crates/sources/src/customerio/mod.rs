//! The Customer.io Track API (as docs.customer.io documents it under "Track API"): people, their events, and what else its clients send.
//!
//! ```text
//! call     -> what the path names
//! validate -> what the body asks for, or the 400 of it: the same for the door and for the normalizer
//! names    -> what an event's name means
//! fields   -> what an event's data says
//! person   -> who, and with which attributes and consent
//! ```
//!
//! Success is `{}` and a line feed, never 202. What the provider accepts and nothing here speaks of (devices, objects,
//! segments, forms, metrics) is stored and has no event. Of a batch with bad items the body is stored byte for byte,
//! with the places of those that were reported to the sender: they have no event and no dead letter.
//!
//! `/unsubscribe/{delivery_id}` needs no credentials at the provider, which knows the delivery; here nothing else ties
//! it to a workspace, so they are required.

mod authenticate;
mod call;
mod deliveries;
mod fields;
mod names;
mod normalize;
mod operations;
mod person;
mod validate;

use commerce::{EventName, Mark, Reason, Source};

use crate::http::{Accepted, Decision, Refused, Reply, Request, stored_headers};
use crate::meter::Meter;
use crate::workspace::{Workspace, Workspaces};
use crate::{Family, Place, REJECTED_ITEMS, json};
use call::Call;
use validate::{Act, Fault};

pub(crate) const FAMILY: Family = Family {
    source: Source::Customerio,
    title: ("Track", "People and their events, as Customer.io's clients send them."),
    operations: operations::OPERATIONS,
    place,
    accept,
    normalize: normalize::normalize,
    present: authenticate::present,
    #[cfg(test)]
    vocabulary: || vocabulary().collect(),
    deliveries: deliveries::all,
    error,
};

/// The names that have a meaning without a setting.
pub(crate) fn vocabulary() -> impl Iterator<Item = (&'static str, EventName)> {
    names::TABLE.iter().copied()
}

/// Beyond all limits of the contract, so that their faults are told in the shape of the operation.
const BODY_LIMIT: usize = 1024 * 1024;

/// Requests a second of one credential, where the workspace sets no other limit.
const DEFAULT_PACE: u32 = 1_000;

/// The most faults of one batch that are told one by one; their places are stored in a header of the record.
const MOST_FAULTS: usize = 1_000;

const SUCCESS: &str = "{}\n";

fn place(path: &str) -> Option<Place> {
    Call::parse(path).map(|call| Place { body_limit: BODY_LIMIT, allow: call.allow() })
}

/// The shape of version 1. A body that is too large is a 400 here.
fn error(status: u16, message: &str, _: &str) -> Reply {
    let status = if status == 413 { 400 } else { status };
    let message = json::quoted(message);
    Reply::new(status, format!(r#"{{"meta":{{"error":{message},"errors":[{message}]}}}}"#))
}

/// The fields of a fault in the shape of version 2.
fn fields_of(fault: &Fault) -> String {
    let (field, message) = (json::quoted(&fault.field), json::quoted(&fault.message));
    format!(r#""reason":"{}","field":{field},"message":{message}"#, fault.kind.as_str())
}

fn refuse(call: &Call, fault: &Fault, correlation: &str) -> Decision {
    let reply = if call.is_v2() {
        Reply::new(400, format!(r#"{{"errors":[{{{}}}]}}"#, fields_of(fault)))
    } else {
        error(400, &fault.message, correlation)
    };
    Refused::plain(fault.kind.reason(), reply)
}

fn accept(request: &Request<'_>, workspaces: &Workspaces, meter: &dyn Meter) -> Decision {
    let Some(call) = Call::parse(request.path) else {
        return Refused::plain(Reason::UnknownPath, error(404, "not found", request.correlation));
    };
    let Some((workspace, credential)) = authenticate::tenant(request, workspaces) else {
        return Refused::plain(Reason::UnknownKey, error(401, "Unauthorized request", request.correlation));
    };
    let pace = workspace.plan.requests_per_second.unwrap_or(DEFAULT_PACE);
    if let Err(seconds) = meter.pace(credential, pace) {
        let reply = error(429, "too many requests", request.correlation);
        return Refused::plain(Reason::RateLimited, Reply { retry_after: Some(seconds.max(1)), ..reply });
    }
    if call == Call::Region {
        return Decision::Answer(region(request, workspace));
    }
    let deletes = request.method == http::Method::DELETE;
    let acts = match validate::read(&call, deletes, request.body, workspace) {
        Ok(acts) => acts,
        Err(fault) => return refuse(&call, &fault, request.correlation),
    };
    let faults: Vec<(usize, &Fault)> =
        acts.iter().enumerate().filter_map(|(index, act)| Some((index, act.as_ref().err()?))).collect();
    let reply = match (&call, faults.first()) {
        (Call::Form, _) => Reply::new(204, ""),
        (_, None) => Reply::new(200, SUCCESS),
        (_, Some(_)) if faults.len() > MOST_FAULTS => {
            let message = format!("more than {MOST_FAULTS} items of the batch are invalid");
            return refuse(&call, &Fault::invalid("batch", message), request.correlation);
        }
        (_, Some((_, first))) => {
            let reply = partly(&faults);
            if faults.len() == acts.len() {
                return Refused::plain(first.kind.reason(), reply);
            }
            reply
        }
    };
    if acts.is_empty() {
        return Decision::Answer(reply);
    }
    let mut headers = stored_headers(request, None);
    headers.push((METHOD.to_owned(), request.method.to_string()));
    if let Some(kind) = request.parameter("id_type") {
        headers.push(("query.id_type".to_owned(), kind));
    }
    if !faults.is_empty() {
        let places: Vec<String> = faults.iter().map(|(index, _)| index.to_string()).collect();
        headers.push((REJECTED_ITEMS.to_owned(), places.join(",")));
    }
    Decision::Accept(Accepted {
        keyed: None,
        source: Source::Customerio,
        workspace: workspace.id.clone(),
        verdict: "key",
        headers,
        delivery: delivery(workspace, request, &acts),
        body: None,
        reply,
    })
}

/// The header that says whether a person was put or deleted.
const METHOD: &str = "method";

/// The answer to a batch of which items are bad; the others are taken.
fn partly(faults: &[(usize, &Fault)]) -> Reply {
    let entries: Vec<String> = faults
        .iter()
        .map(|(index, fault)| format!(r#"{{"batch_index":{index},{}}}"#, fields_of(fault)))
        .collect();
    Reply::new(207, format!(r#"{{"errors":[{}]}}"#, entries.join(",")))
}

/// The caller is told to stay where it is.
fn region(request: &Request<'_>, workspace: &Workspace) -> Reply {
    let url = json::quoted(request.header("host").unwrap_or_default());
    let environment = json::quoted(workspace.id.as_str());
    Reply::new(200, format!(r#"{{"url":{url},"region":"us","environment_id":{environment}}}"#))
}

/// The mark of a delivery: the sender's id of its only event, else everything that it consists of.
fn delivery(workspace: &Workspace, request: &Request<'_>, acts: &[Result<Act<'_>, Fault>]) -> Mark {
    let workspace = workspace.id.as_str();
    if let [Ok(Act::Track(track))] = acts
        && let Some(id) = track.id()
    {
        return by_id(workspace, &id);
    }
    let method = request.method.as_str().as_bytes();
    Mark::of(&[b"customerio", workspace.as_bytes(), b"body", method, request.path.as_bytes(), request.body])
}

/// The transport key of an event that its sender has given an id.
fn by_id(workspace: &str, id: &str) -> Mark {
    Mark::of(&[b"customerio", workspace.as_bytes(), b"id", id.as_bytes()])
}
