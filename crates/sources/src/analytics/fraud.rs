//! The fraud rules (§7.1): pure over the workspace's thresholds, the request, and what the meter has counted.
//!
//! | rule | severity 2, blocks | severity 1, marks |
//! |---|---|---|
//! | `bot_detection` | a known crawler | a generic HTTP client |
//! | `impossible_revenue` | a purchase below zero, or beyond ten times the greatest revenue | beyond the greatest revenue |
//! | `velocity` | beyond the second threshold | beyond the first |
//! | `currency_restriction` | a named currency that is not in the list | |
//!
//! Bots and velocity are looked for only with publishable keys, velocity not in labelled loads (D-ANA-16). Here are no
//! rates: the greatest revenue, which is one of the base currency, is not held against amounts of other currencies. An
//! event that names no currency is in the base currency and never restricted.

use std::collections::HashMap;

use commerce::money::MoneyError;
use commerce::{Mark, Money};

use super::body::{Named, Tracked};
use super::properties;
use super::validate::Kind;
use crate::http::{BACKFILL, IMPORT, Request};
use crate::meter::{Meter, Velocity};
use crate::workspace::Workspace;

/// What the rules say of an event.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Verdict {
    /// 1 marks, 2 blocks.
    pub(super) severity: u8,
    pub(super) rules: Vec<&'static str>,
}

impl Verdict {
    pub(super) const fn blocks(&self) -> bool {
        self.severity > 1
    }
}

/// An event that has been checked, with its type.
pub(super) type Checked<'a, 'b> = (Kind, &'b Tracked<'a>);

/// Judges the events of a request. `None` for the places at which there is none to judge, or nothing to say.
pub(super) fn judge(
    workspace: &Workspace,
    request: &Request<'_>,
    is_secret: bool,
    events: &[Option<Checked<'_, '_>>],
    meter: &dyn Meter,
) -> Vec<Option<Verdict>> {
    let (bot, rates) = if is_secret {
        (None, vec![Velocity::default(); events.len()])
    } else {
        let agent = request.header("user-agent").filter(|_| workspace.fraud.bots);
        (agent.and_then(bot), velocities(workspace, request, events, meter))
    };
    let judged = events.iter().zip(rates).map(|(event, rate)| {
        let (kind, event) = (*event)?;
        let found = [
            ("bot_detection", bot),
            ("impossible_revenue", impossible_revenue(workspace, kind, event)),
            ("velocity", too_fast(workspace, kind, rate)),
            ("currency_restriction", restricted(workspace, event)),
        ];
        let severity = found.iter().filter_map(|(_, severity)| *severity).max()?;
        let rules = found.into_iter().filter(|(_, severity)| severity.is_some()).map(|(rule, _)| rule);
        Some(Verdict { severity, rules: rules.collect() })
    });
    judged.collect()
}

/// The verdicts as the stored header has them: `<item>:<severity>:<rule>,<rule>;…`.
pub(super) fn header<'v>(verdicts: impl Iterator<Item = (usize, &'v Verdict)>) -> String {
    let texts =
        verdicts.map(|(item, verdict)| format!("{item}:{}:{}", verdict.severity, verdict.rules.join(",")));
    texts.collect::<Vec<_>>().join(";")
}

/// Words that only crawlers, previewers and monitors have in their names, lower-case.
const CRAWLERS: [&str; 17] = [
    "crawler",
    "spider",
    "slurp",
    "scrapy",
    "facebookexternalhit",
    "facebookcatalog",
    "meta-externalagent",
    "mediapartners-google",
    "google-inspectiontool",
    "feedfetcher",
    "bingpreview",
    "ia_archiver",
    "archive.org",
    "lighthouse",
    "pingdom",
    "embedly",
    "ahrefs",
];

/// What programs have in their names that are no browser: libraries, command lines, browsers without a screen. The
/// HTTP libraries of phone apps (okhttp, CFNetwork, Dart) are not among them: apps are shoppers.
const CLIENTS: [&str; 24] = [
    "curl/",
    "wget/",
    "python-requests",
    "python-urllib",
    "python-httpx",
    "python/",
    "aiohttp",
    "go-http-client",
    "java/",
    "apache-httpclient",
    "node-fetch",
    "undici",
    "axios/",
    "libwww-perl",
    "guzzlehttp",
    "php/",
    "ruby",
    "faraday",
    "httpie/",
    "postmanruntime",
    "insomnia/",
    "headlesschrome",
    "phantomjs",
    "playwright",
];

/// Looks at a `User-Agent`.
fn bot(agent: &str) -> Option<u8> {
    let agent = agent.to_ascii_lowercase();
    // A word that begins or ends with "bot" (Googlebot, UptimeRobot, AdsBot-Google, bot/1.0), but for a maker of
    // phones.
    let mut words = agent.split(|c: char| !c.is_ascii_alphanumeric());
    let is_bot = words.any(|word| {
        let word = word.trim_end_matches(|c: char| c.is_ascii_digit());
        word.ends_with("bot") && word != "cubot" || word == "bots"
    });
    if is_bot || CRAWLERS.iter().any(|word| agent.contains(word)) {
        return Some(2);
    }
    (agent == "node" || CLIENTS.iter().any(|word| agent.contains(word))).then_some(1)
}

