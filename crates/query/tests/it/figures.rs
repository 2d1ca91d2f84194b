//! The aggregator's cells and the reports over them against a recomputation from the orders as they are in the end.
//! Without Kafka: facts go through the stage's own processor, its records through the service's own working copy.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use aggregator::{Aggregator, PLAN};
use commerce::event::{Campaign, Context, Item, Origin};
use commerce::order::View;
use commerce::time::{DAY, Day};
use commerce::{Currency, EventName, EventTime, Fact, Money, PersonId, ReceivedTime, Source, WorkspaceId};
use proptest::prelude::*;
use query::range::{Asked, Range};
use query::reports::{Question, Report, attribution, cohorts, top_products};
use query::snapshot::{Published, Working};
use serde_json::Value;
use service::stage::{Parts, harness};
use sources::{WorkspaceConfig, Workspaces};
use stream::Record;
use topics::{Schemas, Topic};

const FIRST: i64 = 20_500;
const DAYS: i64 = 10;

/// What the service knows after some facts.
struct Known(Arc<Published>);

/// Folds the chains of orders, each a list of views.
fn fold(orders: &[Vec<View>]) -> Known {
    let workspaces = Workspaces::from_configs([WorkspaceConfig::development()]).unwrap();
    let parts = Parts { workspaces: Arc::new(workspaces), schemas: Schemas::offline(), event_partitions: 1 };
    let mut stage = harness(&PLAN, Aggregator::new(&parts, Duration::ZERO).unwrap());
    let encoder = parts.schemas.encoder(Topic::Facts).unwrap();
    let mut decoder = parts.schemas.decoder();
    let (published, mut working) = (Arc::new(Published::default()), Working::default());
    let longest = orders.iter().map(Vec::len).max().unwrap_or_default();
    // The chains are woven together: the first fact of each, then the second of each.
    for step in 0..longest {
        for views in orders {
            let Some(after) = views.get(step) else { continue };
            let before = step.checked_sub(1).map(|step| views[step].clone());
            let mut bytes = Vec::new();
            encoder.encode(&fact(before, after.clone()), &mut bytes).unwrap();
            stage.process(&Record::new(Topic::Facts.name(), 0, 0, b"demo", &bytes)).unwrap();
        }
        for (_, _, key, value) in stage.commit(0).unwrap() {
            let metric = value.map(|value| decoder.decode(&value).unwrap());
            working.metric(&key, metric.as_ref()).unwrap();
        }
    }
    working.publish(&published);
    Known(published)
}

impl Known {
    fn report(&self, report: Report, source: Option<Source>, limit: usize) -> Value {
        let snapshot = self.0.snapshot();
        let days = |day: i64| Day(i32::try_from(day).unwrap()).to_string();
        let (start, end) = (days(FIRST), days(FIRST + DAYS - 1));
        let asked = Asked { days: None, start: Some(&start), end: Some(&end) };
        let range = Range::read(asked, Day(i32::try_from(FIRST + DAYS - 1).unwrap()), None).unwrap();
        let question = Question {
            exclude_flagged: false,
            hourly: false,
            ordered: None,
            cells: snapshot.workspace("demo").map(|workspace| &workspace.cells),
            range,
            base: Currency::USD,
            currency: None,
            source,
            limit,
            attribution: attribution::Asked { model: attribution::Model::TimeDecay, window: 7 },
            cohorts: cohorts::Asked::default(),
        };
        serde_json::from_slice(&report.json(&question).unwrap()).unwrap()
    }

    /// A list of a report as text by text: its columns joined, numbers in minor units.
    fn lines(&self, report: Report, source: Option<Source>) -> Vec<String> {
        let answer = self.report(report, source, top_products::GREATEST_LIMIT);
        let table = report.table(false);
        let line = |row: &Value| {
            let cell = |name: &&str| match &row[*name] {
                Value::String(text) => text.clone(),
                number if matches!(*name, "revenue" | "avg_discount") => cents(number).to_string(),
                number => number.to_string(),
            };
            table.columns.iter().map(cell).collect::<Vec<_>>().join("|")
        };
        answer[table.rows.unwrap()].as_array().unwrap().iter().map(line).collect()
    }
}

