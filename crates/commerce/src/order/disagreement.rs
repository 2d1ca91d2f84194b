//! In what the sources of one order disagree. The view takes the word of the source that goes first;
//! that another one says something else is published, not averaged.

use serde::{Deserialize, Serialize};

use super::state::{SourceOrder, Space, State};
use super::view::Policy;
use crate::Money;
use crate::event::words;

words! {
    /// What can be disagreed about.
    Matter {
        /// The grand total, in one currency.
        Total = "total",
        /// The currency of the grand total.
        Currency = "currency",
        /// The payment state.
        FinancialStatus = "financial_status",
        /// The delivery state.
        FulfillmentStatus = "fulfillment_status",
    }
}

/// What one source says.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Said {
    /// Who says it.
    pub by: Space,
    /// A state, a currency or an amount in major units.
    pub value: String,
    /// The total, where it is about that or its currency.
    pub amount: Option<Money>,
}

/// Two sources that say different things of one order.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Disagreement {
    /// What it is about.
    pub matter: Matter,
    /// What counts.
    pub taken: Said,
    /// What doesn't.
    pub other: Said,
}

impl Disagreement {
    /// True for what is about the same matter and source: the later one takes the place of the earlier one.
    pub fn is_same_as(&self, other: &Self) -> bool {
        self.matter == other.matter && self.other.by == other.other.by
    }
}

impl State {
    /// In what the sources disagree with the one whose word counts.
    pub fn disagreements(&self, policy: &Policy) -> Vec<Disagreement> {
        if self.sources.len() < 2 {
            return Vec::new();
        }
        let ranked = self.ranked(policy);
        let amount = |money: &Money| (money.to_major(), Some(*money));
        let word = |word: &'static str| (word.to_owned(), None);
        let mut found = Vec::new();
        let currency = compare(&ranked, Matter::Currency, |order| {
            order.total.as_ref().map(|(_, total)| (total.currency.to_string(), Some(*total)))
        });
        // Amounts in two currencies aren't two amounts.
        let foreign: Vec<Space> = currency.iter().map(|found| found.other.by.clone()).collect();
        let total = compare(&ranked, Matter::Total, |order| order.total.as_ref().map(|(_, t)| amount(t)));
        found.extend(currency);
        found.extend(total.into_iter().filter(|found| !foreign.contains(&found.other.by)));
        found.extend(compare(&ranked, Matter::FinancialStatus, |order| {
            order.financial_status.as_ref().map(|(_, status)| word(status.as_str()))
        }));
        found.extend(compare(&ranked, Matter::FulfillmentStatus, |order| {
            order.fulfillment_status.as_ref().map(|(_, status)| word(status.as_str()))
        }));
        found
    }
}

/// What the first source that says anything and each later one say differently.
fn compare(
    ranked: &[(&Space, &SourceOrder)],
    matter: Matter,
    get: impl Fn(&SourceOrder) -> Option<(String, Option<Money>)>,
) -> Vec<Disagreement> {
    let mut said = ranked.iter().filter_map(|(by, order)| {
        let (value, amount) = get(order)?;
        Some(Said { by: (*by).clone(), value, amount })
    });
    let Some(taken) = said.next() else { return Vec::new() };
    let others = said.filter(|other| other.value != taken.value);
    others.map(|other| Disagreement { matter, taken: taken.clone(), other }).collect()
}
