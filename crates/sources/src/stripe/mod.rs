//! Stripe webhooks (as docs.stripe.com documents them under "Webhooks"): signed Event objects, one a body.
//!
//! | step | promise |
//! |---|---|
//! | `authenticate` | the secret that signed names the tenant; anything else is 400 and leaves nothing |
//! | `validate` | a signed body that is no Event object is 400 and kept as a dead letter |
//! | `normalize` | an invoice gives a payment, its person and its renewal; a type that isn't used gives nothing |
//!
//! Everything signed is answered 200, whether it is used or not: an error would only be retried for three days.

mod authenticate;
mod deliveries;
mod invoice;
mod normalize;
mod operations;
mod refund;
mod subscription;
mod validate;

use crate::http::{Accepted, Decision, Letter, Refused, Reply, Request, stored_headers};
use crate::meter::Meter;
use crate::workspace::Workspaces;
use crate::{Family, Place, WEBHOOK_LIMIT, json};
use commerce::{Mark, Reason, Source};

pub(crate) const FAMILY: Family = Family {
    source: Source::Stripe,
    title: ("Stripe", "Signed events of payments and subscriptions."),
    operations: operations::OPERATIONS,
    place,
    accept,
    normalize: normalize::normalize,
    present: authenticate::present,
    #[cfg(test)]
    vocabulary: Vec::new,
    deliveries: deliveries::all,
    error,
};

fn place(path: &str) -> Option<Place> {
    validate::tenants(path).map(|_| Place { body_limit: WEBHOOK_LIMIT, allow: "POST" })
}

fn error(status: u16, message: &str, _: &str) -> Reply {
    Reply::new(status, format!(r#"{{"error":{}}}"#, json::quoted(message)))
}

fn accept(request: &Request<'_>, workspaces: &Workspaces, _: &dyn Meter) -> Decision {
    let signer = validate::tenants(request.path)
        .and_then(|tenants| authenticate::signer(request, workspaces, tenants));
    let Some(workspace) = signer else {
        return Refused::plain(Reason::BadSignature, error(400, "invalid signature", request.correlation));
    };
    let (workspace, verdict, headers) = (workspace.id.clone(), "hmac", stored_headers(request, None));
    match validate::event(request.body) {
        Ok(event) => Decision::Accept(Accepted {
            keyed: None,
            source: Source::Stripe,
            delivery: transport(workspace.as_str(), &event.id),
            workspace,
            verdict,
            headers,
            body: None,
            reply: Reply::new(200, r#"{"ok":true}"#),
        }),
        Err(failure) => Decision::Refuse(Refused {
            reason: failure.reason,
            reply: error(400, "invalid payload", request.correlation),
            letter: Some(Letter { workspace, verdict, headers, failure }),
            keyed: None,
        }),
    }
}

/// The transport key: the event's id, whatever the rest of the body says.
fn transport(workspace: &str, event_id: &str) -> Mark {
    Mark::of(&[b"stripe", workspace.as_bytes(), b"event", event_id.as_bytes()])
}