/// An amount of a report in minor units, by its text.
fn cents(number: &Value) -> i128 {
    let text = number.to_string();
    let (whole, part) = text.split_once('.').unwrap_or((&text, ""));
    format!("{whole}{part:0<2}").parse().unwrap()
}

fn fact(before: Option<View>, after: View) -> Fact {
    Fact {
        event_id: String::new(),
        event: EventName::OrderUpdated,
        schema_version: 1,
        workspace: WorkspaceId::try_new("demo").unwrap(),
        environment: "production".to_owned(),
        source: Source::Shopify,
        source_space: String::new(),
        source_event: String::new(),
        occurred_at: EventTime(0),
        received_at: ReceivedTime(0),
        entity_type: "order".to_owned(),
        entity_id: after.id.clone(),
        order_id: Some(after.id.clone()),
        person_id: after.person_id,
        before,
        after: Some(after),
        refund: None,
        activity: None,
        group: None,
        payment: None,
        subscription: None,
        properties: BTreeMap::new(),
        flags: Vec::new(),
        origin: Origin::live(),
        trigger_eligible: false,
        qa: false,
        fraud: None,
        from_person_id: None,
    }
}

fn word(words: &'static [&'static str]) -> impl Strategy<Value = Option<String>> {
    proptest::option::of(proptest::sample::select(words).prop_map(str::to_owned))
}

fn usd(range: std::ops::Range<i64>) -> impl Strategy<Value = Money> {
    range.prop_map(|minor| Money::new(minor, Currency::USD))
}

fn item() -> impl Strategy<Value = Item> {
    let id = word(&["p1", "p2", "p3"]);
    let parts = (id, word(&["s1"]), word(&["Nano", "Nano 2", "Case"]), 0_i64..5);
    (parts, proptest::option::of(usd(0..5_000)), proptest::option::of(usd(0..500))).prop_map(
        |((product_id, sku, title, quantity), price, discount)| Item {
            product_id,
            variant_id: None,
            sku,
            title,
            variant_title: None,
            quantity,
            price,
            discount,
            category: None,
            brand: None,
            allocations: Vec::new(),
        },
    )
}

/// One view of an order; two of them needn't have anything in common.
fn view() -> impl Strategy<Value = View> {
    let campaign = (word(&["spring", "a,b=c"]), word(&["mail", "ad"]), word(&["cpc"]))
        .prop_map(|(campaign, source, medium)| Campaign { campaign, source, medium, referrer: None });
    let context = (word(&["mobile", "desktop"]), word(&["ios", "web"]), word(&["DE", "US"]))
        .prop_map(|(device, platform, country)| Context { device, platform, country });
    let money = (
        proptest::option::of((0_i64..20_000, proptest::bool::weighted(0.8))),
        proptest::option::of(usd(0..900)),
        proptest::collection::btree_map("r[0-3]", (0_i64..3_000, 0_i64..DAYS + 70), 0..3),
    );
    let about = (
        proptest::option::of(0_u128..3),
        proptest::sample::select(vec![Source::Shopify, Source::Analytics]),
        proptest::option::of(campaign),
        proptest::option::of(context),
        word(&["FR"]),
        proptest::collection::vec(proptest::sample::select(vec!["vip", "VIP", "Spring"]), 0..3),
    );
    let rest = (
        proptest::collection::vec(item(), 0..4),
        -2_i64..DAYS + 2,
        proptest::bool::weighted(0.8),
        proptest::bool::weighted(0.1),
    );
    (money, about, rest).prop_map(
        |((total, discount, refunds), (person, source, campaign, context, country, codes), rest)| {
            let (items, day, paid, qa) = rest;
            let currency = |usd: bool| if usd { Currency::USD } else { Currency::parse("EUR").unwrap() };
            let total = total.map(|(minor, is_usd)| Money::new(minor, currency(is_usd)));
            let own = total.map_or(Currency::USD, |total| total.currency);
            View {
                person_id: person.map(PersonId),
                source: Some(source),
                counted: paid && !qa,
                counted_at: paid.then_some(EventTime((FIRST + day) * DAY + 5)),
                total,
                discount_total: discount.map(|money| Money::new(money.minor, own)),
                item_count: items.iter().map(|item| item.quantity).sum(),
                items,
                refunds: refunds
                    .iter()
                    .map(|(id, (minor, _))| (id.clone(), Money::new(*minor, own)))
                    .collect(),
                refund_times: refunds
                    .into_iter()
                    .map(|(id, (_, day))| (id, EventTime((FIRST + day) * DAY)))
                    .collect(),
                coupon_codes: codes.into_iter().map(str::to_owned).collect(),
                campaign,
                country,
                context,
                qa,
                ..View::default()
            }
        },
    )
}

