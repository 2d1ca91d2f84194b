//! The demo's books against the pure core: every delivery goes through the door, the normalizer and the join, without
//! HTTP and without Kafka, and everything in the table must be equal.

use std::collections::{BTreeMap, HashMap, HashSet};

use commerce::order::{Policy, State, View};
use commerce::person::Kind;
use commerce::profile::Contribution;
use commerce::time::{SECOND, Zone};
use commerce::{Currency, EventTime, Outcome, PersonId, ReceivedTime, WorkspaceId};
use sources::{Decision, Raw, WorkspaceConfig, Workspaces};
use tillstream::demo::expected::Customer;
use tillstream::demo::shop::{Options, Shop};
use tillstream::demo::{Credentials, Delivery, Expected, Measured, Uncertainty};
use tillstream::trigger;

const NOW: EventTime = EventTime(1_795_000_000 * SECOND);

/// What the stages know after some deliveries.
struct Core {
    workspaces: Workspaces,
    policy: Policy,
    orders: HashMap<String, State>,
    measured: Measured,
    offset: i64,
}

impl Core {
    fn new() -> Self {
        let workspaces = Workspaces::from_configs([WorkspaceConfig::development()]).unwrap();
        let policy = Policy {
            workspace: WorkspaceId::try_new("demo").unwrap(),
            precedence: commerce::Source::ALL.to_vec(),
            ownership: BTreeMap::new(),
        };
        let measured = Measured {
            duplicates: Some(BTreeMap::new()),
            dead_letters: Some(BTreeMap::new()),
            accepted: Some(0),
            rejected: Some(BTreeMap::new()),
            ..Measured::default()
        };
        Self { workspaces, policy, orders: HashMap::new(), measured, offset: 0 }
    }

    fn dead_letter(&mut self, reason: commerce::Reason) {
        *self.measured.dead_letters.as_mut().unwrap().entry(reason).or_default() += 1;
    }

    /// The gateway, the normalizer and the state stage, for one delivery. Gives the HTTP status.
    fn take(&mut self, delivery: &Delivery) -> u16 {
        let accepted = match delivery.decide(&self.workspaces, ReceivedTime(NOW.0)).unwrap() {
            Decision::Accept(accepted) => accepted,
            Decision::Refuse(refused) => {
                let rejected = self.measured.rejected.as_mut().unwrap();
                *rejected.entry(refused.reply.status).or_default() += 1;
                if let Some(letter) = refused.letter {
                    self.dead_letter(letter.failure.reason);
                }
                return refused.reply.status;
            }
            Decision::Answer(reply) => return reply.status,
        };
        *self.measured.accepted.as_mut().unwrap() += 1;
        self.offset += 1;
        let stored: Vec<(&str, &str)> =
            accepted.headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        let workspaces = self.workspaces.clone();
        let raw = Raw {
            source: accepted.source,
            workspace: workspaces.get(accepted.workspace.as_str()).unwrap(),
            received_at: ReceivedTime(NOW.0 + self.offset),
            partition: 0,
            offset: self.offset,
            headers: &stored,
            body: &delivery.body,
        };
        match sources::normalize(&raw) {
            Err(failure) => self.dead_letter(failure.reason),
            Ok(items) => {
                for item in items {
                    let event = item.unwrap();
                    if event.payload.order.is_none() {
                        continue;
                    }
                    let outcome =
                        self.orders.entry(event.entity.id.clone()).or_default().observe(&event).outcome;
                    if let Outcome::Duplicate(level) = outcome {
                        *self.measured.duplicates.as_mut().unwrap().entry(level).or_default() += 1;
                    }
                }
            }
        }
        accepted.reply.status
    }

    /// The figures, each from the views.
    fn measure(mut self, base: Currency) -> Measured {
        let (mut totals, mut days, mut cancelled) = (BTreeMap::new(), BTreeMap::new(), 0);
        let mut people: HashSet<PersonId> = HashSet::new();
        let mut customers: HashMap<PersonId, Customer> = HashMap::new();
        let mut emails: HashMap<PersonId, String> = HashMap::new();
        for state in self.orders.values() {
            let mut view = state.view(&self.policy).unwrap();
            // Nobody of this shop shares a handle with anybody else, so the best handle of an order is its person.
            let buyer = state.buyer();
            view.person_id = buyer.map(|handle| PersonId::derive("test", &self.policy.workspace, &handle));
            if view.qa {
                continue;
            }
            people.extend(view.person_id);
            cancelled += i64::from(view.cancelled_at.is_some());
            let identifiers = state.sources.values().flat_map(|source| source.identifiers());
            let email = identifiers.filter(|i| i.kind == Kind::Email).map(|i| i.value).next();
            emails.extend(view.person_id.zip(email));
            if view.counted {
                add(&view, &mut totals, &mut days);
            }
            if let Some(part) = Contribution::of(&view) {
                let customer = customers.entry(part.person).or_default();
                customer.orders_count += part.orders;
                customer.first_order_at = customer.first_order_at.into_iter().chain([part.placed_at]).min();
                customer.last_order_at = customer.last_order_at.max(Some(part.placed_at));
                if part.currency == base {
                    customer.total_spent += part.spent;
                    customer.lifetime_value += part.lifetime;
                }
            }
        }
        self.measured.by_currency = Some(totals);
        self.measured.by_day = Some(days);
        self.measured.cancelled = Some(cancelled);
        self.measured.profiles = Some(people.len() as i64);
        self.measured.customers = Some(customers.len() as i64);
        let named = customers.into_iter().filter_map(|(person, c)| Some((emails.get(&person)?.clone(), c)));
        self.measured.customers_by_email = Some(named.collect());
        self.measured
    }
}

