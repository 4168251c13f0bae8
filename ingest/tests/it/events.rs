//! What log records tell: read like spans, and billed once whatever else tells of the same call.

use flyball_ingest::resolver::Resolver;
use flyball_ingest::{Limits, normalise, otlp};
use flyball_store::Encoding;
use flyball_store::rows::{ChargeRow, ContentRow, LogRow, Row, SpanRow};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use prost::Message;
use serde_json::{Value, json};

use crate::journal::{Journal, SECOND, Totals, told, totals};
use crate::scene::resolver;

const RECEIVED: i64 = 1_795_000_000 * SECOND;

/// Attributes in OTLP/JSON, whole numbers as Claude Code sends them: in strings.
fn attributes(of: Value) -> Value {
    let of = of.as_object().unwrap();
    let value = |value: &Value| match value {
        Value::Number(number) if number.is_i64() => json!({ "intValue": number.to_string() }),
        Value::Number(number) => json!({ "doubleValue": number }),
        Value::Bool(flag) => json!({ "boolValue": flag }),
        other => json!({ "stringValue": other.as_str().unwrap() }),
    };
    of.iter()
        .map(|(key, of)| json!({ "key": key, "value": value(of) }))
        .collect()
}

/// A request of log records of one scope.
fn request(scope: &str, records: &[Value]) -> Vec<u8> {
    let request = json!({ "resourceLogs": [{
        "resource": { "attributes": attributes(json!({ "service.name": "coder", "team": "red" })) },
        "scopeLogs": [{ "scope": { "name": scope }, "logRecords": records }],
    }]});
    serde_json::to_vec(&request).unwrap()
}

fn record(seconds: i64, more: Value) -> Value {
    let mut record = json!({ "timeUnixNano": (RECEIVED + seconds * SECOND).to_string() });
    let fields = record.as_object_mut().unwrap();
    fields.extend(more.as_object().unwrap().clone());
    record
}

fn normalised(body: Vec<u8>) -> normalise::Normalised {
    let normalised = normalised_as(&body, Encoding::Json, &[]);
    assert_eq!(normalised.rejected, []);
    normalised
}

fn normalised_as(body: &[u8], encoding: Encoding, skip: &[u32]) -> normalise::Normalised {
    otlp::logs(body, encoding, Limits::default(), |request| {
        normalise::logs(request, RECEIVED, skip)
    })
    .unwrap()
}

fn spans(body: Vec<u8>) -> Vec<SpanRow> {
    SpanRow::read(&normalised(body).spans).unwrap()
}

fn logs(body: Vec<u8>) -> Vec<LogRow> {
    LogRow::read(&normalised(body).logs.unwrap()).unwrap()
}

const CLAUDE_CODE: &str = "com.anthropic.claude_code.events";

/// What Claude Code logs of one call to a model.
fn api_request(seconds: i64, request: &str) -> Value {
    let attributes = attributes(json!({
        "event.name": "api_request", "session.id": "s1", "prompt.id": "p1", "user.account_uuid": "u1",
        "model": "claude-sonnet-4-5", "input_tokens": 10, "output_tokens": 200, "cache_read_tokens": 1_000,
        "cache_creation_tokens": 50, "cost_usd": 0.0125, "duration_ms": 2_500, "request_id": request,
    }));
    record(
        seconds,
        json!({ "body": { "stringValue": "claude_code.api_request" }, "attributes": attributes }),
    )
}

fn feed(resolver: &mut Resolver, journal: &mut Journal, rows: &[SpanRow], position: u64) {
    let now = RECEIVED + position as i64 * SECOND;
    journal.take(resolver.spans(&[told(rows, position)], now).unwrap());
}

/// Sums over the journal as it is, reversals and all, without the executions.
fn sums(journal: &Journal) -> Totals {
    totals(journal.rows.iter().filter(|row| row.kind == "model_call"))
}

fn standing_of(kind: &str, journal: &Journal) -> Vec<ChargeRow> {
    let mut standing = journal.standing();
    standing.retain(|row| row.kind == kind);
    standing
}

