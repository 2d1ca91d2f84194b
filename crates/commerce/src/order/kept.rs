//! How an order is stored: the view that was published last nearly always says what its source says, and then it isn't
//! written a second time.
//!
//! ```text
//! state = sources, ..., published: which fields are written ─▶ those fields
//! ```
//!
//! What isn't written is what the rules below take from the sources. They are a part of the stored form and say nothing
//! of how orders are viewed: a view is what it was, to the last field, however views are made by then. So a rule is never
//! changed; a field that a view gets is put at the end, with its default for its rule.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::de::{Error as _, SeqAccess, Visitor};
use serde::ser::SerializeTuple as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::disagreement::Disagreement;
use super::register::Register;
use super::state::{SourceOrder, Space, State};
use super::view::View;
use crate::{Money, PersonId};

/// What a rule says of a field.
trait Rule<T> {
    fn is(&self, value: &T) -> bool;
    fn own(self) -> T;
}

/// A value as it is.
struct Plain<T>(T);

impl<T: PartialEq> Rule<T> for Plain<T> {
    fn is(&self, value: &T) -> bool {
        self.0 == *value
    }

    fn own(self) -> T {
        self.0
    }
}

/// A text.
struct Text<'a>(&'a str);

impl Rule<String> for Text<'_> {
    fn is(&self, value: &String) -> bool {
        self.0 == value
    }

    fn own(self) -> String {
        self.0.to_owned()
    }
}

/// What a register holds.
struct Held<'a, T>(&'a Register<T>);

impl<T: PartialEq + Clone> Rule<Option<T>> for Held<'_, T> {
    fn is(&self, value: &Option<T>) -> bool {
        self.0.as_ref().map(|(_, held)| held) == value.as_ref()
    }

    fn own(self) -> Option<T> {
        self.0.as_ref().map(|(_, held)| held.clone())
    }
}

impl<T: PartialEq + Clone> Rule<Vec<T>> for Held<'_, Vec<T>> {
    fn is(&self, value: &Vec<T>) -> bool {
        self.0.as_ref().map_or(&[][..], |(_, held)| held) == value
    }

    fn own(self) -> Vec<T> {
        self.0.as_ref().map(|(_, held)| held.clone()).unwrap_or_default()
    }
}

/// A set without one of its texts.
struct Others<'a>(&'a BTreeSet<String>, &'a str);

impl Others<'_> {
    fn iter(&self) -> impl Iterator<Item = &String> {
        self.0.iter().filter(|text| *text != self.1)
    }
}

impl Rule<Vec<String>> for Others<'_> {
    fn is(&self, value: &Vec<String>) -> bool {
        self.iter().eq(value)
    }

    fn own(self) -> Vec<String> {
        self.iter().cloned().collect()
    }
}

/// Defines what is written of a view, and how the rest of it is found again.
macro_rules! rules {
    (|$state:ident, $order:ident| $($field:ident = $rule:expr;)+) => {
        impl Serialize for Published<'_> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let $state = self.state;
                let blank = SourceOrder::default();
                let $order = $state.sources.values().next().unwrap_or(&blank);
                // Names every field, so that none is forgotten here.
                let View { $($field),+ } = self.view;
                let (mut written, mut bit) = (0_u64, 1_u64);
                $(
                    if !Rule::is(&$rule, $field) {
                        written |= bit;
                    }
                    bit <<= 1;
                )+
                let mut parts = serializer.serialize_tuple(1 + written.count_ones() as usize)?;
                parts.serialize_element(&written)?;
                bit = 1;
                $(
                    if written & bit != 0 {
                        parts.serialize_element($field)?;
                    }
                    bit <<= 1;
                )+
                debug_assert_ne!(bit, 0, "more fields than bits");
                parts.end()
            }
        }

        impl<'de> Visitor<'de> for Parts {
            type Value = Written;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("which fields of a view are written, and those")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Written, A::Error> {
                let missing = || A::Error::custom("a field of a view is missing");
                let written: u64 = parts.next_element()?.ok_or_else(missing)?;
                let (mut view, mut bit) = (View::default(), 1_u64);
                $(
                    if written & bit != 0 {
                        view.$field = parts.next_element()?.ok_or_else(missing)?;
                    }
                    bit <<= 1;
                )+
                if written >= bit {
                    return Err(A::Error::custom("a view has fields that aren't known"));
                }
                Ok(Written { written, view })
            }
        }

        impl Written {
            /// The whole view.
            fn complete(self, $state: &State) -> View {
                let blank = SourceOrder::default();
                let $order = $state.sources.values().next().unwrap_or(&blank);
                let Self { written, mut view } = self;
                let mut bit = 1_u64;
                $(
                    if written & bit == 0 {
                        view.$field = Rule::own($rule);
                    }
                    bit <<= 1;
                )+
                debug_assert!(written < bit, "it was read like this");
                view
            }
        }

        /// One for which fields are written, and all of them.
        const MOST_PARTS: usize = 1 + [$(stringify!($field)),+].len();
    };
}

