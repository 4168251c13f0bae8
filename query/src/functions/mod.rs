//! Functions of ours in SQL: statistics ([`mod@psi`], [`drift`], [`wilson`]), sketches, reading content as JSON
//! (`json_text`), names of people on the ledger (`opened`),
//! those of DataFusion's that could make much of little (`bounded`),
//! the answers that PostgreSQL clients ask a server for (`current_setting`, `version`), and table
//! functions whose body is a catalogue entry with parameters.

mod bounded;
mod date_trunc;
pub mod drift;
mod fixed;
mod json;
mod opened;
mod percentile;
pub mod psi;
pub(crate) mod settings;
mod sketch;
mod table;
pub mod wilson;

use std::sync::Arc;

use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::SessionContext;

use crate::Source;

/// What there is besides what DataFusion brings, for whoever writes SQL: a call, and what comes of it.
pub(crate) const SIGNATURES: [(&str, &str); 14] = [
    (
        "ks_drift(value, in_baseline, in_window)",
        "aggregate: Kolmogorov and Smirnov's distance `d` of two samples and its probability under chance `p` (exact with \
         ties while n x m is at most 2^20; past that the limit with Stephens' correction, which errs on the safe side \
         where values repeat), with `n_baseline`, `n_window`, and `rounding`: the share by which a value was moved to \
         keep no more than 4096 different ones",
    ),
    (
        "wasserstein_drift(value, in_baseline, in_window)",
        "aggregate: Wasserstein's `distance` in the unit of the values, `effect` (in standard deviations of an even mixture \
         of both sides) and `p` by permutation (no less than 0.001), with `n_baseline`, `n_window` and `rounding` as above",
    ),
    (
        "js_drift(word, in_baseline, in_window)",
        "aggregate: the Jensen-Shannon `distance` of two samples of words, base 2, and `p` by permutation (no less than \
         0.001), with `n_baseline`, `n_window`, and `pooled`: how many belong to words past the 1024 that are told apart",
    ),
    (
        "psi_drift(value, in_baseline, in_window)",
        "aggregate: the population stability index `psi` over the baseline's deciles, its mean without drift `expected`, and \
         how many standard deviations it lies above that, `z`",
    ),
    (
        "wilson_low(successes, n)",
        "lower end of Wilson's 95 % interval of a rate",
    ),
    ("wilson_high(successes, n)", "its upper end"),
    (
        "kll_merge(sketch)",
        "aggregate: all values of KLL sketches such as `minute_sketches.durations` in one sketch (nanoseconds there)",
    ),
    (
        "kll_quantile(sketch, rank)",
        "the value at a rank from 0 to 1, interpolated; exact up to 400 values, then within 0.7 % of the rank with 99 % \
         confidence: `kll_quantile(kll_merge(durations), 0.95) / 1e6` is a p95 in milliseconds",
    ),
    ("kll_count(sketch)", "how many values are in a sketch"),
    (
        "kll_value(number)",
        "a sketch of one whole number, to merge with others",
    ),
    (
        "hll_merge(sketch)",
        "aggregate: all texts of HyperLogLog sketches such as `minute_sketches.users` in one sketch",
    ),
    (
        "hll_count(sketch)",
        "how many different texts are in a sketch, with a standard deviation of 1.6 %",
    ),
    (
        "hll_value(text)",
        "a sketch of one text, to merge with others",
    ),
    (
        "json_text(json, key)",
        "a member of a JSON object as text: `json_text(attributes, 'http.route')`",
    ),
];

/// Adds every scalar and aggregate function to a context.
pub(crate) fn register(context: &SessionContext, source: &Arc<dyn Source>) {
    bounded::register(context);
    context.register_udf(date_trunc::date_trunc());
    context.register_udf(json::json_text());
    context.register_udf(crate::like_escape::like_pattern());
    context.register_udf(opened::opened(source));
    context.register_udf(wilson::wilson_low());
    context.register_udf(wilson::wilson_high());
    for function in fixed::all() {
        context.register_udf(function);
    }
    context.register_udf(settings::current_setting());
    context.register_udf(settings::version());
    context.register_udf(settings::to_regtype());
    context.register_udf(sketch::kll_value());
    context.register_udf(sketch::kll_quantile());
    context.register_udf(sketch::kll_count());
    context.register_udf(sketch::hll_value());
    context.register_udf(sketch::hll_count());
    context.register_udaf(percentile::approx_percentile_cont());
    context.register_udaf(psi::psi_drift());
    context.register_udaf(drift::ks_drift());
    context.register_udaf(drift::wasserstein_drift());
    context.register_udaf(drift::js_drift());
    context.register_udaf(sketch::kll_merge());
    context.register_udaf(sketch::hll_merge());
}

/// Adds a table function: a plan with `$1`, `$2`, ... in it.
pub(crate) fn register_table_function(context: &SessionContext, name: &str, plan: LogicalPlan) {
    context.register_udtf(name, Arc::new(table::Parametrised::new(name, plan)));
}
