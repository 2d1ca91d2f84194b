//! The content of an event as bytes: the part of the semantic key that keeps two versions of one instant apart.
//!
//! It is built from what the event says and not from the bytes that came, so that another offset of the same instant,
//! other white space or a changed field that nobody reads is the same content. Each present value
//! is written behind its number, and an absent one not at all: a field that is added later leaves the content, and
//! with it the event ids, of all events without it as they were. A number is never used for anything else.

use commerce::event::{Activity, Address, Campaign, Item, OrderObservation, Person};
use commerce::person::Kind;
use commerce::{EventTime, Money, ReceivedTime};

/// What an event says, as bytes.
pub(crate) fn of(
    order: &OrderObservation,
    person: Option<&Person>,
    received_at: ReceivedTime,
    test: bool,
) -> Vec<u8> {
    let mut content = Content { bytes: Vec::with_capacity(1024), received_at };
    content.order(order);
    if let Some(person) = person {
        content.person(person);
    }
    content.number(60, test.then_some(1));
    content.bytes
}

/// What an event about a person says, as bytes.
pub(crate) fn of_person(person: &Person, received_at: ReceivedTime, test: bool) -> Vec<u8> {
    let mut content = Content { bytes: Vec::with_capacity(256), received_at };
    content.person(person);
    content.number(60, test.then_some(1));
    content.bytes
}

/// What an event about a cart or checkout says, as bytes.
pub(crate) fn of_activity(
    activity: &Activity,
    person: Option<&Person>,
    received_at: ReceivedTime,
    test: bool,
) -> Vec<u8> {
    let mut content = Content { bytes: Vec::with_capacity(512), received_at };
    content.activity(activity);
    if let Some(person) = person {
        content.person(person);
    }
    content.number(60, test.then_some(1));
    content.bytes
}

struct Content {
    bytes: Vec<u8>,
    received_at: ReceivedTime,
}

impl Content {
    /// The length in groups of seven bits, so that a short text costs one byte.
    fn length(&mut self, mut length: usize) {
        while length >= 0x80 {
            self.bytes.push((length & 0x7f) as u8 | 0x80);
            length >>= 7;
        }
        self.bytes.push(length as u8);
    }

    fn text(&mut self, field: u8, value: Option<&str>) {
        if let Some(value) = value {
            self.bytes.push(field);
            self.length(value.len());
            self.bytes.extend_from_slice(value.as_bytes());
        }
    }

    fn number(&mut self, field: u8, value: Option<i64>) {
        if let Some(value) = value {
            self.bytes.push(field);
            self.bytes.extend_from_slice(&value.to_le_bytes());
        }
    }

    /// A time that only repeats the arrival is no content: the next delivery has another.
    fn time(&mut self, field: u8, value: Option<EventTime>) {
        self.number(field, value.filter(|at| *at != self.received_at.as_event()).map(|at| at.0));
    }

    /// An amount is in the order's currency, except where [`Self::foreign_money`] says otherwise.
    fn money(&mut self, field: u8, value: Option<Money>) {
        self.number(field, value.map(|money| money.minor));
    }

    fn foreign_money(&mut self, field: u8, value: Option<Money>) {
        self.money(field, value);
        if let Some(money) = value {
            self.bytes.extend_from_slice(money.currency.as_str().as_bytes());
        }
    }

    fn texts(&mut self, field: u8, values: Option<&[String]>) {
        if let Some(values) = values {
            self.bytes.push(field);
            self.length(values.len());
            for value in values {
                self.text(field, Some(value));
            }
        }
    }

