//! Visits: what people look at and put into carts, and the little that goes wrong with it.

use commerce::Source;
use serde_json::{Value, json};

use super::goods::CAMPAIGNS;
use super::lives::{Maker, seconds};
use super::people::Shopper;
use super::*;
use crate::demo::AnalyticsKey;
use crate::demo::body::Snapshot;
use crate::demo::body::elsewhere::to_bytes;
use crate::demo::credentials::path_part;
use crate::demo::delivery::Purpose;

/// Of visits: sent as one batch.
const BATCHED: u32 = 400;

/// What browsers call themselves, by device.
const AGENTS: [(&str, &str); 3] = [
    (
        "mobile",
        "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Mobile/15E148 Safari/604.1",
    ),
    (
        "tablet",
        "Mozilla/5.0 (iPad; CPU OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Safari/604.1",
    ),
    (
        "desktop",
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36",
    ),
];

/// Events of the analytics API that belong together.
pub(super) struct Visit {
    at: EventTime,
    /// Everything that each of its events says.
    around: Value,
    named: Option<(usize, String)>,
    events: Vec<Value>,
    did: Vec<(EventName, usize)>,
}

impl Visit {
    /// A visit that begins now. Without a member it is a cart's.
    pub(super) fn new(at: EventTime, member: Option<&Shopper>, cart: &str) -> Self {
        let user = member.and_then(|shopper| shopper.user_id.clone());
        Self {
            at,
            around: json!({"user_id": user, "cart_id": cart, "source": "newsletter", "medium": "email"}),
            named: member.filter(|_| user.is_some()).map(|shopper| (shopper.index, shopper.email.clone())),
            events: Vec::new(),
            did: Vec::new(),
        }
    }

    fn event(&mut self, what: EventName, times: usize, event_type: &str, fields: Value) {
        self.at = EventTime(self.at.0 + seconds(40));
        let mut event = json!({"event_type": event_type, "timestamp": self.at.to_rfc3339()});
        for part in [self.around.clone(), fields] {
            if let (Some(event), Value::Object(part)) = (event.as_object_mut(), part) {
                event.extend(part);
            }
        }
        self.events.push(event);
        self.did.push((what, times));
    }

    /// Each item is a fact of its own.
    pub(super) fn looks(&mut self, order: &Snapshot) {
        let fields = json!({"items": order.web_items(), "currency": order.currency.as_str()});
        self.event(EventName::ProductViewed, order.lines.len(), "view_item", fields);
    }

    pub(super) fn adds(&mut self, order: &Snapshot) {
        let fields = json!({"items": order.web_items(), "currency": order.currency.as_str()});
        self.event(EventName::CartItemAdded, order.lines.len(), "add_to_cart", fields);
    }

    pub(super) fn checks_out(&mut self, order: &Snapshot) {
        self.event(EventName::CartViewed, 1, "view_cart", json!({}));
        let fields = json!({
            "items": order.web_items(), "currency": order.currency.as_str(), "coupon_code": order.coupon,
            "revenue": order.number(order.total()), "campaign": order.campaign,
        });
        self.event(EventName::CheckoutStarted, 1, "begin_checkout", fields);
        self.event(EventName::CheckoutPaymentInfoAdded, 1, "add_payment_info", json!({}));
    }
}

