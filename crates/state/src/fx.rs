//! Rates of exchange: what an order is worth in base, now or as soon as it can be known (R5.7).
//!
//! The publisher writes the rates of an hour into every partition of the events, so they are ordinary input of every
//! task: kept with its state, in its transactions, in the books for a replay. A rate never changes once it is there, so
//! what an order is worth doesn't depend on which of the two came first: an order that waits is listed under the hour
//! and currency of the rate, and published again when that comes. What an order is worth is kept with it, and so are the
//! rates of an hour only as long as orders of it may come ([`KEPT`]); later they can be loaded again.

use commerce::fx::{self, Hour, Rate, Rates};
use commerce::order::View;
use commerce::{Currency, DuplicateLevel, Event, Outcome, Reason, ReceivedTime, Source, WorkspaceId};
use stream::{Context, Failure, Poison, Record};

use crate::audience::Cause;
use crate::linked::Why;
use crate::people::People;
use crate::processor::{StateStage, Tenant, poison};
use crate::shelf::{Stored, order_key};
use crate::tables::{FX_RATE, FX_WAITING};
use crate::{EVENTS, outcomes};

/// So many orders are published again for one record of rates; the others when it comes round again.
const PORTION: usize = 500;
/// Hours for which rates are kept, by the arrival of newer ones: as long as facts are.
const KEPT: i64 = 400 * 24;
/// Older ones are kept for as many hours after they were loaded: for the orders that they were loaded for.
const LOADED: i64 = 30 * 24;
/// So many rows are looked at for one record of rates; there is one row per record.
const SWEPT: usize = 100;
/// Stands behind an order that waits and was set aside: only its letter's redriving tries it again.
const SET_ASIDE: &[u8] = b"!";

