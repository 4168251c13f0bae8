//! What agents send: executions of 8, 12 and 16 spans in turn, about 830 bytes a span as protobuf, without content.
//! Every request has ids of its own and has ended just now; the resource stands once in each.

use std::time::UNIX_EPOCH;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, InstrumentationScope, KeyValue,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use prost::Message as _;

/// Spans of the executions, in turn.
const EXECUTIONS: [usize; 3] = [8, 12, 16];
const AGENTS: [&str; 6] = [
    "triage", "refunds", "search", "billing", "planner", "reviewer",
];
const MODELS: [(&str, &str, &str); 3] = [
    ("openai", "gpt-4o-mini", "gpt-4o-mini-2024-07-18"),
    ("openai", "gpt-4o", "gpt-4o-2024-08-06"),
    (
        "anthropic",
        "claude-sonnet-4-5",
        "claude-sonnet-4-5-20250929",
    ),
];
const TOOLS: [&str; 4] = ["lookup_order", "search_docs", "send_email", "run_query"];

/// What an agent's five digits follow.
const NAMED: &str = "agent-";
/// How long before the end of a request's spans the first of them began, nanoseconds.
const LONGEST: u64 = 1_000_000_000;

/// Nanoseconds since 1970.
pub(crate) fn nanos() -> u64 {
    u64::try_from(UNIX_EPOCH.elapsed().unwrap().as_nanos()).unwrap()
}

/// A number for each number, all different and of no pattern.
fn scramble(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// How many agents are told apart by their names, beyond [`AGENTS`].
const NUMBERED: usize = 100_000;

/// Requests that differ in ids, times and agents alone: one is encoded, and each body is a copy with these written over.
/// So the sender costs next to nothing.
#[derive(Debug, Clone)]
pub(crate) struct Traffic {
    template: Vec<u8>,
    /// Where ids stand, as eight bytes or as sixteen hex digits, and which.
    ids: Vec<(usize, u64, bool)>,
    /// Where times stand, as eight bytes, and how long before the end of the last span each is, nanoseconds.
    times: Vec<(usize, u64)>,
    /// Where the five digits of an agent's name stand, and of which execution it is.
    names: Vec<(usize, usize)>,
    /// Agents that take turns; 0 when they are [`AGENTS`].
    agents: usize,
    executions: usize,
    spans: usize,
}

impl Traffic {
    /// Requests of so many spans, of six agents.
    pub(crate) fn of(spans: usize) -> Self {
        Self::by(spans, 0)
    }

    /// The same of so many agents, each of them in turn: `agent-00000` and so on.
    pub(crate) fn of_agents(spans: usize, agents: usize) -> Self {
        assert!((1..=NUMBERED).contains(&agents), "1 to {NUMBERED} agents");
        Self::by(spans, agents)
    }

    fn by(spans: usize, agents: usize) -> Self {
        let now = nanos();
        let template = request(spans, now, agents > 0).encode_to_vec();
        // Three ids a span: half a trace id (or two), its own, and that of its response or call.
        let wanted = (0..3 * spans as u64).map(|id| (id, scramble(id)));
        let mut by_bytes = std::collections::HashMap::new();
        for (id, word) in wanted {
            by_bytes.insert(word.to_be_bytes().to_vec(), (id, false));
            by_bytes.insert(format!("{word:016x}").into_bytes(), (id, true));
        }
        let mut ids = Vec::new();
        for length in [8, 16] {
            for (at, bytes) in template.windows(length).enumerate() {
                if let Some((id, is_hex)) = by_bytes.get(bytes) {
                    ids.push((at, *id, *is_hex));
                }
            }
        }
        let (mut times, mut names) = (Vec::new(), Vec::new());
        for (at, bytes) in template.windows(8).enumerate() {
            let bytes = bytes.try_into().unwrap();
            let before = now.wrapping_sub(u64::from_le_bytes(bytes));
            if before <= LONGEST {
                times.push((at, before));
            }
        }
        for (at, bytes) in template.windows(NAMED.len() + 5).enumerate() {
            if agents > 0
                && let Some(digits) = bytes.strip_prefix(NAMED.as_bytes())
                && let Ok(execution) = std::str::from_utf8(digits).unwrap_or_default().parse()
            {
                names.push((at + NAMED.len(), execution));
            }
        }
        Self {
            template,
            ids,
            times,
            names,
            agents,
            executions: executions(spans),
            spans,
        }
    }

    /// Bytes of a body.
    pub(crate) fn bytes(&self) -> usize {
        self.template.len()
    }

    /// Requests in which each of its agents is there at least once.
    pub(crate) fn round(&self) -> usize {
        self.agents.div_ceil(self.executions)
    }

    /// Spans of a body.
    pub(crate) fn spans(&self) -> usize {
        self.spans
    }

    /// The body of a request by its number.
    pub(crate) fn body(&self, number: usize) -> Vec<u8> {
        let mut body = self.template.clone();
        let first = (number as u64 + 1) << 24;
        for (at, id, is_hex) in &self.ids {
            let word = scramble(first + id);
            if *is_hex {
                body[*at..at + 16].copy_from_slice(format!("{word:016x}").as_bytes());
            } else {
                body[*at..at + 8].copy_from_slice(&word.to_be_bytes());
            }
        }
        let now = nanos();
        for (at, before) in &self.times {
            body[*at..at + 8].copy_from_slice(&(now - before).to_le_bytes());
        }
        for (at, execution) in &self.names {
            let agent = (number * self.executions + execution) % self.agents;
            body[*at..at + 5].copy_from_slice(format!("{agent:05}").as_bytes());
        }
        body
    }
}

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}

fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, Value::StringValue(value.to_owned()))
}

fn int(key: &str, value: u64) -> KeyValue {
    attribute(key, Value::IntValue(value as i64))
}

/// How many executions so many spans are.
fn executions(spans: usize) -> usize {
    let mut left = spans;
    let sizes = EXECUTIONS.iter().cycle();
    sizes
        .take_while(|size| {
            let begun = left > 0;
            left = left.saturating_sub(**size);
            begun
        })
        .count()
}

fn request(spans: usize, now: u64, numbered: bool) -> ExportTraceServiceRequest {
    let mut made = Vec::with_capacity(spans);
    for execution in 0..executions(spans) {
        let size = EXECUTIONS[execution % EXECUTIONS.len()].min(spans - made.len());
        let agent = match numbered {
            true => format!("{NAMED}{execution:05}"),
            false => AGENTS[execution % AGENTS.len()].to_owned(),
        };
        let first = made.len();
        for place in 0..size {
            made.push(span(execution, &agent, first, place, now));
        }
    }
    let resource = [
        ("service.name", "agents"),
        ("service.namespace", "support"),
        ("service.version", "2026.11.3"),
        ("service.instance.id", "agents-7c9f4d5b6-x2x7k"),
        ("deployment.environment.name", "production"),
        ("telemetry.sdk.language", "python"),
        ("telemetry.sdk.name", "opentelemetry"),
        ("telemetry.sdk.version", "1.45.1"),
        ("host.name", "ip-10-0-12-34"),
        ("cloud.region", "eu-central-1"),
    ];
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(Resource {
                attributes: resource.map(|(key, value)| text(key, value)).into(),
                ..Resource::default()
            }),
            scope_spans: vec![ScopeSpans {
                scope: Some(InstrumentationScope {
                    name: "opentelemetry.instrumentation.genai".to_owned(),
                    version: "0.62b0".to_owned(),
                    ..InstrumentationScope::default()
                }),
                spans: made,
                ..ScopeSpans::default()
            }],
            ..ResourceSpans::default()
        }],
    }
}

