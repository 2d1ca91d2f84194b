//! Who a call is about, and what an identify says of them.
//!
//! An identify never makes an order: totals that come with it are kept beside the computed ones, under `reported_*`
//! (D-CIO-3).

use commerce::event::{Channel, Consent, ConsentState, Person};
use commerce::person::{self, Identifier, Kind};

use super::fields;
use super::validate::Identify;
use crate::json::{Bag, Scalar, Value};
use crate::read::{self, Reader};
use crate::workspace::Workspace;
use crate::{Raw, phone};

/// The space of the provider's own ids of people: they never stand for an id of the workspace.
const CIO: &str = "cio";

/// An identifier as it stands in a path: an id, an e-mail, or `cio_` and the provider's own id.
pub(super) fn of_text(text: &str) -> Identifier {
    match text.strip_prefix("cio_").filter(|id| !id.is_empty()) {
        Some(id) => of_cio(id),
        None => person::email(text).map_or_else(
            || Identifier::plain(Kind::User, text),
            |email| Identifier::plain(Kind::Email, email),
        ),
    }
}

fn of_cio(id: &str) -> Identifier {
    let value = id.strip_prefix("cio_").filter(|id| !id.is_empty()).unwrap_or(id);
    Identifier { kind: Kind::User, space: CIO.to_owned(), value: value.to_owned() }
}

pub(super) fn anonymous(id: String) -> Identifier {
    Identifier::plain(Kind::Anonymous, id)
}

/// The identifiers that an object names: `{"id": …}`, `{"email": …}`, `{"phone": …}` or `{"cio_id": …}`.
pub(super) fn of_object(object: &Bag<'_>, workspace: &Workspace) -> Vec<Identifier> {
    let mut found = Vec::new();
    if let Some(id) = read::loose_id(object.get("id")) {
        found.push(Identifier::plain(Kind::User, id));
    }
    if let Some(email) = object.get("email").text().and_then(|text| person::email(&text)) {
        found.push(Identifier::plain(Kind::Email, email));
    }
    if let Some(number) = object.get("phone").text().and_then(|text| e164(&text, workspace)) {
        found.push(Identifier::plain(Kind::Phone, number));
    }
    if let Some(id) = read::loose_id(object.get("cio_id")) {
        found.push(of_cio(&id));
    }
    found
}

fn e164(text: &str, workspace: &Workspace) -> Option<String> {
    phone::e164(text, workspace.phone_region.clone().into_iter())
}

/// The totals that the product computes itself.
const COMPUTED: [&str; 7] = [
    "orders_count",
    "lifetime_value",
    "last_order_at",
    "total_spent",
    "aov",
    "refunded_total",
    "first_order_at",
];

/// Reads the attributes of a person.
pub(super) fn of_identify(raw: &Raw<'_>, reader: &mut Reader, identify: &Identify<'_>) -> Person {
    let bag = &identify.attributes;
    let instant = |reader: &mut Reader, value, field| fields::instant(reader, value, field).ok().flatten();
    let attributes_at = instant(reader, bag.get("_timestamp"), "_timestamp")
        .or_else(|| instant(reader, identify.timestamp, "timestamp"));
    let mut found = Person {
        identifiers: identify.who.clone(),
        attributes_at,
        update_only: bag.get("_update").is_true(),
        ..Person::default()
    };
    for (name, value) in bag.entries() {
        // The last of two equal keys counts, and absent never overwrites what is known (R7.4).
        if !value.is_present() || bag.get(name).json() != value.json() {
            continue;
        }
        match (name, value.text()) {
            ("_timestamp" | "_update", _) => {}
            ("id", Some(_)) => id(reader, &mut found, value),
            ("cio_id", Some(text)) => add(&mut found, of_cio(&text)),
            ("anonymous_id", Some(text)) => add(&mut found, anonymous(text.into_owned())),
            ("email", Some(text)) => email(reader, &mut found, text.into_owned()),
            ("phone", Some(text)) => {
                match e164(&text, raw.workspace) {
                    Some(number) => add(&mut found, Identifier::plain(Kind::Phone, number)),
                    None => reader.flag("phone_unresolved"),
                }
                found.phone = Some(text.into_owned());
            }
            ("first_name", Some(text)) => found.first_name = Some(text.into_owned()),
            ("last_name", Some(text)) => found.last_name = Some(text.into_owned()),
            ("created_at", _) => {
                found.created_at = instant(reader, value, "created_at");
                if found.created_at.is_none() {
                    reader.flag("bad_value:created_at");
                    keep(&mut found, name, value);
                }
            }
            _ if COMPUTED.contains(&name) => keep(&mut found, &format!("reported_{name}"), value),
            _ => keep(&mut found, name, value),
        }
    }
    found.consent = consent(reader, bag, &found);
    found
}

