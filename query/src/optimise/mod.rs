//! What we know about plans and DataFusion does not: three rules on logical plans, one on what is run. Each leaves
//! every answer as it was; `benches/query.rs` says what they give.
//!
//! [`times`]: a condition on a time cut to its hour is one on the time itself, which statistics can rule files out by.
//! [`texts`]: of a text with several wildcards, look for its longest piece first. [`cube`]: every subtotal is a sum of
//! the finest ones. [`twice`]: of two readings of one condition in a scan, one is enough.

mod cube;
mod texts;
mod times;
mod twice;

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::tree_node::Transformed;
use datafusion::execution::SessionStateBuilder;
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{Expr, LogicalPlan};

/// Adds them behind DataFusion's own.
pub(crate) fn with_ours(builder: SessionStateBuilder) -> SessionStateBuilder {
    builder
        .with_optimizer_rule(Arc::new(times::ComparedTimes))
        .with_optimizer_rule(Arc::new(texts::LongestPieceFirst))
        .with_optimizer_rule(Arc::new(cube::FinestFirst))
        .with_physical_optimizer_rule(Arc::new(twice::NotTwice))
}

/// A filter or a scan with its conditions, all of which hold, put in other words; None of `tell` leaves them.
fn with_conditions(
    plan: LogicalPlan,
    tell: impl Fn(&[Expr]) -> Result<Option<Vec<Expr>>>,
) -> Result<Transformed<LogicalPlan>> {
    match plan {
        LogicalPlan::Filter(mut filter) => {
            let told = tell(&split_conjunction_owned(filter.predicate.clone()))?;
            let told = told.and_then(conjunction);
            let transformed = told.is_some();
            filter.predicate = told.unwrap_or(filter.predicate);
            let plan = LogicalPlan::Filter(filter);
            Ok(Transformed::new_transformed(plan, transformed))
        }
        LogicalPlan::TableScan(mut scan) => {
            let told = tell(&scan.filters)?;
            let transformed = told.is_some();
            scan.filters = told.unwrap_or(scan.filters);
            let plan = LogicalPlan::TableScan(scan);
            Ok(Transformed::new_transformed(plan, transformed))
        }
        other => Ok(Transformed::no(other)),
    }
}
