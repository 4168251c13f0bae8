//! What can go wrong in this crate, each named for what went wrong.

use std::path::PathBuf;

/// Everything that can go wrong in this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A field of an order, a request or a specification is not acceptable.
    #[error("{field}: {value} is not accepted; give {accepted}")]
    Invalid {
        /// Path of the field, such as `scope.target`.
        field: String,
        /// What was given, quoted.
        value: String,
        /// The accepted form, in words.
        accepted: String,
    },
    /// A field that must be there is not.
    #[error("{field} is missing; give {accepted}")]
    Missing {
        /// Path of the field.
        field: String,
        /// The accepted form, in words.
        accepted: String,
    },
    /// Somebody obeyed an action that was never decided here.
    #[error("action_id: no action {action_id:?} was decided here")]
    UnknownAction {
        /// The id that was given.
        action_id: String,
    },
    /// The SQLite file can't be opened.
    #[error("cannot open {}: {source}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// SQLite's reason.
        source: rusqlite::Error,
    },
    /// Another process runs the executions of this file.
    #[error("{} is in use: another process runs its executions", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// SQLite refused a statement.
    #[error("SQLite: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// A group of changes could not be committed: none of them holds.
    #[error("SQLite could not commit: {0}")]
    Commit(String),
    /// The database's thread has ended.
    #[error("the database is closed")]
    Closed,
    /// What was kept can't be read back.
    #[error("{what} can't be read back: {source}")]
    Corrupt {
        /// Table and column.
        what: &'static str,
        /// Why.
        source: serde_json::Error,
    },
    /// A file can't be read, or is not what it should be.
    #[error("cannot read {}: {reason}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Where, and why.
        reason: String,
    },
    /// The state machine has no such edge.
    #[error("there is no transition {event} from {state}")]
    NoSuchTransition {
        /// Where the execution stands.
        state: &'static str,
        /// What happened.
        event: String,
    },
    /// Somebody else runs this execution, or it has ended, or there is one of that id.
    #[error("execution {execution_id} was written by somebody else")]
    Conflict {
        /// Its id.
        execution_id: String,
    },
    /// There is no such execution.
    #[error("there is no execution {execution_id:?}")]
    UnknownExecution {
        /// The id that was given.
        execution_id: String,
    },
    /// A policy bundle is not one.
    #[error("policy {name}: {reason}")]
    Policy {
        /// File or bundle.
        name: String,
        /// Where, and why.
        reason: String,
    },
    /// Telemetry can't be sent there.
    #[error("OTLP endpoint {endpoint:?}: {reason}")]
    Telemetry {
        /// As configured.
        endpoint: String,
        /// In words.
        reason: String,
    },
    /// The control plane refused a request.
    #[error("control plane {url}: {status}: {message}")]
    Refused {
        /// Base URL.
        url: String,
        /// HTTP status.
        status: u16,
        /// In words.
        message: String,
    },
    /// The control plane could not be reached, or did not answer as one.
    #[error("control plane {url}: {reason}")]
    Unreachable {
        /// Base URL.
        url: String,
        /// In words.
        reason: String,
    },
}

impl Error {
    /// A field whose value is not accepted. The value is quoted and cut at 80 characters.
    pub(crate) fn invalid(
        field: impl Into<String>,
        value: &str,
        accepted: impl Into<String>,
    ) -> Self {
        let mut quoted: String = value.chars().take(80).collect();
        if quoted.len() < value.len() {
            quoted.push_str("...");
        }
        Self::Invalid {
            field: field.into(),
            value: format!("{quoted:?}"),
            accepted: accepted.into(),
        }
    }

    /// A field that is missing.
    pub(crate) fn missing(field: impl Into<String>, accepted: impl Into<String>) -> Self {
        Self::Missing {
            field: field.into(),
            accepted: accepted.into(),
        }
    }

    /// Whether the caller can mend it by asking differently.
    #[must_use]
    pub fn is_callers(&self) -> bool {
        match self {
            Self::Invalid { .. } | Self::Missing { .. } | Self::UnknownAction { .. } => true,
            Self::Refused { status, .. } => {
                (400..500).contains(status) && ![401, 403, 408, 429].contains(status)
            }
            _ => false,
        }
    }
}
