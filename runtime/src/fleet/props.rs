//! What their tools do: nothing to the world, and always the same for the same input.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::Error;
use crate::tools::{Call, Contract, Effect, Tool, ToolError, Toolbox};

/// The pipeline that no rerun mends.
pub const HOPELESS: &str = "orders_daily";

type Answer = fn(&Value) -> Result<Value, ToolError>;

#[derive(Debug)]
struct Prop {
    contract: Contract,
    latency: Duration,
    answer: Answer,
}

#[async_trait::async_trait]
impl Tool for Prop {
    fn contract(&self) -> &Contract {
        &self.contract
    }

    async fn call(&self, call: Call) -> Result<Value, ToolError> {
        tokio::time::sleep(self.latency).await;
        (self.answer)(&call.input)
    }

    fn progress(&self, output: &Value) -> Option<f64> {
        output.get("progress").and_then(Value::as_f64)
    }
}

/// All tools of the fleet.
///
/// # Errors
/// Never, unless a contract here is broken.
pub fn toolbox() -> Result<Toolbox, Error> {
    use Effect::{Irreversible, ReadOnly, Reversible};
    let rows: [(&str, &str, Effect, &[&str], &str, u64, Answer); 14] = [
        (
            "read_metrics",
            "Volume, freshness and null rates of a table",
            ReadOnly,
            &["metrics.read"],
            "table",
            25,
            |input| {
                Ok(
                    json!({"table": input["table"], "rows_vs_baseline": 0.57, "freshness_minutes": 190, "null_rate": 0.02, "progress": 0.2}),
                )
            },
        ),
        (
            "list_runs",
            "The latest runs of a pipeline",
            ReadOnly,
            &["metrics.read"],
            "pipeline",
            20,
            |input| {
                Ok(
                    json!({"pipeline": input["pipeline"], "runs": [{"state": "failed", "minutes": 12}, {"state": "succeeded", "minutes": 9}], "progress": 0.1}),
                )
            },
        ),
        (
            "query_logs",
            "Log lines of a pipeline that match",
            ReadOnly,
            &["logs.read"],
            "pipeline",
            60,
            |input| {
                Ok(
                    json!({"pipeline": input["pipeline"], "lines": ["schema mismatch: column currency is new", "task load failed after 3 attempts"], "progress": 0.2}),
                )
            },
        ),
        (
            "compare_schema",
            "What changed in a table's schema",
            ReadOnly,
            &["metrics.read"],
            "table",
            35,
            |input| {
                Ok(
                    json!({"table": input["table"], "added": ["currency"], "removed": [], "progress": 0.2}),
                )
            },
        ),
        (
            "trace_lineage",
            "What depends on a table",
            ReadOnly,
            &["metrics.read"],
            "table",
            45,
            |input| {
                Ok(
                    json!({"table": input["table"], "downstream": 14, "dashboards": 3, "progress": 0.1}),
                )
            },
        ),
        (
            "rehearse",
            "Dry run of a change",
            ReadOnly,
            &["pipelines.write"],
            "pipeline",
            40,
            |input| {
                Ok(
                    json!({"pipeline": input["pipeline"], "would_touch_rows": 120_000, "safe": true, "progress": 0.2}),
                )
            },
        ),
        (
            "rerun_pipeline",
            "Runs a pipeline again for a day",
            Reversible,
            &["pipelines.write"],
            "pipeline",
            8,
            rerun,
        ),
        (
            "evolve_schema",
            "Adds a column that upstream has added",
            Reversible,
            &["pipelines.write"],
            "table",
            45,
            |input| Ok(json!({"table": input["table"], "version": 12, "progress": 0.4})),
        ),
        (
            "check_freshness",
            "Whether a table is fresh",
            ReadOnly,
            &["metrics.read"],
            "table",
            20,
            |input| Ok(json!({"table": input["table"], "fresh": true, "progress": 0.3})),
        ),
        (
            "read_change",
            "What was changed, and how to undo it",
            ReadOnly,
            &["metrics.read"],
            "pipeline",
            20,
            |input| {
                Ok(
                    json!({"pipeline": input["pipeline"], "reversible": true, "undo": "restore version 11", "progress": 0.3}),
                )
            },
        ),
        (
            "look_up_order",
            "An order",
            ReadOnly,
            &["orders.read"],
            "order",
            30,
            |input| {
                Ok(
                    json!({"order": input["order"], "state": "delivered", "cents": 4_990, "progress": 0.3}),
                )
            },
        ),
        (
            "search_help",
            "Help articles",
            ReadOnly,
            &[],
            "question",
            30,
            |_| {
                Ok(
                    json!({"articles": ["Returns within 30 days", "Where is my parcel"], "progress": 0.2}),
                )
            },
        ),
        (
            "reply",
            "Sends a reply; it can be recalled for ten minutes",
            Reversible,
            &["tickets.write"],
            "text",
            25,
            |_| Ok(json!({"sent": true, "progress": 0.5})),
        ),
        (
            "refund",
            "Pays money back",
            Irreversible,
            &["payments.write"],
            "order",
            50,
            |_| Ok(json!({"refunded": true})),
        ),
    ];
    let mut tools = Toolbox::default();
    for (name, description, effect, scopes, field, latency, answer) in rows {
        let contract = Contract {
            description: description.to_owned(),
            effect,
            idempotent: effect != Irreversible,
            scopes: scopes.iter().map(ToString::to_string).collect(),
            input: json!({"type": "object", "required": [field], "properties": {field: {"type": "string", "minLength": 1}}}),
            output: json!({"type": "object"}),
            ..Contract::new(name)
        };
        tools.add(Arc::new(Prop {
            contract,
            latency: Duration::from_millis(latency),
            answer,
        }))?;
    }
    Ok(tools)
}

fn rerun(input: &Value) -> Result<Value, ToolError> {
    match input["pipeline"].as_str() {
        Some(HOPELESS) => {
            Ok(json!({"state": "failed", "reason": "lock is held by run 4711", "progress": 0.0}))
        }
        Some("clickstream_hourly") if input["day"].is_null() => {
            Err(ToolError::Failed("which day?".to_owned()))
        }
        _ => Ok(json!({"state": "succeeded", "minutes": 9, "progress": 0.5})),
    }
}
