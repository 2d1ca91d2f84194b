//! Workload W: order webhooks of about 2 KB, 5 % of them sent twice, 3 % refunds, with the totals that must come out.
//!
//! Deterministic: seed and number decide every byte. The bytes are those of `tillbench gen`, the generator of the
//! lower bound and of the peer, so that all three work on the same input.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::sync::Arc;

use commerce::time::{DAY, Day, SECOND, Zone};
use commerce::{Currency, EventTime};

/// 2026-01-01T00:00:00Z in seconds: the first order.
const EPOCH: i64 = 1_767_225_600;
/// Over how many seconds the orders are spread.
const SPAN: i64 = 90 * DAY / SECOND;
const CUSTOMERS: u64 = 20_000;
/// Ids of orders and customers begin behind these.
const ORDERS_FROM: u64 = 5_400_000_000_000;
const CUSTOMERS_FROM: u64 = 7_000_000_000;
/// How far back a repetition and a refund reach.
const REPEATABLE: usize = 2_000;
const REFUNDABLE: usize = 5_000;

/// One of the four shops; each sells in one currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shop {
    /// The workspace that it is given here.
    pub workspace: &'static str,
    /// Its domain.
    pub domain: &'static str,
    /// Its currency.
    pub currency: &'static str,
    /// Minor digits of the currency.
    digits: u32,
    /// Its offset from UTC in minutes.
    offset: i64,
}

/// The shops, the largest first: 70, 20, 5 and 5 % of the customers.
pub const SHOPS: [Shop; 4] = [
    Shop { workspace: "till-us", domain: "till-us.myshopify.com", currency: "USD", digits: 2, offset: -300 },
    Shop { workspace: "till-eu", domain: "till-eu.myshopify.com", currency: "EUR", digits: 2, offset: 60 },
    Shop { workspace: "till-uk", domain: "till-uk.myshopify.com", currency: "GBP", digits: 2, offset: 0 },
    Shop { workspace: "till-jp", domain: "till-jp.myshopify.com", currency: "JPY", digits: 0, offset: 540 },
];

const FIRST_NAMES: [&str; 16] = [
    "Ada",
    "Grace",
    "Zoë",
    "Linus",
    "Margaret",
    "José",
    "Barbara",
    "Ken",
    "Radia",
    "Dennis",
    "Hedy",
    "Björn",
    "Katherine",
    "Tim",
    "Sofia",
    "Yukihiro",
];
const LAST_NAMES: [&str; 16] = [
    "Lovelace",
    "Hopper",
    "O'Neil",
    "Torvalds",
    "Hamilton",
    "García",
    "Liskov",
    "Thompson",
    "Perlman",
    "Ritchie",
    "Lamarr",
    "Ångström",
    "Johnson",
    "Berners",
    "Kovalevskaya",
    "Matsumoto",
];
/// As they stand in JSON, quotes escaped.
const TITLES: [&str; 12] = [
    "Organic Cotton T-Shirt",
    r#"Linen Apron \"Chef\""#,
    "Enamel Mug 12 oz",
    "Walnut Cutting Board",
    "Merino Beanie",
    "Canvas Tote",
    "Ceramic Pour-Over Set",
    "Recycled Rain Jacket",
    "Leather Card Wallet",
    "Beeswax Candle",
    "Stainless Bottle 750 ml",
    "Wool Throw",
];

/// One webhook.
#[derive(Clone, Debug)]
pub struct Webhook {
    /// Index into [`SHOPS`].
    pub shop: usize,
    /// `orders/create` or `orders/updated`.
    pub topic: &'static str,
    /// Shopify's id of the delivery; a repetition has the same.
    pub id: String,
    /// The body.
    pub body: Arc<[u8]>,
    /// When it was sent, by the workload's clock.
    pub at: EventTime,
    /// True when it was there before.
    pub repeated: bool,
}

/// What must come out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expected {
    /// Webhooks, repetitions included.
    pub webhooks: i64,
    /// Orders.
    pub orders: i64,
    /// Refunds.
    pub refunds: i64,
    /// Repetitions.
    pub repeated: i64,
    /// By shop and day of UTC.
    pub days: BTreeMap<(usize, Day), DayTotals>,
    /// By number of the customer.
    pub customers: HashMap<u64, CustomerTotals>,
}

