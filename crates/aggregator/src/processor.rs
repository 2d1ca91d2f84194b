//! One fact: which cells move, by how much.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use commerce::letter::WHOLE;
use commerce::order::Figures;
use commerce::policy::Policy;
use commerce::time::Zone;
use commerce::{EventName, Fact, Metric, Outcome, Reason, ReceivedTime, WorkspaceId};
use service::stage::{Letters, Parts, decode, encode_error};
use stream::{Context, Failure, Poison, Processor, Record};
use topics::{Decoder, Encoder, Topic};

use crate::aggregation::add_up;
use crate::cell::{Deltas, Ends, Span};
use crate::kept::{get, put, read, unreadable_key};
use crate::pending::Pending;
use crate::rows::Book;
use crate::{CLOCK, LETTERS, METRICS, STAGE, buyer, people, title};

/// The stored clock is behind the true one by at most this, so that not every fact has to store it.
const CLOCK_STEP: i64 = 60 * commerce::time::SECOND;

/// The stage's logic.
pub struct Aggregator {
    zones: HashMap<WorkspaceId, Zone>,
    /// How long a cart may rest before it is abandoned, in seconds, before a version of the policy said so.
    quiet: HashMap<WorkspaceId, i64>,
    grace: i64,
    decoder: Decoder,
    metrics: Encoder,
    letters: Letters,
    /// False where another version of the figures writes the letters of facts that can't be read. It becomes true when
    /// this one is switched to, while it works.
    writes_letters: Arc<AtomicBool>,
    value: Vec<u8>,
}

impl Aggregator {
    /// A processor with its codecs. `grace`: how long after its end a window may move without being marked.
    pub fn new(parts: &Parts, grace: Duration) -> anyhow::Result<Self> {
        Ok(Self {
            zones: parts.workspaces.iter().map(|w| (w.id.clone(), w.zone.clone())).collect(),
            quiet: parts.workspaces.iter().map(|w| (w.id.clone(), w.rules.abandoned_after_s)).collect(),
            grace: i64::try_from(grace.as_micros()).unwrap_or(i64::MAX),
            decoder: parts.schemas.decoder(),
            metrics: parts.schemas.encoder(Topic::Metrics)?,
            letters: Letters::new(parts, STAGE, LETTERS)?,
            writes_letters: Arc::new(AtomicBool::new(true)),
            value: Vec::new(),
        })
    }

    /// How long a cart may rest now, in microseconds.
    fn quiet(&self, workspace: &WorkspaceId, ctx: &Context<'_>) -> Result<i64, Failure> {
        let said: Option<i64> = get(ctx, CLOCK, &quiet_key(workspace))?;
        let seconds = said.or_else(|| self.quiet.get(workspace).copied()).unwrap_or_default();
        Ok(seconds.saturating_mul(commerce::time::SECOND))
    }

    /// A version of the policy has begun to count. Carts are looked at by it from here on; what days are cut by is the
    /// same in all versions.
    fn policy(fact: &Fact<Figures>, ctx: &mut Context<'_>) -> Result<(), Failure> {
        let Some(policy) = Policy::announced(&fact.workspace, &fact.properties) else {
            return Err(Failure::Poison(Poison {
                reason: Reason::UnsupportedEvent.code(),
                field: Some("properties".to_owned()),
                message: "a policy that can't be read".to_owned(),
            }));
        };
        put(ctx, CLOCK, &quiet_key(&fact.workspace), &policy.rules.abandoned_after_s)
    }

    /// Counts facts that can't be read, and leaves their letters to another version of the figures as long as this is
    /// false.
    #[must_use]
    pub fn with_letters(mut self, writes: Arc<AtomicBool>) -> Self {
        self.writes_letters = writes;
        self
    }