fn chains() -> impl Strategy<Value = Vec<Vec<View>>> {
    let chain = proptest::collection::vec(view(), 1..4);
    proptest::collection::vec(chain, 0..8).prop_map(|mut orders| {
        for (n, views) in orders.iter_mut().enumerate() {
            views.iter_mut().for_each(|view| view.id = format!("o{n}"));
        }
        orders
    })
}

/// Orders as they are in the end that count in US dollars within the range, of a source.
fn purchases(orders: &[Vec<View>], source: Option<Source>) -> Vec<&View> {
    let counts = |view: &&View| {
        let at = view.counted_at.map_or(i64::MIN, |at| at.0);
        view.counted
            && (FIRST * DAY..(FIRST + DAYS) * DAY).contains(&at)
            && view.total.is_some_and(|total| total.currency == Currency::USD)
            && (source.is_none() || view.source == source)
    };
    orders.iter().filter_map(|views| views.last()).filter(counts).collect()
}

/// Groups sums by text, then puts them in the order of the contract.
fn grouped(rows: impl IntoIterator<Item = (String, Vec<i128>)>) -> Vec<(String, Vec<i128>)> {
    let mut sums: BTreeMap<String, Vec<i128>> = BTreeMap::new();
    for (text, values) in rows {
        let sum = sums.entry(text).or_insert_with(|| vec![0; values.len()]);
        sum.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
    }
    let mut rows: Vec<_> = sums.into_iter().collect();
    rows.sort_by_key(|(_, values)| std::cmp::Reverse(values[0]));
    rows
}

fn gross(view: &View) -> i128 {
    view.total.map_or(0, |total| i128::from(total.minor))
}

fn or(text: Option<&String>, absent: &str) -> String {
    text.cloned().unwrap_or_else(|| absent.to_owned())
}

