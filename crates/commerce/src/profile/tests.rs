use super::*;
use crate::fx::Rate;

fn usd(minor: i64) -> Money {
    Money::new(minor, Currency::USD)
}

fn share(placed_at: i64, minor: i64, refunds: &[(i64, i64)]) -> Share {
    Share {
        placed_at: EventTime(placed_at),
        total: usd(minor),
        cancelled: false,
        paid: refunds.is_empty(),
        refunds: refunds.iter().map(|(at, minor)| (EventTime(*at), *minor)).collect(),
        total_in_base: None,
        net_in_base: None,
        back_in_base: vec![],
    }
}

/// Count, gross and net of a person with these orders and reports.
fn totals(shares: Vec<Share>, reported: Reported) -> (i64, i64, i64, Vec<String>) {
    let mut rollup = Rollup::default();
    for share in &shares {
        let back: i64 = share.refunds.iter().map(|(_, minor)| *minor).sum();
        let sums = rollup.by_currency.entry(Currency::USD).or_default();
        sums.orders += 1;
        sums.spent += share.total.minor;
        sums.lifetime += share.total.minor - back;
        sums.refunded += back;
    }
    let later = Since::of(&reported, Currency::USD).map(|since| Later::of(&shares, &since));
    let known = Known { rollup, later: later.unwrap_or_default(), reported, ..Known::default() };
    let workspace = WorkspaceId::try_new("demo").unwrap();
    let profile = Profile::new(workspace, PersonId(1), known, Currency::USD, ReceivedTime(0));
    (profile.orders_count, profile.total_spent.minor, profile.lifetime_value.minor, profile.flags)
}

fn report(at: i64, orders: i64, spent: i64) -> Reported {
    Reported {
        orders_count: Some(orders),
        orders_count_at: Some(EventTime(at)),
        total_spent: Some(usd(spent)),
        total_spent_at: Some(EventTime(at)),
        last_order_at: None,
    }
}

#[test]
fn a_reported_total_is_the_base_and_what_was_placed_later_is_added() {
    let orders = || vec![share(10, 1000, &[]), share(20, 1000, &[(30, 200)])];
    assert_eq!(totals(orders(), Reported::default()), (2, 2000, 1800, vec![]));
    // The order that carried the report is in it; a refund after it lowers the net alone.
    assert_eq!(totals(orders(), report(20, 5, 50_000)), (5, 50_000, 49_800, vec![]));
    assert_eq!(totals(orders(), report(10, 5, 50_000)), (6, 51_000, 50_800, vec![]));
}

#[test]
fn a_number_alone_replaces_itself_alone_and_a_zero_is_not_believed() {
    let orders = || vec![share(10, 1000, &[])];
    let count = Reported { total_spent: None, ..report(10, 7, 0) };
    assert_eq!(totals(orders(), count), (7, 1000, 1000, vec![]));
    let suspect = vec!["reported_total_suspect".to_owned()];
    assert_eq!(totals(orders(), report(10, 0, 0)), (1, 1000, 1000, suspect));
    assert_eq!(totals(vec![], report(10, 0, 0)), (0, 0, 0, vec![]));
}

#[test]
fn orders_in_another_currency_count_in_base_once_all_their_rates_are_known() {
    let eur = |minor| Money::new(minor, Currency::parse("EUR").unwrap());
    let view = |minor, rate: Option<&str>| {
        let mut view = View {
            person_id: Some(PersonId(1)),
            counted: true,
            counted_at: Some(EventTime(5)),
            total: Some(eur(minor)),
            net: Some(eur(minor)),
            ..View::default()
        };
        view.settle_base(Currency::USD, rate.map(|rate| Rate::parse(rate).unwrap()));
        view
    };
    let profile = |views: &[View]| {
        let mut known = Known::default();
        for view in views {
            let contribution = Contribution::of(view, PersonId(1)).unwrap();
            known.rollup.apply(&contribution, 1).unwrap();
        }
        let workspace = WorkspaceId::try_new("demo").unwrap();
        Profile::new(workspace, PersonId(1), known, Currency::USD, ReceivedTime(0))
    };
    let waiting = profile(&[view(1_000, Some("1.1")), view(2_000, None)]);
    assert_eq!(
        (waiting.orders_count, waiting.total_spent, waiting.flags),
        (2, usd(1_100), vec![FX_MISSING.into()])
    );
    let known = profile(&[view(1_000, Some("1.1")), view(2_000, Some("1.2"))]);
    assert_eq!((known.total_spent, known.aov, known.flags), (usd(3_500), Some(usd(1_750)), vec![]));
    assert_eq!(known.total_spent_by_currency, BTreeMap::from([(eur(0).currency, 3_000)]));
    let mut rollup = Rollup::default();
    let contribution = Contribution::of(&view(1_000, Some("1.1")), PersonId(1)).unwrap();
    rollup.apply(&contribution, 1).unwrap();
    rollup.apply(&contribution, -1).unwrap();
    assert_eq!(rollup, Rollup::default());
}

