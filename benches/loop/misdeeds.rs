//! Agents that go wrong, each in one of three ways, and what the built-in rules are to do about it.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message as _;

use crate::traffic::nanos;

/// What every call asks: 10 US dollars a million output tokens.
const MODEL: &str = "gpt-4o";

/// How an agent goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Misdeed {
    /// 25 US dollars in one call: past the hard limit of 20 a minute.
    Overrun,
    /// The same tool call with the same input, again and again, its model deciding on each.
    Loop,
    /// 7 US dollars in one call: past 5 a minute.
    Haste,
}

impl Misdeed {
    /// All, in turn.
    pub(crate) const ALL: [Self; 3] = [Self::Overrun, Self::Loop, Self::Haste];

    /// The built-in rule that is to act.
    pub(crate) fn rule(self) -> &'static str {
        match self {
            Self::Overrun => "spend-hard-limit",
            Self::Loop => "runaway-loop",
            Self::Haste => "spend-rate-high",
        }
    }

    /// The state that it is to set.
    pub(crate) fn state(self) -> &'static str {
        match self {
            Self::Overrun | Self::Loop => "frozen",
            Self::Haste => "throttled",
        }
    }
}

/// One agent in one execution.
#[derive(Debug, Clone)]
pub(crate) struct Agent {
    pub(crate) name: String,
    pub(crate) misdeed: Misdeed,
    trace_id: [u8; 16],
}

impl Agent {
    /// The agent of this number; names and ids are its own within a run.
    pub(crate) fn new(number: u32) -> Self {
        let misdeed = Misdeed::ALL[number as usize % Misdeed::ALL.len()];
        let mut trace_id = [0xb5; 16];
        trace_id[12..].copy_from_slice(&number.to_be_bytes());
        Self {
            name: format!("trial-{number:05}"),
            misdeed,
            trace_id,
        }
    }

    /// Its execution.
    pub(crate) fn execution(&self) -> String {
        format!("run-of-{}", self.name)
    }

    /// What it does while all is well: calls for a few cents, and steps of a loop that may yet end.
    pub(crate) fn well(&self) -> Vec<u8> {
        let steps = match self.misdeed {
            Misdeed::Loop => 6,
            Misdeed::Overrun | Misdeed::Haste => 3,
        };
        self.steps(0, steps, 1_000)
    }

    /// The request with which it goes wrong.
    pub(crate) fn bad(&self) -> Vec<u8> {
        match self.misdeed {
            Misdeed::Overrun => self.steps(3, 1, 2_500_000),
            Misdeed::Loop => self.steps(6, 4, 1_000),
            Misdeed::Haste => self.steps(3, 1, 700_000),
        }
    }

    /// Model calls of so many output tokens, each followed by a tool call.
    fn steps(&self, first: u64, count: u64, output_tokens: i64) -> Vec<u8> {
        let steps = first..first + count;
        let spans = steps.flat_map(|step| {
            // Steps of one request ended one after the other, the last just now.
            let ago = (first + count - 1 - step) * 2_000_000;
            let tool = self.span(2 * step + 1, ago, &self.tool_call(step));
            let model = self.span(2 * step, ago + 1_000_000, &model_call(output_tokens));
            [model, tool]
        });
        let request = ExportTraceServiceRequest {
            resource_spans: vec![ResourceSpans {
                scope_spans: vec![ScopeSpans {
                    spans: spans.collect(),
                    ..ScopeSpans::default()
                }],
                ..ResourceSpans::default()
            }],
        };
        request.encode_to_vec()
    }

    /// A tool call; one that loops asks the same each time.
    fn tool_call(&self, step: u64) -> Vec<KeyValue> {
        let asked = match self.misdeed {
            Misdeed::Loop => 0,
            Misdeed::Overrun | Misdeed::Haste => step,
        };
        vec![
            text("gen_ai.operation.name", "execute_tool"),
            text("gen_ai.tool.name", "search"),
            text("flyball.tool.input_hash", &format!("{asked:064x}")),
        ]
    }

    fn span(&self, number: u64, ended_ago: u64, attributes: &[KeyValue]) -> Span {
        let end = nanos() - ended_ago;
        let mut attributes = attributes.to_vec();
        attributes.push(text("gen_ai.agent.name", &self.name));
        attributes.push(text("flyball.execution.id", &self.execution()));
        Span {
            trace_id: self.trace_id.to_vec(),
            span_id: (number + 1).to_be_bytes().to_vec(),
            // Of the agent's own span, which ends last.
            parent_span_id: vec![0xff; 8],
            name: "step".to_owned(),
            start_time_unix_nano: end - 500_000,
            end_time_unix_nano: end,
            attributes,
            ..Span::default()
        }
    }
}

fn model_call(output_tokens: i64) -> Vec<KeyValue> {
    vec![
        text("gen_ai.operation.name", "chat"),
        text("gen_ai.provider.name", "openai"),
        text("gen_ai.request.model", MODEL),
        int("gen_ai.usage.input_tokens", 1_000),
        int("gen_ai.usage.output_tokens", output_tokens),
    ]
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

fn int(key: &str, value: i64) -> KeyValue {
    attribute(key, Value::IntValue(value))
}
