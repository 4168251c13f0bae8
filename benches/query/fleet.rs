//! A made-up fleet over seven days: 24 agents of 9 tenants on 6 models, twelve spans an execution, heavy-tailed
//! latencies and token counts, more by day than by night. Everything follows from an execution's number.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};

/// Spans of one execution.
pub(crate) const SPANS_OF_TRACE: u64 = 12;
/// 2026-11-01, nanoseconds since 1970.
const BEGIN: u64 = 1_793_491_200_000_000_000;
const DAY: u64 = 86_400_000_000_000;
const DAYS: u64 = 7;

const MODELS: [(&str, &str); 6] = [
    ("openai", "gpt-4o-mini"),
    ("openai", "gpt-4o"),
    ("anthropic", "claude-sonnet-4-5"),
    ("anthropic", "claude-haiku-4-5"),
    ("openai", "gpt-4.1"),
    ("openai", "gpt-4.1-mini"),
];
const TOOLS: [&str; 5] = [
    "lookup_order",
    "search_docs",
    "send_email",
    "run_query",
    "refund",
];

/// Numbers of no pattern, one after the other.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.roll() % end
    }

    /// Above zero, with mean one and a long tail.
    fn tail(&mut self) -> f64 {
        let uniform = (self.roll() >> 11) as f64 / (1_u64 << 53) as f64;
        -(1.0 - uniform).ln().max(-20.0) * (1.0 + self.below(4) as f64) / 2.5
    }
}

fn of(execution: u64) -> Dice {
    Dice(execution.wrapping_mul(0xd6e8_feb8_6659_fd93) ^ 0x5eed)
}

fn ids(execution: u64) -> (Vec<u8>, Dice) {
    let mut dice = of(execution);
    let trace = [dice.roll().to_be_bytes(), dice.roll().to_be_bytes()].concat();
    (trace, dice)
}

/// The trace of an execution, as the tables have it.
pub(crate) fn trace_id(execution: u64) -> String {
    ids(execution)
        .0
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// A question with its moments and its trace filled in: the last day, the day before, and all of it.
pub(crate) fn fill(sql: &str, trace: &str) -> String {
    sql.replace("{day}", "TIMESTAMPTZ '2026-11-07T00:00:00Z'")
        .replace("{before}", "TIMESTAMPTZ '2026-11-06T00:00:00Z'")
        .replace("{end}", "TIMESTAMPTZ '2026-11-08T00:00:00Z'")
        .replace("{trace}", trace)
}

/// One request with the spans of these executions, of all that there are.
pub(crate) fn request(executions: std::ops::Range<u64>, all: u64) -> ExportTraceServiceRequest {
    let spans = executions
        .flat_map(|execution| trace(execution, all))
        .collect();
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(Resource {
                attributes: vec![
                    text("service.name", "agents"),
                    text("deployment.environment.name", "production"),
                ],
                ..Resource::default()
            }),
            scope_spans: vec![ScopeSpans {
                scope: Some(InstrumentationScope {
                    name: "opentelemetry.instrumentation.genai".to_owned(),
                    ..InstrumentationScope::default()
                }),
                spans,
                ..ScopeSpans::default()
            }],
            ..ResourceSpans::default()
        }],
    }
}