impl StateStage {
    /// Takes in the rates of one hour and says again what waited for them. With more than [`PORTION`] of those the
    /// record is put behind what is to be processed, and goes on then: no transaction grows beyond its bounds, and
    /// nobody else waits.
    pub(crate) fn rates(
        &mut self,
        record: &Record<'_>,
        event: &Event,
        ctx: &mut Context<'_>,
    ) -> Result<Outcome, Failure> {
        let Some((base, hour, rates)) = fx::announced(event) else {
            let message = "rates of exchange that aren't of our own publisher".to_owned();
            return Err(poison(Reason::UnsupportedEvent, message));
        };
        let now = Hour::of(event.received_at.as_event());
        let key = row_key(base, hour);
        let mut row = Row::read(ctx.get(FX_RATE, &key).as_deref());
        let new = row.add(&rates);
        if row.load(now) || new {
            ctx.put(FX_RATE, &key, &row.0)?;
        }
        sweep(base, now, ctx)?;
        let mut left = PORTION;
        'rates: for currency in rates.keys() {
            let waiting = waiting_key(base, hour, *currency, b"");
            let mut after: Option<Vec<u8>> = None;
            loop {
                let portion = ctx.scan(FX_WAITING, &waiting, after.as_deref(), left);
                let is_last = portion.len() < left;
                after = portion.last().map(|(entry, _)| entry.clone());
                for (entry, mark) in portion {
                    let order = &entry[waiting.len()..];
                    // Of a workspace that isn't configured now the orders wait on.
                    let Some((tenant, workspace)) = self.tenant_of(order) else { continue };
                    if mark == SET_ASIDE && order != record.key {
                        continue;
                    }
                    let event = Event {
                        workspace,
                        environment: tenant.environment.clone(),
                        occurred_at: event.received_at.as_event(),
                        ..event.clone()
                    };
                    let healed = ctx.attempt(|ctx| {
                        ctx.remove(FX_WAITING, &entry)?;
                        self.heal((&event, hour), &tenant, order, ctx)
                    })?;
                    if let Err(poison) = healed {
                        ctx.put(FX_WAITING, &entry, SET_ASIDE)?;
                        self.set_aside(record, (&event.workspace, order), left, &poison, ctx)?;
                    }
                    left -= 1;
                }
                if left == 0 {
                    ctx.emit(EVENTS, Some(ctx.partition()), record.key, record.value)?;
                    break 'rates;
                }
                if is_last {
                    break;
                }
            }
        }
        self.settle(Cause::Rates(event), ctx)?;
        let news = new || left < PORTION;
        Ok(if news { Outcome::Published } else { Outcome::Duplicate(DuplicateLevel::Entity) })
    }

    fn tenant_of(&self, order: &[u8]) -> Option<(std::sync::Arc<Tenant>, WorkspaceId)> {
        let (workspace, _) = std::str::from_utf8(order).ok()?.split_once(':')?;
        let workspace = WorkspaceId::try_new(workspace).ok()?;
        Some((self.tenants.get(&workspace)?.clone(), workspace))
    }

    /// Says what an order is worth in base: at the rate that is known of it, else at once where the rate of its hour is
    /// known, else when that comes. Costs an order in the base currency a comparison.
    pub(crate) fn in_base(
        view: &mut View,
        before: Option<&View>,
        tenant: &Tenant,
        workspace: &WorkspaceId,
        ctx: &mut Context<'_>,
    ) -> Result<(), Failure> {
        let Some(currency) = view.foreign_to(tenant.base) else { return Ok(()) };
        let Some(hour) = view.rate_hour() else {
            view.settle_base(tenant.base, None);
            return Ok(());
        };
        if let Some(rate) = before.and_then(|before| pinned(before, (currency, tenant.base), hour)) {
            view.settle_base(tenant.base, Some(rate));
            return Ok(());
        }
        let row = ctx.get(FX_RATE, &row_key(tenant.base, hour));
        let rate = row.and_then(|row| find(&row, currency));
        view.settle_base(tenant.base, rate);
        if rate.is_none() {
            let key = order_key(workspace, &view.id);
            let waiting = waiting_key(tenant.base, hour, currency, &key);
            if ctx.get(FX_WAITING, &waiting).is_none() {
                ctx.put(FX_WAITING, &waiting, &[])?;
            }
        }
        Ok(())
    }

    /// Publishes an order again, now that its rate is known.
    fn heal(
        &mut self,
        (event, hour): (&Event, Hour),
        tenant: &Tenant,
        key: &[u8],
        ctx: &mut Context<'_>,
    ) -> Result<(), Failure> {
        let Some(mut stored) = Stored::find(ctx, key, &mut self.stored)? else { return Ok(()) };
        let state = stored.state();
        let Some(before) = state.published.take() else { return Ok(()) };
        let mut after = before.clone();
        Self::in_base(&mut after, Some(&before), tenant, &event.workspace, ctx)?;
        if after == before {
            return Ok(());
        }
        let source = after.source.unwrap_or(Source::Records);
        let event = Event { source, ..event.clone() };
        let buyer = state.buyer();
        let attached = state.attached;
        let now = buyer.as_ref().zip(attached);
        let mut people = People::default();
        people.roll_up(ctx, &event, key, (attached, Some(&before)), (now, &after))?;
        people.store(ctx, &mut self.stored)?;
        let why = Why { flag: "fx_healed", mark: &[b"fx".as_slice(), &hour.0.to_be_bytes()].concat() };
        self.republish((&event, why), key, stored, (before, after), ctx)
    }

    /// An order that can't be said in base keeps nobody else from it: it has a letter of its own, with which it can be
    /// tried again. `place` tells it from the others of the record.
    fn set_aside(
        &mut self,
        record: &Record<'_>,
        (workspace, order): (&WorkspaceId, &[u8]),
        place: usize,
        poison: &Poison,
        ctx: &mut Context<'_>,
    ) -> Result<(), Failure> {
        let value = record.value.unwrap_or_default();
        let mut of = Record::new(record.topic, record.partition, record.offset, order, value)
            .with_timestamp(record.timestamp_millis);
        for (name, value) in record.headers() {
            of = of.with_header(name, value);
        }
        let place = i32::try_from(place).unwrap_or(i32::MAX);
        let (letter, outcome) = self.letters.set_aside(&of, place, poison, ctx)?;
        let at = letter.received_at.unwrap_or(ReceivedTime(0));
        outcomes::record(ctx, workspace, "", outcome, at, &mut self.stored)
    }
}

