//! The envelope of every answer.

use commerce::ReceivedTime;

use super::address::{Address, Operation};
use super::validate::Body;
use crate::http::Reply;
use crate::json::{self, Scalar, Value};

/// What may be wrong with a request or a record, as `/docs` lists it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Code {
    Invalid,
    Schema,
    Unauthorized,
    Forbidden,
    NotFound,
    InProgress,
    Limited,
    Unavailable,
}

impl Code {
    /// The code of an answer that is made outside of this source.
    const fn of_status(status: u16) -> Self {
        match status {
            401 => Self::Unauthorized,
            403 => Self::Forbidden,
            404 => Self::NotFound,
            409 => Self::InProgress,
            422 => Self::Schema,
            429 => Self::Limited,
            400..=499 => Self::Invalid,
            _ => Self::Unavailable,
        }
    }

    const fn status(self) -> u16 {
        match self {
            Self::Invalid => 400,
            Self::Schema => 422,
            Self::Unauthorized => 401,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::InProgress => 409,
            Self::Limited => 429,
            Self::Unavailable => 503,
        }
    }

    /// The word of the contract.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Invalid => "CDP_ETL.VALIDATION.REQUEST_INVALID",
            Self::Schema => "CDP_ETL.VALIDATION.REQUEST_SCHEMA",
            Self::Unauthorized => "CDP_ETL.AUTH.UNAUTHORIZED",
            Self::Forbidden => "CDP_ETL.AUTH.FORBIDDEN",
            Self::NotFound => "CDP_ETL.NOT_FOUND",
            Self::InProgress => "CDP_ETL.CONFLICT.IN_PROGRESS",
            Self::Limited => "CDP_ETL.RATE.LIMITED",
            Self::Unavailable => "CDP_ETL.INTERNAL.UNAVAILABLE",
        }
    }

    const fn remediation(self) -> &'static str {
        match self {
            Self::Invalid => "Mend the request; the same bytes get the same answer.",
            Self::Schema => "Leave the field out, or switch records.strict_schema off.",
            Self::Unauthorized => "Send Authorization: Bearer and a token of the workspace.",
            Self::Forbidden => "Use a token that opens this object.",
            Self::NotFound => "Use an object of the workspace, or add it to records.objects.",
            Self::InProgress | Self::Limited | Self::Unavailable => {
                "Send the same request with the same Idempotency-Key again after Retry-After."
            }
        }
    }
}

/// What is wrong with a request or with one of its records.
#[derive(Clone, Copy)]
pub(super) struct Fault<'a> {
    pub(super) code: Code,
    pub(super) message: &'a str,
    /// The field at fault.
    pub(super) path: Option<&'a str>,
    /// What stands there.
    pub(super) value: Scalar<'a>,
}

/// An error, with the status of its code.
pub(super) fn error(fault: Fault<'_>, correlation: &str) -> Reply {
    Reply::new(fault.code.status(), body(fault, correlation))
}

/// An error of a status that is made outside of this source.
pub(super) fn of_status(status: u16, message: &str, correlation: &str) -> Reply {
    let code = Code::of_status(status);
    // What the gateway says about a request before this source has seen it is about the body.
    let path = (code == Code::Invalid).then_some("body");
    let fault = Fault { code, message, path, value: Scalar::default() };
    Reply::new(status, body(fault, correlation))
}

/// The longest value that is sent back, in bytes.
const LONGEST_VALUE: usize = 200;

fn body(fault: Fault<'_>, correlation: &str) -> String {
    let details = fault.path.map(|path| {
        let value = sent_back(fault.value).map(|json| format!(r#","value":{json}"#)).unwrap_or_default();
        format!(r#""details":{{"path":{}{value}}},"#, json::quoted(path))
    });
    format!(
        r#"{{"success":false,"correlationId":{},"error":{{"code":"{}","message":{},{}"remediation":{}}}}}"#,
        json::quoted(correlation),
        fault.code.as_str(),
        json::quoted(fault.message),
        details.unwrap_or_default(),
        json::quoted(fault.code.remediation()),
    )
}

/// A value as it may stand in an answer: short, plain, and nothing that a client's own parser stumbles over, like `1e400`.
fn sent_back(value: Scalar<'_>) -> Option<&str> {
    let plain = matches!(value.value(), Value::Text(_) | Value::Number(_) | Value::Bool(_));
    let json = value.json();
    let fine =
        plain && json.len() <= LONGEST_VALUE && serde_json::from_str::<serde_json::Value>(json).is_ok();
    fine.then_some(json)
}

/// A record of a batch that is refused while others are taken.
pub(super) struct Rejected {
    pub(super) index: usize,
    pub(super) code: Code,
    pub(super) path: String,
    pub(super) message: String,
}

/// The 200 of records that were taken; of a batch also of those that were not.
pub(super) fn success(
    address: Address<'_>,
    body: &Body<'_>,
    rejected: &[Rejected],
    received_at: ReceivedTime,
    correlation: &str,
) -> Reply {
    let taken = body.records.len().saturating_sub(rejected.len());
    let mut data = format!(
        r#""operation":"{}","objectName":{},"accepted":{},"acceptedAt":"{}","acceptedRecords":{taken}"#,
        address.operation.as_str(),
        json::quoted(address.object),
        taken > 0,
        received_at.to_rfc3339(),
    );
    if let (Operation::Upsert, Some(key)) = (address.operation, &body.match_key) {
        data.push_str(&format!(r#","matchKey":{}"#, json::quoted(key)));
    }
    if address.batch {
        let errors: Vec<_> = rejected.iter().map(Rejected::json).collect();
        data.push_str(&format!(r#","rejectedRecords":{},"errors":[{}]"#, rejected.len(), errors.join(",")));
    }
    Reply::new(
        200,
        format!(r#"{{"success":true,"data":{{{data}}},"correlationId":{}}}"#, json::quoted(correlation)),
    )
}

impl Rejected {
    fn json(&self) -> String {
        format!(
            r#"{{"index":{},"code":"{}","path":{},"message":{}}}"#,
            self.index,
            self.code.as_str(),
            json::quoted(&self.path),
            json::quoted(&self.message),
        )
    }
}
