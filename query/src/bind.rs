//! From a plan over names to a plan over rows: every base table in it is replaced by the table's files
//! at one version and the buffered rows past that version, all from the same snapshot. Of a span that was told
//! again the earlier tellings are left out.
//!
//! Plans are made once against [`BaseTable`]s, which have a schema and no rows; views are inlined when
//! a statement is planned, so after planning only base tables are left at the leaves. Binding happens
//! for each run, which is why a prepared statement sees new rows each time, and why all the tables
//! that a statement reads agree with each other.
//!
//! The snapshot says of which minutes the rollup does not speak. Of `rollup_1m` only rows of other minutes count,
//! and `charges_unrolled` is the journal's rows of these: side by side they are the whole journal, each row once.
//! Likewise `executions_alone` and `executions_shared` are the journal's entries of executions ([`crate::shared`]).

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;
use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::{DataType, Int64Type, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Column;
use datafusion::common::tree_node::{Transformed, TreeNodeRecursion};
use datafusion::datasource::{TableType, provider_as_source, source_as_provider};
use datafusion::error::{DataFusionError, Result as PlanResult};
use datafusion::logical_expr::{
    ColumnarValue, Expr, LogicalPlan, LogicalPlanBuilder, TableScan, Volatility, create_udf, ident,
    lit,
};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::col;
use datafusion::scalar::ScalarValue;
use deltalake::delta_datafusion::{DeltaScanConfig, DeltaScanNext};
use flyball_store::{MINUTE_MICROS, Minutes, Snapshot, Superseded, Table, TableSnapshot};

use crate::buffered::Buffered;
use crate::shared::Shared;
use crate::spilled::Spilled;
use crate::{Error, Result};

/// A table that is known by name and schema; its rows come with a snapshot.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BaseTable {
    table: Table,
    rows: Which,
}

