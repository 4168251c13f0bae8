//! What can go wrong in a report.

use crate::Dimension;

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// What can go wrong in a report.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A name that is no dimension.
    #[error(
        "unknown dimension `{name}`: a report can be made by {}",
        Dimension::accepted()
    )]
    UnknownDimension {
        /// What was asked for.
        name: String,
    },
    /// The same dimension twice.
    #[error("dimension `{name}` is named twice: name each dimension once")]
    RepeatedDimension {
        /// What was asked for twice.
        name: &'static str,
    },
    /// No dimension at all.
    #[error(
        "no dimension given: a report can be made by {}",
        Dimension::accepted()
    )]
    NoDimension,
    /// The rows lack a column that the report's own SQL selects.
    #[error("the rows have no column `{column}`: ask for them with the report's own SQL")]
    MissingColumn {
        /// The column's name in `charges`.
        column: &'static str,
    },
    /// A column of a type that cannot be summed or grouped exactly.
    #[error("column `{column}` is {found}; accepted: {accepted}")]
    ColumnType {
        /// The column's name in `charges`.
        column: &'static str,
        /// The Arrow type it has.
        found: String,
        /// The Arrow types it may have.
        accepted: &'static str,
    },
    /// A sum that leaves the range of `DECIMAL(38, s)`.
    #[error("the sum of `{column}` has more than 38 digits: narrow the period")]
    SumTooLarge {
        /// The column's name in `charges`.
        column: &'static str,
    },
    /// Polars refused.
    #[error("summing the rows: {0}")]
    Polars(#[from] polars::error::PolarsError),
    /// The summing broke off.
    #[error("summing the rows broke off: this is a fault of ours")]
    Interrupted,
    /// Arrow refused.
    #[error("writing the report: {0}")]
    Arrow(#[from] arrow::error::ArrowError),
}
