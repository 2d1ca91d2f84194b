//! Requests as senders of this source make them, one for each of its names.

use commerce::{EventName, Source};

use crate::taxonomy::{Delivery, of_shop, post, shown};

pub(super) fn all() -> Vec<Delivery> {
    let of = |(name, _): (&'static str, EventName)| {
        let query = format!("key=dev-backend-key&workspace=demo&source=shop&event_name={name}");
        let body = of_shop(name, shown!("lifesight_orders_create"));
        post(Source::Lifesight, format!("/transform-webhook-data?{query}"), body)
    };
    super::vocabulary().map(of).collect()
}
