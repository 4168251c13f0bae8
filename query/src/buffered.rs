//! The rows of a table that no file holds yet, read batch by batch; a batch whose smallest and largest values
//! rule a filter out is not read at all, as it is with files.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
    UInt64Array,
};
use arrow::datatypes::{DataType, SchemaRef, TimeUnit};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::pruning::PruningStatistics;
use datafusion::common::{Column, DFSchema, ScalarValue};
use datafusion::datasource::TableType;
use datafusion::datasource::memory::{DataSourceExec, MemorySourceConfig};
use datafusion::error::Result as PlanResult;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_optimizer::pruning::PruningPredicateBuilder;
use datafusion::physical_plan::ExecutionPlan;
use flyball_store::{Bound, Bounds, ColumnBounds};

/// Buffered batches and what is known of each.
#[derive(Debug)]
pub(crate) struct Buffered {
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
    /// As many as batches, or none.
    bounds: Vec<Bounds>,
}

impl Buffered {
    pub(crate) fn new(schema: SchemaRef, batches: Vec<RecordBatch>, bounds: Vec<Bounds>) -> Self {
        Self {
            schema,
            batches,
            bounds,
        }
    }

    /// Batches that may hold rows which pass all filters.
    fn matching(&self, state: &dyn Session, filters: &[Expr]) -> PlanResult<Vec<RecordBatch>> {
        let Some(all) = conjunction(filters.iter().cloned()) else {
            return Ok(self.batches.clone());
        };
        if self.bounds.len() != self.batches.len() {
            return Ok(self.batches.clone());
        }
        let names = DFSchema::try_from(Arc::clone(&self.schema))?;
        let predicate = state.create_physical_expr(all, &names)?;
        let predicate = PruningPredicateBuilder::new()
            .with_file_schema(Arc::clone(&self.schema))
            .build(predicate);
        // Some filters say nothing that bounds could be held against.
        let Some(predicate) = predicate else {
            return Ok(self.batches.clone());
        };
        let keep = predicate.prune(self)?;
        let kept = self.batches.iter().zip(keep);
        Ok(kept
            .filter(|(_, keep)| *keep)
            .map(|(batch, _)| batch.clone())
            .collect())
    }

    /// One bound of a column for every batch.
    fn values(
        &self,
        column: &Column,
        bound: impl Fn(&ColumnBounds) -> Option<&Bound>,
    ) -> Option<ArrayRef> {
        let found = self
            .bounds
            .iter()
            .map(|bounds| bounds.column(&column.name).and_then(&bound));
        let int = |bound: Option<&Bound>| match bound {
            Some(Bound::Int(value)) => Some(*value),
            _ => None,
        };
        match self.schema.field_with_name(&column.name).ok()?.data_type() {
            DataType::Int64 => Some(Arc::new(found.map(int).collect::<Int64Array>())),
            DataType::Timestamp(TimeUnit::Microsecond, zone) => {
                let values: TimestampMicrosecondArray = found.map(int).collect();
                Some(Arc::new(values.with_timezone_opt(zone.clone())))
            }
            DataType::Utf8 => {
                let texts = found.map(|bound| match bound {
                    Some(Bound::Text(text)) => Some(text.to_string()),
                    _ => None,
                });
                Some(Arc::new(texts.collect::<StringArray>()))
            }
            _ => None,
        }
    }
}

impl PruningStatistics for Buffered {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        self.values(column, |bounds| bounds.low.as_ref())
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        self.values(column, |bounds| bounds.high.as_ref())
    }

    fn num_containers(&self) -> usize {
        self.bounds.len()
    }

    fn null_counts(&self, column: &Column) -> Option<ArrayRef> {
        let nulls = self
            .bounds
            .iter()
            .map(|bounds| bounds.column(&column.name).map(|column| column.nulls));
        Some(Arc::new(nulls.collect::<UInt64Array>()))
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        let rows = self.bounds.iter().map(|bounds| Some(bounds.rows));
        Some(Arc::new(rows.collect::<UInt64Array>()))
    }

    fn contained(&self, _: &Column, _: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        None
    }
}

#[async_trait]
impl TableProvider for Buffered {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    /// Bounds rule batches out, never rows.
    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> PlanResult<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        _limit: Option<usize>,
    ) -> PlanResult<Arc<dyn ExecutionPlan>> {
        let batches = self.matching(state, filters)?;
        let source = MemorySourceConfig::try_new(&[batches], self.schema(), projection.cloned())?;
        let show_sizes = state.config_options().explain.show_sizes;
        Ok(DataSourceExec::from_data_source(
            source.with_show_sizes(show_sizes),
        ))
    }
}

#[cfg(test)]
mod tests;
