//! Paths: which operation a call is, and whom its path names.

/// An operation, with what its path names, decoded once.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Call {
    /// `PUT` identifies, `DELETE` deletes.
    Person(String),
    /// An event of a person.
    Events(String),
    /// An event of nobody yet.
    AnonymousEvents,
    /// Two persons are one.
    Merge,
    /// The identifier is barred.
    Suppress(String),
    /// The identifier is readmitted.
    Unsuppress(String),
    /// A device of a person.
    Devices(String),
    /// A device of a person is gone.
    Device(String),
    /// Where the account lives.
    Region,
    /// One operation of version 2.
    Entity,
    /// Many of them.
    Batch,
    /// Membership of a manual segment.
    Segment,
    /// A form was filled in.
    Form,
    /// A message was delivered, opened, clicked.
    Metrics,
    /// The same of a push message.
    Push,
    /// Somebody has unsubscribed on the sender's own page.
    Unsubscribe(String),
}

impl Call {
    /// Reads a path. `None`: it is none of this source.
    pub(super) fn parse(path: &str) -> Option<Self> {
        if let Some(delivery) = path.strip_prefix("/unsubscribe/") {
            return segment(delivery).map(Self::Unsubscribe);
        }
        let path = path.strip_prefix("/api/")?;
        if let Some(path) = path.strip_prefix("v2/") {
            return match path {
                "entity" => Some(Self::Entity),
                "batch" => Some(Self::Batch),
                _ => None,
            };
        }
        let path = path.strip_prefix("v1/")?;
        if let Some(rest) = path.strip_prefix("customers/") {
            return Self::of_person(rest);
        }
        Some(match path {
            "events" => Self::AnonymousEvents,
            "merge_customers" => Self::Merge,
            "accounts/region" => Self::Region,
            "metrics" => Self::Metrics,
            "push/events" => Self::Push,
            _ => {
                let (kind, rest) = path.split_once('/')?;
                let (id, verb) = rest.split_once('/')?;
                segment(id)?;
                match (kind, verb) {
                    ("segments", "add_customers" | "remove_customers") => Self::Segment,
                    ("forms", "submit") => Self::Form,
                    _ => return None,
                }
            }
        })
    }

    fn of_person(rest: &str) -> Option<Self> {
        let (id, verb) = rest.split_once('/').map_or((rest, None), |(id, verb)| (id, Some(verb)));
        let id = segment(id)?;
        Some(match verb {
            None => Self::Person(id),
            Some("events") => Self::Events(id),
            Some("suppress") => Self::Suppress(id),
            Some("unsuppress") => Self::Unsuppress(id),
            Some("devices") => Self::Devices(id),
            // Older clients don't encode the token of a device.
            Some(verb) => {
                verb.strip_prefix("devices/").filter(|token| !token.is_empty()).map(|_| Self::Device(id))?
            }
        })
    }

    /// The methods, as `Allow` has them.
    pub(super) const fn allow(&self) -> &'static str {
        match self {
            Self::Person(_) => "PUT, DELETE",
            Self::Devices(_) => "PUT",
            Self::Device(_) => "DELETE",
            Self::Region => "GET",
            _ => "POST",
        }
    }

    /// True where errors have the shape of version 2.
    pub(super) const fn is_v2(&self) -> bool {
        matches!(self, Self::Entity | Self::Batch)
    }
}

/// A part of a path, percent-decoded once. A byte that is no UTF-8 stays visible as U+FFFD: the limits of identifiers
/// refuse it.
fn segment(text: &str) -> Option<String> {
    if text.is_empty() {
        return None;
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let hex = |b: &u8| char::from(*b).to_digit(16);
        match (first, after) {
            (b'%', [high, low, after @ ..]) if hex(high).is_some() && hex(low).is_some() => {
                let byte = hex(high).zip(hex(low)).map_or(0, |(high, low)| high * 16 + low);
                bytes.push(u8::try_from(byte).unwrap_or_default());
                rest = after;
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identifier_is_decoded_once() {
        for (path, expected) in [
            ("5", "5"),
            ("jane%40example.com", "jane@example.com"),
            ("a%2Fb%20c", "a/b c"),
            ("a+b%2Bc", "a+b+c"),
            ("%2525", "%25"),
            ("50%", "50%"),
            ("%zz%4", "%zz%4"),
            ("%C3%A4", "ä"),
            ("%ff", "\u{fffd}"),
        ] {
            let found = Call::parse(&format!("/api/v1/customers/{path}"));
            assert_eq!(found, Some(Call::Person(expected.to_owned())), "{path}");
        }
    }

    #[test]
    fn what_is_no_operation_is_no_path_of_this_source() {
        for path in [
            "/api/v1/customers",
            "/api/v1/customers/",
            "/api/v1/customers//events",
            "/api/v1/customers/5/",
            "/api/v1/customers/5/orders",
            "/api/v1/customers/5/devices/",
            "/api/v1/customers/5/events/6",
            "/api/v1/orders",
            "/api/v1/segments/1/customers",
            "/api/v1/segments//add_customers",
            "/api/v1/forms/1/submit/2",
            "/api/v2",
            "/api/v2/entities",
            "/api/v1/accounts/region/",
            "/unsubscribe/",
            "/v1/api/events",
        ] {
            assert_eq!(Call::parse(path), None, "{path}");
        }
    }
}