/// What the reports must say, line by line.
fn expected(report: Report, orders: &[Vec<View>], source: Option<Source>) -> Vec<String> {
    let bought = purchases(orders, source);
    let by = |text: &dyn Fn(&View) -> String| {
        grouped(bought.iter().map(|view| (text(view), vec![gross(view), 1])))
            .into_iter()
            .map(|(text, sums)| format!("{text}|{}|{}", sums[0], sums[1]))
            .collect::<Vec<_>>()
    };
    let context = |view: &View| view.context.clone().unwrap_or_default();
    match report {
        Report::RevenueByDevice => by(&|view| or(context(view).device.as_ref(), "unknown")),
        Report::RevenueByPlatform => by(&|view| or(context(view).platform.as_ref(), "unknown")),
        Report::RevenueByCountry => {
            by(&|view| or(view.country.as_ref().or(context(view).country.as_ref()), "unknown"))
        }
        Report::RevenueByChannel => by(&|view| {
            let campaign = view.campaign.clone().unwrap_or_default();
            let words = [&campaign.campaign, &campaign.source, &campaign.medium];
            words.map(|word| or(word.as_ref(), "(none)")).join("|")
        })
        .into_iter()
        // Whoever was seen has bought: there are only orders here.
        .map(|line| line + "|100.0")
        .collect(),
        Report::RevenueByCoupon => {
            let used = bought.iter().flat_map(|view| {
                let codes: BTreeSet<String> =
                    view.coupon_codes.iter().map(|code| code.to_uppercase()).collect();
                let discount = view.discount_total.map_or(0, |money| i128::from(money.minor));
                codes.into_iter().map(move |code| (code, vec![gross(view), 1, discount]))
            });
            let line = |(code, sums): (String, Vec<i128>)| {
                // Half up, of sums that are never negative here.
                let average = (2 * sums[2] + sums[1]) / (2 * sums[1]);
                format!("{code}|{}|{}|{average}", sums[0], sums[1])
            };
            grouped(used).into_iter().map(line).collect()
        }
        Report::TopProducts => {
            let id = |item: &Item| item.product_id.clone().or_else(|| item.sku.clone());
            let sold = bought.iter().flat_map(|view| {
                let mut lines: BTreeMap<String, Vec<i128>> = BTreeMap::new();
                for item in &view.items {
                    let Some(id) = id(item) else { continue };
                    let sums = lines.entry(id).or_insert_with(|| vec![0, 0, 1]);
                    let minor = |money: Option<Money>| money.map_or(0, |money| i128::from(money.minor));
                    if item.price.is_some() {
                        sums[0] += minor(item.price) * i128::from(item.quantity) - minor(item.discount);
                    }
                    sums[1] += i128::from(item.quantity);
                }
                lines
            });
            // The name is the latest of all purchases, whatever their range, currency or source.
            let mut names: BTreeMap<String, (EventTime, String, String)> = BTreeMap::new();
            for view in orders.iter().filter_map(|views| views.last()) {
                let (true, Some(at), Some(_)) = (view.counted, view.counted_at, view.total) else { continue };
                for item in &view.items {
                    if let (Some(id), Some(title)) = (id(item), &item.title) {
                        let latest = names.entry(id).or_insert((at, String::new(), String::new()));
                        if (at, &view.id) >= (latest.0, &latest.1) {
                            *latest = (at, view.id.clone(), title.clone());
                        }
                    }
                }
            }
            let line = |(id, sums): (String, Vec<i128>)| {
                let name = names.get(&id).map_or("", |(_, _, title)| title.as_str());
                format!("{id}|{name}|{}|{}|{}", sums[0], sums[1], sums[2])
            };
            grouped(sold).into_iter().map(line).collect()
        }
        _ => unreachable!("not a breakdown"),
    }
}

