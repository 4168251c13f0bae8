//! A scan of a Delta table is given every condition twice: once by the table, on columns as they are read, and once more by
//! the filter above it, which DataFusion pushes down, on texts cast to the table's own type. The cast of a whole column costs
//! more than the condition: the second is left out.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::datatypes::{DataType, Schema};
use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::datasource::physical_plan::{FileScanConfigBuilder, FileSource, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::physical_expr::expressions::{CastExpr, Column, Literal};
use datafusion::physical_expr::utils::{conjunction, split_conjunction};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::{ExecutionPlan, PhysicalExpr};

/// The rule.
#[derive(Debug)]
pub(super) struct NotTwice;

impl PhysicalOptimizerRule for NotTwice {
    fn name(&self) -> &'static str {
        "not_twice"
    }

    fn schema_check(&self) -> bool {
        true
    }

    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _config: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|node| {
            Ok(match once(node.as_ref()) {
                Some(scan) => Transformed::yes(scan),
                None => Transformed::no(node),
            })
        })
        .data()
    }
}

fn once(node: &dyn ExecutionPlan) -> Option<Arc<dyn ExecutionPlan>> {
    let scan = node.downcast_ref::<DataSourceExec>()?;
    let (config, source) = scan.downcast_to_file_source::<ParquetSource>()?;
    // Else it only rules out row groups, and rows that it lets pass are nobody's any more.
    if !source.table_parquet_options().global.pushdown_filters {
        return None;
    }
    let filter = source.filter()?;
    let kept = distinct(&split_conjunction(&filter), config.file_schema().as_ref())?;
    let source = source.with_predicate(conjunction(kept));
    let config = FileScanConfigBuilder::from(config.clone())
        .with_source(Arc::new(source))
        .build();
    Some(DataSourceExec::from_data_source(config))
}

/// The terms without those that say what another does; None when each says something of its own. Of two that say the same,
/// the one is kept that casts no column.
fn distinct(
    terms: &[&Arc<dyn PhysicalExpr>],
    schema: &Schema,
) -> Option<Vec<Arc<dyn PhysicalExpr>>> {
    let plain: Vec<(String, bool)> = terms
        .iter()
        .map(|term| plain(term, schema))
        .collect::<Result<_>>()
        .ok()?;
    let uncast: HashSet<&String> = plain
        .iter()
        .filter(|(_, cast)| !cast)
        .map(|(text, _)| text)
        .collect();
    let mut seen = HashSet::new();
    let kept: Vec<_> = terms
        .iter()
        .zip(&plain)
        .filter(|(_, (text, cast))| {
            // What a join or a sort finds out later reads the same until then.
            let known = !text.contains("DynamicFilter");
            let said = *cast && uncast.contains(text) || !seen.insert((text, cast));
            !(known && said)
        })
        .map(|(term, _)| Arc::clone(term))
        .collect();
    (kept.len() < terms.len()).then_some(kept)
}

/// A term with casts between kinds of text left out, in words, and whether one of them was a column's.
fn plain(term: &Arc<dyn PhysicalExpr>, schema: &Schema) -> Result<(String, bool)> {
    let mut cast_column = false;
    let told = Arc::clone(term).transform_up(|expr| {
        let Some(cast) = expr.downcast_ref::<CastExpr>() else {
            return Ok(Transformed::no(expr));
        };
        let inner = Arc::clone(cast.expr());
        let column = inner.is::<Column>();
        if !(column || inner.is::<Literal>())
            || !is_text(&inner.data_type(schema)?)
            || !is_text(cast.cast_type())
        {
            return Ok(Transformed::no(expr));
        }
        cast_column |= column;
        Ok(Transformed::yes(inner))
    })?;
    Ok((told.data.to_string(), cast_column))
}

fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::Utf8View)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use arrow::datatypes::Field;
    use datafusion::logical_expr::Operator;
    use datafusion::physical_expr::expressions::{binary, cast, col, lit};
    use datafusion::scalar::ScalarValue;

    #[test]
    fn of_two_that_say_the_same_the_one_without_a_cast_is_kept() {
        let schema = Schema::new(vec![
            Field::new("a", DataType::Utf8View, true),
            Field::new("n", DataType::Int64, true),
        ]);
        let view = |text: &str| lit(ScalarValue::Utf8View(Some(text.to_owned())));
        let column = |name: &str| col(name, &schema).unwrap();
        let as_text = |name: &str| cast(column(name), &schema, DataType::Utf8).unwrap();
        let equal = |left, right| binary(left, Operator::Eq, right, &schema).unwrap();
        let plainly = equal(column("a"), view("x"));
        let again = equal(as_text("a"), lit("x"));
        let other = equal(as_text("a"), lit("y"));
        let kept = distinct(&[&again, &plainly, &other], &schema).unwrap();
        assert_eq!(kept.len(), 2);
        assert!(Arc::ptr_eq(&kept[0], &plainly) && Arc::ptr_eq(&kept[1], &other));
        assert!(distinct(&[&plainly, &other], &schema).is_none());
        let twice = equal(column("a"), view("x"));
        assert_eq!(distinct(&[&plainly, &twice], &schema).unwrap().len(), 1);
        // A number as text is not the number.
        let number = equal(column("n"), lit(1_i64));
        let spelled = equal(as_text("n"), lit("1"));
        assert!(distinct(&[&number, &spelled], &schema).is_none());
    }
}
