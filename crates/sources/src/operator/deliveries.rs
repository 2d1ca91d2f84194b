//! Requests as senders of this source make them, one for each of its names.

use commerce::Source;
use serde_json::json;

use crate::taxonomy::{Delivery, post};

pub(super) fn all() -> Vec<Delivery> {
    let of = |word: &str| {
        let handles = json!({"a": "user:5", "b": "email:ada.byrne@example.com"});
        post(Source::Operator, format!("/v1/identity/{word}"), handles)
    };
    vec![of("merge"), of("unmerge")]
}
