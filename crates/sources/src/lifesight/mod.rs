//! The custom backend webhook (in the form that Lifesight documents for custom backends): one address, the event named in the query.
//!
//! The sender is told at the door what is missing, with all paths at once; the body that was refused is kept as a dead
//! letter under the first of them. `source` names the sending system: it is the space of all ids.

mod authenticate;
mod deliveries;
mod normalize;
mod operations;
mod validate;

use crate::http::{Accepted, Decision, Letter, Refused, Reply, Request, stored_headers};
use crate::meter::Meter;
use crate::workspace::Workspaces;
use crate::{Family, Place, WEBHOOK_LIMIT, json};
use authenticate::Denied;
use commerce::reason::Failure;
use commerce::{EventName, Mark, Reason, Source};
use validate::{Fault, Kind};

pub(crate) const FAMILY: Family = Family {
    source: Source::Lifesight,
    title: ("Custom backend", "Orders, checkouts and customers of a backend of one's own."),
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

/// The names of its events, and what each is named after.
pub(crate) fn vocabulary() -> impl Iterator<Item = (&'static str, EventName)> {
    Kind::ALL.into_iter().map(|kind| (kind.as_str(), kind.event()))
}

fn place(path: &str) -> Option<Place> {
    (path == "/transform-webhook-data").then_some(Place { body_limit: WEBHOOK_LIMIT, allow: "POST" })
}

fn error(status: u16, message: &str, _: &str) -> Reply {
    Reply::new(status, format!(r#"{{"success":false,"error":{}}}"#, json::quoted(message)))
}

/// The 400 that lists what is wrong.
fn faulty(faults: &[Fault]) -> Reply {
    let entries: Vec<_> = faults
        .iter()
        .map(|fault| {
            format!(r#"{{"field":{},"message":{}}}"#, json::quoted(&fault.field), json::quoted(fault.message))
        })
        .collect();
    Reply::new(400, format!(r#"{{"success":false,"errors":[{}]}}"#, entries.join(",")))
}

fn accept(request: &Request<'_>, workspaces: &Workspaces, meter: &dyn Meter) -> Decision {
    let (workspace, credential) = match authenticate::tenant(request, workspaces) {
        Ok(known) => known,
        Err(Denied::UnknownKey) => {
            return Refused::plain(Reason::UnknownKey, error(401, "invalid key", request.correlation));
        }
        Err(Denied::OtherWorkspace) => {
            let reply = error(403, "key does not belong to workspace", request.correlation);
            return Refused::plain(Reason::WrongWorkspace, reply);
        }
    };
    // Before the body is read: a sender that is too fast is told so whatever it sends.
    if let Some(limit) = workspace.plan.requests_per_second
        && let Err(seconds) = meter.pace(credential, limit)
    {
        let reply = error(429, "too many requests", request.correlation);
        return Refused::plain(Reason::RateLimited, Reply { retry_after: Some(seconds.max(1)), ..reply });
    }
    let Some(kind) = request.parameter("event_name").and_then(|name| Kind::parse(&name)) else {
        let fault = Fault::new("event_name", Reason::UnsupportedEvent, "unknown event_name");
        return Refused::plain(fault.reason, faulty(&[fault]));
    };
    let named = request.parameter("source");
    let space = named.as_deref().unwrap_or(DEFAULT_SPACE);
    if space.chars().count() > LONGEST_SPACE {
        let fault = Fault::new("source", Reason::BadValue, "must have 1 to 100 characters");
        return Refused::plain(fault.reason, faulty(&[fault]));
    }
    let mut headers = stored_headers(request, None);
    // Only these: `key` is a secret, and what else is in the address may be one.
    for name in ["workspace", "source", "event_name"] {
        if let Some(value) = request.parameter(name) {
            headers.push((format!("query.{name}"), value));
        }
    }
    let (workspace, verdict) = (workspace.id.clone(), "key");
    match validate::body(kind, request.body) {
        Ok(id) => Decision::Accept(Accepted {
            keyed: None,
            source: Source::Lifesight,
            delivery: transport(workspace.as_str(), space, kind, request.body),
            workspace,
            verdict,
            headers,
            body: None,
            reply: Reply::new(
                200,
                format!(r#"{{"success":true,"event":"{}","id":{}}}"#, kind.as_str(), json::quoted(&id)),
            ),
        }),
        Err(faults) => {
            let failure = faults.first().map_or_else(
                || Failure::new(Reason::MissingField, "a field is absent"),
                |fault| Failure::at(fault.reason, fault.field.as_str(), fault.message),
            );
            Decision::Refuse(Refused {
                reason: failure.reason,
                reply: faulty(&faults),
                letter: Some(Letter { workspace, verdict, headers, failure }),
                keyed: None,
            })
        }
    }
}

/// The name of a sending system that has not given one.
const DEFAULT_SPACE: &str = "custom";

const LONGEST_SPACE: usize = 100;

/// The transport key: everything that the delivery consists of.
fn transport(workspace: &str, space: &str, kind: Kind, body: &[u8]) -> Mark {
    Mark::of(&[b"lifesight", workspace.as_bytes(), space.as_bytes(), kind.as_str().as_bytes(), body])
}