/// The figures of a day; amounts in minor units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DayTotals {
    /// Orders paid on it.
    pub orders: i64,
    /// Their totals.
    pub gross: i64,
    /// Their quantities.
    pub items: i64,
    /// Their discounts.
    pub discount: i64,
    /// Refunds dated on it.
    pub refunds: i64,
    /// Their sum.
    pub refunded: i64,
}

/// The figures of a customer; amounts in minor units of the shop's currency.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CustomerTotals {
    /// Orders.
    pub orders: i64,
    /// Their totals.
    pub spent: i64,
    /// What went back.
    pub refunded: i64,
    /// When the first order was placed.
    pub first: Option<EventTime>,
    /// When the last order was placed.
    pub last: Option<EventTime>,
}

impl Expected {
    /// Totals of all days of a shop.
    pub fn of_shop(&self, shop: usize) -> DayTotals {
        let mut sum = DayTotals::default();
        for (_, day) in self.days.iter().filter(|((of, _), _)| *of == shop) {
            sum.orders += day.orders;
            sum.gross += day.gross;
            sum.items += day.items;
            sum.discount += day.discount;
            sum.refunds += day.refunds;
            sum.refunded += day.refunded;
        }
        sum
    }
}

/// The shop of a customer.
pub fn shop_of(customer: u64) -> usize {
    match customer % 20 {
        0..=13 => 0,
        14..=17 => 1,
        18 => 2,
        _ => 3,
    }
}

/// The e-mail of a customer.
pub fn email_of(customer: u64) -> String {
    format!("c{customer}@example.com")
}

/// SplitMix64: the same on every machine.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        high(u128::from(self.next()) * u128::from(bound), 64)
    }

    fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).unwrap_or(0)
    }

    fn amount(&mut self, bound: u64) -> i64 {
        self.below(bound).cast_signed()
    }
}

fn high(product: u128, shift: u32) -> u64 {
    u64::try_from(product >> shift).unwrap_or(u64::MAX)
}

struct Line {
    product: i64,
    quantity: i64,
    price: i64,
}

struct Order {
    number: u64,
    customer: u64,
    created: i64,
    lines: Vec<Line>,
    discount: i64,
    refunded: bool,
    salt: u64,
}

impl Order {
    fn subtotal(&self) -> i64 {
        self.lines.iter().map(|line| line.quantity * line.price).sum()
    }

    fn total(&self) -> i64 {
        self.subtotal() - self.discount
    }
}

#[derive(Clone, Copy)]
struct Refund {
    amount: i64,
    at: i64,
}

/// Keeps the last so many of what was pushed, in places that are used again in turn.
struct Ring<T> {
    kept: Vec<T>,
    size: usize,
    next: usize,
}

impl<T> Ring<T> {
    const fn new(size: usize) -> Self {
        Self { kept: Vec::new(), size, next: 0 }
    }

    fn push(&mut self, value: T) {
        if self.kept.len() < self.size {
            self.kept.push(value);
        } else if let Some(place) = self.kept.get_mut(self.next) {
            *place = value;
            self.next = (self.next + 1) % self.size;
        }
    }
}

/// The webhooks, one after the other.
pub struct Workload {
    dice: Dice,
    of: u64,
    made: u64,
    start: i64,
    span: i64,
    last_order: u64,
    recent: Ring<Webhook>,
    orders: Ring<Order>,
    expected: Expected,
}

impl Workload {
    /// `of` webhooks of W.
    pub fn new(seed: u64, of: u64) -> Self {
        Self::during(seed, of, EventTime(EPOCH * SECOND), SPAN)
    }

    /// The same kind of webhooks at another time: spread over `span` seconds from `start` on.
    pub fn during(seed: u64, of: u64, start: EventTime, span: i64) -> Self {
        Self {
            dice: Dice(seed),
            of,
            made: 0,
            start: start.0.div_euclid(SECOND),
            span,
            last_order: 0,
            recent: Ring::new(REPEATABLE),
            orders: Ring::new(REFUNDABLE),
            expected: Expected::default(),
        }
    }