impl Maker<'_> {
    /// Visits that end without an order, and what else is said of products.
    pub(super) fn visits(&mut self) {
        let visits = self.options.orders * VISITS / 1000;
        for index in 0..visits {
            self.visit(index);
        }
        for index in 0..visits / 3 {
            self.look_at_the_kiosk(index);
        }
        for index in 0..visits.div_ceil(60) {
            self.mistakes(index);
        }
    }

    /// Some products, as an order that nobody places.
    fn basket(&mut self, at: EventTime, index: usize) -> Snapshot {
        let lines = (0..self.rng.between(1, 3)).map(|_| self.some_line()).collect();
        Snapshot {
            source: Source::Analytics,
            id: self.number(300_000_000, index),
            number: 0,
            currency: self.currency(),
            test: false,
            buyer: crate::demo::body::Buyer::default(),
            campaign: self.rng.pick(CAMPAIGNS),
            device: None,
            created_at: at,
            updated_at: at,
            processed_at: None,
            cancelled_at: None,
            financial: "pending",
            fulfillment: None,
            tags: String::new(),
            lines,
            coupon: self.some_coupon(),
            discount: 0,
            shipping: 0,
            tax: 0,
            refunds: Vec::new(),
        }
    }

    fn visit(&mut self, index: usize) {
        let at = self.some_time(7200);
        let basket = self.basket(at, index);
        let member = self.rng.chance(600).then(|| self.rng.skewed(self.shoppers()));
        let member = member.map(|index| self.shopper(index - index % MEMBERS));
        let mut visit = Visit::new(at, member.as_ref(), &format!("cart-visit-{}", basket.id));
        if self.rng.chance(200) {
            let fields = json!({"properties": {"search_term": "wool"}});
            visit.event(EventName::SearchPerformed, 1, "search", fields);
        }
        visit.looks(&basket);
        if self.rng.chance(100) {
            let fields = json!({"items": basket.web_items(), "currency": basket.currency.as_str()});
            visit.event(EventName::WishlistItemAdded, basket.lines.len(), "add_to_wishlist", fields);
        }
        if self.rng.chance(600) {
            visit.adds(&basket);
            if self.rng.chance(200) {
                let fields = json!({"items": basket.web_items(), "currency": basket.currency.as_str()});
                visit.event(EventName::CartItemRemoved, basket.lines.len(), "remove_from_cart", fields);
            } else if self.rng.chance(500) {
                visit.checks_out(&basket);
            }
        }
        let device = self.rng.pick(&["mobile", "desktop", "tablet"]);
        self.track(visit, device);
    }

    /// Sends a visit, as one batch or event by event, from the shopper's browser or, of somebody unknown, by the server:
    /// so many of them from one address would be taken for a machine's.
    pub(super) fn track(&mut self, visit: Visit, device: &'static str) {
        let mut events = visit.events;
        for event in &mut events {
            event["event_id"] = json!(self.rng.uuid());
        }
        for (what, times) in visit.did {
            self.did(what, times);
        }
        let key = if visit.named.is_some() { AnalyticsKey::Publishable } else { AnalyticsKey::Secret };
        if let Some((index, email)) = visit.named {
            self.members.insert(index);
            self.shop.named.insert(email);
        }
        let agent = AGENTS.iter().find(|(of, _)| *of == device).map_or("", |(_, agent)| agent);
        let credentials = &self.options.credentials;
        let call = |path: &str, body: &Value| {
            credentials.analytics("POST", path, key, to_bytes(body)).with("User-Agent", agent)
        };
        let mut deliveries = Vec::new();
        if self.rng.chance(BATCHED) {
            let items = i64::try_from(events.len()).unwrap_or(0);
            let delivery = call("ecommerce/batch", &json!({"events": events}));
            deliveries.push(Delivery { items, ..delivery });
        } else {
            deliveries.extend(events.iter().map(|event| call("ecommerce/track", event)));
        }
        for delivery in deliveries {
            self.send(visit.at, delivery, Some(Purpose::Repeats));
        }
    }

    /// Rows of a kiosk in the store, where people show their card.
    fn look_at_the_kiosk(&mut self, index: usize) {
        let at = self.some_time(7200);
        let shopper = self.rng.skewed(self.shoppers());
        let shopper = self.shopper(shopper);
        let line = self.some_line();
        let adds = self.rng.chance(300);
        let basket = Snapshot { lines: vec![line], ..self.basket(at, index) };
        let mut record = json!({
            "event_type": if adds { "add_to_cart" } else { "product_view" },
            "product_id": line.product.id.to_string(),
            "product_name": line.product.title,
            "price": basket.number(line.product.price),
            "quantity": line.quantity,
            "currency": basket.currency.as_str(),
            "customer_email": shopper.email,
            "occurred_at": at.to_rfc3339(),
        });
        self.did(if adds { EventName::CartItemAdded } else { EventName::ProductViewed }, 1);
        self.shop.named.insert(shopper.email);
        let key = format!("kiosk:{}", basket.id);
        let row = |record: &Value| {
            let body = to_bytes(&json!({"record": record}));
            self.options.credentials.record("product_events/append", &key, body)
        };
        let first = row(&record);
        if index.is_multiple_of(20) {
            // A key that stands for two bodies: whichever comes first is the row.
            record["screen"] = json!("front");
            let second = Delivery { purpose: Purpose::Contradicts, ..row(&record) };
            self.send(at, first, None);
            self.send(at, second, None);
        } else {
            self.send(at, first, Some(Purpose::Repeats));
        }
    }

    /// What senders get wrong, and what is no shopper.
    fn mistakes(&mut self, index: usize) {
        let at = self.some_time(7200);
        let basket = self.basket(at, index);
        let credentials = &self.options.credentials;
        let mut purchase = basket.purchase(&self.rng.uuid(), "cart-of-a-crawler");
        let key = AnalyticsKey::Publishable;
        let crawled = credentials
            .analytics("POST", "ecommerce/track", key, to_bytes(&purchase))
            .with("User-Agent", "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)");
        purchase["event_type"] = json!("bought");
        let misnamed = credentials.analytics("POST", "ecommerce/track", key, to_bytes(&purchase));
        let mut push = basket.push("placed", None);
        push["customer"] = json!({"email": "nobody@example.com"});
        push["totalCents"] = Value::Null;
        let incomplete = credentials.push("orders", to_bytes(&push));
        let mut row = basket.row(0);
        row["record"]["total"] = json!("a lot");
        let unreadable = credentials.record("orders/append", &format!("bad:{}", basket.id), to_bytes(&row));
        let mut event = basket.app_event("order_paid", &crate::demo::ulid(self.rng.bits()));
        event["data"]["order_id"] = Value::Null;
        let path = format!("v1/customers/{}/events", path_part("nobody@example.com"));
        let nameless = credentials.track("POST", &path, to_bytes(&event));
        let all = [
            (crawled, Purpose::Crawls, 200),
            (misnamed, Purpose::Errs, 400),
            (incomplete, Purpose::Errs, 400),
            (unreadable, Purpose::Errs, 400),
            (nameless, Purpose::Anonymises, 200),
        ];
        for (delivery, purpose, expect_status) in all {
            self.send(at, Delivery { purpose, expect_status, ..delivery }, None);
        }
    }
}