    /// Days were cut in the zone that is stored here: with another one a fact would take back from a day what was
    /// added to another.
    fn check_zone(ctx: &mut Context<'_>, workspace: &WorkspaceId, zone: &Zone) -> Result<(), Failure> {
        let key = [b"zone:", workspace.as_str().as_bytes()].concat();
        let known = ctx.get(CLOCK, &key);
        match known.as_deref().map(|bytes| read::<&str>(CLOCK, bytes)).transpose()? {
            Some(known) if known == zone.name() => Ok(()),
            Some(known) => Err(Failure::Fatal(format!(
                "the days of workspace '{workspace}' were cut by {known}, and its policy says {}: {known} stays what they \
                 are cut by; a workspace of another id can have the other zone from its first day on",
                zone.name()
            ))),
            None => put(ctx, CLOCK, &key, &zone.name()),
        }
    }

    /// The stream clock of a workspace, moved forward to `received_at`.
    fn clock(
        ctx: &mut Context<'_>,
        workspace: &WorkspaceId,
        received_at: ReceivedTime,
    ) -> Result<i64, Failure> {
        let key = workspace.as_str().as_bytes();
        let known: i64 = get(ctx, CLOCK, key)?.unwrap_or(i64::MIN);
        if received_at.0.saturating_sub(known) >= CLOCK_STEP {
            put(ctx, CLOCK, key, &received_at.0)?;
        }
        Ok(known.max(received_at.0))
    }
}

fn quiet_key(workspace: &WorkspaceId) -> Vec<u8> {
    [b"quiet:", workspace.as_str().as_bytes()].concat()
}

impl Processor for Aggregator {
    fn process(&mut self, record: &Record<'_>, ctx: &mut Context<'_>) -> Result<(), Failure> {
        let fact: Fact<Figures> = decode(&mut self.decoder, record)?;
        let Some(zone) = self.zones.get(&fact.workspace) else {
            // Setting it aside would break the chain of its order: the next fact takes back what was never added.
            let message =
                format!("workspace '{}' isn't configured: its facts wait until it is", fact.workspace);
            return Err(Failure::Transient(message));
        };
        Self::check_zone(ctx, &fact.workspace, zone)?;
        if fact.event == EventName::PolicyPublished {
            Self::policy(&fact, ctx)?;
            ctx.count([Outcome::Published.as_str(), "", fact.source.as_str()]);
            return Ok(());
        }
        let quiet = self.quiet(&fact.workspace, ctx)?;
        let clock = Self::clock(ctx, &fact.workspace, fact.received_at)?;
        let closed_before = clock.saturating_sub(self.grace);
        let workspace = &fact.workspace;
        let mut deltas = Deltas::new(workspace).map_err(|e| unreadable_key(&e))?;
        add_up(&fact, zone, &mut deltas);
        if fact.before != fact.after {
            buyer::apply(&fact, zone, ctx, &mut deltas)?;
        }
        let titles = title::said(&fact)?;
        let mut book = Book::new(ctx, workspace.as_str(), zone, closed_before);
        people::apply(&mut book, &fact, quiet)?;
        let (moves, presences) = (std::mem::take(&mut book.moves), std::mem::take(&mut book.presences));
        let mut people: Vec<(Vec<u8>, Span, Vec<i64>)> = Vec::new();
        for (spot, sums) in moves.settle() {
            let (span, place) = (spot.span(), spot.place());
            people.push((place.key(workspace).map_err(|e| unreadable_key(&e))?, span, sums));
        }
        let sums = deltas.moved().map_err(|e| unreadable_key(&e))?;
        let mut ends = Ends::new(&self.zones);
        let mut late = |span| ends.of_span(workspace, span).0 <= closed_before;
        // Nothing of the fact can fail any more.
        let pending: &mut Pending = ctx.scratch();
        for (key, span, sums) in sums {
            pending.cell(key, &sums, late(span), fact.received_at);
        }
        for (key, span, sums) in people {
            pending.cell(&key, &sums, late(span), fact.received_at);
        }
        for presence in presences {
            pending.set(presence, fact.received_at);
        }
        title::collect(&mut pending.titles, titles);
        ctx.count([Outcome::Published.as_str(), "", fact.source.as_str()]);
        Ok(())
    }