    /// What must come of all webhooks that were made so far.
    pub fn into_expected(self) -> Expected {
        self.expected
    }

    fn now(&self) -> i64 {
        // In milliseconds and then cut to seconds, as W is defined.
        let passed = i128::from(self.span) * 1000 * i128::from(self.made) / i128::from(self.of.max(1));
        self.start + i64::try_from(passed / 1000).unwrap_or(i64::MAX)
    }

    fn webhook_id(&mut self) -> String {
        let (a, b) = (self.dice.next(), self.dice.next());
        let (one, two, three) = (a >> 32, a >> 16 & 0xffff, a & 0xfff);
        format!("{one:08x}-{two:04x}-4{three:03x}-a{:03x}-{:012x}", b >> 52, b & 0xffff_ffff_ffff)
    }

    /// The order to be refunded, if the dice find one that wasn't yet.
    fn refundable(&mut self) -> Option<usize> {
        if self.orders.kept.len() <= 100 {
            return None;
        }
        let index = self.dice.index(self.orders.kept.len());
        self.orders.kept.get(index).is_some_and(|order| !order.refunded).then_some(index)
    }

    fn refund(&mut self, index: usize, id: String, at: i64) -> Option<Webhook> {
        let order = self.orders.kept.get_mut(index)?;
        order.refunded = true;
        let total = order.total();
        let one_unit = order.lines.first().map_or(total, |line| line.price.min(total));
        let refund = Refund { amount: if order.salt & 2 == 0 { total } else { one_unit }, at };
        let shop = shop_of(order.customer);
        let day = self.expected.days.entry((shop, day_of(at))).or_default();
        day.refunds += 1;
        day.refunded += refund.amount;
        self.expected.customers.entry(order.customer).or_default().refunded += refund.amount;
        self.expected.refunds += 1;
        Some(Webhook {
            shop,
            topic: "orders/updated",
            id,
            body: body(order, Some(refund)).into(),
            at: EventTime(at * SECOND),
            repeated: false,
        })
    }

    fn order(&mut self, id: String, created: i64) -> Webhook {
        // The cube makes a few customers buy much: 37 % of the orders are those of 5 % of the customers.
        let share = u128::from(self.dice.below(1 << 20));
        let customer = high(share * share * share * u128::from(CUSTOMERS), 60);
        let lines = 1 + self.dice.below(5) * self.dice.below(5) / 4;
        let lines: Vec<Line> = (0..lines)
            .map(|_| {
                let product = self.dice.amount(500);
                Line { product, quantity: 1 + self.dice.amount(3), price: 500 + product * 7919 % 19_500 }
            })
            .collect();
        let discounted = self.dice.below(4) == 0;
        self.last_order += 1;
        let mut order = Order {
            number: self.last_order,
            customer,
            created,
            lines,
            discount: 0,
            refunded: false,
            salt: self.dice.next(),
        };
        if discounted {
            order.discount = order.subtotal() / 10;
        }
        let shop = shop_of(customer);
        let at = EventTime(created * SECOND);
        let day = self.expected.days.entry((shop, day_of(created))).or_default();
        day.orders += 1;
        day.gross += order.total();
        day.items += order.lines.iter().map(|line| line.quantity).sum::<i64>();
        day.discount += order.discount;
        let totals = self.expected.customers.entry(customer).or_default();
        totals.orders += 1;
        totals.spent += order.total();
        totals.first = Some(totals.first.map_or(at, |first| first.min(at)));
        totals.last = totals.last.max(Some(at));
        self.expected.orders += 1;
        let body = body(&order, None).into();
        self.orders.push(order);
        Webhook { shop, topic: "orders/create", id, body, at, repeated: false }
    }
}

impl Iterator for Workload {
    type Item = Webhook;

    fn next(&mut self) -> Option<Webhook> {
        if self.made == self.of {
            return None;
        }
        let now = self.now();
        self.made += 1;
        self.expected.webhooks += 1;
        let kind = self.dice.below(100);
        if kind < 5 && !self.recent.kept.is_empty() {
            self.expected.repeated += 1;
            let index = self.dice.index(self.recent.kept.len());
            return self.recent.kept.get(index).map(|webhook| Webhook { repeated: true, ..webhook.clone() });
        }
        let refundable = if kind < 8 { self.refundable() } else { None };
        let id = self.webhook_id();
        let webhook = match refundable {
            Some(index) => self.refund(index, id, now)?,
            None => self.order(id, now),
        };
        self.recent.push(webhook.clone());
        Some(webhook)
    }
}

