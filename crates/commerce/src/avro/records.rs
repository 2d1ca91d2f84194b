//! The records, each with its fields in the order of its schema.

use super::{Encoded, Input, Key, Malformed, Read, Record, Skip, Write, write_bytes};
use crate::event::{
    Activity, Address, Allocation, Campaign, Channel, Consent, ConsentState, Context, Discount, Entity,
    FinancialStatus, Fraud, FulfillmentStatus, Item, Keys, Link, OrderObservation, Origin, Payload, Payment,
    Person, Refund, Subscription,
};
use crate::fact::RefundFact;
use crate::fx::Rate;
use crate::letter::Status;
use crate::members::Written;
use crate::order::{Base, FLAGGED, Figures, Line, Matter, View};
use crate::person::{Identifier, Kind};
use crate::policy::Rules;
use crate::profile::{Contact, Reported};
use crate::reconciliation::{Figure, Standing};
use crate::signal::Automation;
use crate::{
    Currency, DeadLetter, Event, EventName, EventTime, Fact, FxRate, Metric, Money, PersonId, Policy,
    Profile, ReceivedTime, Reconciliation, Signal, SignalName, Source, WorkspaceId,
};

/// Writes and reads the fields one after the other.
macro_rules! fields {
    ($($type:ty { $($field:ident)+ })+) => { $(
        impl Write for $type {
            fn write(&self, out: &mut Vec<u8>) {
                $(self.$field.write(out);)+
            }
        }

        impl Read for $type {
            fn read(input: &mut Input<'_>) -> Result<Self, Malformed> {
                // The fields of a struct expression are evaluated as they are written.
                Ok(Self { $($field: Read::read(input)?,)+ })
            }
        }
    )+ };
}

/// Types that are text in Avro: how they are printed and parsed.
macro_rules! words {
    ($($type:ty, $what:literal, $parse:expr;)+) => { $(
        impl Write for $type {
            fn write(&self, out: &mut Vec<u8>) {
                self.as_str().write(out);
            }
        }

        impl Read for $type {
            fn read(input: &mut Input<'_>) -> Result<Self, Malformed> {
                let parse: fn(&str) -> Option<Self> = $parse;
                parse(input.text()?).ok_or(Malformed($what))
            }
        }
    )+ };
}

macro_rules! roots {
    ($($type:ty = $name:literal,)+) => { $(
        impl Record for $type {
            const NAME: &'static str = $name;
        }
    )+ };
}

roots! {
    Event = "Event",
    View = "Order",
    Encoded<'_> = "Order",
    Profile = "Profile",
    Metric = "Metric",
    DeadLetter = "DeadLetter",
    Signal = "Signal",
    FxRate = "FxRate",
    Policy = "Policy",
    Reconciliation = "Reconciliation",
}

impl<V> Record for Fact<V> {
    const NAME: &'static str = "Fact";
}

words! {
    Currency, "no ISO 4217 currency code", |text| Currency::parse(text).ok();
    WorkspaceId, "no workspace id", |text| WorkspaceId::try_new(text).ok();
    Source, "no source that is known here", Source::parse;
    EventName, "no event name that is known here", EventName::parse;
    FinancialStatus, "no payment state that is known here", FinancialStatus::parse;
    FulfillmentStatus, "no delivery state that is known here", FulfillmentStatus::parse;
    Kind, "no kind of identifier that is known here", Kind::parse;
    Channel, "no channel that is known here", Channel::parse;
    ConsentState, "no state of consent that is known here", ConsentState::parse;
    SignalName, "no signal that is known here", SignalName::parse;
    Automation, "no automation that is known here", Automation::parse;
    Matter, "no matter of a disagreement that is known here", Matter::parse;
    Standing, "no standing of a disagreement that is known here", Standing::parse;
    Status, "no state of a dead letter that is known here", Status::parse;
}

