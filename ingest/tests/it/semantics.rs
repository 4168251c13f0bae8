//! The corpus of `fixtures/semantics`: for each convention, traces and the right answer, derived by hand. Each case
//! comes out the same whatever the order and grouping of its spans.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use flyball_ingest::resolver::{Options, Resolver};
use flyball_ingest::{Limits, normalise, otlp};
use flyball_pricing::Book;
use flyball_store::Encoding;
use flyball_store::rows::{ChargeRow, Row, SpanRow};
use rust_decimal::Decimal;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::journal::{Journal, SECOND, resolve};

/// 2026-11-21T12:00:00Z, when every case begins: nanoseconds since 1970.
const BEGINNING: i64 = 1_795_262_400 * SECOND;
/// Traces of at most so many spans are sent in every order there is.
const EVERY_ORDER: usize = 3;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    convention: String,
    about: String,
    cases: Vec<Case>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    why: String,
    resource: Map<String, Value>,
    spans: Vec<Span>,
    answer: Answer,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Span {
    id: u64,
    parent: Option<u64>,
    name: String,
    at_ms: [i64; 2],
    scope: Option<String>,
    error: Option<String>,
    resource: Option<Map<String, Value>>,
    attributes: Map<String, Value>,
    #[serde(default)]
    events: Vec<Event>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Event {
    name: String,
    attributes: Map<String, Value>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    calls: Vec<Call>,
    #[serde(default)]
    tool_calls: Vec<ToolCall>,
}

/// A billed call. What is absent is NULL, except for the cost, which is then not compared.
#[derive(Debug, Default, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Call {
    span: u64,
    #[serde(default = "model_call")]
    kind: String,
    #[serde(default = "by_call")]
    billed_by: String,
    operation: Option<String>,
    provider: Option<String>,
    model: Option<String>,
    usage: Option<String>,
    input_tokens: Option<i64>,
    cache_read_tokens: Option<i64>,
    cache_write_tokens: Option<i64>,
    cache_write_1h_tokens: Option<i64>,
    audio_input_tokens: Option<i64>,
    image_input_tokens: Option<i64>,
    output_tokens: Option<i64>,
    reasoning_tokens: Option<i64>,
    audio_output_tokens: Option<i64>,
    image_output_tokens: Option<i64>,
    client_cost_usd: Option<Decimal>,
    cost_usd: Option<Decimal>,
    agent_name: Option<String>,
    session_id: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct ToolCall {
    span: u64,
    tool_name: Option<String>,
    agent_name: Option<String>,
}

fn model_call() -> String {
    "model_call".to_owned()
}

fn by_call() -> String {
    "call".to_owned()
}

impl Call {
    fn of(row: &ChargeRow) -> Self {
        Self {
            span: id(&row.span_id),
            kind: row.kind.clone(),
            billed_by: row.billed_by.clone().unwrap_or_default(),
            operation: row.operation.clone(),
            provider: row.provider.clone(),
            model: row
                .response_model
                .clone()
                .or_else(|| row.request_model.clone()),
            usage: row.usage.clone(),
            input_tokens: row.input_tokens,
            cache_read_tokens: row.cache_read_tokens,
            cache_write_tokens: row.cache_write_tokens,
            cache_write_1h_tokens: row.cache_write_1h_tokens,
            audio_input_tokens: row.audio_input_tokens,
            image_input_tokens: row.image_input_tokens,
            output_tokens: row.output_tokens,
            reasoning_tokens: row.reasoning_tokens,
            audio_output_tokens: row.audio_output_tokens,
            image_output_tokens: row.image_output_tokens,
            client_cost_usd: row.client_cost_usd.map(|cost| cost.normalize()),
            cost_usd: row.cost_usd.map(|cost| cost.normalize()),
            agent_name: row.agent_name.clone(),
            session_id: row.session_id.clone(),
        }
    }

    fn counts(&self) -> [Option<i64>; 10] {
        [
            self.input_tokens,
            self.cache_read_tokens,
            self.cache_write_tokens,
            self.cache_write_1h_tokens,
            self.audio_input_tokens,
            self.image_input_tokens,
            self.output_tokens,
            self.reasoning_tokens,
            self.audio_output_tokens,
            self.image_output_tokens,
        ]
    }
}

fn id(hex: &str) -> u64 {
    u64::from_str_radix(hex, 16).unwrap()
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/semantics")
}

/// Every file of the corpus, by its path's order.
fn files() -> Vec<File> {
    let entries = std::fs::read_dir(folder()).unwrap();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| {
        path.extension()
            .is_some_and(|extension| extension == "json")
    });
    paths.sort();
    let read = |path: &PathBuf| {
        let file: File = serde_json::from_slice(&std::fs::read(path).unwrap())
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert_eq!(
            path.file_stem().and_then(|stem| stem.to_str()),
            Some(file.convention.as_str())
        );
        assert!(!file.about.is_empty());
        file
    };
    paths.iter().map(read).collect()
}

