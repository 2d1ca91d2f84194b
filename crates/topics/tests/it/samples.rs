//! One value of each record with everything in it, and one with nothing that can be left out.

use std::collections::BTreeMap;

use commerce::event::{
    Activity, Address, Allocation, Campaign, Channel, Consent, ConsentState, Context, Discount, Entity,
    FinancialStatus, Fraud, FulfillmentStatus, Item, Keys, Link, OrderObservation, Origin, Payload, Payment,
    Person, Refund, Subscription,
};
use commerce::fact::RefundFact;
use commerce::fx::{Hour, Rate};
use commerce::letter::{Status, WHOLE};
use commerce::members::Written;
use commerce::order::{Base, Matter, View};
use commerce::person::{Identifier, Kind};
use commerce::policy::Rules;
use commerce::profile::{Contact, Reported};
use commerce::reconciliation::{Figure, Standing};
use commerce::signal::Automation;
use commerce::{
    Currency, DeadLetter, Event, EventName, EventTime, Fact, FxRate, Metric, Money, PersonId, Policy,
    Profile, ReceivedTime, Reconciliation, Signal, SignalName, Source, WorkspaceId,
};

fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|&text| text.to_owned()).collect()
}

fn at(second: i64) -> EventTime {
    EventTime(1_767_225_600_000_000 + second * 1_000_000 + 123_456)
}

fn received(second: i64) -> ReceivedTime {
    ReceivedTime(at(second).0)
}

fn usd(minor: i64) -> Option<Money> {
    Some(Money::new(minor, Currency::USD))
}

fn workspace() -> WorkspaceId {
    WorkspaceId::try_new("demo").unwrap()
}

fn identifiers() -> Vec<Identifier> {
    vec![
        Identifier::plain(Kind::Email, "jane@example.com"),
        Identifier {
            kind: Kind::ShopifyCustomer,
            space: "demo-shop.myshopify.com".into(),
            value: "207119551".into(),
        },
    ]
}

fn campaign() -> Campaign {
    Campaign {
        campaign: text("spring"),
        source: text("newsletter"),
        medium: text("email"),
        referrer: text("https://example.com"),
    }
}

fn items() -> Vec<Item> {
    let item = |id: &str, minor| Item {
        product_id: text(id),
        variant_id: text("39072856"),
        sku: text("IPOD2008GREEN"),
        title: text("IPod Nano – 8 GB, grün"),
        variant_title: text("green"),
        quantity: 2,
        price: usd(minor),
        discount: usd(500),
        category: text("players"),
        brand: text("Apple"),
        allocations: vec![Allocation { amount: usd(250).unwrap(), application: text("0") }],
    };
    vec![item("632910392", 19_900), item("921728736", 4_999)]
}

/// An event with everything.
pub fn full_event() -> Event {
    Event {
        event_id: "0f8fad5b-d9cb-869f-a165-70867728950e".into(),
        event: EventName::OrderPaid,
        schema_version: 1,
        workspace: workspace(),
        environment: "production".into(),
        source: Source::Shopify,
        source_space: "demo-shop.myshopify.com".into(),
        source_event: "orders/paid".into(),
        occurred_at: at(0),
        received_at: received(1),
        raw_partition: 3,
        raw_offset: 1 << 40,
        raw_item: 7,
        raw_part: 2,
        entity: Entity {
            r#type: "order".into(),
            id: "820982911946154508".into(),
            aliases: texts(&["#1001", "1001"]),
        },
        person: Some(Person {
            identifiers: identifiers(),
            email: text("Jane@Example.com"),
            phone: text("+1 555 0100"),
            first_name: text("Jane"),
            last_name: text("Doe"),
            address: Some(Address {
                city: text("Swampscott"),
                zip: text("01907"),
                province: text("MA"),
                country: text("United States"),
                country_code: text("US"),
            }),
            reported_orders_count: Some(3),
            reported_total_spent: usd(99_999),
            reported_last_order_at: Some(at(-3)),
            reported_at: Some(at(-2)),
            created_at: Some(at(-1)),
            attributes: properties(),
            attributes_at: Some(at(5)),
            update_only: true,
            consent: vec![Consent {
                channel: Channel::Sms,
                state: ConsentState::Pending,
                opt_in_level: text("single_opt_in"),
                updated_at: Some(at(6)),
                region: text("EU"),
            }],
            tags: Some(texts(&["vip"])),
            absorbed: identifiers(),
        }),
        payload: Payload {
            order: Some(observation()),
            activity: Some(activity()),
            payment: Some(payment()),
            subscription: Some(subscription()),
            properties: properties(),
        },
        keys: Keys {
            transport: "0".repeat(32),
            semantic: "f".repeat(32),
            content: text("e"),
            stated: text("5"),
        },
        flags: texts(&["amount_rounded", "timestamp_naive"]),
        origin: Origin { kind: "backfill".into(), label: text("2025") },
        trigger_eligible: true,
        qa: false,
        fraud: Some(Fraud { severity: 1, rules: texts(&["velocity"]) }),
    }
}

