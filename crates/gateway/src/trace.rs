//! The name of a request, and the trace it belongs to.

use http::{HeaderMap, HeaderValue};
use uuid::Uuid;

/// The header that names a request in its answer.
pub(crate) const CORRELATION: &str = "x-correlation-id";
const PARENT: &str = "traceparent";

/// 32 lower-case hexadecimal digits, different for every request.
#[derive(Clone, Debug)]
pub(crate) struct Correlation {
    id: Uuid,
    value: HeaderValue,
}

impl Correlation {
    pub(crate) fn new() -> Self {
        let id = Uuid::new_v4();
        let mut digits = [0; 32];
        let text: &str = id.simple().encode_lower(&mut digits);
        // Hexadecimal digits are always a header's value.
        let value = HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static("none"));
        Self { id, value }
    }

    /// The name of an earlier request, `None` if it is none.
    pub(crate) fn of(name: &str) -> Option<Self> {
        let id = Uuid::try_parse(name).ok()?;
        Some(Self { id, value: HeaderValue::from_str(name).ok()? })
    }

    pub(crate) fn as_str(&self) -> &str {
        self.value.to_str().unwrap_or_default()
    }

    pub(crate) fn header(&self) -> HeaderValue {
        self.value.clone()
    }

    /// The request's W3C `traceparent`, or a new one whose trace is this name.
    pub(crate) fn traceparent(&self, headers: &HeaderMap) -> String {
        let given = headers.get(PARENT).and_then(|value| value.to_str().ok()).filter(|text| is_lawful(text));
        given.map_or_else(
            || format!("00-{}-{:016x}-01", self.as_str(), self.id.as_u64_pair().1),
            str::to_owned,
        )
    }
}

/// `00-<trace>-<parent>-<flags>`, lower-case hexadecimal, neither trace nor parent all zeros.
fn is_lawful(text: &str) -> bool {
    let hex = |part: &str, length: usize| {
        part.len() == length && part.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    };
    let some = |part: &str| part.bytes().any(|b| b != b'0');
    let mut parts = text.split('-');
    let lawful = parts.next() == Some("00")
        && parts.next().is_some_and(|trace| hex(trace, 32) && some(trace))
        && parts.next().is_some_and(|parent| hex(parent, 16) && some(parent))
        && parts.next().is_some_and(|flags| hex(flags, 2));
    lawful && parts.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lawful_trace_goes_on_and_any_other_begins_anew() {
        let correlation = Correlation::new();
        let mut headers = HeaderMap::new();
        let given = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        headers.insert(PARENT, HeaderValue::from_static(given));
        assert_eq!(correlation.traceparent(&headers), given);
        for bad in ["", "00-0-0-0", "00-00000000000000000000000000000000-00f067aa0ba902b7-01", "ff-x"] {
            headers.insert(PARENT, HeaderValue::from_static(bad));
            let new = correlation.traceparent(&headers);
            assert!(is_lawful(&new) && new.contains(correlation.as_str()), "{new}");
        }
    }
}
