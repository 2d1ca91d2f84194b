//! What is counted: one closed, documented table of families, and the registry that all services of a process share.

#![allow(
    clippy::float_arithmetic,
    reason = "Prometheus' figures are floats; no amount of money comes near them"
)]

#[cfg(test)]
mod deployed;
mod family;
mod process;

use std::sync::Arc;
use std::time::Duration;

use commerce::{Outcome, Source};
use prometheus::{
    HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};

pub use crate::metrics::family::{Business, Counter, Family, Gauge, Histogram, table};

/// The label `source` where none is known.
pub const NO_SOURCE: &str = "none";

/// Bounds of the buckets, in seconds: fine where the targets lie, up to a minute for what is stuck.
const BUCKETS: [f64; 16] =
    [0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.06, 0.1, 0.25, 0.5, 1.0, 2.5, 4.0, 10.0, 30.0, 60.0];

/// Bounds for numbers of records, and for bytes.
const RECORD_BUCKETS: [f64; 8] = [1.0, 10.0, 100.0, 1_000.0, 5_000.0, 10_000.0, 25_000.0, 50_000.0];
const BYTE_BUCKETS: [f64; 8] =
    [1e3, 1e4, 1e5, 1_048_576.0, 4_194_304.0, 16_777_216.0, 33_554_432.0, 67_108_864.0];

fn buckets(histogram: Histogram) -> Vec<f64> {
    match histogram {
        Histogram::TransactionRecords => RECORD_BUCKETS.to_vec(),
        Histogram::TransactionBytes => BYTE_BUCKETS.to_vec(),
        _ => BUCKETS.to_vec(),
    }
}

/// All counters of a process. Clones are the same value.
#[derive(Clone)]
pub struct Metrics {
    inner: Arc<Inner>,
}

struct Inner {
    registry: Registry,
    /// By the position in `ALL`, likewise the others.
    counters: Vec<IntCounterVec>,
    gauges: Vec<IntGaugeVec>,
    histograms: Vec<HistogramVec>,
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Metrics {
    /// Registers every family. `version` is the one that [`Gauge::BuildInfo`] names.
    pub fn new(version: &str) -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let opts = |family: Family| Opts::new(family.name, family.meaning);
        let mut counters = Vec::new();
        for counter in Counter::ALL {
            let family = counter.family();
            let vec = IntCounterVec::new(opts(family), family.labels)?;
            registry.register(Box::new(vec.clone()))?;
            counters.push(vec);
        }
        let mut gauges = Vec::new();
        for gauge in Gauge::ALL {
            let family = gauge.family();
            let vec = IntGaugeVec::new(opts(family), family.labels)?;
            registry.register(Box::new(vec.clone()))?;
            gauges.push(vec);
        }
        let mut histograms = Vec::new();
        for histogram in Histogram::ALL {
            let family = histogram.family();
            let opts = HistogramOpts::new(family.name, family.meaning).buckets(buckets(*histogram));
            let vec = HistogramVec::new(opts, family.labels)?;
            registry.register(Box::new(vec.clone()))?;
            histograms.push(vec);
        }
        registry.register(Box::new(process::Process::new()?))?;
        let metrics = Self { inner: Arc::new(Inner { registry, counters, gauges, histograms }) };
        metrics.gauge(Gauge::BuildInfo, &[version]).set(1);
        Ok(metrics)
    }

    /// One counter; `labels` in the order of its family. Keep it where it is raised often.
    pub fn counter(&self, counter: Counter, labels: &[&str]) -> IntCounter {
        let vec = &self.inner.counters[counter as usize];
        vec.get_metric_with_label_values(labels).unwrap_or_else(|_| {
            mismatch(counter.family(), labels);
            vec.with_label_values(&vec![MISMATCH; counter.family().labels.len()])
        })
    }

    /// One gauge; `labels` in the order of its family.
    pub fn gauge(&self, gauge: Gauge, labels: &[&str]) -> IntGauge {
        let vec = &self.inner.gauges[gauge as usize];
        vec.get_metric_with_label_values(labels).unwrap_or_else(|_| {
            mismatch(gauge.family(), labels);
            vec.with_label_values(&vec![MISMATCH; gauge.family().labels.len()])
        })
    }

