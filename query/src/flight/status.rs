//! Our errors and refusals as gRPC's: the code that a client acts on, and our message.

use std::time::Duration;

use datafusion::error::DataFusionError;
use tonic::{Code, Status};

use super::wire::Message;
use crate::Error;
use crate::gate::Refused;

/// The longest message, bytes: it travels in a header, and clients take no more than 16 KiB of those, in which what is
/// not ASCII takes three times the room.
const MESSAGE_MAX: usize = 4096;

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        said(code(&error), error.to_string())
    }
}

/// By what the sender can do about it.
fn code(error: &Error) -> Code {
    match error {
        Error::Invalid(inner)
            if matches!(inner.find_root(), DataFusionError::NotImplemented(_)) =>
        {
            Code::Unimplemented
        }
        Error::ReadOnly { .. }
        | Error::Setting { .. }
        | Error::Statements { .. }
        | Error::Invalid(_)
        | Error::UnknownColumn { .. }
        | Error::Format { .. }
        | Error::Moment(_)
        | Error::Request { .. } => Code::InvalidArgument,
        Error::TooManyRows { .. } | Error::TooManyBytes { .. } | Error::Memory(_) => {
            Code::ResourceExhausted
        }
        Error::Timeout { .. } => Code::DeadlineExceeded,
        Error::Cancelled => Code::Cancelled,
        _ => Code::Internal,
    }
}

impl From<Refused> for Status {
    fn from(refused: Refused) -> Self {
        let message = refused.to_string();
        match refused {
            Refused::Unauthenticated(_) => said(Code::Unauthenticated, message),
            Refused::Forbidden(_) => said(Code::PermissionDenied, message),
            Refused::TooFast { retry_after, .. } => {
                let details = retry_info(&message, retry_after);
                Self::with_details(Code::ResourceExhausted, message, details.into())
            }
        }
    }
}

/// A status with a message that fits into a header.
fn said(code: Code, mut message: String) -> Status {
    if message.len() > MESSAGE_MAX {
        message.truncate(message.floor_char_boundary(MESSAGE_MAX));
        message.push_str("...");
    }
    Status::new(code, message)
}

/// `google.rpc.Status` with a `google.rpc.RetryInfo`: come again after this delay.
fn retry_info(message: &str, delay: Duration) -> Vec<u8> {
    let delay = Message::default()
        .varint(1, delay.as_secs())
        .varint(2, u64::from(delay.subsec_nanos()));
    let info = Message::default().bytes(1, &delay.done());
    let detail = Message::default()
        .bytes(1, b"type.googleapis.com/google.rpc.RetryInfo")
        .bytes(2, &info.done());
    Message::default()
        .varint(1, Code::ResourceExhausted as u64)
        .bytes(2, message.as_bytes())
        .bytes(3, &detail.done())
        .done()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_message_is_cut_between_letters() {
        let long = Status::from(Refused::Forbidden("é".repeat(MESSAGE_MAX)));
        assert!(long.message().len() <= MESSAGE_MAX + 3);
        assert!(long.message().ends_with("é..."));
        assert_eq!(said(Code::Internal, "brief".to_owned()).message(), "brief");
    }
}