fn impossible_revenue(workspace: &Workspace, kind: Kind, event: &Tracked<'_>) -> Option<u8> {
    let text = event.revenue.text().filter(|_| kind == Kind::Purchase)?;
    let base = workspace.base_currency;
    let minor = match Money::parse_major(&text, base) {
        Ok(read) => i128::from(read.money.minor),
        Err(MoneyError::TooLarge(_)) => return Some(2),
        // Not a number: the event becomes none.
        Err(MoneyError::NotANumber(_) | MoneyError::UnknownCurrency(_)) => return None,
    };
    if minor < 0 {
        return Some(2);
    }
    if Named::read(event.currency).or(base) != base {
        return None;
    }
    let greatest = i128::from(workspace.fraud.max_revenue) * 10_i128.pow(base.exponent());
    graded(minor, [greatest, greatest * 10])
}

fn too_fast(workspace: &Workspace, kind: Kind, rate: Velocity) -> Option<u8> {
    let events = graded(rate.events_per_minute, workspace.fraud.events_per_minute);
    let purchases = graded(rate.purchases_per_hour, workspace.fraud.purchases_per_hour);
    events.max(purchases.filter(|_| kind == Kind::Purchase))
}

fn restricted(workspace: &Workspace, event: &Tracked<'_>) -> Option<u8> {
    let allowed = &workspace.fraud.currencies;
    if allowed.is_empty() || !event.currency.is_present() {
        return None;
    }
    let named = event.currency.text().unwrap_or_default();
    let is_allowed = allowed.iter().any(|currency| currency.trim().eq_ignore_ascii_case(&named));
    (!is_allowed).then_some(2)
}

fn graded<T: PartialOrd>(value: T, [marks, blocks]: [T; 2]) -> Option<u8> {
    if value > blocks { Some(2) } else { (value > marks).then_some(1) }
}

/// How often the actor of each event had come by then. The meter is asked once per actor, and what it says is counted
/// back to each of the actor's events, so that of a batch only those beyond a threshold are.
fn velocities(
    workspace: &Workspace,
    request: &Request<'_>,
    events: &[Option<Checked<'_, '_>>],
    meter: &dyn Meter,
) -> Vec<Velocity> {
    let mut found = vec![Velocity::default(); events.len()];
    if [BACKFILL, IMPORT].iter().any(|label| request.headers.contains_key(*label)) {
        return found;
    }
    let mut places: HashMap<Mark, Vec<usize>> = HashMap::new();
    for (place, event) in events.iter().enumerate() {
        if let Some((_, event)) = event
            && !properties::is_backfill(event)
            && let Some(actor) = actor(request, event)
        {
            places.entry(actor).or_default().push(place);
        }
    }
    for (actor, places) in places {
        let is_purchase = |place: &usize| matches!(events.get(*place), Some(Some((Kind::Purchase, _))));
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let (all, bought) = (count(places.len()), count(places.iter().filter(|p| is_purchase(p)).count()));
        let after = meter.velocity(&workspace.id, actor, all, bought);
        let mut before = Velocity {
            events_per_minute: after.events_per_minute.saturating_sub(all),
            purchases_per_hour: after.purchases_per_hour.saturating_sub(bought),
        };
        for place in places {
            before.events_per_minute = before.events_per_minute.saturating_add(1);
            if is_purchase(&place) {
                before.purchases_per_hour = before.purchases_per_hour.saturating_add(1);
            }
            if let Some(rate) = found.get_mut(place) {
                *rate = before;
            }
        }
    }
    found
}

/// The user, else the address.
fn actor(request: &Request<'_>, event: &Tracked<'_>) -> Option<Mark> {
    match event.user_id.text() {
        Some(user) => Some(Mark::of(&[b"user", user.as_bytes()])),
        None => request.peer.map(|peer| Mark::of(&[b"address", peer.to_string().as_bytes()])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crawler_is_blocked_a_program_marked_and_a_shopper_let_through() {
        for (agent, expected) in [
            ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", Some(2)),
            ("Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; GPTBot/1.2)", Some(2)),
            ("Mozilla/5.0 (compatible; MJ12bot/v1.4.8; http://mj12bot.com/)", Some(2)),
            ("Mozilla/5.0 (compatible; Baiduspider/2.0)", Some(2)),
            ("Mozilla/5.0+(compatible; UptimeRobot/2.0; http://www.uptimerobot.com/)", Some(2)),
            ("facebookexternalhit/1.1", Some(2)),
            ("Mozilla/5.0 (compatible; Yahoo! Slurp)", Some(2)),
            ("curl/8.5.0", Some(1)),
            ("python-requests/2.31.0", Some(1)),
            ("Go-http-client/1.1", Some(1)),
            ("node", Some(1)),
            ("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 HeadlessChrome/120.0.0.0", Some(1)),
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/120.0.0.0 Safari/537.36",
                None,
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 17_2 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148",
                None,
            ),
            ("Mozilla/5.0 (Linux; Android 9; CUBOT X19) AppleWebKit/537.36 Mobile Safari/537.36", None),
            ("okhttp/4.12.0", None),
            ("Shop/12 CFNetwork/1485 Darwin/23.1.0", None),
            ("", None),
        ] {
            assert_eq!(bot(agent), expected, "{agent}");
        }
    }

    #[test]
    fn a_threshold_is_the_greatest_that_is_fine() {
        for (value, expected) in [(300, None), (301, Some(1)), (1200, Some(1)), (1201, Some(2))] {
            assert_eq!(graded(value, [300, 1200]), expected);
        }
    }
}
