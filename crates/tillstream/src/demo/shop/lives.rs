//! What becomes of each order, step by step, and the delivery that each step causes.

use commerce::{Currency, EventTime, Source, time};

use super::*;
use crate::demo::body::{Buyer, Line, Place, Product, Refund, Snapshot};
use crate::demo::credentials::WebhookIds;
use crate::demo::rng::Rng;

const FIRST_NAMES: &[&str] = &[
    "Ada", "Ben", "Cleo", "Dora", "Emil", "Fay", "Gus", "Hana", "Ivo", "June", "Kai", "Lena", "Milo", "Nora",
    "Otto", "Pia", "Quinn", "Rosa", "Sven", "Tess", "Uma", "Vito", "Wren", "Zoë",
];
const LAST_NAMES: &[&str] = &[
    "Archer", "Baker", "Carter", "Dyer", "Fisher", "Glover", "Harper", "Mason", "Miller", "O'Brien",
    "Porter", "Sawyer", "Smith", "Taylor", "Turner", "Weaver",
];
const PLACES: &[Place] = &[
    Place {
        city: "Swampscott",
        zip: "01907",
        province: "Massachusetts",
        country: "United States",
        code: "US",
    },
    Place { city: "Portland", zip: "97201", province: "Oregon", country: "United States", code: "US" },
    Place { city: "Austin", zip: "73301", province: "Texas", country: "United States", code: "US" },
    Place { city: "Toronto", zip: "M5V 2T6", province: "Ontario", country: "Canada", code: "CA" },
    Place { city: "Leeds", zip: "LS1 1UR", province: "England", country: "United Kingdom", code: "GB" },
    Place { city: "Berlin", zip: "10115", province: "Berlin", country: "Germany", code: "DE" },
];
const PRODUCTS: &[Product] = &[
    Product {
        id: 3_891_553_100,
        title: "Navy Crew Neck T-Shirt",
        variant: "M",
        sku: "TS-NAVY-M",
        price: 2349,
    },
    Product {
        id: 3_891_553_101,
        title: "White Crew Neck T-Shirt",
        variant: "L",
        sku: "TS-WHITE-L",
        price: 2449,
    },
    Product {
        id: 3_891_553_102,
        title: "Wool Socks \"Alp\"",
        variant: "39-42",
        sku: "SO-ALP-39",
        price: 1290,
    },
    Product { id: 3_891_553_103, title: "Canvas Tote", variant: "Natural", sku: "BA-TOTE", price: 1895 },
    Product { id: 3_891_553_104, title: "Rain Jacket", variant: "S", sku: "JA-RAIN-S", price: 11_900 },
    Product { id: 3_891_553_105, title: "Café Mug", variant: "Blue", sku: "MU-CAFE-B", price: 1450 },
    Product { id: 3_891_553_106, title: "Notebook A5", variant: "Dotted", sku: "NB-A5-D", price: 999 },
    Product { id: 3_891_553_107, title: "Linen Shirt", variant: "M", sku: "SH-LIN-M", price: 6900 },
    Product { id: 3_891_553_108, title: "Enamel Pin", variant: "Fox", sku: "PI-FOX", price: 650 },
    Product { id: 3_891_553_109, title: "Gift Card Sleeve", variant: "Red", sku: "GC-SLV", price: 1 },
    Product { id: 3_891_553_110, title: "Denim Apron", variant: "One size", sku: "AP-DEN", price: 4225 },
    Product { id: 3_891_553_111, title: "Beeswax Candle", variant: "20 cm", sku: "CA-BEE-20", price: 1777 },
];
const CAMPAIGNS: &[&str] = &["spring", "summer", "welcome", "back-in-stock"];
const COUPONS: &[&str] = &["SPRING10", "WELCOME10", "LOYAL10"];

/// A delivery that has no place in the order of sending yet.
pub(super) struct Draft {
    /// When it was caused.
    pub(super) at: EventTime,
    pub(super) order: usize,
    pub(super) creates: bool,
    pub(super) delivery: Delivery,
    pub(super) snapshot: Snapshot,
}

pub(super) struct Maker<'a> {
    pub(super) options: &'a Options,
    pub(super) rng: Rng,
    /// The first of the run's ids: runs with different seeds have nothing in common.
    base: i64,
    eur: Currency,
    pub(super) lives: Vec<Life>,
    pub(super) drafts: Vec<Draft>,
    /// A shopper with a paid order that counts: test orders are theirs, so a test order makes no profile.
    known: Vec<usize>,
}

/// An order while it is being told.
struct Telling {
    now: Snapshot,
    order: usize,
    paid_at: Option<EventTime>,
    /// What went back so far.
    refunds: Vec<(EventTime, i64)>,
}

impl Telling {
    fn proves_payment(&mut self, at: EventTime) {
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
        Self { options, rng, base, eur, lives: Vec::new(), drafts: Vec::new(), known: Vec::new() }
    }

    fn shoppers(&self) -> usize {
        (self.options.orders * 2 / 5).max(4)
    }

