//! Orders that no shop system tells of: pushed by a marketplace, bought on the web or in the app, rung up at the till. All
//! of them are paid as soon as they are known.

use commerce::Source;

use super::lives::{Maker, Telling, seconds};
use super::traffic::encoded_differently;
use super::*;
use crate::demo::body::elsewhere::{to_bytes, tracked_lines, unix};
use crate::demo::credentials::path_part;
use crate::demo::delivery::Purpose;
use crate::demo::{AnalyticsKey, ulid};

const DEVICES: &[&str] = &["desktop", "mobile", "mobile", "tablet"];

/// What is said of an order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Said {
    /// It was placed and paid.
    Placed,
    Fulfilled,
    Cancelled,
    /// `amount` went back, `so_far` with what went back before; `None`: all that was left.
    Refunded {
        amount: i64,
        so_far: Option<i64>,
    },
}

impl Maker<'_> {
    /// Tells the whole life of an order, as far as it lies before `now`.
    pub(super) fn short_life(&mut self, order: &mut Telling, shopper: Option<usize>) {
        let source = order.now.source;
        match source {
            Source::Analytics => {
                order.now.device = Some(self.rng.pick(DEVICES));
                let member = shopper.map(|index| self.shopper(index));
                self.shop_on_the_web(&order.now, member.as_ref());
            }
            Source::Customerio => self.shop_in_the_app(&order.now, shopper),
            // Neither a marketplace nor a till tells of coupons.
            _ => order.now.coupon = None,
        }
        order.proves_payment(order.now.created_at);
        self.say(order, Said::Placed);
        if source == Source::Sequenzy && self.rng.chance(CANCELLED) {
            let pause = seconds(self.rng.between(600, 172_800));
            if self.happens(order, pause) {
                order.now.cancelled_at = Some(order.now.updated_at);
                self.say(order, Said::Cancelled);
            }
            return;
        }
        if source != Source::Analytics && self.rng.chance(FULFILLED) {
            let pause = seconds(self.rng.between(3600, 172_800));
            if self.happens(order, pause) {
                order.now.fulfillment = Some("fulfilled");
                self.say(order, Said::Fulfilled);
            }
        }
        if source != Source::Customerio && self.rng.chance(REFUNDED_ELSEWHERE) {
            self.give_back(order);
        }
    }

    /// Time passes for an order. False when it would lie after `now`: then nothing happens.
    fn happens(&self, order: &mut Telling, pause: i64) -> bool {
        let at = EventTime(order.now.updated_at.0 + pause);
        let happens = at < self.options.now;
        if happens {
            order.now.updated_at = at;
        }
        happens
    }

    /// A refund, in full or in part, or two of them.
    fn give_back(&mut self, order: &mut Telling) {
        let total = order.now.total();
        let part = (total * self.rng.between(10, 50) / 100).max(1);
        let amounts = match self.rng.below(10) {
            0 => vec![total + 500],
            1..=4 => vec![total],
            5..=7 => vec![part],
            _ => vec![part, (total - part).max(1)],
        };
        let mut sum = 0;
        for amount in amounts {
            let pause = seconds(self.rng.between(3600, 259_200));
            if !self.happens(order, pause) {
                return;
            }
            sum += amount;
            // A push may leave the amount out: then the whole rest went back.
            let is_rest = amount == total && order.now.source == Source::Sequenzy && self.rng.chance(300);
            self.say(order, Said::Refunded { amount, so_far: (!is_rest).then_some(sum) });
            order.refunds.push((order.now.updated_at, amount));
        }
    }

    /// One delivery about an order, with its twin: the same fact in a delivery of its own.
    fn say(&mut self, order: &Telling, said: Said) {
        let (credentials, now) = (&self.options.credentials, &order.now);
        let mut again = Purpose::Repeats;
        let (delivery, twin) = match now.source {
            Source::Sequenzy => {
                let body = match said {
                    Said::Placed => now.push("placed", None),
                    Said::Fulfilled => now.push("fulfilled", None),
                    Said::Cancelled => now.push("cancelled", None),
                    Said::Refunded { so_far, .. } => now.push("refunded", so_far),
                };
                let twin = credentials.push("orders", encoded_differently(&body));
                (credentials.push("orders", to_bytes(&body)), Some(twin))
            }
            Source::Analytics => {
                let (cart, refunds) = (cart_of(now), order.refunds.len());
                let body = |event_id: String| match said {
                    Said::Refunded { amount, .. } => now.web_refund(&event_id, refunds, amount),
                    _ => now.purchase(&event_id, &cart),
                };
                if said == Said::Placed {
                    // A purchase of one transaction is the same for a day, whatever else its call says.
                    again = Purpose::Resubscribes;
                }
                let [one, other] = [self.rng.uuid(), self.rng.uuid()].map(|id| {
                    let body = to_bytes(&body(id));
                    credentials.analytics("POST", "ecommerce/track", AnalyticsKey::Secret, body)
                });
                (one, Some(other))
            }
            Source::Customerio => {
                let name = if said == Said::Placed { "order_paid" } else { "order_fulfilled" };
                let person = now.buyer.user_id.as_ref().or(now.buyer.email.as_ref());
                let path = format!("v1/customers/{}/events", path_part(person.map_or("", String::as_str)));
                let [one, other] = [self.rng.bits(), self.rng.bits()]
                    .map(|id| credentials.track("POST", &path, to_bytes(&now.app_event(name, &ulid(id)))));
                (one, Some(other))
            }
            _ => {
                let so_far = match said {
                    Said::Refunded { amount, so_far } => so_far.unwrap_or(amount),
                    _ => 0,
                };
                let key = format!("till:{}:{}", now.order_id(), unix(now.updated_at));
                (credentials.record("orders/append", &key, to_bytes(&now.row(so_far))), None)
            }
        };
        self.drafts.push(super::lives::Draft {
            at: now.updated_at,
            subject: order.order,
            creates: said == Said::Placed,
            delivery,
            again: Some(again),
            twin,
            snapshot: None,
        });
    }

    /// What leads to a purchase on the web, with the cart that is bought.
    fn shop_on_the_web(
        &mut self,
        order: &crate::demo::body::Snapshot,
        member: Option<&super::people::Shopper>,
    ) {
        let at = EventTime(order.created_at.0 - seconds(900));
        let cart = cart_of(order);
        let mut visit = super::visits::Visit::new(at, member, &cart);
        visit.looks(order);
        visit.adds(order);
        visit.checks_out(order);
        self.track(visit, order.device.unwrap_or("desktop"));
    }

    /// What leads to an order of the app. Who has an account begins under the one name and pays under the other: a phone
    /// knows the id, the desktop the address.
    fn shop_in_the_app(&mut self, order: &crate::demo::body::Snapshot, shopper: Option<usize>) {
        let Some(shopper) = shopper.map(|index| self.shopper(index)) else { return };
        let paid_by_id = order.buyer.user_id.is_some();
        let person = match &shopper.user_id {
            Some(id) if !paid_by_id => {
                self.members.insert(shopper.index);
                id.clone()
            }
            _ => shopper.email.clone(),
        };
        let events = format!("v1/customers/{}/events", path_part(&person));
        let (cart, checkout) = (cart_of(order), format!("checkout-{}", order.order_id()));
        let mut steps = vec![
            (
                "cart_created",
                600,
                events.clone(),
                serde_json::json!({"cart_id": cart, "line_items": tracked_lines(order)}),
            ),
            (
                "checkout_started",
                300,
                events,
                serde_json::json!({
                    "cart_id": cart, "checkout_id": checkout, "currency": order.currency.as_str(),
                    "value": order.number(order.total()), "line_items": tracked_lines(order),
                }),
            ),
        ];
        if let (Some(id), Some(line)) = (&shopper.user_id, order.lines.first()) {
            // Nobody yet: the identification names the browser later.
            self.members.insert(shopper.index);
            let mut data = serde_json::json!({"product_id": line.product.id.to_string()});
            data["anonymous_id"] = serde_json::json!(format!("browser-{id}"));
            steps.push(("product_viewed", 900, "v1/events".to_owned(), data));
        }
        for (name, before, path, mut data) in steps {
            let at = EventTime(order.created_at.0 - seconds(before));
            let anonymous = data.as_object_mut().and_then(|data| data.remove("anonymous_id"));
            let [one, other] = [self.rng.bits(), self.rng.bits()].map(|id| {
                let mut body =
                    serde_json::json!({"name": name, "id": ulid(id), "timestamp": unix(at), "data": data});
                if let Some(anonymous) = &anonymous {
                    body["anonymous_id"] = anonymous.clone();
                }
                self.options.credentials.track("POST", &path, to_bytes(&body))
            });
            let (fact, twin) = match name {
                "cart_created" => (EventName::CartCreated, Some(other)),
                "checkout_started" => (EventName::CheckoutStarted, Some(other)),
                // A look under another id is another look.
                _ => (EventName::ProductViewed, None),
            };
            self.send_twice(at, one, Some(Purpose::Repeats), twin);
            self.did(fact, 1);
        }
        self.shop.named.insert(shopper.email);
    }
}

fn cart_of(order: &crate::demo::body::Snapshot) -> String {
    format!("cart-{}", order.order_id())
}
