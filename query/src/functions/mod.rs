//! Functions of ours in SQL: statistics ([`mod@psi`], [`wilson`]), sketches, reading content as JSON
//! (`json_text`), names of people on the ledger (`opened`),
//! those of DataFusion's that could make much of little (`bounded`),
//! the answers that PostgreSQL clients ask a server for (`current_setting`, `version`), and table
//! functions whose body is a catalogue entry with parameters.

mod bounded;
mod json;
mod opened;
pub mod psi;
mod settings;
mod sketch;
mod table;
pub mod wilson;

use std::sync::Arc;

use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::SessionContext;

use crate::Source;

/// Adds every scalar and aggregate function to a context.
pub(crate) fn register(context: &SessionContext, source: &Arc<dyn Source>) {
    bounded::register(context);
    context.register_udf(json::json_text());
    context.register_udf(opened::opened(source));
    context.register_udf(wilson::wilson_low());
    context.register_udf(wilson::wilson_high());
    context.register_udf(settings::current_setting());
    context.register_udf(settings::version());
    context.register_udf(sketch::kll_value());
    context.register_udf(sketch::kll_quantile());
    context.register_udf(sketch::kll_count());
    context.register_udf(sketch::hll_value());
    context.register_udf(sketch::hll_count());
    context.register_udaf(psi::psi_drift());
    context.register_udaf(sketch::kll_merge());
    context.register_udaf(sketch::hll_merge());
}

/// Adds a table function: a plan with `$1`, `$2`, ... in it.
pub(crate) fn register_table_function(context: &SessionContext, name: &str, plan: LogicalPlan) {
    context.register_udtf(name, Arc::new(table::Parametrised::new(name, plan)));
}
