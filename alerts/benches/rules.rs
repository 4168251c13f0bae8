//! What twenty rules over ten thousand keys add to a charge.
//!
//!     cargo bench -p flyball-alerts --bench rules
//!
//! Charges go in as the store sends them, a thousand at a time as an Arrow batch; what is timed is until the
//! order arrives that the last one causes, under a rule of its own. Printed: nanoseconds a charge with that
//! rule alone, and with twenty more; once where no charge is of the agent of the one before, and once where
//! charges come by executions, three model calls and a tool call at a time. KEYS (10000) can be set.

use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use async_trait::async_trait;
use flyball_alerts::memory::NoMemory;
use flyball_alerts::ports::{Ask, Clock, Orders, Records};
use flyball_alerts::{Alerts, Parts, Settings, rule};
use flyball_runtime::control::{Decision, Order, Scope, View};
use flyball_store::rows::{AlertRow, ChargeRow, Micros, Row};
use flyball_store::{Event, Origin};
use rust_decimal::Decimal;
use tokio::sync::{mpsc, watch};

const CHARGES: usize = 200_000;
const BATCH: usize = 1_000;

/// Each kind that streams, some of them twice.
const WHEN: [&str; 20] = [
    "spend_rate: { at_least: 1000, window: 1m }",
    "spend_rate: { at_least: 5000, window: 10m }",
    "budget: { limit: 100000, per: hour }",
    "budget: { limit: 1000000, per: day }",
    "budget: { limit: 10000000, per: month }",
    "repeated_tool_calls: { at_least: 1000, window: 1m }",
    "retry_storm: { at_least: 100, window: 1m }",
    "unknown_tool: { allow: [search], window: 1m }",
    "error_rate: { of: tool, at_least: 0.9, window: 5m }",
    "error_rate: { of: model, at_least: 0.9, window: 5m }",
    "escalations: { at_least: 100, window: 5m }",
    "absence: { silent_for: 10m }",
    "rate_of_change: { of: spend, at_least: 100, window: 5m, base: 30m, floor: 1000 }",
    "rate_of_change: { of: calls, at_least: 100, window: 5m, base: 30m, floor: 100000 }",
    "spend_spike: { change: 1000 }",
    "latency_shift: { change: 1000 }",
    "token_growth: { change: 1000000 }",
    "confidence_drift: { change: 0.9 }",
    "slo_burn: { objective: 0.95, of: tool_errors }",
    "slo_burn: { objective: 0.95, of: latency, under: 1h }",
];

/// The rule that the last charge fires.
const LAST: &str = "\
rules:
  - name: last
    key: tenant
    mode: enforce
    when:
      spend_rate: { at_least: 1, window: 1m }
    action: { throttle: { calls_per_minute: 1 } }
";

#[derive(Debug)]
struct Nobody;

/// Tells of every order and carries out none.
#[derive(Debug)]
struct Bell {
    view: watch::Sender<Arc<View>>,
    rung: mpsc::UnboundedSender<Scope>,
}

#[async_trait]
impl Orders for Bell {
    async fn order(&self, order: Order) -> Result<Decision, String> {
        let _ = self.rung.send(order.scope);
        // Longer than the benchmark, so that nothing is tried again.
        std::future::pending().await
    }

    fn watch(&self) -> watch::Receiver<Arc<View>> {
        self.view.subscribe()
    }
}

#[async_trait]
impl Records for Nobody {
    async fn record(&self, _: &str, _: AlertRow) -> Result<(), String> {
        Ok(())
    }
}

#[async_trait]
impl Ask for Nobody {
    async fn ask(&self, _: &str, _: &str) -> Result<Vec<RecordBatch>, String> {
        Ok(Vec::new())
    }
}

/// How many agents there are.
fn keys() -> usize {
    static KEYS: LazyLock<usize> = LazyLock::new(|| {
        let told = std::env::var("KEYS").ok().and_then(|n| n.parse().ok());
        told.unwrap_or(10_000)
    });
    *KEYS
}

