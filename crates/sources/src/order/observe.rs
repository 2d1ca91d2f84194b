//! What one delivery says about an order.

use commerce::event::{
    Campaign, EventName, FinancialStatus, FulfillmentStatus, Item, Link, OrderObservation,
};
use commerce::reason::Failure;
use commerce::{Currency, EventTime, Money, Reason, Source};

use super::body::{Address, DiscountCode, Line, NoteAttribute, Order};
use super::{discount, refund};
use crate::country;
use crate::json::{List, Maybe, Scalar, Value};
use crate::read::{self, Reader};

/// The times of a body.
pub(crate) struct Times {
    pub(crate) created: Option<EventTime>,
    pub(crate) updated: Option<EventTime>,
    pub(crate) processed: Option<EventTime>,
    pub(crate) cancelled: Option<EventTime>,
}

impl Times {
    pub(crate) fn read(reader: &mut Reader, source: Source, order: &Order<'_>) -> Result<Self, Failure> {
        Ok(Self {
            created: reader.time(order.created_at, format_args!("created_at"))?,
            updated: reader.time(order.updated_at, format_args!("updated_at"))?,
            // Shopify's is no evidence of ours, so a fault in it is none either.
            processed: match source {
                Source::Shopify => None,
                _ => reader.time(order.processed_at, format_args!("processed_at"))?,
            },
            cancelled: reader.time(order.cancelled_at, format_args!("cancelled_at"))?,
        })
    }

    /// The version as the source gives it.
    pub(crate) fn version(&self) -> Option<EventTime> {
        self.updated.or(self.created).or(self.cancelled)
    }

    /// When the fact that the delivery is named after happened.
    pub(crate) fn of_fact(&self, source: Source, event: EventName) -> Option<EventTime> {
        match (event, source) {
            (EventName::OrderPlaced, _) => self.created.or(self.version()),
            (EventName::OrderCancelled, _) => self.cancelled.or(self.version()),
            (EventName::OrderPaid, Source::Shopify) => self.version(),
            (EventName::OrderPaid, _) => self.processed.or(self.created).or(self.version()),
            _ => self.version(),
        }
    }
}

/// Reads what the body says; `event` is what the delivery itself is named after, and a fact on its own (R3, R4).
pub(crate) fn observe(
    reader: &mut Reader,
    source: Source,
    event: EventName,
    order: &Order<'_>,
    times: &Times,
    currency: Currency,
) -> Result<OrderObservation, Failure> {
    let version = times.version().unwrap_or(reader.received_at.as_event());
    let of_fact = times.of_fact(source, event).unwrap_or(version);
    // What a body proves, it proves as of its version; a creation proves it for the time of the order.
    let proven = if event == EventName::OrderPlaced { of_fact } else { version };

    let mut financial = financial_status(reader, order.financial_status);
    let paid_at = match event {
        EventName::OrderPaid => Some(of_fact),
        _ => financial.filter(|status| status.implies_payment()).map(|_| proven),
    };
    if event == EventName::OrderPaid && !financial.is_some_and(FinancialStatus::implies_payment) {
        financial = Some(FinancialStatus::Paid);
    }
    let fulfillment = fulfillment_status(reader, event, order.fulfillment_status);
    let amount = |reader: &mut Reader, value, path| reader.money(value, currency, path);
    let shipping = order.total_shipping_price_set.get().and_then(|set| set.shop_money.get());
    let shipping = shipping.map_or_else(Scalar::default, |money| money.amount);
    let refunds = refund::of_order(reader, &order.refunds, financial, currency, version)?;
    let items = items(reader, source, &order.line_items, Lines::OfOrder, currency)?;
    let country = |address: Option<_>| address.and_then(country::of);
    let discounts = discount::of_order(reader, order, currency)?;

    Ok(OrderObservation {
        version,
        currency: Some(currency),
        financial_status: financial,
        fulfillment_status: fulfillment,
        placed_at: times.created,
        paid_at,
        partially_fulfilled_at: (fulfillment == Some(FulfillmentStatus::PartiallyFulfilled))
            .then_some(proven),
        fulfilled_at: (fulfillment == Some(FulfillmentStatus::Fulfilled)).then_some(proven),
        cancelled_at: times.cancelled.or((event == EventName::OrderCancelled).then_some(of_fact)),
        total: amount(reader, order.total_price, format_args!("total_price"))?,
        subtotal: amount(reader, order.subtotal_price, format_args!("subtotal_price"))?,
        discount_total: amount(reader, order.total_discounts, format_args!("total_discounts"))?,
        shipping_total: amount(reader, shipping, format_args!("total_shipping_price_set.shop_money.amount"))?,
        tax_total: amount(reader, order.total_tax, format_args!("total_tax"))?,
        item_count: items
            .as_ref()
            .map(|items| items.iter().fold(0_i64, |n, item| n.saturating_add(item.quantity))),
        items,
        refunds: refunds.list,
        refunded_rest: refunds.rest,
        coupon_codes: order.discount_codes.is_present().then(|| coupon_codes(&order.discount_codes)),
        tags: tags(order.tags),
        campaign: campaign(order.referring_site, order.landing_site, &order.note_attributes),
        country: country(order.shipping_address.get()).or_else(|| country(order.billing_address.get())),
        links: links(order),
        discounts,
        context: None,
    })
}

