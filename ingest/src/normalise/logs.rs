//! Log records as rows. A record is put into a span's shape and read as a span is, by the same table; one that tells
//! of a call (see [`events`]) becomes a row of `spans` too, and what it carries of content a row of `contents`.

use std::borrow::Cow;

use flyball_otlp::ExportLogsServiceRequest;
use flyball_otlp::common::{KeyValue, Value};
use flyball_otlp::logs::LogRecord;
use flyball_otlp::trace::{Span, Status};
use flyball_store::rows::{ContentRow, Date, LogRow, Micros, SpanRow};
use sha2::{Digest, Sha256};

use super::attributes::{Attributes, find};
use super::content::{Of, Sides};
use super::span::{Resource, Said, Scope, Setting, Told};
use super::{Normalised, Rejected, Rows, json, value};
use crate::conventions::events::{self, Event, Tells};
use crate::conventions::{Read, Side, content_side};

/// Normalises a request. Records whose index is in `skip` (ascending) are passed over, as in [`super::spans`].
#[must_use]
pub fn logs(
    request: &ExportLogsServiceRequest<'_>,
    received_at_unix_nano: i64,
    skip: &[u32],
) -> Normalised {
    let mut rows = Rows::default();
    let mut rejected = Vec::new();
    let mut index = 0u32;
    for group in &request.resource_logs {
        let resource = Resource::of(group.resource.as_ref());
        for scoped in &group.scope_logs {
            let setting = Setting {
                scope: Scope::of(scoped.scope.as_ref()),
                resource: &resource,
                received_at_unix_nano,
            };
            for sent in &scoped.log_records {
                let at = index;
                index += 1;
                if skip.binary_search(&at).is_ok() {
                    continue;
                }
                let record = Record { sent, setting };
                match record.time() {
                    Ok(time) => record.put(time, &mut rows),
                    Err(reason) => rejected.push(Rejected { index: at, reason }),
                }
            }
        }
    }
    rows.told(rejected)
}

/// A record where it stands in its request.
struct Record<'s, 'a> {
    sent: &'s LogRecord<'a>,
    setting: Setting<'s, 'a>,
}