fn in_euro(placed_at: i64, minor: i64, refunds: &[(i64, i64)], rate: Option<&str>) -> View {
    let eur = |minor| Money::new(minor, Currency::parse("EUR").unwrap());
    let back: i64 = refunds.iter().map(|(_, minor)| *minor).sum();
    let ids = || refunds.iter().map(|(at, _)| format!("r{at}"));
    let mut view = View {
        counted: true,
        counted_at: Some(EventTime(placed_at)),
        placed_at: Some(EventTime(placed_at)),
        total: Some(eur(minor)),
        refunds: ids().zip(refunds.iter().map(|(_, minor)| eur(*minor))).collect(),
        refund_times: ids().zip(refunds.iter().map(|(at, _)| EventTime(*at))).collect(),
        refunded_total: Some(eur(back)),
        net: Some(eur(minor - back)),
        ..View::default()
    };
    view.settle_base(Currency::USD, rate.map(|rate| Rate::parse(rate).unwrap()));
    view
}

fn profile_of(views: &[View], reported: Reported) -> Profile {
    let mut known = Known { reported, ..Known::default() };
    let since = Since::of(&known.reported, Currency::USD);
    for view in views {
        let contribution = Contribution::of(view, PersonId(1)).unwrap();
        known.rollup.apply(&contribution, 1).unwrap();
        since.iter().for_each(|since| known.later.apply(&Share::of(view, &contribution), since, 1));
    }
    let workspace = WorkspaceId::try_new("demo").unwrap();
    Profile::new(workspace, PersonId(1), known, Currency::USD, ReceivedTime(0))
}

#[test]
fn a_refund_of_an_order_in_another_currency_after_a_report_lowers_the_lifetime_value() {
    // One refund was before the report and is in it; the order of later brings its own.
    let views =
        [in_euro(10, 1000, &[(15, 100), (30, 200)], Some("1.5")), in_euro(25, 400, &[(40, 100)], Some("2"))];
    let profile = profile_of(&views, report(20, 7, 50_000));
    assert_eq!((profile.orders_count, profile.total_spent.minor), (8, 50_000 + 800));
    assert_eq!(profile.lifetime_value.minor, 50_000 - 300 + 800 - 200);
}

#[test]
fn the_mean_is_over_the_orders_whose_amounts_are_in_the_total_while_a_rate_is_missing() {
    // The one that waits is in the reported total.
    let profile = profile_of(
        &[in_euro(10, 1000, &[], None), in_euro(15, 1000, &[], Some("1.1"))],
        report(20, 10, 50_000),
    );
    assert_eq!((profile.orders_count, profile.aov), (10, Some(usd(5_000))));
    // That which came later isn't.
    let profile =
        profile_of(&[in_euro(10, 1000, &[], None), in_euro(25, 1000, &[], None)], report(20, 10, 50_000));
    assert_eq!((profile.orders_count, profile.aov), (11, Some(usd(5_000))));
    let profile = profile_of(&[in_euro(25, 1000, &[], Some("1.1"))], report(20, 10, 50_000));
    assert_eq!((profile.orders_count, profile.aov), (11, Some(usd(4_645))));
}

#[test]
fn a_mean_rounds_half_away_from_zero() {
    assert_eq!(mean(5, 2), Some(3));
    assert_eq!(mean(-5, 2), Some(-3));
    assert_eq!(mean(4, 3), Some(1));
    assert_eq!(mean(i64::MAX, 1), Some(i64::MAX));
    assert_eq!(mean(1, 0), None);
}