    fn publish(&mut self, ctx: &mut Context<'_>) -> Result<(), Failure> {
        let Pending { cells, sets, titles } = std::mem::take(ctx.scratch());
        let (value, metrics) = (&mut self.value, &self.metrics);
        let mut say = |metric: &Metric, ctx: &mut Context<'_>| {
            value.clear();
            metrics.encode(metric, value).map_err(|e| encode_error(&e))?;
            ctx.emit(METRICS, Some(ctx.partition()), metric.key().as_bytes(), Some(value))
        };
        let mut ends = Ends::new(&self.zones);
        for (key, moved) in cells {
            say(&moved.store(ctx, &key, &mut ends)?, ctx)?;
        }
        for (key, changed) in sets {
            say(&changed.store(ctx, &key, &mut ends)?, ctx)?;
        }
        for (key, metric) in title::store(ctx, titles)? {
            match metric {
                Some(metric) => say(&metric, ctx)?,
                None => ctx.emit(METRICS, Some(ctx.partition()), key.as_bytes(), None)?,
            }
        }
        Ok(())
    }

    fn dead_letter(
        &mut self,
        record: &Record<'_>,
        poison: &Poison,
        ctx: &mut Context<'_>,
    ) -> Result<(), Failure> {
        let outcome = if self.writes_letters.load(Ordering::Acquire) {
            self.letters.set_aside(record, WHOLE, poison, ctx)?.1
        } else {
            Outcome::DeadLettered(Reason::parse(poison.reason).unwrap_or(Reason::BadValue))
        };
        ctx.count([outcome.as_str(), outcome.detail(), ""]);
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod samples;

#[cfg(test)]
mod tests {
    use commerce::event::{Activity, Campaign};
    use commerce::order::Figures;
    use commerce::policy::{Policy, Rules};
    use commerce::time::{DAY, SECOND};
    use commerce::{Currency, EventName, EventTime, Fact, Money, PersonId, ReceivedTime, WorkspaceId};

    use super::samples::Folded;
    use crate::aggregation;
    use crate::aggregation::samples::{fact, line, paid};

    #[test]
    fn a_fact_that_moves_nothing_publishes_nothing() {
        let mut folded = Folded::new();
        let view = Figures { items: vec![line("A", "Nano", 1, 100)], ..paid(100, 1) };
        folded.order(None, Some(&view));
        assert!(folded.published > 0);
        let entries = folded.metrics.len();
        folded.order(Some(&view), Some(&view));
        folded.order(None, None);
        let unpaid = Figures { counted: false, counted_at: None, ..paid(100, 1) };
        folded.order(None, Some(&unpaid));
        assert_eq!((folded.published, folded.metrics.len()), (0, entries));
    }

    #[test]
    fn a_cart_rests_as_long_as_the_policy_says_that_the_stream_has_brought() {
        let abandoned = |folded: &Folded| folded.cells("carts");
        let mut folded = Folded::new();
        let left = |id: &str, minute: i64| {
            let mut fact = fact();
            fact.event = EventName::CheckoutStarted;
            fact.event_id = id.to_owned();
            fact.occurred_at = EventTime(minute * 60 * SECOND);
            fact.received_at = ReceivedTime(minute * 60 * SECOND);
            fact.person_id = Some(PersonId(minute.unsigned_abs().into()));
            fact.activity = Some(Activity { cart_id: Some(id.to_owned()), ..Activity::default() });
            fact
        };
        folded.fact(left("a", 0));
        folded.fact(left("b", 59));
        assert_eq!(abandoned(&folded), ["1970-01-01 shopify: abandoned 0, completed 0, opened 2"]);
        folded.fact(left("c", 60));
        assert_eq!(abandoned(&folded), ["1970-01-01 shopify: abandoned 1, completed 0, opened 3"]);
        let policy = policy(600);
        folded.fact(Fact::of_event(&policy.announcement().unwrap(), None).remove(0));
        folded.fact(left("d", 68));
        folded.fact(left("e", 78));
        // What was left before is looked at again when it was to be; what was left since, after ten minutes.
        assert_eq!(abandoned(&folded), ["1970-01-01 shopify: abandoned 2, completed 0, opened 5"]);
    }

    fn policy(abandoned_after_s: i64) -> Policy {
        let rules = sources::Workspace::development().unwrap().rules;
        Policy {
            workspace: WorkspaceId::try_new("demo").unwrap(),
            version: 2,
            effective_at: EventTime(0),
            published_at: EventTime(0),
            published_by: "jane".to_owned(),
            note: None,
            rules: Rules { abandoned_after_s, ..rules },
        }
    }

    #[test]
    fn an_order_that_stops_counting_leaves_nothing_in_any_metric() {
        let mut folded = Folded::new();
        let view = Figures {
            items: vec![line("A", "Nano", 1, 100)],
            coupon_codes: vec!["vip".into()],
            person_id: Some(PersonId(1)),
            campaign: Some(Campaign { campaign: Some("spring".into()), ..Campaign::default() }),
            refunds: [("r".to_owned(), Money::new(40, Currency::USD))].into(),
            refund_times: [("r".to_owned(), EventTime(61 * DAY))].into(),
            ..paid(100, 1)
        };
        folded.order(None, Some(&view));
        // An order alone opens no cart, and with a campaign of its own it is credited.
        // And one in the base currency isn't converted.
        let others = ["carts", "abandoned_value", "unattributed", "converted"];
        let all = || aggregation::ALL.iter().map(|known| known.metric).chain(["product_name", "funnel"]);
        let metrics = || all().filter(|metric| !others.contains(metric));
        for metric in metrics() {
            assert!(!folded.cells(metric).is_empty(), "{metric}");
        }
        folded.order(Some(&view), Some(&Figures { qa: true, ..view.clone() }));
        for metric in metrics() {
            assert!(folded.cells(metric).is_empty(), "{metric}");
        }
    }

    #[test]
    fn a_figure_beyond_64_bits_stops_nobody_and_comes_back_exactly() {
        let mut folded = Folded::new();
        let huge = paid(i64::MAX - 5, 1);
        let gross = |folded: &Folded| {
            let mut cells = folded.metrics.values().filter(|metric| metric.metric == "revenue");
            cells.next().unwrap().values["gross"]
        };
        for _ in 0..3 {
            folded.order(None, Some(&huge));
        }
        assert_eq!(gross(&folded), i64::MAX, "as far as it can be said");
        folded.order(None, Some(&paid(7, 1)));
        for _ in 0..3 {
            folded.order(Some(&huge), None);
        }
        assert_eq!(gross(&folded), 7);
    }

    #[test]
    fn a_breakdown_that_moves_after_its_day_says_that_it_was_corrected() {
        let mut folded = Folded::new();
        let view = paid(100, 1);
        folded.order_on(1, None, Some(&view));
        folded.order_on(9, Some(&view), Some(&Figures { country: Some("DE".into()), ..view.clone() }));
        let corrected = |name: &str| {
            let mut cells = folded.metrics.values().filter(|metric| metric.metric == name);
            cells.clone().count() > 0 && cells.all(|cell| cell.corrected)
        };
        assert!(corrected("revenue_by_country") && !corrected("revenue_by_device") && !corrected("revenue"));
    }

    #[test]
    fn a_month_is_corrected_after_its_end_and_not_after_its_first_day() {
        let (mut folded, view) = (Folded::new(), Figures { person_id: Some(PersonId(1)), ..paid(100, 5) });
        let of_month = |folded: &Folded| {
            let cell = folded.metrics.values().find(|metric| metric.metric == "cohort_revenue").unwrap();
            (cell.window_start.clone(), cell.window_end_at, cell.corrected)
        };
        let (start, end) = (|| "1970-01-01".to_owned(), Some(EventTime(31 * DAY)));
        folded.order_on(5, None, Some(&view));
        assert_eq!(of_month(&folded), (start(), end, false));
        folded.order_on(
            31,
            Some(&view),
            Some(&Figures { total: Some(Money::new(90, Currency::USD)), ..view.clone() }),
        );
        assert_eq!(of_month(&folded), (start(), end, true));
    }
}
