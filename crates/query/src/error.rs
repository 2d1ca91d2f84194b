//! Answers that aren't figures: `{"error": "<sentence>"}`.

use axum::response::{IntoResponse, Response};
use http::{HeaderName, StatusCode, header};

use crate::reports::{attribution, cohorts, funnel, revenue_timeseries, top_products};
use crate::tenants::Refused;
use crate::{history, range};

/// Why a request isn't answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Error {
    /// Missing or unknown.
    #[error("Invalid API key")]
    InvalidKey,
    /// A publishable key.
    #[error("Secret key required")]
    SecretKeyRequired,
    /// §6.0.1
    #[error("Invalid date range")]
    InvalidRange,
    /// `currency` is no ISO 4217 code.
    #[error("Invalid currency")]
    InvalidCurrency,
    /// `source` is no source key.
    #[error("Invalid source")]
    InvalidSource,
    /// §6.4
    #[error("Invalid limit")]
    InvalidLimit,
    /// `before` is neither an instant nor the `next_before` of an answer.
    #[error("Invalid before")]
    InvalidBefore,
    /// §6.11
    #[error("Invalid attribution model")]
    InvalidModel,
    /// §6.11
    #[error("Invalid attribution window")]
    InvalidWindow,
    /// §6.0.4
    #[error("Invalid exclude_flagged")]
    InvalidExcludeFlagged,
    /// `granularity` is neither `day` nor `hour`.
    #[error("Invalid granularity")]
    InvalidGranularity,
    /// More days than are answered hour by hour.
    #[error("granularity=hour is for at most {0} days")]
    TooManyHours(i32),
    /// D-ANA-17
    #[error("Invalid ordered")]
    InvalidOrdered,
    /// D-ANA-17
    #[error("Invalid funnel window")]
    InvalidFunnelWindow,
    /// §6.12
    #[error("Invalid months")]
    InvalidMonths,
    /// §6.13
    #[error("user_id is required")]
    UserIdRequired,
    /// The query string can't be decoded.
    #[error("Invalid query")]
    InvalidQuery,
    /// A parameter of the contract whose figures aren't maintained for this answer: refused, because leaving it unheeded would give
    /// a number that was not asked for.
    #[error("{0} is not supported yet")]
    Unsupported(&'static str),
    /// No such path, report, person or order.
    #[error("Not found")]
    NotFound,
    /// The path exists for other methods.
    #[error("Method not allowed")]
    MethodNotAllowed,
    /// An open dashboard on this machine was asked for under another machine's name.
    #[error("This dashboard answers to localhost only")]
    ForeignHost,
    /// Not everything has been read since the start.
    #[error("Figures are being loaded")]
    Loading,
    /// As many live streams as there may be.
    #[error("Too many live streams")]
    TooManyStreams,
    /// A fault of this program; it is logged.
    #[error("Internal error")]
    Internal,
}

impl Error {
    const fn status(self) -> StatusCode {
        match self {
            Self::InvalidKey => StatusCode::UNAUTHORIZED,
            Self::SecretKeyRequired | Self::ForeignHost => StatusCode::FORBIDDEN,
            Self::InvalidRange
            | Self::InvalidCurrency
            | Self::InvalidSource
            | Self::InvalidLimit
            | Self::InvalidBefore
            | Self::InvalidModel
            | Self::InvalidWindow
            | Self::InvalidMonths
            | Self::InvalidExcludeFlagged
            | Self::InvalidGranularity
            | Self::TooManyHours(_)
            | Self::InvalidOrdered
            | Self::InvalidFunnelWindow
            | Self::UserIdRequired
            | Self::InvalidQuery
            | Self::Unsupported(_) => StatusCode::BAD_REQUEST,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::Loading | Self::TooManyStreams => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The header that belongs to the status.
    const fn header(self) -> Option<(HeaderName, &'static str)> {
        match self {
            Self::InvalidKey => Some((header::WWW_AUTHENTICATE, "Bearer")),
            Self::Loading => Some((header::RETRY_AFTER, "1")),
            Self::TooManyStreams => Some((header::RETRY_AFTER, "10")),
            _ => None,
        }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let body = serde_json::json!({ "error": self.to_string() }).to_string();
        let kind = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
        let mut response = (self.status(), kind, body).into_response();
        if let Some((name, value)) = self.header() {
            response.headers_mut().insert(name, http::HeaderValue::from_static(value));
        }
        response
    }
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Unknown => Self::InvalidKey,
            Refused::NotSecret => Self::SecretKeyRequired,
        }
    }
}

impl From<range::Invalid> for Error {
    fn from(_: range::Invalid) -> Self {
        Self::InvalidRange
    }
}

impl From<attribution::Invalid> for Error {
    fn from(invalid: attribution::Invalid) -> Self {
        match invalid {
            attribution::Invalid::Model => Self::InvalidModel,
            attribution::Invalid::Window => Self::InvalidWindow,
        }
    }
}

impl From<funnel::Invalid> for Error {
    fn from(invalid: funnel::Invalid) -> Self {
        match invalid {
            funnel::Invalid::Ordered => Self::InvalidOrdered,
            funnel::Invalid::Window => Self::InvalidFunnelWindow,
        }
    }
}

impl From<revenue_timeseries::Invalid> for Error {
    fn from(invalid: revenue_timeseries::Invalid) -> Self {
        match invalid {
            revenue_timeseries::Invalid::Granularity => Self::InvalidGranularity,
            revenue_timeseries::Invalid::TooMany => {
                Self::TooManyHours(revenue_timeseries::MOST_DAYS_IN_HOURS)
            }
        }
    }
}

impl From<cohorts::Invalid> for Error {
    fn from(_: cohorts::Invalid) -> Self {
        Self::InvalidMonths
    }
}

impl From<top_products::InvalidLimit> for Error {
    fn from(_: top_products::InvalidLimit) -> Self {
        Self::InvalidLimit
    }
}

impl From<history::Error> for Error {
    fn from(error: history::Error) -> Self {
        tracing::error!(error = crate::reading::chain(&error), "histories can't be read");
        Self::Internal
    }
}

impl From<serde_json::Error> for Error {
    fn from(error: serde_json::Error) -> Self {
        tracing::error!(%error, "an answer couldn't be written");
        Self::Internal
    }
}