fn keep(found: &mut Person, name: &str, value: Scalar<'_>) {
    found.attributes.insert(name.to_owned(), value.json().to_owned());
}

fn add(found: &mut Person, identifier: Identifier) {
    if !found.identifiers.contains(&identifier) {
        found.identifiers.push(identifier);
    }
}

/// An id beside another one in the path would make one person of two: only an explicit merge does.
fn id(reader: &mut Reader, found: &mut Person, value: Scalar<'_>) {
    let Some(id) = read::loose_id(value) else { return keep(found, "id", value) };
    let identifier = Identifier::plain(Kind::User, id);
    let is_other =
        |known: &Identifier| known.kind == Kind::User && known.space.is_empty() && *known != identifier;
    if found.identifiers.iter().any(is_other) {
        reader.flag("identity_conflict");
    } else {
        add(found, identifier);
    }
}

/// An e-mail beside an id is an attribute that may identify (R10.2); beside another e-mail it is only an attribute.
fn email(reader: &mut Reader, found: &mut Person, text: String) {
    match person::email(&text).map(|email| Identifier::plain(Kind::Email, email)) {
        None => reader.flag("email_invalid"),
        Some(email) => {
            let is_other = |known: &Identifier| known.kind == Kind::Email && *known != email;
            if found.identifiers.iter().any(is_other) {
                reader.flag("identity_conflict");
            } else {
                add(found, email);
            }
        }
    }
    found.email = Some(text);
}

/// The attributes that say whether messages are welcome, the one that decides first.
const EMAIL_OPT_IN: [&str; 4] =
    ["email_opt_in", "marketing_opt_in", "email_marketing_opt_in", "accepts_marketing"];
const SMS_OPT_IN: [&str; 2] = ["sms_opt_in", "sms_marketing_opt_in"];

/// Reads consent. `unsubscribed` bars every channel, whatever else is said; an opt-in speaks of its own channel, a
/// general one and the topics of a subscription centre of e-mail: text messages need a consent of their own.
fn consent(reader: &mut Reader, bag: &Bag<'_>, person: &Person) -> Vec<Consent> {
    let said = |reader: &mut Reader, names: &[&str]| {
        let name = names.iter().find(|name| bag.get(name).is_present())?;
        let answer = boolean(bag.get(name));
        if answer.is_none() {
            reader.flag(&format!("bad_value:{name}"));
        }
        answer
    };
    let opted = |yes| if yes { ConsentState::Subscribed } else { ConsentState::NotSubscribed };
    let unsubscribed = said(reader, &["unsubscribed"]);
    let mut email =
        said(reader, &EMAIL_OPT_IN).or_else(|| topics(bag.get("cio_subscription_preferences"))).map(opted);
    let mut sms = said(reader, &SMS_OPT_IN).map(opted);
    match unsubscribed {
        Some(true) => {
            email = Some(ConsentState::Unsubscribed);
            sms = email;
        }
        Some(false) => email = email.or(Some(ConsentState::Subscribed)),
        None => {}
    }
    let region = bag.first(&["consent_region", "marketing_region"]).owned();
    let channels = [(Channel::Email, email), (Channel::Sms, sms)];
    let given = channels.into_iter().filter_map(|(channel, state)| Some((channel, state?)));
    given
        .map(|(channel, state)| Consent {
            channel,
            state,
            opt_in_level: None,
            updated_at: person.attributes_at,
            region: region.clone(),
        })
        .collect()
}

/// What `unsubscribed` alone says.
pub(super) fn unsubscribed() -> Vec<Consent> {
    let state = ConsentState::Unsubscribed;
    let all = [Channel::Email, Channel::Sms].into_iter();
    all.map(|channel| Consent { channel, state, opt_in_level: None, updated_at: None, region: None })
        .collect()
}

fn boolean(value: Scalar<'_>) -> Option<bool> {
    match value.value() {
        Value::Bool(yes) => Some(yes),
        Value::Text(text) if text.eq_ignore_ascii_case("true") => Some(true),
        Value::Text(text) if text.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

/// `{"topics": {"topic_1": true, …}}`, as an object or as a string of it: one topic that is wanted is a consent.
fn topics(value: Scalar<'_>) -> Option<bool> {
    let text;
    let preferences = match value.value() {
        Value::Text(json) => {
            text = json.into_owned();
            crate::json::bag(text.as_bytes()).ok()?
        }
        _ => value.object()?,
    };
    let topics = preferences.get("topics").object()?;
    let answers: Vec<bool> = topics.entries().filter_map(|(_, value)| boolean(value)).collect();
    (!answers.is_empty()).then(|| answers.contains(&true))
}
