//! The engine: one memory budget, one catalogue, threads of its own, many sessions.

use std::path::PathBuf;
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
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion_pg_catalog::pg_catalog::context::EmptyContextProvider;
use datafusion_pg_catalog::pg_catalog::setup_pg_catalog;

use crate::admission::Admission;
use crate::bind::BaseTable;
use crate::catalogue::{self, Kind};
use crate::executor::Executor;
use crate::functions;
use crate::information_schema;
use crate::optimise;
use crate::reading::Reading;
use crate::schema::FixedSchema;
use crate::session::Limits;
use crate::shared::Entries;
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
    /// How many parts one statement is cut into, that run side by side; 0 for one a core.
    pub partitions: usize,
    /// Threads that all statements share; 0 for one a core.
    pub threads: usize,
    /// Statements that run at once, of those that read tables; 0 for two a core. What the house asks for itself (alerts,
    /// the console) has as many places of its own, so that no crowd of readers makes alerts blind.
    pub statements_max: usize,
    /// Statements that wait for a place, at most; further ones are refused.
    pub queue_max: usize,
    /// How long one waits for a place before it is refused.
    pub queue_wait: Duration,
    /// The most bytes of files that one statement may be about to read; 0 for no limit.
    pub scan_bytes_max: u64,
    /// Where operators that outgrow their memory put their rows, emptied when the engine starts: a folder of this
    /// engine's alone. None for a folder among the system's temporary ones.
    pub spill_dir: Option<PathBuf>,
    /// The most bytes of that, of all statements together; 0 so that nothing leaves memory.
    pub spill_bytes_max: u64,
}

impl Default for Config {
    /// 1 GiB, 60 s, 1,000,000 rows, 256 MiB a result, one thread and two statements a core, 64 that wait for 5 s, 64 GiB
    /// a scan, 16 GiB of spill.
    fn default() -> Self {
        Self {
            memory_bytes: 1 << 30,
            time_limit: Duration::from_secs(60),
            http_rows_max: 1_000_000,
            result_bytes_max: 256 << 20,
            partitions: 0,
            threads: 0,
            statements_max: 0,
            queue_max: 64,
            queue_wait: Duration::from_secs(5),
            scan_bytes_max: 64 << 30,
            spill_dir: None,
            spill_bytes_max: 16 << 30,
        }
    }
}

/// Plans and runs statements over a [`Source`]. Shared as `Arc<Engine>`.
#[derive(Debug)]
pub struct Engine {
    source: Arc<dyn Source>,
    template: SessionState,
    config: Config,
    executor: Arc<Executor>,
    /// Of the ports.
    admission: Arc<Admission>,
    /// Of the house itself.
    own: Arc<Admission>,
    entries: Arc<Entries>,
}

impl Engine {
    /// An engine over a store (or any other source), with every table, view and function in place.
    ///
    /// # Errors
    /// [`Error::Definition`] when an entry of the catalogue does not plan; [`Error::Spill`] when there is no folder to
    /// spill to; [`Error::Write`] when no thread can be started.
    pub async fn new(source: Arc<dyn Source>, config: Config) -> Result<Arc<Self>> {
        let template = template(&config, &source).await?;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let or = |set: usize, otherwise| if set > 0 { set } else { otherwise };
        let executor = Arc::new(Executor::new(or(config.threads, cores))?);
        let at_once = or(config.statements_max, 2 * cores);
        Ok(Arc::new(Self {
            executor,
            admission: Arc::new(Admission::new(at_once, config.queue_max, config.queue_wait)),
            own: Arc::new(Admission::new(at_once, usize::MAX, config.time_limit)),
            entries: Arc::default(),
            source,
            template,
            config,
        }))
    }

    /// A session on one workspace: its own settings, the same tables, nothing of any other workspace.
    #[must_use]
    pub fn session(&self, workspace: &str) -> Session {
        self.session_among(workspace, &self.admission)
    }

    fn session_among(&self, workspace: &str, admission: &Arc<Admission>) -> Session {
        Session::new(
            SessionContext::new_with_state(self.template.clone()),
            Arc::clone(&self.source),
            workspace,
            Limits {
                time: self.config.time_limit,
                result_bytes: self.config.result_bytes_max,
                scan_bytes: self.config.scan_bytes_max,
            },
            (Arc::clone(&self.executor), Arc::clone(admission)),
            Arc::clone(&self.entries),
        )
    }

    /// Answers one statement of the house itself. There is always at least one batch, so that the schema is known.
    ///
    /// # Errors
    /// When it is refused (it would write), does not parse, fails, runs too long, or its result is
    /// larger than [`Config::result_bytes_max`].
    pub async fn query(&self, workspace: &str, sql: &str) -> Result<Vec<RecordBatch>> {
        self.session_among(workspace, &self.own).query(sql).await
    }

    /// Where statements run.
    pub(crate) fn executor(&self) -> &Executor {
        &self.executor
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
        .with_disk_manager_builder(spill(config)?)
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
    let builder = SessionStateBuilder::new()
        .with_config(session)
        .with_runtime_env(runtime)
        .with_default_features()
        // No file formats and no table factories: nothing here may read or make a file.
        .with_file_formats(Vec::new())
        .with_table_factories(std::collections::HashMap::new())
        .with_catalog_list(Arc::clone(&listed));
    let state = optimise::with_ours(builder).build();
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

/// A folder for rows that do not fit into memory, without what an earlier run left there.
fn spill(config: &Config) -> Result<DiskManagerBuilder> {
    let mode = match &config.spill_dir {
        _ if config.spill_bytes_max == 0 => DiskManagerMode::Disabled,
        None => DiskManagerMode::OsTmpDirectory,
        Some(dir) => {
            let emptied = match std::fs::remove_dir_all(dir) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
                _ => std::fs::create_dir_all(dir),
            };
            emptied.map_err(|source| Error::Spill {
                dir: dir.clone(),
                source,
            })?;
            DiskManagerMode::Directories(vec![dir.clone()])
        }
    };
    Ok(DiskManagerBuilder::default()
        .with_mode(mode)
        .with_max_temp_directory_size(config.spill_bytes_max))
}

fn publish(catalog: &MemoryCatalogProvider, schema: &FixedSchema) -> Result<()> {
    let schema = Arc::new(schema.clone());
    catalog
        .register_schema(SCHEMA, schema)
        .map(|_| ())
        .map_err(Error::failed)
}