fn day_of(seconds: i64) -> Day {
    Zone::utc().day_of(EventTime(seconds * SECOND))
}

/// An amount of minor units as Shopify writes it.
struct Major(i64, u32);

impl std::fmt::Display for Major {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.1 == 0 { write!(f, "{}", self.0) } else { write!(f, "{}.{:02}", self.0 / 100, self.0 % 100) }
    }
}

/// An instant as a shop of that offset writes it.
struct Local(i64, i64);

impl std::fmt::Display for Local {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let local = self.0 + self.1 * 60;
        let (second, sign) = (local.rem_euclid(86_400), if self.1 < 0 { '-' } else { '+' });
        let offset = self.1.abs();
        write!(
            f,
            "{}T{:02}:{:02}:{:02}{sign}{:02}:{:02}",
            day_of(local),
            second / 3600,
            second / 60 % 60,
            second % 60,
            offset / 60,
            offset % 60
        )
    }
}

/// The body of a webhook. Writing to a `String` can't fail, so the results are dropped.
fn body(order: &Order, refund: Option<Refund>) -> Vec<u8> {
    let mut out = String::with_capacity(3072);
    head(&mut out, order, refund);
    person(&mut out, order);
    lines(&mut out, order);
    let shop = SHOPS[shop_of(order.customer)];
    out.push_str("],\"refunds\":[");
    if let Some(refund) = refund {
        let _ = write!(
            out,
            "{{\"id\":{},\"created_at\":\"{}\",\"note\":null,\"transactions\":[{{\"kind\":\"refund\",\
             \"status\":\"success\",\"amount\":\"{}\"}}]}}",
            ORDERS_FROM + order.number + 77,
            Local(refund.at, shop.offset),
            Major(refund.amount, shop.digits)
        );
    }
    out.push_str("],\"note\":null,\"note_attributes\":[]}");
    out.into_bytes()
}

fn head(out: &mut String, order: &Order, refund: Option<Refund>) {
    let shop = SHOPS[shop_of(order.customer)];
    let (id, salt, customer) = (ORDERS_FROM + order.number, order.salt, order.customer);
    let major = |minor| Major(minor, shop.digits);
    let local = |at| Local(at, shop.offset);
    let status = match refund {
        None => "paid",
        Some(refund) if refund.amount == order.total() => "refunded",
        Some(_) => "partially_refunded",
    };
    let _ = write!(
        out,
        "{{\"id\":{id},\"admin_graphql_api_id\":\"gid://shopify/Order/{id}\",\"app_id\":580111,\
         \"browser_ip\":\"203.0.113.{}\",\"buyer_accepts_marketing\":{},\"cancelled_at\":null,\
         \"cart_token\":\"{salt:016x}{:016x}\",\"name\":\"#{}\",\"email\":\"{}\",\"currency\":\"{}\",\
         \"created_at\":\"{}\",\"updated_at\":\"{}\",\"financial_status\":\"{status}\",",
        salt % 254 + 1,
        salt & 1 == 0,
        salt.rotate_left(17),
        order.number,
        email_of(customer),
        shop.currency,
        local(order.created),
        local(refund.map_or(order.created + 1, |refund| refund.at)),
    );
    let _ = write!(
        out,
        "\"total_price\":\"{}\",\"subtotal_price\":\"{}\",\"total_discounts\":\"{}\",",
        major(order.total()),
        major(order.subtotal()),
        major(order.discount)
    );
    out.push_str(
        "\"client_details\":{\"accept_language\":\"en-US,en;q=0.9\",\"browser_height\":900,\"browser_width\":1440,\
         \"session_hash\":null,\"user_agent\":\"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 \
         (KHTML, like Gecko) Chrome/126.0 Safari/537.36\"},\"landing_site\":\"/products",
    );
    let _ = write!(
        out,
        "\",\"total_tax\":\"0.00\",\"taxes_included\":true,\"test\":false,\"token\":\"{:016x}{:016x}\",\
         \"source_name\":\"{}\",\"discount_codes\":[",
        salt.rotate_left(31),
        salt.rotate_left(7),
        if salt % 5 == 0 { "pos" } else { "web" }
    );
    if order.discount > 0 {
        let _ = write!(
            out,
            "{{\"code\":\"WELCOME10\",\"amount\":\"{}\",\"type\":\"percentage\"}}",
            major(order.discount)
        );
    }
}

