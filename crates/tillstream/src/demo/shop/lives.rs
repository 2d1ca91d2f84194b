//! What becomes of each order, step by step, and the delivery that each step causes.

use commerce::{Currency, EventName, EventTime, Source, time};

use std::collections::BTreeSet;

use super::goods::{CAMPAIGNS, COUPONS, PRODUCTS};
use super::*;
use crate::demo::body::{Line, Refund, Snapshot};
use crate::demo::credentials::WebhookIds;
use crate::demo::delivery::Purpose;
use crate::demo::rng::Rng;

/// A delivery that has no place in the order of sending yet.
pub(super) struct Draft {
    /// When it was caused.
    pub(super) at: EventTime,
    /// What it is about: so many deliveries of one order are remembered.
    pub(super) subject: usize,
    pub(super) creates: bool,
    pub(super) delivery: Delivery,
    /// What the same bytes are when they come once more; `None` where that can't be told from a new statement.
    pub(super) again: Option<Purpose>,
    /// The same fact in a delivery of its own, where there is such a thing beside what `snapshot` gives.
    pub(super) twin: Option<Delivery>,
    /// The order of a shop or backend.
    pub(super) snapshot: Option<Snapshot>,
}

pub(super) struct Maker<'a> {
    pub(super) options: &'a Options,
    pub(super) rng: Rng,
    /// The first of the run's ids: runs with different seeds have nothing in common.
    pub(super) base: i64,
    eur: Currency,
    /// The books.
    pub(super) shop: Shop,
    pub(super) drafts: Vec<Draft>,
    /// A shopper with a paid order that counts: test orders are theirs, so a test order makes no profile.
    pub(super) known: Vec<usize>,
    /// Shoppers who were named by the id of their account.
    pub(super) members: BTreeSet<usize>,
    /// How many things beside orders were told of.
    subjects: usize,
}

/// An order while it is being told.
pub(super) struct Telling {
    pub(super) now: Snapshot,
    pub(super) order: usize,
    paid_at: Option<EventTime>,
    /// What went back so far.
    pub(super) refunds: Vec<(EventTime, i64)>,
}

impl Telling {
    pub(super) fn proves_payment(&mut self, at: EventTime) {
        self.paid_at = Some(self.paid_at.map_or(at, |known| known.min(at)));
    }

    /// True when payment is proven or a step says so.
    fn is_paid(&self) -> bool {
        self.paid_at.is_some()
    }
}

pub(super) const fn seconds(n: i64) -> i64 {
    n * time::SECOND
}

impl<'a> Maker<'a> {
    pub(super) fn new(options: &'a Options) -> Self {
        let mut rng = Rng::new(options.seed);
        let base = 1_000_000_000_000 + i64::try_from(rng.below(4_000_000)).unwrap_or(0) * 1_000_000_000;
        let eur = Currency::parse("EUR").unwrap_or(Currency::USD);
        Self {
            options,
            rng,
            base,
            eur,
            shop: Shop::default(),
            drafts: Vec::new(),
            known: Vec::new(),
            members: BTreeSet::new(),
            subjects: options.orders,
        }
    }

    /// Who takes an order: shares of a thousand.
    fn source(&mut self) -> Source {
        let mut drawn = u32::try_from(self.rng.below(1000)).unwrap_or(0);
        for (source, share) in ELSEWHERE.into_iter().chain([(Source::Shopify, SHOPIFY)]) {
            match drawn.checked_sub(share) {
                Some(left) => drawn = left,
                None => return source,
            }
        }
        Source::Lifesight
    }