/// An agent's span first, then model calls and tool calls by turns, all of them below it.
fn span(execution: usize, agent: &str, first: usize, place: usize, now: u64) -> Span {
    let id = |of: usize, which: usize| scramble(3 * (first + of) as u64 + which as u64);
    let trace_id = [id(0, 0).to_be_bytes(), id(1, 0).to_be_bytes()].concat();
    let (provider, model, answered_by) = MODELS[execution % MODELS.len()];
    let tool = TOOLS[place % TOOLS.len()];
    let operation = match place {
        0 => "invoke_agent",
        odd if odd % 2 == 1 => "chat",
        _ => "execute_tool",
    };
    let told = format!("{:016x}", id(place, 2));
    let mut attributes = vec![
        text("gen_ai.operation.name", operation),
        text("gen_ai.agent.name", agent),
        text("gen_ai.agent.id", "asst_5j66UpCpwteGg4YSxUnt7lPY"),
        text("gen_ai.conversation.id", &format!("conv_{:016x}", id(0, 2))),
        text("tenant.id", ["acme", "globex", "initech"][execution % 3]),
        text(
            "user.id",
            &format!("user-{:06}", execution * 7919 % 100_000),
        ),
        text("team", "support-automation"),
        int("thread.id", 140_213_377_214_208),
        text("thread.name", "asyncio_0"),
        text("code.function.name", "agents.runtime.loop.step"),
    ];
    match operation {
        "chat" => attributes.extend([
            text("gen_ai.provider.name", provider),
            text("gen_ai.request.model", model),
            text("gen_ai.response.model", answered_by),
            text("gen_ai.response.id", &format!("chatcmpl-{told}")),
            attribute(
                "gen_ai.response.finish_reasons",
                Value::ArrayValue(ArrayValue {
                    values: vec![AnyValue {
                        value: Some(Value::StringValue("tool_calls".to_owned())),
                    }],
                }),
            ),
            attribute("gen_ai.request.temperature", Value::DoubleValue(0.2)),
            int("gen_ai.request.max_tokens", 4_096),
            int("gen_ai.usage.input_tokens", 1_200 + 97 * place as u64),
            int("gen_ai.usage.cache_read.input_tokens", 512),
            int("gen_ai.usage.output_tokens", 85 + place as u64),
            text("server.address", "api.example-models.com"),
            int("server.port", 443),
        ]),
        "execute_tool" => attributes.extend([
            text("gen_ai.tool.name", tool),
            text("gen_ai.tool.type", "function"),
            text("gen_ai.tool.call.id", &format!("call_{told}")),
            text(
                "gen_ai.tool.description",
                "Looks up what is known of an order, its items and where it is now",
            ),
            text("flyball.tool.effect", "read_only"),
            int("tool.rows", 17 + place as u64),
            text(
                "tool.source",
                "postgresql://orders-replica.internal:5432/orders",
            ),
            int("flyball.step", place as u64 / 2),
        ]),
        _ => attributes.extend([
            text("gen_ai.provider.name", provider),
            text("gen_ai.agent.version", "14"),
            text(
                "gen_ai.agent.description",
                "Answers what customers ask about their orders",
            ),
            text("flyball.termination", "success"),
        ]),
    }
    let start = now - LONGEST + 50_000_000 * place as u64;
    Span {
        trace_id,
        span_id: id(place, 1).to_be_bytes().to_vec(),
        parent_span_id: match place {
            0 => Vec::new(),
            _ => id(0, 1).to_be_bytes().to_vec(),
        },
        name: match operation {
            "chat" => format!("chat {model}"),
            "execute_tool" => format!("execute_tool {tool}"),
            _ => format!("invoke_agent {agent}"),
        },
        kind: if operation == "chat" { 3 } else { 1 },
        start_time_unix_nano: start,
        end_time_unix_nano: match place {
            0 => now,
            _ => start + 40_000_000,
        },
        attributes,
        status: Some(Status {
            code: 1,
            ..Status::default()
        }),
        flags: 0x101,
        ..Span::default()
    }
}