impl<'a> Record<'_, 'a> {
    /// When it happened, nanoseconds since 1970.
    fn time(&self) -> Result<i64, String> {
        let told = [
            ("time_unix_nano", self.sent.time_unix_nano),
            ("observed_time_unix_nano", self.sent.observed_time_unix_nano),
        ];
        let told = told.into_iter().find(|(_, nanos)| *nanos > 0);
        told.map_or(Ok(self.setting.received_at_unix_nano), |(field, nanos)| {
            super::accept::time(field, nanos)
        })
    }

    fn put(&self, time: i64, rows: &mut Rows) {
        let event = self.event();
        let mut row = self.read_as_span(time, event);
        let place = self.place(&row, event);
        row.trace_id = place.trace_id.clone().unwrap_or_default();
        row.span_id.clone_from(&place.record_id);
        row.parent_span_id.clone_from(&place.parent_span_id);
        if let Some(content) = self.content(&row, event) {
            rows.contents.push(content);
        }
        rows.logs.push(self.log_row(&row, time, event, &place));
        if event.is_some_and(|event| !matches!(event.tells, Tells::Said(_) | Tells::Happening))
            && place.trace_id.is_some()
        {
            rows.spans.push(SpanRow {
                signal: Some("log".to_owned()),
                // The record in `logs` has them.
                attributes: None,
                resource: None,
                ..row
            });
        }
    }

    fn event(&self) -> Option<&'static Event> {
        let names = [
            Some(self.sent.event_name).filter(|name| !name.is_empty()),
            self.text("event.name"),
            self.body_text(),
        ];
        events::event(names, self.setting.scope.name_or_empty(), |key| {
            self.text(key)
        })
    }

    /// What its attributes say, in the columns of a span that ended when the record was made.
    fn read_as_span(&self, time: i64, event: Option<&Event>) -> SpanRow {
        let attributes = &self.sent.attributes;
        let millis = find(attributes, events::DURATION_MS)
            .and_then(value::number)
            .filter(|millis| *millis >= 0.0);
        let took = millis.map_or(0, |millis| (millis * 1e6) as i64);
        let succeeded =
            find(attributes, events::SUCCESS).and_then(|told| value::read(told, Read::Flag));
        let failed = matches!(event.map(|event| event.tells), Some(Tells::Failure(_)))
            || succeeded == Some(value::Found::Flag(false));
        let shape = Span {
            name: self.name(event).unwrap_or("log"),
            status: failed.then_some(Status {
                code: ERROR,
                ..Status::default()
            }),
            ..Span::default()
        };
        let mut keys = Vec::new();
        let attributes = Attributes::of(attributes, &mut keys);
        // A record's name is not a span's: nothing is known of its scope by it.
        let by_attributes = Told::by(&attributes, "", self.setting.scope);
        let told = Told {
            convention: event
                .map(|event| event.convention)
                .or(by_attributes.convention),
            operation: match event.map(|event| event.tells) {
                Some(Tells::Call(operation) | Tells::Failure(operation)) => {
                    Some(Cow::Borrowed(operation))
                }
                _ => by_attributes.operation,
            },
        };
        let said = Said::by(&shape, &attributes, self.setting, told);
        let start = time.saturating_sub(took).max(0);
        said.row(shape.name, (start, time), self.setting)
    }

    /// Where it stands: in the trace it was sent in; else in one of its session's and execution's own, so that what
    /// belongs together is together. The same record stands in the same place whenever it is read.
    fn place(&self, row: &SpanRow, event: Option<&Event>) -> LogPlace {
        let id = |bytes: &[u8], length: usize| {
            (bytes.len() == length && bytes.iter().any(|byte| *byte != 0))
                .then(|| hex::encode(bytes))
        };
        let trace_id = id(self.sent.trace_id, 16);
        let span_id = trace_id
            .is_some()
            .then(|| id(self.sent.span_id, 8))
            .flatten();
        let call = row.response_id.as_deref().or(row.tool_call_id.as_deref());
        let time = row.start_unix_nano.saturating_add(row.duration_ns);
        let record_id = match (event, call, &row.operation) {
            // However often and in whatever batch it is told.
            (Some(event), Some(call), Some(operation)) => {
                hashed::<8>(&[event.name, operation, call])
            }
            _ => {
                let said = object(self.sent.attributes.iter());
                let body = self.body_json().unwrap_or_default();
                let name = self.name(event).unwrap_or_default();
                let time = time.to_string();
                hashed::<8>(&[name, &time, said.as_deref().unwrap_or_default(), &body])
            }
        };
        let home = [row.session_id.as_deref(), row.execution_id.as_deref()];
        let own = || match home {
            // A call has to stand somewhere.
            [None, None] => event
                .is_some_and(|event| matches!(event.tells, Tells::Call(_) | Tells::Failure(_)))
                .then(|| hashed::<16>(&["record", &record_id])),
            [session, execution] => Some(hashed::<16>(&[
                "session",
                session.unwrap_or_default(),
                execution.unwrap_or_default(),
            ])),
        };
        match trace_id {
            Some(trace_id) => LogPlace {
                trace_id: Some(trace_id),
                parent_span_id: span_id.clone(),
                span_id,
                record_id,
            },
            None => {
                let trace_id = own();
                // A parent that nobody tells keeps the trace open for as long as more may come.
                let parent_span_id = trace_id.as_deref().map(|trace| hashed::<8>(&[trace]));
                LogPlace {
                    trace_id,
                    span_id: None,
                    parent_span_id,
                    record_id,
                }
            }
        }
    }

    fn content(&self, row: &SpanRow, event: Option<&Event>) -> Option<ContentRow> {
        let mut sides = Sides::default();
        for kv in &self.sent.attributes {
            if let (Some(side), Some(value)) = (side(event, kv.key), &kv.value) {
                sides.put(side, Cow::Borrowed(kv.key), value);
            }
        }
        if let Some(Tells::Said(side)) = event.map(|event| event.tells)
            && let Some(body) = &self.sent.body
        {
            sides.put(side, Cow::Borrowed("body"), body);
        }
        // What nobody can look up by its trace is looked up by nobody.
        let traced = !row.trace_id.is_empty();
        let of = Of {
            start: row.start_unix_nano,
            trace_id: &row.trace_id,
            span_id: &row.span_id,
            of_span_id: row.parent_span_id.clone(),
        };
        sides.row(of).filter(|_| traced)
    }

    fn log_row(&self, row: &SpanRow, time: i64, event: Option<&Event>, place: &LogPlace) -> LogRow {
        let number = |key| find(&self.sent.attributes, key).and_then(value::number);
        let text = |key| {
            let found = find(&self.sent.attributes, key).and_then(value::text);
            found.map(Cow::into_owned)
        };
        let is_content = matches!(event.map(|event| event.tells), Some(Tells::Said(_)));
        let attributes = self
            .sent
            .attributes
            .iter()
            .filter(|kv| side(event, kv.key).is_none());
        let row = row.clone();
        LogRow {
            date: Date::of_nanos(time),
            time: Micros::of_nanos(time),
            time_unix_nano: time,
            received_at: row.received_at,
            trace_id: place.trace_id.clone(),
            span_id: place.span_id.clone(),
            record_id: place.record_id.clone(),
            event_name: self.name(event).map(str::to_owned),
            severity: severity(self.sent.severity_number),
            body: self
                .body_json()
                .filter(|body| !(is_content || self.name(event) == Some(body))),
            scope_name: row.scope_name,
            service_name: row.service_name,
            convention: row.convention,
            operation: row.operation,
            agent_name: row.agent_name,
            agent_id: row.agent_id,
            session_id: row.session_id,
            user_id: row.user_id,
            tenant: row.tenant,
            team: row.team,
            environment: row.environment,
            execution_id: row.execution_id,
            provider: row.provider,
            request_model: row.request_model,
            response_model: row.response_model,
            response_id: row.response_id,
            usage: row.usage,
            input_tokens: row.input_tokens,
            output_tokens: row.output_tokens,
            client_cost_usd: row.client_cost_usd,
            tool_name: row.tool_name,
            tool_call_id: row.tool_call_id,
            error_type: row.error_type,
            evaluation_name: text("gen_ai.evaluation.name"),
            evaluation_score: number("gen_ai.evaluation.score.value"),
            evaluation_label: text("gen_ai.evaluation.score.label"),
            tool_decision: events::TOOL_DECISION.iter().find_map(|key| text(key)),
            attributes: object(attributes),
            resource: row.resource,
            log_position: 0,
        }
    }

    /// The event's name: the known one in full, else as it was sent.
    fn name(&self, event: Option<&Event>) -> Option<&'a str> {
        let sent = Some(self.sent.event_name).filter(|name| !name.is_empty());
        event
            .map(|event| event.name)
            .or(sent)
            .or_else(|| self.text("event.name"))
    }

    fn text(&self, key: &str) -> Option<&'a str> {
        match find(&self.sent.attributes, key) {
            Some(Value::String(text)) => Some(text),
            _ => None,
        }
    }

    fn body_text(&self) -> Option<&'a str> {
        match &self.sent.body {
            Some(Value::String(text)) => Some(text),
            _ => None,
        }
    }

    /// The body: a text as it is, anything else as JSON.
    fn body_json(&self) -> Option<String> {
        match self.sent.body.as_ref()? {
            Value::String("") => None,
            Value::String(text) => Some((*text).to_owned()),
            other => Some(json::of(other).to_string()),
        }
    }
}

