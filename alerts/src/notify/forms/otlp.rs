//! OpenTelemetry logs: `POST /v1/logs`, protobuf. Each notice is one record of the event `flyball.alert`.

use chrono::{DateTime, Utc};
use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsServiceRequest, ExportLogsServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, InstrumentationScope, KeyValue, any_value::Value,
};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs, SeverityNumber};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message as _;
use reqwest::{StatusCode, Url};

use super::{below, named};
use crate::notify::http::{Answer, Reply, Request};
use crate::notify::{About, Notice, Secret, Telling};
use crate::rule::Severity;

/// The name of the event.
const EVENT: &str = "flyball.alert";

/// Where it goes.
#[derive(Debug, Clone)]
pub struct Otlp {
    /// What stands before `/v1/logs`.
    pub url: Url,
    /// A bearer token.
    pub secret: Option<Secret>,
}

impl Otlp {
    pub(in crate::notify) fn request(
        &self,
        tellings: &[Telling],
        now: DateTime<Utc>,
    ) -> Result<Request, String> {
        let records = tellings.iter().map(|telling| record(telling, now));
        let logs = ResourceLogs {
            resource: Some(Resource {
                attributes: vec![text("service.name", "flyball")],
                ..Resource::default()
            }),
            scope_logs: vec![ScopeLogs {
                scope: Some(InstrumentationScope {
                    name: "flyball.alerts".to_owned(),
                    version: env!("CARGO_PKG_VERSION").to_owned(),
                    ..InstrumentationScope::default()
                }),
                log_records: records.collect(),
                ..ScopeLogs::default()
            }],
            ..ResourceLogs::default()
        };
        let body = ExportLogsServiceRequest {
            resource_logs: vec![logs],
        };
        Ok(Request {
            url: below(&self.url, "/v1/logs"),
            content_type: "application/x-protobuf",
            headers: Vec::new(),
            bearer: self.secret.clone(),
            body: body.encode_to_vec(),
        })
    }

    /// OTLP says itself what may be sent again: 429, 502, 503 and 504 (and 408, which says so of itself). Records that
    /// were refused while others were taken must not be sent again.
    pub(in crate::notify) fn reply(answer: &Answer) -> Reply {
        const LATER: [StatusCode; 5] = [
            StatusCode::REQUEST_TIMEOUT,
            StatusCode::TOO_MANY_REQUESTS,
            StatusCode::BAD_GATEWAY,
            StatusCode::SERVICE_UNAVAILABLE,
            StatusCode::GATEWAY_TIMEOUT,
        ];
        if LATER.contains(&answer.status) {
            return answer.later();
        }
        if !answer.status.is_success() {
            return answer.refused();
        }
        let partial = ExportLogsServiceResponse::decode(answer.body.as_slice());
        match partial.ok().and_then(|response| response.partial_success) {
            Some(partial) if partial.rejected_log_records > 0 => Reply::Refused {
                reason: format!(
                    "the receiver rejects {} of the records: {}",
                    partial.rejected_log_records,
                    super::cut(&partial.error_message, 200)
                ),
                apart: false,
            },
            _ => Reply::Sent,
        }
    }
}

fn record(
    Telling {
        delivery_id,
        notice,
        since,
    }: &Telling,
    now: DateTime<Utc>,
) -> LogRecord {
    let (number, word) = severity(notice);
    LogRecord {
        time_unix_nano: nanos(
            DateTime::parse_from_rfc3339(&notice.at).map_or(now, |at| at.to_utc()),
        ),
        observed_time_unix_nano: nanos(now),
        severity_number: number.into(),
        severity_text: word.to_owned(),
        body: Some(AnyValue {
            value: Some(Value::StringValue(notice.summary.clone())),
        }),
        attributes: attributes(notice, delivery_id, since),
        event_name: EVENT.to_owned(),
        ..LogRecord::default()
    }
}

