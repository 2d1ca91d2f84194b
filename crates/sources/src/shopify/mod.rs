//! Shopify webhooks (as shopify.dev documents them under "Webhooks"): signed bodies of one resource each.
//!
//! The door only verifies the signature: a body that can't be read is answered 200 all the same, since a retry would
//! bring the same bytes, and fails in [`normalize`]. The shop of the secret that verifies is the space of all ids; it
//! is stored under `space`, because the shop that the request's header names is not signed.

mod authenticate;
mod deliveries;
mod normalize;
mod operations;
mod validate;

use crate::http::{Accepted, Decision, Refused, Reply, Request, stored_headers};
use crate::meter::Meter;
use crate::workspace::Workspaces;
use crate::{Family, Place, WEBHOOK_LIMIT, json};
use commerce::{Mark, Reason, Source};

pub(crate) const FAMILY: Family = Family {
    source: Source::Shopify,
    title: ("Shopify", "Signed webhooks of a shop."),
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

pub(crate) use validate::vocabulary;

fn place(path: &str) -> Option<Place> {
    validate::is_path(path).then_some(Place { body_limit: WEBHOOK_LIMIT, allow: "POST" })
}

fn error(status: u16, message: &str, _: &str) -> Reply {
    Reply::new(status, format!(r#"{{"error":{}}}"#, json::quoted(message)))
}

fn accept(request: &Request<'_>, workspaces: &Workspaces, _: &dyn Meter) -> Decision {
    let Some((workspace, shop)) = authenticate::signer(request, workspaces) else {
        return Refused::plain(Reason::BadSignature, error(401, "invalid signature", request.correlation));
    };
    let topic = validate::topic(request.header("x-shopify-topic"), Some(request.path));
    let delivery = transport(
        workspace.id.as_str(),
        shop,
        request.header("x-shopify-webhook-id"),
        topic.as_deref().unwrap_or_default(),
        request.body,
    );
    let mut headers = stored_headers(request, Some("x-shopify-"));
    headers.push(("space".to_owned(), shop.to_owned()));
    Decision::Accept(Accepted {
        keyed: None,
        source: Source::Shopify,
        workspace: workspace.id.clone(),
        verdict: "hmac",
        headers,
        delivery,
        body: None,
        reply: Reply::new(200, r#"{"ok":true}"#),
    })
}

/// The transport key: shop and webhook id, else topic and body.
fn transport(workspace: &str, shop: &str, webhook_id: Option<&str>, topic: &str, body: &[u8]) -> Mark {
    let (workspace, shop) = (workspace.as_bytes(), shop.as_bytes());
    match webhook_id.map(str::trim).filter(|id| !id.is_empty()) {
        Some(id) => Mark::of(&[b"shopify", workspace, shop, b"id", id.as_bytes()]),
        None => Mark::of(&[b"shopify", workspace, shop, b"body", topic.as_bytes(), body]),
    }
}
