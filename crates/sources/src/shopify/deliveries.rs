//! Requests as senders of this source make them, one for each of its names.

use commerce::{EventName, Source};

use crate::taxonomy::{Delivery, of_shop, post, shown};

pub(super) fn all() -> Vec<Delivery> {
    let of = |(topic, _): (&'static str, EventName)| {
        let body = of_shop(topic, shown!("shopify_order_create"));
        post(Source::Shopify, format!("/webhooks/shopify/{topic}"), body)
    };
    super::vocabulary().map(of).collect()
}
