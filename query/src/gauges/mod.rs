//! Metrics of the catalogue as gauges for Prometheus.
//!
//! They are asked in the background, one at a time and each within its own time limit; a scrape is shown what was last
//! answered, with its age, and never waits for a query. A metric that fails keeps its last good values.
//!
//! A row becomes one series of each numeric column, `flyball_<metric>_<column>`, with the text columns as labels. Of a
//! metric with more rows than [`Config::rows_max`] those that come first in the order of their labels are shown: the same
//! ones every time, so that no series comes and goes. How many were not is a gauge too.

mod text;

use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Int64Type};
use parking_lot::Mutex;
use tokio::time::MissedTickBehavior;

use crate::catalogue::{self, Definition, Kind};
use crate::{Engine, Error, Result};

/// Beside the columns of a metric: how many rows it has in all.
const ROWS_IN_ALL: &str = "rows_in_all";

/// Which rows count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Rows {
    /// Those of the last full UTC hour.
    #[default]
    LastHour,
    /// Those of the UTC hour that has begun.
    ThisHour,
    /// All that are kept.
    All,
}

/// The word for each, what it means, and what it asks of a view by hour.
const ROWS: [(&str, Rows, &str, &str); 3] = [
    (
        "last_hour",
        Rows::LastHour,
        "the last full UTC hour",
        "WHERE hour >= date_trunc('hour', now()) - INTERVAL '1 hour' AND hour < date_trunc('hour', now())",
    ),
    (
        "this_hour",
        Rows::ThisHour,
        "the UTC hour that has begun",
        "WHERE hour >= date_trunc('hour', now())",
    ),
    ("all", Rows::All, "everything kept", ""),
];

impl FromStr for Rows {
    type Err = ();

    /// From `last_hour`, `this_hour` or `all`.
    fn from_str(word: &str) -> std::result::Result<Self, ()> {
        let known = ROWS.iter().find(|(name, ..)| *name == word);
        known.map(|(_, rows, ..)| *rows).ok_or(())
    }
}

/// What is shown, and what that may cost.
#[derive(Debug, Clone)]
pub struct Config {
    /// Metrics of the catalogue, by name.
    pub names: Vec<String>,
    /// Which rows count. A metric without a view by hour knows no hours: of it everything kept always counts.
    pub rows: Rows,
    /// Pause between the starts of two rounds; one that takes longer is followed by the next at once.
    pub every: Duration,
    /// The longest one metric may take.
    pub time_limit: Duration,
    /// The most rows of one metric that are shown, each as one series a column.
    pub rows_max: usize,
}

impl Default for Config {
    /// None; of the last full hour, every minute, 20 s and 200 rows each.
    fn default() -> Self {
        Self {
            names: Vec::new(),
            rows: Rows::default(),
            every: Duration::from_secs(60),
            time_limit: Duration::from_secs(20),
            rows_max: 200,
        }
    }
}

/// The metrics that are shown, and what they were last answered.
#[derive(Debug)]
pub struct Gauges {
    engine: Arc<Engine>,
    workspace: String,
    config: Config,
    metrics: Vec<Metric>,
}

/// One metric of the catalogue, and how it is asked.
#[derive(Debug)]
struct Metric {
    entry: Definition,
    /// Which rows count, in words.
    rows: &'static str,
    sql: String,
    state: Mutex<State>,
}

/// What came of it so far.
#[derive(Debug, Default)]
struct State {
    last: Option<Last>,
    failures: u64,
}

/// The last answer.
#[derive(Debug)]
struct Last {
    at: Instant,
    took: Duration,
    /// In Prometheus' text format.
    text: String,
    /// Rows that it does not show.
    dropped: u64,
}

impl Gauges {
    /// Checks the names, and asks nothing yet.
    ///
    /// # Errors
    /// [`Error::Gauge`] when one is not a metric of the catalogue (a function takes arguments, a view measures nothing).
    pub async fn new(engine: Arc<Engine>, workspace: &str, config: Config) -> Result<Arc<Self>> {
        let all = catalogue::all();
        let mut metrics = Vec::new();
        for name in &config.names {
            metrics.push(metric(&engine, workspace, &config, &all, name).await?);
        }
        Ok(Arc::new(Self {
            engine,
            workspace: workspace.to_owned(),
            config,
            metrics,
        }))
    }

