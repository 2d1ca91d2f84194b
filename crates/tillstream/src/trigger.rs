//! `tillstream trigger`: one fresh, signed delivery from an example body.
//!
//! The body is the checked-in example of the source, made fresh (new ids, times of now), given what the event stands
//! for, and then changed by `--set path=value`. What a source can send, and how, is in its own file:
//!
//! | file | sources |
//! |---|---|
//! | [`orders`] | shopify and lifesight, which share their bodies |
//! | [`stripe`], [`sequenzy`], [`customerio`], [`analytics`], [`records`] | one each |
//!
//! The totals that a source maintains itself are taken out of the examples: they would stand before what is counted.

mod analytics;
mod assignment;
mod customerio;
mod orders;
mod records;
mod sequenzy;
mod stripe;

use commerce::{EventTime, Mark, Source};
use serde_json::{Map, Value, json};

use crate::demo::{Credentials, Delivery};
use assignment::{Assignment, Set};

/// What a source can be made to send.
pub struct Kind {
    /// The source.
    pub source: Source,
    /// Its own names of its events.
    pub events: &'static [&'static str],
    /// What `--set` may name beside the fields of the body, for the list.
    pub hint: &'static str,
    /// The example as of now, with what the event stands for.
    fresh: fn(&Occasion<'_>) -> Result<Value, Error>,
    /// The object inside the body whose fields may be set without its path.
    inside: fn(event: &str) -> &'static [&'static str],
    /// Makes the rest of the body agree with what was set.
    follow: fn(&Occasion<'_>, &mut Value),
    /// Addresses and signs the body.
    deliver: fn(&Occasion<'_>, Value, &Credentials) -> Delivery,
}

/// All of them.
pub const KINDS: [Kind; 7] = [
    orders::SHOPIFY,
    stripe::STRIPE,
    orders::LIFESIGHT,
    customerio::CUSTOMERIO,
    sequenzy::SEQUENZY,
    analytics::ANALYTICS,
    records::RECORDS,
];

/// What happens: an event, and what makes it a new one.
struct Occasion<'a> {
    event: &'static str,
    /// Ids are made of it.
    id: i64,
    now: EventTime,
    set: Set<'a>,
}

impl Occasion<'_> {
    /// The name of the event without its object: `orders/paid` and `orders_paid` are one fact in two spellings.
    fn action(&self) -> &'static str {
        self.event.split_once(['/', '_']).map_or(self.event, |(_, action)| action)
    }

    /// 128 bits of its own.
    fn mark(&self, what: &str) -> Mark {
        Mark::of(&[what.as_bytes(), self.event.as_bytes(), &self.id.to_le_bytes()])
    }

    /// Now, in Unix seconds.
    const fn seconds(&self) -> i64 {
        self.now.0.div_euclid(commerce::time::SECOND)
    }
}

/// Why nothing was triggered. All of them are mistakes in the command.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No such source.
    #[error("there is no source '{0}' to trigger; there are: {list}", list = all())]
    UnknownSource(String),
    /// No such event.
    #[error("{source_name} has no event '{event}' to trigger; there are: {list}", list = events_of(*source_name).join(", "))]
    UnknownEvent {
        /// The source.
        source_name: Source,
        /// What was asked for.
        event: String,
    },
    /// Not `path=value`.
    #[error("'{0}' is not path=value, as in total_price=99.00 or line_items[0].quantity=2")]
    NotAnAssignment(String),
    /// The path can't be followed.
    #[error("cannot set '{path}': {reason}")]
    Path {
        /// The path.
        path: String,
        /// What is in the way.
        reason: String,
    },
    /// The example that is built in is no JSON object: a fault of the build.
    #[error("the example body is not a JSON object")]
    Example,
}

fn all() -> String {
    let each = KINDS.iter().map(|kind| format!("{} ({})", kind.source, kind.events.join(", ")));
    each.collect::<Vec<_>>().join("; ")
}

fn events_of(source: Source) -> &'static [&'static str] {
    KINDS.iter().find(|kind| kind.source == source).map_or(&[], |kind| kind.events)
}

/// What to trigger.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// One of the seven sources.
    pub source: &'a str,
    /// The source's own name of the event.
    pub event: &'a str,
    /// `path=value`, each applied in turn.
    pub set: &'a [String],
    /// How many deliveries.
    pub count: usize,
    /// The same delivery each time, and not a new order each time.
    pub same: bool,
    /// The time of the command: ids, names and times come from it.
    pub now: EventTime,
}

/// Makes the deliveries.
pub fn deliveries(request: &Request<'_>, credentials: &Credentials) -> Result<Vec<Delivery>, Error> {
    let kind = KINDS.iter().find(|kind| kind.source.as_str() == request.source);
    let kind = kind.ok_or_else(|| Error::UnknownSource(request.source.to_owned()))?;
    let Some(event) = kind.events.iter().copied().find(|event| *event == request.event) else {
        return Err(Error::UnknownEvent { source_name: kind.source, event: request.event.to_owned() });
    };
    let assignments =
        request.set.iter().map(|text| Assignment::parse(text)).collect::<Result<Vec<_>, _>>()?;
    let one = |index: usize| -> Result<Delivery, Error> {
        // Microseconds of the clock: a command of a thousand orders needs a millisecond of ids.
        let id = request.now.0.saturating_add_unsigned(if request.same { 0 } else { index as u64 });
        let occasion = Occasion { event, id, now: request.now, set: Set(&assignments) };
        let mut body = (kind.fresh)(&occasion)?;
        for assignment in &assignments {
            assignment.apply(&mut body, (kind.inside)(event))?;
        }
        (kind.follow)(&occasion, &mut body);
        Ok(Delivery { at: index, ..(kind.deliver)(&occasion, body, credentials) })
    };
    (0..request.count).map(one).collect()
}

/// An example that is built in.
fn example(text: &str) -> Result<Value, Error> {
    let body: Value = serde_json::from_str(text).map_err(|_| Error::Example)?;
    if body.is_object() { Ok(body) } else { Err(Error::Example) }
}

/// Puts fields into an object, over those that it has.
fn put(body: &mut Value, fields: Value) {
    if let (Some(body), Value::Object(fields)) = (body.as_object_mut(), fields) {
        body.extend(fields);
    }
}

/// Takes fields out of an object.
fn take_out(body: &mut Value, names: &[&str]) {
    if let Some(body) = body.as_object_mut() {
        names.iter().for_each(|name| drop(body.remove(*name)));
    }
}

/// Takes a field out of the body that belongs into the address.
fn take(body: &mut Value, name: &str) -> String {
    match body.as_object_mut().and_then(|body: &mut Map<String, Value>| body.remove(name)) {
        Some(Value::String(text)) => text,
        Some(Value::Null) | None => String::new(),
        Some(other) => other.to_string(),
    }
}

/// One line of one piece is the whole order: nothing is left to add up to something else.
fn one_line(lines: &mut Value, price: (&str, &Value)) {
    let Some(lines) = lines.as_array_mut() else { return };
    lines.truncate(1);
    for line in lines {
        line["quantity"] = json!(1);
        line[price.0] = price.1.clone();
    }
}

fn bytes(body: &Value) -> Vec<u8> {
    body.to_string().into_bytes()
}

const fn nothing_inside(_: &str) -> &'static [&'static str] {
    &[]
}

#[cfg(test)]
mod tests;