#[test]
fn an_agent_that_only_logs_is_charged_by_its_events() {
    let body = request(CLAUDE_CODE, &[api_request(3, "r1"), api_request(9, "r2")]);
    let rows = spans(body.clone());
    assert_eq!(rows.len(), 2);
    let row = &rows[0];
    // Its input tokens leave out what a cache took part in: 10 + 1,000 + 50.
    assert_eq!(
        (
            row.input_tokens,
            row.cache_read_tokens,
            row.cache_write_tokens,
            row.output_tokens
        ),
        (Some(1_060), Some(1_000), Some(50), Some(200))
    );
    assert_eq!(row.usage.as_deref(), Some("exact"));
    assert_eq!(row.signal.as_deref(), Some("log"));
    assert_eq!(row.provider.as_deref(), Some("anthropic"));
    assert_eq!(row.session_id.as_deref(), Some("s1"));
    assert_eq!(row.team.as_deref(), Some("red"));
    assert_eq!(row.duration_ns, 2_500_000_000);
    assert_eq!(row.start_unix_nano, RECEIVED + 3 * SECOND - 2_500_000_000);
    assert_eq!(
        rows[0].trace_id, rows[1].trace_id,
        "of one session and prompt"
    );

    let records = logs(body);
    assert_eq!(
        records[0].event_name.as_deref(),
        Some("claude_code.api_request")
    );
    assert_eq!(records[0].body, None, "it only repeats the name");
    assert_eq!(records[0].record_id, row.span_id);
    assert_eq!(records[0].trace_id.as_ref(), Some(&row.trace_id));

    let mut journal = Journal::default();
    let mut resolver = resolver();
    feed(&mut resolver, &mut journal, &rows, 1);
    // The exporter was not sure that the first batch had arrived, and puts the second record into another one.
    let again = spans(request(CLAUDE_CODE, &[api_request(9, "r2")]));
    feed(&mut resolver, &mut journal, &again, 2);
    journal.take(resolver.settle_all(RECEIVED + 60 * SECOND).unwrap());
    let calls = standing_of("model_call", &journal);
    let sums = totals(&calls);
    assert_eq!((sums.calls, sums.input, sums.output), (2, 2_120, 400));
    assert_eq!(calls[0].agent_name.as_deref(), Some("coder"));
    assert_eq!(standing_of("execution", &journal).len(), 1);
}

/// The same call as a span, in a trace of its own.
fn as_span(request: &str) -> SpanRow {
    let mut row = spans(self::request(CLAUDE_CODE, &[api_request(3, request)])).remove(0);
    row.trace_id = format!("{:032x}", 77);
    row.span_id = format!("{:016x}", 5);
    row.parent_span_id = None;
    row.signal = None;
    row
}

#[test]
fn a_call_told_by_an_event_and_by_a_span_of_another_trace_is_billed_once() {
    let event = spans(request(CLAUDE_CODE, &[api_request(3, "r1")]));
    let span = vec![as_span("r1")];
    for (first, second) in [(&event, &span), (&span, &event)] {
        for settled_between in [false, true] {
            let (mut journal, mut resolver) = (Journal::default(), resolver());
            let mut shelf = Vec::new();
            feed(&mut resolver, &mut journal, first, 1);
            shelf.extend(first.iter().cloned());
            if settled_between {
                journal.take(resolver.settle_all(RECEIVED + 2 * SECOND).unwrap());
            }
            feed(&mut resolver, &mut journal, second, 2);
            shelf.extend(second.iter().cloned());
            look_up(&mut resolver, &mut journal, &shelf);
            journal.take(resolver.settle_all(RECEIVED + 60 * SECOND).unwrap());
            let sums = sums(&journal);
            assert_eq!(
                (sums.calls, sums.input, sums.output),
                (1, 1_060, 200),
                "settled between: {settled_between}"
            );
            let calls = standing_of("model_call", &journal);
            assert_eq!(calls.len(), 1);
            assert_eq!(calls[0].trace_id, span[0].trace_id, "the span bills");
            assert_eq!(standing_of("execution", &journal).len(), 1);
        }
    }
}

#[test]
fn a_later_record_of_the_same_session_does_not_bring_back_what_a_span_bills() {
    let (mut journal, mut resolver) = (Journal::default(), resolver());
    let first = spans(request(CLAUDE_CODE, &[api_request(3, "r1")]));
    feed(&mut resolver, &mut journal, &first, 1);
    feed(&mut resolver, &mut journal, &[as_span("r1")], 2);
    journal.take(resolver.settle_all(RECEIVED + 5 * SECOND).unwrap());
    let mut shelf = first;
    shelf.push(as_span("r1"));
    // Long after, and in a resolver that was started anew: what it knows of the pair is in the journal.
    let mut anew = self::resolver();
    let (rows, batches) = (journal.rows.clone(), |rows: &[ChargeRow]| {
        vec![ChargeRow::batch(rows).unwrap()]
    });
    let resume = flyball_store::Resume {
        resolved_to: 2,
        ..flyball_store::Resume::default()
    };
    journal.take(anew.resume(&resume, RECEIVED + 100 * SECOND).unwrap());
    let later = spans(request(CLAUDE_CODE, &[api_request(9, "r2")]));
    feed(&mut anew, &mut journal, &later, 3);
    let wanted = anew.wanted();
    assert_eq!(wanted, [later[0].trace_id.clone()]);
    let of_trace: Vec<SpanRow> = shelf
        .into_iter()
        .filter(|row| row.trace_id == later[0].trace_id)
        .collect();
    let held = flyball_store::Resume {
        spans: vec![SpanRow::batch(&of_trace).unwrap()],
        charges: batches(&rows),
        ..flyball_store::Resume::default()
    };
    journal.take(
        anew.reopen(&wanted, &held, RECEIVED + 101 * SECOND)
            .unwrap(),
    );
    journal.take(anew.settle_all(RECEIVED + 200 * SECOND).unwrap());
    assert_eq!(sums(&journal).calls, 2, "r1 by its span, r2 by its event");
}