/// An attribute's value in OTLP/JSON: numbers with a point are doubles, the others integers.
fn any_value(value: &Value) -> Value {
    match value {
        Value::String(text) => json!({ "stringValue": text }),
        Value::Bool(flag) => json!({ "boolValue": flag }),
        Value::Number(number) if number.is_i64() => json!({ "intValue": number.to_string() }),
        Value::Number(number) => json!({ "doubleValue": number }),
        Value::Array(items) => {
            json!({ "arrayValue": { "values": items.iter().map(any_value).collect::<Vec<_>>() } })
        }
        Value::Object(fields) => json!({ "kvlistValue": { "values": attributes(fields) } }),
        Value::Null => json!({}),
    }
}

fn attributes(fields: &Map<String, Value>) -> Value {
    let pair = |(key, value): (&String, &Value)| json!({ "key": key, "value": any_value(value) });
    fields.iter().map(pair).collect()
}

/// A span as an exporter would send it, in a request of its own: as OTLP/JSON.
fn request(case: &Case, span: &Span) -> Value {
    let nanos = |ms: i64| (BEGINNING + ms * 1_000_000).to_string();
    let mut sent = json!({
        "traceId": format!("{:032x}", 0xf1a_u64),
        "spanId": format!("{:016x}", span.id),
        "name": span.name,
        "startTimeUnixNano": nanos(span.at_ms[0]),
        "endTimeUnixNano": nanos(span.at_ms[1]),
        "attributes": attributes(&span.attributes),
        "events": span.events.iter().map(|event| json!({
            "name": event.name,
            "timeUnixNano": nanos(span.at_ms[1]),
            "attributes": attributes(&event.attributes),
        })).collect::<Vec<_>>(),
    });
    if let Some(parent) = span.parent {
        sent["parentSpanId"] = json!(format!("{parent:016x}"));
    }
    if let Some(message) = &span.error {
        sent["status"] = json!({ "code": 2, "message": message });
    }
    let resource = span.resource.as_ref().unwrap_or(&case.resource);
    let scope = span.scope.as_deref().unwrap_or_default();
    json!({ "resourceSpans": [{
        "resource": { "attributes": attributes(resource) },
        "scopeSpans": [{ "scope": { "name": scope }, "spans": [sent] }],
    }] })
}

fn rows(case: &Case) -> Vec<SpanRow> {
    let row = |span: &Span| {
        let body = request(case, span).to_string();
        let body = body.as_bytes();
        let normalised = otlp::traces(body, Encoding::Json, Limits::NONE, |request| {
            normalise::spans(request, BEGINNING + SECOND, &[])
        })
        .unwrap();
        assert_eq!(normalised.rejected, []);
        SpanRow::read(&normalised.spans).unwrap()
    };
    case.spans.iter().flat_map(row).collect()
}

/// Orders to send so many spans in: all of them when they are few, else back, and forth from each of them.
fn orders(count: usize) -> Vec<Vec<usize>> {
    if count <= EVERY_ORDER {
        return permutations((0..count).collect());
    }
    let from = |first: usize| (0..count).map(|at| (first + at) % count).collect();
    let back = (0..count).rev().collect();
    (0..count).map(from).chain([back]).collect()
}

fn permutations(of: Vec<usize>) -> Vec<Vec<usize>> {
    if of.len() < 2 {
        return vec![of];
    }
    let with_first = |at: usize| {
        let mut rest = of.clone();
        let first = rest.remove(at);
        let append = move |mut tail: Vec<usize>| {
            tail.insert(0, first);
            tail
        };
        permutations(rest).into_iter().map(append)
    };
    (0..of.len()).flat_map(with_first).collect()
}

/// The same spans in the ways in which they may come: at once, two by two, one by one, and all of them again.
fn deliveries(rows: &[SpanRow]) -> Vec<Vec<Vec<SpanRow>>> {
    let mut deliveries = Vec::new();
    for order in orders(rows.len()) {
        let rows: Vec<SpanRow> = order.iter().map(|at| rows[*at].clone()).collect();
        for size in [1, 2, rows.len()] {
            deliveries.push(rows.chunks(size).map(<[_]>::to_vec).collect());
        }
    }
    let one_by_one = rows.iter().chain(rows).map(|row| vec![row.clone()]);
    deliveries.push(one_by_one.collect());
    deliveries
}

