//! Our errors as PostgreSQL's: the SQLSTATE that a client acts on, and our message.

use datafusion::error::DataFusionError;
use datafusion_postgres::pgwire::error::{ErrorInfo, PgWireError};

use crate::Error;

impl From<Error> for PgWireError {
    fn from(error: Error) -> Self {
        state(sqlstate(&error), error.to_string())
    }
}

/// An error with a SQLSTATE.
pub(super) fn state(code: &str, message: String) -> PgWireError {
    PgWireError::UserError(Box::new(ErrorInfo::new(
        "ERROR".to_owned(),
        code.to_owned(),
        message,
    )))
}

/// An error after which the connection ends.
pub(super) fn fatal(code: &str, message: String) -> PgWireError {
    PgWireError::UserError(Box::new(ErrorInfo::new(
        "FATAL".to_owned(),
        code.to_owned(),
        message,
    )))
}

/// Codes of PostgreSQL's appendix A.
fn sqlstate(error: &Error) -> &'static str {
    match error {
        Error::ReadOnly { .. } => "25006",
        Error::Setting { .. } => "42501",
        Error::Statements { .. } => "42601",
        Error::Moment(_) => "22023",
        Error::UnknownColumn { .. } => "42703",
        Error::Invalid(inner) => match inner.find_root() {
            DataFusionError::SQL(..) => "42601",
            DataFusionError::SchemaError(..) => "42703",
            DataFusionError::Plan(message) if message.contains("not found") => "42P01",
            DataFusionError::NotImplemented(_) => "0A000",
            DataFusionError::Configuration(_) => "22023",
            _ => "42000",
        },
        Error::Timeout { .. } | Error::Cancelled => "57014",
        Error::Memory(_) => "53200",
        Error::Busy { .. } => "53300",
        Error::TooWide { .. } => "53400",
        Error::Parameter { .. } => "22P02",
        Error::Parameters { .. } => "08P01",
        Error::TooLong { .. } => "54001",
        Error::TooManyRows { .. } | Error::TooManyBytes { .. } => "54000",
        Error::Failed(inner) => match inner.find_root() {
            DataFusionError::ArrowError(inner, _)
                if matches!(**inner, arrow::error::ArrowError::DivideByZero) =>
            {
                "22012"
            }
            _ => "XX000",
        },
        _ => "XX000",
    }
}
