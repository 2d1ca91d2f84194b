//! Audiences that a workspace defines itself: what must hold of a person's attributes, tags and other audiences.
//!
//! Membership is a function of what is known of the person, and that is the last word of each attribute by its own time,
//! so it comes out the same in whatever order the attributes arrive.

use std::collections::BTreeSet;
use std::str::FromStr;

use rust_decimal::Decimal;
use serde_json::value::RawValue;

use super::Audience;
use crate::profile::Known;

/// An audience of a workspace.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rule {
    /// Its name.
    pub name: String,
    /// All of these hold; there is one at least.
    pub all: Vec<Condition>,
}

/// What must hold of a person.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Condition {
    /// An attribute passes all the tests.
    Attribute {
        /// Its name; also `email`, `phone`, `first_name` and `last_name`.
        name: String,
        /// The tests.
        tests: Vec<Test>,
    },
    /// The person has the tag.
    Tag(String),
    /// The person is in an audience that is built in.
    Member(Audience),
}

/// A test of a value. What isn't there, and `null`, passes `Exists(false)` and `IsNot` alone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Test {
    /// There is a value, or there is none.
    Exists(bool),
    /// It is this text, number, `true` or `false`; numbers are equal by their value.
    Is(String),
    /// It isn't.
    IsNot(String),
    /// It is one of these.
    OneOf(Vec<String>),
    /// A text that has this part, or a list with this element.
    Contains(String),
    /// A number above this one.
    Above(Decimal),
    /// A number that isn't below this one.
    AtLeast(Decimal),
    /// A number below this one.
    Below(Decimal),
    /// A number that isn't above this one.
    AtMost(Decimal),
}

impl Rule {
    /// True for a person of whom this is known, and who is in these audiences.
    pub fn holds(&self, known: &Known, member: &BTreeSet<Audience>) -> bool {
        !self.all.is_empty() && self.all.iter().all(|condition| condition.holds(known, member))
    }
}

impl Condition {
    fn holds(&self, known: &Known, member: &BTreeSet<Audience>) -> bool {
        match self {
            Self::Tag(tag) => known.tags.contains(tag),
            Self::Member(audience) => member.contains(audience),
            Self::Attribute { name, tests } => {
                let value = Value::of(known, name);
                tests.iter().all(|test| test.passes(value.as_ref()))
            }
        }
    }
}

/// The value of an attribute.
struct Value {
    /// A text without its quotes; of anything else its JSON.
    text: String,
    is_text: bool,
}

impl Value {
    fn of(known: &Known, name: &str) -> Option<Self> {
        if let Some(json) = known.attributes.get(name) {
            return Self::read(json);
        }
        let contact = &known.contact;
        let text = match name {
            "email" => contact.email.clone(),
            "phone" => contact.phone.clone(),
            "first_name" => contact.first_name.clone(),
            "last_name" => contact.last_name.clone(),
            _ => None,
        };
        text.map(|text| Self { text, is_text: true })
    }

    fn read(json: &str) -> Option<Self> {
        let json = json.trim();
        if json.starts_with('"') {
            return serde_json::from_str(json).ok().map(|text| Self { text, is_text: true });
        }
        (json != "null").then(|| Self { text: json.to_owned(), is_text: false })
    }

    /// Read from its digits: a number never goes through a float.
    fn number(&self) -> Option<Decimal> {
        number(&self.text)
    }

    fn is(&self, wanted: &str) -> bool {
        self.text == wanted || (!self.is_text && self.number().is_some() && self.number() == number(wanted))
    }

    fn contains(&self, wanted: &str) -> bool {
        if self.is_text {
            return self.text.contains(wanted);
        }
        let elements: Vec<&RawValue> = serde_json::from_str(&self.text).unwrap_or_default();
        elements.iter().filter_map(|element| Self::read(element.get())).any(|element| element.is(wanted))
    }
}

/// A number as it stands in JSON.
fn number(text: &str) -> Option<Decimal> {
    Decimal::from_str(text).or_else(|_| Decimal::from_scientific(text)).ok()
}