type Totals = BTreeMap<Currency, tillstream::demo::expected::Totals>;
type Days = BTreeMap<(commerce::time::Day, Currency), tillstream::demo::expected::DayTotals>;

fn add(view: &View, totals: &mut Totals, days: &mut Days) {
    let zone = Zone::utc();
    let total = view.total.unwrap();
    let sums = totals.entry(total.currency).or_default();
    sums.orders += 1;
    sums.gross += total.minor;
    sums.items += view.item_count;
    sums.refunds += view.refunds.len() as i64;
    sums.refunded += view.refunded_total.unwrap().minor;
    sums.cancelled += i64::from(view.cancelled_at.is_some());
    let day = days.entry((zone.day_of(view.counted_at.unwrap()), total.currency)).or_default();
    day.orders += 1;
    day.gross += total.minor;
    for (id, amount) in &view.refunds {
        let day = days.entry((zone.day_of(view.refund_times[id]), total.currency)).or_default();
        day.refunds += 1;
        day.refunded += amount.minor;
    }
}

fn check<'a>(shop: &Shop, deliveries: impl Iterator<Item = &'a Delivery>) {
    let expected = Expected::of(shop, Currency::USD);
    let mut core = Core::new();
    for delivery in deliveries {
        assert_eq!(core.take(delivery), delivery.expect_status, "{delivery:?}");
    }
    let table = expected.compare(&core.measure(Currency::USD), Uncertainty::default());
    assert!(table.all_equal(), "\n{table}");
}

#[test]
fn the_books_of_the_demo_are_what_the_core_makes_of_its_deliveries() {
    let shop = Shop::generate(&Options::default_at(NOW));
    check(&shop, shop.deliveries.iter());
}

#[test]
fn the_books_hold_for_any_seed_and_any_order_of_arrival() {
    for seed in 0..6 {
        let shop = Shop::generate(&Options { seed, orders: 400, ..Options::default_at(NOW) });
        check(&shop, shop.deliveries.iter());
        check(&shop, shop.deliveries.iter().rev());
        let mut mixed: Vec<&Delivery> = shop.deliveries.iter().collect();
        mixed.sort_by_key(|delivery| delivery.at.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        check(&shop, mixed.into_iter());
    }
}

/// Which repetition of a delivery can be told: everything that has an id or a key, of its sender's or of its own.
fn is_told_apart(source: commerce::Source, event: &str) -> bool {
    let each_time = ["identify", "merge", "delete", "suppress", "unsuppress", "entity", "delete_user"];
    !(source == commerce::Source::Customerio || source == commerce::Source::Analytics)
        || !each_time.contains(&event)
}

#[test]
fn what_is_triggered_is_accepted_and_read_whatever_the_source() {
    let workspaces = Workspaces::from_configs([WorkspaceConfig::development()]).unwrap();
    for kind in &trigger::KINDS {
        for event in kind.events {
            let request = trigger::Request {
                source: kind.source.as_str(),
                event,
                set: &[],
                count: 3,
                same: true,
                now: NOW,
            };
            let mut marks: Vec<HashSet<(String, String)>> = Vec::new();
            for (n, delivery) in
                trigger::deliveries(&request, &Credentials::default()).unwrap().iter().enumerate()
            {
                let decided = delivery.decide(&workspaces, ReceivedTime(NOW.0)).unwrap();
                let Decision::Accept(accepted) = decided else {
                    panic!("{} {event} is not accepted: {decided:?}", kind.source);
                };
                assert_eq!(accepted.reply.status, delivery.expect_status, "{} {event}", kind.source);
                let stored: Vec<(&str, &str)> =
                    accepted.headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
                let raw = Raw {
                    source: accepted.source,
                    workspace: workspaces.get(accepted.workspace.as_str()).unwrap(),
                    received_at: ReceivedTime(NOW.0 + 1),
                    partition: 0,
                    offset: n as i64,
                    headers: &stored,
                    body: &delivery.body,
                };
                let items = sources::normalize(&raw).unwrap();
                assert!(!items.is_empty(), "{} {event} says nothing", kind.source);
                let events: Vec<_> = items.into_iter().map(Result::unwrap).collect();
                assert!(
                    events.iter().all(|e| !e.qa && e.event != commerce::EventName::CustomTracked),
                    "{} {event} is test traffic or unknown",
                    kind.source
                );
                marks.push(events.into_iter().map(|e| (e.keys.transport, e.keys.semantic)).collect());
            }
            let same = marks[0] == marks[1] && marks[1] == marks[2];
            assert!(same || !is_told_apart(kind.source, event), "{} {event}", kind.source);
        }
    }
}

#[test]
fn an_order_that_is_triggered_is_worth_what_was_set_whatever_the_source() {
    for (source, event, set) in [
        ("shopify", "orders/paid", "total_price=99.00"),
        ("lifesight", "orders_paid", "total_price=99.00"),
        ("customerio", "order_paid", "total=99.00"),
        ("sequenzy", "order_placed", "totalCents=9900"),
        ("analytics", "purchase", "revenue=99.00"),
        ("records", "orders/append", "total=99.00"),
    ] {
        let set = [set.to_owned()];
        let request = trigger::Request { source, event, set: &set, count: 1, same: true, now: NOW };
        let mut core = Core::new();
        for delivery in trigger::deliveries(&request, &Credentials::default()).unwrap() {
            assert_eq!(core.take(&delivery), delivery.expect_status, "{source} {event}");
        }
        assert!(core.measured.dead_letters.as_ref().unwrap().is_empty(), "{source} {event}");
        let measured = core.measure(Currency::USD);
        assert_eq!(measured.by_currency.unwrap()[&Currency::USD].gross, 9900, "{source} {event}");
    }
}
