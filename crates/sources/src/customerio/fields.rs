//! What the data of an event says, by the names of Customer.io's semantic events. What no name speaks for travels on as it is.

use std::collections::BTreeMap;

use commerce::event::{Activity, Campaign, FinancialStatus, FulfillmentStatus, Item, Link, OrderObservation};
use commerce::event::{Payment, Refund, Subscription};
use commerce::reason::Failure;
use commerce::{Currency, EventName, EventTime, Mark, Money, Reason, time};

use crate::json::{Bag, Scalar, Value};
use crate::read::{self, Reader};

const ORDER_ID: [&str; 3] = ["order_id", "orderId", "id"];
const TOTAL: [&str; 4] = ["value", "total", "total_price", "revenue"];
const ITEMS: [&str; 3] = ["line_items", "items", "products"];
const COUPON: [&str; 3] = ["coupon", "coupon_code", "discount_code"];

/// Reads a time: whole Unix seconds, or an ISO 8601 text with an offset.
pub(super) fn instant(
    reader: &mut Reader,
    value: Scalar<'_>,
    field: &str,
) -> Result<Option<EventTime>, Failure> {
    let Value::Text(text) = value.value() else { return reader.unix(value, format_args!("{field}")) };
    match time::parse_iso(&text) {
        Ok(read) if !read.naive && read.at.0 >= 0 => {
            reader.flag("timestamp_coerced");
            if read.at.is_future_of(reader.received_at) {
                reader.flag("timestamp_future");
            }
            Ok(Some(read.at))
        }
        _ => Err(Failure::at(
            Reason::BadTime,
            field,
            "it is neither a Unix time nor an ISO 8601 time with an offset",
        )),
    }
}

/// The data of one event, with a note of what has been read of it.
pub(super) struct Fields<'a> {
    data: &'a Bag<'a>,
    used: Vec<&'static str>,
    base: Currency,
    currency: Option<Currency>,
    /// An amount was read, in whichever currency.
    any_money: bool,
    /// When it happened, as far as the sender says, and the arrival otherwise.
    at: EventTime,
    claimed: Option<EventTime>,
}

impl<'a> Fields<'a> {
    pub(super) fn new(
        data: &'a Bag<'a>,
        base: Currency,
        claimed: Option<EventTime>,
        reader: &Reader,
    ) -> Self {
        let at = claimed.unwrap_or(reader.received_at.as_event());
        Self { data, used: Vec::new(), base, currency: None, any_money: false, at, claimed }
    }