fields! {
    Event {
        event_id event schema_version workspace environment source source_space source_event occurred_at received_at
        raw_partition raw_offset raw_item raw_part entity person payload keys flags origin trigger_eligible qa fraud
    }
    Entity { r#type id aliases }
    Person {
        identifiers email phone first_name last_name address reported_orders_count reported_total_spent
        reported_last_order_at reported_at created_at attributes attributes_at update_only consent tags absorbed
    }
    Consent { channel state opt_in_level updated_at region }
    Identifier { kind space value }
    Address { city zip province country country_code }
    Payload { order activity payment subscription properties }
    Activity {
        version cart_id checkout_id links currency value items coupon_codes campaign context search_term rating
        recovery_url started_at completed_at
    }
    Context { device platform country }
    Payment {
        amount amount_due paid_at subscription_id period_start period_end attempt next_attempt_at reason order_id
        refund_id
    }
    Subscription { id period_start period_end amount }
    OrderObservation {
        version currency financial_status fulfillment_status placed_at paid_at partially_fulfilled_at fulfilled_at
        cancelled_at total subtotal discount_total shipping_total tax_total item_count items refunds refunded_rest
        coupon_codes tags campaign country links discounts context
    }
    Item { product_id variant_id sku title variant_title quantity price discount category brand allocations }
    Allocation { amount application }
    Discount { kind title amount r#type value value_type target_selection target_type price_rule_id }
    Refund { id amount at }
    Campaign { campaign source medium referrer }
    Link { kind id }
    Keys { transport semantic content stated }
    Origin { kind label }
    Fraud { severity rules }
    Money { minor currency }
    View {
        id aliases source sources person_id updated_at financial_status fulfillment_status placed_at paid_at
        partially_fulfilled_at fulfilled_at cancelled_at counted counted_at total subtotal discount_total
        shipping_total tax_total refunds refund_times refunded_total net item_count items coupon_codes tags campaign
        country context qa flags carts base
    }
    Base {
        currency rate rate_at total subtotal discount_total shipping_total tax_total refunds refunded_total net
    }
    FxRate { currency base hour rate provider carried published_at }
    Policy { workspace version effective_at published_at published_by note rules }
    Rules {
        base_currency time_zone source_precedence ownership blocked_handles shared_handle_neighbours abandoned_after_s
        include_unlinked_payments reuse_transaction_id_after_s
    }
    RefundFact { id amount refunded_total full }
    Profile {
        workspace person_id merged_into contact orders_count total_spent total_spent_by_currency lifetime_value
        lifetime_value_by_currency refunded_total refunded_total_by_currency aov first_order_at last_order_at reported
        payments_total payments_total_by_currency payments_in_lifetime_value_by_currency payment_status last_payment_at payment_failed_at created_at attributes consent tags audiences audiences_since flags as_of
    }
    Reported { orders_count orders_count_at total_spent total_spent_at last_order_at }
    Contact { identifiers email phone first_name last_name }
    Metric {
        workspace metric window window_start dimensions values revision corrected as_of window_end_at members
    }
    Signal {
        signal_id signal schema_version workspace environment person_id occurred_at emitted_at due_at kind target_type
        target variant_id reason cart_id checkout_id order_id items value recovery_url consent qa trigger_event
        trigger_event_id trigger_source properties
    }
    Reconciliation {
        disagreement_id schema_version workspace environment order_id matter standing taken other event_id received_at qa
    }
    Figure { source source_space value amount }
}

impl<V: Write> Write for Fact<V> {
    fn write(&self, out: &mut Vec<u8>) {
        self.event_id.write(out);
        self.event.write(out);
        self.schema_version.write(out);
        self.workspace.write(out);
        self.environment.write(out);
        self.source.write(out);
        self.source_space.write(out);
        self.source_event.write(out);
        self.occurred_at.write(out);
        self.received_at.write(out);
        self.entity_type.write(out);
        self.entity_id.write(out);
        self.order_id.write(out);
        self.person_id.write(out);
        self.before.write(out);
        self.after.write(out);
        self.refund.write(out);
        self.activity.write(out);
        self.group.write(out);
        self.payment.write(out);
        self.subscription.write(out);
        self.properties.write(out);
        self.flags.write(out);
        self.origin.write(out);
        self.trigger_eligible.write(out);
        self.qa.write(out);
        self.fraud.write(out);
        self.from_person_id.write(out);
    }
}

impl<V: Read> Read for Fact<V> {
    fn read(input: &mut Input<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            event_id: Read::read(input)?,
            event: Read::read(input)?,
            schema_version: Read::read(input)?,
            workspace: Read::read(input)?,
            environment: Read::read(input)?,
            source: Read::read(input)?,
            source_space: Read::read(input)?,
            source_event: Read::read(input)?,
            occurred_at: Read::read(input)?,
            received_at: Read::read(input)?,
            entity_type: Read::read(input)?,
            entity_id: Read::read(input)?,
            order_id: Read::read(input)?,
            person_id: Read::read(input)?,
            before: Read::read(input)?,
            after: Read::read(input)?,
            refund: Read::read(input)?,
            activity: Read::read(input)?,
            group: Read::read(input)?,
            payment: Read::read(input)?,
            subscription: Read::read(input)?,
            properties: Read::read(input)?,
            flags: Read::read(input)?,
            origin: Read::read(input)?,
            trigger_eligible: Read::read(input)?,
            qa: Read::read(input)?,
            fraud: Read::read(input)?,
            from_person_id: Read::read(input)?,
        })
    }
}

