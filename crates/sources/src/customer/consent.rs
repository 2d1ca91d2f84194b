//! What a customer agreed to (R10.6): the dated words of each channel, else the older yes or no.

use commerce::EventTime;
use commerce::event::{Channel, Consent, ConsentState, Person};

use crate::json::{Maybe, Scalar, Value};
use crate::order::body::{Customer, MarketingConsent};
use crate::order::observe::shorten;
use crate::read::Reader;

/// True when a customer object says anything of consent.
pub(crate) fn is_there(customer: &Customer<'_>) -> bool {
    let states = [&customer.email_marketing_consent, &customer.sms_marketing_consent];
    states.into_iter().any(|consent| state(consent).is_present()) || yes_or_no(customer).is_some()
}

fn state<'a>(consent: &Maybe<MarketingConsent<'a>>) -> Scalar<'a> {
    consent.get().map_or_else(Scalar::default, |consent| consent.state)
}

fn yes_or_no(customer: &Customer<'_>) -> Option<bool> {
    match customer.accepts_marketing.value() {
        Value::Bool(yes) => Some(yes),
        Value::Text(text) if text.eq_ignore_ascii_case("true") => Some(true),
        Value::Text(text) if text.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

/// Reads the consent of a customer object that stands at `path`. `updated_at` dates what has no time of its own.
pub(crate) fn of_customer(
    reader: &mut Reader,
    customer: &Customer<'_>,
    updated_at: Option<EventTime>,
    path: &str,
) -> Vec<Consent> {
    let mut found = Vec::new();
    for (channel, field, consent) in [
        (Channel::Email, "email_marketing_consent", &customer.email_marketing_consent),
        (Channel::Sms, "sms_marketing_consent", &customer.sms_marketing_consent),
    ] {
        let Some(consent) = consent.get().filter(|consent| consent.state.is_present()) else { continue };
        let word = consent.state.text().unwrap_or_default().to_ascii_lowercase();
        let state = ConsentState::parse(&word).unwrap_or_else(|| {
            reader.flag(&format!("unknown_value:{path}{field}.state={}", shorten(&word)));
            ConsentState::Unknown
        });
        let own = own_time(reader, consent.consent_updated_at, &format!("{path}{field}.consent_updated_at"));
        found.push(Consent {
            channel,
            state,
            opt_in_level: level(consent.opt_in_level),
            updated_at: own.or(updated_at),
            region: None,
        });
    }
    if let Some(yes) = yes_or_no(customer)
        && state(&customer.email_marketing_consent).text().is_none()
    {
        let path = format!("{path}accepts_marketing_updated_at");
        found.push(Consent {
            channel: Channel::Email,
            state: if yes { ConsentState::Subscribed } else { ConsentState::NotSubscribed },
            opt_in_level: level(customer.marketing_opt_in_level),
            updated_at: own_time(reader, customer.accepts_marketing_updated_at, &path).or(updated_at),
            region: None,
        });
    }
    found
}

/// A fault in the time of a consent is not worth an order: the body's own time stands in.
fn own_time(reader: &mut Reader, value: Scalar<'_>, path: &str) -> Option<EventTime> {
    reader.time(value, format_args!("{path}")).unwrap_or_else(|_| {
        reader.flag(&format!("bad_time:{path}"));
        None
    })
}

fn level(value: Scalar<'_>) -> Option<String> {
    value.text().map(|level| level.to_ascii_lowercase())
}

/// Adds that a buyer has accepted marketing at the purchase, unless the customer object has spoken of the channel: it
/// is the record that the purchase went into. A buyer who leaves the box empty takes nothing back, so only a yes
/// counts.
pub(crate) fn of_buyer(
    person: &mut Person,
    customer: Option<&Person>,
    channel: Channel,
    at: Option<EventTime>,
) {
    let spoken = customer.into_iter().flat_map(|person| &person.consent);
    if !spoken.into_iter().any(|consent| consent.channel == channel) {
        person.consent.push(Consent {
            channel,
            state: ConsentState::Subscribed,
            opt_in_level: None,
            updated_at: at,
            region: None,
        });
    }
}
