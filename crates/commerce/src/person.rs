//! People: identifiers, and the id under which a person is published.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{Mark, WorkspaceId};

/// What kind of identifier it is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The canonical person id of the workspace (Customer.io id, analytics `user_id`, Sequenzy `externalId`).
    User,
    /// E-mail, normalised.
    Email,
    /// Customer id of a shop; the space is the shop.
    ShopifyCustomer,
    /// Customer id of a custom backend; the space is the source name.
    BackendCustomer,
    /// Customer id at Stripe.
    StripeCustomer,
    /// Phone in E.164.
    Phone,
    /// Browser or device.
    Anonymous,
    /// Cart.
    Cart,
}

impl Kind {
    /// The word used in topics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Email => "email",
            Self::ShopifyCustomer => "shopify_customer",
            Self::BackendCustomer => "backend_customer",
            Self::StripeCustomer => "stripe_customer",
            Self::Phone => "phone",
            Self::Anonymous => "anonymous",
            Self::Cart => "cart",
        }
    }

    /// True where an id is unique within one shop or system alone.
    pub const fn has_spaces(self) -> bool {
        matches!(self, Self::ShopifyCustomer | Self::BackendCustomer)
    }

    /// Reads the word.
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "user" => Self::User,
            "email" => Self::Email,
            "shopify_customer" => Self::ShopifyCustomer,
            "backend_customer" => Self::BackendCustomer,
            "stripe_customer" => Self::StripeCustomer,
            "phone" => Self::Phone,
            "anonymous" => Self::Anonymous,
            "cart" => Self::Cart,
            _ => return None,
        })
    }
}

/// One identifier of a person.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Identifier {
    /// Its kind. The order of the kinds says which one stands for the person.
    pub kind: Kind,
    /// The id space it belongs to, empty where it is unique in the workspace.
    pub space: String,
    /// Its normalised value.
    pub value: String,
}

impl Identifier {
    /// An identifier that is unique in the workspace.
    pub fn plain(kind: Kind, value: impl Into<String>) -> Self {
        Self { kind, space: String::new(), value: value.into() }
    }

    /// Reads `user:5` and, where the kind has id spaces, `shopify_customer:acme.myshopify.com/7`. An e-mail is
    /// normalised.
    pub fn parse(text: &str) -> Option<Self> {
        let (kind, rest) = text.trim().split_once(':')?;
        let kind = Kind::parse(kind.trim())?;
        let (space, value) = match kind {
            kind if kind.has_spaces() => rest.split_once('/')?,
            _ => ("", rest),
        };
        let (space, value) = (space.trim().to_owned(), value.trim());
        let value = if kind == Kind::Email { email(value)? } else { value.to_owned() };
        let fine = !value.is_empty() && (space.is_empty() != kind.has_spaces());
        fine.then_some(Self { kind, space, value })
    }
}

impl fmt::Display for Identifier {
    /// As [`Identifier::parse`] reads it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, space, value } = self;
        match space.as_str() {
            "" => write!(f, "{}:{value}", kind.as_str()),
            space => write!(f, "{}:{space}/{value}", kind.as_str()),
        }
    }
}

/// The published id of a person: a keyed hash of the identifier that stands for them, so that topics and addresses
/// don't carry e-mails.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PersonId(pub u128);

impl PersonId {
    /// The secret where none is configured: fine for development.
    pub const DEVELOPMENT_KEY: &'static str = "development";

    /// Derives the id of `identifier` in a workspace. `key` is the deployment's secret.
    pub fn derive(key: &str, workspace: &WorkspaceId, identifier: &Identifier) -> Self {
        let mark = Mark::of(&[
            b"person",
            key.as_bytes(),
            workspace.as_str().as_bytes(),
            identifier.kind.as_str().as_bytes(),
            identifier.space.as_bytes(),
            identifier.value.as_bytes(),
        ]);
        Self(mark.0)
    }

    /// `p_` and 32 hexadecimal digits, as ASCII.
    pub fn to_ascii(self) -> [u8; 34] {
        let mut text = *b"p_00000000000000000000000000000000";
        for (pair, byte) in text[2..].chunks_exact_mut(2).zip(self.0.to_be_bytes()) {
            pair.copy_from_slice(&[
                b"0123456789abcdef"[usize::from(byte >> 4)],
                b"0123456789abcdef"[usize::from(byte & 15)],
            ]);
        }
        text
    }

    /// Reads `p_` and 32 hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        Mark::from_hex(text.strip_prefix("p_")?).map(|mark| Self(mark.0))
    }
}