/// Which of a table's rows count.
#[derive(Debug, Clone, Copy)]
enum Which {
    All,
    /// Those whose time, in this column, is in a minute that the rollup speaks for.
    Rolled(&'static str),
    /// Those whose time is in another one.
    Unrolled(&'static str),
    /// Entries of executions that left no other one.
    Alone,
    /// Entries of executions that left several.
    Together,
}

impl BaseTable {
    /// All of them, with their names in SQL. `actions` on disk holds events, of which the view `actions` makes one
    /// row an action; in `audit` people's names are sealed, and the view `audit` opens them.
    pub(crate) fn all() -> impl Iterator<Item = (&'static str, Self)> {
        let whole = Table::ALL.into_iter().map(|table| match table {
            Table::Actions => ("action_events", Which::All, table),
            Table::Audit => ("audit_records", Which::All, table),
            Table::Rollup1m => (table.name(), Which::Rolled("minute"), table),
            other => (other.name(), Which::All, other),
        });
        let parts = [
            ("charges_unrolled", Which::Unrolled("start_time")),
            ("executions_alone", Which::Alone),
            ("executions_shared", Which::Together),
        ]
        .map(|(name, rows)| (name, rows, Table::Charges));
        whole
            .chain(parts)
            .map(|(name, rows, table)| (name, Self { table, rows }))
    }

    /// The condition on a row; None when every row counts.
    fn condition(self, unrolled: &Minutes, shared: Option<&Shared>) -> PlanResult<Option<Expr>> {
        let shared = || {
            let unknown = "nobody asked which executions left several entries";
            shared.ok_or_else(|| DataFusionError::Internal(unknown.to_owned()))
        };
        Ok(match self.rows {
            Which::All => None,
            Which::Rolled(column) => {
                let outside = unrolled.ranges().iter().map(|range| outside(column, range));
                outside.reduce(Expr::and)
            }
            Which::Unrolled(column) => {
                let inside = unrolled.ranges().iter().map(|range| inside(column, range));
                Some(inside.reduce(Expr::or).unwrap_or_else(|| lit(false)))
            }
            Which::Alone => Some(shared()?.alone()),
            Which::Together => Some(shared()?.together()),
        })
    }
}

fn inside(column: &str, minutes: &Range<i64>) -> Expr {
    let from = instant(minutes.start).map(|from| ident(column).gt_eq(from));
    let to = instant(minutes.end).map(|to| ident(column).lt(to));
    from.into_iter()
        .chain(to)
        .reduce(Expr::and)
        .unwrap_or_else(|| lit(true))
}

fn outside(column: &str, minutes: &Range<i64>) -> Expr {
    let before = instant(minutes.start).map(|from| ident(column).lt(from));
    let after = instant(minutes.end).map(|to| ident(column).gt_eq(to));
    before
        .into_iter()
        .chain(after)
        .reduce(Expr::or)
        .unwrap_or_else(|| lit(false))
}

/// Begin of a minute; None when no instant is before or after it.
fn instant(minute: i64) -> Option<Expr> {
    let micros = minute.checked_mul(MINUTE_MICROS)?;
    let value = ScalarValue::TimestampMicrosecond(Some(micros), Some("UTC".into()));
    Some(lit(value))
}

#[async_trait]
impl TableProvider for BaseTable {
    fn schema(&self) -> SchemaRef {
        self.table.schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        _projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> PlanResult<Arc<dyn ExecutionPlan>> {
        Err(DataFusionError::Internal(format!(
            "table {} was not bound to a snapshot",
            self.table.name()
        )))
    }
}

/// The base tables that a plan reads, subqueries included.
pub(crate) fn tables(plan: &LogicalPlan) -> Result<BTreeSet<Table>> {
    Ok(base_tables(plan)?.map(|base| base.table).collect())
}

/// Whether it has to be known of executions which of them left several entries.
pub(crate) fn tells_shared(plan: &LogicalPlan) -> Result<bool> {
    Ok(base_tables(plan)?.any(|base| matches!(base.rows, Which::Alone | Which::Together)))
}

fn base_tables(plan: &LogicalPlan) -> Result<impl Iterator<Item = BaseTable> + use<>> {
    let mut found = Vec::new();
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node {
            found.extend(base_table(scan));
        }
        Ok(TreeNodeRecursion::Continue)
    })
    .map_err(Error::invalid)?;
    Ok(found.into_iter())
}

/// Replaces every base table in the plan by its rows in the snapshot.
pub(crate) fn bind(
    plan: LogicalPlan,
    tables: &BTreeSet<Table>,
    snapshot: &Snapshot,
    shared: Option<&Shared>,
    session: &dyn Session,
) -> Result<LogicalPlan> {
    let mut rows = HashMap::new();
    for table in tables {
        rows.insert(
            *table,
            Rows::of(*table, snapshot.tables.get(table), session)?,
        );
    }
    plan.transform_up_with_subqueries(|node| match node {
        LogicalPlan::TableScan(scan) => {
            let base = base_table(&scan);
            match base.and_then(|base| Some((base, rows.get(&base.table)?))) {
                Some((base, rows)) => {
                    let condition = base.condition(&snapshot.unrolled, shared)?;
                    rows.plan(&scan, condition).map(Transformed::yes)
                }
                None => Ok(Transformed::no(LogicalPlan::TableScan(scan))),
            }
        }
        other => Ok(Transformed::no(other)),
    })
    .map(|bound| bound.data)
    .map_err(Error::invalid)
}

fn base_table(scan: &TableScan) -> Option<BaseTable> {
    let provider = source_as_provider(&scan.source).ok()?;
    provider.downcast_ref::<BaseTable>().copied()
}

/// The places where a table's rows are. All have exactly the table's schema, so that filters and
/// projections are pushed into each of them.
struct Rows {
    stored: Option<Arc<dyn TableProvider>>,
    spilled: Option<Arc<dyn TableProvider>>,
    buffered: Option<Arc<dyn TableProvider>>,
    /// True of rows that are to be read; None when all are.
    stands: Option<Expr>,
}

impl Rows {
    fn of(table: Table, snapshot: Option<&TableSnapshot>, session: &dyn Session) -> Result<Self> {
        let stored = match snapshot.and_then(|s| s.delta.as_ref()) {
            Some(delta) => Some(stored(table, delta, session)?),
            None => None,
        };
        let (batches, bounds) = snapshot
            .map(|s| (s.buffered.clone(), s.bounds.clone()))
            .unwrap_or_default();
        let buffered = if batches.is_empty() && stored.is_some() {
            None
        } else {
            let memory = Buffered::new(table.schema(), batches, bounds);
            Some(Arc::new(memory) as Arc<dyn TableProvider>)
        };
        let files = snapshot.map(|s| s.spilled.clone()).unwrap_or_default();
        let spilled = (!files.is_empty())
            .then(|| Arc::new(Spilled::new(table.schema(), files)) as Arc<dyn TableProvider>);
        let superseded = snapshot.map(|s| &s.superseded).filter(|s| !s.is_empty());
        Ok(Self {
            stored,
            spilled,
            buffered,
            stands: superseded.map(|superseded| stands(table, superseded)),
        })
    }