rules! { |state, order|
    id = Text(state.id().unwrap_or_default());
    aliases = Others(&order.aliases, state.id().unwrap_or_default());
    source = Plain(state.sources.keys().next().map(|space| space.source));
    sources = Plain(state.sources.keys().next().map(|space| space.source).into_iter().collect());
    person_id = Plain(state.attached);
    updated_at = Plain(order.version().map(|version| version.at));
    financial_status = Held(&order.financial_status);
    fulfillment_status = Held(&order.fulfillment_status);
    placed_at = Plain(order.placed_at);
    paid_at = Plain(order.paid_at);
    partially_fulfilled_at = Plain(order.partially_fulfilled_at);
    fulfilled_at = Plain(order.fulfilled_at);
    cancelled_at = Plain(order.cancelled_at);
    counted = Plain(order.counted_at.is_some() && !order.qa);
    counted_at = Plain(order.counted_at);
    total = Held(&order.total);
    subtotal = Held(&order.subtotal);
    discount_total = Held(&order.discount_total);
    shipping_total = Held(&order.shipping_total);
    tax_total = Held(&order.tax_total);
    refunds = Plain(BTreeMap::new());
    refund_times = Plain(BTreeMap::new());
    refunded_total = Plain(order.total.as_ref().map(|(_, total)| Money { minor: 0, ..*total }));
    net = Held(&order.total);
    item_count = Plain(order.item_count.map_or(0, |(_, count)| count));
    items = Held(&order.items);
    coupon_codes = Held(&order.coupon_codes);
    tags = Held(&order.tags);
    campaign = Held(&order.campaign);
    country = Held(&order.country);
    context = Held(&order.context);
    qa = Plain(order.qa);
    flags = Plain(Vec::new());
    carts = Others(&order.carts, "");
    base = Plain(None);
}

/// A view that is to be stored with its state.
struct Published<'a> {
    state: &'a State,
    view: &'a View,
}

/// A view as far as it was written.
struct Written {
    written: u64,
    view: View,
}

struct Parts;

impl<'de> Deserialize<'de> for Written {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_tuple(MOST_PARTS, Parts)
    }
}

/// What is written of a state, field by field that which is read as [`Kept`].
#[derive(Serialize)]
struct Stored<'a> {
    sources: &'a BTreeMap<Space, SourceOrder>,
    apart: &'a Option<String>,
    remembered: &'a [(u64, u64)],
    attached: &'a Option<PersonId>,
    others: &'a [PersonId],
    outdone: &'a BTreeSet<String>,
    published: Option<Published<'a>>,
    disagreements: &'a [Disagreement],
}

impl Serialize for State {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let stored = Stored {
            sources: &self.sources,
            apart: &self.apart,
            remembered: &self.remembered,
            attached: &self.attached,
            others: &self.others,
            outdone: &self.outdone,
            published: self.published.as_ref().map(|view| Published { state: self, view }),
            disagreements: &self.disagreements,
        };
        stored.serialize(serializer)
    }
}

/// What is read of a state.
#[derive(Deserialize)]
pub(super) struct Kept {
    sources: BTreeMap<Space, SourceOrder>,
    apart: Option<String>,
    remembered: Vec<(u64, u64)>,
    attached: Option<PersonId>,
    others: Vec<PersonId>,
    outdone: BTreeSet<String>,
    published: Option<Written>,
    disagreements: Vec<Disagreement>,
}

impl From<Kept> for State {
    fn from(kept: Kept) -> Self {
        let Kept { sources, apart, remembered, attached, others, outdone, published, disagreements } = kept;
        let mut state =
            Self { sources, apart, remembered, attached, others, outdone, published: None, disagreements };
        state.published = published.map(|written| written.complete(&state));
        state
    }
}
