//! What can go wrong here.

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// What can go wrong in the dashboards.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A dashboard file that is not JSON of the expected form.
    #[error("dashboard {file}: {reason}")]
    Dashboard {
        /// The file's name.
        file: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// A macro that Grafana would not know, or would refuse.
    #[error("panel {panel:?}: macro {found}: {reason}")]
    Macro {
        /// Title of the panel.
        panel: String,
        /// The macro, with its arguments as far as they were read.
        found: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A time span that the console does not offer.
    #[error("window: {value:?} is not a time span; accepted: {accepted}")]
    UnknownWindow {
        /// What was asked for.
        value: String,
        /// The accepted words.
        accepted: &'static str,
    },
    /// The query engine refused or failed.
    #[error("{what} cannot be read: {reason}")]
    Query {
        /// Which figures: `charges`, `alerts`, `actions`, or `figures` for all of them.
        what: &'static str,
        /// The engine's own words.
        reason: String,
    },
    /// An answer without a column that was asked for, or with one of the wrong type.
    #[error("column {column} of the answer: {reason}")]
    Column {
        /// The column.
        column: &'static str,
        /// What is wrong with it.
        reason: String,
    },
}
