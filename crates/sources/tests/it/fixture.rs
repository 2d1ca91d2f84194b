//! Requests and stored deliveries, in the development workspace.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use commerce::event::{Event, OrderObservation};
use commerce::reason::Failure;
use commerce::{ReceivedTime, Source, time};
use hmac::{Hmac, Mac};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde_json::{Value, json};
use sources::meter::Unmetered;
use sources::{
    Accepted, Decision, Meter, Raw, Refused, Request, Workspace, WorkspaceConfig, Workspaces, accept, route,
};

pub(crate) const SHOP: &str = "demo-shop.myshopify.com";
pub(crate) const SECRET: &str = "dev-shopify-secret";
pub(crate) const CREATE: &str = "/webhooks/shopify/orders/create";
pub(crate) const ORDER: &str = include_str!("../samples/order.json");
pub(crate) const CHECKOUT: &str = include_str!("../samples/checkout.json");
pub(crate) const CUSTOMER: &str = include_str!("../samples/customer.json");
/// As in the seed's sample request, which differs from its sample body.
pub(crate) const CUSTOMER_REQUEST: &str = include_str!("../samples/customer_request.json");
pub(crate) const LINE_ITEMS: &str = include_str!("../samples/line_items.json");
pub(crate) const DISCOUNT_CODES: &str = include_str!("../samples/discount_codes.json");
pub(crate) const SHOPIFY_EXAMPLE: &str =
    include_str!("../../../../schemas/examples/shopify_order_create.json");
pub(crate) const LIFESIGHT_EXAMPLE: &str =
    include_str!("../../../../schemas/examples/lifesight_orders_create.json");

pub(crate) fn workspaces() -> Workspaces {
    let other = WorkspaceConfig {
        lifesight: Some(sources::workspace::KeysConfig {
            keys: vec![sources::workspace::Secret::new("other-key")],
        }),
        ..WorkspaceConfig::new("other")
    };
    Workspaces::from_configs([WorkspaceConfig::development(), other]).unwrap()
}

pub(crate) fn sign(secret: &str, body: &[u8]) -> Vec<u8> {
    Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes())
        .unwrap()
        .chain_update(body)
        .finalize()
        .into_bytes()
        .to_vec()
}

