//! A session: one client's settings on one workspace, and the way a statement takes.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use datafusion::dataframe::DataFrame;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::context::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::prelude::SessionContext;
use datafusion::sql::parser::{DFParserBuilder, Statement};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use flyball_store::{Moment, Snapshot, Table};
use futures::StreamExt;
use tokio::time::Instant;

use crate::bind;
use crate::guard;
use crate::held::Held;
use crate::reading::{self, Reading};
use crate::{Error, Result, Source};

/// One client on one workspace. Settings made here stay here.
#[derive(Clone)]
pub struct Session {
    context: SessionContext,
    source: Arc<dyn Source>,
    workspace: Arc<str>,
    limits: Limits,
}

/// What one statement was answered.
#[derive(Debug)]
pub struct Answer {
    /// At least one, so that the schema is known.
    pub batches: Vec<RecordBatch>,
    /// The Delta versions it was read from, such as `charges=9,spans=12`; `-` for a table that had none. Unless
    /// the session reads `committed` or the past, buffered rows came on top.
    pub versions: String,
}

/// A statement under way.
struct Started {
    rows: SendableRecordBatchStream,
    versions: String,
}

/// What one statement may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// The longest it may run.
    pub(crate) time: Duration,
    /// The largest result that is collected, bytes.
    pub(crate) result_bytes: usize,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("workspace", &self.workspace)
            .finish_non_exhaustive()
    }
}

impl Session {
    pub(crate) fn new(
        context: SessionContext,
        source: Arc<dyn Source>,
        workspace: &str,
        limits: Limits,
    ) -> Self {
        Self {
            context,
            source,
            workspace: workspace.into(),
            limits,
        }
    }

    /// The same session on another moment, as `SET flyball.read` would do.
    #[must_use]
    pub fn at(self, moment: Moment) -> Self {
        let mut state = self.context.state_ref().write().clone();
        let options = state.config_mut().options_mut();
        options.extensions.insert(Reading(moment));
        Self {
            context: SessionContext::new_with_state(state),
            ..self
        }
    }

    /// The longest a statement may run here.
    pub(crate) fn time_limit(&self) -> Duration {
        self.limits.time
    }

    /// Plans one statement over names and judges it. The plan can be run again and again.
    ///
    /// # Errors
    /// [`Error::Statements`] unless there is exactly one; [`Error::Invalid`]; [`Error::ReadOnly`].
    pub async fn plan(&self, sql: &str) -> Result<LogicalPlan> {
        let mut statements = DFParserBuilder::new(sql)
            .with_dialect(&PostgreSqlDialect {})
            .build()
            .and_then(|mut parser| parser.parse_statements())
            .map_err(Error::invalid)?;
        match (statements.len(), statements.pop_front()) {
            (1, Some(statement)) => self.plan_statement(statement).await,
            (found, _) => Err(Error::Statements { found }),
        }
    }

    /// The same for a statement that is parsed already.
    pub(crate) async fn plan_statement(&self, statement: Statement) -> Result<LogicalPlan> {
        let text = statement.to_string();
        let plan = self
            .context
            .state()
            .statement_to_plan(statement)
            .await
            .map_err(|error| guard::not_planned(&text, error))?;
        guard::read_only(&plan)?;
        Ok(plan)
    }

    /// Runs a plan on the tables as they are now: one snapshot for all of them.
    ///
    /// # Errors
    /// When it would write, does not optimise, or a table cannot be opened. What fails later comes
    /// through the stream, the time limit included.
    pub async fn run(&self, plan: LogicalPlan) -> Result<SendableRecordBatchStream> {
        self.run_within(plan, self.limits.time).await
    }

    /// The same with a time limit of the caller's, at most the engine's.
    pub(crate) async fn run_within(
        &self,
        plan: LogicalPlan,
        limit: Duration,
    ) -> Result<SendableRecordBatchStream> {
        Ok(self.start(plan, limit).await?.rows)
    }

