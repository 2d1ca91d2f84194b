//! The closed, documented table of what is counted. The reference page is made from it.

/// One row of the table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Family {
    /// The exported name.
    pub name: &'static str,
    /// `counter`, `gauge` or `histogram`.
    pub kind: &'static str,
    /// Its labels.
    pub labels: &'static [&'static str],
    /// What one of it is.
    pub unit: &'static str,
    /// What it means.
    pub meaning: &'static str,
}

macro_rules! families {
    ($(#[$meta:meta])* $type:ident, $kind:literal; $($(#[doc = $doc:literal])+ $variant:ident = $name:literal [$($label:literal),*] $unit:literal,)+) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub enum $type {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl $type {
            /// All of them, in the order in which they are documented.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// Its row of the table.
            pub const fn family(self) -> Family {
                match self {
                    $(Self::$variant => Family {
                        name: $name,
                        kind: $kind,
                        labels: &[$($label),*],
                        unit: $unit,
                        meaning: concat!($($doc),+).trim_ascii_start(),
                    },)+
                }
            }
        }
    };
}

families! {
    /// What only grows. Labels are bounded: no ids, no addresses, no text of a sender.
    Counter, "counter";
    /// Items that ended at a stage, by outcome; `detail` is the level of a duplicate or the code of a reason. The sum over outcomes is what came in.
    Records = "tillstream_records_total" ["stage", "source", "outcome", "detail"] "items",
    /// Duplicates that were caught, by the level that caught them: transport, semantic, entity.
    Duplicates = "tillstream_duplicates_total" ["level", "source"] "items",
    /// Requests that were answered; `endpoint` is ingest, reports or preflight, `source` is none where no source was found.
    HttpRequests = "tillstream_http_requests_total" ["endpoint", "source", "status"] "requests",
    /// Transactions that ended, by result: committed, aborted, unknown (then looked up).
    Transactions = "tillstream_transactions_total" ["stage", "result"] "transactions",
    /// Transactions that were aborted or had to be looked up, by what was going on: produce, commit, begin, lost, revoked, fenced, unknown, another membership, foreign commit.
    TransactionAborts = "tillstream_transaction_aborts_total" ["stage", "cause"] "transactions",
    /// Producers that a stage replaced, by cause: slow, slow abort, failed abort, unknown, self-fenced. A late end of transaction can't reach the next one then.
    ProducerRecycles = "tillstream_producer_recycles_total" ["stage", "cause"] "producers",
    /// Changelog records read to rebuild state after a start or a rebalance.
    RestoreRecords = "tillstream_restore_records_total" ["stage"] "records",
    /// Times that the gateway's producer was made anew: a record ran out of time, or it met a fatal error.
    ProducerRestarts = "tillstream_gateway_producer_restarts_total" [] "restarts",
}

families! {
    /// What goes up and down.
    Gauge, "gauge";
    /// Input records that were not yet consumed, summed over the stage's partitions.
    ConsumerLag = "tillstream_consumer_lag_records" ["stage"] "records",
    /// Entries in the state of a stage.
    StateEntries = "tillstream_state_entries" ["stage"] "entries",
    /// Bytes of keys and values in the state of a stage.
    StateBytes = "tillstream_state_bytes" ["stage"] "bytes",
    /// Changelog offsets that restores of a stage still have to read; 0 when none runs.
    RestoreRemaining = "tillstream_restore_remaining_records" ["stage"] "records",
    /// Partitions that a stage holds instead of draining them into dead letters, because the fault is ours; see `/readyz`.
    BreakerHeld = "tillstream_breaker_held_partitions" ["stage"] "partitions",
    /// Bytes of bodies that the gateway holds until Kafka has acknowledged them.
    InFlightBytes = "tillstream_gateway_in_flight_bytes" [] "bytes",
    /// Always 1; the label names the version that runs.
    BuildInfo = "tillstream_build_info" ["version"] "",
}

families! {
    /// Seconds or sizes, in buckets.
    Histogram, "histogram";
    /// From the last byte of a request to its answer.
    HttpRequestDuration = "tillstream_http_request_duration_seconds" ["endpoint", "source"] "seconds",
    /// From the first record of a transaction to the end of its commit.
    TransactionDuration = "tillstream_transaction_duration_seconds" ["stage"] "seconds",
    /// Input records of a transaction.
    TransactionRecords = "tillstream_transaction_records" ["stage"] "records",
    /// Bytes that a transaction produced, keys and values.
    TransactionBytes = "tillstream_transaction_bytes" ["stage"] "bytes",
    /// From the assignment of a partition to the moment at which its state was read back.
    RestoreDuration = "tillstream_restore_duration_seconds" ["stage"] "seconds",
    /// From the gateway's stamp to the moment at which the stage committed what came of it.
    EndToEndLatency = "tillstream_end_to_end_latency_seconds" ["stage"] "seconds",
}

families! {
    /// What shops did, as the query service knows it when it is asked. Amounts are integers of minor units: `value / 10 ^ tillstream_currency_digits` is the amount.
    Business, "gauge";
    /// Gross of the orders that count today, in their own currency. A day begins at midnight of the workspace's zone.
    RevenueToday = "tillstream_revenue_today_minor_units" ["workspace", "currency"] "minor units",
    /// Gross of all orders of today whose rate is known, in the workspace's base currency.
    BaseRevenueToday = "tillstream_base_revenue_today_minor_units" ["workspace", "currency"] "minor units",
    /// Orders that count today.
    OrdersToday = "tillstream_orders_today" ["workspace", "currency"] "orders",
    /// Sum of the refunds that are dated today.
    RefundAmountToday = "tillstream_refund_amount_today_minor_units" ["workspace", "currency"] "minor units",
    /// Refunds that are dated today.
    RefundsToday = "tillstream_refunds_today" ["workspace", "currency"] "refunds",
    /// Carts that were opened today, by what became of them: open, completed, abandoned.
    CartsToday = "tillstream_carts_today" ["workspace", "ending"] "carts",
    /// Orders of the last 30 days that are in no total in base, because the rate of their hour isn't known.
    OrdersWithoutRate = "tillstream_orders_without_rate" ["workspace", "currency"] "orders",
    /// Digits after the point of a currency.
    CurrencyDigits = "tillstream_currency_digits" ["currency"] "digits",
    /// Dead letters of the last 30 days that are neither redriven nor discarded; `reason` is none for a code of a later version,
    /// `workspace` is (none) for letters of no workspace that is configured.
    OpenLetters = "tillstream_dead_letters_open" ["workspace", "reason"] "letters",
    /// Beginning of the day (UTC) on which the oldest open dead letter was set aside.
    OldestOpenLetter = "tillstream_dead_letters_oldest_open_timestamp_seconds" ["workspace"] "seconds since 1970",
    /// The newest arrival that is in the revenue.
    FiguresAsOf = "tillstream_figures_as_of_timestamp_seconds" ["workspace"] "seconds since 1970",
}

/// The whole table: what tillstream counts, then what is read of the process.
pub fn table() -> Vec<Family> {
    let counters = Counter::ALL.iter().map(|counter| counter.family());
    let gauges = Gauge::ALL.iter().map(|gauge| gauge.family());
    let histograms = Histogram::ALL.iter().map(|histogram| histogram.family());
    let business = Business::ALL.iter().map(|figure| figure.family());
    counters.chain(gauges).chain(histograms).chain(business).chain(super::process::FAMILIES).collect()
}