impl Test {
    fn passes(&self, value: Option<&Value>) -> bool {
        let Some(value) = value else { return matches!(self, Self::Exists(false) | Self::IsNot(_)) };
        let number = |holds: fn(&Decimal, &Decimal) -> bool, limit| {
            value.number().is_some_and(|number| holds(&number, limit))
        };
        match self {
            Self::Exists(there) => *there,
            Self::Is(wanted) => value.is(wanted),
            Self::IsNot(wanted) => !value.is(wanted),
            Self::OneOf(wanted) => wanted.iter().any(|wanted| value.is(wanted)),
            Self::Contains(wanted) => value.contains(wanted),
            Self::Above(limit) => number(Decimal::gt, limit),
            Self::AtLeast(limit) => number(Decimal::ge, limit),
            Self::Below(limit) => number(Decimal::lt, limit),
            Self::AtMost(limit) => number(Decimal::le, limit),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passes(json: &str, test: Test) -> bool {
        let attributes = [("x".to_owned(), json.to_owned())].into_iter().filter(|_| !json.is_empty());
        let known = Known { attributes: attributes.collect(), ..Known::default() };
        let all = vec![Condition::Attribute { name: "x".to_owned(), tests: vec![test] }];
        Rule { name: "a".to_owned(), all }.holds(&known, &BTreeSet::new())
    }

    fn text(text: &str) -> String {
        text.to_owned()
    }

    #[test]
    fn texts_numbers_and_flags_are_what_they_are_called() {
        for (json, wanted, equal) in [
            (r#""gold""#, "gold", true),
            (r#""Gold""#, "gold", false),
            (r#""g\u006fld""#, "gold", true),
            ("true", "true", true),
            ("10", "10.0", true),
            ("1e1", "10", true),
            (r#""10""#, "10.0", false),
            (r#""10""#, "10", true),
            ("null", "null", false),
            ("", "gold", false),
        ] {
            assert_eq!(passes(json, Test::Is(text(wanted))), equal, "{json} {wanted}");
            assert_eq!(passes(json, Test::IsNot(text(wanted))), !equal, "{json} {wanted}");
            assert_eq!(
                passes(json, Test::OneOf(vec![text("other"), text(wanted)])),
                equal,
                "{json} {wanted}"
            );
        }
    }

    #[test]
    fn what_is_not_there_or_null_does_not_exist() {
        for (json, there) in [("", false), ("null", false), ("false", true), (r#""""#, true), ("0", true)] {
            assert_eq!(passes(json, Test::Exists(true)), there, "{json}");
            assert_eq!(passes(json, Test::Exists(false)), !there, "{json}");
        }
    }

    #[test]
    fn numbers_are_compared_by_their_digits() {
        let ten = Decimal::from(10);
        for (json, above, least) in [
            ("10.000000000000000000001", true, true),
            ("10", false, true),
            ("9.99", false, false),
            ("-1", false, false),
        ] {
            assert_eq!(
                (passes(json, Test::Above(ten)), passes(json, Test::AtLeast(ten))),
                (above, least),
                "{json}"
            );
            assert_eq!(
                (passes(json, Test::AtMost(ten)), passes(json, Test::Below(ten))),
                (!above, !least),
                "{json}"
            );
        }
        for json in ["", "null", "true", r#""many""#, "[11]"] {
            assert!(!passes(json, Test::Above(ten)) && !passes(json, Test::Below(ten)), "{json}");
        }
        assert!(passes(r#""11""#, Test::Above(ten)), "a number that came as a text");
    }

    #[test]
    fn a_text_contains_its_parts_and_a_list_its_elements() {
        assert!(passes(r#""spring sale""#, Test::Contains(text("sale"))));
        assert!(passes(r#"["a", 2, null]"#, Test::Contains(text("a"))));
        assert!(passes(r#"["a", 2, null]"#, Test::Contains(text("2.0"))));
        assert!(!passes(r#"["ab"]"#, Test::Contains(text("a"))) && !passes("12", Test::Contains(text("1"))));
    }

    #[test]
    fn all_conditions_hold_together() {
        let known = Known { tags: vec![text("vip")], ..Known::default() };
        let all = vec![Condition::Tag(text("vip")), Condition::Member(Audience::Lapsed90d)];
        let rule = Rule { name: text("a"), all };
        assert!(!rule.holds(&known, &BTreeSet::new()));
        assert!(rule.holds(&known, &BTreeSet::from([Audience::Lapsed90d])));
        assert!(
            !Rule { all: vec![], ..rule }.holds(&known, &BTreeSet::new()),
            "nobody is in one without a condition"
        );
    }
}
