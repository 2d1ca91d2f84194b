//! What a plan allows. Rates and quotas are counted elsewhere and asked for here.

use std::sync::Mutex;

use commerce::{Mark, Reason, ReceivedTime, WorkspaceId};
use http::Method;
use serde_json::{Value, json};
use sources::meter::{Unmetered, Velocity};
use sources::workspace::Plan;
use sources::{Decision, Meter, Workspaces};

use crate::analytics_door::*;
use crate::fixture::*;

fn with_plan(plan: Plan) -> Workspaces {
    configured(|config| config.plan = plan)
}

/// A meter that says what it is told to, and remembers what it was asked.
struct Told {
    /// What is left of the month.
    left: Mutex<u64>,
    wait: Option<u32>,
    asked: Mutex<Vec<String>>,
}

impl Told {
    fn new(left: u64, wait: Option<u32>) -> Self {
        Self { left: Mutex::new(left), wait, asked: Mutex::default() }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

impl Meter for Told {
    fn pace(&self, _: Mark, per_second: u32) -> Result<(), u32> {
        self.asked.lock().unwrap().push(format!("pace {per_second}"));
        self.wait.map_or(Ok(()), Err)
    }

    fn take(&self, _: &WorkspaceId, events: u64, limit: u64, _: ReceivedTime) -> u64 {
        self.asked.lock().unwrap().push(format!("take {events} of {limit}"));
        let mut left = self.left.lock().unwrap();
        let taken = events.min(*left);
        *left -= taken;
        taken
    }

    fn velocity(&self, _: &WorkspaceId, _: Mark, _: u32, _: u32) -> Velocity {
        Velocity::default()
    }
}

fn metered(workspaces: &Workspaces, meter: &dyn Meter, path: &str, body: &Value) -> Decision {
    call(workspaces, meter, &Method::POST, path, None, &[SECRET_KEY], body.to_string().as_bytes())
}

#[test]
fn ana_c03_a_plan_without_events_is_403_but_only_for_what_is_right_in_itself() {
    let gated = with_plan(Plan { ecommerce: Some(false), ..Plan::default() });
    for (path, body) in [(TRACK, purchase()), (BATCH, json!({"events": [purchase()]}))] {
        let refused = refused(metered(&gated, &Unmetered, path, &body));
        let expected =
            r#"{"error":"Ecommerce events are not available on the free tier","code":"FEATURE_GATED"}"#;
        assert_eq!((refused.reply.status, refused.reply.body.as_str()), (403, expected));
        assert_eq!(
            (refused.reason, refused.letter, refused.reply.retry_after),
            (Reason::PlanLimit, None, None)
        );
    }
    assert_eq!(refused(metered(&gated, &Unmetered, TRACK, &json!({}))).reply.status, 400);
    assert_eq!(refused(metered(&gated, &Unmetered, BATCH, &json!({}))).reply.status, 400);
    let open = with_plan(Plan { ecommerce: Some(true), ..Plan::default() });
    assert_eq!(accepted(metered(&open, &Unmetered, TRACK, &purchase())).reply.status, 200);
}

#[test]
fn ana_c03_a_rate_beyond_the_plan_is_429_and_takes_nothing_of_the_quota() {
    let plan = Plan { requests_per_second: Some(5), monthly_events: Some(10), ..Plan::default() };
    let meter = Told::new(10, Some(3));
    let refused = refused(metered(&with_plan(plan), &meter, TRACK, &purchase()));
    let expected = r#"{"error":"Too many requests. Please slow down."}"#;
    assert_eq!((refused.reply.status, refused.reply.body.as_str()), (429, expected));
    assert_eq!((refused.reason, refused.reply.retry_after), (Reason::RateLimited, Some(3)));
    assert_eq!(meter.asked(), ["pace 5"]);
}

#[test]
fn erasures_and_words_on_who_is_whom_are_paced_by_their_key_like_events() {
    let limited = with_plan(Plan { requests_per_second: Some(5), ..Plan::default() });
    let two = br#"{"a":"user:5","b":"email:jane@example.com"}"#;
    for (method, path, body) in [
        (Method::DELETE, "/v1/api/analytics/user/5", &b""[..]),
        (Method::POST, "/v1/identity/merge", two),
        (Method::POST, "/v1/identity/unmerge", two),
    ] {
        let meter = Told::new(10, Some(3));
        let send = |key| call(&limited, &meter, &method, path, None, &[("x-api-key", key)], body);
        let refused = refused(send("sk_dev_demo"));
        let expected = r#"{"error":"Too many requests. Please slow down."}"#;
        assert_eq!((refused.reply.status, refused.reply.body.as_str()), (429, expected), "{path}");
        assert_eq!((refused.reply.retry_after, refused.reason), (Some(3), Reason::RateLimited), "{path}");
        assert_eq!(refused.letter, None, "{path}");
        // Who may not come in is told that, and uses nothing up.
        for (key, status) in [("pk_dev_demo", 403), ("unknown", 401)] {
            assert_eq!(crate::fixture::refused(send(key)).reply.status, status, "{path}");
        }
        assert_eq!(meter.asked(), ["pace 5"], "{path}");
        let open = call(&limited, &Told::new(10, None), &method, path, None, &[SECRET_KEY], body);
        assert_eq!(accepted(open).reply.status, 200, "{path}");
    }
}

#[test]
fn ana_c03_a_quota_that_is_used_up_is_429_until_the_next_month() {
    let plan = with_plan(Plan { monthly_events: Some(1000), ..Plan::default() });
    for (path, body) in [(TRACK, purchase()), (BATCH, json!({"events": [purchase(), minimal("search")]}))] {
        let refused = refused(metered(&plan, &Told::new(0, None), path, &body));
        let expected = r#"{"error":"Ecommerce event quota exceeded","code":"USAGE_EXCEEDED"}"#;
        assert_eq!((refused.reply.status, refused.reply.body.as_str()), (429, expected));
        assert_eq!((refused.reason, refused.letter), (Reason::PlanLimit, None));
        // From 14 March 16:00 to 1 April.
        assert_eq!(refused.reply.retry_after, Some(17 * 86_400 + 8 * 3_600 + 1));
    }
}

#[test]
fn a_quota_that_ends_inside_a_batch_refuses_the_rest_in_order() {
    let plan = with_plan(Plan { monthly_events: Some(1000), ..Plan::default() });
    let meter = Told::new(2, None);
    let blocked = with(purchase(), json!({"revenue": -1}));
    let events = [
        minimal("search"),
        json!({}),
        blocked.clone(),
        minimal("share"),
        minimal("rate"),
        blocked,
        json!({}),
    ];
    let accepted = accepted(metered(&plan, &meter, BATCH, &json!({"events": events})));
    let expected = json!({"ok": true, "accepted": 3, "errors": [
        "events[1]: event_type is required", "events[4]: Ecommerce event quota exceeded",
        "events[5]: Ecommerce event quota exceeded", "events[6]: event_type is required"]});
    assert_eq!(serde_json::from_str::<Value>(&accepted.reply.body).unwrap(), expected);
    assert_eq!(meter.asked(), ["take 3 of 1000"], "neither what is faulty nor what is blocked uses it up");
    assert_eq!(header(&accepted, "rejected_items"), Some("1,4,5,6"));
    assert_eq!(header(&accepted, "fraud"), Some("2:2:impossible_revenue"));
    let found = items(&accepted, json!({"events": events}).to_string().as_bytes()).unwrap();
    let places: Vec<_> = found.iter().map(|item| item.as_ref().unwrap().raw_item).collect();
    assert_eq!(places, [0, 2, 3]);
}

#[test]
fn without_limits_nobody_is_asked() {
    let meter = Told::new(0, Some(1));
    assert_eq!(accepted(metered(&workspaces(), &meter, TRACK, &purchase())).reply.status, 200);
    assert_eq!(meter.asked(), [""; 0]);
}
