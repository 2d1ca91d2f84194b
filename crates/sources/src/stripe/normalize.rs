//! A stored Event object to its canonical events.

use commerce::event::{Entity, Event, EventName, Person};
use commerce::person::{self, Identifier, Kind};
use commerce::reason::Failure;
use commerce::{Currency, EventTime, Mark, Money, Reason, ReceivedTime};

use super::{invoice, refund, subscription, transport, validate};
use crate::envelope::{self, Draft};
use crate::json::{Bag, Scalar, Value};
use crate::read::{self, Reader};
use crate::{Item, Raw};

/// What the types mean. A type that isn't here has no event.
pub(super) fn normalize(raw: &Raw<'_>) -> Result<Vec<Item>, Failure> {
    let body = validate::event(raw.body)?;
    let read: fn(&mut Delivery<'_>) -> Result<Vec<Event>, Failure> = match body.r#type.as_ref() {
        "invoice.payment_succeeded" | "invoice.paid" => invoice::paid,
        "invoice.payment_failed" => invoice::failed,
        "charge.refunded" => refund::of_charge,
        "refund.created" | "refund.updated" => refund::alone,
        "customer.subscription.deleted" => subscription::cancelled,
        "customer.subscription.paused" => subscription::paused,
        _ => return Ok(Vec::new()),
    };
    let object = body.body.get("data").object().and_then(|data| data.get("object").object());
    let object =
        object.ok_or_else(|| Failure::at(Reason::MissingField, "data.object", "the event has no object"))?;
    let mut reader = Reader::new(raw.received_at);
    let created = reader.unix(body.body.get("created"), format_args!("created"))?;
    let mut delivery = Delivery {
        raw,
        event_id: &body.id,
        source_event: &body.r#type,
        created,
        test: matches!(body.body.get("livemode").value(), Value::Bool(false)),
        body: &body.body,
        object,
        reader,
    };
    Ok(read(&mut delivery)?.into_iter().map(Ok).collect())
}

/// An Event object that is being read.
pub(super) struct Delivery<'a> {
    pub(super) raw: &'a Raw<'a>,
    pub(super) event_id: &'a str,
    source_event: &'a str,
    /// Event time for ordering.
    pub(super) created: Option<EventTime>,
    test: bool,
    body: &'a Bag<'a>,
    /// `data.object`.
    pub(super) object: Bag<'a>,
    pub(super) reader: Reader,
}

impl<'a> Delivery<'a> {
    /// The id of the object itself.
    pub(super) fn id(&self) -> Result<String, Failure> {
        let id = read::id(self.object.get("id"), format_args!("data.object.id"))?;
        id.ok_or_else(|| Failure::at(Reason::MissingField, "data.object.id", "the object has no id"))
    }

    /// A draft about `entity`. `fact` is the semantic key: ids of Stripe and a word for what happened to them, so that
    /// the same fact in another Event object is the same.
    pub(super) fn draft(&self, event: EventName, entity: Entity, fact: &[&str], part: i32) -> Draft<'a> {
        let workspace = self.raw.workspace.id.as_str();
        let mut key = vec![b"stripe".as_slice(), workspace.as_bytes()];
        key.extend(fact.iter().map(|word| word.as_bytes()));
        let keys = (transport(workspace, self.event_id), Mark::of(&key));
        Draft {
            occurred_at: self.created,
            test: self.test,
            part,
            ..Draft::new(event, self.source_event, "", entity, keys)
        }
    }

    /// Seals a draft. `account`, `api_version` and `request` travel with it.
    pub(super) fn seal(&self, mut draft: Draft<'_>) -> Event {
        for name in ["account", "api_version", "request"] {
            let value = self.body.get(name);
            if value.is_present() {
                draft.payload.properties.insert(name.to_owned(), value.json().to_owned());
            }
        }
        let reader = Reader { received_at: self.raw.received_at, flags: self.reader.flags.clone() };
        envelope::seal(self.raw, draft, reader)
    }

    /// The currency of an object.
    pub(super) fn currency(&self, object: &Bag<'_>, path: &str) -> Result<Currency, Failure> {
        let currency = read::currency(object.get("currency"), format_args!("{path}currency"))?;
        currency.ok_or_else(|| {
            Failure::at(Reason::MissingField, format!("{path}currency"), "an amount has a currency")
        })
    }

    /// An amount in Stripe's unit.
    pub(super) fn money(
        &mut self,
        value: Scalar<'_>,
        currency: Currency,
        path: &str,
    ) -> Result<Option<Money>, Failure> {
        self.reader.minor(value, currency, digits(currency), format_args!("{path}"))
    }

    /// A time that has been.
    pub(super) fn time(&mut self, value: Scalar<'_>, path: &str) -> Result<Option<EventTime>, Failure> {
        self.reader.unix(value, format_args!("{path}"))
    }

    /// A time that may well lie ahead, such as the end of a period: that is no remark.
    pub(super) fn planned(&mut self, value: Scalar<'_>, path: &str) -> Result<Option<EventTime>, Failure> {
        let mut reader = Reader::new(ReceivedTime(i64::MAX));
        let at = reader.unix(value, format_args!("{path}"))?;
        for flag in reader.flags {
            self.reader.flag(&flag);
        }
        Ok(at)
    }

    /// Who an object is about. Without a valid address only a person that is known already is meant.
    pub(super) fn person(&mut self, email: Scalar<'_>) -> Option<Person> {
        let mut found = Person { update_only: true, ..Person::default() };
        if let Value::Text(text) = email.value() {
            match person::email(&text) {
                Some(email) => {
                    found.identifiers.push(Identifier::plain(Kind::Email, email));
                    found.update_only = false;
                }
                None => self.reader.flag("email_invalid"),
            }
            found.email = Some(text.into_owned());
        }
        if let Some(id) = reference(self.object.get("customer")) {
            found.identifiers.push(Identifier::plain(Kind::StripeCustomer, id));
        }
        (!found.identifiers.is_empty() || found.email.is_some()).then_some(found)
    }
}

/// An id, or the object that it stands for when the sender has expanded it.
pub(super) fn reference(value: Scalar<'_>) -> Option<String> {
    match value.object() {
        Some(expanded) => read::loose_id(expanded.get("id")),
        None => read::loose_id(value),
    }
}

/// The digits of Stripe's unit, which isn't everywhere that of ISO 4217 (R5.3).
fn digits(currency: Currency) -> u32 {
    match currency.as_str() {
        "BIF" | "CLP" | "DJF" | "GNF" | "JPY" | "KMF" | "KRW" | "MGA" | "PYG" | "RWF" | "VND" | "VUV"
        | "XAF" | "XOF" | "XPF" => 0,
        "BHD" | "JOD" | "KWD" | "OMR" | "TND" => 3,
        _ => 2,
    }
}
