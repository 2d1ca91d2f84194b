//! The order of sending, and everything that goes wrong on the way.

use std::collections::HashMap;

use commerce::{EventTime, Source};

use super::lives::{Draft, Maker, seconds, to_bytes};
use super::*;
use crate::demo::body::Snapshot;
use crate::demo::credentials::sign;
use crate::demo::delivery::Purpose;
use crate::demo::rng::Rng;

/// Units of sending order between two neighbours.
const STEP: u64 = 1_000;

impl Maker<'_> {
    pub(super) fn finish(mut self) -> Shop {
        let mut drafts = std::mem::take(&mut self.drafts);
        drafts.sort_by_key(|draft| draft.at);
        let places = self.places(&drafts);
        let mut sent: Vec<(u64, Delivery)> = Vec::with_capacity(drafts.len() * 11 / 10);
        let mut left: HashMap<usize, usize> = HashMap::new();
        for draft in &drafts {
            let left = left.entry(draft.subject).or_insert(MOST_PER_ORDER);
            *left = left.saturating_sub(1);
        }
        for (draft, place) in drafts.iter().zip(places) {
            let room = left.entry(draft.subject).or_default();
            self.repetitions(draft, place, room, &mut sent);
            self.mischief(draft, place, &mut sent);
            sent.push((place, draft.delivery.clone()));
        }
        sent.sort_by_key(|(place, _)| *place);
        let deliveries = sent.into_iter().enumerate().map(|(at, (_, delivery))| Delivery { at, ..delivery });
        Shop { deliveries: deliveries.collect(), ..self.shop }
    }

    /// Where each delivery is sent: by time, shuffled a little, a few very late, some creations last.
    fn places(&mut self, drafts: &[Draft]) -> Vec<u64> {
        let quarter = (drafts.len() as u64 / 4).saturating_mul(STEP);
        let mut last: HashMap<usize, (u64, usize)> = HashMap::new();
        let mut places: Vec<u64> = Vec::with_capacity(drafts.len());
        for (i, draft) in drafts.iter().enumerate() {
            let late = if self.rng.chance(LATE) { self.rng.below(quarter) } else { 0 };
            let place = i as u64 * STEP + self.rng.below(SHUFFLE * STEP) + late;
            places.push(place);
            let (latest, count) = last.entry(draft.subject).or_default();
            *latest = place.max(*latest);
            *count += 1;
        }
        for (draft, place) in drafts.iter().zip(&mut places) {
            let (latest, count) = last.get(&draft.subject).copied().unwrap_or_default();
            if draft.creates && count > 1 && self.rng.chance(CREATED_LAST) {
                *place = latest + STEP / 2;
            }
        }
        places
    }

    /// The same delivery again, and the same fact from elsewhere.
    fn repetitions(&mut self, draft: &Draft, place: u64, room: &mut usize, sent: &mut Vec<(u64, Delivery)>) {
        let mut again = |rng: &mut Rng, delivery| {
            sent.push((place + 1 + rng.below(REPEAT_WITHIN * STEP), delivery));
        };
        if let Some(purpose) = draft.again
            && *room > 0
            && self.rng.chance(REPEATED)
        {
            *room -= 1;
            again(&mut self.rng, Delivery { purpose, ..draft.delivery.clone() });
        }
        if *room == 0 || !self.rng.chance(RESUBSCRIBED) {
            return;
        }
        let mut twin = draft.twin.clone();
        if let Some(snapshot) = &draft.snapshot {
            let mut delivery = draft.delivery.clone();
            if snapshot.source == Source::Shopify {
                set_header(&mut delivery, "X-Shopify-Webhook-Id", &self.rng.uuid());
            } else {
                // The backend has no delivery ids; a proxy that writes the same JSON another way does the same.
                delivery.body = encoded_differently(&snapshot.order());
            }
            twin = Some(delivery);
        }
        if let Some(twin) = twin {
            *room -= 1;
            again(&mut self.rng, Delivery { purpose: Purpose::Resubscribes, ..twin });
        }
    }

    /// What must change nothing.
    fn mischief(&mut self, draft: &Draft, place: u64, sent: &mut Vec<(u64, Delivery)>) {
        let place = place + STEP / 4;
        let forged = self.rng.chance(FORGED);
        let Some(snapshot) = &draft.snapshot else {
            sent.extend(forged.then(|| (place, guessed(&draft.delivery))));
            return;
        };
        let shopify = snapshot.source == Source::Shopify;
        if forged {
            let delivery = self.forged(draft, snapshot);
            sent.push((place, delivery));
        }
        if shopify && self.rng.chance(GARBLED) {
            let whole = &draft.delivery.body;
            let body = match self.rng.below(3) {
                0 => b"not json".to_vec(),
                1 => [b"[".as_slice(), whole, b"]"].concat(),
                _ => whole.get(..whole.len() / 2).unwrap_or_default().to_vec(),
            };
            let delivery = self.shopify("orders/updated", draft.at, body);
            sent.push((place, Delivery { purpose: Purpose::Garbles, ..delivery }));
        }
        if shopify && self.rng.chance(DIGRESSIONS) {
            let topic = self.rng.pick(&["products/update", "inventory_levels/update", "themes/publish"]);
            let body = serde_json::json!({"id": snapshot.id + 1, "title": "Canvas Tote"});
            let delivery = self.shopify(topic, draft.at, to_bytes(&body));
            sent.push((place, Delivery { purpose: Purpose::Digresses, ..delivery }));
        }
        if !shopify && self.rng.chance(OMITTED) {
            let delivery = self.omitting(snapshot);
            sent.push((place, delivery));
        }
    }

    /// A newer version with a far greater amount: if it got in, gross would show it.
    fn forged(&mut self, draft: &Draft, snapshot: &Snapshot) -> Delivery {
        let mut lie = snapshot.clone();
        lie.updated_at = EventTime(lie.updated_at.0 + seconds(1));
        lie.financial = "paid";
        lie.shipping += 1_000_000;
        let mut delivery = self.deliver(&lie, "updated");
        delivery.expect_status = 401;
        if lie.source == Source::Shopify {
            delivery.purpose = Purpose::Forges;
            let secret = &self.options.credentials.shopify_secret;
            let signature = match self.rng.below(3) {
                0 => sign("not-the-secret", &delivery.body),
                // Signed, then tampered with.
                1 => sign(secret, &draft.delivery.body[..draft.delivery.body.len() - 1]),
                _ => String::new(),
            };
            set_header(&mut delivery, "X-Shopify-Hmac-Sha256", &signature);
            delivery.headers.retain(|(_, value)| !value.is_empty());
        } else {
            delivery.purpose = Purpose::Guesses;
            let guess =
                Credentials { backend_key: "guessed-key".to_owned(), ..self.options.credentials.clone() };
            delivery.path_and_query = guess.backend("orders_updated", Vec::new()).path_and_query;
        }
        delivery
    }

    /// A call without one field that it must have.
    fn omitting(&mut self, snapshot: &Snapshot) -> Delivery {
        let mut body = snapshot.order();
        let field = self.rng.pick(&["total_price", "currency", "updated_at", "quantity"]);
        let place = if field == "quantity" { body.pointer_mut("/line_items/0") } else { Some(&mut body) };
        if let Some(object) = place.and_then(serde_json::Value::as_object_mut) {
            object.remove(field);
        }
        let delivery = self.options.credentials.backend("orders_updated", to_bytes(&body));
        Delivery { purpose: Purpose::Omits, expect_status: 400, ..delivery }
    }
}

/// The same JSON in other bytes.
pub(super) fn encoded_differently(body: &serde_json::Value) -> Vec<u8> {
    format!("{body:#}\n").into_bytes()
}

/// The same with a secret or key that opens nothing. If it got in, it would show as one more duplicate.
fn guessed(delivery: &Delivery) -> Delivery {
    let mut delivery = delivery.clone();
    if let Some(secret) = &mut delivery.stripe_secret {
        *secret = "whsec_guessed".to_owned();
        return Delivery { purpose: Purpose::Forges, expect_status: 400, ..delivery };
    }
    set_header(&mut delivery, "Authorization", "Bearer guessed-key");
    set_header(&mut delivery, "X-API-Key", "guessed-key");
    Delivery { purpose: Purpose::Guesses, expect_status: 401, ..delivery }
}

fn set_header(delivery: &mut Delivery, name: &str, value: &str) {
    for header in &mut delivery.headers {
        if header.0 == name {
            value.clone_into(&mut header.1);
        }
    }
}