    /// Tells the life of an order and enters it into the books.
    pub(super) fn order(&mut self, index: usize) {
        let mut source = self.source();
        let shop = matches!(source, Source::Shopify | Source::Lifesight);
        let test = shop && self.rng.chance(TEST_ORDERS);
        if test && self.known.is_empty() {
            source = Source::Shopify;
        }
        let (buyer, person, shopper) =
            if shop { self.customer_of(source, test) } else { self.buyer_of(source) };
        let number = 1001_i64.saturating_add_unsigned(index as u64);
        let (ids, numbers) = if source == Source::Shopify { (0, 0) } else { (200_000_000, 500_000) };
        let created_at = self.created_at(index);
        let now = Snapshot {
            source,
            id: self.base + ids + number,
            number: number + numbers,
            currency: self.currency(),
            test,
            buyer,
            campaign: self.rng.pick(CAMPAIGNS),
            device: None,
            created_at,
            updated_at: created_at,
            processed_at: Some(created_at),
            cancelled_at: None,
            financial: "paid",
            fulfillment: None,
            tags: String::new(),
            lines: Vec::new(),
            coupon: None,
            discount: 0,
            shipping: 0,
            tax: 0,
            refunds: Vec::new(),
        };
        let mut telling = Telling { now, order: index, paid_at: None, refunds: Vec::new() };
        self.fill(&mut telling.now);
        if shop {
            self.live(&mut telling);
        } else {
            self.short_life(&mut telling, shopper);
        }
        let Telling { now, paid_at, refunds, .. } = telling;
        if let Some(shopper) = shopper.filter(|_| paid_at.is_some() && !test) {
            self.known.push(shopper);
        }
        self.shop.lives.push(Life {
            id: now.order_id(),
            source,
            person,
            by_account: now.buyer.email.is_none() && now.buyer.user_id.is_some(),
            currency: now.currency,
            test,
            placed_at: now.created_at,
            paid_at,
            cancelled_at: now.cancelled_at,
            total: now.total(),
            items: now.pieces(),
            device: now.device,
            coupon: now.coupon,
            refunds,
        });
    }

    pub(super) fn currency(&mut self) -> Currency {
        if self.rng.chance(EUR_ORDERS) { self.eur } else { Currency::USD }
    }

    /// The end of the span of dates, in whole seconds.
    pub(super) const fn end(&self) -> i64 {
        self.options.now.0.div_euclid(time::SECOND) - 1800
    }

    /// An instant somewhere in the span, with so many seconds left after it.
    pub(super) fn some_time(&mut self, left: i64) -> EventTime {
        let end = self.end() - left;
        let start = self.end() - SPAN_DAYS * 86_400 + 3600;
        EventTime(seconds(self.rng.between(start, end.max(start))))
    }

    /// Goods that somebody looks at.
    pub(super) fn some_line(&mut self) -> Line {
        Line { product: self.rng.pick(PRODUCTS), quantity: self.rng.pick(&[1_i64, 1, 1, 2, 3]) }
    }

