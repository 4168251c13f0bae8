//! How a refusal is said on the wire: gRPC code, HTTP status, and a `google.rpc.Status` with the delay
//! after which to try again.

use std::time::Duration;

use axum::http::StatusCode;
use bytes::Bytes;
use flyball_store as store;
use prost::Message;
use tonic::Code;

use crate::error::Error;

/// `google.rpc.Status`: the body of every OTLP refusal.
#[derive(Clone, PartialEq, Message)]
pub struct RpcStatus {
    /// A gRPC code.
    #[prost(int32, tag = "1")]
    pub code: i32,
    /// For the person who reads the exporter's log.
    #[prost(string, tag = "2")]
    pub message: String,
    /// At most one: a [`RetryInfo`].
    #[prost(message, repeated, tag = "3")]
    pub details: Vec<StatusDetail>,
}

/// `google.protobuf.Any`.
#[derive(Clone, PartialEq, Message)]
pub struct StatusDetail {
    /// Which message.
    #[prost(string, tag = "1")]
    pub type_url: String,
    /// The message, encoded.
    #[prost(bytes = "vec", tag = "2")]
    pub value: Vec<u8>,
}

/// `google.rpc.RetryInfo`: try again, but not before this delay has passed.
#[derive(Clone, PartialEq, Message)]
pub struct RetryInfo {
    /// The delay.
    #[prost(message, optional, tag = "1")]
    pub retry_delay: Option<WireDuration>,
}

/// `google.protobuf.Duration`.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct WireDuration {
    /// Whole seconds.
    #[prost(int64, tag = "1")]
    pub seconds: i64,
    /// And nanoseconds.
    #[prost(int32, tag = "2")]
    pub nanos: i32,
}

impl RetryInfo {
    /// Its name in a [`StatusDetail`].
    pub const TYPE_URL: &'static str = "type.googleapis.com/google.rpc.RetryInfo";
}

/// A refusal, ready for either protocol.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) code: Code,
    pub(super) http: StatusCode,
    pub(super) message: String,
    /// None: the same request would be refused again.
    pub(super) retry_after: Option<Duration>,
}

/// When to try again after a fault of the store that says nothing about how long it lasts.
const FAULT_RETRY: Duration = Duration::from_secs(5);

impl From<&Error> for Refusal {
    fn from(error: &Error) -> Self {
        let (code, http, retry_after) = match error {
            Error::UnsupportedContentType { .. } => (
                Code::InvalidArgument,
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                None,
            ),
            Error::UnsupportedContentEncoding { .. } => (
                Code::Unimplemented,
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                None,
            ),
            Error::BadCompression { .. }
            | Error::BadFrame { .. }
            | Error::BadProtobuf { .. }
            | Error::BadJson { .. } => (Code::InvalidArgument, StatusCode::BAD_REQUEST, None),
            // The bytes may be whole the next time, and nothing was kept.
            Error::BodyCut { .. } => (
                Code::Unavailable,
                StatusCode::REQUEST_TIMEOUT,
                Some(FAULT_RETRY),
            ),
            // No RetryInfo: to OTLP that says "not again", and again it would be as large.
            Error::TooLarge { .. } | Error::Store(store::Error::TooLarge { .. }) => {
                (Code::ResourceExhausted, StatusCode::PAYLOAD_TOO_LARGE, None)
            }
            Error::Store(store::Error::Full { .. }) | Error::TooFast { .. } => (
                Code::ResourceExhausted,
                StatusCode::TOO_MANY_REQUESTS,
                error.retry_after(),
            ),
            Error::Unauthenticated { .. } => {
                (Code::Unauthenticated, StatusCode::UNAUTHORIZED, None)
            }
            Error::Forbidden { .. } => (Code::PermissionDenied, StatusCode::FORBIDDEN, None),
            // Ours to mend; until then the same request would fail again.
            Error::Store(store::Error::BatchRefused { .. })
            | Error::Normalise(_)
            | Error::Rows(_)
            | Error::ResolverStopped
            | Error::Io { .. }
            | Error::Serve { .. } => (Code::Internal, StatusCode::INTERNAL_SERVER_ERROR, None),
            Error::Store(_) => (
                Code::Unavailable,
                StatusCode::SERVICE_UNAVAILABLE,
                Some(FAULT_RETRY),
            ),
        };
        Self {
            code,
            http,
            message: error.to_string(),
            retry_after,
        }
    }
}

impl Refusal {
    /// As protobuf: the details of a gRPC status, the body of an OTLP/HTTP one.
    pub(super) fn to_protobuf(&self) -> Bytes {
        let details = self.retry_after.map(|delay| StatusDetail {
            type_url: RetryInfo::TYPE_URL.to_owned(),
            value: RetryInfo {
                retry_delay: Some(WireDuration {
                    seconds: i64::try_from(delay.as_secs()).unwrap_or(i64::MAX),
                    nanos: delay.subsec_nanos() as i32,
                }),
            }
            .encode_to_vec(),
        });
        RpcStatus {
            code: self.code as i32,
            message: self.message.clone(),
            details: details.into_iter().collect(),
        }
        .encode_to_vec()
        .into()
    }

    /// As JSON, by protobuf's mapping.
    pub(super) fn to_json(&self) -> Bytes {
        let mut status = serde_json::json!({ "code": self.code as i32, "message": self.message });
        if let Some(delay) = self.retry_after {
            status["details"] = serde_json::json!([{
                "@type": RetryInfo::TYPE_URL,
                "retryDelay": format!("{}.{:09}s", delay.as_secs(), delay.subsec_nanos()),
            }]);
        }
        status.to_string().into()
    }

    /// `Retry-After`: whole seconds, rounded up so that nobody comes back too early.
    pub(super) fn retry_after_seconds(&self) -> Option<u64> {
        self.retry_after
            .map(|delay| delay.as_millis().div_ceil(1000) as u64)
    }
}
