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

use datafusion::execution::SessionStateBuilder;

/// Adds them behind DataFusion's own.
pub(crate) fn with_ours(builder: SessionStateBuilder) -> SessionStateBuilder {
    builder
        .with_optimizer_rule(Arc::new(times::ComparedTimes))
        .with_optimizer_rule(Arc::new(texts::LongestPieceFirst))
        .with_optimizer_rule(Arc::new(cube::FinestFirst))
        .with_physical_optimizer_rule(Arc::new(twice::NotTwice))
}
