//! What can go wrong in a query.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use datafusion::common::{Column, SchemaError};
use datafusion::error::DataFusionError;

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a statement was not answered.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The statement would write, create, drop or reach outside the tables.
    #[error(
        "{statement} is refused: this surface only reads (SELECT, EXPLAIN, SHOW, DESCRIBE, and SET of session options)"
    )]
    ReadOnly {
        /// What was asked for, such as `INSERT` or `DROP TABLE`.
        statement: String,
    },
    /// An option that a session may not set.
    #[error(
        "SET {option} is refused: a session may set flyball.read, datafusion.explain.*, datafusion.optimizer.* and datafusion.execution.time_zone"
    )]
    Setting {
        /// The option.
        option: String,
    },
    /// None or several statements where one belongs.
    #[error("{found} statements in one request: send exactly one")]
    Statements {
        /// How many there were.
        found: usize,
    },
    /// A text that is too long, or joins too much.
    #[error(
        "the statement has {found}, and may have {limit}: a list in IN (...) takes the place of many ORs, a second statement that of many levels"
    )]
    TooLong {
        /// What it has.
        found: String,
        /// How much of that it may have.
        limit: usize,
    },
    /// The text does not parse, or names something that does not exist.
    #[error("not a valid query: {0}")]
    Invalid(#[source] DataFusionError),
    /// It names a column that is not there.
    #[error("not a valid query: no column {column}; {}", columns(known))]
    UnknownColumn {
        /// The column as it was asked for.
        column: String,
        /// The columns there are where it was looked for, without their tables' names.
        known: Vec<String>,
    },
    /// It was planned, and failed while it ran.
    #[error("the query failed: {0}")]
    Failed(#[source] DataFusionError),
    /// It needed more memory than the engine has for queries.
    #[error(
        "the query needs more memory than is set aside for queries: narrow it by time or agent ({0})"
    )]
    Memory(#[source] DataFusionError),
    /// A name that should be shown as a gauge, and is no metric.
    #[error("{name:?} is no metric of the catalogue: accepted are {}", known.join(", "))]
    Gauge {
        /// The name.
        name: String,
        /// The metrics there are.
        known: Vec<String>,
    },
    /// It took too long.
    #[error("the query was stopped after {} s: narrow it by time or agent", limit.as_secs_f64())]
    Timeout {
        /// The time it had.
        limit: Duration,
    },
    /// Somebody asked to end it.
    #[error("canceling statement due to user request")]
    Cancelled,
    /// The result is larger than this port hands out.
    #[error(
        "the result has more than {limit} rows: add LIMIT, aggregate, or read it through the PostgreSQL port"
    )]
    TooManyRows {
        /// The most rows that are handed out.
        limit: usize,
    },
    /// The result is larger than what is handed on.
    #[error(
        "the result has more than {limit} bytes: select fewer columns, add LIMIT, aggregate, or read it through the PostgreSQL port, which streams"
    )]
    TooManyBytes {
        /// The most bytes that are collected.
        limit: usize,
    },
    /// Too many statements run, and too many wait, or for too long.
    #[error(
        "{at_once} statements are running and the queue is full: try again in {} s, or raise query.statements_max",
        retry_after.as_secs()
    )]
    Busy {
        /// How many run at once.
        at_once: usize,
        /// When to come back.
        retry_after: Duration,
    },
    /// It is about to read too much.
    #[error(
        "the statement would read {estimate}, and query.scan_bytes_max is {limit}: narrow it by time (WHERE start_time >= now() - INTERVAL '1 day'), ask a metric that rollup_1m answers, or raise the limit"
    )]
    TooWide {
        /// Files, bytes and rows that it would read.
        estimate: String,
        /// The limit, with its unit.
        limit: String,
    },
    /// A value for a parameter that its type does not take.
    #[error("parameter {name} = {value}: expected {expected}")]
    Parameter {
        /// The parameter, such as `$1`.
        name: String,
        /// What was sent, cut when it is long.
        value: String,
        /// The accepted form.
        expected: String,
    },
    /// Values and parameters are not the same ones.
    #[error(
        "{wrong}: \"parameters\" is a list with a value for each of $1, $2, ..., or an object with one for each $name"
    )]
    Parameters {
        /// Which is missing or too many.
        wrong: String,
    },
    /// What ran it is gone.
    #[error("the statement was lost: {reason}")]
    Lost {
        /// Why.
        reason: String,
    },
    /// There is no folder for rows that do not fit into memory.
    #[error("{} cannot be emptied for rows that do not fit into memory: {source}", dir.display())]
    Spill {
        /// The folder.
        dir: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A table of the snapshot could not be opened.
    #[error("table {table} cannot be opened: {message}")]
    Table {
        /// Its name.
        table: &'static str,
        /// What the table format said.
        message: String,
    },
    /// The moment it is to read is none, or too long ago.
    #[error(transparent)]
    Moment(flyball_store::Error),
    /// The tables of a moment of the past could not be found.
    #[error("the tables of that moment cannot be opened: {0}")]
    History(#[source] flyball_store::Error),
    /// An output format that is not known.
    #[error("format {given:?} is not known: use table, csv, json, jsonl, arrow or parquet")]
    Format {
        /// What was asked for.
        given: String,
    },
    /// A request that cannot be read as a query.
    #[error("not a query request: {message}")]
    Request {
        /// What is wrong with it, and the accepted form.
        message: String,
    },
    /// A result could not be written out.
    #[error("the result cannot be written: {0}")]
    Write(#[from] std::io::Error),
    /// A result could not be encoded.
    #[error("the result cannot be encoded: {0}")]
    Encode(#[from] arrow::error::ArrowError),
    /// A definition of the catalogue does not plan. Only a faulty build has this.
    #[error("catalogue entry {name} does not plan: {source}")]
    Definition {
        /// Its name.
        name: String,
        /// Why.
        source: DataFusionError,
    },
    /// A port without keys was to listen beyond this machine.
    #[error(
        "{address} is not a loopback address: without keys, queries are served on this machine only"
    )]
    NotLoopback {
        /// The address it was to listen on.
        address: SocketAddr,
    },
}

impl Error {
    /// An error of planning: the person who asked can mend it.
    pub(crate) fn invalid(error: DataFusionError) -> Self {
        if let DataFusionError::SchemaError(inner, _) = error.find_root()
            && let SchemaError::FieldNotFound {
                field,
                valid_fields,
            } = inner.as_ref()
        {
            return Self::UnknownColumn {
                column: field.quoted_flat_name(),
                known: candidates(field, valid_fields),
            };
        }
        Self::Invalid(error)
    }

    /// An error of finding the tables of a moment.
    pub(crate) fn history(error: flyball_store::Error) -> Self {
        match error {
            flyball_store::Error::Moment { .. } | flyball_store::Error::HistoryEnds { .. } => {
                Self::Moment(error)
            }
            other => Self::History(other),
        }
    }

    /// An error of running.
    pub(crate) fn failed(error: DataFusionError) -> Self {
        match error.find_root() {
            DataFusionError::ResourcesExhausted(_) => Self::Memory(error),
            // The folder to spill to is full: that comes as an error of input and output.
            DataFusionError::ArrowError(inner, _) if inner.to_string().contains(SPILL_FULL) => {
                Self::Memory(error)
            }
            _ => Self::Failed(error),
        }
    }
}

/// How DataFusion says that no more may be spilled.
const SPILL_FULL: &str = "disk space during the spilling process has exceeded";

/// The columns that could have been meant, each once: of the table that was named, else of all.
fn candidates(asked: &Column, there: &[Column]) -> Vec<String> {
    let of_table = |column: &&Column| match (&asked.relation, &column.relation) {
        (Some(asked), Some(table)) => asked.resolved_eq(table),
        _ => false,
    };
    let named: Vec<&Column> = there.iter().filter(of_table).collect();
    let all = if named.is_empty() {
        there.iter().collect()
    } else {
        named
    };
    let mut known = Vec::new();
    for column in all {
        let name = Column::new_unqualified(column.name()).quoted_flat_name();
        if !known.contains(&name) {
            known.push(name);
        }
    }
    known
}

fn columns(known: &[String]) -> String {
    if known.is_empty() {
        return "there are no columns here: is a FROM missing?".to_owned();
    }
    format!("the columns here are {}", known.join(", "))
}
