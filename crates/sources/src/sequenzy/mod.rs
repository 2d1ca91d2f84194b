//! Pushed orders (as Sequenzy documents its push-order call): one call an order and status, and one for a checkout that was started.
//!
//! | step | promise |
//! |---|---|
//! | `authenticate` | a Bearer key names the tenant; anything else is 401 and leaves nothing |
//! | `validate` | a body is read into a push, or answered 400 with all its faults |
//! | `normalize` | a push gives its order or checkout, and its customer |
//!
//! The answer says nothing of what became of the push: 202 once the bytes are safe, the same for every repeat.

mod authenticate;
mod check;
mod deliveries;
mod normalize;
mod operations;
mod validate;

use crate::http::{Accepted, Decision, Refused, Reply, Request, stored_headers};
use crate::meter::Meter;
use crate::workspace::{Workspace, Workspaces};
use crate::{Family, Place, json};
use check::Fault;
use commerce::{Mark, Reason, Source};
use validate::{Kind, Push, Status};

pub(crate) const FAMILY: Family = Family {
    source: Source::Sequenzy,
    title: ("Pushed orders", "Orders and checkouts, one call for each state."),
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

/// The statuses of an order.
pub(crate) fn statuses() -> impl Iterator<Item = &'static str> {
    Status::ALL.into_iter().map(Status::as_str)
}

#[cfg(test)]
/// The sender's names of its events, and what each is named after.
pub(crate) fn vocabulary() -> impl Iterator<Item = (&'static str, commerce::EventName)> {
    let orders = Status::ALL.map(|status| Kind::Order.event(status));
    orders.into_iter().chain([Kind::Checkout.event(Status::Placed)]).map(|(event, name)| (name, event))
}

/// 1 MiB (R8.6).
const BODY_LIMIT: usize = 1024 * 1024;

fn place(path: &str) -> Option<Place> {
    Kind::of_path(path).map(|_| Place { body_limit: BODY_LIMIT, allow: "POST" })
}

fn error(status: u16, message: &str, _: &str) -> Reply {
    let word = match status {
        400 => "validation_error",
        401 => "unauthorized",
        413 => "payload_too_large",
        429 => "rate_limited",
        503 => "unavailable",
        _ => "error",
    };
    let message = json::quoted(message);
    Reply::new(status, format!(r#"{{"success":false,"error":"{word}","message":{message}}}"#))
}

/// The 400 that lists what is wrong. Its sentence is the first fault's.
fn faulty(faults: &[Fault]) -> Reply {
    let entries: Vec<_> = faults
        .iter()
        .map(|fault| {
            format!(r#"{{"field":{},"message":{}}}"#, json::quoted(&fault.field), json::quoted(fault.message))
        })
        .collect();
    let first = faults.first().map(|fault| format!("{} {}", fault.field, fault.message)).unwrap_or_default();
    let body = format!(
        r#"{{"success":false,"error":"validation_error","message":{},"details":[{}]}}"#,
        json::quoted(&first),
        entries.join(",")
    );
    Reply::new(400, body)
}

fn accept(request: &Request<'_>, workspaces: &Workspaces, meter: &dyn Meter) -> Decision {
    let Some((workspace, credential)) = authenticate::tenant(request, workspaces) else {
        let reply = error(401, "Invalid or missing API key", request.correlation);
        return Refused::plain(Reason::UnknownKey, reply);
    };
    if let Some(limit) = workspace.plan.requests_per_second
        && let Err(seconds) = meter.pace(credential, limit)
    {
        let reply = error(429, "Too many requests", request.correlation);
        return Refused::plain(Reason::RateLimited, Reply { retry_after: Some(seconds), ..reply });
    }
    let Some(kind) = Kind::of_path(request.path) else {
        return Refused::plain(Reason::UnknownPath, error(404, "not found", request.correlation));
    };
    let push = match validate::push(kind, workspace, request.received_at, request.body) {
        Ok(push) => push,
        Err(faults) => {
            let reason = faults.first().map_or(Reason::BadValue, |fault| fault.reason);
            return Refused::plain(reason, faulty(&faults));
        }
    };
    Decision::Accept(Accepted {
        keyed: None,
        source: Source::Sequenzy,
        delivery: transport(workspace.id.as_str(), kind, request.body),
        workspace: workspace.id.clone(),
        verdict: "key",
        headers: stored_headers(request, None),
        body: None,
        reply: answer(workspace, request, &push),
    })
}

fn answer(workspace: &Workspace, request: &Request<'_>, push: &Push) -> Reply {
    let (tenant, id) = (workspace.id.as_str(), json::quoted(&push.id));
    match push.kind {
        Kind::Order => {
            let status = push.status.as_str();
            let job = Mark::of(&[b"job", tenant.as_bytes(), push.id.as_bytes(), status.as_bytes()]).to_hex();
            let body = format!(
                r#"{{"success":true,"queued":true,"jobId":"commerce-order-{job}","orderId":{id},"status":"{status}"}}"#
            );
            Reply::new(202, body)
        }
        Kind::Checkout => {
            let who = push.customer.identifiers.first().map_or("", |identifier| identifier.value.as_str());
            let subscriber = Mark::of(&[b"subscriber", tenant.as_bytes(), who.as_bytes()]).to_hex();
            let event = normalize::fact(tenant, push, request.received_at).to_uuid();
            let body = format!(
                r#"{{"success":true,"checkoutId":{id},"subscriberId":"{subscriber}","eventId":"{event}"}}"#
            );
            Reply::new(200, body)
        }
    }
}

/// The transport key: everything that the delivery consists of.
fn transport(workspace: &str, kind: Kind, body: &[u8]) -> Mark {
    Mark::of(&[b"sequenzy", workspace.as_bytes(), kind.as_str().as_bytes(), body])
}