pub(crate) fn post(
    workspaces: &Workspaces,
    path: &str,
    query: Option<&str>,
    headers: &[(&'static str, &str)],
    body: &[u8],
) -> Decision {
    call(workspaces, &Unmetered, &Method::POST, path, query, headers, body)
}

/// A request of any method that arrives at [`NOW`].
pub(crate) fn call(
    workspaces: &Workspaces,
    meter: &dyn Meter,
    method: &Method,
    path: &str,
    query: Option<&str>,
    headers: &[(&'static str, &str)],
    body: &[u8],
) -> Decision {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
    }
    let request = Request {
        method,
        path,
        query,
        headers: &map,
        body,
        received_at: received(NOW),
        correlation: "c-1",
        peer: Some([192, 0, 2, 1].into()),
    };
    accept(&route(method, path).unwrap(), &request, workspaces, meter)
}

/// A stored delivery of a decision, read as the normalizer reads it.
pub(crate) fn items(accepted: &Accepted, body: &[u8]) -> Result<Vec<sources::Item>, Failure> {
    items_of(&Workspace::development().unwrap(), accepted, body)
}

/// As [`items`], in a workspace of one's own.
pub(crate) fn items_of(
    workspace: &Workspace,
    accepted: &Accepted,
    body: &[u8],
) -> Result<Vec<sources::Item>, Failure> {
    let headers: Vec<_> =
        accepted.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let body = accepted.body.as_deref().unwrap_or(body);
    sources::normalize(&Raw {
        source: accepted.source,
        workspace,
        received_at: received(NOW),
        partition: 3,
        offset: 7,
        headers: &headers,
        body,
    })
}

/// A webhook with the development secret.
pub(crate) fn shopify(path: &str, headers: &[(&'static str, &str)], body: &[u8]) -> Decision {
    let signature = STANDARD.encode(sign(SECRET, body));
    let mut all = vec![("x-shopify-hmac-sha256", signature.as_str())];
    all.extend_from_slice(headers);
    post(&workspaces(), path, None, &all, body)
}

/// A call of the custom backend with the development key.
pub(crate) fn lifesight(event_name: &str, body: &[u8]) -> Decision {
    let query = format!("key=dev-backend-key&workspace=demo&source=shop&event_name={event_name}");
    post(
        &workspaces(),
        "/transform-webhook-data",
        Some(&query),
        &[("content-type", "application/json")],
        body,
    )
}

pub(crate) fn accepted(decision: Decision) -> Accepted {
    match decision {
        Decision::Accept(accepted) => accepted,
        other => panic!("not accepted: {other:?}"),
    }
}

pub(crate) fn refused(decision: Decision) -> Refused {
    match decision {
        Decision::Refuse(refused) => refused,
        other => panic!("not refused: {other:?}"),
    }
}

pub(crate) fn received(text: &str) -> ReceivedTime {
    time::parse_received(text).unwrap()
}

pub(crate) fn at(text: &str) -> commerce::EventTime {
    time::parse_iso(text).unwrap().at
}

/// When deliveries arrive in these tests.
pub(crate) const NOW: &str = "2026-03-14T16:00:00Z";

/// A delivery with what is to be said about it.
pub(crate) struct Delivery {
    pub(crate) workspace: Workspace,
    pub(crate) source: Source,
    pub(crate) received_at: &'static str,
    pub(crate) headers: Vec<(String, String)>,
}

impl Delivery {
    pub(crate) fn shopify(topic: &str) -> Self {
        Self {
            workspace: Workspace::development().unwrap(),
            source: Source::Shopify,
            received_at: NOW,
            headers: vec![],
        }
        .with("path", &format!("/webhooks/shopify/{topic}"))
        .with("space", SHOP)
    }

    pub(crate) fn lifesight(event_name: &str) -> Self {
        Self { source: Source::Lifesight, headers: vec![], ..Self::shopify("") }
            .with("query.event_name", event_name)
            .with("query.source", "shop")
    }

    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn configured(mut self, change: impl FnOnce(&mut WorkspaceConfig)) -> Self {
        let mut config = WorkspaceConfig::development();
        change(&mut config);
        self.workspace = Workspace::try_new(config).unwrap();
        self
    }

    pub(crate) fn received(mut self, at: &'static str) -> Self {
        self.received_at = at;
        self
    }

    /// The first event of a body: that of the order, where there is one.
    pub(crate) fn read(&self, body: &[u8]) -> Result<Event, Failure> {
        Ok(self.read_all(body)?.swap_remove(0))
    }

    /// All events of a body.
    pub(crate) fn read_all(&self, body: &[u8]) -> Result<Vec<Event>, Failure> {
        let headers: Vec<_> =
            self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let raw = Raw {
            source: self.source,
            workspace: &self.workspace,
            received_at: received(self.received_at),
            partition: 3,
            offset: 7,
            headers: &headers,
            body,
        };
        Ok(sources::normalize(&raw)?.into_iter().map(Result::unwrap).collect())
    }

    pub(crate) fn events(&self, body: &Value) -> Vec<Event> {
        self.read_all(body.to_string().as_bytes()).unwrap()
    }

    pub(crate) fn event(&self, body: &Value) -> Event {
        self.read(body.to_string().as_bytes()).unwrap()
    }

    pub(crate) fn failure(&self, body: &Value) -> (&'static str, String) {
        let failure = self.read(body.to_string().as_bytes()).unwrap_err();
        (failure.reason.code(), failure.field.unwrap_or_default())
    }
}

pub(crate) trait OfOrder {
    fn order(&self) -> &OrderObservation;
    fn identifiers(&self) -> Vec<(&'static str, String)>;
}

impl OfOrder for Event {
    fn order(&self) -> &OrderObservation {
        self.payload.order.as_ref().unwrap()
    }

    fn identifiers(&self) -> Vec<(&'static str, String)> {
        let found = self.person.iter().flat_map(|person| &person.identifiers);
        found.map(|identifier| (identifier.kind.as_str(), identifier.value.clone())).collect()
    }
}

/// The smallest order that Shopify could send.
pub(crate) fn order() -> Value {
    json!({
        "id": 5766207635539_u64,
        "email": "jane.doe@example.com",
        "created_at": "2026-03-14T09:00:00-04:00",
        "updated_at": "2026-03-14T09:05:00-04:00",
        "currency": "USD",
        "total_price": "30.49",
        "subtotal_price": "23.49",
        "total_discounts": "0.00",
        "financial_status": "pending",
        "fulfillment_status": null,
        "line_items": [{"product_id": 1, "variant_id": 2, "title": "Shirt", "quantity": 1, "price": "23.49", "total_discount": "0.00"}],
        "shipping_address": {"city": "Swampscott", "zip": "01907", "province": "Massachusetts", "country": "United States", "country_code": "US"},
        "refunds": [],
    })
}

/// `body` with fields replaced; `null` replaces too.
pub(crate) fn with(mut body: Value, fields: Value) -> Value {
    for (key, value) in fields.as_object().unwrap() {
        body[key] = value.clone();
    }
    body
}

/// `body` without a field.
pub(crate) fn without(mut body: Value, field: &str) -> Value {
    body.as_object_mut().unwrap().remove(field);
    body
}
