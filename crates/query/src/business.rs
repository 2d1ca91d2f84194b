//! What the shops have done today, for Prometheus: read from the published figures at the moment of a scrape, so that
//! nothing is kept twice and a day that ends is followed by one that starts at zero.
//!
//! Labels are bounded: workspaces are those of the configuration, and one for the letters of none of them; currencies those of ISO 4217, reasons those of the
//! code. Amounts are integers of minor units; `tillstream_currency_digits` says how many digits stand after the point.

use std::fmt;
use std::sync::Arc;

use commerce::{Currency, EventTime, Reason};
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntGaugeVec, Opts};
use service::metrics::{Business, NO_SOURCE};

use crate::letters::Open;
use crate::range::Range;
use crate::reports::today::{Sums, held, today};
use crate::snapshot::Published;
use crate::tenants::Tenants;

/// Orders without a rate are looked for among those of so many days.
const HELD_DAYS: i32 = 30;

/// The label of letters that are of no workspace that is configured; no workspace can have this name.
const NO_WORKSPACE: &str = "(none)";

/// Collects the figures of all workspaces.
pub(crate) struct Shops {
    tenants: Tenants,
    published: Arc<Published>,
    now: fn() -> EventTime,
    /// The families without figures, by which the registry knows them.
    families: Vec<IntGaugeVec>,
}

impl fmt::Debug for Shops {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shops").finish_non_exhaustive()
    }
}

impl Shops {
    /// The figures of these workspaces.
    pub(crate) fn new(
        tenants: Tenants,
        published: Arc<Published>,
        now: fn() -> EventTime,
    ) -> Result<Self, prometheus::Error> {
        Ok(Self { tenants, published, now, families: families()? })
    }

    fn fill(&self, families: &[IntGaugeVec]) {
        let set = |figure: Business, labels: &[&str], value: i128| {
            if let Some(gauge) = families.get(figure as usize).map(|vec| vec.with_label_values(labels)) {
                gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
            }
        };
        let (snapshot, now) = (self.published.snapshot(), (self.now)());
        for tenant in self.tenants.all() {
            let Some(workspace) = snapshot.workspace(tenant.id.as_str()) else { continue };
            let id = tenant.id.as_str();
            let day = tenant.zone.day_of(now);
            let known = today(&workspace.cells, Range::day(day), tenant.base);
            for (currency, Sums { gross, orders, refund_amount, refunds }) in &known.by_currency {
                let labels = [id, currency.as_str()];
                set(Business::RevenueToday, &labels, *gross);
                set(Business::OrdersToday, &labels, *orders);
                set(Business::RefundAmountToday, &labels, *refund_amount);
                set(Business::RefundsToday, &labels, *refunds);
                digits(&set, *currency);
            }
            set(Business::BaseRevenueToday, &[id, tenant.base.as_str()], known.in_base.gross);
            digits(&set, tenant.base);
            for (ending, carts) in known.carts {
                set(Business::CartsToday, &[id, ending], carts);
            }
            if let Some(as_of) = known.as_of {
                set(Business::FiguresAsOf, &[id], i128::from(as_of.0 / commerce::time::SECOND));
            }
            for (currency, orders) in held(&workspace.cells, Range::until(day, HELD_DAYS), tenant.base) {
                set(Business::OrdersWithoutRate, &[id, currency.as_str()], orders);
            }
            letters(families, id, &workspace.letters.open(now));
        }
        // Nobody's shop, but somebody's affair: of no workspace that could be read, or of none that is configured.
        for (id, workspace) in snapshot.all() {
            if self.tenants.get(id).is_none() {
                letters(families, NO_WORKSPACE, &workspace.letters.open(now));
            }
        }
    }
}

/// Adds open letters to those of the same label: there is one for all that have no workspace here.
fn letters(families: &[IntGaugeVec], workspace: &str, open: &Open) {
    let count = |letters: u64| i64::try_from(letters).unwrap_or(i64::MAX);
    if let Some(gauges) = families.get(Business::OpenLetters as usize) {
        for (reason, letters) in &open.by_reason {
            let reason = Reason::parse(reason).map_or(NO_SOURCE, Reason::code);
            gauges.with_label_values(&[workspace, reason]).add(count(*letters));
        }
    }
    if let (Some(gauges), Some(oldest)) = (families.get(Business::OldestOpenLetter as usize), open.oldest) {
        let (gauge, oldest) = (gauges.with_label_values(&[workspace]), i64::from(oldest.0) * 86_400);
        let before = gauge.get();
        gauge.set(if before == 0 { oldest } else { before.min(oldest) });
    }
}

fn digits(set: &impl Fn(Business, &[&str], i128), currency: Currency) {
    set(Business::CurrencyDigits, &[currency.as_str()], i128::from(currency.exponent()));
}

fn families() -> Result<Vec<IntGaugeVec>, prometheus::Error> {
    let made = Business::ALL.iter().map(|figure| {
        let family = figure.family();
        IntGaugeVec::new(Opts::new(family.name, family.meaning), family.labels)
    });
    made.collect()
}