pub(crate) fn financial_status(reader: &mut Reader, value: Scalar<'_>) -> Option<FinancialStatus> {
    let text = word(value)?;
    Some(match text.as_str() {
        "pending" | "unpaid" => FinancialStatus::Pending,
        "authorized" => FinancialStatus::Authorized,
        "partially_paid" => FinancialStatus::PartiallyPaid,
        "paid" => FinancialStatus::Paid,
        "partially_refunded" => FinancialStatus::PartiallyRefunded,
        "refunded" => FinancialStatus::Refunded,
        "voided" | "expired" => FinancialStatus::Voided,
        other => {
            reader.flag(&format!("unknown_value:financial_status={}", shorten(other)));
            return None;
        }
    })
}

/// The name of the delivery states the fact even where the body's word lags behind.
pub(crate) fn fulfillment_status(
    reader: &mut Reader,
    event: EventName,
    value: Scalar<'_>,
) -> Option<FulfillmentStatus> {
    let said = match word(value).as_deref() {
        Some("fulfilled" | "shipped") => Some(FulfillmentStatus::Fulfilled),
        Some("partial" | "partially_fulfilled") => Some(FulfillmentStatus::PartiallyFulfilled),
        Some("unfulfilled" | "unshipped") => Some(FulfillmentStatus::Unfulfilled),
        Some("restocked") => Some(FulfillmentStatus::Restocked),
        Some(other) => {
            reader.flag(&format!("unknown_value:fulfillment_status={}", shorten(other)));
            None
        }
        // `null` says so; a missing key is silent, except of an order that has just been placed.
        None => {
            (value.is_named() || event == EventName::OrderPlaced).then_some(FulfillmentStatus::Unfulfilled)
        }
    };
    match (event, said) {
        (EventName::OrderFulfilled, _) => Some(FulfillmentStatus::Fulfilled),
        (EventName::OrderPartiallyFulfilled, said) if said != Some(FulfillmentStatus::Fulfilled) => {
            Some(FulfillmentStatus::PartiallyFulfilled)
        }
        (_, said) => said,
    }
}

fn word(value: Scalar<'_>) -> Option<String> {
    value.text().map(|text| text.to_ascii_lowercase())
}

pub(crate) fn shorten(text: &str) -> String {
    text.chars().take(40).collect()
}

/// The coupons, in order.
pub(crate) fn coupon_codes(codes: &List<DiscountCode<'_>>) -> Vec<String> {
    codes.objects().filter_map(|(_, discount)| discount.code.owned()).collect()
}

/// Whose lines they are: a checkout's need not say what was taken off.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lines {
    OfOrder,
    OfCheckout,
}

