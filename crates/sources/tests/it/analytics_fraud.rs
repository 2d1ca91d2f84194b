//! The rules, their thresholds, and the answer that tells nothing.

use std::collections::HashMap;
use std::sync::Mutex;

use commerce::event::Fraud;
use commerce::{Mark, ReceivedTime, WorkspaceId};
use http::Method;
use serde_json::{Value, json};
use sources::meter::Velocity;
use sources::{Accepted, Decision, Meter, WorkspaceConfig, Workspaces};

use crate::analytics_door::*;
use crate::fixture::*;

/// The verdict on the only event of a request, as the event carries it.
fn verdict(
    workspaces: &Workspaces,
    headers: &[(&'static str, &str)],
    event: &Value,
) -> Option<(i32, String)> {
    let body = event.to_string();
    let accepted = accepted(post(workspaces, TRACK, None, headers, body.as_bytes()));
    assert_eq!(accepted.reply.body, r#"{"ok":true}"#, "an answer tells nothing of it");
    let event = items(&accepted, body.as_bytes()).unwrap().remove(0).unwrap();
    event.fraud.map(|Fraud { severity, rules }| (severity, rules.join("+")))
}

fn of_revenue(currency: Option<&str>, revenue: Value) -> Option<(i32, String)> {
    let mut event = with(minimal("purchase"), json!({"revenue": revenue}));
    if let Some(currency) = currency {
        event["currency"] = json!(currency);
    }
    verdict(&workspaces(), &[SECRET_KEY], &event)
}

fn found(severity: i32, rules: &str) -> Option<(i32, String)> {
    Some((severity, rules.to_owned()))
}

#[test]
fn bots_are_looked_for_only_with_a_publishable_key_and_where_it_is_switched_on() {
    let crawler = ("user-agent", "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)");
    let program = ("user-agent", "curl/8.5.0");
    let event = minimal("view_item");
    assert_eq!(verdict(&workspaces(), &[PUBLISHABLE, crawler], &event), found(2, "bot_detection"));
    assert_eq!(verdict(&workspaces(), &[PUBLISHABLE, program], &event), found(1, "bot_detection"));
    assert_eq!(verdict(&workspaces(), &[SECRET_KEY, crawler], &event), None);
    assert_eq!(verdict(&workspaces(), &[PUBLISHABLE], &event), None);
    let off = configured(|config| config.fraud.bots = false);
    assert_eq!(verdict(&off, &[PUBLISHABLE, crawler], &event), None);
}

#[test]
fn ana_c23_a_negative_purchase_is_answered_like_any_other_and_blocked() {
    assert_eq!(of_revenue(None, json!(-0.01)), found(2, "impossible_revenue"));
    assert_eq!(of_revenue(Some("EUR"), json!("-1")), found(2, "impossible_revenue"));
    let events = [minimal("purchase"), with(minimal("purchase"), json!({"revenue": -1})), minimal("search")];
    let accepted = accepted(batch(&[PUBLISHABLE], &events));
    assert_eq!(accepted.reply.body, r#"{"ok":true,"accepted":3}"#);
    assert_eq!(header(&accepted, "fraud"), Some("1:2:impossible_revenue"));
    let found = items(&accepted, json!({"events": events}).to_string().as_bytes()).unwrap();
    let severities: Vec<_> =
        found.iter().map(|item| item.as_ref().unwrap().fraud.as_ref().map(|fraud| fraud.severity)).collect();
    assert_eq!(severities, [None, Some(2), None]);
    let refund = with(minimal("refund"), json!({"revenue": -5}));
    assert_eq!(verdict(&workspaces(), &[SECRET_KEY], &refund), None, "of a refund the sign is ignored");
}

#[test]
fn ana_c24_a_revenue_beyond_the_greatest_is_marked_and_beyond_ten_times_blocked() {
    for (revenue, expected) in [
        (json!(1_000_000), None),
        (json!(1_000_000.01), found(1, "impossible_revenue")),
        (json!("10000000.00"), found(1, "impossible_revenue")),
        (json!(10_000_000.01), found(2, "impossible_revenue")),
    ] {
        assert_eq!(of_revenue(None, revenue.clone()), expected, "{revenue}");
        assert_eq!(of_revenue(Some("usd"), revenue), expected);
    }
    assert_eq!(of_revenue(Some("JPY"), json!(5_000_000)), None, "a rate would be needed to tell");
    let yen = configured(|config| {
        config.base_currency = "JPY".into();
        config.fraud.max_revenue = 5000;
    });
    let of =
        |revenue: u32| verdict(&yen, &[SECRET_KEY], &with(minimal("purchase"), json!({"revenue": revenue})));
    assert_eq!((of(5000), of(5001)), (None, found(1, "impossible_revenue")));
    let credits = with(minimal("spend_credits"), json!({"revenue": 2_000_000}));
    assert_eq!(verdict(&workspaces(), &[SECRET_KEY], &credits), None, "credits are no revenue");
}

#[test]
fn a_currency_that_is_not_allowed_is_blocked_with_any_key() {
    let workspaces = configured(|config| config.fraud.currencies = vec!["EUR".into(), "gbp".into()]);
    let of = |currency: Value| {
        let event = with(minimal("add_to_cart"), json!({"currency": currency}));
        verdict(&workspaces, &[SECRET_KEY], &event)
    };
    assert_eq!((of(json!("eur")), of(json!(" GBP "))), (None, None));
    for currency in [json!("USD"), json!("XQQ"), json!("dollars"), json!(7)] {
        assert_eq!(of(currency.clone()), found(2, "currency_restriction"), "{currency}");
    }
    assert_eq!(of(json!(null)), None, "the base currency is meant");
}

#[test]
fn all_rules_that_match_are_named_with_the_greatest_severity() {
    let workspaces = configured(|config| config.fraud.currencies = vec!["EUR".into()]);
    let event = with(minimal("purchase"), json!({"currency": "USD", "revenue": 2_000_000}));
    assert_eq!(
        verdict(&workspaces, &[PUBLISHABLE, ("user-agent", "curl/8")], &event),
        found(2, "bot_detection+impossible_revenue+currency_restriction")
    );
}

/// Counts as a window does that never ends, from what each actor has already.
#[derive(Default)]
struct Counting {
    before: Velocity,
    asked: Mutex<HashMap<Mark, Vec<(u32, u32)>>>,
}

impl Meter for Counting {
    fn pace(&self, _: Mark, _: u32) -> Result<(), u32> {
        Ok(())
    }

    fn take(&self, _: &WorkspaceId, events: u64, _: u64, _: ReceivedTime) -> u64 {
        events
    }

    fn velocity(&self, _: &WorkspaceId, actor: Mark, events: u32, purchases: u32) -> Velocity {
        self.asked.lock().unwrap().entry(actor).or_default().push((events, purchases));
        Velocity {
            events_per_minute: self.before.events_per_minute + events,
            purchases_per_hour: self.before.purchases_per_hour + purchases,
        }
    }
}

impl Counting {
    fn from(events_per_minute: u32, purchases_per_hour: u32) -> Self {
        Self { before: Velocity { events_per_minute, purchases_per_hour }, ..Self::default() }
    }

    fn asked(&self) -> Vec<(u32, u32)> {
        let mut asked: Vec<_> = self.asked.lock().unwrap().values().flatten().copied().collect();
        asked.sort_unstable();
        asked
    }
}

fn send(meter: &Counting, headers: &[(&'static str, &str)], events: &[Value]) -> Accepted {
    let body = json!({"events": events}).to_string();
    let workspaces = Workspaces::from_configs([WorkspaceConfig::development()]).unwrap();
    let decision: Decision = call(&workspaces, meter, &Method::POST, BATCH, None, headers, body.as_bytes());
    accepted(decision)
}

fn by(user: &str, kind: &str) -> Value {
    with(minimal(kind), json!({"user_id": user}))
}

#[test]
fn of_a_batch_only_the_events_beyond_a_threshold_are_marked() {
    let meter = Counting::from(298, 0);
    let events = [by("u", "search"), by("u", "search"), json!({}), by("u", "search"), by("u", "search")];
    let accepted = send(&meter, &[PUBLISHABLE], &events);
    assert_eq!(header(&accepted, "fraud"), Some("3:1:velocity;4:1:velocity"));
    assert_eq!(meter.asked(), [(4, 0)], "once for the actor, and not for what is faulty");

    let accepted = send(&Counting::from(1199, 0), &[PUBLISHABLE], &events[..2]);
    assert_eq!(header(&accepted, "fraud"), Some("0:1:velocity;1:2:velocity"));
    assert_eq!(accepted.reply.body, r#"{"ok":true,"accepted":2}"#);
}

#[test]
fn purchases_have_thresholds_of_their_own() {
    let events = [by("u", "purchase"), by("u", "search"), by("u", "purchase")];
    let accepted = send(&Counting::from(0, 19), &[PUBLISHABLE], &events);
    assert_eq!(header(&accepted, "fraud"), Some("2:1:velocity"));
    let accepted = send(&Counting::from(0, 99), &[PUBLISHABLE], &events);
    assert_eq!(header(&accepted, "fraud"), Some("0:1:velocity;2:2:velocity"), "a search is no purchase");
}

#[test]
fn velocity_is_counted_by_user_and_else_by_address() {
    let meter = Counting::default();
    let events =
        [by("u", "search"), by("v", "purchase"), minimal("search"), minimal("view_cart"), by("u", "search")];
    send(&meter, &[PUBLISHABLE], &events);
    assert_eq!(meter.asked(), [(1, 1), (2, 0), (2, 0)]);
    assert_eq!(meter.asked.lock().unwrap().len(), 3, "two users and one address");
}

#[test]
fn secret_keys_and_labelled_loads_are_exempt_from_velocity() {
    let fast = || Counting::from(5000, 500);
    let labelled = |value: Value| vec![with(minimal("purchase"), json!({"properties": {"backfill": value}}))];
    for (headers, events) in [
        (&[SECRET_KEY][..], vec![minimal("purchase")]),
        (&[PUBLISHABLE, ("tillstream-backfill", "2025")], vec![minimal("purchase")]),
        (&[PUBLISHABLE], labelled(json!(true))),
        (&[PUBLISHABLE], labelled(json!("2025"))),
    ] {
        let meter = fast();
        assert_eq!(header(&send(&meter, headers, &events), "fraud"), None, "{headers:?} {events:?}");
        assert_eq!(meter.asked(), [], "it isn't even counted");
    }
    let accepted = send(&fast(), &[PUBLISHABLE], &labelled(json!(false)));
    assert_eq!(header(&accepted, "fraud"), Some("0:2:velocity"));
}
