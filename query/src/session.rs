//! A session: one client's settings on one workspace, and the way a statement takes.

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::dataframe::DataFrame;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::TaskContext;
use datafusion::execution::context::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::analyze::AnalyzeExec;
use datafusion::physical_plan::explain::ExplainExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{ExecutionPlan, collect, execute_stream};
use datafusion::prelude::SessionContext;
use datafusion::sql::parser::{DFParserBuilder, Statement};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use flyball_store::{Moment, Snapshot, Table};
use futures::{StreamExt, TryStreamExt};
use tokio::sync::{mpsc, oneshot};

use crate::admission::Admission;
use crate::bind;
use crate::estimate::{self, Estimate};
use crate::executor::Executor;
use crate::format::{Format, Writer};
use crate::guard;
use crate::held::Held;
use crate::like_escape;
use crate::listed;
use crate::parameters::Parameters;
use crate::reading::{self, Reading};
use crate::shared::{Entries, Shared};
use crate::{Error, Result, Source};

/// Optimising lets nobody in between, not even its own time limit: so long past that, it is given up from outside.
const PATIENCE: Duration = Duration::from_secs(1);

/// The executions that left several entries, as the journal tells.
const SHARED: &str = "SELECT execution_id FROM charges WHERE kind = 'execution' GROUP BY execution_id HAVING count(*) > 1";

