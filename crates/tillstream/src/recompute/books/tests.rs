//! The fold against amounts that are worked out by hand, and against the profiles' own arithmetic.

use std::collections::BTreeMap;

use commerce::fx::Rate;
use commerce::profile::{Contribution, Known, Later, Rollup, Share, Since};
use commerce::{ReceivedTime, WorkspaceId};

use super::*;

const USD: Currency = Currency::USD;

fn usd(minor: i64) -> Money {
    Money::new(minor, USD)
}

/// An order that reached payment, placed at that second, with refunds of (second, minor).
fn view(id: &str, who: u128, second: i64, total: Money, refunds: &[(i64, i64)]) -> View {
    let refund =
        |(at, minor): &(i64, i64)| (format!("r{at}"), EventTime(*at), Money::new(*minor, total.currency));
    let refunds: Vec<_> = refunds.iter().map(refund).collect();
    View {
        id: id.to_owned(),
        person_id: Some(PersonId(who)),
        placed_at: Some(EventTime(second)),
        counted_at: Some(EventTime(second + 1)),
        counted: true,
        total: Some(total),
        financial_status: Some(FinancialStatus::Paid),
        refunds: refunds.iter().map(|(id, _, money)| (id.clone(), *money)).collect(),
        refund_times: refunds.iter().map(|(id, at, _)| (id.clone(), *at)).collect(),
        refunded_total: Some(Money::new(
            refunds.iter().map(|(_, _, money)| money.minor).sum(),
            total.currency,
        )),
        ..View::default()
    }
}

/// The profile that the product makes of these orders.
fn profile(who: u128, email: Option<&str>, orders: &[View], reported: Reported) -> Profile {
    let mut rollup = Rollup::default();
    let mut shares = Vec::new();
    for order in orders {
        let contribution = Contribution::of(order, order.person_id.unwrap()).unwrap();
        rollup.apply(&contribution, 1).unwrap();
        shares.push(Share::of(order, &contribution));
    }
    let placed: Vec<EventTime> = orders.iter().filter_map(|order| order.placed_at).collect();
    let span = placed.iter().min().copied().zip(placed.iter().max().copied());
    let later = Since::of(&reported, USD).map(|since| Later::of(&shares, &since)).unwrap_or_default();
    let mut known = Known { rollup, later, span, reported, ..Known::default() };
    known.contact.email = email.map(str::to_owned);
    Profile::new(WorkspaceId::try_new("demo").unwrap(), PersonId(who), known, USD, ReceivedTime(99))
}

fn books(orders: &[View], profiles: &[Profile]) -> Books {
    let mut books = Books::default();
    for order in orders {
        books.order(format!("demo:{}", order.id).as_bytes(), Some(order));
    }
    for profile in profiles {
        books.profile(format!("demo:{}", profile.person_id).as_bytes(), Some(profile.clone()));
    }
    books
}

fn fields(differences: &[Difference]) -> Vec<&str> {
    differences.iter().map(|difference| difference.field).collect()
}

#[test]
fn the_books_are_worked_out_to_the_cent() {
    let mut cancelled = view("c", 1, 30, usd(1_000), &[(31, 400)]);
    cancelled.cancelled_at = Some(EventTime(32));
    let mut pending = view("p", 1, 50, usd(7), &[]);
    (pending.counted_at, pending.counted) = (None, false);
    let mut test = view("t", 1, 60, usd(7), &[]);
    test.qa = true;
    let euro = view("e", 1, 20, Money::new(300, Currency::parse("EUR").unwrap()), &[]);
    let orders = [view("a", 1, 10, usd(5_050), &[(11, 50), (12, 1_000)]), cancelled, pending, test, euro];
    let books = books(&orders, &[]);
    let found = own(&books.by_person()[&("demo".to_owned(), PersonId(1))]).unwrap();
    let eur = Currency::parse("EUR").unwrap();
    assert_eq!(found.orders_count, 3);
    assert_eq!(found.total_spent, BTreeMap::from([(USD, 6_050), (eur, 300)]));
    assert_eq!(found.lifetime_value, BTreeMap::from([(USD, 4_000), (eur, 300)]));
    assert_eq!(found.refunded_total, BTreeMap::from([(USD, 1_450)]));
    assert_eq!((found.first_order_at, found.last_order_at), (Some(EventTime(10)), Some(EventTime(30))));
}

#[test]
fn rec_c18_a_thousand_orders_of_several_rows_each_are_what_the_live_totals_say() {
    let mut orders = Vec::new();
    for n in 0..1_000_i64 {
        let refunds: Vec<(i64, i64)> = (0..n % 3).map(|r| (n * 10 + r, 100 + r)).collect();
        let currency = if n % 13 == 0 { Currency::parse("EUR").unwrap() } else { USD };
        let total = Money::new(1_000 + n, currency);
        let mut order = view(&n.to_string(), (n % 37) as u128, n * 7 % 1_000, total, &refunds);
        order.cancelled_at = (n % 11 == 0).then_some(EventTime(n));
        // Some of them still wait for their rate; what is in base needs none.
        let is_known = currency != USD && n % 3 > 0;
        order.settle_base(USD, is_known.then(|| Rate::parse("1.0842").unwrap()));
        orders.push(order);
    }
    let of = |who: u128| -> Vec<View> {
        orders.iter().filter(|order| order.person_id == Some(PersonId(who))).cloned().collect()
    };
    let reported = |who: u128| Reported {
        orders_count: who.is_multiple_of(2).then_some(who as i64),
        orders_count_at: Some(EventTime(500)),
        total_spent: who.is_multiple_of(3).then_some(usd(who as i64 * 1_000)),
        total_spent_at: Some(EventTime(400)),
        last_order_at: who.is_multiple_of(5).then_some(EventTime(2_000)),
    };
    let profiles: Vec<Profile> = (0..37).map(|who| profile(who, None, &of(who), reported(who))).collect();
    let mut read = books(&orders, &profiles);
    // Earlier rows of the same orders, and then the last ones again.
    for order in &orders {
        let earlier = View { total: Some(usd(1)), refunds: BTreeMap::new(), ..order.clone() };
        read.order(format!("demo:{}", order.id).as_bytes(), Some(&earlier));
        read.order(format!("demo:{}", order.id).as_bytes(), Some(order));
    }
    assert_eq!(read.differences(None).unwrap(), []);
    assert_eq!((read.people(None), read.orders(None)), (37, 1_000));
}