/// The fields of [`View`] that figures are made of; the others are passed over.
impl Read for Figures {
    fn read(input: &mut Input<'_>) -> Result<Self, Malformed> {
        let id = Read::read(input)?;
        Vec::<String>::skip(input)?; // aliases
        let source = Read::read(input)?;
        Vec::<String>::skip(input)?; // sources
        let person_id = Read::read(input)?;
        Option::<i64>::skip(input)?; // updated_at
        Option::<String>::skip(input)?; // financial_status
        Option::<String>::skip(input)?; // fulfillment_status
        let placed_at = Read::read(input)?;
        for _ in 0..3 {
            Option::<i64>::skip(input)?; // paid_at, partially_fulfilled_at, fulfilled_at
        }
        let cancelled_at = Read::read(input)?;
        let (counted, counted_at) = (Read::read(input)?, Read::read(input)?);
        let total = Read::read(input)?;
        Option::<Money>::skip(input)?; // subtotal
        let (discount_total, shipping_total) = (Read::read(input)?, Read::read(input)?);
        let tax_total = Read::read(input)?;
        let (refunds, refund_times) = (Read::read(input)?, Read::read(input)?);
        Option::<Money>::skip(input)?; // refunded_total
        Option::<Money>::skip(input)?; // net
        let (item_count, items) = (Read::read(input)?, Read::read(input)?);
        let coupon_codes = Read::read(input)?;
        Vec::<String>::skip(input)?; // tags
        let (campaign, country) = (Read::read(input)?, Read::read(input)?);
        let (context, qa) = (Read::read(input)?, Read::read(input)?);
        let flags: Vec<String> = Read::read(input)?;
        let (carts, base) = (Read::read(input)?, Read::read(input)?);
        Ok(Self {
            id,
            source,
            person_id,
            placed_at,
            cancelled_at,
            counted,
            counted_at,
            total,
            discount_total,
            shipping_total,
            tax_total,
            refunds,
            refund_times,
            item_count,
            items,
            coupon_codes,
            campaign,
            country,
            context,
            qa,
            flagged: flags.iter().any(|flag| flag == FLAGGED),
            carts,
            base,
        })
    }
}

/// The fields of [`Item`] that figures are made of; the others are passed over.
impl Read for Line {
    fn read(input: &mut Input<'_>) -> Result<Self, Malformed> {
        let product_id = Read::read(input)?;
        Option::<String>::skip(input)?; // variant_id
        let (sku, title) = (Read::read(input)?, Read::read(input)?);
        Option::<String>::skip(input)?; // variant_title
        let quantity = Read::read(input)?;
        let (price, discount) = (Read::read(input)?, Read::read(input)?);
        Option::<String>::skip(input)?; // category
        Option::<String>::skip(input)?; // brand
        Vec::<Allocation>::skip(input)?;
        Ok(Self { product_id, sku, title, quantity, price, discount })
    }
}