fn person(out: &mut String, order: &Order) {
    let customer = order.customer;
    let id = CUSTOMERS_FROM + customer * 37;
    let pick = |names: [&'static str; 16], n: u64| names[usize::try_from(n % 16).unwrap_or(0)];
    let (first, last) = (pick(FIRST_NAMES, customer), pick(LAST_NAMES, customer / 16));
    let _ = write!(
        out,
        "],\"customer\":{{\"id\":{id},\"email\":\"{}\",\"first_name\":\"{first}\",\"last_name\":\"{last}\",\
         \"phone\":\"+1555{customer:07}\",\"state\":\"enabled\",\"verified_email\":true,\"tags\":\"\",\
         \"admin_graphql_api_id\":\"gid://shopify/Customer/{id}\"}},",
        email_of(customer)
    );
    let _ = write!(
        out,
        "\"shipping_address\":{{\"first_name\":\"{first}\",\"last_name\":\"{last}\",\"address1\":\"{} Main St\",\
         \"address2\":null,\"city\":\"Springfield\",\"zip\":\"{:05}\",\"province\":\"Oregon\",\
         \"country\":\"United States\",\"country_code\":\"US\",\"province_code\":\"OR\",\"phone\":\"+1555{customer:07}\",\
         \"latitude\":44.0462,\"longitude\":-123.022}},\"line_items\":[",
        customer % 900 + 1,
        customer % 99_999
    );
}

fn lines(out: &mut String, order: &Order) {
    let digits = SHOPS[shop_of(order.customer)].digits;
    for (index, line) in order.lines.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        let id = (ORDERS_FROM + order.number) * 10 + index as u64;
        let product = line.product;
        let title = TITLES[usize::try_from(product % 12).unwrap_or(0)];
        let _ = write!(
            out,
            "{{\"id\":{id},\"admin_graphql_api_id\":\"gid://shopify/LineItem/{id}\",\"product_id\":{},\
             \"variant_id\":{},\"sku\":\"TILL-{product:05}\",\"title\":\"{title}\",\"quantity\":{},\"grams\":250,\
             \"price\":\"{}\",\"taxable\":true,\"requires_shipping\":true,\"fulfillment_status\":null,\
             \"vendor\":\"Till Supply\"}}",
            8_100_000_000 + product * 13,
            9_100_000_000 + product * 13,
            line.quantity,
            Major(line.price, digits)
        );
    }
}

/// The currency of a shop.
pub fn currency_of(shop: usize) -> Option<Currency> {
    SHOPS.get(shop).and_then(|shop| Currency::parse(shop.currency).ok())
}

#[cfg(test)]
mod tests {
    use commerce::Mark;

    use super::*;

    /// The digest was taken of what `tillbench gen --seed 42 --n 2000` makes.
    #[test]
    fn the_bytes_are_those_that_the_peers_work_on() {
        let mut workload = Workload::new(42, 2_000);
        let mut digest = Mark(0);
        for webhook in workload.by_ref() {
            let shop = SHOPS[webhook.shop].domain.as_bytes();
            let parts = [
                &digest.0.to_be_bytes()[..],
                webhook.id.as_bytes(),
                webhook.topic.as_bytes(),
                shop,
                &webhook.body,
            ];
            digest = Mark::of(&parts);
        }
        assert_eq!(digest.to_hex(), "7e90612163b160552a3056d33925744f");
        let expected = workload.into_expected();
        assert_eq!(expected.webhooks, expected.orders + expected.refunds + expected.repeated);
        assert_eq!(expected.days.values().map(|day| day.orders).sum::<i64>(), expected.orders);
        assert_eq!(expected.customers.values().map(|totals| totals.orders).sum::<i64>(), expected.orders);
    }
}
