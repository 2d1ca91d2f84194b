//! Publishing rates: in one transaction to the topic of rates and to every partition of the events.
//!
//! All of it goes through one transactional id. Whoever starts ends what a killed predecessor left open and fences one
//! that still runs; then it reads what is published, up to and including what was just decided. So a rate that is taken
//! for new is new, and no other one can come before its commit.

use std::collections::BTreeMap;
use std::time::Duration;

use commerce::fx::{FxRate, Hour, Rates, WORKSPACE, announcement};
use commerce::{Currency, EventTime, ReceivedTime};
use service::Config;
use stream::{Followed, Outgoing, WriteError, Writer, partition_count, read_decided};
use topics::{Encoder, SchemaRegistry, Schemas, Topic};

use super::book::{Book, Page, Tally};

/// The one name under which rates are published.
const TRANSACTIONAL_ID: &str = "tillstream-fx";
/// How often an aborted transaction is begun anew.
const ATTEMPTS: u32 = 3;
/// So many of the last records say how old rates are: several hours of all currencies into several bases.
const LOOKED_AT: i64 = 5_000;
/// So many pages are one transaction: a page of all currencies has about 30 KB in the topic of rates, and 4 KB in each
/// partition of the events.
const AT_ONCE: usize = 24;

/// Publishes for one cluster.
pub struct Publisher<'a> {
    config: &'a Config,
    schemas: Schemas,
    stop: &'a dyn Fn() -> bool,
}

impl std::fmt::Debug for Publisher<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Publisher").finish_non_exhaustive()
    }
}

impl<'a> Publisher<'a> {
    /// Finds the schemas. Blocks, as everything here.
    pub fn new(config: &'a Config, stop: &'a dyn Fn() -> bool) -> anyhow::Result<Self> {
        let registry = SchemaRegistry::new(&config.registry.url, Duration::from_secs(10))?;
        Ok(Self { config, schemas: Schemas::lookup(&registry)?, stop })
    }

    /// Everything that is published.
    pub fn book(&self) -> anyhow::Result<Book> {
        let (mut book, mut decoder) = (Book::default(), self.schemas.decoder());
        let client = service::kafka::client_config(self.config);
        let mut unreadable = None;
        let whole = read_decided(&client, Topic::FxRates.name(), self.stop, &mut |followed| {
            if let Followed::Record { value: Some(value), offset, .. } = followed {
                match decoder.decode::<FxRate>(value) {
                    Ok(rate) => book.note(&rate),
                    Err(error) => drop(unreadable.get_or_insert(format!("offset {offset}: {error}"))),
                }
            }
            Ok(())
        })?;
        // What can't be read might be the rate that was published first.
        if let Some(message) = unreadable {
            anyhow::bail!("{} can't be read: {message}", Topic::FxRates);
        }
        anyhow::ensure!(whole, "stopped before everything was read");
        Ok(book)
    }

    /// Publishes what `choose` makes of what is published; `now` is when.
    pub fn publish(
        &self,
        provider: &str,
        now: ReceivedTime,
        choose: &dyn Fn(&Book) -> (Vec<Page>, Tally),
    ) -> anyhow::Result<Tally> {
        let client = service::kafka::client_config(self.config);
        let partitions = partition_count(&client, Topic::Events.name(), self.stop)?;
        let [rates, events] = [Topic::FxRates, Topic::Events].map(|topic| self.schemas.encoder(topic));
        let (rates, events) = (rates?, events?);
        let largest = usize::try_from(Topic::Events.spec().max_message.0)?;
        let mut done = 0;
        for attempt in 1.. {
            let writer = Writer::start(&client, TRANSACTIONAL_ID, largest, self.stop)?;
            let (pages, mut tally) = choose(&self.book()?);
            tally.published += done;
            tally.known -= done.min(tally.known);
            let mut failed = None;
            for part in pages.chunks(AT_ONCE) {
                let records = self.records(part, provider, now, partitions, (&rates, &events))?;
                let outgoing: Vec<Outgoing<'_>> = records.iter().map(Prepared::outgoing).collect();
                match writer.write(&outgoing) {
                    Ok(()) => done += part.iter().map(|page| page.rates.len()).sum::<usize>(),
                    Err(error) => {
                        failed = Some(error);
                        break;
                    }
                }
            }
            match failed {
                None => return Ok(tally),
                Some(error @ (WriteError::Aborted(_) | WriteError::Unknown(_))) if attempt < ATTEMPTS => {
                    tracing::warn!(error = %error, "looking what counts, and going on");
                }
                Some(error) => return Err(error.into()),
            }
        }
        Ok(Tally::default())
    }

    fn records(
        &self,
        pages: &[Page],
        provider: &str,
        now: ReceivedTime,
        partitions: i32,
        (rates, events): (&Encoder, &Encoder),
    ) -> anyhow::Result<Vec<Prepared>> {
        let mut records = Vec::new();
        for page in pages {
            for (currency, rate) in &*page.rates {
                let one = FxRate {
                    currency: *currency,
                    base: page.base,
                    hour: page.hour.start(),
                    rate: *rate,
                    provider: provider.to_owned(),
                    carried: page.carried,
                    published_at: EventTime(now.0),
                };
                let mut value = Vec::new();
                rates.encode(&one, &mut value)?;
                records.push(Prepared { topic: Topic::FxRates, partition: 0, key: one.key(), value, now });
            }
            let told = self.announced(page, now, events)?;
            records.extend((0..partitions).map(|partition| Prepared { partition, ..told.clone() }));
        }
        Ok(records)
    }

    /// What every task is told of a page.
    fn announced(&self, page: &Page, now: ReceivedTime, events: &Encoder) -> anyhow::Result<Prepared> {
        let rates: &Rates = &page.rates;
        let event = announcement(page.base, page.hour, rates, now).map_err(anyhow::Error::msg)?;
        let mut value = Vec::new();
        events.encode(&event, &mut value)?;
        let key = format!("{WORKSPACE}:{}", event.entity.id);
        Ok(Prepared { topic: Topic::Events, partition: 0, key, value, now })
    }
}

/// The newest hour into each base, of what was published last. Blocks.
///
/// Hours are published in their order but for a history that is loaded later; looking at the end alone, this can call
/// rates old that aren't, until the next hour's come.
pub fn newest(config: &Config) -> anyhow::Result<BTreeMap<Currency, Hour>> {
    let registry = SchemaRegistry::new(&config.registry.url, Duration::from_secs(10))?;
    let mut decoder = Schemas::lookup(&registry)?.decoder();
    let mut newest = BTreeMap::new();
    for value in crate::lag::last(config, Topic::FxRates, LOOKED_AT)? {
        let rate: FxRate = decoder.decode(&value)?;
        let hour = Hour::of(rate.hour);
        newest.entry(rate.base).and_modify(|known: &mut Hour| *known = hour.max(*known)).or_insert(hour);
    }
    Ok(newest)
}

/// A record that is ready to be written.
#[derive(Clone)]
struct Prepared {
    topic: Topic,
    partition: i32,
    key: String,
    value: Vec<u8>,
    now: ReceivedTime,
}

impl Prepared {
    fn outgoing(&self) -> Outgoing<'_> {
        Outgoing {
            topic: self.topic.name(),
            partition: Some(self.partition),
            key: self.key.as_bytes(),
            value: Some(&self.value),
            timestamp_millis: self.now.0 / 1_000,
            headers: &[],
        }
    }
}