/// An agent's span, then model calls and tool calls by turns.
fn trace(execution: u64, all: u64) -> Vec<Span> {
    let (trace_id, mut dice) = ids(execution);
    let day = execution * DAYS / all;
    let within = (execution * DAYS % all) as f64 / all as f64;
    // Slow at night, and in order all the same: its slope is between 0.2 and 1.8.
    let hour = within - 0.8 * (std::f64::consts::TAU * within).sin() / std::f64::consts::TAU;
    let begin = BEGIN + day * DAY + (hour * DAY as f64) as u64;
    let agent = dice.below(24);
    let (tenant, user) = (dice.below(9), dice.below(100_000));
    let (provider, model) = MODELS[((agent + dice.below(3)) % 6) as usize];
    let root = dice.roll().to_be_bytes().to_vec();
    let common = |operation: &str| {
        vec![
            text("gen_ai.operation.name", operation),
            text("gen_ai.agent.name", &format!("agent-{agent:02}")),
            text("tenant.id", &format!("tenant-{tenant}")),
            text("team", &format!("team-{}", agent % 8)),
            text("user.id", &format!("user-{user:05}")),
        ]
    };
    let mut spans = Vec::with_capacity(SPANS_OF_TRACE as usize);
    let mut at = begin;
    for place in 1..SPANS_OF_TRACE {
        let calls_model = place % 2 == 1;
        let took = (dice.tail() * if calls_model { 900e6 } else { 120e6 }) as u64 + 1_000_000;
        let failed = dice.below(100) == 0;
        let mut attributes;
        let name;
        if calls_model {
            attributes = common("chat");
            let tokens = (dice.tail() * 1_500.0) as i64 + 50;
            attributes.extend([
                text("gen_ai.provider.name", provider),
                text("gen_ai.request.model", model),
                text("gen_ai.response.model", model),
                text("gen_ai.response.id", &format!("resp_{:016x}", dice.roll())),
                int("gen_ai.usage.input_tokens", tokens),
                int("gen_ai.usage.cache_read.input_tokens", tokens / 3),
                int(
                    "gen_ai.usage.output_tokens",
                    (dice.tail() * 200.0) as i64 + 1,
                ),
            ]);
            if place % 4 == 1 {
                let confidence = (0.95 - 0.1 * dice.tail() - 0.01 * day as f64).max(0.0);
                attributes.extend([
                    with("flyball.decision", Value::BoolValue(true)),
                    with("flyball.confidence", Value::DoubleValue(confidence)),
                    with("flyball.escalated", Value::BoolValue(dice.below(40) == 0)),
                ]);
            }
            name = format!("chat {model}");
        } else {
            attributes = common("execute_tool");
            let tool = TOOLS[dice.below(5) as usize];
            attributes.extend([
                text("gen_ai.tool.name", tool),
                text("gen_ai.tool.call.id", &format!("call_{:016x}", dice.roll())),
                text(
                    "tool.source",
                    "postgresql://orders-replica.internal:5432/orders",
                ),
            ]);
            name = format!("execute_tool {tool}");
        }
        if failed {
            attributes.push(text("error.type", "timeout"));
        }
        let message = if failed {
            "deadline of the upstream was exceeded"
        } else {
            ""
        };
        spans.push(Span {
            trace_id: trace_id.clone(),
            span_id: dice.roll().to_be_bytes().to_vec(),
            parent_span_id: root.clone(),
            name,
            kind: 3,
            start_time_unix_nano: at,
            end_time_unix_nano: at + took,
            attributes,
            status: Some(Status {
                code: if failed { 2 } else { 1 },
                message: message.to_owned(),
            }),
            ..Span::default()
        });
        at += took;
    }
    let mut attributes = common("invoke_agent");
    attributes.push(text(
        "flyball.termination",
        if dice.below(20) == 0 {
            "failure"
        } else {
            "success"
        },
    ));
    spans.insert(
        0,
        Span {
            trace_id,
            span_id: root,
            name: format!("invoke_agent agent-{agent:02}"),
            kind: 1,
            start_time_unix_nano: begin,
            end_time_unix_nano: at + 1_000_000,
            attributes,
            status: Some(Status {
                code: 1,
                ..Status::default()
            }),
            ..Span::default()
        },
    );
    spans
}

fn with(key: &str, value: Value) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}

fn text(key: &str, value: &str) -> KeyValue {
    with(key, Value::StringValue(value.to_owned()))
}

fn int(key: &str, value: i64) -> KeyValue {
    with(key, Value::IntValue(value))
}