    /// The first of the names that is present; it no longer travels among the properties.
    fn take(&mut self, names: &[&'static str]) -> (Scalar<'a>, &'static str) {
        let found = names.iter().find(|name| self.data.get(name).is_present());
        let Some(name) = found else {
            return (Scalar::default(), names.first().copied().unwrap_or_default());
        };
        self.used.push(name);
        (self.data.get(name), name)
    }

    fn text(&mut self, name: &'static str) -> Option<String> {
        self.data.get(name).text()?;
        self.take(&[name]).0.owned()
    }

    fn id(&mut self, name: &'static str) -> Option<String> {
        let id = read::loose_id(self.data.get(name))?;
        self.used.push(name);
        Some(id)
    }

    /// The label of a backfill; empty: labelled without a name.
    pub(super) fn backfill(&mut self) -> Option<String> {
        let value = self.data.get("backfill");
        let label = match value.value() {
            Value::Bool(true) => String::new(),
            Value::Text(text) if text.eq_ignore_ascii_case("true") => String::new(),
            Value::Text(text) if text.eq_ignore_ascii_case("false") => return None,
            Value::Text(text) => text.into_owned(),
            _ => return None,
        };
        self.used.push("backfill");
        Some(label)
    }

    /// Everything that no name has spoken for, types kept.
    pub(super) fn properties(self) -> BTreeMap<String, String> {
        self.data.rest(&self.used)
    }

    fn currency(&mut self) -> Result<Currency, Failure> {
        if self.currency.is_none() {
            let (value, _) = self.take(&["currency"]);
            self.currency = read::currency(value, format_args!("data.currency"))?;
        }
        Ok(self.currency.unwrap_or(self.base))
    }

    /// Says so where amounts stand in a currency that nobody named.
    fn flag_currency(&self, reader: &mut Reader, expected: bool) {
        if self.currency.is_none() && (expected || self.any_money) {
            reader.flag("currency_defaulted");
        }
    }

    /// Reads an amount. What is no amount but an object (`shipping` as an address) is a property like any other.
    fn money(&mut self, reader: &mut Reader, names: &[&'static str]) -> Result<Option<Money>, Failure> {
        let currency = self.currency()?;
        let name = names.iter().find(|name| self.data.get(name).is_present());
        let Some(name) = name else { return Ok(None) };
        if matches!(self.data.get(name).value(), Value::Other | Value::Bool(_)) && !TOTAL.contains(name) {
            reader.flag(&format!("bad_value:{name}"));
            return Ok(None);
        }
        let (value, name) = self.take(&[name]);
        self.any_money = true;
        reader.money(value, currency, format_args!("data.{name}"))
    }

    /// The value or total under its first name.
    fn total(&mut self, reader: &mut Reader) -> Result<Option<Money>, Failure> {
        self.money(reader, &TOTAL)
    }

    /// Reads the lines. What is no list is a property like any other.
    fn items(&mut self, reader: &mut Reader) -> Result<Option<Vec<Item>>, Failure> {
        let name = ITEMS.iter().find(|name| self.data.get(name).is_present());
        let Some(name) = name else { return Ok(None) };
        let Some(list) = self.data.get(name).list() else {
            reader.flag("bad_value:items");
            return Ok(None);
        };
        self.used.push(name);
        let mut items = Vec::new();
        for (index, entry) in list.into_iter().enumerate() {
            match entry.object() {
                Some(line) => items.push(self.item(reader, &line, &format!("data.{name}[{index}]."))?),
                None => reader.flag("bad_value:items"),
            }
        }
        Ok(Some(items))
    }

    /// The one structure of a line.
    fn item(&mut self, reader: &mut Reader, line: &Bag<'_>, path: &str) -> Result<Item, Failure> {
        let sku = line.get("sku").owned();
        let product_id = read::loose_id(line.get("product_id")).or_else(|| sku.clone());
        if product_id.is_none() {
            reader.flag("missing:items.product_id");
        }
        let quantity = read::count(line.get("quantity"), format_args!("")).unwrap_or_else(|_| {
            reader.flag("bad_value:items.quantity");
            None
        });
        let price = line.get("price");
        self.any_money |= price.is_present();
        let currency = self.currency()?;
        Ok(Item {
            product_id,
            variant_id: read::loose_id(line.get("variant_id")),
            sku,
            title: line.first(&["name", "title"]).owned(),
            variant_title: None,
            quantity: quantity.unwrap_or(1),
            price: reader.money(price, currency, format_args!("{path}price"))?,
            discount: None,
            category: line.get("category").owned(),
            brand: line.get("brand").owned(),
            allocations: Vec::new(),
        })
    }

    fn coupons(&mut self) -> Vec<String> {
        let (value, _) = self.take(&COUPON);
        match value.list() {
            Some(list) => list.into_iter().filter_map(Scalar::owned).collect(),
            None => value.owned().into_iter().collect(),
        }
    }

    fn campaign(&mut self) -> Option<Campaign> {
        let found = Campaign {
            campaign: self.text("campaign"),
            source: self.text("source"),
            medium: self.text("medium"),
            referrer: None,
        };
        (found != Campaign::default()).then_some(found)
    }

    /// The cart and the checkout of an event.
    fn cart_and_checkout(&mut self) -> (Option<String>, Option<String>) {
        (self.id("cart_id"), self.id("checkout_id"))
    }
}

/// An order of an event.
pub(super) struct Order {
    pub(super) id: String,
    pub(super) aliases: Vec<String>,
    pub(super) cart_id: Option<String>,
    pub(super) observation: OrderObservation,
}

/// Reads an order. Without its id it could not be told from another one, so it fails (D-CIO-2).
pub(super) fn order(
    reader: &mut Reader,
    fields: &mut Fields<'_>,
    event: EventName,
) -> Result<Order, Failure> {
    let (value, name) = fields.take(&ORDER_ID);
    let id = read::id(value, format_args!("data.{name}"))?.ok_or_else(|| {
        Failure::at(Reason::MissingOrderId, "data.order_id", "the event doesn't say which order it is about")
    })?;
    let at = fields.at;
    let mut order = OrderObservation::at(at);
    match event {
        EventName::OrderPlaced => order.placed_at = Some(at),
        // A paid order was placed, at the latest then: an earlier evidence of it wins.
        EventName::OrderPaid => {
            (order.placed_at, order.paid_at) = (Some(at), Some(at));
            order.financial_status = Some(FinancialStatus::Paid);
        }
        EventName::OrderPartiallyFulfilled => {
            order.partially_fulfilled_at = Some(at);
            order.fulfillment_status = Some(FulfillmentStatus::PartiallyFulfilled);
        }
        EventName::OrderFulfilled => {
            order.fulfilled_at = Some(at);
            order.fulfillment_status = Some(FulfillmentStatus::Fulfilled);
        }
        EventName::OrderCancelled => order.cancelled_at = Some(at),
        _ => {}
    }
    if event == EventName::OrderRefunded {
        order.refunds = refund(reader, fields, &id)?.into_iter().collect();
    } else {
        order.total = fields.total(reader)?;
    }
    order.discount_total = fields.money(reader, &["discount", "total_discount"])?;
    order.shipping_total = fields.money(reader, &["shipping"])?;
    order.tax_total = fields.money(reader, &["tax"])?;
    order.items = fields.items(reader)?;
    order.item_count =
        order.items.as_ref().map(|items| items.iter().fold(0_i64, |n, item| n.saturating_add(item.quantity)));
    let coupons = fields.coupons();
    order.coupon_codes = (!coupons.is_empty()).then_some(coupons);
    order.campaign = fields.campaign();
    let (cart_id, checkout_id) = fields.cart_and_checkout();
    let subscription_id = fields.id("subscription_id");
    for (kind, id) in
        [("checkout", checkout_id), ("cart", cart_id.clone()), ("subscription", subscription_id)]
    {
        order.links.extend(id.map(|id| Link { kind: kind.to_owned(), id }));
    }
    if event == EventName::OrderPaid {
        for (absent, name) in [
            (order.total.is_none(), "total"),
            (order.items.is_none(), "items"),
            (order.discount_total.is_none(), "discount"),
            (order.shipping_total.is_none(), "shipping"),
            (order.tax_total.is_none(), "tax"),
        ] {
            if absent {
                reader.missing(format_args!("{name}"));
            }
        }
    }
    fields.flag_currency(reader, event == EventName::OrderPaid);
    order.currency = (fields.currency.is_some() || fields.any_money).then_some(fields.currency()?);
    Ok(Order { aliases: aliases(fields.data, &id), id, cart_id, observation: order })
}

/// A refund without an id of its own is known by its time and amount.
fn refund(reader: &mut Reader, fields: &mut Fields<'_>, order: &str) -> Result<Option<Refund>, Failure> {
    let amount =
        fields.money(reader, &["refund_amount", "amount", "value", "total", "total_price", "revenue"])?;
    let Some(amount) = amount else {
        reader.missing(format_args!("value"));
        return Ok(None);
    };
    if amount.minor < 0 {
        return Err(Failure::at(Reason::BadMoney, "data.value", "a refund is not negative"));
    }
    let id = refund_id(reader, fields, order, Some(amount));
    Ok(Some(Refund { id, amount, at: fields.at.for_window(reader.received_at) }))
}

/// The id of a refund of something.
fn refund_id(reader: &mut Reader, fields: &mut Fields<'_>, of: &str, amount: Option<Money>) -> String {
    fields.id("refund_id").unwrap_or_else(|| {
        reader.flag("refund_id_derived");
        derived(b"refund", of, fields.claimed, amount)
    })
}

fn derived(kind: &[u8], of: &str, at: Option<EventTime>, amount: Option<Money>) -> String {
    let at = at.map_or(i64::MIN, |at| at.0).to_le_bytes();
    let amount = amount.map(|amount| amount.to_string()).unwrap_or_default();
    format!("derived:{}", Mark::of(&[kind, of.as_bytes(), &at, amount.as_bytes()]).to_hex())
}

/// Other names of the order, by which another source may know it (R4.5). They stay among the properties.
fn aliases(data: &Bag<'_>, id: &str) -> Vec<String> {
    let number = data.first(&["order_number", "orderNumber"]).owned();
    let number = number.map(|number| format!("number:{}", number.trim_start_matches('#')));
    let all = [number.filter(|number| number != "number:"), read::loose_id(data.get("shopify_order_id"))];
    all.into_iter().flatten().filter(|alias| alias != id && alias.len() <= commerce::id::LONGEST_ID).collect()
}

/// Reads what somebody did around a cart, a checkout, a product or a search.
pub(super) fn activity(
    reader: &mut Reader,
    fields: &mut Fields<'_>,
    event: EventName,
) -> Result<Activity, Failure> {
    let (cart_id, checkout_id) = fields.cart_and_checkout();
    let value = fields.total(reader)?;
    let mut items = fields.items(reader)?;
    if items.is_none() && is_about_a_product(event) {
        items = product(reader, fields)?.map(|item| vec![item]);
    }
    let mut links = Vec::new();
    for name in ["order_id", "orderId"] {
        links.extend(fields.id(name).map(|id| Link { kind: "order".to_owned(), id }));
    }
    let begins = matches!(event, EventName::CheckoutStarted | EventName::CartCreated);
    let started = event == EventName::CheckoutStarted;
    for (absent, name) in [
        (begins && cart_id.is_none() && checkout_id.is_none(), "cart_id"),
        (started && value.is_none(), "value"),
        (started && items.is_none(), "items"),
        (is_about_a_product(event) && items.is_none(), "product_id"),
    ] {
        if absent {
            reader.missing(format_args!("{name}"));
        }
    }
    let coupon_codes = fields.coupons();
    let campaign = fields.campaign();
    fields.flag_currency(reader, started);
    let currency = (fields.currency.is_some() || fields.any_money).then_some(fields.currency()?);
    let search = event == EventName::SearchPerformed;
    Ok(Activity {
        version: fields.claimed,
        cart_id,
        checkout_id,
        links,
        currency,
        value,
        items,
        coupon_codes,
        campaign,
        context: None,
        search_term: search.then(|| fields.text("search_term")).flatten(),
        rating: (event == EventName::ProductRated).then(|| fields.text("rating")).flatten(),
        recovery_url: fields.data.first(&["recovery_url", "checkout_url"]).owned(),
        started_at: fields.claimed.filter(|_| begins),
        completed_at: None,
    })
}

const fn is_about_a_product(event: EventName) -> bool {
    event.names_an_item()
        || matches!(
            event,
            EventName::BackInStockRequested | EventName::ProductShared | EventName::ProductRated
        )
}

/// The product that stands in the data itself.
fn product(reader: &mut Reader, fields: &mut Fields<'_>) -> Result<Option<Item>, Failure> {
    let data = fields.data;
    if !data.first(&["product_id", "sku"]).is_present() {
        return Ok(None);
    }
    let item = fields.item(reader, data, "data.")?;
    fields.used.extend(["product_id", "variant_id", "sku", "name", "category", "quantity", "price", "brand"]);
    Ok(Some(item))
}

/// The lines of an event that has no meaning of its own: as they are where they can be read, else not at all.
pub(super) fn lines(data: &Bag<'_>, base: Currency, received: &Reader) -> Option<Activity> {
    let mut reader = Reader::new(received.received_at);
    let mut fields = Fields::new(data, base, None, &reader);
    let items = fields.items(&mut reader).ok().flatten().filter(|items| !items.is_empty())?;
    let currency = fields.currency.or(fields.any_money.then_some(base));
    Some(Activity { items: Some(items), currency, ..Activity::default() })
}

/// Reads a recurring order or plan.
pub(super) fn subscription(reader: &mut Reader, fields: &mut Fields<'_>) -> Result<Subscription, Failure> {
    let id = fields.id("subscription_id");
    let amount = fields.total(reader)?;
    fields.flag_currency(reader, false);
    Ok(Subscription {
        id,
        period_start: period(reader, fields, &["period_start", "current_period_start"]),
        period_end: period(reader, fields, &["period_end", "current_period_end"]),
        amount,
    })
}

/// A time of a period; one that can't be read stays a property.
fn period(reader: &mut Reader, fields: &mut Fields<'_>, names: &[&'static str]) -> Option<EventTime> {
    let name = names.iter().find(|name| fields.data.get(name).is_present())?;
    let mut apart = Reader::new(reader.received_at);
    match instant(&mut apart, fields.data.get(name), name) {
        Ok(at) => {
            fields.used.push(name);
            at
        }
        Err(_) => {
            reader.flag(&format!("bad_value:{name}"));
            None
        }
    }
}

/// Reads money that a provider moved, and the id of the payment that it is about. A payment or refund without an id of
/// its own is known by whose it is, by its time and amount; without a time it is one each time that it is sent.
pub(super) fn payment(
    reader: &mut Reader,
    fields: &mut Fields<'_>,
    event: EventName,
    (who, each): (&str, &str),
) -> Result<(String, Payment), Failure> {
    let amount = fields.money(reader, &["amount", "value", "total", "total_price", "revenue"])?;
    fields.flag_currency(reader, false);
    // They stay among the properties.
    let named = ["payment_id", "invoice_id", "charge_id", "transaction_id"];
    let named = named.into_iter().find_map(|name| read::loose_id(fields.data.get(name)));
    let order_id = fields.id("order_id");
    let whose = if fields.claimed.is_some() { who } else { each };
    let refund_id = (event == EventName::PaymentRefunded).then(|| {
        let of = named.as_deref().or(order_id.as_deref()).unwrap_or(whose);
        refund_id(reader, fields, of, amount)
    });
    // Without the payment's id, a refund is about nothing but itself.
    let id = named
        .or_else(|| refund_id.clone())
        .unwrap_or_else(|| derived(event.as_str().as_bytes(), whose, fields.claimed, amount));
    let payment = Payment {
        amount,
        paid_at: (event == EventName::PaymentSucceeded).then_some(fields.claimed).flatten(),
        subscription_id: fields.id("subscription_id"),
        order_id,
        refund_id,
        ..Payment::default()
    };
    Ok((id, payment))
}
