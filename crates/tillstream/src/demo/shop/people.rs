//! Who shops: the same people through all sources.

use commerce::{Mark, Source};

use serde_json::json;

use super::lives::Maker;
use super::*;
use crate::demo::body::elsewhere::{to_bytes, unix};
use crate::demo::body::{Buyer, Place};
use crate::demo::credentials::path_part;
use crate::demo::delivery::Purpose;

const FIRST_NAMES: &[&str] = &[
    "Ada", "Ben", "Cleo", "Dora", "Emil", "Fay", "Gus", "Hana", "Ivo", "June", "Kai", "Lena", "Milo", "Nora",
    "Otto", "Pia", "Quinn", "Rosa", "Sven", "Tess", "Uma", "Vito", "Wren", "Zoë",
];
const LAST_NAMES: &[&str] = &[
    "Archer", "Baker", "Carter", "Dyer", "Fisher", "Glover", "Harper", "Mason", "Miller", "O'Brien",
    "Porter", "Sawyer", "Smith", "Taylor", "Turner", "Weaver",
];
const PLACES: &[Place] = &[
    Place {
        city: "Swampscott",
        zip: "01907",
        province: "Massachusetts",
        country: "United States",
        code: "US",
    },
    Place { city: "Portland", zip: "97201", province: "Oregon", country: "United States", code: "US" },
    Place { city: "Austin", zip: "73301", province: "Texas", country: "United States", code: "US" },
    Place { city: "Toronto", zip: "M5V 2T6", province: "Ontario", country: "Canada", code: "CA" },
    Place { city: "Leeds", zip: "LS1 1UR", province: "England", country: "United Kingdom", code: "GB" },
    Place { city: "Berlin", zip: "10115", province: "Berlin", country: "Germany", code: "DE" },
];

/// Somebody who shops.
#[derive(Clone, Debug)]
pub(super) struct Shopper {
    pub(super) index: usize,
    pub(super) first_name: &'static str,
    pub(super) last_name: &'static str,
    /// The normalised address, by which the books know them.
    pub(super) email: String,
    /// The id of their account, if they have one. Whoever has one is identified by Customer.io at some time, and so is
    /// one person under the id and the address.
    pub(super) user_id: Option<String>,
    pub(super) place: Place,
}