/// Three model calls to a tool call, round the agents; so many in a row are of one.
fn charge(n: usize, row: usize, now: i64) -> ChargeRow {
    let tool = n % 4 == 3;
    let agent = n / row * 7 % keys();
    ChargeRow {
        charge_id: format!("{n:032x}"),
        entry: "charge".to_owned(),
        kind: if tool { "tool_call" } else { "model_call" }.to_owned(),
        calls: 1,
        trace_id: format!("{n:032x}"),
        span_id: format!("{n:016x}"),
        agent_name: Some(format!("agent-{agent}")),
        execution_id: format!("run-{}-{agent}", n / row / keys()),
        start_unix_nano: now - 1_000_000_000,
        duration_ns: Some(1_000_000_000),
        received_at: Micros::of_nanos(now),
        known_at: Micros::of_nanos(now),
        cost_usd: (!tool).then(|| Decimal::new(123_456, 8)),
        input_tokens: (!tool).then_some(1_000),
        confidence: (!tool).then_some(0.9),
        tool_name: tool.then(|| "search".to_owned()),
        tool_input_hash: tool.then(|| format!("{n:016x}")),
        response_model: (!tool).then(|| "model".to_owned()),
        ..ChargeRow::default()
    }
}

async fn round(rules: &str, row: usize) -> Result<Duration, Box<dyn std::error::Error>> {
    let (events, received) = mpsc::unbounded_channel();
    let (rung, mut rings) = mpsc::unbounded_channel();
    let view = watch::channel(Arc::default()).0;
    let parts = Parts {
        events: received,
        orders: Arc::new(Bell { view, rung }),
        records: Arc::new(Nobody),
        ask: Arc::new(Nobody),
        notifiers: Vec::new(),
        memory: Arc::new(NoMemory),
        clock: Clock::default(),
        settings: Settings::default(),
    };
    let alerts = Alerts::start(rule::parse("bench.yaml", rules)?, parts)?;
    while !alerts.status().warm {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // Keys are made in the first half, and met again in the second, which is timed.
    let mut took = Duration::ZERO;
    for half in 0..2 {
        let now = Clock::default().now();
        let batches = (0..CHARGES / BATCH).map(|batch| {
            let rows: Vec<_> = (0..BATCH)
                .map(|n| charge(half * CHARGES + batch * BATCH + n, row, now))
                .collect();
            ChargeRow::batch(&rows)
        });
        let mut batches = batches.collect::<Result<Vec<_>, _>>()?;
        let last = Scope::Tenant(format!("half-{half}"));
        batches.push(ChargeRow::batch(&[ChargeRow {
            tenant: Some(last.target().to_owned()),
            cost_usd: Some(Decimal::TEN),
            ..charge(2 * CHARGES + 4 * half, row, now)
        }])?);
        let begun = Instant::now();
        for batch in batches {
            events.send(Event::Charges {
                workspace: "default".into(),
                origin: Origin::Live,
                batch,
            })?;
        }
        while rings.recv().await.ok_or("alerting has ended")? != last {}
        took = begun.elapsed();
    }
    alerts.stop().await;
    Ok(took)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let rules: String = WHEN
        .iter()
        .enumerate()
        .map(|(i, when)| format!("  - name: r{i}\n    key: agent\n    when:\n      {when}\n"))
        .collect();
    let each = |took: Duration| took.as_nanos() as f64 / CHARGES as f64;
    println!("{CHARGES} charges, {} keys, nanoseconds a charge\n", keys());
    println!("in a row  no other rule  20 rules  for each rule");
    for row in [1, 4] {
        let without = each(round(LAST, row).await?);
        let with = each(round(&format!("{LAST}{rules}"), row).await?);
        let more = (with - without) / 20.0;
        println!("{row:>8} {without:>14.0} {with:>9.0} {more:>14.0}");
    }
    Ok(())
}
