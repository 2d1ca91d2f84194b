//! The simulated shop: shoppers, what becomes of their orders, and the deliveries that all of it causes.
//!
//! | file | what of it |
//! |---|---|
//! | `lives` | orders of the Shopify shop and of the custom backend, step by step |
//! | `elsewhere` | orders that are pushed, bought on the web or in the app, or rung up at the till |
//! | `visits` | what people look at and put into carts |
//! | `plans` | subscriptions, which Stripe collects |
//! | `goods` | what is sold |
//! | `people` | who all these are, and how they come to be known |
//! | `traffic` | the order of sending, and everything that goes wrong on the way |
//!
//! One seed, one number of orders and one `now` make the same bytes on every machine. Each version of an order has an
//! `updated_at` of its own, so whether a delivery is news or a repetition never depends on the order of arrival.
//!
//! Shares are in thousandths. Those of orders are of the orders to which they can happen: what would happen after
//! `now` doesn't, so a little less of it is seen.

mod elsewhere;
mod goods;
mod lives;
mod people;
mod plans;
mod traffic;
mod visits;

use std::collections::{BTreeMap, BTreeSet};

use commerce::{Currency, EventName, EventTime, Source};

use super::credentials::Credentials;
use super::delivery::Delivery;
use lives::Maker;

/// Orders of `up --demo`.
pub const DEFAULT_ORDERS: usize = 2_000;
/// The seed of `up --demo`.
pub const DEFAULT_SEED: u64 = 42;
/// Order dates are spread over this many days before `now`.
pub const SPAN_DAYS: i64 = 30;

/// Of all orders: through the Shopify shop. What neither it nor [`ELSEWHERE`] takes comes from the custom backend.
pub const SHOPIFY: u32 = 440;
/// Of all orders: pushed by a marketplace, bought on the web (analytics) or in the app (tracked), rung up at the till
/// (rows).
pub const ELSEWHERE: [(Source, u32); 4] =
    [(Source::Sequenzy, 120), (Source::Analytics, 80), (Source::Customerio, 60), (Source::Records, 60)];
/// Of shoppers: one in so many has an account.
pub const MEMBERS: usize = 3;
/// For every thousand orders: visits that are tracked and end without one.
pub const VISITS: usize = 250;
/// For every thousand orders: people with a subscription.
pub const SUBSCRIBERS: usize = 30;
/// For every thousand orders: people with a loyalty card.
pub const LOYAL: usize = 40;
/// Of all orders: not in the base currency. They are in the per-currency lines only.
pub const EUR_ORDERS: u32 = 60;
/// Of orders of the shop and the backend: test orders, which no figure counts.
pub const TEST_ORDERS: u32 = 10;
/// Of orders, where the source allows it: bought by a guest who leaves no e-mail.
pub const GUESTS: u32 = 60;
/// Of Shopify orders with an e-mail: bought without an account, so `customer` is null.
pub const WITHOUT_ACCOUNT: u32 = 100;
/// Of all orders: the e-mail in capitals, and with blanks around it.
pub const SHOUTED_EMAILS: u32 = 40;
/// Of all orders: still pending when created.
pub const PENDING: u32 = 300;
/// Of pending orders: paid later.
pub const PAID_LATER: u32 = 780;
/// Of the pending orders that are not paid later: cancelled without payment.
pub const CANCELLED_UNPAID: u32 = 400;
/// Of paid orders: also announced by an explicit paid event that says nothing new about the money.
pub const PAID_TWICE: u32 = 300;
/// Of paid orders: a change that moves no figure (tags).
pub const RETAGGED: u32 = 150;
/// Of paid orders: a change of quantity, so another total and other items.
pub const EDITED: u32 = 40;
/// Of paid orders: cancelled.
pub const CANCELLED: u32 = 25;
/// Of cancelled paid orders: refunded in full in the same version.
pub const CANCELLED_WITH_REFUND: u32 = 500;
/// Of paid orders that are not cancelled: handed over.
pub const FULFILLED: u32 = 600;
/// Of orders handed over: in two parts.
pub const PARTIALLY_FIRST: u32 = 120;
/// Of paid orders that are not cancelled: refunded, in full or in part, once or twice. With the cancelled ones that
/// makes 4 % of all orders.
pub const REFUNDED: u32 = 44;
/// Of paid orders that no shop system tells of: the same.
pub const REFUNDED_ELSEWHERE: u32 = 60;
/// Of refunds: more than the order's total (cut to it).
pub const REFUND_EXCEEDS: u32 = 50;
/// Of refunds: status `refunded` without any amount, which means the rest of the total.
pub const REFUND_WITHOUT_AMOUNT: u32 = 150;
/// Of refunds: in two transactions.
pub const SPLIT_REFUNDS: u32 = 300;
/// Of refunds: with a failed transaction that doesn't count.
pub const FAILED_TRANSACTIONS: u32 = 250;
/// Of Shopify refunds: announced by `refunds/create` as well.
pub const REFUNDS_CREATE: u32 = 400;

