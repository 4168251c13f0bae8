//! A fleet made up for tests and for looking at the page: what the query engine would answer, and what
//! control has in force.

use std::sync::{Arc, Mutex};

use arrow::array::{
    ArrayRef, Decimal128Array, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use flyball_dashboards::console::FleetData;
use flyball_runtime::control::{InForce, Scope, State, View};

/// 22 November 2026, 10:00 UTC, in nanoseconds.
pub(crate) const NOW: i64 = 1_795_341_600_000_000_000;
const SECOND: i64 = 1_000_000;

/// Answers by the table that a query reads.
#[derive(Debug, Default)]
pub(crate) struct Fake {
    pub(crate) view: Mutex<Arc<View>>,
    /// What was asked, in order.
    pub(crate) asked: Mutex<Vec<String>>,
    /// Tables that cannot be read.
    pub(crate) broken: Vec<&'static str>,
    /// While this is written to, no query is answered.
    pub(crate) busy: tokio::sync::RwLock<()>,
}

impl Fake {
    /// With a freeze by a rule, a throttle by a person and a degraded tenant.
    pub(crate) fn busy() -> Self {
        let entry = |action_id: &str, scope, state, actor: &str, reason: &str, ago: i64| InForce {
            action_id: action_id.to_owned(),
            scope,
            state,
            actor: actor.to_owned(),
            reason: reason.to_owned(),
            decided_at_unix_nano: NOW - ago * 1_000_000_000,
        };
        let entries = vec![
            entry(
                "a-1",
                Scope::Agent("diagnose".into()),
                State::Frozen,
                "rule:runaway-spend",
                "0.84 USD in 60 s, limit 0.50; 14 calls of get_logs with the same input",
                41,
            ),
            entry(
                "a-2",
                Scope::Agent("support".into()),
                State::Throttled {
                    calls_per_minute: 6,
                },
                "cli:ana",
                "queue is long, costs are high",
                700,
            ),
            entry(
                "a-3",
                Scope::Tenant("acme".into()),
                State::Degraded {
                    tier: Some("economy".into()),
                    read_only: true,
                    plan_depth: None,
                },
                "rule:tenant-budget",
                "spent 92 of 100 USD this month",
                5400,
            ),
        ];
        Self {
            view: Mutex::new(Arc::new(View {
                epoch: 7,
                entries,
                ..View::default()
            })),
            ..Self::default()
        }
    }
}

#[async_trait::async_trait]
impl FleetData for Fake {
    async fn query(&self, sql: &str) -> Result<Vec<RecordBatch>, String> {
        self.asked.lock().unwrap().push(sql.to_owned());
        let _answering = self.busy.read().await;
        if let Some(table) = self.broken.iter().find(|table| sql.contains(**table)) {
            return Err(format!("table {table} is not there"));
        }
        let batch = if sql.contains("FROM actions") {
            actions()
        } else if sql.contains("FROM alerts") {
            alerts()
        } else if sql.contains("AS minute") {
            spend()
        } else {
            agents()
        };
        Ok(vec![batch])
    }

    fn control_view(&self) -> Arc<View> {
        Arc::clone(&self.view.lock().unwrap())
    }
}

fn text(values: &[Option<&str>]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

fn whole(values: &[i64]) -> ArrayRef {
    Arc::new(Int64Array::from(values.to_vec()))
}

/// Seconds before now.
fn ago(values: &[Option<f64>]) -> ArrayRef {
    let micros = values
        .iter()
        .map(|ago| ago.map(|ago| NOW / 1000 - (ago * SECOND as f64) as i64));
    Arc::new(
        micros
            .collect::<TimestampMicrosecondArray>()
            .with_timezone("UTC"),
    )
}

fn money(values: &[Option<i128>]) -> ArrayRef {
    let values = Decimal128Array::from(values.to_vec());
    Arc::new(values.with_precision_and_scale(28, 12).unwrap())
}

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(
        columns.into_iter().map(|(name, array)| (name, array, true)),
    )
    .unwrap()
}

fn agents() -> RecordBatch {
    let names = [
        Some("diagnose"),
        Some("support"),
        Some("remediate"),
        Some("monitor"),
        Some("supervise"),
        Some("<img src=x onerror=alert(1)>"),
        None,
    ];
    batch(vec![
        ("agent_name", text(&names)),
        ("executions", whole(&[12, 240, 31, 1440, 31, 1, 0])),
        ("decisions", whole(&[418, 1210, 96, 1440, 62, 3, 0])),
        ("calls", whole(&[431, 1302, 97, 1440, 64, 3, 19])),
        ("unpriced_calls", whole(&[0, 0, 0, 0, 0, 3, 2])),
        (
            "cost_usd",
            money(&[
                Some(8_423_117_200_034),
                Some(4_118_000_500_000),
                Some(962_300_000_000),
                Some(288_000_000_001),
                Some(101_450_000_000),
                None,
                Some(7_000_000),
            ]),
        ),
        (
            "last_seen",
            ago(&[
                Some(41.2),
                Some(0.4),
                Some(18.0),
                Some(2.1),
                Some(75.0),
                Some(4000.0),
                Some(100_000.0),
            ]),
        ),
    ])
}

fn spend() -> RecordBatch {
    let minute = NOW / 60_000_000_000;
    let mut rows: Vec<(&str, i64, i128)> = Vec::new();
    for back in 0..30_i64 {
        let wave = i128::from((back * 7) % 5 + 3);
        rows.push(("support", minute - back, wave * 5_000_000_000));
        rows.push(("monitor", minute - back, 200_000_000));
        let runaway = if back < 1 {
            1
        } else {
            840 / i128::from(back * back + 1)
        };
        rows.push((
            "diagnose",
            minute - back,
            runaway * 1_000_000_000 + wave * 900_000_000,
        ));
        if back % 6 == 2 {
            rows.push(("remediate", minute - back, wave * 4_000_000_000));
        }
    }
    // A sender whose clock runs ahead.
    rows.push(("support", minute + 90, 1));
    batch(vec![
        (
            "agent_name",
            text(&rows.iter().map(|row| Some(row.0)).collect::<Vec<_>>()),
        ),
        (
            "minute",
            whole(&rows.iter().map(|row| row.1).collect::<Vec<_>>()),
        ),
        (
            "cost_usd",
            money(&rows.iter().map(|row| Some(row.2)).collect::<Vec<_>>()),
        ),
    ])
}

fn alerts() -> RecordBatch {
    batch(vec![
        (
            "at",
            ago(&[Some(41.4), Some(300.0), Some(5400.0), Some(9000.0)]),
        ),
        (
            "rule",
            text(&[
                Some("runaway-spend"),
                Some("slow-answers"),
                Some("tenant-budget"),
                Some("repeated-calls"),
            ]),
        ),
        (
            "key",
            text(&[
                Some("agent=diagnose"),
                Some("agent=support"),
                Some("tenant=acme"),
                Some("agent=diagnose,tool=get_logs"),
            ]),
        ),
        (
            "state",
            text(&[Some("firing"), Some("pending"), Some("firing"), Some("ok")]),
        ),
        (
            "severity",
            text(&[
                Some("critical"),
                Some("info"),
                Some("warning"),
                Some("warning"),
            ]),
        ),
        (
            "mode",
            text(&[
                Some("enforce"),
                Some("shadow"),
                Some("enforce"),
                Some("enforce"),
            ]),
        ),
        (
            "value",
            Arc::new(Float64Array::from(vec![
                Some(0.84),
                Some(8100.0),
                Some(92.0),
                None,
            ])),
        ),
        (
            "threshold",
            Arc::new(Float64Array::from(vec![
                Some(0.5),
                Some(8000.0),
                Some(90.0),
                None,
            ])),
        ),
        (
            "summary",
            text(&[
                Some("diagnose spent 0.84 USD in 60 s, limit 0.50"),
                Some("p95 of chat is 8.1 s, limit 8 s, for 2 of 5 min"),
                Some("acme has spent 92 of 100 USD this month"),
                Some("no repeated call for 10 min"),
            ]),
        ),
    ])
}

fn actions() -> RecordBatch {
    batch(vec![
        (
            "action_id",
            text(&[Some("a-1"), Some("a-2"), Some("a-4"), Some("a-0")]),
        ),
        (
            "state",
            text(&[
                Some("frozen"),
                Some("throttled"),
                Some("frozen"),
                Some("frozen"),
            ]),
        ),
        (
            "scope",
            text(&[Some("agent"), Some("agent"), Some("agent"), Some("global")]),
        ),
        (
            "target",
            text(&[Some("diagnose"), Some("support"), Some("monitor"), Some("")]),
        ),
        (
            "actor",
            text(&[
                Some("rule:runaway-spend"),
                Some("cli:ana"),
                Some("rule:slow-answers"),
                Some("console"),
            ]),
        ),
        (
            "reason",
            text(&[
                Some("0.84 USD in 60 s, limit 0.50"),
                Some("queue is long, costs are high"),
                Some("p95 over 8 s"),
                Some("drill"),
            ]),
        ),
        (
            "mode",
            text(&[
                Some("enforce"),
                Some("enforce"),
                Some("shadow"),
                Some("enforce"),
            ]),
        ),
        (
            "cause_ended_at",
            ago(&[Some(41.180), None, Some(3600.5), None]),
        ),
        (
            "cause_received_at",
            ago(&[Some(41.139), None, Some(3600.4), None]),
        ),
        (
            "decided_at",
            ago(&[Some(41.131), Some(700.0), Some(3600.39), Some(86_400.0)]),
        ),
        (
            "obeyed_at",
            ago(&[Some(41.037), Some(699.48), None, Some(86_399.912)]),
        ),
        ("released_at", ago(&[None, None, None, Some(86_000.0)])),
    ])
}
