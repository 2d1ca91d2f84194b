//! A made-up year of a shop, as the records of its figures: the same each time.

use std::collections::{BTreeMap, HashMap};

use commerce::event::Origin;
use commerce::members::Members;
use commerce::order::Figures;
use commerce::time::{DAY, Day};
use commerce::{
    Currency, EventName, EventTime, Fact, Metric, Money, PersonId, ReceivedTime, Source, WorkspaceId,
};
use query::snapshot::Working;

/// How large it is.
#[derive(Clone, Copy, Debug)]
pub struct Shop {
    /// Who bought or looked.
    pub people: u32,
    /// What is sold.
    pub products: u32,
    /// In the whole year.
    pub orders: u64,
}

/// What the figures must say.
#[derive(Clone, Copy, Debug, Default)]
pub struct Known {
    /// Records that were folded.
    pub records: u64,
    /// Distinct people who bought.
    pub buyers: u64,
    /// Distinct people who looked at a product.
    pub visitors: u64,
}

/// The last day, on which the reports are asked for.
pub const LAST: Day = Day(20_788);
const DAYS: i32 = 365;
const CHANNELS: u32 = 20;
const STEPS: [&str; 6] =
    ["view_item", "add_to_cart", "view_cart", "begin_checkout", "add_payment_info", "purchase"];
/// Of a hundred visitors of a day, how many get to each step but the purchase.
const SHARES: [u64; 5] = [100, 50, 30, 30, 25];
const WINDOWS: [&str; 3] = ["30m", "24h", "7d"];

/// Numbers that look drawn and are the same each time (SplitMix64).
struct Drawn(u64);

impl Drawn {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    fn person(&mut self, people: u32) -> u32 {
        u32::try_from(self.below(people.into())).unwrap_or_default()
    }
}

type Dimensions = Vec<(&'static str, String)>;

/// The records of one day before they are folded.
#[derive(Default)]
struct Cells(HashMap<(&'static str, Dimensions), BTreeMap<&'static str, i64>>);

impl Cells {
    fn add(&mut self, metric: &'static str, dimensions: Dimensions, values: &[(&'static str, i64)]) {
        let cell = self.0.entry((metric, dimensions)).or_default();
        for (name, value) in values {
            *cell.entry(name).or_default() += value;
        }
    }
}

/// One set of a day, by chunk.
struct Set {
    metric: &'static str,
    dimensions: Dimensions,
    chunks: Vec<Members>,
}

impl Set {
    fn new(metric: &'static str, dimensions: Dimensions, people: u32) -> Self {
        let chunks = people / commerce::members::CHUNK + 1;
        let chunks = vec![Members::default(); usize::try_from(chunks).unwrap_or_default()];
        Self { metric, dimensions, chunks }
    }

    fn insert(&mut self, person: u32) {
        let (chunk, place) = Members::place(person);
        if let Some(members) = usize::try_from(chunk).ok().and_then(|chunk| self.chunks.get_mut(chunk)) {
            members.insert(place);
        }
    }
}

/// Folds a year, and says what must come out.
pub fn load(working: &mut Working, workspace: &str, shop: &Shop) -> anyhow::Result<Known> {
    let mut year = Year {
        working,
        workspace: WorkspaceId::try_new(workspace).map_err(|e| anyhow::anyhow!("{e}"))?,
        shop: *shop,
        drawn: Drawn(7),
        first: vec![None; usize::try_from(shop.people)?],
        seen: vec![false; usize::try_from(shop.people)?],
        cohorts: BTreeMap::new(),
        known: Known::default(),
    };
    for product in 0..shop.products {
        let dimensions =
            vec![("item_id", product.to_string()), ("title", format!("Product number {product}"))];
        year.say("product_name", "all", "", dimensions, BTreeMap::new(), None)?;
    }
    for number in 0..DAYS {
        year.day(Day(LAST.0 - DAYS + 1 + number), number)?;
    }
    year.finish()
}