/// The status of what failed, by its number in the protocol.
const ERROR: i32 = 2;

fn object<'s, 'a: 's>(attributes: impl Iterator<Item = &'s KeyValue<'a>>) -> Option<String> {
    json::object(attributes.map(|kv| (kv.key, kv.value.as_ref())))
}

/// Where a record stands.
struct LogPlace {
    trace_id: Option<String>,
    /// The span it was sent in.
    span_id: Option<String>,
    /// What the span that it may become stands under.
    parent_span_id: Option<String>,
    record_id: String,
}

/// On which side of the content an attribute of a record stands; `None` when it is no content.
fn side(event: Option<&Event>, key: &str) -> Option<Side> {
    let of_event = event.and_then(|event| events::content_of_event(event, key));
    of_event.or_else(|| content_side(key))
}

/// The first bytes of a SHA-256 over texts, in hex; their lengths keep apart what would run together.
fn hashed<const N: usize>(texts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for text in texts {
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text);
    }
    let digest: [u8; 32] = hash.finalize().into();
    hex::encode(&digest[..N])
}

/// The word for a severity number; of the four of each word none is told apart.
fn severity(number: i32) -> Option<String> {
    let word = match number {
        1..=4 => "trace",
        5..=8 => "debug",
        9..=12 => "info",
        13..=16 => "warn",
        17..=20 => "error",
        21..=24 => "fatal",
        _ => return None,
    };
    Some(word.to_owned())
}
