//! The `public` schema: a fixed set of tables, which no statement can add to or take from.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::{SchemaProvider, TableProvider};
use datafusion::error::Result;

/// Tables and views by name.
#[derive(Debug, Default, Clone)]
pub(crate) struct FixedSchema {
    tables: BTreeMap<String, Arc<dyn TableProvider>>,
}

impl FixedSchema {
    pub(crate) fn insert(&mut self, name: &str, table: Arc<dyn TableProvider>) {
        self.tables.insert(name.to_owned(), table);
    }
}

#[async_trait]
impl SchemaProvider for FixedSchema {
    fn table_names(&self) -> Vec<String> {
        self.tables.keys().cloned().collect()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        Ok(self.tables.get(name).cloned())
    }

    fn table_exist(&self, name: &str) -> bool {
        self.tables.contains_key(name)
    }
}