/// Text where people read it, and in state the bytes alone: there an id is written and read many times per event.
impl Serialize for PersonId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            serializer.serialize_bytes(&self.0.to_be_bytes())
        }
    }
}

impl<'de> Deserialize<'de> for PersonId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl de::Visitor<'_> for Either {
            type Value = PersonId;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("p_ and 32 hexadecimal digits")
            }
            fn visit_str<E: de::Error>(self, v: &str) -> Result<PersonId, E> {
                PersonId::parse(v).ok_or_else(|| E::invalid_value(de::Unexpected::Str(v), &self))
            }
            fn visit_bytes<E: de::Error>(self, v: &[u8]) -> Result<PersonId, E> {
                if let Ok(bytes) = v.try_into() {
                    return Ok(PersonId(u128::from_be_bytes(bytes)));
                }
                // State that was written before ids were bytes there has the text.
                let text = std::str::from_utf8(v).ok().and_then(PersonId::parse);
                text.ok_or_else(|| E::invalid_value(de::Unexpected::Bytes(v), &self))
            }
        }
        if deserializer.is_human_readable() {
            deserializer.deserialize_str(Either)
        } else {
            deserializer.deserialize_bytes(Either)
        }
    }
}

impl fmt::Display for PersonId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.to_ascii()).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for PersonId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p_{:032x}", self.0)
    }
}

/// The identifier that stands for a person: the smallest by kind, then space, then value.
pub fn representative(identifiers: &[Identifier]) -> Option<&Identifier> {
    identifiers.iter().filter(|identifier| identifier.kind <= Kind::Phone).min()
}

/// Normalises an e-mail (R7.2): trimmed, lower-cased, one `@` with text on both sides, no inner white space, at most
/// 254 bytes. `None`: it is no identifier.
pub fn email(text: &str) -> Option<String> {
    let text = text.trim().to_lowercase();
    let (local, domain) = text.split_once('@')?;
    let fine = !local.is_empty()
        && !domain.is_empty()
        && !domain.contains('@')
        && text.len() <= 254
        && !text.chars().any(|c| c.is_whitespace() || c.is_control());
    fine.then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_text_for_people_and_bytes_in_state_and_state_that_has_the_text_is_read() {
        let id = PersonId(0x1234);
        let json = serde_json::to_string(&id).unwrap();
        assert_eq!(json, "\"p_00000000000000000000000000001234\"");
        assert_eq!(serde_json::from_str::<PersonId>(&json).unwrap(), id);
        let stored = postcard::to_allocvec(&id).unwrap();
        assert_eq!(stored.len(), 17);
        let before = postcard::to_allocvec(&id.to_string()).unwrap();
        for bytes in [stored, before] {
            assert_eq!(postcard::from_bytes::<PersonId>(&bytes).unwrap(), id);
        }
        let short = postcard::to_allocvec(&"p_12").unwrap();
        assert!(postcard::from_bytes::<PersonId>(&short).is_err());
    }

    #[test]
    fn an_email_is_normalised_and_a_masked_one_is_none() {
        assert_eq!(email(" Jane.Doe@Example.COM ").unwrap(), "jane.doe@example.com");
        for text in ["", "@", "a@", "@b", "a@b@c", "[email protected]", "a b@c.d", "a@b\u{0}"] {
            assert_eq!(email(text), None, "{text}");
        }
        assert_eq!(email(&format!("{}@b.c", "a".repeat(251))), None);
    }

    #[test]
    fn a_handle_reads_back_from_its_text() {
        for text in
            ["user:5", "email:jane@example.com", "shopify_customer:acme.myshopify.com/7", "cart:a:b/c"]
        {
            assert_eq!(Identifier::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Identifier::parse("email: Jane@Example.com").unwrap().value, "jane@example.com");
        for text in
            ["", "user:", "jane@example.com", "email:jane", "shopify_customer:7", "shopify_customer:/7"]
        {
            assert_eq!(Identifier::parse(text), None, "{text}");
        }
    }

    #[test]
    fn the_email_stands_before_the_shops_customer_id() {
        let ids = [
            Identifier { kind: Kind::ShopifyCustomer, space: "s".into(), value: "1".into() },
            Identifier::plain(Kind::Email, "a@b.c"),
        ];
        assert_eq!(representative(&ids).unwrap().kind, Kind::Email);
        assert_eq!(representative(&[Identifier::plain(Kind::Cart, "c")]), None);
    }
}
