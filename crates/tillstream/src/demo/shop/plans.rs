//! Subscriptions: a week at a time, collected by Stripe, with cards that fail and money that goes back.

use serde_json::{Value, json};

use super::lives::{Maker, seconds};
use super::people::Shopper;
use super::*;
use crate::demo::body::elsewhere::{to_bytes, unix};
use crate::demo::delivery::Purpose;

/// Of invoices: not paid at the first attempt.
const FAILING: u32 = 200;
/// Of those: paid at the second.
const RECOVERED: u32 = 650;
/// Of paid invoices: also a row of the records API.
const ECHOED: u32 = 150;
/// Of paid invoices: given back.
const GIVEN_BACK: u32 = 40;
/// Of later invoices: without an address, so that only Stripe's customer says whose they are.
const WITHOUT_ADDRESS: u32 = 300;

const DAY: i64 = 86_400;

/// A subscription.
struct Plan {
    shopper: Shopper,
    customer: String,
    id: String,
    amount: i64,
    currency: Currency,
}

/// One invoice of it.
struct Invoice {
    id: String,
    first: bool,
    /// Where the period ends.
    at: EventTime,
    address: bool,
}

impl Maker<'_> {
    pub(super) fn plans(&mut self) {
        let plans = self.options.orders * SUBSCRIBERS / 1000;
        let apart = self.shoppers() / plans.max(1);
        for index in 0..plans {
            let shopper = self.shopper(index * apart);
            let plan = Plan {
                customer: self.stripe_customer(&shopper),
                shopper,
                id: format!("sub_{}", self.number(900_000_000, index)),
                amount: self.rng.pick(&[990, 1900, 4900]),
                currency: self.currency(),
            };
            self.subscribe(&plan);
        }
    }

    /// Everything that becomes of a subscription before the end of the span.
    fn subscribe(&mut self, plan: &Plan) {
        let start = self.some_time(DAY);
        for week in 0_i64.. {
            let at = EventTime(start.0 + seconds(week * 7 * DAY));
            if unix(at) >= self.end() {
                return;
            }
            let first = week == 0;
            let address = first || !self.rng.chance(WITHOUT_ADDRESS);
            let invoice = Invoice { id: format!("in_{}_{week}", plan.id), first, at, address };
            self.shop.named.insert(plan.shopper.email.clone());
            if !self.rng.chance(FAILING) {
                self.collected(plan, &invoice, at, 1);
                continue;
            }
            self.failed(plan, &invoice, at, 1);
            let again = EventTime(at.0 + seconds(DAY));
            if unix(again) >= self.end() {
                return;
            }
            if self.rng.chance(RECOVERED) {
                self.collected(plan, &invoice, again, 2);
                continue;
            }
            self.failed(plan, &invoice, again, 2);
            let ended = EventTime(again.0 + seconds(DAY));
            if unix(ended) < self.end() {
                let object = json!({
                    "id": plan.id, "object": "subscription", "customer": plan.customer, "status": "canceled",
                });
                self.stripe(ended, ["customer.subscription.deleted"; 2], &object);
                self.did(EventName::SubscriptionCancelled, 1);
            }
            return;
        }
    }

    fn failed(&mut self, plan: &Plan, invoice: &Invoice, at: EventTime, attempt: i64) {
        let object = plan.invoice(invoice, attempt, None);
        self.stripe(at, ["invoice.payment_failed"; 2], &object);
        self.attempt(plan, at, false);
    }

    fn collected(&mut self, plan: &Plan, invoice: &Invoice, at: EventTime, attempt: i64) {
        let object = plan.invoice(invoice, attempt, Some(at));
        self.stripe(at, ["invoice.payment_succeeded", "invoice.paid"], &object);
        self.attempt(plan, at, true);
        if !invoice.first {
            self.did(EventName::SubscriptionRenewed, 1);
        }
        if self.rng.chance(ECHOED) {
            let amount = commerce::Money::new(plan.amount, plan.currency).to_major();
            let record = json!({
                "stripe_invoice_id": invoice.id, "stripe_customer_id": plan.customer,
                "customer_email": plan.shopper.email, "amount_paid": amount,
                "currency": plan.currency.as_str(), "subscription_id": plan.id, "paid_at": at.to_rfc3339(),
            });
            let key = format!("stripe:invoice:{}:paid", invoice.id);
            let body = to_bytes(&json!({"record": record}));
            let row = self.options.credentials.record("payments/append", &key, body);
            self.send(at, Delivery { purpose: Purpose::Echoes, ..row }, Some(Purpose::Repeats));
        }
        let later = EventTime(at.0 + seconds(2 * DAY));
        if self.rng.chance(GIVEN_BACK) && unix(later) < self.end() {
            let refund = json!({
                "id": format!("re_{}", invoice.id), "object": "refund", "charge": format!("ch_{}", invoice.id),
                "amount": plan.amount, "currency": plan.currency.as_str().to_lowercase(),
                "created": unix(later), "status": "succeeded", "reason": "requested_by_customer",
            });
            self.stripe(later, ["refund.created", "refund.updated"], &refund);
            self.did(EventName::PaymentRefunded, 1);
        }
    }

    fn attempt(&mut self, plan: &Plan, at: EventTime, paid: bool) {
        let Plan { amount, currency, .. } = *plan;
        let person = plan.shopper.email.clone();
        self.shop.attempts.push(Attempt { person, at, currency, amount, paid });
    }

    /// An Event object about an object, and another one about the same change.
    fn stripe(&mut self, at: EventTime, types: [&str; 2], object: &Value) {
        let [one, other] = types.map(|name| {
            let event = json!({
                "id": format!("evt_{}", self.rng.uuid()), "object": "event", "api_version": "2025-03-31.basil",
                "created": unix(at), "livemode": true, "type": name, "data": {"object": object},
            });
            self.options.credentials.stripe(to_bytes(&event))
        });
        self.send_twice(at, one, Some(Purpose::Repeats), Some(other));
        if self.rng.chance(GARBLED) {
            let garbled = self.options.credentials.stripe(b"not json".to_vec());
            self.send(at, Delivery { purpose: Purpose::Garbles, expect_status: 400, ..garbled }, None);
        }
    }
}

impl Plan {
    /// An invoice as it stands after an attempt; `paid_at` of one that succeeded.
    fn invoice(&self, invoice: &Invoice, attempt: i64, paid_at: Option<EventTime>) -> Value {
        json!({
            "id": invoice.id,
            "object": "invoice",
            "customer": self.customer,
            "customer_email": invoice.address.then_some(&self.shopper.email),
            "currency": self.currency.as_str().to_lowercase(),
            "amount_due": self.amount,
            "amount_paid": if paid_at.is_some() { self.amount } else { 0 },
            "attempt_count": attempt,
            "billing_reason": if invoice.first { "subscription_create" } else { "subscription_cycle" },
            "status": if paid_at.is_some() { "paid" } else { "open" },
            "period_start": unix(invoice.at) - 7 * DAY,
            "period_end": unix(invoice.at),
            "status_transitions": {"paid_at": paid_at.map(unix)},
            "subscription": self.id,
        })
    }
}