    /// The version is not among it: it is a part of the key itself.
    fn order(&mut self, order: &OrderObservation) {
        self.text(1, order.currency.as_ref().map(commerce::Currency::as_str));
        self.text(2, order.financial_status.map(|status| status.as_str()));
        self.text(3, order.fulfillment_status.map(|status| status.as_str()));
        self.time(4, order.placed_at);
        self.time(5, order.paid_at);
        self.time(6, order.partially_fulfilled_at);
        self.time(7, order.fulfilled_at);
        self.time(8, order.cancelled_at);
        self.money(9, order.total);
        self.money(10, order.subtotal);
        self.money(11, order.discount_total);
        self.money(12, order.shipping_total);
        self.money(13, order.tax_total);
        self.number(14, order.item_count);
        self.items(order.items.as_deref().unwrap_or_default());
        for refund in &order.refunds {
            self.text(23, Some(&refund.id));
            self.money(24, Some(refund.amount));
            self.time(25, Some(refund.at));
        }
        self.number(26, order.refunded_rest.map(i64::from));
        self.texts(27, order.coupon_codes.as_deref());
        self.texts(28, order.tags.as_deref());
        self.campaign(order.campaign.as_ref());
        self.text(33, order.country.as_deref());
        for link in &order.links {
            self.text(61, Some(&link.kind));
            self.text(62, Some(&link.id));
        }
        for discount in &order.discounts {
            self.text(69, Some(&discount.kind));
            self.text(70, discount.title.as_deref());
            self.money(71, discount.amount);
            self.text(72, discount.r#type.as_deref());
            self.text(73, discount.value.as_deref());
            self.text(74, discount.value_type.as_deref());
            self.text(75, discount.target_selection.as_deref());
            self.text(76, discount.target_type.as_deref());
            self.text(77, discount.price_rule_id.as_deref());
        }
        if let Some(context) = &order.context {
            self.text(78, context.device.as_deref());
            self.text(79, context.platform.as_deref());
            self.text(80, context.country.as_deref());
        }
    }

    fn items(&mut self, items: &[Item]) {
        for item in items {
            self.text(15, Some(item.product_id.as_deref().unwrap_or_default()));
            self.text(16, item.variant_id.as_deref());
            self.text(17, item.sku.as_deref());
            self.text(18, item.title.as_deref());
            self.text(19, item.variant_title.as_deref());
            self.number(20, Some(item.quantity));
            self.money(21, item.price);
            self.money(22, item.discount);
            self.text(65, item.category.as_deref());
            self.text(66, item.brand.as_deref());
            for allocation in &item.allocations {
                self.money(67, Some(allocation.amount));
                self.text(68, allocation.application.as_deref());
            }
        }
    }

    fn campaign(&mut self, campaign: Option<&Campaign>) {
        if let Some(campaign) = campaign {
            self.text(29, campaign.campaign.as_deref());
            self.text(30, campaign.source.as_deref());
            self.text(31, campaign.medium.as_deref());
            self.text(32, campaign.referrer.as_deref());
        }
    }

    fn activity(&mut self, activity: &Activity) {
        self.text(1, activity.currency.as_ref().map(commerce::Currency::as_str));
        self.text(94, activity.cart_id.as_deref());
        self.text(95, activity.checkout_id.as_deref());
        for link in &activity.links {
            self.text(61, Some(&link.kind));
            self.text(62, Some(&link.id));
        }
        self.money(96, activity.value);
        self.items(activity.items.as_deref().unwrap_or_default());
        self.texts(27, Some(&activity.coupon_codes));
        self.campaign(activity.campaign.as_ref());
        if let Some(context) = &activity.context {
            self.text(78, context.device.as_deref());
            self.text(79, context.platform.as_deref());
            self.text(80, context.country.as_deref());
        }
        self.text(97, activity.search_term.as_deref());
        self.text(98, activity.rating.as_deref());
        self.text(99, activity.recovery_url.as_deref());
        self.time(100, activity.started_at);
        self.time(101, activity.completed_at);
    }

    fn person(&mut self, person: &Person) {
        // A phone counts as it was given: what it resolves to depends on settings and on tables that change.
        for identifier in person.identifiers.iter().filter(|identifier| identifier.kind != Kind::Phone) {
            self.text(63, Some(identifier.kind.as_str()));
            self.text(64, Some(&identifier.value));
        }
        self.text(34, person.email.as_deref());
        self.text(35, person.phone.as_deref());
        self.text(36, person.first_name.as_deref());
        self.text(37, person.last_name.as_deref());
        if let Some(address) = &person.address {
            self.address(address);
        }
        self.number(38, person.reported_orders_count);
        self.foreign_money(39, person.reported_total_spent);
        self.time(81, person.reported_last_order_at);
        self.time(82, person.created_at);
        for (name, value) in &person.attributes {
            self.text(83, Some(name));
            self.text(84, Some(value));
        }
        self.number(85, person.update_only.then_some(1));
        for consent in &person.consent {
            self.text(86, Some(consent.channel.as_str()));
            self.text(87, Some(consent.state.as_str()));
            self.text(88, consent.opt_in_level.as_deref());
            self.time(89, consent.updated_at);
            self.text(90, consent.region.as_deref());
        }
        self.texts(91, person.tags.as_deref());
        for identifier in &person.absorbed {
            self.text(92, Some(identifier.kind.as_str()));
            self.text(93, Some(&identifier.value));
        }
    }

    fn address(&mut self, address: &Address) {
        self.text(40, address.city.as_deref());
        self.text(41, address.zip.as_deref());
        self.text(42, address.province.as_deref());
        self.text(43, address.country.as_deref());
        self.text(44, address.country_code.as_deref());
    }
}