fn attributes(notice: &Notice, delivery_id: &str, since: &str) -> Vec<KeyValue> {
    let (name, value) = named(&notice.key);
    let action = notice.action.as_ref();
    let attributes = [
        // A receiver may drop a record whose uid it has: OpenTelemetry's semantic conventions.
        ("log.record.uid", Some(delivery_id)),
        ("flyball.workspace", Some(notice.workspace.as_str())),
        ("flyball.alert.id", Some(notice.alert_id.as_str())),
        ("flyball.alert.status", Some(notice.status.as_str())),
        ("flyball.alert.rule", Some(notice.rule.as_str())),
        ("flyball.alert.severity", Some(notice.severity.as_str())),
        ("flyball.alert.key", Some(notice.key.as_str())),
        ("flyball.alert.since", Some(since)),
        ("flyball.alert.value", notice.value.as_deref()),
        ("flyball.alert.threshold", Some(notice.threshold.as_str())),
        ("gen_ai.agent.name", (name == "agent").then_some(value)),
        ("flyball.action", action.map(|deed| deed.action.as_str())),
        (
            "flyball.action.target",
            action.map(|deed| deed.target.as_str()),
        ),
        (
            "flyball.action.outcome",
            action.map(|deed| deed.outcome.as_str()),
        ),
        (
            "flyball.action.id",
            action.and_then(|deed| deed.action_id.as_deref()),
        ),
    ];
    let told = attributes.into_iter();
    told.filter_map(|(name, value)| Some(text(name, value?)))
        .collect()
}

fn severity(notice: &Notice) -> (SeverityNumber, &'static str) {
    match (notice.status, notice.severity) {
        (About::Resolved, _) | (_, Severity::Info) => (SeverityNumber::Info, "INFO"),
        (_, Severity::Warning) => (SeverityNumber::Warn, "WARN"),
        (_, Severity::Critical) => (SeverityNumber::Error, "ERROR"),
    }
}

fn nanos(at: DateTime<Utc>) -> u64 {
    let nanos = at.timestamp_nanos_opt().unwrap_or_default();
    u64::try_from(nanos).unwrap_or_default()
}

fn text(key: &str, value: &str) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue {
            value: Some(Value::StringValue(value.to_owned())),
        }),
        ..KeyValue::default()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsPartialSuccess;

    use super::super::samples::{now, telling};
    use super::*;

    fn sent(tellings: &[Telling]) -> Vec<LogRecord> {
        let to = Otlp {
            url: "http://127.0.0.1:4318".parse().unwrap(),
            secret: None,
        };
        let request = to.request(tellings, now()).unwrap();
        assert_eq!(request.url.as_str(), "http://127.0.0.1:4318/v1/logs");
        let body = ExportLogsServiceRequest::decode(request.body.as_slice()).unwrap();
        body.resource_logs[0].scope_logs[0].log_records.clone()
    }

    #[test]
    fn a_notice_is_an_event_with_its_numbers_as_attributes() {
        let firing = telling(About::Firing);
        let records = sent(&[firing.clone(), telling(About::Resolved)]);
        let [record, over] = records.as_slice() else {
            panic!("two records");
        };
        assert_eq!(record.event_name, "flyball.alert");
        // 2026-11-22T00:00:30Z and 00:01:00Z.
        assert_eq!(record.time_unix_nano, 1_795_305_630_000_000_000);
        assert_eq!(record.observed_time_unix_nano, 1_795_305_660_000_000_000);
        assert_eq!((record.severity_number, over.severity_number), (17, 9));
        let value = |name: &str| {
            let found = record.attributes.iter().find(|a| a.key == name);
            match found.and_then(|a| a.value.clone()?.value) {
                Some(Value::StringValue(text)) => text,
                other => panic!("{name} is {other:?}"),
            }
        };
        for (name, want) in [
            ("log.record.uid", firing.delivery_id.as_str()),
            ("flyball.alert.id", "a1"),
            ("flyball.alert.status", "firing"),
            ("flyball.alert.value", "6"),
            ("gen_ai.agent.name", "triage"),
            ("flyball.action", "freeze"),
            ("flyball.action.outcome", "ordered"),
        ] {
            assert_eq!(value(name), want);
        }
    }

    #[test]
    fn what_may_be_sent_again_is_what_the_protocol_says() {
        let answer = |status: u16, body: Vec<u8>| Answer {
            status: StatusCode::from_u16(status).unwrap(),
            retry_after: None,
            body,
        };
        let of = |status| Otlp::reply(&answer(status, Vec::new()));
        assert_eq!(of(200), Reply::Sent);
        for status in [408, 429, 502, 503, 504] {
            assert!(matches!(of(status), Reply::Later { .. }), "{status}");
        }
        for status in [400, 401, 413, 500, 501] {
            assert!(matches!(of(status), Reply::Refused { .. }), "{status}");
        }
        let partial = ExportLogsServiceResponse {
            partial_success: Some(ExportLogsPartialSuccess {
                rejected_log_records: 1,
                error_message: "too old".into(),
            }),
        };
        let reply = Otlp::reply(&answer(200, partial.encode_to_vec()));
        assert!(
            matches!(&reply, Reply::Refused { reason, apart: false } if reason.contains("too old")),
            "{reply:?}"
        );
    }
}