/// One client on one workspace. Settings made here stay here.
#[derive(Clone)]
pub struct Session {
    context: SessionContext,
    source: Arc<dyn Source>,
    workspace: Arc<str>,
    limits: Limits,
    executor: Arc<Executor>,
    admission: Arc<Admission>,
    entries: Arc<Entries>,
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
pub(crate) struct Started {
    pub(crate) rows: SendableRecordBatchStream,
    /// As in [`Answer`].
    pub(crate) versions: String,
}

/// A statement that is ready to run.
struct Opened {
    rows: SendableRecordBatchStream,
    versions: String,
    /// What EXPLAIN says besides, kind and text.
    notes: Vec<(&'static str, String)>,
    /// The plan whose figures are told behind the rows.
    measured: Option<Arc<dyn ExecutionPlan>>,
}

/// What is said of a statement before its rows.
struct Head {
    schema: SchemaRef,
    versions: String,
}

/// What one statement may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// The longest it may run.
    pub(crate) time: Duration,
    /// The largest result that is collected, bytes.
    pub(crate) result_bytes: usize,
    /// The most bytes of files that it may be about to read; 0 for no limit.
    pub(crate) scan_bytes: u64,
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
        (executor, admission): (Arc<Executor>, Arc<Admission>),
        entries: Arc<Entries>,
    ) -> Self {
        Self {
            context,
            source,
            workspace: workspace.into(),
            limits,
            executor,
            admission,
            entries,
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

    /// Where its statements run.
    pub(crate) fn executor(&self) -> &Executor {
        &self.executor
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
        let (session, sql) = (self.clone(), sql.to_owned());
        let planned = async move {
            guard::walkable(&sql)?;
            let mut statements = DFParserBuilder::new(sql.as_str())
                .with_dialect(&PostgreSqlDialect {})
                .build()
                .and_then(|mut parser| parser.parse_statements())
                .map_err(Error::invalid)?;
            match (statements.len(), statements.pop_front()) {
                (1, Some(statement)) => session.planned(statement).await,
                (found, _) => Err(Error::Statements { found }),
            }
        };
        self.in_time(self.executor.run(planned)).await
    }

    /// The same for a statement that is parsed already.
    pub(crate) async fn plan_statement(&self, statement: Statement) -> Result<LogicalPlan> {
        let session = self.clone();
        let planned = async move { session.planned(statement).await };
        self.in_time(self.executor.run(planned)).await
    }

    /// Planning lets nobody in between, so its time is taken from here.
    async fn in_time<T>(&self, planned: impl Future<Output = Result<T>>) -> Result<T> {
        let limit = self.limits.time;
        let done = tokio::time::timeout(limit, planned).await;
        done.unwrap_or(Err(Error::Timeout { limit }))
    }

    async fn planned(&self, mut statement: Statement) -> Result<LogicalPlan> {
        guard::expandable(&statement)?;
        like_escape::take_in(&mut statement);
        let text = statement.to_string();
        let plan = self
            .context
            .state()
            .statement_to_plan(statement)
            .await
            .map_err(|error| guard::not_planned(&text, error))?;
        guard::read_only(&plan)?;
        listed::typed(plan).map_err(Error::invalid)
    }

    /// Runs a plan on the tables as they are now: one snapshot for all of them. It runs on the engine's own threads,
    /// and ends when the stream is dropped.
    ///
    /// # Errors
    /// When it would write, does not optimise, is about to read too much, finds no place among those that run, or a
    /// table cannot be opened. What fails later comes through the stream, the time limit included.
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

    /// Plans a statement, puts values in its places, and runs it.
    pub(crate) async fn start_with(&self, sql: &str, values: &Parameters) -> Result<Started> {
        let plan = values.bind(self.plan(sql).await?)?;
        self.start(plan, self.limits.time).await
    }

    async fn start(&self, plan: LogicalPlan, limit: Duration) -> Result<Started> {
        guard::read_only(&plan)?;
        let limit = limit.min(self.limits.time);
        let session = self.clone();
        let work = move |head, rows| async move {
            let work = session.carry_out(plan, head, rows);
            let done = tokio::time::timeout(limit, work).await;
            done.unwrap_or(Err(Error::Timeout { limit }))
        };
        let begun = tokio::time::timeout(limit + PATIENCE, self.executor.pipe(work)).await;
        let begun = begun.unwrap_or(Err(Error::Timeout { limit }))?;
        let (Head { schema, versions }, rows) = begun;
        let rows = rows.map_err(Error::into_stream);
        Ok(Started {
            rows: Box::pin(RecordBatchStreamAdapter::new(schema, rows)),
            versions,
        })
    }

    /// From a place among those that run to the last row.
    async fn carry_out(
        &self,
        plan: LogicalPlan,
        head: oneshot::Sender<Head>,
        out: mpsc::Sender<RecordBatch>,
    ) -> Result<()> {
        let tables = bind::tables(&plan)?;
        // What reads no table, as drivers and pickers do all the time, takes no place.
        let _place = match tables.is_empty() {
            true => None,
            false => Some(self.admission.enter().await?),
        };
        let mut opened = self.open(plan, &tables).await?;
        let schema = opened.rows.schema();
        let told = Head {
            schema: Arc::clone(&schema),
            versions: opened.versions,
        };
        if head.send(told).is_err() {
            return Ok(());
        }
        while let Some(batch) = opened.rows.next().await {
            let batch = batch.map_err(Error::from_stream)?;
            if out.send(batch).await.is_err() {
                return Ok(());
            }
        }
        if let Some(plan) = opened.measured {
            opened.notes.push(("read", estimate::read(plan.as_ref())));
        }
        for (kind, text) in opened.notes {
            if let Some(row) = estimate::row(&schema, kind, text)
                && out.send(row).await.is_err()
            {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Binds a plan to one snapshot and begins to run it.
    async fn open(&self, plan: LogicalPlan, tables: &BTreeSet<Table>) -> Result<Opened> {
        if matches!(plan, LogicalPlan::Statement(_)) {
            let done = self.context.execute_logical_plan(plan).await;
            let rows = done.map_err(Error::invalid)?.execute_stream().await;
            return Ok(Opened {
                rows: rows.map_err(Error::failed)?,
                versions: String::new(),
                notes: Vec::new(),
                measured: None,
            });
        }
        let state = self.context.state();
        let (mut versions, mut whole) = (String::new(), None);
        let explains = matches!(plan, LogicalPlan::Explain(_) | LogicalPlan::Analyze(_));
        let bound = if tables.is_empty() {
            plan
        } else {
            let snapshot = self.snapshot(&state, tables).await?;
            versions = reading::versions(&snapshot, tables.iter().copied());
            whole = explains.then(|| Estimate::of_tables(&snapshot, tables));
            let shared = match bind::tells_shared(&plan)? {
                true => Some(self.shared(&state, &snapshot).await?),
                false => None,
            };
            bind::bind(plan, tables, &snapshot, shared.as_ref(), &state)?
        };
        let explained = match &bound {
            LogicalPlan::Explain(explain) => Some(LogicalPlan::clone(&explain.plan)),
            _ => None,
        };
        let context = Arc::new(TaskContext::from(&state));
        let plan = physical(&state, bound).await?;
        let estimate = match explained {
            Some(explained) => Estimate::of(physical(&state, explained).await?.as_ref()),
            None => Estimate::of(plan.as_ref()),
        };
        let mut notes = Vec::new();
        let mut measured = None;
        if let Some(whole) = whole {
            notes.push(("scan", estimate.told(whole, self.limits.scan_bytes)));
            measured = plan.is::<AnalyzeExec>().then(|| Arc::clone(&plan));
        }
        if !plan.is::<ExplainExec>() {
            estimate.within(self.limits.scan_bytes)?;
        }
        let rows = execute_stream(plan, context).map_err(Error::failed)?;
        Ok(Opened {
            rows,
            versions,
            notes,
            measured,
        })
    }

    /// The executions that left several entries: as the engine remembers them of the present, else by reading every entry.
    async fn shared(&self, state: &SessionState, snapshot: &Snapshot) -> Result<Shared> {
        if matches!(moment(state), Moment::Latest | Moment::Committed)
            && let Some(shared) = self.entries.shared(snapshot).await?
        {
            return Ok(shared);
        }
        let plan = state.create_logical_plan(SHARED).await;
        let plan = plan.map_err(Error::invalid)?;
        let tables = bind::tables(&plan)?;
        let plan = bind::bind(plan, &tables, snapshot, None, state)?;
        let plan = physical(state, plan).await?;
        let ids = collect(plan, Arc::new(TaskContext::from(state))).await;
        Shared::of_ids(&ids.map_err(Error::from_stream)?)
    }

    /// The tables at the moment this session reads.
    async fn snapshot(&self, state: &SessionState, tables: &BTreeSet<Table>) -> Result<Snapshot> {
        let tables: Vec<_> = tables.iter().copied().collect();
        self.source
            .snapshot_at(&self.workspace, moment(state), &tables)
            .await
            .map_err(Error::history)
    }

    /// Writes the rows of one statement as they come, and says which versions they are of, as in [`Answer`].
    ///
    /// # Errors
    /// As [`Self::plan`] and [`Self::run`]; [`Error::Write`] when `out` fails. Some rows may have been written.
    pub async fn write(
        &self,
        sql: &str,
        format: Format,
        out: &mut (dyn Write + Send),
    ) -> Result<String> {
        let Started { mut rows, versions } = self.start_with(sql, &Parameters::None).await?;
        let mut writer = Writer::new(format, &rows.schema())?;
        while let Some(batch) = rows.next().await {
            writer.rows(&batch.map_err(Error::from_stream)?, out)?;
        }
        writer.end(out)?;
        Ok(versions)
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
        let started = self.start_with(sql, &Parameters::None).await?;
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

/// Which moment of the tables is read.
fn moment(state: &SessionState) -> Moment {
    let reading = state.config_options().extensions.get::<Reading>();
    reading.map_or(Moment::Latest, |reading| reading.0)
}

async fn physical(state: &SessionState, plan: LogicalPlan) -> Result<Arc<dyn ExecutionPlan>> {
    let frame = DataFrame::new(state.clone(), plan);
    frame.create_physical_plan().await.map_err(Error::failed)
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