    /// The shopper of an index: the same person through both sources, because persons are by e-mail.
    fn shopper(&self, index: usize, source: Source) -> (Buyer, String) {
        let at = |list: &[&'static str], i: usize| list.get(i % list.len()).copied().unwrap_or_default();
        let first_name = at(FIRST_NAMES, index);
        let last_name = at(LAST_NAMES, index / FIRST_NAMES.len() + index);
        let plain = |text: &str| text.to_lowercase().replace('ë', "e").replace('\'', "");
        let email =
            format!("{}.{}.{}.{index}@example.com", plain(first_name), plain(last_name), self.options.seed);
        let place = PLACES.get(index % 7).or(PLACES.first()).copied().unwrap_or_default();
        let offset = if source == Source::Shopify { 500_000_000 } else { 600_000_000 };
        let customer_id = Some(self.base.saturating_add(offset).saturating_add_unsigned(index as u64));
        (Buyer { first_name, last_name, email: Some(email.clone()), customer_id, place }, email)
    }

    /// Who buys, and the person that the books know them as.
    fn buyer(&mut self, source: Source, test: bool) -> (Buyer, Option<String>, Option<usize>) {
        let anonymous = Buyer { first_name: "Guest", last_name: "", place: PLACES[0], ..Buyer::default() };
        let mut index = self.rng.skewed(self.shoppers());
        if test {
            let Some(known) = self.rng.pick_from(&self.known) else {
                // Nobody is known yet: a test order of nobody is one that Shopify sends.
                return (anonymous, None, None);
            };
            index = known;
        } else if self.rng.chance(GUESTS) {
            if source == Source::Shopify {
                return (anonymous, None, None);
            }
            // The backend must name somebody: its own customer number.
            let id = self.base.saturating_add(700_000_000).saturating_add_unsigned(self.rng.below(20));
            return (Buyer { customer_id: Some(id), ..anonymous }, Some(format!("backend:{id}")), None);
        }
        let (mut buyer, person) = self.shopper(index, source);
        if source == Source::Shopify && self.rng.chance(WITHOUT_ACCOUNT) {
            buyer.customer_id = None;
        }
        if self.rng.chance(SHOUTED_EMAILS) {
            buyer.email = Some(format!(" {} ", person.to_uppercase()));
        }
        (buyer, Some(person), Some(index))
    }

    pub(super) fn order(&mut self, index: usize) {
        let test = self.rng.chance(TEST_ORDERS);
        let shopify = self.rng.chance(SHOPIFY) || (test && self.known.is_empty());
        let source = if shopify { Source::Shopify } else { Source::Lifesight };
        let (buyer, person, shopper) = self.buyer(source, test);
        let number = 1001_i64.saturating_add_unsigned(index as u64);
        let id = self.base + if shopify { 0 } else { 200_000_000 } + number;
        let created_at = self.created_at(index);
        let now = Snapshot {
            source,
            id,
            number: if shopify { number } else { number + 500_000 },
            currency: if self.rng.chance(EUR_ORDERS) { self.eur } else { Currency::USD },
            test,
            buyer,
            campaign: self.rng.pick(CAMPAIGNS),
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
        self.live(&mut telling);
        let Telling { now, paid_at, refunds, .. } = telling;
        if let Some(shopper) = shopper.filter(|_| paid_at.is_some() && !test) {
            self.known.push(shopper);
        }
        self.lives.push(Life {
            id: now.id.to_string(),
            source,
            person,
            currency: now.currency,
            test,
            placed_at: now.created_at,
            paid_at,
            cancelled_at: now.cancelled_at,
            total: now.total(),
            items: now.pieces(),
            refunds,
        });
    }

    /// Orders are spread evenly over the span, each displaced by up to an hour, to whole seconds.
    fn created_at(&mut self, index: usize) -> EventTime {
        let span = SPAN_DAYS * 86_400 - 2 * 3600;
        let index = i64::try_from(index).unwrap_or(i64::MAX);
        let orders = i64::try_from(self.options.orders).unwrap_or(i64::MAX).max(1);
        let since = index.saturating_mul(span) / orders + self.rng.between(0, 3600);
        let end = self.options.now.0.div_euclid(time::SECOND) - 1800;
        EventTime(seconds(end - span - 3600 + since))
    }

    /// Puts goods and prices in.
    fn fill(&mut self, order: &mut Snapshot) {
        for _ in 0..self.rng.pick(&[1_usize, 1, 1, 2, 2, 3, 4]) {
            let line =
                Line { product: self.rng.pick(PRODUCTS), quantity: self.rng.pick(&[1_i64, 1, 1, 2, 3]) };
            order.lines.push(line);
        }
        if self.rng.chance(200) {
            order.coupon = Some(self.rng.pick(COUPONS));
        }
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
                let snapshot = order.now.clone();
                self.drafts.push(Draft { at, order: order.order, creates: false, delivery, snapshot });
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
        let snapshot = order.now.clone();
        let delivery = self.deliver(&snapshot, topic);
        self.drafts.push(Draft { at: snapshot.updated_at, order: order.order, creates, delivery, snapshot });
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
