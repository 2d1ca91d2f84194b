//! People with very many orders: what is published of them is what all their orders together make, whatever happened.

use commerce::audience::Standing;
use commerce::event::Person;
use commerce::profile::{Contribution, Known, Later, Rollup, Share, Since};
use commerce::{Currency, Event, EventName, EventTime, Money, PersonId, Profile};
use proptest::prelude::*;

use crate::world::*;

/// What happens to a few people and their many orders.
#[derive(Clone, Copy, Debug)]
enum Deed {
    Order { who: u8, id: u8, minor: i64, euros: bool },
    Refund { id: u8, minor: i64 },
    Cancel { id: u8 },
    Report { who: u8, orders: i64, minor: i64, days_ago: i64 },
    Merge { from: u8, into: u8 },
    Part { from: u8, into: u8 },
    Erase { who: u8 },
}

fn any_deed() -> impl Strategy<Value = Deed> {
    let who = || prop_oneof![6 => Just(0_u8), 1 => 1..3_u8];
    let order = (who(), 0..120_u8, 1..70_000_i64, prop::bool::weighted(0.1));
    prop_oneof![
        30 => order.prop_map(|(who, id, minor, euros)| Deed::Order { who, id, minor, euros }),
        4 => (0..120_u8, 1..500_i64).prop_map(|(id, minor)| Deed::Refund { id, minor }),
        3 => (0..120_u8).prop_map(|id| Deed::Cancel { id }),
        4 => (who(), 0..90_i64, 0..900_000_i64, 0..20_i64)
            .prop_map(|(who, orders, minor, days_ago)| Deed::Report { who, orders, minor, days_ago }),
        1 => (who(), 0..3_u8).prop_map(|(from, into)| Deed::Merge { from, into }),
        1 => (who(), 0..3_u8).prop_map(|(from, into)| Deed::Part { from, into }),
        1 => (1..3_u8).prop_map(|who| Deed::Erase { who }),
    ]
}

fn name(who: u8) -> commerce::person::Identifier {
    user(&format!("p-{who}"))
}

fn of_order(who: Option<u8>, id: u8, minor: i64, after: i64) -> Event {
    let handles: Vec<_> = who.map(name).into_iter().collect();
    let mut event = paid(&handles, &format!("o-{id}"), &[], after);
    event.payload.order.as_mut().unwrap().total = Some(Money::new(minor, Currency::USD));
    event
}

fn event(deed: Deed, after: i64) -> Event {
    let two = |from: u8, into: u8, event: EventName| {
        let mut event = by(&[name(into)], event, after);
        let person = event.person.take().unwrap();
        event.person = Some(Person { absorbed: vec![name(from)], ..person });
        event
    };
    match deed {
        Deed::Order { who, id, minor, euros } => {
            let mut event = of_order(Some(who), id, minor, after);
            let order = event.payload.order.as_mut().unwrap();
            if euros {
                let euro = Currency::parse("EUR").unwrap();
                order.currency = Some(euro);
                order.total = Some(Money::new(minor, euro));
            }
            event
        }
        Deed::Refund { id, minor } => {
            let mut event = of_order(None, id, 1_000, after);
            event.event = EventName::OrderRefunded;
            let order = event.payload.order.as_mut().unwrap();
            (order.total, order.paid_at, order.placed_at) = (None, None, None);
            order.refunds = vec![refund_of(&format!("r-{after}"), minor, after)];
            event
        }
        Deed::Cancel { id } => cancelled(&[], &format!("o-{id}"), after),
        Deed::Report { who, orders, minor, days_ago } => {
            let mut event = by(&[name(who)], EventName::CustomerUpdated, after);
            let person = event.person.as_mut().unwrap();
            person.reported_orders_count = Some(orders);
            person.reported_total_spent = Some(Money::new(minor, Currency::USD));
            person.reported_at = Some(at(after - days(days_ago)));
            event
        }
        Deed::Merge { from, into } => two(from, into, EventName::CustomerMerged),
        Deed::Part { from, into } => two(from, into, EventName::CustomerSeparated),
        Deed::Erase { who } => by(&[name(who)], EventName::CustomerDeleted, after),
    }
}

/// What a profile must be, by all orders that are published under the person.
fn worked_out(world: &mut World, profile: &Profile, now: EventTime) -> Profile {
    let id: PersonId = profile.person_id;
    let base = Currency::USD;
    let views: Vec<_> = world.views().into_iter().filter(|view| view.person_id == Some(id)).collect();
    let (mut rollup, mut shares) = (Rollup::default(), Vec::new());
    for view in &views {
        let Some(contribution) = Contribution::of(view, id) else { continue };
        rollup.apply(&contribution, 1).unwrap();
        shares.push(Share::of(view, &contribution));
    }
    let placed = shares.iter().map(|share| share.placed_at);
    let later = Since::of(&profile.reported, base).map(|since| Later::of(&shares, &since));
    let membership = Standing::of(&shares, base, now).membership();
    let since = |name: &str| profile.audiences_since.get(name).copied().unwrap_or(EventTime(0));
    let names = membership.audiences.iter().map(|audience| audience.as_str().to_owned());
    let known = Known {
        contact: profile.contact.clone(),
        rollup,
        span: placed.clone().min().zip(placed.max()),
        reported: profile.reported.clone(),
        later: later.unwrap_or_default(),
        audiences: names.map(|name| (name.clone(), since(&name))).collect(),
        consent: profile.consent.clone(),
        conflict: profile.flags.iter().any(|flag| flag == "identity_conflict"),
        ..Known::default()
    };
    Profile::new(profile.workspace.clone(), id, known, base, profile.as_of)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn what_is_published_of_somebody_with_many_orders_is_what_all_of_them_make(
        deeds in prop::collection::vec((any_deed(), 1..40_i64), 100..260),
    ) {
        let mut world = World::new();
        let mut after = 0;
        for (n, (deed, quarters)) in deeds.into_iter().enumerate() {
            after += quarters * HOUR / 4;
            world.send(&event(deed, after));
            if n % 9 == 0 {
                world.commit();
            }
        }
        // Everybody is asked about once more, so that the audiences are those of now.
        after += HOUR;
        world.pass(after);
        world.commit();
        let now = EventTime((START + after + MINUTE - 1).div_euclid(MINUTE) * MINUTE);
        for profile in world.people() {
            let expected = worked_out(&mut world, &profile, now);
            prop_assert_eq!(profile, expected);
        }
    }
}

#[test]
fn two_thousand_orders_of_one_person_with_a_report_among_them_add_up() {
    let mut world = World::new();
    let report = |after: i64| event(Deed::Report { who: 0, orders: 5, minor: 1_000, days_ago: 0 }, after);
    world.send(&report(0));
    for id in 1..2_001 {
        if id == 1_001 {
            world.send(&report(id * MINUTE - 1));
        }
        let mut order = of_order(Some(0), 0, if id == 7 { 60_000 } else { 100 }, id * MINUTE);
        order.entity.id = format!("o-{id}");
        world.send(&order);
        if id % 5 == 0 {
            world.commit();
        }
    }
    let profile = world.people().remove(0);
    assert_eq!((profile.orders_count, profile.total_spent.minor), (5 + 1_000, 1_000 + 1_000 * 100));
    assert_eq!(profile.audiences, ["frequent_90d", "high_value_paid"]);
    assert_eq!(world.signals.len(), 2);
}
