//! CUBE, ROLLUP and GROUPING SETS over every row would group each row once for every subtotal. Sums, counts, minima and
//! maxima of subtotals are those of the finest groups: rows are grouped once, and the subtotals made of what comes of it.

use std::sync::Arc;

use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column, Result, plan_err};
use datafusion::functions::expr_fn::coalesce;
use datafusion::functions_aggregate::expr_fn::{max, min, sum};
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::{
    Aggregate, Expr, GroupingSet, LogicalPlan, LogicalPlanBuilder, cast, lit,
};
use datafusion::optimizer::optimizer::ApplyOrder;
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};

/// How sums of the finest groups are called.
const PART: &str = "__finest_";

/// The rule.
#[derive(Debug)]
pub(super) struct FinestFirst;

impl OptimizerRule for FinestFirst {
    fn name(&self) -> &'static str {
        "finest_first"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::BottomUp)
    }

    fn rewrite(
        &self,
        plan: LogicalPlan,
        _config: &dyn OptimizerConfig,
    ) -> Result<Transformed<LogicalPlan>> {
        let LogicalPlan::Aggregate(aggregate) = &plan else {
            return Ok(Transformed::no(plan));
        };
        match again(aggregate)? {
            Some(told) => Ok(Transformed::yes(told)),
            None => Ok(Transformed::no(plan)),
        }
    }
}

/// How sums of sums, and the like, are made.
#[derive(Clone, Copy)]
enum Way {
    Sum,
    Count,
    Min,
    Max,
}

fn again(aggregate: &Aggregate) -> Result<Option<LogicalPlan>> {
    let [Expr::GroupingSet(sets)] = aggregate.group_expr.as_slice() else {
        return Ok(None);
    };
    let ways: Option<Vec<Way>> = aggregate.aggr_expr.iter().map(way).collect();
    let Some(ways) = ways.filter(|ways| !ways.is_empty()) else {
        return Ok(None);
    };
    let keys: Vec<Expr> = sets.distinct_expr().into_iter().cloned().collect();
    let columns: Vec<Column> = keys.iter().map(column).collect::<Result<_>>()?;
    let named = aggregate.aggr_expr.iter().enumerate();
    let named = named.map(|(at, expr)| expr.clone().alias(format!("{PART}{at}")));
    let finest = LogicalPlanBuilder::from(Arc::clone(&aggregate.input))
        .aggregate(keys.clone(), named.collect::<Vec<_>>())?
        .build()?;
    let parts = ways.iter().enumerate().map(|(at, way)| {
        let part = Expr::Column(Column::from_name(format!("{PART}{at}")));
        match way {
            Way::Sum | Way::Count => sum(part),
            Way::Min => min(part),
            Way::Max => max(part),
        }
    });
    let parts: Vec<Expr> = parts.collect();
    let sets = renamed(sets, &keys, &columns)?;
    let coarse = Aggregate::try_new(Arc::new(finest), vec![sets], parts)?;
    // Under the names and of the types that it had.
    let outside = aggregate.schema.iter().zip(coarse.schema.iter());
    let first = aggregate.schema.fields().len() - ways.len();
    let told: Vec<Expr> = outside
        .enumerate()
        .map(|(at, (was, is))| {
            let value = Expr::Column(Column::from(is));
            let Some(way) = at.checked_sub(first).map(|at| ways[at]) else {
                return value;
            };
            let value = match way {
                // Of no rows there are none.
                Way::Count => coalesce(vec![value, lit(0_i64)]),
                _ => value,
            };
            let value = match is.1.data_type() == was.1.data_type() {
                true => value,
                false => cast(value, was.1.data_type().clone()),
            };
            value.alias_qualified(was.0.cloned(), was.1.name())
        })
        .collect();
    let told = LogicalPlanBuilder::from(LogicalPlan::Aggregate(coarse)).project(told)?;
    told.build().map(Some)
}

/// None for what cannot be made of parts, and for what has been.
fn way(expr: &Expr) -> Option<Way> {
    let Expr::AggregateFunction(AggregateFunction { func, params }) = expr else {
        return None;
    };
    let done = |expr: &Expr| matches!(expr, Expr::Column(column) if column.name.starts_with(PART));
    if params.distinct
        || !params.order_by.is_empty()
        || params.null_treatment.is_some()
        || params.args.iter().any(done)
    {
        return None;
    }
    match func.name() {
        "sum" => Some(Way::Sum),
        "count" => Some(Way::Count),
        "min" => Some(Way::Min),
        "max" => Some(Way::Max),
        _ => None,
    }
}

/// Where a key is found when rows have been grouped by it.
fn column(key: &Expr) -> Result<Column> {
    let (relation, name) = key.qualified_name();
    Ok(Column::new(relation, name))
}

fn renamed(sets: &GroupingSet, keys: &[Expr], columns: &[Column]) -> Result<Expr> {
    let one = |key: &Expr| match keys.iter().position(|known| known == key) {
        Some(at) => Ok(Expr::Column(columns[at].clone())),
        None => plan_err!("{key} is no key of the grouping"),
    };
    let each = |keys: &[Expr]| keys.iter().map(one).collect::<Result<Vec<_>>>();
    Ok(Expr::GroupingSet(match sets {
        GroupingSet::Rollup(keys) => GroupingSet::Rollup(each(keys)?),
        GroupingSet::Cube(keys) => GroupingSet::Cube(each(keys)?),
        GroupingSet::GroupingSets(sets) => {
            let sets = sets.iter().map(|keys| each(keys));
            GroupingSet::GroupingSets(sets.collect::<Result<_>>()?)
        }
    }))
}
