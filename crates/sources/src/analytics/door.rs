//! What becomes of a request: the checks of §3 in the order of its table, then the fraud rules, then the quota.

use commerce::time::{Day, SECOND, Zone};
use commerce::{Mark, Reason, ReceivedTime, Source};

use super::authenticate::{self, Caller};
use super::body::{self, Body};
use super::fraud::{self, Checked, Verdict};
use super::validate::{self, Fault};
use super::{COUNTRY, Endpoint, IDEMPOTENCY_KEY, chosen, error, user_of_path};
use crate::http::{Accepted, Decision, Refused, Reply, Request, stored_headers};
use crate::meter::Meter;
use crate::workspace::Workspaces;
use crate::{FRAUD, REJECTED_ITEMS, json};

const MOST_EVENTS: usize = 100;

const QUOTA_EXCEEDED: &str = "Ecommerce event quota exceeded";

pub(super) fn accept(request: &Request<'_>, workspaces: &Workspaces, meter: &dyn Meter) -> Decision {
    match Endpoint::of(request.path) {
        Some(Endpoint::Erase(user)) => erase(request, workspaces, meter, user),
        Some(endpoint) => ingest(request, workspaces, meter, endpoint),
        None => refuse(Reason::UnknownPath, 404, "not found"),
    }
}

fn refuse(reason: Reason, status: u16, message: &str) -> Decision {
    Refused::plain(reason, error(status, message, ""))
}

fn unknown_key() -> Decision {
    refuse(Reason::UnknownKey, 401, "Invalid API key")
}