fn observation() -> OrderObservation {
    OrderObservation {
        version: at(2),
        currency: Some(Currency::USD),
        financial_status: Some(FinancialStatus::PartiallyRefunded),
        fulfillment_status: Some(FulfillmentStatus::PartiallyFulfilled),
        placed_at: Some(at(-60)),
        paid_at: Some(at(0)),
        partially_fulfilled_at: Some(at(1)),
        fulfilled_at: Some(at(2)),
        cancelled_at: Some(at(3)),
        total: usd(40_994),
        subtotal: usd(39_800),
        discount_total: usd(1_000),
        shipping_total: usd(695),
        tax_total: usd(499),
        item_count: Some(4),
        items: Some(items()),
        refunds: vec![Refund { id: "509562969".into(), amount: usd(4_194).unwrap(), at: at(4) }],
        refunded_rest: Some(false),
        coupon_codes: Some(texts(&["SPRING"])),
        tags: Some(texts(&["vip", "ünïcode"])),
        campaign: Some(campaign()),
        country: text("US"),
        links: links(),
        discounts: vec![Discount {
            kind: "application".into(),
            title: text("SPRING"),
            amount: usd(1_000),
            r#type: text("discount_code"),
            value: text("10.0"),
            value_type: text("percentage"),
            target_selection: text("all"),
            target_type: text("line_item"),
            price_rule_id: text("507328175"),
        }],
        context: context(),
    }
}

fn links() -> Vec<Link> {
    vec![Link { kind: "checkout".into(), id: "901414060".into() }]
}

fn context() -> Option<Context> {
    Some(Context { device: text("mobile"), platform: text("ios"), country: text("US") })
}