impl Skip for Money {
    fn skip(input: &mut Input<'_>) -> Result<(), Malformed> {
        i64::skip(input)?;
        String::skip(input)
    }
}

impl Skip for Allocation {
    fn skip(input: &mut Input<'_>) -> Result<(), Malformed> {
        Money::skip(input)?;
        Option::<String>::skip(input)
    }
}

impl Write for Rate {
    fn write(&self, out: &mut Vec<u8>) {
        self.to_string().as_str().write(out);
    }
}

impl Read for Rate {
    fn read(input: &mut Input<'_>) -> Result<Self, Malformed> {
        Self::parse(input.text()?).map_err(|_| Malformed("no rate of exchange"))
    }
}

impl Write for EventTime {
    fn write(&self, out: &mut Vec<u8>) {
        self.0.write(out);
    }
}

impl Read for EventTime {
    fn read(input: &mut Input<'_>) -> Result<Self, Malformed> {
        input.long().map(Self)
    }
}

impl Write for ReceivedTime {
    fn write(&self, out: &mut Vec<u8>) {
        self.0.write(out);
    }
}

impl Read for ReceivedTime {
    fn read(input: &mut Input<'_>) -> Result<Self, Malformed> {
        input.long().map(Self)
    }
}

impl Write for PersonId {
    fn write(&self, out: &mut Vec<u8>) {
        write_bytes(&self.to_ascii(), out);
    }
}

impl Read for PersonId {
    fn read(input: &mut Input<'_>) -> Result<Self, Malformed> {
        Self::parse(input.text()?).ok_or(Malformed("no person id"))
    }
}

impl Key for EventName {
    fn text(&self) -> &str {
        self.as_str()
    }

    fn parse(text: &str) -> Result<Self, Malformed> {
        Self::parse(text).ok_or(Malformed("no event name that is known here"))
    }
}

impl Key for Currency {
    fn text(&self) -> &str {
        self.as_str()
    }

    fn parse(text: &str) -> Result<Self, Malformed> {
        Self::parse(text).map_err(|_| Malformed("no ISO 4217 currency code"))
    }
}

impl Write for Written {
    fn write(&self, out: &mut Vec<u8>) {
        write_bytes(&self.0, out);
    }
}

impl Read for Written {
    fn read(input: &mut Input<'_>) -> Result<Self, Malformed> {
        input.bytes().map(|bytes| Self(bytes.to_vec()))
    }
}

impl Write for DeadLetter {
    fn write(&self, out: &mut Vec<u8>) {
        self.id.write(out);
        self.workspace.write(out);
        self.stage.write(out);
        self.source.write(out);
        self.reason.write(out);
        self.field.write(out);
        self.message.write(out);
        self.origin_topic.write(out);
        self.origin_partition.write(out);
        self.origin_offset.write(out);
        self.received_at.write(out);
        self.first_seen_at.write(out);
        self.redrive_count.write(out);
        self.verdict.write(out);
        self.headers.write(out);
        write_bytes(&self.body, out);
        self.status.write(out);
        self.item.write(out);
        self.changed_at.write(out);
        write_bytes(&self.key, out);
        self.cut.write(out);
    }
}

impl Read for DeadLetter {
    fn read(input: &mut Input<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            id: Read::read(input)?,
            workspace: Read::read(input)?,
            stage: Read::read(input)?,
            source: Read::read(input)?,
            reason: Read::read(input)?,
            field: Read::read(input)?,
            message: Read::read(input)?,
            origin_topic: Read::read(input)?,
            origin_partition: Read::read(input)?,
            origin_offset: Read::read(input)?,
            received_at: Read::read(input)?,
            first_seen_at: Read::read(input)?,
            redrive_count: Read::read(input)?,
            verdict: Read::read(input)?,
            headers: Read::read(input)?,
            body: input.bytes()?.to_vec(),
            status: Read::read(input)?,
            item: Read::read(input)?,
            changed_at: Read::read(input)?,
            key: input.bytes()?.to_vec(),
            cut: Read::read(input)?,
        })
    }
}