    /// One histogram; `labels` in the order of its family.
    pub fn histogram(&self, histogram: Histogram, labels: &[&str]) -> Timer {
        let vec = &self.inner.histograms[histogram as usize];
        Timer(vec.get_metric_with_label_values(labels).unwrap_or_else(|_| {
            mismatch(histogram.family(), labels);
            vec.with_label_values(&vec![MISMATCH; histogram.family().labels.len()])
        }))
    }

    /// Counts `items` that ended in `outcome` at `stage`, a duplicate under its level too.
    pub fn record(&self, stage: &str, source: Option<Source>, outcome: Outcome, items: u64) {
        let source = source.map_or(NO_SOURCE, Source::as_str);
        self.counter(Counter::Records, &[stage, source, outcome.as_str(), outcome.detail()]).inc_by(items);
        if let Outcome::Duplicate(level) = outcome {
            self.counter(Counter::Duplicates, &[level.as_str(), source]).inc_by(items);
        }
    }

    /// Where a crate registers what is its own (business figures).
    pub fn registry(&self) -> &Registry {
        &self.inner.registry
    }

    /// Prometheus text.
    pub fn to_text(&self) -> Result<String, String> {
        TextEncoder::new().encode_to_string(&self.inner.registry.gather()).map_err(|error| error.to_string())
    }
}

/// A histogram of seconds that takes spans.
#[derive(Clone, Debug)]
pub struct Timer(prometheus::Histogram);

impl Timer {
    /// Adds one span.
    pub fn observe(&self, span: Duration) {
        self.0.observe(span.as_secs_f64());
    }

    /// Adds one size: of a histogram whose unit isn't seconds.
    #[expect(clippy::cast_precision_loss, reason = "a bucket of a histogram needs no 53 bits")]
    pub fn observe_size(&self, size: u64) {
        self.0.observe(size as f64);
    }
}

/// The value of all labels where a caller's don't fit the family: a fault of ours that must not stop a service.
const MISMATCH: &str = "mismatch";

fn mismatch(family: Family, labels: &[&str]) {
    debug_assert!(false, "{} has labels {:?}, not {labels:?}", family.name, family.labels);
    tracing::error!(family = family.name, "labels don't fit the family");
}

#[cfg(test)]
mod tests {
    use commerce::{DuplicateLevel, Reason};

    use super::*;

    #[test]
    fn every_family_has_a_lawful_name_and_a_meaning() {
        for family in table() {
            assert!(family.meaning.ends_with('.') && !family.meaning.starts_with(' '), "{}", family.name);
            assert_eq!(family.kind == "counter", family.name.ends_with("_total"), "{}", family.name);
            assert!(family.name.starts_with("tillstream_") || family.name.starts_with("process_"));
        }
    }

    #[test]
    fn what_is_counted_is_exported() {
        let metrics = Metrics::new("1.2.3").unwrap();
        metrics.record("state", Some(Source::Shopify), Outcome::Duplicate(DuplicateLevel::Semantic), 2);
        metrics.record("gateway", None, Outcome::Rejected(Reason::UnknownPath), 1);
        metrics.histogram(Histogram::EndToEndLatency, &["state"]).observe(Duration::from_millis(70));
        let text = metrics.to_text().unwrap();
        for line in [
            r#"tillstream_build_info{version="1.2.3"} 1"#,
            r#"tillstream_duplicates_total{level="semantic",source="shopify"} 2"#,
            r#"tillstream_records_total{detail="semantic",outcome="duplicate",source="shopify",stage="state"} 2"#,
            r#"tillstream_records_total{detail="unknown_path",outcome="rejected",source="none",stage="gateway"} 1"#,
            r#"tillstream_end_to_end_latency_seconds_bucket{stage="state",le="0.1"} 1"#,
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
        let memory = text.lines().find(|line| line.starts_with("process_resident_memory_bytes ")).unwrap();
        assert!(memory.rsplit(' ').next().unwrap().parse::<f64>().unwrap() > 1_000_000.0);
    }
}