    /// Asks for all metrics, again and again, until it is dropped.
    pub async fn run(self: Arc<Self>) {
        let mut rounds = tokio::time::interval(self.config.every);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            rounds.tick().await;
            self.ask().await;
        }
    }

    /// Asks for all metrics once, one after the other.
    pub async fn ask(&self) {
        for metric in &self.metrics {
            let started = Instant::now();
            let answer = self.answer(&metric.sql).await;
            let mut state = metric.state.lock();
            match answer {
                Ok(batches) => {
                    let shown = text::gauges(&metric.entry, metric.rows, &batches);
                    state.last = Some(Last {
                        at: Instant::now(),
                        took: started.elapsed(),
                        dropped: rows_in_all(&batches).saturating_sub(shown.rows),
                        text: shown.text,
                    });
                }
                Err(error) => {
                    state.failures += 1;
                    let name = &metric.entry.name;
                    tracing::warn!(target: "flyball", metric = name, %error, "a gauge keeps its last values");
                }
            }
        }
    }

    async fn answer(&self, sql: &str) -> Result<Vec<RecordBatch>> {
        let limit = self.config.time_limit;
        let asked = self.engine.query(&self.workspace, sql);
        let answer = tokio::time::timeout(limit, asked).await;
        answer.map_err(|_| Error::Timeout { limit })?
    }

    /// What was last answered, in Prometheus' text format (version 0.0.4). Empty without metrics.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        for metric in &self.metrics {
            let state = metric.state.lock();
            text.extend(state.last.as_ref().map(|last| last.text.as_str()));
        }
        text::write_health(&mut text, &self.metrics);
        text
    }
}

async fn metric(
    engine: &Engine,
    workspace: &str,
    config: &Config,
    all: &[Definition],
    name: &str,
) -> Result<Metric> {
    let plain = |entry: &&Definition| entry.kind == Kind::Metric && !entry.is_by_hour();
    let entry = all.iter().filter(plain).find(|entry| entry.name == name);
    let entry = entry.ok_or_else(|| Error::Gauge {
        name: name.to_owned(),
        known: all.iter().filter(plain).map(|e| e.name.clone()).collect(),
    })?;
    let hourly = format!("{name}_by_hour");
    let rows = match all.iter().any(|entry| entry.name == hourly) {
        true => config.rows,
        false => Rows::All,
    };
    let view = if rows == Rows::All { name } else { &hourly };
    let plan = engine.session(workspace);
    let plan = plan.plan(&format!("SELECT * FROM {view}")).await?;
    let fields = plan.schema().fields().iter();
    let labels = fields.filter(|field| is_text(field.data_type()));
    // In a fixed order, so that the same rows are shown every time.
    let order: Vec<String> = labels
        .map(|field| format!("{} NULLS FIRST", field.name()))
        .collect();
    let order = if order.is_empty() {
        "1".to_owned()
    } else {
        order.join(", ")
    };
    let (_, _, meaning, filter) = ROWS
        .into_iter()
        .find(|(_, known, ..)| *known == rows)
        .unwrap_or(ROWS[2]);
    Ok(Metric {
        entry: entry.clone(),
        rows: meaning,
        sql: format!(
            "SELECT *, count(*) OVER () AS {ROWS_IN_ALL} FROM {view} {filter} ORDER BY {order} LIMIT {}",
            config.rows_max
        ),
        state: Mutex::default(),
    })
}

fn is_text(of: &DataType) -> bool {
    matches!(
        of,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View
    )
}

/// What the rows say of themselves; 0 when there are none.
fn rows_in_all(batches: &[RecordBatch]) -> u64 {
    let counts = batches
        .iter()
        .filter_map(|batch| batch.column_by_name(ROWS_IN_ALL))
        .filter_map(|column| column.as_primitive_opt::<Int64Type>())
        .find(|column| !column.is_empty());
    counts.map_or(0, |counts| u64::try_from(counts.value(0)).unwrap_or(0))
}