    pub(super) fn some_coupon(&mut self) -> Option<&'static str> {
        self.rng.chance(200).then(|| self.rng.pick(COUPONS))
    }

    /// Sends something that is about no order.
    pub(super) fn send(&mut self, at: EventTime, delivery: Delivery, again: Option<Purpose>) {
        self.send_twice(at, delivery, again, None);
    }

    /// The same, with the same fact in another delivery.
    pub(super) fn send_twice(
        &mut self,
        at: EventTime,
        delivery: Delivery,
        again: Option<Purpose>,
        twin: Option<Delivery>,
    ) {
        let subject = self.subjects;
        self.subjects += 1;
        self.drafts.push(Draft { at, subject, creates: false, delivery, again, twin, snapshot: None });
    }

    /// Enters into the books what somebody did.
    pub(super) fn did(&mut self, what: EventName, times: usize) {
        *self.shop.done.entry(what).or_default() += i64::try_from(times).unwrap_or(0);
    }

    /// Orders are spread evenly over the span, each displaced by up to an hour, to whole seconds.
    fn created_at(&mut self, index: usize) -> EventTime {
        let span = SPAN_DAYS * 86_400 - 2 * 3600;
        let index = i64::try_from(index).unwrap_or(i64::MAX);
        let orders = i64::try_from(self.options.orders).unwrap_or(i64::MAX).max(1);
        let since = index.saturating_mul(span) / orders + self.rng.between(0, 3600);
        let end = self.end();
        EventTime(seconds(end - span - 3600 + since))
    }

    /// Puts goods and prices in.
    fn fill(&mut self, order: &mut Snapshot) {
        for _ in 0..self.rng.pick(&[1_usize, 1, 1, 2, 2, 3, 4]) {
            order.lines.push(self.some_line());
        }
        order.coupon = self.some_coupon();
        let taxed = self.rng.chance(500);
        price(order, taxed);
    }

    /// Tells the whole life of an order, as far as it lies before `now`.
    fn live(&mut self, order: &mut Telling) {
        let paid_at_once = !self.rng.chance(PENDING);
        if !paid_at_once {
            order.now.financial = "pending";
            order.now.processed_at = order.now.processed_at.filter(|_| order.now.source == Source::Shopify);
        }
        self.tell(order, "create", true);
        if paid_at_once {
            order.proves_payment(order.now.created_at);
            if self.rng.chance(PAID_TWICE) {
                let pause = seconds(self.rng.between(1, 90));
                self.step(order, pause, "paid", |_| {});
            }
        } else {
            self.leave_pending(order);
        }
        if !order.is_paid() {
            return;
        }
        if self.rng.chance(EDITED) {
            let pause = seconds(self.rng.between(60, 7200));
            self.step(order, pause, "updated", |now| {
                if let Some(line) = now.lines.first_mut() {
                    line.quantity += 1;
                }
                let taxed = now.tax > 0;
                price(now, taxed);
            });
        }
        if self.rng.chance(RETAGGED) {
            let pause = seconds(self.rng.between(60, 86_400));
            self.step(order, pause, "updated", |now| now.tags = "loyal, checked".to_owned());
        }
        if self.rng.chance(CANCELLED) {
            self.cancel_paid(order);
            return;
        }
        if self.rng.chance(FULFILLED) {
            self.fulfill(order);
        }
        if self.rng.chance(REFUNDED) {
            self.refund(order);
        }
    }

    /// What becomes of an order that was not paid at once.
    fn leave_pending(&mut self, order: &mut Telling) {
        if self.rng.chance(PAID_LATER) {
            let pause = seconds(self.rng.between(60, 172_800));
            self.pay(order, pause);
        } else if self.rng.chance(CANCELLED_UNPAID) {
            let pause = seconds(self.rng.between(3600, 259_200));
            self.step(order, pause, "cancelled", |now| {
                now.financial = "voided";
                now.cancelled_at = Some(now.updated_at);
            });
        }
    }

    /// Payment of a pending order; the instant that it proves depends on how it is told.
    fn pay(&mut self, order: &mut Telling, pause: i64) {
        let shopify = order.now.source == Source::Shopify;
        let named = self.rng.chance(600);
        let dated = self.rng.chance(700);
        let topic = if named { "paid" } else { "updated" };
        let told = self.step(order, pause, topic, |now| {
            now.financial = "paid";
            if !shopify && dated {
                now.processed_at = Some(now.updated_at);
            }
        });
        if !told {
            return;
        }
        // The backend's `orders_paid` dates the payment with `processed_at`, else with `created_at`.
        let at = if named && !shopify && !dated { order.now.created_at } else { order.now.updated_at };
        order.proves_payment(at);
        if shopify && self.rng.chance(PAID_TWICE) {
            let pause = seconds(self.rng.between(1, 5));
            self.step(order, pause, if named { "updated" } else { "paid" }, |_| {});
        }
    }

    fn cancel_paid(&mut self, order: &mut Telling) {
        let pause = seconds(self.rng.between(600, 172_800));
        let refund =
            self.rng.chance(CANCELLED_WITH_REFUND).then(|| self.make_refund(order, order.now.total()));
        let amount = refund.as_ref().map(|refund| refund.transactions.iter().sum::<i64>());
        let told = self.step(order, pause, "cancelled", |now| {
            now.cancelled_at = Some(now.updated_at);
            if let Some(mut refund) = refund {
                refund.at = now.updated_at;
                now.refunds.push(refund);
                now.financial = "refunded";
            }
        });
        if let (true, Some(amount)) = (told, amount) {
            order.refunds.push((order.now.updated_at, amount));
        }
    }

    fn fulfill(&mut self, order: &mut Telling) {
        let done = if order.now.source == Source::Shopify { "fulfilled" } else { "shipped" };
        if self.rng.chance(PARTIALLY_FIRST) {
            let pause = seconds(self.rng.between(3600, 86_400));
            self.step(order, pause, "partially_fulfilled", |now| now.fulfillment = Some("partial"));
        }
        let pause = seconds(self.rng.between(3600, 259_200));
        self.step(order, pause, "fulfilled", |now| now.fulfillment = Some(done));
    }

    fn refund(&mut self, order: &mut Telling) {
        let total = order.now.total();
        let pause = seconds(self.rng.between(3600, 604_800));
        if self.rng.chance(REFUND_WITHOUT_AMOUNT) {
            // The last that is heard of the order: a later version would date the refund anew.
            if self.step(order, pause, "updated", |now| now.financial = "refunded") {
                order.refunds.push((order.now.updated_at, total));
            }
        } else if self.rng.chance(REFUND_EXCEEDS) {
            self.refund_of(order, pause, total + 500, "refunded");
        } else if self.rng.chance(450) {
            self.refund_of(order, pause, total, "refunded");
        } else {
            let part = (total * self.rng.between(10, 50) / 100).max(1);
            let told = self.refund_of(order, pause, part, "partially_refunded");
            if told && self.rng.chance(250) {
                let rest = total - part;
                let (amount, status) = if self.rng.chance(500) || rest < 3 {
                    (rest, "refunded")
                } else {
                    (rest / 3, "partially_refunded")
                };
                if amount > 0 {
                    let pause = seconds(self.rng.between(3600, 172_800));
                    self.refund_of(order, pause, amount, status);
                }
            }
        }
    }

    /// One refund of `amount`: perhaps `refunds/create`, then the new version of the order.
    fn refund_of(&mut self, order: &mut Telling, pause: i64, amount: i64, status: &'static str) -> bool {
        let mut refund = self.make_refund(order, amount);
        let lag = seconds(self.rng.between(1, 5));
        let announced = order.now.source == Source::Shopify && self.rng.chance(REFUNDS_CREATE);
        let at = EventTime(order.now.updated_at.0 + pause);
        refund.at = at;
        let told = self.step(order, pause + lag, "updated", |now| {
            now.refunds.push(refund.clone());
            now.financial = status;
        });
        if told {
            order.refunds.push((at, amount));
            if announced {
                let body = to_bytes(&order.now.refund(&refund));
                let delivery = self.shopify("refunds/create", at, body);
                self.draft(order, at, false, delivery);
            }
        }
        told
    }

    fn make_refund(&mut self, order: &Telling, amount: i64) -> Refund {
        let id = order.now.id.wrapping_mul(10).wrapping_add_unsigned(order.now.refunds.len() as u64);
        let first = if amount > 1 && self.rng.chance(SPLIT_REFUNDS) { amount / 2 } else { amount };
        let mut transactions = vec![first];
        transactions.extend((first < amount).then(|| amount - first));
        let failed = self.rng.chance(FAILED_TRANSACTIONS).then_some(amount);
        Refund { id, at: order.now.updated_at, transactions, failed }
    }

    /// The next version of an order after a pause, told under `topic`. False when it would lie after `now`: then it
    /// doesn't happen.
    fn step(
        &mut self,
        order: &mut Telling,
        pause: i64,
        topic: &str,
        change: impl FnOnce(&mut Snapshot),
    ) -> bool {
        let at = EventTime(order.now.updated_at.0 + pause);
        if at >= self.options.now {
            return false;
        }
        order.now.updated_at = at;
        change(&mut order.now);
        // Some shops subscribe to `orders/updated` alone.
        let topic = if topic != "paid" && self.rng.chance(300) { "updated" } else { topic };
        self.tell(order, topic, false);
        true
    }

    fn tell(&mut self, order: &Telling, topic: &str, creates: bool) {
        let delivery = self.deliver(&order.now, topic);
        self.draft(order, order.now.updated_at, creates, delivery);
    }

    fn draft(&mut self, order: &Telling, at: EventTime, creates: bool, delivery: Delivery) {
        self.drafts.push(Draft {
            at,
            subject: order.order,
            creates,
            delivery,
            again: Some(Purpose::Repeats),
            twin: None,
            snapshot: Some(order.now.clone()),
        });
    }

    pub(super) fn deliver(&mut self, snapshot: &Snapshot, topic: &str) -> Delivery {
        let body = to_bytes(&snapshot.order());
        match snapshot.source {
            Source::Shopify => self.shopify(&format!("orders/{topic}"), snapshot.updated_at, body),
            _ => self.options.credentials.backend(&format!("orders_{topic}"), body),
        }
    }

    pub(super) fn shopify(&mut self, topic: &str, at: EventTime, body: Vec<u8>) -> Delivery {
        let ids =
            WebhookIds { webhook: self.rng.uuid(), event: self.rng.uuid(), triggered_at: at.to_rfc3339() };
        self.options.credentials.shopify(topic, &ids, body)
    }
}

/// Prices an order from its lines.
fn price(order: &mut Snapshot, taxed: bool) {
    let goods = order.lines_total();
    order.discount = if order.coupon.is_some() { goods * 10 / 100 } else { 0 };
    let subtotal = goods - order.discount;
    order.shipping = if subtotal >= 7_500 { 0 } else { 595 };
    order.tax = if taxed { subtotal * 7 / 100 } else { 0 };
}

pub(super) fn to_bytes(value: &serde_json::Value) -> Vec<u8> {
    value.to_string().into_bytes()
}