impl Maker<'_> {
    pub(super) fn shoppers(&self) -> usize {
        (self.options.orders * 2 / 5).max(4)
    }

    /// The shopper of an index.
    pub(super) fn shopper(&self, index: usize) -> Shopper {
        let at = |list: &[&'static str], i: usize| list.get(i % list.len()).copied().unwrap_or_default();
        let first_name = at(FIRST_NAMES, index);
        let last_name = at(LAST_NAMES, index / FIRST_NAMES.len() + index);
        let plain = |text: &str| text.to_lowercase().replace('ë', "e").replace('\'', "");
        let email =
            format!("{}.{}.{}.{index}@example.com", plain(first_name), plain(last_name), self.options.seed);
        let place = PLACES.get(index % 7).or(PLACES.first()).copied().unwrap_or_default();
        let user_id =
            index.is_multiple_of(MEMBERS).then(|| format!("user-{}", self.number(800_000_000, index)));
        Shopper { index, first_name, last_name, email, user_id, place }
    }

    /// A number of the run's own.
    pub(super) fn number(&self, offset: i64, index: usize) -> i64 {
        self.base.saturating_add(offset).saturating_add_unsigned(index as u64)
    }

    /// The shopper as a customer of a shop, where they have a number.
    fn customer(&self, shopper: &Shopper, source: Source) -> Buyer {
        let offset = if source == Source::Shopify { 500_000_000 } else { 600_000_000 };
        Buyer {
            first_name: shopper.first_name,
            last_name: shopper.last_name,
            email: Some(shopper.email.clone()),
            customer_id: Some(self.number(offset, shopper.index)),
            user_id: None,
            place: shopper.place,
        }
    }

    /// Who buys at a shop, and the person that the books know them as.
    pub(super) fn customer_of(
        &mut self,
        source: Source,
        test: bool,
    ) -> (Buyer, Option<String>, Option<usize>) {
        let mut index = self.rng.skewed(self.shoppers());
        if test {
            let Some(known) = self.rng.pick_from(&self.known) else {
                // Nobody is known yet: a test order of nobody is one that Shopify sends.
                return (guest(), None, None);
            };
            index = known;
        } else if self.rng.chance(GUESTS) {
            if source == Source::Shopify {
                return (guest(), None, None);
            }
            // The backend must name somebody: its own customer number.
            let id = self.number(700_000_000, 0).saturating_add_unsigned(self.rng.below(20));
            return (Buyer { customer_id: Some(id), ..guest() }, Some(format!("backend:{id}")), None);
        }
        let shopper = self.shopper(index);
        let mut buyer = self.customer(&shopper, source);
        if source == Source::Shopify && self.rng.chance(WITHOUT_ACCOUNT) {
            buyer.customer_id = None;
        }
        if self.rng.chance(SHOUTED_EMAILS) {
            buyer.email = Some(format!(" {} ", shopper.email.to_uppercase()));
        }
        (buyer, Some(shopper.email), Some(index))
    }

    /// Who buys elsewhere, where people are known by their address, or by the id of their account alone.
    pub(super) fn buyer_of(&mut self, source: Source) -> (Buyer, Option<String>, Option<usize>) {
        // A push must name somebody by address, a tracked order by whatever.
        let can_be_nobody = matches!(source, Source::Analytics | Source::Records);
        if can_be_nobody && self.rng.chance(GUESTS) {
            return (guest(), None, None);
        }
        let mut index = self.rng.skewed(self.shoppers());
        if source == Source::Analytics {
            // Only who is logged in is known there.
            index -= index % MEMBERS;
        }
        let shopper = self.shopper(index);
        let by_id = match source {
            Source::Analytics => true,
            Source::Customerio => self.rng.chance(500),
            _ => false,
        };
        let mut buyer = self.customer(&shopper, source);
        buyer.customer_id = None;
        if source == Source::Sequenzy && self.rng.chance(500) {
            buyer.user_id.clone_from(&shopper.user_id);
        }
        if let (true, Some(user_id)) = (by_id, &shopper.user_id) {
            buyer.user_id = Some(user_id.clone());
            buyer.email = None;
        }
        if buyer.user_id.is_some() {
            self.members.insert(index);
        }
        (buyer, Some(shopper.email), Some(index))
    }

    /// How people come to be known: accounts by the Track API, loyalty cards by rows.
    pub(super) fn introductions(&mut self) {
        for index in std::mem::take(&mut self.members) {
            let shopper = self.shopper(index);
            let Some(user_id) = &shopper.user_id else { continue };
            let at = self.some_time(0);
            let attributes = json!({
                "email": shopper.email, "first_name": shopper.first_name, "last_name": shopper.last_name,
                "created_at": unix(at), "_timestamp": unix(at), "anonymous_id": format!("browser-{user_id}"),
                "marketing_opt_in": self.rng.chance(500),
            });
            let credentials = &self.options.credentials;
            let delivery = if self.rng.chance(500) {
                let path = format!("v1/customers/{}", path_part(user_id));
                credentials.track("PUT", &path, to_bytes(&attributes))
            } else {
                let entity = json!({
                    "type": "person", "action": "identify", "identifiers": {"id": user_id},
                    "attributes": attributes,
                });
                credentials.track("POST", "v2/entity", to_bytes(&entity))
            };
            // The same statement once more is a statement, and no repetition.
            self.send(at, delivery, None);
            self.shop.named.insert(shopper.email);
        }
        let cards = self.options.orders * LOYAL / 1000;
        let apart = self.shoppers() / cards.max(1);
        for card in 0..cards {
            let (at, shopper) = (self.some_time(0), self.shopper(card * apart));
            let kind = self.rng.pick(&["gold", "silver", "silver"]);
            let body = json!({
                "matchKey": "email",
                "record": {
                    "email": shopper.email, "first_name": shopper.first_name, "last_name": shopper.last_name,
                    "loyalty": kind,
                },
            });
            let key = format!("loyalty:{}", self.number(400_000_000, card));
            let delivery = self.options.credentials.record("profiles/upsert", &key, to_bytes(&body));
            self.send(at, delivery, Some(Purpose::Repeats));
            self.shop.named.insert(shopper.email.clone());
            self.shop.loyalty.insert(shopper.email, kind);
        }
    }

    /// The id of somebody at Stripe.
    pub(super) fn stripe_customer(&self, shopper: &Shopper) -> String {
        let id = Mark::of(&[b"stripe", shopper.email.as_bytes()]).to_hex();
        format!("cus_{}", id.get(..14).unwrap_or_default())
    }
}

fn guest() -> Buyer {
    Buyer { first_name: "Guest", last_name: "", place: PLACES[0], ..Buyer::default() }
}
