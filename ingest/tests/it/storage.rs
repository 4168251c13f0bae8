//! A day of agents in small requests: how many files and bytes it is once it has been compacted.
//!
//! `FLYBALL_SPANS=1000000` is the long form; `FLYBALL_KEEP=DIR` leaves the tables in a folder to look at.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use flyball_ingest::{Ingest, Limits, Replay, Sink};
use flyball_store::{Config, Encoding, Maintenance, Origin, Store, StoredTable};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use prost::Message as _;

/// 2026-03-02, 08:00.
const MORNING: u64 = 1_772_438_400_000_000_000;
const SPANS_OF_A_REQUEST: usize = 25;

/// A small generator: the same seed, the same day.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn roll(&mut self, sides: u64) -> u64 {
        self.next() % sides
    }

    fn of<'a>(&mut self, words: &[&'a str]) -> &'a str {
        words[self.roll(words.len() as u64) as usize]
    }
}

fn text(key: &str, value: &str) -> KeyValue {
    with(key, any_value::Value::StringValue(value.into()))
}

fn number(key: &str, value: u64) -> KeyValue {
    with(key, any_value::Value::IntValue(value as i64))
}

fn with(key: &str, value: any_value::Value) -> KeyValue {
    KeyValue {
        key: key.into(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}

/// One run of an agent: it thinks and calls tools by turns. Ids are random, as real ones are; no content.
fn run(dice: &mut Dice, begins: u64) -> Vec<Span> {
    let agents = [
        "triage", "refunds", "search", "billing", "research", "coder",
    ];
    let agent = dice.of(&agents);
    let trace: Vec<u8> = [dice.next(), dice.next()].map(u64::to_be_bytes).concat();
    let session = format!("{:016x}{:016x}", dice.next(), dice.next());
    let user = format!("user-{}", dice.roll(5_000));
    let root = dice.next().to_be_bytes().to_vec();
    let model = dice.of(&["gpt-4o-mini", "gpt-4o", "claude-sonnet-4-5"]);
    let (mut spans, mut at, turns) = (Vec::new(), begins + dice.roll(2_000_000), 2 + dice.roll(6));
    for turn in 0..turns {
        for operation in ["chat", "execute_tool"] {
            let took = 50_000_000 + dice.roll(4_000_000_000);
            let mut attributes = vec![
                text("gen_ai.operation.name", operation),
                text("gen_ai.agent.name", agent),
                text("gen_ai.conversation.id", &session),
            ];
            let name = if operation == "chat" {
                attributes.extend([
                    text("gen_ai.provider.name", "openai"),
                    text("gen_ai.request.model", model),
                    text("gen_ai.response.model", model),
                    with(
                        "gen_ai.request.temperature",
                        any_value::Value::DoubleValue(0.2),
                    ),
                    text(
                        "gen_ai.response.finish_reasons",
                        dice.of(&["tool_calls", "stop"]),
                    ),
                    number(
                        "gen_ai.usage.input_tokens",
                        900 + 400 * turn + dice.roll(900),
                    ),
                    number("gen_ai.usage.output_tokens", 20 + dice.roll(400)),
                ]);
                format!("chat {model}")
            } else {
                let tool = dice.of(&["lookup_order", "web_search", "run_sql", "send_mail"]);
                attributes.push(text("gen_ai.tool.name", tool));
                attributes.push(text("gen_ai.tool.type", "function"));
                format!("execute_tool {tool}")
            };
            spans.push(Span {
                trace_id: trace.clone(),
                span_id: dice.next().to_be_bytes().to_vec(),
                parent_span_id: root.clone(),
                name,
                kind: 3,
                start_time_unix_nano: at,
                end_time_unix_nano: at + took,
                attributes,
                status: Some(Status::default()),
                ..Span::default()
            });
            at += took + dice.roll(3_000_000);
        }
    }
    spans.push(Span {
        trace_id: trace,
        span_id: root,
        name: format!("invoke_agent {agent}"),
        kind: 1,
        start_time_unix_nano: begins,
        end_time_unix_nano: at + dice.roll(1_000_000),
        attributes: vec![
            text("gen_ai.operation.name", "invoke_agent"),
            text("gen_ai.agent.name", agent),
            text("gen_ai.conversation.id", &session),
            text("user.id", &user),
        ],
        status: Some(Status::default()),
        ..Span::default()
    });
    spans
}

fn request(spans: Vec<Span>, pod: u64) -> Bytes {
    let resource = Resource {
        attributes: vec![
            text("service.name", "agents"),
            text("service.version", "2.14.1"),
            text("service.instance.id", &format!("agents-{pod}")),
            text("deployment.environment.name", "production"),
            text("telemetry.sdk.language", "python"),
            text("telemetry.sdk.name", "opentelemetry"),
            text("telemetry.sdk.version", "1.38.0"),
        ],
        ..Resource::default()
    };
    let scope = InstrumentationScope {
        name: "opentelemetry.instrumentation.openai_v2".into(),
        version: "2.2".into(),
        ..InstrumentationScope::default()
    };
    let request = ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(resource),
            scope_spans: vec![ScopeSpans {
                scope: Some(scope),
                spans,
                ..ScopeSpans::default()
            }],
            ..ResourceSpans::default()
        }],
    };
    request.encode_to_vec().into()
}