/// Reads the lines; `None` when the body doesn't speak of them.
pub(crate) fn items(
    reader: &mut Reader,
    source: Source,
    lines: &List<Line<'_>>,
    whose: Lines,
    currency: Currency,
) -> Result<Option<Vec<Item>>, Failure> {
    if !lines.is_present() {
        return Ok(None);
    }
    let mut items: Vec<Item> = Vec::new();
    for (index, line) in lines.objects() {
        let mut money =
            |value, field: &str| reader.money(value, currency, format_args!("line_items[{index}].{field}"));
        let price: Option<Money> = money(line.price, "price")?;
        let discount = money(line.total_discount, "total_discount")?;
        let quantity = match read::count(line.quantity, format_args!("line_items[{index}].quantity"))? {
            Some(quantity) => quantity,
            None => {
                reader.missing(format_args!("line_items[{index}].quantity"));
                0
            }
        };
        if source != Source::Shopify {
            for (value, field) in [
                (line.product_id, "product_id"),
                (line.title, "title"),
                (line.variant_id, "variant_id"),
                (line.total_discount, "total_discount"),
            ] {
                let optional = whose == Lines::OfCheckout && field == "total_discount";
                if !value.is_present() && !optional {
                    reader.missing(format_args!("line_items[{index}].{field}"));
                }
            }
        }
        let sku = line.sku.owned();
        items.push(Item {
            product_id: read::loose_id(line.product_id).or_else(|| sku.clone()),
            variant_id: read::loose_id(line.variant_id),
            sku,
            title: line.title.owned(),
            variant_title: line.variant_title.owned(),
            quantity,
            price,
            discount,
            category: None,
            brand: line.vendor.owned(),
            allocations: discount::of_line(reader, &line.discount_allocations, currency, index)?,
        });
    }
    Ok(Some(items))
}

/// Reads a list of tags (R7.6).
pub(crate) fn tags(value: Scalar<'_>) -> Option<Vec<String>> {
    let text = value.text()?;
    Some(text.split(',').map(str::trim).filter(|tag| !tag.is_empty()).map(str::to_owned).collect())
}

/// Reads where the shopper came from.
pub(crate) fn campaign(
    referring_site: Scalar<'_>,
    landing_site: Scalar<'_>,
    notes: &List<NoteAttribute<'_>>,
) -> Option<Campaign> {
    let mut found = Campaign { referrer: referring_site.owned(), ..Campaign::default() };
    if let Some(site) = landing_site.text()
        && let Some((_, query)) = site.split_once('?')
    {
        let query = query.split('#').next().unwrap_or_default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            found_in(&mut found, &name, &value);
        }
    }
    for (_, note) in notes.objects() {
        if let (Some(name), Value::Text(value)) = (note.name.text(), note.value.value()) {
            found_in(&mut found, &name.to_ascii_lowercase(), &value);
        }
    }
    (found != Campaign::default()).then_some(found)
}

/// The first value of each counts; a sales channel that the backend names stands in for the traffic source.
fn found_in(found: &mut Campaign, name: &str, value: &str) {
    let place = match name {
        "utm_campaign" => &mut found.campaign,
        "utm_source" | "channel" => &mut found.source,
        "utm_medium" => &mut found.medium,
        _ => return,
    };
    let value = value.trim();
    if place.is_none() && !value.is_empty() {
        *place = Some(value.to_owned());
    }
}

fn links(order: &Order<'_>) -> Vec<Link> {
    named_links([
        ("checkout", order.checkout_id),
        ("checkout_token", order.checkout_token),
        ("token", order.token),
        ("cart", order.cart_token),
    ])
}

/// The links that are there.
pub(crate) fn named_links<const N: usize>(values: [(&str, Scalar<'_>); N]) -> Vec<Link> {
    let mut links = Vec::new();
    for (kind, value) in values {
        if let Some(id) = read::loose_id(value) {
            links.push(Link { kind: kind.to_owned(), id });
        }
    }
    links
}

/// Flags the expected fields of the backend's order that are absent.
pub(crate) fn flag_expected(reader: &mut Reader, order: &Order<'_>) {
    for (value, path) in [
        (order.created_at, "created_at"),
        (order.updated_at, "updated_at"),
        (order.subtotal_price, "subtotal_price"),
    ] {
        if !value.is_present() {
            reader.missing(format_args!("{path}"));
        }
    }
    if !order.line_items.is_present() {
        reader.missing(format_args!("line_items"));
    }
    flag_expected_address(reader, &order.shipping_address);
}

/// Flags what is expected of a shipping address.
pub(crate) fn flag_expected_address(reader: &mut Reader, address: &Maybe<Address<'_>>) {
    match address.get() {
        None => reader.missing(format_args!("shipping_address")),
        Some(address) => {
            for (value, field) in [
                (address.city, "city"),
                (address.zip, "zip"),
                (address.province, "province"),
                (address.country, "country"),
            ] {
                if !value.is_present() {
                    reader.missing(format_args!("shipping_address.{field}"));
                }
            }
        }
    }
}

/// A field that every order must have.
pub(crate) fn required<T>(value: Option<T>, field: &str) -> Result<T, Failure> {
    value.ok_or_else(|| Failure::at(Reason::MissingField, field, "the field is absent"))
}