fn charged(book: &Arc<Book>, requests: &[Vec<SpanRow>]) -> Journal {
    let mut resolver = Resolver::new("default", Arc::clone(book), &Options::default());
    resolve(&mut resolver, requests)
}

/// What came out other than the answer says; nothing when all is well.
fn differences(case: &Case, journal: &Journal) -> Vec<String> {
    let standing = journal.standing();
    let told = |kinds: &[&str]| -> Vec<&ChargeRow> {
        standing
            .iter()
            .filter(|row| kinds.contains(&row.kind.as_str()))
            .collect()
    };
    let mut calls: BTreeMap<u64, Call> = told(&["model_call", "embedding", "rerank"])
        .iter()
        .map(|row| (id(&row.span_id), Call::of(row)))
        .collect();
    let mut wrong = Vec::new();
    for expected in &case.answer.calls {
        match calls.remove(&expected.span) {
            None => wrong.push(format!("span {} does not bill", expected.span)),
            Some(mut call) => {
                if expected.cost_usd.is_none() {
                    call.cost_usd = None;
                }
                if call != *expected {
                    wrong.push(format!("\n   got  {call:?}\n   want {expected:?}"));
                }
            }
        }
    }
    wrong.extend(calls.keys().map(|span| format!("span {span} bills")));
    let mut tools: Vec<ToolCall> = told(&["tool_call"])
        .iter()
        .map(|row| ToolCall {
            span: id(&row.span_id),
            tool_name: row.tool_name.clone(),
            agent_name: row.agent_name.clone(),
        })
        .collect();
    tools.sort_unstable_by_key(|tool| tool.span);
    let expected: Vec<ToolCall> = case
        .answer
        .tool_calls
        .iter()
        .map(|tool| ToolCall {
            agent_name: tool.agent_name.clone().or(Some("shop".to_owned())),
            ..tool.clone()
        })
        .collect();
    if tools != expected {
        wrong.push(format!("\n   got  {tools:?}\n   want {expected:?}"));
    }
    wrong.extend(unbalanced(case, journal));
    wrong
}

/// The journal's sums, entries taken back and all, against the sums of the answer.
fn unbalanced(case: &Case, journal: &Journal) -> Option<String> {
    let add = |mut sums: [i64; 10], call: Call| {
        for (sum, count) in sums.iter_mut().zip(call.counts()) {
            *sum += count.unwrap_or(0);
        }
        sums
    };
    let calls = |row: &&ChargeRow| !["tool_call", "execution"].contains(&row.kind.as_str());
    let got = journal.rows.iter().filter(calls).map(Call::of);
    let got = got.fold(Default::default(), add);
    let want = case.answer.calls.iter().cloned();
    let want = want.fold(Default::default(), add);
    (got != want).then(|| format!("the journal sums to {got:?}, not to {want:?}"))
}

#[test]
fn every_case_comes_out_as_its_answer_says_in_every_order_and_grouping() {
    let book = Arc::new(Book::builtin().unwrap());
    let mut wrong = Vec::new();
    let mut cases = 0;
    for file in files() {
        for case in &file.cases {
            cases += 1;
            assert!(!case.why.is_empty(), "{}", case.name);
            let rows = rows(case);
            let label = format!("{}: {}", file.convention, case.name);
            for (way, requests) in deliveries(&rows).iter().enumerate() {
                let found = differences(case, &charged(&book, requests));
                if !found.is_empty() {
                    wrong.push(format!("{label}, delivery {way}: {}", found.join("; ")));
                    break;
                }
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {cases} cases come out wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[test]
fn no_case_is_there_twice() {
    for file in files() {
        let mut names: Vec<&str> = file.cases.iter().map(|case| case.name.as_str()).collect();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count, "{}", file.convention);
    }
}

#[test]
fn every_case_that_the_docs_refer_to_exists() {
    let docs = folder().join("../../../../docs/token-semantics.md");
    let text = std::fs::read_to_string(docs).unwrap();
    let files = files();
    let quoted = text.split('`').skip(1).step_by(2);
    let mut known = 0;
    for (file, case) in quoted.filter_map(|quoted| quoted.split_once(':')) {
        // A reference may be broken over two lines.
        let exists = files
            .iter()
            .filter(|known| known.convention == file)
            .any(|known| known.cases.iter().any(|known| known.name == case.trim()));
        assert!(exists, "{file}: {case}");
        known += 1;
    }
    assert!(known > 20, "{known}");
}