#[test]
fn a_live_total_that_is_a_cent_off_is_found_with_its_field() {
    let orders = [view("a", 1, 10, usd(5_000), &[])];
    let right = profile(1, None, &orders, Reported::default());
    let mut wrong = right.clone();
    wrong.total_spent_by_currency.insert(USD, 5_001);
    assert_eq!(books(&orders, std::slice::from_ref(&right)).differences(None).unwrap(), []);
    let found = books(&orders, &[wrong]).differences(None).unwrap();
    assert_eq!(fields(&found), ["total_spent_by_currency"]);
    assert_eq!((&found[0].live, &found[0].recomputed), (&json!({"USD": 5_001}), &json!({"USD": 5_000})));
    assert_eq!(books(&orders, &[right]).differences(Some("other")).unwrap(), []);
}

#[test]
fn a_total_in_base_that_is_a_cent_off_is_found_and_holds_what_the_rates_made_of_other_currencies() {
    let euros = Money::new(1_000, Currency::parse("EUR").unwrap());
    let mut order = view("a", 1, 10, euros, &[(11, 100)]);
    order.settle_base(USD, Some(Rate::parse("1.5").unwrap()));
    let orders = [order, view("b", 1, 20, usd(7), &[])];
    let right = profile(1, None, &orders, Reported::default());
    assert_eq!((right.total_spent, right.lifetime_value), (usd(1_507), usd(1_357)));
    assert_eq!(books(&orders, std::slice::from_ref(&right)).differences(None).unwrap(), []);
    let wrong = Profile { lifetime_value: usd(1_356), ..right };
    let found = books(&orders, &[wrong]).differences(None).unwrap();
    assert_eq!(fields(&found), ["lifetime_value"]);
    assert_eq!((&found[0].live, &found[0].recomputed), (&json!(1_356), &json!(1_357)));
}

#[test]
fn an_order_without_its_profile_and_a_profile_without_its_order_are_found() {
    let orders = [view("a", 1, 10, usd(5_000), &[])];
    let live = profile(1, None, &orders, Reported::default());
    assert!(fields(&books(&orders, &[]).differences(None).unwrap()).contains(&"orders_count"));
    assert!(
        fields(&books(&[], std::slice::from_ref(&live)).differences(None).unwrap()).contains(&"orders_count")
    );
    // A forwarding record is nobody's profile any more, and a tombstone neither.
    let moved = Profile { merged_into: Some(PersonId(2)), ..live.clone() };
    assert_eq!(books(&[], &[live.clone(), moved]).differences(None).unwrap(), []);
    let mut gone = books(&orders, std::slice::from_ref(&live));
    gone.order(b"demo:a", None);
    gone.profile(format!("demo:{}", live.person_id).as_bytes(), None);
    assert_eq!((gone.differences(None).unwrap(), gone.people(None)), (vec![], 0));
}

#[test]
fn the_file_has_the_books_alone_and_the_narrower_query_beside_them() {
    let mut partly = view("b", 1, 20, usd(700), &[(21, 100)]);
    partly.financial_status = Some(FinancialStatus::PartiallyRefunded);
    let orders = [
        view("a", 1, 10, usd(5_000), &[]),
        partly,
        view("c", 2, 10, usd(1), &[]),
        view("d", 3, 10, usd(1), &[]),
        view("e", 4, 10, Money::new(1, Currency::parse("EUR").unwrap()), &[]),
        view("f", 5, 10, usd(1), &[]),
    ];
    let reported = Reported {
        total_spent: Some(usd(90_000)),
        total_spent_at: Some(EventTime(1)),
        ..Reported::default()
    };
    let profiles = [
        profile(1, Some("Ada@Example.com"), &orders[..2], reported),
        profile(2, Some("shared@example.com"), &orders[2..3], Reported::default()),
        profile(3, Some("shared@example.com"), &orders[3..4], Reported::default()),
        profile(4, Some("euro@example.com"), &orders[4..5], Reported::default()),
        profile(5, None, &orders[5..], Reported::default()),
    ];
    let found = books(&orders, &profiles).rows("demo").unwrap();
    let row = Row {
        email: "ada@example.com".to_owned(),
        ltv: usd(5_700),
        order_count: 2,
        last_order_at: Some(EventTime(20)),
        paid_only_ltv: usd(5_000),
        paid_only_order_count: 1,
        paid_only_last_order_at: Some(EventTime(10)),
    };
    assert_eq!(found, Rows { rows: vec![row], without_email: 3, in_other_currencies: 1 });
    let file = crate::recompute::csv(&found).unwrap();
    let mut read = sources::records::import::profiles(&file, Some(EventTime(30))).unwrap();
    let batch = read.next().unwrap();
    assert_eq!((batch.lines.len(), batch.bad.len()), (1, 0), "{:?}", batch.bad);
}