/// Changes a product, a channel and the revenue of the last day.
pub fn change(working: &mut Working, workspace: &str, beat: i64) -> anyhow::Result<()> {
    let workspace = WorkspaceId::try_new(workspace).map_err(|e| anyhow::anyhow!("{e}"))?;
    let own = || vec![("currency", "USD".to_owned()), ("source", "shopify".to_owned())];
    let mut product = own();
    product.push(("item_id", (beat % 1000).to_string()));
    let mut channel = own();
    channel.extend(channel_of(0));
    let values = [("revenue", beat + 1), ("orders", 1), ("quantity", 1)];
    for (metric, dimensions) in [("revenue_by_product", product), ("revenue_by_channel", channel)] {
        fold(working, &workspace, metric, ("day", &LAST.to_string()), dimensions, values.into(), None)?;
    }
    let values = [("gross", beat + 1), ("orders", 1)];
    // A currency that no answer has: the figures that are checked stay what they are.
    let dimensions = vec![("currency", "CHF".to_owned())];
    fold(working, &workspace, "revenue", ("day", &LAST.to_string()), dimensions, values.into(), None)
}

fn channel_of(number: u64) -> Dimensions {
    let text = |what: &str| format!("{what}-{number}");
    vec![
        ("utm_campaign", text("campaign")),
        ("utm_source", text("source")),
        ("utm_medium", "email".to_owned()),
    ]
}

struct Year<'a> {
    working: &'a mut Working,
    workspace: WorkspaceId,
    shop: Shop,
    drawn: Drawn,
    /// The month of each person's first purchase.
    first: Vec<Option<Day>>,
    seen: Vec<bool>,
    /// By month of the purchase and of the first one, minor units.
    cohorts: BTreeMap<(Day, Day), i64>,
    known: Known,
}

