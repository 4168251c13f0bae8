//! Prepared statements: a handle, the statement behind it, and the values that were bound last.
//!
//! The handle only spares a client from sending the statement again. It is planned at each execution, over the types
//! that were bound, and a ticket of it is one like any other.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use tonic::Status;

use super::caller::Caller;
use super::kept::Kept;
use super::parameters;
use super::statement::Statement;

/// The most that one key has at a time.
const HANDLES_MAX: usize = 1024;
/// How long one lives that nobody uses.
pub(super) const IDLE_MAX: Duration = Duration::from_secs(3600);

/// All there are.
#[derive(Debug)]
pub(super) struct Prepared(Kept<Behind>);

/// What is behind a handle.
#[derive(Debug, Clone)]
struct Behind {
    sql: Arc<str>,
    /// One row of values, written.
    row: Option<Arc<[u8]>>,
}

impl Prepared {
    pub(super) fn new() -> Self {
        Self(Kept::new(HANDLES_MAX, IDLE_MAX))
    }

    /// Keeps a statement; its handle.
    pub(super) fn create(&self, caller: &Caller, sql: &str) -> Result<String, Status> {
        let behind = Behind {
            sql: sql.into(),
            row: None,
        };
        self.0.keep(&caller.reader, behind)
    }

    /// The statement of a handle of the caller's, with what was bound.
    pub(super) fn get(&self, caller: &Caller, handle: &[u8]) -> Result<Statement, Status> {
        let (_, behind) = self.behind(caller, handle)?;
        Ok(Statement {
            sql: behind.sql.to_string(),
            row: behind.row.map(|row| parameters::read(&row)).transpose()?,
        })
    }

    /// Binds a row of values, in place of the one before.
    pub(super) fn bind(
        &self,
        caller: &Caller,
        handle: &[u8],
        row: &RecordBatch,
    ) -> Result<(), Status> {
        let (name, behind) = self.behind(caller, handle)?;
        let row = parameters::written(row)?;
        let row = Some(row.into());
        self.0.replace(name, Behind { row, ..behind });
        Ok(())
    }

    /// Forgets one. It is no error when there is none: it may have expired.
    pub(super) fn close(&self, caller: &Caller, handle: &[u8]) {
        if let Ok((name, _)) = self.behind(caller, handle) {
            self.0.forget(name);
        }
    }

    fn behind<'a>(&self, caller: &Caller, handle: &'a [u8]) -> Result<(&'a str, Behind), Status> {
        let found = std::str::from_utf8(handle).ok().and_then(|name| {
            let (owner, behind) = self.0.get(name)?;
            (owner == caller.reader).then_some((name, behind))
        });
        found.ok_or_else(|| {
            Status::not_found(format!(
                "no such prepared statement: it was closed, was not used for {} s, or made room for others; prepare it again",
                IDLE_MAX.as_secs()
            ))
        })
    }
}