impl Collector for Shops {
    fn desc(&self) -> Vec<&Desc> {
        self.families.iter().flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        // Made anew, so that a currency of yesterday is gone.
        let Ok(families) = families() else { return Vec::new() };
        self.fill(&families);
        families
            .iter()
            .flat_map(Collector::collect)
            .filter(|family| !family.get_metric().is_empty())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use commerce::letter::Status;
    use commerce::{DeadLetter, Metric, ReceivedTime};
    use service::Metrics;

    use super::*;
    use crate::cells::samples::revenue;
    use crate::letters::samples::letter;
    use crate::snapshot::Working;
    use crate::tenants::samples::demo;

    fn noon() -> EventTime {
        commerce::time::parse_iso("2026-03-15T12:00:00Z").unwrap().at
    }

    fn next_day() -> EventTime {
        commerce::time::parse_iso("2026-03-16T00:00:01Z").unwrap().at
    }

    fn text(figures: &[Metric], letters: &[DeadLetter], now: fn() -> EventTime) -> String {
        let (published, mut working) = (Arc::new(Published::default()), Working::default());
        for metric in figures {
            working.metric(metric.key().as_bytes(), Some(metric)).unwrap();
        }
        letters.iter().for_each(|letter| working.letter(letter));
        working.publish(&published);
        let mut tenants = Tenants::default();
        tenants.add(demo(), []).unwrap();
        let metrics = Metrics::new("1").unwrap();
        metrics.registry().register(Box::new(Shops::new(tenants, published, now).unwrap())).unwrap();
        let text = metrics.to_text().unwrap();
        text.lines().filter(|line| !line.starts_with('#')).fold(String::new(), |all, line| all + line + "\n")
    }

    #[test]
    fn today_is_told_per_workspace_and_currency_and_ends_with_the_day() {
        let mut dollars = revenue(
            "2026-03-15",
            "USD",
            &[("gross", 10_001), ("orders", 3), ("refunds", 1), ("refund_amount", 2_000)],
        );
        dollars.as_of = ReceivedTime(noon().0);
        let mut converted = revenue("2026-03-15", "EUR", &[("gross", 1_100), ("orders", 1)]);
        converted.dimensions.insert("base".to_owned(), "USD".to_owned());
        let figures = [
            dollars,
            revenue("2026-03-15", "EUR", &[("gross", 1_000), ("orders", 2)]),
            converted,
            revenue("2026-03-14", "JPY", &[("gross", 5), ("orders", 1)]),
        ];
        let text = |now| text(&figures, &[], now);
        for line in [
            r#"tillstream_revenue_today_minor_units{currency="USD",workspace="demo"} 10001"#,
            r#"tillstream_revenue_today_minor_units{currency="EUR",workspace="demo"} 1000"#,
            r#"tillstream_base_revenue_today_minor_units{currency="USD",workspace="demo"} 11101"#,
            r#"tillstream_orders_today{currency="EUR",workspace="demo"} 2"#,
            r#"tillstream_refunds_today{currency="USD",workspace="demo"} 1"#,
            r#"tillstream_refund_amount_today_minor_units{currency="USD",workspace="demo"} 2000"#,
            r#"tillstream_currency_digits{currency="JPY"} 0"#,
            r#"tillstream_figures_as_of_timestamp_seconds{workspace="demo"} 1773576000"#,
            r#"tillstream_orders_without_rate{currency="JPY",workspace="demo"} 1"#,
        ] {
            assert!(text(noon).contains(line), "{line} in {}", text(noon));
        }
        let tomorrow = text(next_day);
        assert!(tomorrow.contains(r#"revenue_today_minor_units{currency="USD",workspace="demo"} 0"#));
        assert!(tomorrow.contains(r#"orders_today{currency="EUR",workspace="demo"} 0"#), "{tomorrow}");
    }

    #[test]
    fn open_letters_are_told_by_reason_with_the_oldest_of_them() {
        let old = letter("a", "bad_time", "2026-03-10T10:00:00Z");
        let letters = [
            old.clone(),
            letter("b", "bad_time", "2026-03-14T10:00:00Z"),
            letter("c", "of a later version", "2026-03-14T10:00:00Z"),
        ];
        let told = text(&[], &letters, noon);
        for line in [
            r#"tillstream_dead_letters_open{reason="bad_time",workspace="demo"} 2"#,
            r#"tillstream_dead_letters_open{reason="none",workspace="demo"} 1"#,
            r#"tillstream_dead_letters_oldest_open_timestamp_seconds{workspace="demo"} 1773100800"#,
        ] {
            assert!(told.contains(line), "{line} in {told}");
        }
        let gone = DeadLetter { status: Status::Discarded, redrive_count: 1, ..old };
        let told = text(&[], &[letters.as_slice(), &[gone]].concat(), noon);
        assert!(told.contains("oldest_open_timestamp_seconds{workspace=\"demo\"} 1773446400"), "{told}");
    }

    #[test]
    fn letters_of_no_workspace_that_is_configured_are_told_together() {
        let of =
            |workspace: &str, letter: DeadLetter| DeadLetter { workspace: workspace.to_owned(), ..letter };
        let letters = [
            of("", letter("a", "unreadable_record", "2026-03-14T10:00:00Z")),
            of("gone", letter("b", "unknown_workspace", "2026-03-10T10:00:00Z")),
            of("gone-too", letter("c", "unknown_workspace", "2026-03-12T10:00:00Z")),
            letter("d", "bad_time", "2026-03-15T10:00:00Z"),
        ];
        let told = text(&[], &letters, noon);
        for line in [
            r#"tillstream_dead_letters_open{reason="unreadable_record",workspace="(none)"} 1"#,
            r#"tillstream_dead_letters_open{reason="unknown_workspace",workspace="(none)"} 2"#,
            r#"tillstream_dead_letters_open{reason="bad_time",workspace="demo"} 1"#,
            r#"tillstream_dead_letters_oldest_open_timestamp_seconds{workspace="(none)"} 1773100800"#,
        ] {
            assert!(told.contains(line), "{line} in {told}");
        }
        assert!(!told.contains("gone"), "{told}");
    }

    #[test]
    fn a_workspace_of_which_nothing_is_known_says_nothing() {
        assert!(!text(&[], &[], noon).contains("workspace="));
    }
}