    async fn start(&self, plan: LogicalPlan, limit: Duration) -> Result<Started> {
        guard::read_only(&plan)?;
        let limit = limit.min(self.limits.time);
        let deadline = Instant::now() + limit;
        let mut versions = String::new();
        let started = async {
            if matches!(plan, LogicalPlan::Statement(_)) {
                let done = self
                    .context
                    .execute_logical_plan(plan)
                    .await
                    .map_err(Error::invalid)?;
                return done.execute_stream().await.map_err(Error::failed);
            }
            let state = self.context.state();
            let tables = bind::tables(&plan)?;
            let bound = if tables.is_empty() {
                plan
            } else {
                let snapshot = self.snapshot(&state, &tables).await?;
                versions = reading::versions(&snapshot, tables.iter().copied());
                bind::bind(plan, &tables, &snapshot, &state)?
            };
            DataFrame::new(state, bound)
                .execute_stream()
                .await
                .map_err(Error::failed)
        };
        let stream = tokio::time::timeout_at(deadline, started)
            .await
            .map_err(|_| Error::Timeout { limit })??;
        Ok(Started {
            rows: until(stream, deadline, limit),
            versions,
        })
    }

    /// The tables at the moment this session reads.
    async fn snapshot(&self, state: &SessionState, tables: &BTreeSet<Table>) -> Result<Snapshot> {
        let reading = state.config_options().extensions.get::<Reading>();
        let moment = reading.map_or(Moment::Latest, |reading| reading.0);
        let tables: Vec<_> = tables.iter().copied().collect();
        self.source
            .snapshot_at(&self.workspace, moment, &tables)
            .await
            .map_err(Error::history)
    }

    /// Answers one statement. There is always at least one batch, so that the schema is known.
    ///
    /// # Errors
    /// As [`Self::plan`] and [`Self::run`]; [`Error::TooManyBytes`] when the result is larger than
    /// [`Config::result_bytes_max`](crate::Config::result_bytes_max).
    pub async fn query(&self, sql: &str) -> Result<Vec<RecordBatch>> {
        self.query_up_to(sql, usize::MAX).await
    }

    /// The same, refusing a result of more rows.
    ///
    /// # Errors
    /// [`Error::TooManyRows`] besides.
    pub async fn query_up_to(&self, sql: &str, rows_max: usize) -> Result<Vec<RecordBatch>> {
        Ok(self.answer(sql, rows_max).await?.batches)
    }

    /// The same, with the versions it was read from.
    ///
    /// # Errors
    /// As [`Self::query_up_to`].
    pub async fn answer(&self, sql: &str, rows_max: usize) -> Result<Answer> {
        let plan = self.plan(sql).await?;
        let started = self.start(plan, self.limits.time).await?;
        let (mut stream, versions) = (started.rows, started.versions);
        let schema = stream.schema();
        let mut batches = Vec::new();
        let mut rows = 0;
        // What is collected is no operator's, so the memory pool does not count it.
        let mut held = Held::default();
        while let Some(batch) = stream.next().await {
            let batch = batch.map_err(Error::from_stream)?;
            rows += batch.num_rows();
            if rows > rows_max {
                return Err(Error::TooManyRows { limit: rows_max });
            }
            let limit = self.limits.result_bytes;
            if held.with(&batch) > limit {
                return Err(Error::TooManyBytes { limit });
            }
            batches.push(batch);
        }
        if batches.is_empty() {
            batches.push(RecordBatch::new_empty(schema));
        }
        Ok(Answer { batches, versions })
    }
}

/// Ends a stream with an error at the deadline. Dropping it stops the work behind it.
fn until(
    stream: SendableRecordBatchStream,
    deadline: Instant,
    limit: Duration,
) -> SendableRecordBatchStream {
    let schema = stream.schema();
    let bounded = futures::stream::unfold(Some(stream), move |stream| async move {
        let mut stream = stream?;
        match tokio::time::timeout_at(deadline, stream.next()).await {
            Ok(Some(batch)) => Some((batch, Some(stream))),
            Ok(None) => None,
            Err(_) => Some((Err(Error::Timeout { limit }.into_stream()), None)),
        }
    });
    Box::pin(RecordBatchStreamAdapter::new(schema, bounded))
}

impl Error {
    /// As an error that can travel through a stream of batches.
    fn into_stream(self) -> datafusion::error::DataFusionError {
        datafusion::error::DataFusionError::External(Box::new(self))
    }

    /// Back from such a stream.
    pub(crate) fn from_stream(error: datafusion::error::DataFusionError) -> Self {
        match error {
            datafusion::error::DataFusionError::External(inner) => match inner.downcast::<Self>() {
                Ok(ours) => *ours,
                Err(other) => Self::failed(datafusion::error::DataFusionError::External(other)),
            },
            other => Self::failed(other),
        }
    }
}
