//! Rates of exchange: what an order is worth in base, now or as soon as it can be known (R5.7).
//!
//! The publisher writes the rates of an hour into every partition of the events, so they are ordinary input of every
//! task: kept with its state, in its transactions, in the books for a replay. A rate never changes once it is there, so
//! what an order is worth doesn't depend on which of the two came first: an order that waits is listed under the hour
//! and currency of the rate, and published again when that comes.

use commerce::fx::{self, Hour, Rate, Rates};
use commerce::order::{Step, View};
use commerce::{Currency, DuplicateLevel, Event, EventName, Fact, Mark, Outcome, Source, WorkspaceId};
use service::stage::encode_error;
use stream::{Context, Failure, Record};
use topics::Topic;

use crate::people::People;
use crate::processor::{StateStage, Tenant, published};
use crate::shelf::{Stored, order_key};
use crate::tables::{FX_RATE, FX_WAITING};
use crate::{EVENTS, ORDERS};

/// So many orders are published again for one record of rates; the others when it comes round again.
const PORTION: usize = 500;

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
            return Err(crate::processor::poison(commerce::Reason::UnsupportedEvent, message));
        };
        let key = row_key(base, hour);
        let mut row = Row(ctx.get(FX_RATE, &key).map(std::borrow::Cow::into_owned).unwrap_or_default());
        let new = row.add(&rates);
        if new {
            ctx.put(FX_RATE, &key, &row.0)?;
        }
        let mut left = PORTION;
        let mut healed = false;
        for currency in rates.keys() {
            let waiting = waiting_key(base, hour, *currency, b"");
            for (entry, _) in ctx.scan(FX_WAITING, &waiting, None, left) {
                ctx.remove(FX_WAITING, &entry)?;
                self.heal(event, hour, &entry[waiting.len()..], ctx)?;
                left -= 1;
                healed = true;
            }
            if left == 0 {
                ctx.emit(EVENTS, Some(ctx.partition()), record.key, record.value)?;
                break;
            }
        }
        Ok(if new || healed { Outcome::Published } else { Outcome::Duplicate(DuplicateLevel::Entity) })
    }

    /// Says what an order is worth in base: at once where the rate is known, else when it comes. Costs an order in the
    /// base currency a comparison.
    pub(crate) fn in_base(
        view: &mut View,
        tenant: &Tenant,
        workspace: &WorkspaceId,
        ctx: &mut Context<'_>,
    ) -> Result<(), Failure> {
        let Some(currency) = view.foreign_to(tenant.base) else { return Ok(()) };
        let Some(hour) = view.rate_hour() else {
            view.settle_base(tenant.base, None);
            return Ok(());
        };
        let row = ctx.get(FX_RATE, &row_key(tenant.base, hour));
        let rate = row.and_then(|row| find(&row, currency));
        view.settle_base(tenant.base, rate);
        if rate.is_none() {
            let key = order_key(workspace, &view.id);
            ctx.put(FX_WAITING, &waiting_key(tenant.base, hour, currency, &key), &[])?;
        }
        Ok(())
    }

    /// Publishes an order again, now that its rate is known.
    fn heal(&mut self, event: &Event, hour: Hour, key: &[u8], ctx: &mut Context<'_>) -> Result<(), Failure> {
        let workspace = std::str::from_utf8(key).ok().and_then(|key| key.split_once(':'));
        let workspace = workspace.and_then(|(workspace, _)| WorkspaceId::try_new(workspace).ok());
        let tenant = workspace.and_then(|id| Some((self.tenants.get(&id)?.clone(), id)));
        // Of a tenant that isn't configured any more nothing is said.
        let Some((tenant, workspace)) = tenant else { return Ok(()) };
        let Some(mut stored) = Stored::find(ctx, key, &mut self.stored)? else { return Ok(()) };
        let state = stored.state();
        let Some(before) = state.published.take() else { return Ok(()) };
        let mut after = before.clone();
        Self::in_base(&mut after, &tenant, &workspace, ctx)?;
        if after == before {
            return Ok(());
        }
        let source = after.source.unwrap_or(Source::Records);
        let event = Event { workspace, source, occurred_at: event.received_at.as_event(), ..event.clone() };
        let buyer = state.buyer();
        let attached = state.attached;
        let now = buyer.as_ref().zip(attached);
        let mut people = People::default();
        people.roll_up(ctx, &event, key, (attached, Some(&before)), (now, &after))?;
        people.store(ctx, &mut self.stored)?;
        let step = Step { name: EventName::OrderUpdated, at: None, refund: None };
        let mut fact = Fact::of_step(&event, &step, &after, (Some(before), after.clone()));
        fact.event_id = Mark::of(&[b"fx", key, &hour.0.to_be_bytes(), fact.event_id.as_bytes()]).to_uuid();
        fact.flags.push("fx_healed".to_owned());
        self.tell(key, &fact, ctx)?;
        self.value.clear();
        self.orders.encode(&after, &mut self.value).map_err(|e| encode_error(&e))?;
        published(ctx.emit(ORDERS, Some(ctx.partition()), key, Some(&self.value)), Topic::Orders, key)?;
        stored.state().published = Some(after);
        stored.store(ctx, &mut self.stored)
    }
}

/// The rates of one hour into one base as they are stored: code and rate, one after the other. A year of all
/// currencies is kept in every task, so they are kept short, and one is found without reading the others.
struct Row(Vec<u8>);

const CODE: usize = 3;
const ENTRY: usize = CODE + 16;

impl Row {
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
    let entry = row.chunks_exact(ENTRY).find(|entry| entry.starts_with(currency.as_str().as_bytes()))?;
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
        let mut row = Row(vec![]);
        assert!(row.add(&rates(&[("EUR", "1.08"), ("JPY", "0.0064")])));
        assert!(!row.add(&rates(&[("EUR", "1.09"), ("JPY", "0.0064")])));
        assert!(row.add(&rates(&[("EUR", "1.09"), ("GBP", "1.27")])));
        let found = |code| find(&row.0, Currency::parse(code).unwrap()).map(|rate| rate.to_string());
        assert_eq!(found("EUR").as_deref(), Some("1.08"));
        assert_eq!(found("GBP").as_deref(), Some("1.27"));
        assert_eq!(found("CHF"), None);
    }
}