fn spans_table(store: &Store) -> StoredTable {
    let storage = store.storage().unwrap();
    let mut tables = storage.tables.into_iter();
    tables.find(|table| table.table == "spans").unwrap()
}

#[tokio::test]
async fn a_day_of_small_requests_is_few_files_and_few_bytes() {
    let wanted = std::env::var("FLYBALL_SPANS").ok();
    let wanted: usize = wanted.and_then(|n| n.parse().ok()).unwrap_or(20_000);
    let temporary = tempfile::tempdir().unwrap();
    let folder = std::env::var_os("FLYBALL_KEEP").map_or(temporary.path().to_owned(), Into::into);
    let config = Config {
        // About fifty flushes.
        flush_age: Duration::from_secs(3_600),
        maintenance: Maintenance {
            every: Duration::ZERO,
            vacuum_after: Duration::ZERO,
            ..Maintenance::default()
        },
        ..Config::local(folder)
    };
    let store = Store::open(config, Arc::new(Replay::default()))
        .await
        .unwrap();
    let sink: Arc<dyn Sink> = Arc::<Store>::clone(&store);
    let ingest = Ingest::new(sink, Limits::default());

    let mut dice = Dice(7);
    let (mut told, mut otlp_bytes, mut requests, mut flushed) = (0, 0, 0, 0);
    // Runs overlap, so that a request holds spans of several; the day is ten hours long.
    let mut waiting: Vec<Span> = Vec::new();
    while told < wanted {
        while waiting.len() < 40 * SPANS_OF_A_REQUEST && told + waiting.len() < wanted {
            let share = 36_000_000_000_000 / wanted as u64;
            let begins = MORNING + (told + waiting.len()) as u64 * share;
            waiting.extend(run(&mut dice, begins));
        }
        waiting.sort_by_key(|span| span.end_time_unix_nano);
        let rest = waiting.split_off(SPANS_OF_A_REQUEST.min(waiting.len()));
        let spans = std::mem::replace(&mut waiting, rest);
        told += spans.len();
        let body = request(spans, dice.roll(4));
        (otlp_bytes, requests) = (otlp_bytes + body.len(), requests + 1);
        ingest
            .traces(body, Encoding::Protobuf, Origin::Import, "default")
            .await
            .unwrap();
        if told - flushed >= wanted / 50 {
            store.flush().await.unwrap();
            flushed = told;
        }
    }
    store.flush().await.unwrap();
    let before = spans_table(&store);
    let done = store.maintain().await.unwrap();
    let after = spans_table(&store);
    assert_eq!((before.rows, after.rows), (told as u64, told as u64));
    let each = |bytes: u64| bytes as f64 / told as f64;
    println!(
        "{told} spans in {requests} requests: {:.0} bytes a span in OTLP; {} files, {:.1} bytes a span when \
         flushed; {} files, {:.1} bytes a span after compaction, which read {} bytes and wrote {}",
        each(otlp_bytes as u64),
        before.files,
        each(before.bytes),
        after.files,
        each(after.bytes),
        done.bytes_in,
        done.bytes_out
    );
    assert!(before.files >= 50, "{before:?}");
    let large = after.bytes / (64 << 20) + 1;
    assert!(after.files <= 2 * large, "{after:?}");
    assert!(
        // A seventh of what was sent, for so few spans; a span id alone is eight random bytes.
        after.bytes * 7 < otlp_bytes as u64,
        "{after:?}, {otlp_bytes} bytes of OTLP"
    );
    store.close().await.unwrap();
}
