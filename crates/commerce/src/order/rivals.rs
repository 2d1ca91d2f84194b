//! Bodies of one version of which one corrects the other: the one counts whose first arrival is the latest.
//!
//! When a body arrived first may be found out after it was joined in, from a delivery that is processed late. Then
//! another body may be the latest, so all that tell of one version are kept beside the registers until a later version
//! has said something else. So neither the order in which they are processed nor their repetition matters.

use std::collections::BTreeMap;

use super::register::{Turns, Version, Versions};
use super::state::SourceOrder;
use crate::ReceivedTime;

/// So many bodies are kept of an order, the latest ones. Of more, what they said is let go: it would be missed only if
/// all that are kept turned out to have arrived before them.
const MOST_BODIES: usize = 8;
/// Of so many bodies it is known when they arrived first. One that was corrected more often and comes again then counts
/// as new.
const MOST_ARRIVALS: usize = 64;

/// Hands the registers that aren't maps to a macro.
macro_rules! registers {
    ($with:ident) => {
        $with! {
            financial_status fulfillment_status total subtotal discount_total shipping_total tax_total item_count
            items refunded_rest coupon_codes tags campaign country context
        }
    };
}

impl SourceOrder {
    /// The join of two.
    pub(super) fn merge(&self, other: &Self) -> Self {
        if !self.versions.take_turns() && !other.versions.take_turns() {
            return self.plain(other);
        }
        let mut turns = Turns::default();
        for order in [self, other] {
            order.all_versions().for_each(|versions| versions.tell(&mut turns));
        }
        let (mut left, mut right) = (self.clone(), other.clone());
        let mut rivals: BTreeMap<Version, Self> = BTreeMap::new();
        let mut add = |version: Version, body: Self| {
            let known = rivals.remove(&version).map_or_else(|| body.clone(), |known| known.plain(&body));
            rivals.insert(version, known);
        };
        for order in [&mut left, &mut right] {
            order.retune(&turns);
            for mut rival in std::mem::take(&mut order.rivals) {
                rival.retune(&turns);
                if let Some(version) = rival.version() {
                    add(version, rival);
                }
            }
        }
        for order in [&left, &right] {
            for (index, version) in order.versions.numbered() {
                if turns.have_rival(version) {
                    add(version, order.body(index, version));
                }
            }
        }
        let mut merged = left.plain(&right);
        for rival in rivals.values() {
            merged = merged.plain(rival);
        }
        merged.rivals = merged.settled(rivals);
        merged
    }

    /// When the body of a version arrived first, as far as it is known.
    pub(super) fn turn_of(&self, version: Version) -> Option<ReceivedTime> {
        self.all_versions().find_map(|versions| versions.turn_of(version))
    }

    /// What it says, whenever that arrived.
    pub(super) fn timeless(&self) -> Self {
        let mut order = Self { first: None, ..self.clone() };
        order.versions.forget_turns();
        order.rivals.iter_mut().for_each(|rival| rival.versions.forget_turns());
        order
    }

    fn all_versions(&self) -> impl Iterator<Item = &Versions> {
        std::iter::once(&self.versions).chain(self.rivals.iter().map(|rival| &rival.versions))
    }

    /// Of the bodies, what no later version has said something else of.
    fn settled(&self, rivals: BTreeMap<Version, Self>) -> Vec<Self> {
        let greatest = self.version().map(Version::place);
        let mut kept: Vec<(Version, Self)> = Vec::with_capacity(rivals.len());
        for (version, mut body) in rivals {
            let lives = |index: u16| self.versions.get(index).is_some_and(|v| v.place() == version.place());
            macro_rules! leave_what_counts {
                ($($field:ident)+) => {$(
                    if !self.$field.as_ref().is_some_and(|(index, _)| lives(*index)) {
                        body.$field = None;
                    }
                )+};
            }
            registers!(leave_what_counts);
            body.identifiers
                .retain(|key, _| self.identifiers.get(key).is_some_and(|(index, ())| lives(*index)));
            body.refunds.retain(|key, _| self.refunds.get(key).is_some_and(|(index, _)| lives(*index)));
            let empty = body == Self::nothing(version);
            if !empty || greatest == Some(version.place()) {
                kept.push((version, body));
            }
        }
        // Sorted by version, so that those of one place are beside each other.
        let excess = kept.len().saturating_sub(MOST_ARRIVALS);
        kept.drain(..excess);
        let without = kept.len().saturating_sub(MOST_BODIES);
        for (version, body) in kept.iter_mut().take(without) {
            *body = Self::nothing(*version);
        }
        let places: Vec<_> = kept.iter().map(|(version, _)| version.place()).collect();
        let alone = |place| places.iter().filter(|other| **other == place).count() < 2;
        kept.into_iter().filter(|(version, _)| !alone(version.place())).map(|(_, body)| body).collect()
    }

    fn nothing(version: Version) -> Self {
        Self { versions: Versions::of(version), ..Self::default() }
    }

    /// What the registers have from one version.
    fn body(&self, index: u16, version: Version) -> Self {
        let mut body = Self::nothing(version);
        macro_rules! take_over {
            ($($field:ident)+) => {$(
                body.$field = self.$field.clone().filter(|(at, _)| *at == index).map(|(_, value)| (0, value));
            )+};
        }
        registers!(take_over);
        let identifiers = self.identifiers.iter().filter(|(_, (at, ()))| *at == index);
        body.identifiers = identifiers.map(|(key, _)| (key.clone(), (0, ()))).collect();
        let refunds = self.refunds.iter().filter(|(_, (at, _))| *at == index);
        body.refunds = refunds.map(|(key, (_, value))| (key.clone(), (0, *value))).collect();
        body
    }

    /// Gives its versions their turns.
    fn retune(&mut self, turns: &Turns) {
        let places = self.versions.retune(turns);
        self.each_index(&mut |index| {
            if let Some(place) = places.get(usize::from(*index)) {
                *index = *place;
            }
        });
    }

    /// Visits every index into the versions.
    pub(super) fn each_index(&mut self, visit: &mut dyn FnMut(&mut u16)) {
        macro_rules! visit {
            ($($field:ident)+) => {$(
                if let Some((index, _)) = &mut self.$field {
                    visit(index);
                }
            )+};
        }
        registers!(visit);
        self.identifiers.values_mut().for_each(|(index, ())| visit(index));
        self.refunds.values_mut().for_each(|(index, _)| visit(index));
    }
}

#[cfg(test)]
mod tests;
