use std::collections::BTreeMap;

use commerce::EventTime;
use commerce::order::Figures;
use commerce::time::{DAY, SECOND};
use proptest::prelude::*;

use crate::aggregation::samples::{line, paid};
use crate::processor::samples::Folded;

fn called(title: &str, day: i64) -> Figures {
    Figures { id: title.to_owned(), items: vec![line("A", title, 1, 10)], ..paid(10, day) }
}

/// The same at a second of its day.
fn called_at(title: &str, day: i64, second: i64) -> Figures {
    Figures { counted_at: Some(EventTime(day * DAY + second * SECOND)), ..called(title, day) }
}

#[test]
fn the_title_of_the_latest_purchase_is_the_name_whatever_comes_late() {
    let mut folded = Folded::new();
    folded.order(None, Some(&called("Second", 5)));
    assert_eq!(folded.cells("product_name"), [" A Second: "]);
    folded.order(None, Some(&called("First", 1)));
    folded.order(None, Some(&called(" ", 8)));
    assert_eq!(folded.cells("product_name"), [" A Second: "]);
    folded.order(None, Some(&called("Third", 9)));
    assert_eq!(folded.cells("product_name"), [" A Third: "]);
}

#[test]
fn a_product_that_is_renamed_at_noon_has_its_new_name_from_then_on() {
    let mut folded = Folded::new();
    for second in [7, 30_000, 43_000] {
        folded.order(None, Some(&called_at("Zebra", 1, second)));
    }
    assert_eq!(folded.cells("product_name"), [" A Zebra: "]);
    folded.order(None, Some(&called_at("Antelope", 1, 43_200)));
    assert_eq!(folded.cells("product_name"), [" A Antelope: "]);
    // Another purchase from the morning that comes late doesn't bring the old one back.
    folded.order(None, Some(&called_at("Zebra", 1, 42_000)));
    assert_eq!(folded.cells("product_name"), [" A Antelope: "]);
}

#[test]
fn a_title_that_is_taken_back_gives_way_to_the_one_before() {
    let mut folded = Folded::new();
    let (first, second) = (called("First", 1), called("Second", 5));
    folded.order(None, Some(&first));
    folded.order(None, Some(&second));
    folded.order(Some(&second), Some(&Figures { counted: false, ..second.clone() }));
    assert_eq!(folded.cells("product_name"), [" A First: "]);
    folded.order(Some(&first), Some(&Figures { items: vec![], ..first.clone() }));
    assert!(folded.cells("product_name").is_empty());
}

#[test]
fn a_purchase_whose_time_moves_takes_its_title_along() {
    let mut folded = Folded::new();
    let second = called("Second", 5);
    folded.order(None, Some(&called("First", 3)));
    folded.order(None, Some(&second));
    let earlier = Figures { counted_at: called("", 1).counted_at, ..second.clone() };
    folded.order(Some(&second), Some(&earlier));
    assert_eq!(folded.cells("product_name"), [" A First: "]);
    folded.order(Some(&earlier), Some(&second));
    assert_eq!(folded.cells("product_name"), [" A Second: "]);
    // One that says the same name again changes no record.
    folded.order(None, Some(&Figures { id: "9".into(), ..called("Second", 8) }));
    assert!(folded.metrics.values().filter(|metric| metric.metric == "product_name").count() == 1);
}

#[test]
fn what_is_kept_of_titles_does_not_grow_with_the_purchases() {
    let mut folded = Folded::new();
    for second in 0..100 {
        folded.order(None, Some(&called_at("Nano", 1 + second % 2, second)));
    }
    assert_eq!((folded.rows("titles"), folded.rows("names")), (2, 1));
}

/// What one order says over time: of at most two products a title on a second of a day, or that it doesn't count.
type Chain = Vec<Option<(Vec<(u8, u8)>, i64, i64)>>;

fn chains() -> impl Strategy<Value = Vec<Chain>> {
    let items = prop::collection::vec((0..2_u8, 0..3_u8), 0..3);
    let said = prop::option::weighted(0.8, (items, 0..3_i64, 0..4_i64));
    prop::collection::vec(prop::collection::vec(said, 1..4), 1..8)
}

fn figures(order: usize, said: &(Vec<(u8, u8)>, i64, i64)) -> Figures {
    let (items, day, second) = said;
    let items = items.iter().map(|(product, title)| line(&format!("P{product}"), &format!("T{title}"), 1, 1));
    let counted_at = Some(EventTime(day * DAY + second * SECOND));
    Figures { id: order.to_string(), items: items.collect(), counted_at, ..paid(10, *day) }
}

/// The names by the rule itself: of the last day of a product the title with the latest mean, then the greatest.
fn expected(chains: &[Chain]) -> Vec<String> {
    let mut said: BTreeMap<(String, i64), BTreeMap<String, (i128, i128)>> = BTreeMap::new();
    for (order, chain) in chains.iter().enumerate() {
        let Some(Some(last)) = chain.last() else { continue };
        let titles: BTreeMap<_, _> =
            figures(order, last).items.into_iter().map(|line| (line.product_id, line.title)).collect();
        for (product, title) in titles {
            let of_day = said.entry((product.unwrap(), last.1)).or_default();
            let times = of_day.entry(title.unwrap()).or_default();
            *times = (times.0 + 1, times.1 + i128::from(last.2));
        }
    }
    let mut names = BTreeMap::new();
    for ((product, _), titles) in said {
        // 5040 is divisible by every number of purchases that there can be.
        let name = titles.into_iter().max_by_key(|(title, (n, sum))| (sum * 5_040 / n, title.clone()));
        names.insert(product, name.unwrap().0);
    }
    names.into_iter().map(|(product, title)| format!(" {product} {title}: ")).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_names_are_the_same_in_any_order_of_orders_and_with_any_cut_of_transactions(
        chains in chains(),
        turns in prop::collection::vec((0..8_usize, any::<bool>()), 40),
    ) {
        let mut folded = Folded::new();
        let mut places = vec![0_usize; chains.len()];
        let views = |order: usize, place: usize| {
            let said = chains[order].get(place).and_then(Option::as_ref);
            said.map(|said| figures(order, said))
        };
        let all = (0..chains.len()).cycle().take(chains.len() * 4).map(|order| (order, false));
        let turns = turns.into_iter().map(|(order, cut)| (order % chains.len(), cut));
        for (order, cut) in turns.chain(all) {
            let place = places[order];
            if place < chains[order].len() {
                let before = place.checked_sub(1).and_then(|before| views(order, before));
                folded.take(before.as_ref(), views(order, place).as_ref());
                places[order] += 1;
            }
            if cut {
                folded.commit();
            }
        }
        folded.commit();
        prop_assert_eq!(folded.cells("product_name"), expected(&chains));
    }
}