/// An answer that names its kind beside the sentence, as those of the plan do.
fn coded(status: u16, message: &str, code: &str) -> Reply {
    Reply::new(status, format!(r#"{{"error":{},"code":"{code}"}}"#, json::quoted(message)))
}

fn erase(request: &Request<'_>, workspaces: &Workspaces, meter: &dyn Meter, user: &str) -> Decision {
    let Some(caller) = authenticate::caller(request, workspaces, None) else { return unknown_key() };
    if !caller.is_secret {
        return refuse(Reason::KeyNotAllowed, 403, "Secret key required");
    }
    if let Some(early) = too_fast(&caller, meter) {
        return early;
    }
    let deleted = json::quoted(&super::percent_decoded(user));
    let reply = Reply::new(200, format!(r#"{{"ok":true,"deleted_user_id":{deleted}}}"#));
    let workspace = &caller.workspace.id;
    match user_of_path(user) {
        Some(user) => Decision::Accept(Accepted {
            keyed: None,
            source: Source::Analytics,
            workspace: workspace.clone(),
            verdict: "key",
            headers: stored_headers(request, None),
            delivery: chosen(workspace.as_str(), "erase", &user, None),
            body: (!request.body.is_empty()).then(Vec::new),
            reply,
        }),
        // There can be nobody of this id, and the answer is the same for everybody.
        None => Decision::Answer(reply),
    }
}

fn ingest(
    request: &Request<'_>,
    workspaces: &Workspaces,
    meter: &dyn Meter,
    endpoint: Endpoint<'_>,
) -> Decision {
    let body = Body::read(endpoint, request.body);
    let in_body = body.as_ref().ok().and_then(|body| body.key().text());
    let Some(caller) = authenticate::caller(request, workspaces, in_body.as_deref()) else {
        return unknown_key();
    };
    let Ok(body) = body else { return refuse(Reason::MalformedJson, 400, "Invalid JSON") };
    let events = body.events();
    if events.is_empty() {
        return refuse(Reason::MissingField, 400, "events array is required and must not be empty");
    }
    if events.len() > MOST_EVENTS {
        return refuse(Reason::BadValue, 400, "Maximum 100 events per batch");
    }
    let checks: Vec<_> = events.iter().map(|event| validate::event(*event)).collect();
    if let (Body::One(_), [Err(fault)]) = (&body, checks.as_slice()) {
        return refuse(fault.reason(), 400, &fault.to_string());
    }
    let plan = &caller.workspace.plan;
    if plan.ecommerce == Some(false) {
        let message = "Ecommerce events are not available on the free tier";
        return Refused::plain(Reason::PlanLimit, coded(403, message, "FEATURE_GATED"));
    }
    // Asked before the quota, so that a request which is sent away takes nothing of it.
    if let Some(early) = too_fast(&caller, meter) {
        return early;
    }
    let found: Vec<Option<Checked<'_, '_>>> =
        checks.iter().zip(&events).map(|(check, event)| (*check).ok().zip(*event)).collect();
    let verdicts = fraud::judge(caller.workspace, request, caller.is_secret, &found, meter);
    let Some(admitted) = Admitted::new(&caller, &checks, &verdicts, meter, request.received_at) else {
        let reply = coded(429, QUOTA_EXCEEDED, "USAGE_EXCEEDED");
        let retry_after = Some(until_next_month(request.received_at));
        return Refused::plain(Reason::PlanLimit, Reply { retry_after, ..reply });
    };
    let reply = match body {
        Body::One(_) => Reply::new(200, r#"{"ok":true}"#),
        Body::Many(_) => admitted.reply(),
    };
    if admitted.accepted == 0 {
        return Decision::Answer(reply);
    }
    let stripped = match body.key().is_named().then(|| body::without_key(request.body)).transpose() {
        Ok(stripped) => stripped,
        Err(_) => return refuse(Reason::MalformedJson, 400, "Invalid JSON"),
    };
    let delivery = transport(caller.workspace.id.as_str(), request, &body, stripped.as_deref());
    Decision::Accept(Accepted {
        keyed: None,
        source: Source::Analytics,
        workspace: caller.workspace.id.clone(),
        verdict: "key",
        headers: stored(request, &caller, &admitted, &verdicts),
        delivery,
        body: stripped,
        reply,
    })
}

/// The answer to a key that has used up its requests per second, whatever it asks for.
pub(crate) fn too_fast(caller: &Caller<'_>, meter: &dyn Meter) -> Option<Decision> {
    let limit = caller.workspace.plan.requests_per_second?;
    let seconds = meter.pace(caller.credential, limit).err()?;
    let reply = error(429, "Too many requests. Please slow down.", "");
    Some(Refused::plain(Reason::RateLimited, Reply { retry_after: Some(seconds.max(1)), ..reply }))
}

/// Which events of a request are let in.
struct Admitted {
    accepted: usize,
    /// The places that give no event, ascending.
    rejected: Vec<usize>,
    errors: Vec<String>,
}

impl Admitted {
    /// Takes the events that count from the quota. What it doesn't cover is refused from there on, blocked events too,
    /// so that the answer tells nobody which ones they are. `None`: it covers nothing.
    fn new(
        caller: &Caller<'_>,
        checks: &[Result<validate::Kind, Fault>],
        verdicts: &[Option<Verdict>],
        meter: &dyn Meter,
        at: ReceivedTime,
    ) -> Option<Self> {
        let is_counted = |verdict: &Option<Verdict>| !verdict.as_ref().is_some_and(Verdict::blocks);
        let counted =
            checks.iter().zip(verdicts).filter(|(check, verdict)| check.is_ok() && is_counted(verdict));
        let asked = counted.count() as u64;
        let mut left = match caller.workspace.plan.monthly_events {
            Some(limit) if asked > 0 => meter.take(&caller.workspace.id, asked, limit, at),
            _ => asked,
        };
        if asked > 0 && left == 0 {
            return None;
        }
        let mut admitted = Self { accepted: 0, rejected: Vec::new(), errors: Vec::new() };
        let mut is_used_up = false;
        for (place, (check, verdict)) in checks.iter().zip(verdicts).enumerate() {
            if check.is_ok() && is_counted(verdict) {
                is_used_up |= left == 0;
                left = left.saturating_sub(1);
            }
            let message = match check {
                Err(fault) => fault.to_string(),
                Ok(_) if is_used_up => QUOTA_EXCEEDED.to_owned(),
                Ok(_) => {
                    admitted.accepted += 1;
                    continue;
                }
            };
            admitted.rejected.push(place);
            admitted.errors.push(json::quoted(&format!("events[{place}]: {message}")));
        }
        Some(admitted)
    }

    /// The answer to a batch.
    fn reply(&self) -> Reply {
        let accepted = self.accepted;
        let errors = match self.errors.as_slice() {
            [] => String::new(),
            errors => format!(r#","errors":[{}]"#, errors.join(",")),
        };
        Reply::new(200, format!(r#"{{"ok":true,"accepted":{accepted}{errors}}}"#))
    }
}

/// What is stored beside the body: what the normalizer can't find in it.
fn stored(
    request: &Request<'_>,
    caller: &Caller<'_>,
    admitted: &Admitted,
    verdicts: &[Option<Verdict>],
) -> Vec<(String, String)> {
    let mut headers = stored_headers(request, None);
    if let Some(key) = authenticate::idempotency_key(request) {
        headers.push((format!("http.{IDEMPOTENCY_KEY}"), key.to_owned()));
    }
    let country = caller.workspace.analytics.country_header.as_deref();
    if let Some(country) = country.and_then(|name| request.header(name)) {
        headers.push((COUNTRY.to_owned(), country.trim().to_owned()));
    }
    if !admitted.rejected.is_empty() {
        let places: Vec<_> = admitted.rejected.iter().map(usize::to_string).collect();
        headers.push((REJECTED_ITEMS.to_owned(), places.join(",")));
    }
    let verdicts =
        verdicts.iter().enumerate().filter_map(|(place, verdict)| Some((place, verdict.as_ref()?)));
    let verdicts = fraud::header(verdicts.filter(|(place, _)| !admitted.rejected.contains(place)));
    if !verdicts.is_empty() {
        headers.push((FRAUD.to_owned(), verdicts));
    }
    headers
}

/// The transport key of the request: what the sender chose, else all that was sent. Events without a key of their own
/// count each (§5.4), so this one only keeps repetitions together.
fn transport(workspace: &str, request: &Request<'_>, body: &Body<'_>, stripped: Option<&[u8]>) -> Mark {
    if let Body::One(event) = body
        && let Some(id) = event.event_id.text()
    {
        return chosen(workspace, "event", &id, None);
    }
    match authenticate::idempotency_key(request) {
        Some(key) => chosen(workspace, "key", key, None),
        None => {
            let body = stripped.unwrap_or(request.body);
            Mark::of(&[b"analytics", workspace.as_bytes(), b"body", request.path.as_bytes(), body])
        }
    }
}

/// Seconds until the quota begins anew.
fn until_next_month(now: ReceivedTime) -> u32 {
    let today = Zone::utc().day_of(now.as_event()).to_string();
    let next = || {
        let (year, rest) = today.split_once('-')?;
        let (month, _) = rest.split_once('-')?;
        let (year, month) = (year.parse::<u32>().ok()?, month.parse::<u32>().ok()?);
        let (year, month) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
        let first = Day::parse(&format!("{year:04}-{month:02}-01"))?;
        let micros = Zone::utc().start_of(first).0.checked_sub(now.0)?;
        u32::try_from(micros / SECOND + 1).ok()
    };
    // Beyond the calendar nobody waits for the end of a month.
    next().unwrap_or(86_400)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quota_begins_anew_on_the_first_of_the_next_month() {
        for (now, seconds) in [
            ("2026-03-31T23:59:59Z", 2),
            ("2026-12-31T00:00:00Z", 86_401),
            ("2024-02-28T00:00:00Z", 2 * 86_400 + 1),
        ] {
            assert_eq!(until_next_month(commerce::time::parse_received(now).unwrap()), seconds, "{now}");
        }
        let last = commerce::time::parse_received("9999-12-30T00:00:00Z").unwrap();
        assert_eq!(until_next_month(last), 86_400);
    }
}
