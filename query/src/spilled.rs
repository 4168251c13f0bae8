//! The rows of a table that had to leave memory while the object store did not take them: local Parquet files,
//! read like those of the table, with the same pruning.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::datasource::TableType;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::Result as PlanResult;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::Expr;
use datafusion::physical_plan::ExecutionPlan;
use flyball_store::SpilledFile;

/// Spilled files, which stay where they are as long as this lives.
#[derive(Debug)]
pub(crate) struct Spilled {
    schema: SchemaRef,
    files: Vec<Arc<SpilledFile>>,
}

impl Spilled {
    pub(crate) fn new(schema: SchemaRef, files: Vec<Arc<SpilledFile>>) -> Self {
        Self { schema, files }
    }

    /// The files, dealt out to so many threads.
    fn groups(&self, threads: usize) -> Vec<FileGroup> {
        let mut groups = vec![Vec::new(); threads.clamp(1, self.files.len().max(1))];
        let count = groups.len();
        for (at, file) in self.files.iter().enumerate() {
            let mut part = PartitionedFile::new("", file.bytes());
            part.object_meta.location = file.location().clone();
            // Keeps the file while the scan runs, which may outlive this provider.
            part = part.with_extension(Arc::clone(file));
            groups[at % count].push(part);
        }
        groups.into_iter().map(FileGroup::new).collect()
    }
}

#[async_trait]
impl TableProvider for Spilled {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        limit: Option<usize>,
    ) -> PlanResult<Arc<dyn ExecutionPlan>> {
        let threads = state.config().target_partitions();
        let source = Arc::new(ParquetSource::new(Arc::clone(&self.schema)));
        let scan = FileScanConfigBuilder::new(ObjectStoreUrl::local_filesystem(), source)
            .with_file_groups(self.groups(threads))
            .with_projection_indices(projection.cloned())?
            .with_limit(limit)
            .build();
        Ok(DataSourceExec::from_data_source(scan))
    }
}
