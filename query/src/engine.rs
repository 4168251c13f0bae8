//! The engine: one memory budget, one catalogue, many sessions.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::catalog::view::ViewTable;
use datafusion::catalog::{
    CatalogProvider, CatalogProviderList, MemoryCatalogProvider, MemoryCatalogProviderList,
};
use datafusion::datasource::TableType;
use datafusion::execution::SessionStateBuilder;
use datafusion::execution::context::SessionState;
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion_pg_catalog::pg_catalog::context::EmptyContextProvider;
use datafusion_pg_catalog::pg_catalog::setup_pg_catalog;

use crate::bind::BaseTable;
use crate::catalogue::{self, Kind};
use crate::functions;
use crate::information_schema;
use crate::reading::Reading;
use crate::schema::FixedSchema;
use crate::session::Limits;
use crate::{Error, Result, Session, Source};

/// Name of the catalog (the database, to a PostgreSQL client).
pub(crate) const CATALOG: &str = "flyball";
/// Name of the schema in which tables and views are.
pub(crate) const SCHEMA: &str = "public";

/// What queries may use.
#[derive(Debug, Clone)]
pub struct Config {
    /// Memory for all queries together, bytes. Operators that can spill do so past their share.
    pub memory_bytes: usize,
    /// The longest a statement may run.
    pub time_limit: Duration,
    /// The most rows that one HTTP answer holds.
    pub http_rows_max: usize,
    /// The largest result that is collected before it is handed on, bytes: what its columns take in
    /// memory, and what an HTTP answer takes written out. The PostgreSQL port streams and has no such limit.
    pub result_bytes_max: usize,
    /// How many threads one statement may use; 0 for one a core.
    pub partitions: usize,
}

impl Default for Config {
    /// 1 GiB, 60 s, 100,000 rows, 256 MiB a result, one thread a core.
    fn default() -> Self {
        Self {
            memory_bytes: 1 << 30,
            time_limit: Duration::from_secs(60),
            http_rows_max: 100_000,
            result_bytes_max: 256 << 20,
            partitions: 0,
        }
    }
}

/// Plans and runs statements over a [`Source`]. Shared as `Arc<Engine>`.
#[derive(Debug)]
pub struct Engine {
    source: Arc<dyn Source>,
    template: SessionState,
    config: Config,
}

impl Engine {
    /// An engine over a store (or any other source), with every table, view and function in place.
    ///
    /// # Errors
    /// [`Error::Definition`] when an entry of the catalogue does not plan.
    pub async fn new(source: Arc<dyn Source>, config: Config) -> Result<Arc<Self>> {
        let template = template(&config, &source).await?;
        Ok(Arc::new(Self {
            source,
            template,
            config,
        }))
    }

    /// A session on one workspace: its own settings, the same tables, nothing of any other workspace.
    #[must_use]
    pub fn session(&self, workspace: &str) -> Session {
        Session::new(
            SessionContext::new_with_state(self.template.clone()),
            Arc::clone(&self.source),
            workspace,
            Limits {
                time: self.config.time_limit,
                result_bytes: self.config.result_bytes_max,
            },
        )
    }

    /// Answers one statement. There is always at least one batch, so that the schema is known.
    ///
    /// # Errors
    /// When it is refused (it would write), does not parse, fails, runs too long, or its result is
    /// larger than [`Config::result_bytes_max`].
    pub async fn query(&self, workspace: &str, sql: &str) -> Result<Vec<RecordBatch>> {
        self.session(workspace).query(sql).await
    }

    /// The tables and views there are, by name, each with its kind and columns.
    pub(crate) async fn tables(&self) -> Result<Vec<(String, TableType, SchemaRef)>> {
        let catalog = self.template.catalog_list().catalog(CATALOG);
        let Some(schema) = catalog.and_then(|catalog| catalog.schema(SCHEMA)) else {
            return Ok(Vec::new());
        };
        let mut tables = Vec::new();
        for name in schema.table_names() {
            if let Some(table) = schema.table(&name).await.map_err(Error::failed)? {
                tables.push((name, table.table_type(), table.schema()));
            }
        }
        Ok(tables)
    }

    /// What queries may use.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }
}

async fn template(config: &Config, source: &Arc<dyn Source>) -> Result<SessionState> {
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(FairSpillPool::new(config.memory_bytes)))
        .build_arc()
        .map_err(Error::failed)?;
    let mut session = SessionConfig::new()
        .with_information_schema(true)
        .with_create_default_catalog_and_schema(false)
        .with_default_catalog_and_schema(CATALOG, SCHEMA)
        .with_option_extension(Reading::default())
        .set_str("datafusion.sql_parser.dialect", "PostgreSQL");
    if config.partitions > 0 {
        session = session.with_target_partitions(config.partitions);
    }
    let catalogs = Arc::new(MemoryCatalogProviderList::new());
    let catalog = Arc::new(MemoryCatalogProvider::new());
    catalogs.register_catalog(
        CATALOG.to_owned(),
        Arc::clone(&catalog) as Arc<dyn CatalogProvider>,
    );
    let listed = catalogs as Arc<dyn CatalogProviderList>;
    let state = SessionStateBuilder::new()
        .with_config(session)
        .with_runtime_env(runtime)
        .with_default_features()
        // No file formats and no table factories: nothing here may read or make a file.
        .with_file_formats(Vec::new())
        .with_table_factories(std::collections::HashMap::new())
        .with_catalog_list(Arc::clone(&listed))
        .build();
    let context = SessionContext::new_with_state(state);
    let mut schema = FixedSchema::default();
    for (name, table) in BaseTable::all() {
        schema.insert(name, Arc::new(table));
    }
    publish(&catalog, &schema)?;
    // Before our own functions, so that ours win where both define one.
    setup_pg_catalog(&context, CATALOG, EmptyContextProvider).map_err(|e| Error::failed(*e))?;
    functions::register(&context, source);
    for definition in catalogue::all() {
        let broken = |source| Error::Definition {
            name: definition.name.clone(),
            source,
        };
        let plan = context
            .state()
            .create_logical_plan(&definition.sql)
            .await
            .map_err(broken)?;
        match definition.kind {
            Kind::Function => functions::register_table_function(&context, &definition.name, plan),
            Kind::View | Kind::Metric => {
                let view = ViewTable::new(plan, Some(definition.sql.clone()));
                schema.insert(&definition.name, Arc::new(view));
                publish(&catalog, &schema)?;
            }
        }
    }
    information_schema::publish(&context, &listed, catalog.as_ref()).await?;
    Ok(context.state())
}

fn publish(catalog: &MemoryCatalogProvider, schema: &FixedSchema) -> Result<()> {
    let schema = Arc::new(schema.clone());
    catalog
        .register_schema(SCHEMA, schema)
        .map(|_| ())
        .map_err(Error::failed)
}