const BREAKDOWNS: [Report; 6] = [
    Report::TopProducts,
    Report::RevenueByChannel,
    Report::RevenueByCoupon,
    Report::RevenueByDevice,
    Report::RevenueByPlatform,
    Report::RevenueByCountry,
];
const SOURCES: [Option<Source>; 3] = [None, Some(Source::Shopify), Some(Source::Analytics)];

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn ana_c13_every_report_equals_a_recomputation_from_the_orders(orders in chains()) {
        let known = fold(&orders);
        for source in SOURCES {
            for report in BREAKDOWNS {
                prop_assert_eq!(known.lines(report, source), expected(report, &orders, source), "{:?}", report);
            }
            let overview = known.report(Report::Overview, source, 0);
            let bought = purchases(&orders, source);
            let revenue: i128 = bought.iter().map(|view| gross(view)).sum();
            let refunds: Vec<i128> = orders
                .iter()
                .filter_map(|views| views.last())
                .filter(|view| !view.qa && (source.is_none() || view.source == source))
                .flat_map(|view| view.refunds.iter().map(|(id, money)| (view.refund_times[id], money)))
                .filter(|(at, money)| {
                    money.currency == Currency::USD && (FIRST * DAY..(FIRST + DAYS) * DAY).contains(&at.0)
                })
                .map(|(_, money)| i128::from(money.minor))
                .collect();
            let refunded: i128 = refunds.iter().sum();
            let items: i64 = bought.iter().map(|view| view.item_count).sum();
            prop_assert_eq!(cents(&overview["total_revenue"]), revenue);
            prop_assert_eq!(cents(&overview["refund_amount"]), refunded);
            prop_assert_eq!(cents(&overview["net_revenue"]), revenue - refunded);
            prop_assert_eq!(&overview["total_orders"], &Value::from(bought.len()));
            prop_assert_eq!(&overview["total_refunds"], &Value::from(refunds.len()));
            prop_assert_eq!(&overview["total_items_sold"], &Value::from(items));
            // Whatever the currency: a purchase is one in the funnel too.
            let within = |at: EventTime| (FIRST * DAY..(FIRST + DAYS) * DAY).contains(&at.0);
            let buyers: BTreeSet<String> = orders
                .iter()
                .filter_map(|views| views.last())
                .filter(|view| view.counted && !view.qa && view.total.is_some())
                .filter(|view| view.counted_at.is_some_and(within))
                .filter(|view| source.is_none() || view.source == source)
                .map(|view| view.person_id.map_or_else(|| view.id.clone(), |person| person.to_string()))
                .collect();
            let funnel = known.report(Report::Funnel, source, 0);
            prop_assert_eq!(&funnel["steps"][5]["count"], &Value::from(buyers.len()));
        }
    }

    #[test]
    fn ana_c18_channel_device_platform_and_country_each_sum_to_the_total_revenue(orders in chains()) {
        let known = fold(&orders);
        for source in SOURCES {
            let overview = known.report(Report::Overview, source, 0);
            for report in [
                Report::RevenueByChannel,
                Report::RevenueByDevice,
                Report::RevenueByPlatform,
                Report::RevenueByCountry,
                Report::RevenueTimeseries,
            ] {
                let answer = known.report(report, source, 0);
                let rows = answer[report.table(false).rows.unwrap()].as_array().unwrap();
                let sum: i128 = rows.iter().map(|row| cents(&row["revenue"])).sum();
                prop_assert_eq!(sum, cents(&overview["total_revenue"]), "{:?}", report);
                let orders: i64 = rows.iter().map(|row| row["orders"].as_i64().unwrap()).sum();
                prop_assert_eq!(&Value::from(orders), &overview["total_orders"], "{:?}", report);
            }
            let answer = known.report(Report::Attribution, source, 0);
            let credited = answer["attributed"].as_array().unwrap().iter().chain([&answer["unattributed"]]);
            let sum: i128 = credited.map(|row| cents(&row["revenue"])).sum();
            prop_assert_eq!(sum, cents(&overview["total_revenue"]));
        }
    }
}

#[test]
fn ana_c05_an_order_of_nothing_is_an_order() {
    let free = View {
        id: "o0".to_owned(),
        source: Some(Source::Analytics),
        counted: true,
        counted_at: Some(EventTime(FIRST * DAY)),
        total: Some(Money::new(0, Currency::USD)),
        ..View::default()
    };
    let known = fold(&[vec![free]]);
    assert_eq!(known.report(Report::Overview, None, 0)["total_orders"], 1);
    assert_eq!(known.lines(Report::RevenueByCountry, None), ["unknown|0|1"]);
    assert_eq!(known.lines(Report::RevenueByChannel, None), ["(none)|(none)|(none)|0|1|100.0"]);
}

#[test]
fn ana_c12_a_currency_without_a_rate_is_in_no_list_and_is_held() {
    let yen = Currency::parse("JPY").unwrap();
    let order = View {
        id: "o0".to_owned(),
        source: Some(Source::Analytics),
        counted: true,
        counted_at: Some(EventTime(FIRST * DAY)),
        total: Some(Money::new(5_000, yen)),
        ..View::default()
    };
    let known = fold(&[vec![order]]);
    for report in BREAKDOWNS {
        let answer = known.report(report, None, 20);
        assert_eq!(answer[report.table(false).rows.unwrap()], Value::Array(Vec::new()), "{report:?}");
        assert_eq!(answer["held"]["JPY"]["orders"], 1, "{report:?}");
        assert_eq!(answer["held"]["JPY"]["revenue"], 5_000, "{report:?}");
    }
}