/// The rate at which an order stands already: it never changes, whatever is known of rates by now.
fn pinned(before: &View, pair: (Currency, Currency), hour: Hour) -> Option<Rate> {
    let base = before.base.as_ref()?;
    let same = (before.currency()?, base.currency) == pair && Hour::of(base.rate_at) == hour;
    same.then_some(base.rate)
}

/// Drops rates that are older than any order that is still to be expected.
fn sweep(base: Currency, now: Hour, ctx: &mut Context<'_>) -> Result<(), Failure> {
    for (key, row) in ctx.scan(FX_RATE, base.as_str().as_bytes(), None, SWEPT) {
        let Some(hour) = key.last_chunk().map(|hour| i64::from_be_bytes(*hour)) else { continue };
        if hour >= now.0.saturating_sub(KEPT) {
            break;
        }
        if Row::read(Some(&row)).loaded() < now.0.saturating_sub(LOADED) {
            ctx.remove(FX_RATE, &key)?;
        }
    }
    Ok(())
}

/// The rates of one hour into one base as they are stored: the hour in which they were loaded last, then code and rate,
/// one after the other. More than a year of all currencies is kept in every task, so they are kept short, and one is found
/// without reading the others.
struct Row(Vec<u8>);

const HEAD: usize = 8;
const CODE: usize = 3;
const ENTRY: usize = CODE + 16;

impl Row {
    fn read(stored: Option<&[u8]>) -> Self {
        Self(stored.map_or_else(|| i64::MIN.to_be_bytes().to_vec(), <[u8]>::to_vec))
    }

    fn loaded(&self) -> i64 {
        self.0.first_chunk().map_or(i64::MIN, |hour| i64::from_be_bytes(*hour))
    }

    /// Notes that they were loaded. True where that was later than known.
    fn load(&mut self, now: Hour) -> bool {
        let later = now.0 > self.loaded();
        if let (true, Some(head)) = (later, self.0.first_chunk_mut::<HEAD>()) {
            *head = now.0.to_be_bytes();
        }
        later
    }

    /// Takes in the rates of currencies that have none yet. True when there was one: what is there stays.
    fn add(&mut self, rates: &Rates) -> bool {
        let mut new = false;
        for (currency, rate) in rates {
            match find(&self.0, *currency) {
                Some(known) if known == *rate => {}
                Some(known) => {
                    tracing::error!(%currency, %known, refused = %rate, "a published rate can't change, the first one stays");
                }
                None => {
                    self.0.extend_from_slice(currency.as_str().as_bytes());
                    self.0.extend_from_slice(&rate.to_bytes());
                    new = true;
                }
            }
        }
        new
    }
}

fn find(row: &[u8], currency: Currency) -> Option<Rate> {
    let mut entries = row.get(HEAD..)?.chunks_exact(ENTRY);
    let entry = entries.find(|entry| entry.starts_with(currency.as_str().as_bytes()))?;
    Rate::from_bytes(*entry.last_chunk()?).ok()
}

/// Base and hour: the key of a row.
fn row_key(base: Currency, hour: Hour) -> Vec<u8> {
    [base.as_str().as_bytes(), &hour.0.to_be_bytes()].concat()
}

/// The key of an order that waits for a rate.
fn waiting_key(base: Currency, hour: Hour, currency: Currency, order: &[u8]) -> Vec<u8> {
    [base.as_str().as_bytes(), &hour.0.to_be_bytes(), currency.as_str().as_bytes(), order].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_rate_of_a_currency_stays() {
        let rates = |list: &[(&str, &str)]| -> Rates {
            list.iter().map(|(c, r)| (Currency::parse(c).unwrap(), Rate::parse(r).unwrap())).collect()
        };
        let mut row = Row::read(None);
        assert!(row.add(&rates(&[("EUR", "1.08"), ("JPY", "0.0064")])));
        assert!(!row.add(&rates(&[("EUR", "1.09"), ("JPY", "0.0064")])));
        assert!(row.add(&rates(&[("EUR", "1.09"), ("GBP", "1.27")])));
        let found = |code| find(&row.0, Currency::parse(code).unwrap()).map(|rate| rate.to_string());
        assert_eq!(found("EUR").as_deref(), Some("1.08"));
        assert_eq!(found("GBP").as_deref(), Some("1.27"));
        assert_eq!(found("CHF"), None);
    }
}