    /// What the scan asks for, of the rows that stand and meet a condition.
    fn plan(&self, scan: &TableScan, condition: Option<Expr>) -> PlanResult<LogicalPlan> {
        let conditions = self.stands.iter().cloned().chain(condition);
        let condition = conditions.reduce(Expr::and);
        let mut sides = Vec::with_capacity(3);
        let places = [
            ("stored", &self.stored),
            ("spilled", &self.spilled),
            ("buffered", &self.buffered),
        ];
        for (place, provider) in places {
            if let Some(provider) = provider {
                let name = format!("{}_{place}", scan.table_name.table());
                let source = provider_as_source(Arc::clone(provider));
                let side = match &condition {
                    None => LogicalPlanBuilder::scan(name, source, scan.projection.clone())?,
                    Some(condition) => {
                        // The columns that decide are read in any case, and leave again if nobody asked for them.
                        let asked = scan.projected_schema.fields().iter();
                        let asked: Vec<Expr> = asked
                            .map(|field| Expr::from(Column::from_name(field.name())))
                            .collect();
                        LogicalPlanBuilder::scan(name, source, None)?
                            .filter(condition.clone())?
                            .project(asked)?
                    }
                };
                sides.push(side);
            }
        }
        let mut sides = sides.into_iter();
        let first = sides.next().ok_or_else(|| {
            DataFusionError::Internal(format!("table {} has no rows to bind to", scan.table_name))
        })?;
        let all = sides.try_fold(first, |all, side| all.union(side.build()?))?;
        all.alias(scan.table_name.clone())?.build()
    }
}

/// Whether a row stands, by what was told again.
fn stands(table: Table, superseded: &Arc<Superseded>) -> Expr {
    let superseded = Arc::clone(superseded);
    let stands = move |arguments: &[ColumnarValue]| {
        let arrays = ColumnarValue::values_to_arrays(arguments)?;
        let (traces, spans) = (arrays[0].as_string::<i32>(), arrays[1].as_string::<i32>());
        let stands = superseded.standing(traces, spans, arrays[2].as_primitive::<Int64Type>());
        Ok(ColumnarValue::Array(Arc::new(stands)))
    };
    // Not to be taken for that of another table in the same statement.
    create_udf(
        &format!("stands_in_{}", table.name()),
        vec![DataType::Utf8, DataType::Utf8, DataType::Int64],
        DataType::Boolean,
        Volatility::Immutable,
        Arc::new(stands),
    )
    .call(vec![col("trace_id"), col("span_id"), col("log_position")])
}

fn stored(
    table: Table,
    delta: &deltalake::DeltaTable,
    session: &dyn Session,
) -> Result<Arc<dyn TableProvider>> {
    let cannot = |error: &dyn std::fmt::Display| Error::Table {
        table: table.name(),
        message: error.to_string(),
    };
    delta
        .update_datafusion_session(session)
        .map_err(|e| cannot(&e))?;
    let state = delta.snapshot().map_err(|e| cannot(&e))?;
    // The exact schema, so that strings come as strings and columns in the table's order.
    let config = DeltaScanConfig::new()
        .with_wrap_partition_values(false)
        .with_schema(table.schema());
    let scan = DeltaScanNext::new(state.snapshot().clone(), config).map_err(|e| cannot(&e))?;
    Ok(Arc::new(scan))
}