fn properties() -> BTreeMap<String, String> {
    BTreeMap::from([("size".into(), "38.50".into()), ("tags".into(), r#"["a",null]"#.into())])
}

fn activity() -> Activity {
    Activity {
        version: Some(at(1)),
        cart_id: text("cart-1"),
        checkout_id: text("co-1"),
        links: links(),
        currency: Some(Currency::USD),
        value: usd(40_994),
        items: Some(items()),
        coupon_codes: texts(&["SPRING"]),
        campaign: Some(campaign()),
        context: context(),
        search_term: text("ipod"),
        rating: text("4.5"),
        recovery_url: text("https://example.com/recover"),
        started_at: Some(at(2)),
        completed_at: Some(at(3)),
    }
}

fn payment() -> Payment {
    Payment {
        amount: usd(4_999),
        amount_due: usd(5_999),
        paid_at: Some(at(1)),
        subscription_id: text("sub_1"),
        period_start: Some(at(2)),
        period_end: Some(at(3)),
        attempt: Some(2),
        next_attempt_at: Some(at(4)),
        reason: text("subscription_cycle"),
        order_id: text("1001"),
        refund_id: text("re_1"),
    }
}

fn subscription() -> Subscription {
    Subscription { id: text("sub_1"), period_start: Some(at(2)), period_end: Some(at(3)), amount: usd(999) }
}

/// An event with nothing that can be left out.
pub fn bare_event() -> Event {
    let full = full_event();
    Event {
        event: EventName::OrderPlaced,
        entity: Entity { aliases: vec![], ..full.entity },
        person: None,
        payload: Payload::default(),
        keys: Keys { content: None, stated: None, ..full.keys },
        flags: vec![],
        origin: Origin::live(),
        trigger_eligible: false,
        qa: true,
        fraud: None,
        ..full
    }
}

/// An event whose parts are there and say nothing.
pub fn hollow_event() -> Event {
    let order = OrderObservation {
        items: Some(vec![]),
        tags: Some(vec![]),
        campaign: Some(Campaign::default()),
        context: Some(Context::default()),
        ..OrderObservation::at(EventTime(i64::MIN))
    };
    let person = Person { address: Some(Address::default()), ..Person::default() };
    let payload = Payload {
        order: Some(order),
        activity: Some(Activity::default()),
        payment: Some(Payment::default()),
        subscription: Some(Subscription::default()),
        properties: BTreeMap::new(),
    };
    Event { person: Some(person), payload, ..bare_event() }
}

/// An order with everything.
pub fn full_order() -> View {
    View {
        id: "820982911946154508".into(),
        aliases: texts(&["#1001"]),
        source: Some(Source::Shopify),
        sources: vec![Source::Shopify, Source::Stripe],
        person_id: Some(PersonId(0x1234_5678_9abc_def0)),
        updated_at: Some(at(2)),
        financial_status: Some(FinancialStatus::Paid),
        fulfillment_status: Some(FulfillmentStatus::Fulfilled),
        placed_at: Some(at(-60)),
        paid_at: Some(at(0)),
        partially_fulfilled_at: Some(at(1)),
        fulfilled_at: Some(at(2)),
        cancelled_at: Some(at(3)),
        counted: true,
        counted_at: Some(at(0)),
        total: usd(40_994),
        subtotal: usd(39_800),
        discount_total: usd(1_000),
        shipping_total: usd(695),
        tax_total: usd(499),
        refunds: BTreeMap::from([("509562969".into(), usd(4_194).unwrap())]),
        refund_times: BTreeMap::from([("509562969".into(), at(4))]),
        refunded_total: usd(4_194),
        net: usd(36_800),
        item_count: 4,
        items: items(),
        coupon_codes: texts(&["SPRING"]),
        tags: texts(&["vip"]),
        campaign: Some(campaign()),
        country: text("US"),
        context: context(),
        qa: true,
        flags: texts(&["refund_exceeds_order"]),
        carts: texts(&["cart-1"]),
        base: Some(full_base()),
    }
}

fn full_base() -> Base {
    let eur = |minor| Some(Money::new(minor, Currency::parse("EUR").unwrap()));
    Base {
        currency: Currency::parse("EUR").unwrap(),
        rate: Rate::parse("0.9223").unwrap(),
        rate_at: Hour::of(at(0)).start(),
        total: eur(37_809),
        subtotal: eur(36_708),
        discount_total: eur(922),
        shipping_total: eur(641),
        tax_total: eur(460),
        refunds: BTreeMap::from([("509562969".into(), eur(3_868).unwrap())]),
        refunded_total: eur(3_868),
        net: eur(33_941),
    }
}

/// A rate with everything.
pub fn full_rate() -> FxRate {
    FxRate {
        currency: Currency::parse("EUR").unwrap(),
        base: Currency::USD,
        hour: Hour::of(at(0)).start(),
        rate: Rate::parse("1.0842").unwrap(),
        provider: "open_exchange_rates".into(),
        carried: true,
        published_at: at(1),
    }
}

/// A version of a policy with everything.
pub fn full_policy() -> Policy {
    Policy {
        workspace: WorkspaceId::try_new("demo").unwrap(),
        version: 3,
        effective_at: at(2),
        published_at: at(1),
        published_by: "jane".into(),
        note: Some("payments are told by the backend now".into()),
        rules: Rules {
            base_currency: Currency::USD,
            time_zone: "America/New_York".into(),
            source_precedence: vec![Source::Lifesight, Source::Shopify],
            ownership: BTreeMap::from([(EventName::OrderPaid, Source::Lifesight)]),
            blocked_handles: vec!["email:test@acme.example".into()],
            shared_handle_neighbours: 50,
            abandoned_after_s: 1_800,
            include_unlinked_payments: true,
            reuse_transaction_id_after_s: 7_776_000,
        },
    }
}

/// A version of a policy with nothing that can be left out.
pub fn bare_policy() -> Policy {
    let full = full_policy();
    let rules = Rules {
        source_precedence: vec![],
        ownership: BTreeMap::new(),
        blocked_handles: vec![],
        include_unlinked_payments: false,
        reuse_transaction_id_after_s: 0,
        ..full.rules.clone()
    };
    Policy { note: None, rules, ..full }
}

/// A rate with nothing that can be left out.
pub fn bare_rate() -> FxRate {
    FxRate { provider: String::new(), carried: false, ..full_rate() }
}

/// An order with nothing that can be left out.
pub fn bare_order() -> View {
    View { id: "1".into(), ..View::default() }
}

/// A fact with everything.
pub fn full_fact() -> Fact {
    let before = View { refunded_total: usd(0), net: usd(40_994), ..full_order() };
    Fact {
        event_id: "0f8fad5b-d9cb-869f-a165-70867728950e".into(),
        event: EventName::OrderRefunded,
        schema_version: 1,
        workspace: workspace(),
        environment: "production".into(),
        source: Source::Shopify,
        source_space: "demo-shop.myshopify.com".into(),
        source_event: "refunds/create".into(),
        occurred_at: at(0),
        received_at: received(1),
        entity_type: "order".into(),
        entity_id: "820982911946154508".into(),
        order_id: text("820982911946154508"),
        person_id: Some(PersonId(u128::MAX)),
        before: Some(before),
        after: Some(full_order()),
        refund: Some(RefundFact {
            id: "509562969".into(),
            amount: usd(4_194).unwrap(),
            refunded_total: usd(4_194),
            full: false,
        }),
        activity: Some(activity()),
        group: text("0f8fad5b-d9cb-869f-a165-70867728950e"),
        payment: Some(payment()),
        subscription: Some(subscription()),
        properties: properties(),
        flags: texts(&["placed_inferred"]),
        origin: Origin { kind: "replay".into(), label: text("again") },
        trigger_eligible: true,
        qa: false,
        fraud: Some(Fraud { severity: 1, rules: texts(&["velocity"]) }),
        from_person_id: Some(PersonId(9)),
    }
}

/// A fact with nothing that can be left out.
pub fn bare_fact() -> Fact {
    Fact {
        event: EventName::OrderPlaced,
        order_id: None,
        person_id: None,
        before: None,
        after: None,
        refund: None,
        activity: None,
        group: None,
        payment: None,
        subscription: None,
        properties: BTreeMap::new(),
        flags: vec![],
        origin: Origin::live(),
        fraud: None,
        from_person_id: None,
        ..full_fact()
    }
}

/// A profile with everything.
pub fn full_profile() -> Profile {
    let yen = Currency::parse("JPY").unwrap();
    let by_currency = BTreeMap::from([(Currency::USD, 40_994), (yen, 1999)]);
    Profile {
        workspace: workspace(),
        person_id: PersonId(7),
        merged_into: Some(PersonId(8)),
        contact: Contact {
            identifiers: identifiers(),
            email: text("jane@example.com"),
            phone: text("+15550100"),
            first_name: text("Jane"),
            last_name: text("Doe"),
        },
        orders_count: 2,
        total_spent: usd(40_994).unwrap(),
        total_spent_by_currency: by_currency.clone(),
        lifetime_value: usd(-1).unwrap(),
        lifetime_value_by_currency: by_currency.clone(),
        refunded_total: usd(4_194).unwrap(),
        refunded_total_by_currency: by_currency,
        aov: usd(40_994),
        first_order_at: Some(at(-60)),
        last_order_at: Some(at(0)),
        reported: Reported {
            orders_count: Some(3),
            orders_count_at: Some(at(1)),
            total_spent: usd(99_999),
            total_spent_at: Some(at(2)),
            last_order_at: Some(at(3)),
        },
        payments_total: Some(Money::new(4_900, Currency::USD)),
        payments_total_by_currency: BTreeMap::from([(Currency::USD, 4_900)]),
        payments_in_lifetime_value_by_currency: BTreeMap::from([(Currency::USD, 3_900)]),
        payment_status: text("current"),
        last_payment_at: Some(at(4)),
        payment_failed_at: Some(at(5)),
        created_at: Some(at(6)),
        attributes: properties(),
        consent: vec![Consent {
            channel: Channel::Email,
            state: ConsentState::Subscribed,
            opt_in_level: text("single_opt_in"),
            updated_at: Some(at(7)),
            region: text("EU"),
        }],
        tags: texts(&["vip"]),
        audiences: texts(&["frequent_90d"]),
        audiences_since: BTreeMap::from([("frequent_90d".to_owned(), at(8))]),
        flags: texts(&["fx_missing"]),
        as_of: received(1),
    }
}

/// A profile with nothing that can be left out.
pub fn bare_profile() -> Profile {
    Profile {
        merged_into: None,
        contact: Contact::default(),
        total_spent_by_currency: BTreeMap::new(),
        lifetime_value_by_currency: BTreeMap::new(),
        refunded_total_by_currency: BTreeMap::new(),
        aov: None,
        first_order_at: None,
        last_order_at: None,
        reported: Reported::default(),
        payments_total: None,
        payments_total_by_currency: BTreeMap::new(),
        payments_in_lifetime_value_by_currency: BTreeMap::new(),
        payment_status: None,
        last_payment_at: None,
        payment_failed_at: None,
        created_at: None,
        attributes: BTreeMap::new(),
        consent: vec![],
        tags: vec![],
        audiences: vec![],
        audiences_since: BTreeMap::new(),
        flags: vec![],
        ..full_profile()
    }
}

/// A signal with everything.
pub fn full_signal() -> Signal {
    Signal {
        signal_id: "0f8fad5b-d9cb-869f-a165-70867728950e".into(),
        person_id: Some(PersonId(7)),
        occurred_at: at(0),
        emitted_at: received(1),
        due_at: Some(at(2)),
        kind: Some(Automation::Abandonment),
        variant_id: text("39072856"),
        reason: "quiet".into(),
        cart_id: text("cart-1"),
        checkout_id: text("901414060"),
        order_id: text("1001"),
        items: items(),
        value: usd(40_994),
        recovery_url: text("https://example.com/recover"),
        consent: full_profile().consent,
        qa: true,
        trigger_event: Some(EventName::CheckoutStarted),
        trigger_event_id: text("0f8fad5b-d9cb-869f-a165-70867728950e"),
        trigger_source: Some(Source::Lifesight),
        properties: properties(),
        ..bare_signal()
    }
}

/// A signal with nothing that can be left out.
pub fn bare_signal() -> Signal {
    Signal::new(SignalName::CheckoutAbandoned, &workspace(), "production", ("checkout", "901414060"))
}

/// A disagreement with everything.
pub fn full_reconciliation() -> Reconciliation {
    let figure = |source, value: &str, minor| Figure {
        source,
        source_space: "demo-shop.myshopify.com".into(),
        value: value.into(),
        amount: usd(minor),
    };
    Reconciliation {
        disagreement_id: "0f8fad5b-d9cb-869f-a165-70867728950e".into(),
        schema_version: 1,
        workspace: workspace(),
        environment: "production".into(),
        order_id: "1001".into(),
        matter: Matter::Total,
        standing: Standing::Resolved,
        taken: figure(Source::Shopify, "30.49", 3_049),
        other: figure(Source::Analytics, "30.00", 3_000),
        event_id: "0f8fad5b-d9cb-869f-a165-70867728950f".into(),
        received_at: received(1),
        qa: true,
    }
}

/// A disagreement with nothing that can be left out.
pub fn bare_reconciliation() -> Reconciliation {
    let figure = |source, value: &str| Figure {
        source,
        source_space: String::new(),
        value: value.into(),
        amount: None,
    };
    Reconciliation {
        matter: Matter::FinancialStatus,
        standing: Standing::Open,
        taken: figure(Source::Shopify, "refunded"),
        other: figure(Source::Records, "paid"),
        qa: false,
        ..full_reconciliation()
    }
}

/// A cell with everything.
pub fn full_metric() -> Metric {
    Metric {
        workspace: workspace(),
        metric: "revenue".into(),
        window: "day".into(),
        window_start: "2026-01-31".into(),
        dimensions: BTreeMap::from([("currency".into(), "USD".into()), ("source".into(), "shopify".into())]),
        values: BTreeMap::from([("gross".into(), i64::MAX), ("net".into(), i64::MIN)]),
        revision: 2,
        corrected: true,
        as_of: received(1),
        window_end_at: Some(at(86_400)),
        members: Some(Written(vec![0, 7, 1, 0])),
    }
}

/// A cell with nothing that can be left out.
pub fn bare_metric() -> Metric {
    Metric {
        dimensions: BTreeMap::new(),
        values: BTreeMap::new(),
        window_end_at: None,
        members: None,
        ..full_metric()
    }
}

/// A dead letter with everything.
pub fn full_letter() -> DeadLetter {
    DeadLetter {
        id: "0f8fad5b-d9cb-869f-a165-70867728950e".into(),
        workspace: "demo".into(),
        stage: "normalizer".into(),
        source: "shopify".into(),
        reason: "bad_money".into(),
        field: text("line_items[0].price"),
        message: "'1,5' is not a decimal amount".into(),
        origin_topic: "http".into(),
        origin_partition: -1,
        origin_offset: -1,
        received_at: Some(received(0)),
        first_seen_at: at(1),
        redrive_count: 3,
        verdict: "hmac".into(),
        headers: BTreeMap::from([("http.x-shopify-topic".into(), "orders/paid".into())]),
        body: (0..=255).collect(),
        status: Status::Redriven,
        item: 7,
        changed_at: Some(at(2)),
        key: vec![0, 255, b'k'],
        cut: true,
    }
}

/// A dead letter with nothing that can be left out.
pub fn bare_letter() -> DeadLetter {
    DeadLetter {
        field: None,
        received_at: None,
        headers: BTreeMap::new(),
        body: vec![],
        status: Status::Open,
        item: WHOLE,
        changed_at: None,
        key: vec![],
        cut: false,
        ..full_letter()
    }
}
