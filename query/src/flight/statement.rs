//! Statements: what a ticket says, the plan it comes to, the rows under way, and ending them early.
//!
//! A ticket holds the statement itself and the values of its parameters, so any server can serve it, and nothing is
//! kept between announcing a result and fetching it. It is nothing that has to be trusted: whoever makes up a ticket
//! has its statement planned and judged like any other.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow_flight::sql::{ProstMessageExt, TicketStatementQuery};
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::EmptyRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::StreamExt;
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tonic::Status;

use super::batches;
use super::caller::Caller;
use super::kept::random;
use super::parameters;
use super::wire::{self, Message};
use crate::gate::Reader;
use crate::{Engine, Error, Result, Session};

/// The longest statement, bytes: as by HTTP.
pub(super) const SQL_MAX: usize = 1 << 20;

/// One statement to run, with the values of its parameters.
#[derive(Debug, Clone)]
pub(super) struct Statement {
    pub(super) sql: String,
    pub(super) row: Option<RecordBatch>,
}

/// A statement that is planned, with its parameters in place.
pub(super) struct Planned {
    session: Session,
    plan: LogicalPlan,
    /// The columns that it sends.
    pub(super) schema: SchemaRef,
}

impl Statement {
    /// Plans it in a new session of the caller's.
    pub(super) async fn plan(&self, engine: &Engine, caller: &Caller) -> Result<Planned> {
        let session = caller.session(engine).await?;
        let plan = plan(&session, &self.sql).await?;
        let plan = parameters::bind(plan, self.row.as_ref())?;
        Ok(Planned {
            schema: batches::sent(plan.schema().as_arrow()),
            session,
            plan,
        })
    }

    /// Carries it out where a client expects a count of rows: only what is about the session is such.
    pub(super) async fn update(&self, engine: &Engine, caller: &Caller) -> Result<i64> {
        let session = caller.session(engine).await?;
        let plan = plan(&session, &self.sql).await?;
        if !is_setting(&plan) {
            return Err(Error::Request {
                message: "this statement answers rows: execute it as a query, not as an update"
                    .to_owned(),
            });
        }
        caller.settings.carry_out(&session, plan).await?;
        Ok(0)
    }

    /// As a ticket. Each has a name of its own, by which what it runs can be ended.
    pub(super) fn ticket(&self) -> std::result::Result<Vec<u8>, Status> {
        let mut handle = Message::default()
            .bytes(1, self.sql.as_bytes())
            .bytes(2, &random::<16>()?);
        if let Some(row) = &self.row {
            handle = handle.bytes(3, &parameters::written(row)?);
        }
        let ticket = TicketStatementQuery {
            statement_handle: handle.done().into(),
        };
        Ok(wire::packed(&ticket.as_any()))
    }

    /// Back from one, with its name.
    pub(super) fn of_ticket(
        ticket: &TicketStatementQuery,
    ) -> std::result::Result<(Self, Name), Status> {
        let handle = &ticket.statement_handle;
        let sql = wire::text(handle, 1);
        let name = wire::bytes(handle, 2).and_then(|name| name.try_into().ok());
        let (Some(sql), Some(name)) = (sql, name) else {
            return Err(Status::invalid_argument(
                "this is no ticket of this server: ask GetFlightInfo for one",
            ));
        };
        let row = wire::bytes(handle, 3).map(parameters::read).transpose()?;
        let sql = sql.to_owned();
        Ok((Self { sql, row }, name))
    }
}

/// Plans one statement, whose parameters may be `?`.
pub(super) async fn plan(session: &Session, sql: &str) -> Result<LogicalPlan> {
    if sql.len() > SQL_MAX {
        return Err(Error::Request {
            message: format!(
                "the statement has {} bytes, and may have {SQL_MAX}",
                sql.len()
            ),
        });
    }
    session.plan(&parameters::numbered(sql)?).await
}

impl Planned {
    /// What has to be done when a result is announced: a SET is carried out then, since clients fetch the rows of
    /// one that has none late or never.
    pub(super) async fn begin(self, caller: &Caller) -> Result<()> {
        if is_setting(&self.plan) {
            caller.settings.carry_out(&self.session, self.plan).await?;
        }
        Ok(())
    }

    /// The rows, as they come; of a SET none.
    pub(super) async fn rows(self) -> Result<SendableRecordBatchStream> {
        if is_setting(&self.plan) {
            return Ok(Box::pin(EmptyRecordBatchStream::new(self.schema)));
        }
        self.session.run(self.plan).await
    }
}

fn is_setting(plan: &LogicalPlan) -> bool {
    matches!(plan, LogicalPlan::Statement(_))
}

/// A ticket's name.
pub(super) type Name = [u8; 16];

/// What is under way, by number of run: which ticket, whose, and how to end it.
#[derive(Debug, Default)]
pub(super) struct Running {
    next: AtomicU64,
    runs: Mutex<HashMap<u64, Run>>,
}

#[derive(Debug)]
struct Run {
    name: Name,
    reader: Reader,
    end: oneshot::Sender<()>,
}

impl Running {
    /// Lets what a ticket started be ended by its name.
    pub(super) fn watch(
        self: &Arc<Self>,
        name: Name,
        caller: &Caller,
        rows: SendableRecordBatchStream,
    ) -> SendableRecordBatchStream {
        let (end, ended) = oneshot::channel();
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let reader = caller.reader.clone();
        self.runs.lock().insert(number, Run { name, reader, end });
        let entry = Entry {
            running: Arc::clone(self),
            number,
        };
        let schema = rows.schema();
        let watched = futures::stream::unfold(Some((rows, ended, entry)), |state| async {
            let (mut rows, mut ended, entry) = state?;
            tokio::select! {
                batch = rows.next() => batch.map(|batch| (batch, Some((rows, ended, entry)))),
                _ = &mut ended => Some((Err(DataFusionError::External(Box::new(Error::Cancelled))), None)),
            }
        });
        Box::pin(RecordBatchStreamAdapter::new(schema, watched))
    }

    /// Ends what this ticket started for this reader; whether there was something.
    pub(super) fn end(&self, name: &Name, reader: &Reader) -> bool {
        let mut runs = self.runs.lock();
        let ended = runs.extract_if(|_, run| run.name == *name && run.reader == *reader);
        ended
            .map(|(_, run)| run.end.send(()))
            .filter(std::result::Result::is_ok)
            .count()
            > 0
    }
}

/// Takes a run off the list when its rows are dropped.
struct Entry {
    running: Arc<Running>,
    number: u64,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.running.runs.lock().remove(&self.number);
    }
}