/// Answers what the resolver asks the store for.
fn look_up(resolver: &mut Resolver, journal: &mut Journal, shelf: &[SpanRow]) {
    let wanted = resolver.wanted();
    if wanted.is_empty() {
        return;
    }
    let of_them = |trace: &String| wanted.contains(trace);
    let spans: Vec<SpanRow> = shelf
        .iter()
        .filter(|row| of_them(&row.trace_id))
        .cloned()
        .collect();
    let charges: Vec<ChargeRow> = journal
        .rows
        .iter()
        .filter(|row| of_them(&row.trace_id))
        .cloned()
        .collect();
    let held = flyball_store::Resume {
        spans: vec![SpanRow::batch(&spans).unwrap()],
        charges: vec![ChargeRow::batch(&charges).unwrap()],
        ..flyball_store::Resume::default()
    };
    journal.take(
        resolver
            .reopen(&wanted, &held, RECEIVED + 3 * SECOND)
            .unwrap(),
    );
}

/// OpenTelemetry's event with the details of an inference, sent within its span.
fn details(seconds: i64, span: Option<u64>, response: &str) -> Value {
    let attributes = attributes(json!({
        "gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4o",
        "gen_ai.response.id": response, "gen_ai.usage.input_tokens": 12, "gen_ai.usage.output_tokens": 3,
        "gen_ai.input.messages": "[{\"role\":\"user\",\"parts\":[]}]",
    }));
    let mut record = record(
        seconds,
        json!({ "eventName": "gen_ai.client.inference.operation.details", "attributes": attributes }),
    );
    let fields = record.as_object_mut().unwrap();
    fields.insert("traceId".to_owned(), json!(format!("{:032x}", 7)));
    if let Some(span) = span {
        fields.insert("spanId".to_owned(), json!(format!("{span:016x}")));
    }
    record
}

#[test]
fn an_events_details_add_nothing_to_the_span_they_were_sent_in_and_bill_where_it_is_missing() {
    let event = spans(request("otel", &[details(3, Some(2), "resp")]));
    let mut span = crate::scene::call(2, 1, 12, 3);
    for response in [Some("resp".to_owned()), None] {
        span.response_id = response;
        for order in [[&event[..], &[span.clone()]], [&[span.clone()], &event[..]]] {
            let (mut journal, mut resolver) = (Journal::default(), resolver());
            for (at, rows) in order.into_iter().enumerate() {
                feed(&mut resolver, &mut journal, rows, at as u64 + 1);
            }
            journal.take(resolver.settle_all(RECEIVED + 60 * SECOND).unwrap());
            let calls = standing_of("model_call", &journal);
            assert_eq!(calls.len(), 1);
            assert_eq!(calls[0].span_id, span.span_id);
            assert_eq!(
                calls[0].response_id.as_deref(),
                Some("resp"),
                "a gap is filled"
            );
            assert_eq!(sums(&journal).input, 12);
        }
    }
    let (mut journal, mut resolver) = (Journal::default(), resolver());
    feed(&mut resolver, &mut journal, &event, 1);
    journal.take(resolver.settle_all(RECEIVED + 60 * SECOND).unwrap());
    assert_eq!(sums(&journal).input, 12, "its span was sampled away");
}

#[test]
fn an_events_content_goes_to_its_own_table_and_says_which_span_it_is_about() {
    let body = request("otel", &[details(3, Some(2), "resp")]);
    let content = ContentRow::read(&normalised(body.clone()).contents.unwrap()).unwrap();
    assert_eq!(content[0].of_span_id.as_deref(), Some("0000000000000002"));
    assert!(
        content[0]
            .input
            .as_ref()
            .unwrap()
            .contains("gen_ai.input.messages")
    );
    let record = &logs(body)[0];
    assert!(
        !record
            .attributes
            .as_ref()
            .unwrap()
            .contains("input.messages")
    );

    let said = record_of_message("gen_ai.user.message", "what is owed?");
    let body = request("strands", &[said]);
    let content = ContentRow::read(&normalised(body.clone()).contents.unwrap()).unwrap();
    assert!(content[0].input.as_ref().unwrap().contains("what is owed?"));
    assert_eq!(
        logs(body)[0].body,
        None,
        "what people said is content, not a log line"
    );
}