impl Year<'_> {
    fn say(
        &mut self,
        metric: &'static str,
        window: &str,
        start: &str,
        dimensions: Dimensions,
        values: BTreeMap<&'static str, i64>,
        members: Option<&Members>,
    ) -> anyhow::Result<()> {
        self.known.records += 1;
        fold(self.working, &self.workspace, metric, (window, start), dimensions, values, members)
    }

    fn day(&mut self, day: Day, number: i32) -> anyhow::Result<()> {
        let people = self.shop.people;
        let mut cells = Cells::default();
        let step = |step: &str, source: &str| vec![("step", step.to_owned()), ("source", source.to_owned())];
        let mut steps: Vec<Set> = STEPS[..5]
            .iter()
            .map(|name| Set::new("funnel", step(name, "analytics"), people))
            .chain([Set::new("funnel", step(STEPS[5], "shopify"), people)])
            .collect();
        let of_channel = |metric: &'static str, source: &str| -> Vec<Set> {
            let set = |number| {
                let mut dimensions = channel_of(number);
                dimensions.push(("source", source.to_owned()));
                Set::new(metric, dimensions, people)
            };
            (0..u64::from(CHANNELS)).map(set).collect()
        };
        let (mut visitors, mut buyers) =
            (of_channel("visitors", "analytics"), of_channel("buyers", "shopify"));
        let mut ordered: Vec<Set> = WINDOWS
            .iter()
            .flat_map(|window| STEPS[1..].iter().map(move |step| (window, step)))
            .map(|(window, step)| {
                let dimensions = vec![("window", (*window).to_owned()), ("step", (*step).to_owned())];
                Set::new("funnel_ordered", dimensions, people)
            })
            .collect();
        for _ in 0..people / 36 + 1 {
            let person = self.drawn.person(people);
            if let Some(seen) = self.seen.get_mut(usize::try_from(person)?) {
                *seen = true;
            }
            let got = self.drawn.below(100);
            for (set, share) in steps.iter_mut().zip(SHARES) {
                if got < share {
                    set.insert(person);
                }
            }
            let deepest = SHARES.iter().filter(|share| got < **share).count();
            if let (Some(place), window) = (deepest.checked_sub(2), self.drawn.below(3))
                && let Some(set) = ordered.get_mut(usize::try_from(window)? * 5 + place)
            {
                set.insert(person);
            }
            let channel = usize::try_from(self.drawn.below(CHANNELS.into()))?;
            visitors.get_mut(channel).into_iter().for_each(|set| set.insert(person));
        }
        let (all, days) = (self.shop.orders, i128::from(DAYS));
        let upto =
            |number: i32| u64::try_from(i128::from(all) * i128::from(number) / days).unwrap_or_default();
        for order in upto(number)..upto(number + 1) {
            let person = self.drawn.person(people);
            let channel = self.drawn.below(CHANNELS.into());
            steps.get_mut(5).into_iter().for_each(|set| set.insert(person));
            let place = usize::try_from(channel)?;
            buyers.get_mut(place).into_iter().for_each(|set| set.insert(person));
            visitors.get_mut(place).into_iter().for_each(|set| set.insert(person));
            self.order(&mut cells, day, order, person, channel)?;
        }
        let text = day.to_string();
        for ((metric, dimensions), values) in cells.0 {
            self.say(metric, "day", &text, dimensions, values, None)?;
        }
        for set in steps.into_iter().chain(visitors).chain(buyers).chain(ordered) {
            for (number, members) in set.chunks.iter().enumerate().filter(|(_, members)| members.count() > 0)
            {
                let mut dimensions = set.dimensions.clone();
                dimensions.push(("chunk", number.to_string()));
                self.say(set.metric, "day", &text, dimensions, BTreeMap::new(), Some(members))?;
            }
        }
        Ok(())
    }

    fn order(
        &mut self,
        cells: &mut Cells,
        day: Day,
        order: u64,
        person: u32,
        channel: u64,
    ) -> anyhow::Result<()> {
        let minor = i64::try_from(self.drawn.below(20_000))? + 100;
        let euro = self.drawn.below(5) == 0;
        let base = minor * 11 / 10;
        let mut units: Vec<(Dimensions, i64)> = Vec::new();
        if euro {
            units.push((vec![("currency", "EUR".to_owned())], minor));
            units.push((vec![("currency", "EUR".to_owned()), ("base", "USD".to_owned())], base));
            let dimensions =
                [units.last().map(|(unit, _)| unit.clone()).unwrap_or_default(), of_source()].concat();
            cells.add("converted", dimensions, &[("gross", minor), ("orders", 1)]);
        } else {
            units.push((vec![("currency", "USD".to_owned())], minor));
        }
        let lines: Vec<u64> =
            (0..1 + self.drawn.below(2)).map(|_| self.drawn.below(self.shop.products.into())).collect();
        let (place, coupon, flagged) =
            (self.drawn.below(30), self.drawn.below(150), self.drawn.below(500) == 0);
        for (unit, minor) in &units {
            let whole = [("gross", *minor), ("orders", 1), ("items", 2), ("tax", minor / 5)];
            let part = [("revenue", *minor), ("orders", 1)];
            let with =
                |name: &'static str, value: String| [unit.clone(), of_source(), vec![(name, value)]].concat();
            cells.add("revenue", unit.clone(), &whole);
            cells.add("revenue_by_source", [unit.clone(), of_source()].concat(), &whole);
            if flagged {
                cells.add("flagged_revenue", unit.clone(), &whole);
            }
            for line in &lines {
                let values = [("revenue", minor / 2), ("orders", 1), ("quantity", 1)];
                cells.add("revenue_by_product", with("item_id", line.to_string()), &values);
            }
            let of_channel = [unit.clone(), of_source(), channel_of(channel)].concat();
            cells.add("revenue_by_channel", of_channel.clone(), &part);
            let credits = [
                ("last_click_30_revenue", *minor),
                ("last_click_30_orders", 1),
                ("time_decay_90_revenue", *minor),
                ("time_decay_90_orders", 1),
            ];
            cells.add("attribution", of_channel, &credits);
            cells.add("revenue_by_country", with("country", format!("C{place}")), &part);
            cells.add("revenue_by_device", with("device", format!("device-{}", place % 4)), &part);
            cells.add("revenue_by_platform", with("platform", format!("platform-{}", place % 5)), &part);
            if coupon < 50 {
                let values = [("revenue", *minor), ("orders", 1), ("discount", 100)];
                cells.add("revenue_by_coupon", with("coupon", format!("CODE{coupon}")), &values);
            }
        }
        let abandoned = i64::from(place > 12);
        let carts = [("opened", 2), ("completed", 1), ("abandoned", abandoned)];
        cells.add("carts", vec![("source", "analytics".to_owned())], &carts);
        let month = day.first_of_month();
        if let Some(first) = self.first.get_mut(usize::try_from(person)?) {
            let first = *first.get_or_insert(month);
            *self.cohorts.entry((month, first)).or_default() += if euro { base } else { minor };
        }
        let at = EventTime(i64::from(day.0) * DAY + i64::try_from(order % 86_400)?);
        self.fact(order, person, at, Money::new(minor, Currency::USD))
    }

    /// The fact by which the purchase is in the person's journey.
    fn fact(&mut self, order: u64, person: u32, at: EventTime, total: Money) -> anyhow::Result<()> {
        let person_id = Some(PersonId(person.into()));
        let after = Figures {
            id: order.to_string(),
            source: Some(Source::Shopify),
            counted: true,
            counted_at: Some(at),
            total: Some(total),
            person_id,
            ..Figures::default()
        };
        let fact = Fact {
            event_id: order.to_string(),
            event: EventName::OrderPaid,
            schema_version: 1,
            workspace: self.workspace.clone(),
            environment: String::new(),
            source: Source::Shopify,
            source_space: String::new(),
            source_event: String::new(),
            occurred_at: at,
            received_at: ReceivedTime(at.0),
            entity_type: "order".to_owned(),
            entity_id: after.id.clone(),
            order_id: Some(after.id.clone()),
            person_id,
            before: None,
            after: Some(after),
            refund: None,
            activity: None,
            group: None,
            payment: None,
            subscription: None,
            properties: [].into(),
            flags: Vec::new(),
            origin: Origin::live(),
            trigger_eligible: false,
            qa: false,
            fraud: None,
            from_person_id: None,
        };
        Ok(self.working.fact(&fact)?)
    }

    fn finish(mut self) -> anyhow::Result<Known> {
        let mut users: BTreeMap<Day, i64> = BTreeMap::new();
        for month in self.first.iter().flatten() {
            *users.entry(*month).or_default() += 1;
        }
        self.known.buyers = u64::try_from(users.values().sum::<i64>())?;
        self.known.visitors = self.seen.iter().filter(|seen| **seen).count() as u64;
        for (month, count) in users {
            self.say("cohort_users", "day", &month.to_string(), vec![], [("users", count)].into(), None)?;
        }
        for ((month, first), minor) in std::mem::take(&mut self.cohorts) {
            let dimensions = vec![("currency", "USD".to_owned()), ("cohort", first.to_string())];
            self.say(
                "cohort_revenue",
                "day",
                &month.to_string(),
                dimensions,
                [("revenue", minor)].into(),
                None,
            )?;
        }
        Ok(self.known)
    }
}

fn of_source() -> Dimensions {
    vec![("source", "shopify".to_owned())]
}

fn fold(
    working: &mut Working,
    workspace: &WorkspaceId,
    metric: &str,
    (window, start): (&str, &str),
    dimensions: Dimensions,
    values: BTreeMap<&'static str, i64>,
    members: Option<&Members>,
) -> anyhow::Result<()> {
    let metric = Metric {
        workspace: workspace.clone(),
        metric: metric.to_owned(),
        window: window.to_owned(),
        window_start: start.to_owned(),
        dimensions: dimensions.into_iter().map(|(name, text)| (name.to_owned(), text)).collect(),
        values: values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        revision: 0,
        corrected: false,
        as_of: ReceivedTime(0),
        window_end_at: None,
        members: members.map(Members::written),
    };
    Ok(working.metric(metric.key().as_bytes(), Some(&metric))?)
}
