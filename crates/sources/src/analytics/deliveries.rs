//! Requests as senders of this source make them, one for each of its names.

use commerce::{EventName, Source};
use serde_json::{Value, json};

use crate::taxonomy::{Delivery, post, shown, with};

pub(super) fn all() -> Vec<Delivery> {
    let event = |(name, _): (&'static str, EventName)| {
        let of =
            json!({"event_type": name, "search_term": "mug", "properties": {"rating": 5, "method": "mail"}});
        let body = with(shown!("analytics_purchase"), of);
        post(Source::Analytics, "/v1/api/analytics/ecommerce/track", body)
    };
    let mut all: Vec<_> = super::vocabulary().map(event).collect();
    all.push(Delivery {
        source: Source::Analytics,
        method: "DELETE",
        target: "/v1/api/analytics/user/user_123".to_owned(),
        body: Value::Null,
    });
    all
}
