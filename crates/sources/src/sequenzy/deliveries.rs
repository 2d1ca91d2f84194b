//! Requests as senders of this source make them, one for each of its names.

use commerce::Source;
use serde_json::json;

use crate::taxonomy::{Delivery, post, shown, with};

pub(super) fn all() -> Vec<Delivery> {
    let order = |status| {
        let of = json!({"status": status, "refundAmountCents": 2000});
        post(Source::Sequenzy, "/api/v1/orders", with(shown!("sequenzy_order_placed"), of))
    };
    let mut all: Vec<_> = super::statuses().map(order).collect();
    all.push(post(Source::Sequenzy, "/api/v1/checkouts", shown!("sequenzy_checkout_started")));
    all
}