fn record_of_message(name: &str, text: &str) -> Value {
    record(
        1,
        json!({
            "eventName": name, "traceId": format!("{:032x}", 7), "spanId": format!("{:016x}", 2),
            "body": { "kvlistValue": { "values": [{ "key": "content", "value": { "stringValue": text } }] } },
        }),
    )
}

#[test]
fn codex_and_gemini_tell_by_events_alone() {
    let codex = attributes(json!({
        "event.name": "codex.sse_event", "event.kind": "response.completed", "conversation.id": "c1",
        "model": "gpt-5-codex", "input_token_count": 900, "cached_token_count": 600, "output_token_count": 80,
        "reasoning_token_count": 30,
    }));
    let other =
        attributes(json!({ "event.name": "codex.sse_event", "event.kind": "response.created" }));
    let rows = spans(request(
        "codex",
        &[
            record(1, json!({ "attributes": codex })),
            record(1, json!({ "attributes": other })),
        ],
    ));
    assert_eq!(rows.len(), 1);
    assert_eq!(
        (
            rows[0].input_tokens,
            rows[0].cache_read_tokens,
            rows[0].output_tokens,
            rows[0].reasoning_tokens
        ),
        (Some(900), Some(600), Some(80), Some(30))
    );
    let gemini = attributes(json!({
        "event.name": "gemini_cli.api_response", "session.id": "g1", "model": "gemini-2.5-pro",
        "input_token_count": 100, "cached_content_token_count": 40, "output_token_count": 20,
        "thoughts_token_count": 5, "duration_ms": 10,
    }));
    let rows = spans(request(
        "gemini-cli",
        &[record(1, json!({ "attributes": gemini }))],
    ));
    // Its output leaves out the thoughts.
    assert_eq!(
        (
            rows[0].input_tokens,
            rows[0].output_tokens,
            rows[0].reasoning_tokens
        ),
        (Some(100), Some(25), Some(5))
    );
    assert_eq!(rows[0].convention.as_deref(), Some("gemini_cli"));
}

#[test]
fn an_evaluation_stands_in_columns_and_costs_nothing() {
    let attributes = attributes(json!({
        "gen_ai.evaluation.name": "relevance", "gen_ai.evaluation.score.value": 0.75,
        "gen_ai.evaluation.score.label": "relevant", "gen_ai.response.id": "resp",
    }));
    let record = record(
        1,
        json!({ "eventName": "gen_ai.evaluation.result", "attributes": attributes }),
    );
    let body = request("evals", &[record]);
    assert_eq!(spans(body.clone()).len(), 0);
    let row = logs(body).remove(0);
    assert_eq!(row.evaluation_name.as_deref(), Some("relevance"));
    assert_eq!(row.evaluation_score, Some(0.75));
    assert_eq!(row.evaluation_label.as_deref(), Some("relevant"));
    assert_eq!(row.response_id.as_deref(), Some("resp"));
}

#[test]
fn protobuf_says_what_json_says() {
    let body = request(
        CLAUDE_CODE,
        &[
            api_request(3, "r1"),
            details(4, Some(9), "resp"),
            record_of_message("gen_ai.choice", "x"),
        ],
    );
    // The protocol crate's own reader of JSON is a second opinion.
    let request: ExportLogsServiceRequest = serde_json::from_slice(&body).unwrap();
    let other = normalised_as(&request.encode_to_vec(), Encoding::Protobuf, &[]);
    assert_eq!(normalised(body).batches(), other.batches());
}

#[test]
fn a_record_with_an_impossible_time_is_refused_alone_and_one_without_a_time_is_as_of_now() {
    let records = [
        json!({ "timeUnixNano": u64::MAX.to_string() }),
        json!({ "body": { "stringValue": "a plain line" }, "traceId": "00" }),
    ];
    let body = request("any", &records);
    let normalised = normalised_as(&body, Encoding::Json, &[]);
    assert_eq!(normalised.rejected.len(), 1);
    assert!(
        normalised.rejected[0]
            .reason
            .starts_with("time_unix_nano is 18446744073709551615")
    );
    let rows = LogRow::read(normalised.logs.as_ref().unwrap()).unwrap();
    assert_eq!((rows.len(), rows[0].time_unix_nano), (1, RECEIVED));
    assert_eq!(rows[0].body.as_deref(), Some("a plain line"));
    assert_eq!(rows[0].trace_id, None, "an id of the wrong length is none");
    let replayed = normalised_as(&body, Encoding::Json, &[0]);
    assert_eq!(replayed.logs, normalised.logs);
}
