use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::event::*;
use crate::person::{Identifier, Kind};
use crate::time::{DAY, SECOND};
use crate::*;

const BASE: i64 = 1_767_225_600 * SECOND;

fn usd(minor: i64) -> Money {
    Money::new(minor, Currency::USD)
}

/// A delivery of version `t` seconds with a payment state and refunds.
pub(super) fn delivery(t: i64, status: FinancialStatus, refunds: &[(&str, i64)]) -> Event {
    let at = EventTime(BASE + t * SECOND);
    let order = OrderObservation {
        currency: Some(Currency::USD),
        financial_status: Some(status),
        placed_at: Some(EventTime(BASE)),
        paid_at: status.implies_payment().then_some(at),
        total: Some(usd(10_000)),
        item_count: Some(1),
        refunds: refunds
            .iter()
            .map(|(id, minor)| Refund { id: (*id).to_owned(), amount: usd(*minor), at })
            .collect(),
        ..OrderObservation::at(at)
    };
    let content = Mark::of(&[&postcard::to_allocvec(&order).unwrap()]);
    Event {
        event_id: String::new(),
        event: if t == 0 { EventName::OrderPlaced } else { EventName::OrderUpdated },
        schema_version: 1,
        workspace: WorkspaceId::try_new("demo").unwrap(),
        environment: "production".into(),
        source: Source::Shopify,
        source_space: "shop".into(),
        source_event: "orders/updated".into(),
        occurred_at: at,
        received_at: ReceivedTime(BASE + DAY),
        raw_partition: 0,
        raw_offset: t,
        raw_item: 0,
        raw_part: 0,
        entity: Entity { r#type: "order".into(), id: "1".into(), aliases: vec![] },
        person: Some(Person {
            identifiers: vec![Identifier::plain(Kind::Email, "a@example.com")],
            ..Person::default()
        }),
        payload: Payload { order: Some(order), ..Payload::default() },
        keys: Keys { transport: content.to_hex(), semantic: content.to_hex(), content: None, stated: None },
        flags: vec![],
        origin: Origin::live(),
        trigger_eligible: true,
        qa: false,
        fraud: None,
    }
}

pub(super) fn policy() -> super::Policy {
    super::Policy {
        workspace: WorkspaceId::try_new("demo").unwrap(),
        precedence: Source::ALL.to_vec(),
        ownership: BTreeMap::new(),
    }
}

fn join(events: &[Event]) -> State {
    let mut state = State::default();
    for event in events {
        let _ = state.observe(event);
    }
    state
}

#[test]
fn a_refund_that_arrives_before_its_order_lands_in_the_same_state() {
    let create = delivery(0, FinancialStatus::Paid, &[]);
    let refund = delivery(9, FinancialStatus::PartiallyRefunded, &[("r1", 2500)]);
    let late = join(&[refund.clone(), create.clone()]).view(&policy()).unwrap();
    let view = join(&[create, refund]).view(&policy()).unwrap();
    assert_eq!(view, late);
    assert_eq!(view.net, Some(usd(7500)));
    assert_eq!(view.paid_at, Some(EventTime(BASE)));
}

#[test]
fn a_stale_version_changes_no_description_but_its_refunds_and_instants_count() {
    let new = delivery(9, FinancialStatus::Refunded, &[("r2", 4000)]);
    let old = delivery(5, FinancialStatus::PartiallyRefunded, &[("r1", 6000)]);
    let mut state = join(&[new]);
    assert_eq!(state.observe(&old).outcome, Outcome::Stale);
    let view = state.view(&policy()).unwrap();
    assert_eq!(view.financial_status, Some(FinancialStatus::Refunded));
    assert_eq!(view.refunded_total, Some(usd(10_000)));
    assert_eq!(view.paid_at, Some(EventTime(BASE + 5 * SECOND)));
}

#[test]
fn what_the_source_says_is_not_stored_again_with_the_view() {
    let mut event = delivery(1, FinancialStatus::Paid, &[]);
    event.entity.aliases = vec!["number:#1001".into()];
    let order = event.payload.order.as_mut().unwrap();
    order.country = Some("DE".into());
    order.tags = Some(vec!["wholesale".into()]);
    let mut state = join(&[event]);
    let without = postcard::to_allocvec(&state).unwrap().len();
    state.published = state.view(&policy());
    assert_eq!(postcard::to_allocvec(&state).unwrap().len(), without + 1);
    // Another value of one field is that field alone.
    state.published.as_mut().unwrap().country = Some("CH".into());
    let with = postcard::to_allocvec(&state).unwrap();
    assert!(with.len() < without + 12, "{} and {without}", with.len());
    assert_eq!(postcard::from_bytes::<State>(&with).unwrap(), state);
}

#[test]
fn an_order_is_flagged_while_the_source_whose_word_counts_told_the_purchase_by_a_marked_event() {
    let marked = |mut event: Event| {
        event.fraud = Some(crate::event::Fraud { severity: 1, rules: vec!["velocity".into()] });
        event
    };
    let (clean, again) = (delivery(1, FinancialStatus::Paid, &[]), delivery(2, FinancialStatus::Paid, &[]));
    assert!(join(std::slice::from_ref(&clean)).view(&policy()).unwrap().flags.is_empty());
    for events in [[marked(clean.clone()), again.clone()], [again, marked(clean.clone())]] {
        assert_eq!(join(&events).view(&policy()).unwrap().flags, [FLAGGED]);
    }
    let mut told = marked(delivery(3, FinancialStatus::Paid, &[]));
    told.source = Source::Analytics;
    assert!(join(&[clean, told]).view(&policy()).unwrap().flags.is_empty());
}

#[test]
fn refunds_beyond_the_total_are_cut_and_flagged() {
    let view =
        join(&[delivery(1, FinancialStatus::Refunded, &[("a", 7000), ("b", 7000)])]).view(&policy()).unwrap();
    assert_eq!(view.refunded_total, Some(usd(10_000)));
    assert_eq!(view.refunds["b"], usd(3000));
    assert_eq!(view.flags, ["refund_exceeds_order"]);
}

#[test]
fn the_rest_of_the_total_goes_back_at_the_first_evidence_however_often_the_order_changes_later() {
    let mut refunded = delivery(5, FinancialStatus::Refunded, &[]);
    refunded.payload.order.as_mut().unwrap().refunded_rest = Some(true);
    let mut edited = delivery(90_000, FinancialStatus::Refunded, &[]);
    edited.payload.order.as_mut().unwrap().refunded_rest = Some(true);
    let view = join(&[edited, refunded]).view(&policy()).unwrap();
    assert_eq!(view.refunded_total, Some(usd(10_000)));
    assert_eq!(view.refund_times["rest"], EventTime(BASE + 5 * SECOND));
}

#[test]
fn a_repetition_is_a_duplicate_at_the_level_that_caught_it() {
    let first = delivery(0, FinancialStatus::Paid, &[]);
    let mut again = first.clone();
    again.keys.transport = "other".into();
    let mut third = again.clone();
    third.keys = Keys { transport: "new".into(), semantic: "new".into(), content: None, stated: None };
    let mut state = join(std::slice::from_ref(&first));
    assert_eq!(state.observe(&first).outcome, Outcome::Duplicate(DuplicateLevel::Transport));
    assert_eq!(state.observe(&again).outcome, Outcome::Duplicate(DuplicateLevel::Semantic));
    assert_eq!(state.observe(&third).outcome, Outcome::Duplicate(DuplicateLevel::Entity));
}

#[test]
fn a_call_that_is_repeated_without_a_time_of_its_own_is_no_update() {
    let at = |seconds: i64| {
        let mut event = delivery(0, FinancialStatus::Paid, &[]);
        let order = event.payload.order.as_mut().unwrap();
        (order.version, order.paid_at) = (EventTime(BASE + seconds * SECOND), Some(EventTime(BASE)));
        event
    };
    let mut state = join(&[at(0)]);
    let before = state.view(&policy()).unwrap();
    let repeat = |state: &mut State, event: &Event| {
        let observed = state.observe(event);
        let mut view = state.view(&policy()).unwrap();
        (observed.settle(Some(&before), &mut view), view)
    };
    let (outcome, view) = repeat(&mut state, &at(5));
    assert_eq!(outcome, Outcome::Duplicate(DuplicateLevel::Transport));
    assert_eq!(view, before);
    assert!(taken(Some(&before), &view, false).is_empty());
    // The same in another delivery.
    let mut other = at(6);
    other.keys.transport = "other".into();
    let (outcome, view) = repeat(&mut state, &other);
    assert_eq!((outcome, &view), (Outcome::Duplicate(DuplicateLevel::Semantic), &before));
    // Another total is no repetition, whatever its keys say.
    let mut changed = at(7);
    changed.payload.order.as_mut().unwrap().total = Some(usd(9_000));
    let (outcome, view) = repeat(&mut state, &changed);
    assert_eq!(outcome, Outcome::Published);
    assert_eq!((view.total, view.updated_at), (Some(usd(9_000)), Some(EventTime(BASE + 7 * SECOND))));
    // Nor is a later version that is another fact.
    let mut later = at(8);
    later.keys = Keys { transport: "new".into(), semantic: "new".into(), content: None, stated: None };
    assert_eq!(repeat(&mut state, &later).0, Outcome::Published);
}

#[test]
fn a_claim_from_the_far_future_counts_on_the_day_of_its_arrival() {
    let mut event = delivery(0, FinancialStatus::Paid, &[]);
    event.payload.order.as_mut().unwrap().paid_at = Some(EventTime(BASE + 1000 * DAY));
    let view = join(&[event]).view(&policy()).unwrap();
    assert_eq!(view.paid_at, Some(EventTime(BASE + 1000 * DAY)));
    assert_eq!(view.counted_at, Some(EventTime(BASE + DAY)));
}

#[test]
fn a_paid_create_is_placed_and_then_paid() {
    let event = delivery(0, FinancialStatus::Paid, &[]);
    let view = join(&[event]).view(&policy()).unwrap();
    let steps = taken(None, &view, false);
    let names: Vec<_> = steps.iter().map(|(step, _)| step.name).collect();
    assert_eq!(names, [EventName::OrderPlaced, EventName::OrderPaid]);
    assert!(!steps[0].1.counted);
    assert_eq!(steps[1].1, view);
}

/// The steps with the views after them.
fn taken(before: Option<&View>, after: &View, update: bool) -> Vec<(Step, View)> {
    let mut all = Vec::new();
    let seen = steps(before, after, update, |step, view| {
        all.push((step.clone(), view.clone()));
        Ok::<_, std::convert::Infallible>(())
    });
    assert_eq!(seen, Ok(all.len()));
    all
}

fn deliveries() -> impl Strategy<Value = Vec<Event>> {
    let status = prop::sample::select(vec![
        FinancialStatus::Pending,
        FinancialStatus::Authorized,
        FinancialStatus::Paid,
        FinancialStatus::PartiallyRefunded,
        FinancialStatus::Refunded,
        FinancialStatus::Voided,
    ]);
    let refunds = prop::collection::vec((prop::sample::select(vec!["a", "b", "c"]), 0_i64..8000), 0..3);
    let one = (0_i64..6, status, refunds, any::<[bool; 6]>(), 0_i64..3, (0_i64..4, 0_i64..4));
    prop::collection::vec(one, 1..7).prop_map(|list| {
        let mut events: Vec<Event> = list
            .into_iter()
            .map(|(t, status, refunds, drop, source, (n, turn))| {
                let mut event = delivery(t, status, &refunds);
                let order = event.payload.order.as_mut().unwrap();
                if drop[0] {
                    order.total = None;
                }
                if drop[1] {
                    order.placed_at = None;
                }
                if drop[2] {
                    event.person = None;
                }
                if drop[3] {
                    order.cancelled_at = Some(order.version);
                }
                if drop[4] {
                    order.fulfilled_at = Some(order.version);
                }
                order.item_count = Some(n);
                order.refunded_rest = drop[5].then_some(n % 2 == 0);
                event.source = Source::ALL[usize::try_from(source).unwrap()];
                event.entity.aliases = vec![format!("number:{n}")];
                event.received_at = ReceivedTime(BASE + DAY + turn * SECOND);
                event
            })
            .collect();
        for (i, event) in events.iter_mut().enumerate() {
            event.raw_offset = i64::try_from(i).unwrap();
            // A semantic key has everything in it that is said.
            let said = postcard::to_allocvec(&(&event.payload.order, &event.entity, event.source)).unwrap();
            let content = Mark::of(&[&said]).to_hex();
            event.keys = Keys { transport: content.clone(), semantic: content, content: None, stated: None };
        }
        events
    })
}

proptest! {
    #[test]
    fn any_permutation_and_repetition_gives_the_same_state_and_view(
        (events, shuffled) in deliveries().prop_flat_map(|events| {
            let twice: Vec<Event> = events.iter().chain(&events).cloned().collect();
            (Just(events), Just(twice).prop_shuffle())
        })
    ) {
        let (a, b) = (join(&events), join(&shuffled));
        prop_assert!(a.same_as(&b));
        prop_assert_eq!(a.view(&policy()), b.view(&policy()));
    }

    #[test]
    fn merging_is_commutative_associative_and_idempotent(events in deliveries(), cut in 0_usize..7, cut2 in 0_usize..7) {
        let (i, j) = (cut.min(cut2).min(events.len()), cut.max(cut2).min(events.len()));
        let (a, b, c) = (join(&events[..i]), join(&events[i..j]), join(&events[j..]));
        prop_assert!(a.merge(&b).same_as(&b.merge(&a)));
        prop_assert!(a.merge(&b).merge(&c).same_as(&a.merge(&b.merge(&c))));
        prop_assert!(a.merge(&a).same_as(&a));
        prop_assert!(a.merge(&b).merge(&c).same_as(&join(&events)));
    }

    #[test]
    fn the_sum_over_all_facts_is_the_final_view(events in deliveries()) {
        let mut state = State::default();
        let (mut gross, mut refunded) = (0, 0);
        let mut last: Option<View> = None;
        let worth = |v: &View| (
            if v.counted { v.total.map_or(0, |m| m.minor) } else { 0 },
            v.refunds.values().map(|m| m.minor).sum::<i64>(),
        );
        let mut named = std::collections::BTreeMap::new();
        for event in &events {
            let observed = state.observe(event);
            let view = state.view(&policy()).unwrap();
            let mut before = last.clone();
            for (step, after) in taken(last.as_ref(), &view, observed.new_version) {
                let (g, r) = worth(&after);
                let (g0, r0) = before.as_ref().map_or((0, 0), &worth);
                gross += g - g0;
                refunded += r - r0;
                *named.entry((step.name, step.refund.clone())).or_insert(0) += 1;
                before = Some(after);
            }
            prop_assert_eq!(before.as_ref(), Some(&view));
            last = Some(view);
        }
        let view = last.unwrap();
        prop_assert_eq!((gross, refunded), worth(&view));
        for name in [EventName::OrderPlaced, EventName::OrderPaid, EventName::OrderFulfilled, EventName::OrderCancelled] {
            prop_assert!(named.get(&(name, None)).copied().unwrap_or(0) <= 1);
        }
        prop_assert_eq!(named.contains_key(&(EventName::OrderPaid, None)), view.paid_at.is_some());
    }

    #[test]
    fn the_state_survives_storing(events in deliveries(), others in deliveries(), attached: Option<u128>) {
        let mut state = join(&events);
        state.attached = attached.map(PersonId);
        // What was published need not be what the sources say by now.
        for view in [state.view(&policy()), join(&others).view(&policy()), Some(View::default()), None] {
            state.published = view;
            let bytes = postcard::to_allocvec(&state).unwrap();
            let back: State = postcard::from_bytes(&bytes).unwrap();
            prop_assert_eq!(&back, &state);
        }
    }
}

#[test]
fn amounts_of_an_order_without_a_total_are_in_one_currency_or_left_out() {
    let eur = Money::new(700, Currency::parse("EUR").unwrap());
    let of = |change: fn(&mut OrderObservation, Money), refunds: &[(&str, i64)]| {
        let mut event = delivery(1, FinancialStatus::Paid, refunds);
        let order = event.payload.order.as_mut().unwrap();
        order.total = None;
        change(order, Money::new(700, Currency::parse("EUR").unwrap()));
        join(&[event]).view(&policy()).unwrap()
    };
    // A refund says in what the order is.
    let view = of(|order, eur| order.subtotal = Some(eur), &[("r", 100)]);
    assert_eq!((view.subtotal, view.flags), (None, vec!["currency_conflict".to_owned()]));
    // Else the first amount does.
    let mixed = of(
        |order, eur| {
            (order.subtotal, order.tax_total) = (Some(eur), Some(Money::new(1, Currency::USD)));
            order.shipping_total = Some(eur);
        },
        &[],
    );
    assert_eq!((mixed.subtotal, mixed.shipping_total, mixed.tax_total), (Some(eur), Some(eur), None));
    assert_eq!(mixed.flags, ["currency_conflict"]);
    let fine = of(|order, eur| order.tax_total = Some(eur), &[]);
    assert_eq!((fine.tax_total, fine.flags.len()), (Some(eur), 0));
}

#[test]
fn thousands_of_names_and_addresses_of_one_order_are_bounded_and_the_same_ones_in_any_order() {
    let named = |n: i64| {
        let mut event = delivery(n, FinancialStatus::Paid, &[]);
        event.entity.aliases = vec![format!("alias-{n:05}"), format!("number:{n}")];
        let order = event.payload.order.as_mut().unwrap();
        order.total = Some(usd(n));
        order.links = vec![Link { kind: "cart".to_owned(), id: format!("cart-{n:05}") }];
        let address = Identifier::plain(Kind::Email, format!("{n:05}@example.com"));
        event.person.as_mut().unwrap().identifiers = vec![address];
        event
    };
    let mut events: Vec<Event> = (1..=2_000).map(named).collect();
    let straight = join(&events);
    events.reverse();
    let turned = join(&events);
    assert!(straight.same_as(&turned));
    let stored = postcard::to_allocvec(&straight).unwrap().len();
    assert!(stored < 16_000, "{stored} bytes");
    assert_eq!(straight.buyer().unwrap().value, "02000@example.com", "the newest counts");
}