/// Of deliveries: sent once more, byte for byte with the same id.
pub const REPEATED: u32 = 50;
/// Of deliveries: sent by another subscription too (the backend: encoded differently).
pub const RESUBSCRIBED: u32 = 20;
/// Of deliveries: a forged copy (another amount, wrong signature or key) comes along.
pub const FORGED: u32 = 10;
/// Of Shopify deliveries: a garbled copy comes along, validly signed.
pub const GARBLED: u32 = 5;
/// Of Shopify deliveries: a topic nobody asked for comes along.
pub const DIGRESSIONS: u32 = 4;
/// Of backend calls: a copy without one required field comes along.
pub const OMITTED: u32 = 8;
/// Of orders with several deliveries: the creation is sent after all of them.
pub const CREATED_LAST: u32 = 60;
/// Of deliveries: sent up to a quarter of the whole run too late.
pub const LATE: u32 = 20;
/// Every delivery is displaced by less than this many places.
pub const SHUFFLE: u64 = 24;
/// A repetition comes within this many places.
pub const REPEAT_WITHIN: u64 = 400;
/// Deliveries per order, so that an order remembers all of them (it remembers 16, and a retry may add some).
const MOST_PER_ORDER: usize = 13;

/// What a shop is made from.
#[derive(Clone, Debug)]
pub struct Options {
    /// The seed.
    pub seed: u64,
    /// How many orders.
    pub orders: usize,
    /// The end of the span of order dates. Nothing happens after it.
    pub now: EventTime,
    /// What opens the gateway.
    pub credentials: Credentials,
}

impl Options {
    /// The shop of `up --demo` as of `now`.
    pub fn default_at(now: EventTime) -> Self {
        Self { seed: DEFAULT_SEED, orders: DEFAULT_ORDERS, now, credentials: Credentials::default() }
    }
}

/// What became of one order: the shop's own books, from which the expectation is made.
#[derive(Clone, Debug)]
pub struct Life {
    /// The order's id as text.
    pub id: String,
    /// Who tells of it.
    pub source: Source,
    /// Whose it is: a normalised e-mail, else `backend:` and a customer id. `None` for a guest.
    pub person: Option<String>,
    /// True where the source names that person by the id of their account alone.
    pub by_account: bool,
    /// Of all its amounts.
    pub currency: Currency,
    /// Test traffic.
    pub test: bool,
    /// When it was placed.
    pub placed_at: EventTime,
    /// The earliest instant at which some delivery proves full payment.
    pub paid_at: Option<EventTime>,
    /// When it was called off.
    pub cancelled_at: Option<EventTime>,
    /// Grand total of the last version, minor units.
    pub total: i64,
    /// Pieces of the last version.
    pub items: i64,
    /// Where the shopper sat, as far as the source says.
    pub device: Option<&'static str>,
    /// The coupon that was redeemed.
    pub coupon: Option<&'static str>,
    /// What went back, in order of time, as asked for (so perhaps more than the total).
    pub refunds: Vec<(EventTime, i64)>,
}

/// One attempt to collect an invoice.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// Whose subscription it is: a normalised e-mail.
    pub person: String,
    /// When it was made.
    pub at: EventTime,
    /// Of the amount.
    pub currency: Currency,
    /// What was asked for, minor units.
    pub amount: i64,
    /// True when it was paid.
    pub paid: bool,
}

/// A shop: its books and its deliveries in the order of sending.
#[derive(Clone, Debug, Default)]
pub struct Shop {
    /// What became of each order.
    pub lives: Vec<Life>,
    /// What else people did, by the name of the fact.
    pub done: BTreeMap<EventName, i64>,
    /// What was collected for subscriptions, and what couldn't be.
    pub attempts: Vec<Attempt>,
    /// Persons who were named apart from orders.
    pub named: BTreeSet<String>,
    /// Whose loyalty card is of which kind.
    pub loyalty: BTreeMap<String, &'static str>,
    /// What is sent.
    pub deliveries: Vec<Delivery>,
}

impl Shop {
    /// Makes the shop.
    pub fn generate(options: &Options) -> Self {
        let mut maker = Maker::new(options);
        for index in 0..options.orders {
            maker.order(index);
        }
        maker.visits();
        maker.plans();
        maker.introductions();
        maker.finish()
    }
}

#[cfg(test)]
mod tests;
