//! Alertmanager, API v2: `POST /api/v2/alerts`.
//!
//! It takes an alert for over when it has not heard of it until its `endsAt`, and forgets all when it is started anew.
//! So an alert that stands is told again and again, each time with an end that lies four tellings ahead.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use reqwest::Url;
use serde_json::{Map, Value, json};

use super::{below, named};
use crate::notify::http::Request;
use crate::notify::{About, Notice, Secret, Telling};

/// Tellings that may be lost before it takes an alert for over.
const LOST: u32 = 4;

/// Where it is.
#[derive(Debug, Clone)]
pub struct Alertmanager {
    /// What stands before `/api/v2/alerts`.
    pub url: Url,
    /// A bearer token.
    pub secret: Option<Secret>,
}

impl Alertmanager {
    pub(in crate::notify) fn request(
        &self,
        tellings: &[Telling],
        now: DateTime<Utc>,
        repeat: Option<Duration>,
    ) -> Result<Request, String> {
        let ahead = repeat.unwrap_or(Duration::from_secs(60)) * LOST;
        let alerts: Vec<Value> = tellings.iter().map(|t| alert(t, now + ahead)).collect();
        let url = below(&self.url, "/api/v2/alerts");
        Ok(Request {
            bearer: self.secret.clone(),
            ..Request::json(url, &Value::from(alerts))
        })
    }
}

fn alert(Telling { notice, since, .. }: &Telling, ahead: DateTime<Utc>) -> Value {
    let end = match notice.status {
        About::Resolved => notice.at.clone(),
        _ => ahead.to_rfc3339_opts(SecondsFormat::Millis, true),
    };
    json!({
        "labels": labels(notice),
        "annotations": annotations(notice),
        "startsAt": since,
        "endsAt": end,
    })
}

/// What tells alerts apart: the same from firing to resolved.
fn labels(notice: &Notice) -> Map<String, Value> {
    let (name, value) = named(&notice.key);
    let labels = [
        // First, so that no key can take the place of one of ours.
        (name, value),
        ("alertname", notice.rule.as_str()),
        ("workspace", &notice.workspace),
        ("severity", notice.severity.as_str()),
        ("alert_id", &notice.alert_id),
    ];
    let told = labels.into_iter().filter(|(_, value)| !value.is_empty());
    told.map(|(name, value)| (name.to_owned(), value.into()))
        .collect()
}

fn annotations(notice: &Notice) -> Map<String, Value> {
    let action = notice.action.as_ref().map(ToString::to_string);
    let annotations = [
        ("summary", Some(notice.summary.as_str())),
        ("description", Some(notice.description.as_str())),
        ("value", notice.value.as_deref()),
        ("threshold", Some(notice.threshold.as_str())),
        ("action", action.as_deref()),
    ];
    let told = annotations
        .into_iter()
        .filter_map(|(name, value)| Some((name, value.filter(|value| !value.is_empty())?)));
    told.map(|(name, value)| (name.to_owned(), value.into()))
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::samples::{json, now, telling};
    use super::*;

    fn request(tellings: &[Telling]) -> Request {
        let to = Alertmanager {
            url: "http://127.0.0.1:9093/am".parse().unwrap(),
            secret: None,
        };
        let every = Some(Duration::from_secs(60));
        to.request(tellings, now(), every).unwrap()
    }

    /// The form of `postableAlerts` in Alertmanager's openapi.yaml.
    #[test]
    fn what_stands_ends_four_tellings_ahead_and_what_is_over_ended() {
        let firing = request(&[telling(About::Firing), telling(About::Resolved)]);
        assert_eq!(
            firing.url.as_str(),
            "http://127.0.0.1:9093/am/api/v2/alerts"
        );
        let labels = json!({
            "alertname": "spend", "workspace": "default", "severity": "critical", "agent": "triage", "alert_id": "a1",
        });
        let annotations = json!({
            "summary": "agent triage spent 6 USD", "description": "An agent spends <too> much & fast", "value": "6",
            "threshold": "5", "action": "freeze of agent triage: ordered",
        });
        let alert = |end: &str| {
            json!({
                "labels": labels, "annotations": annotations, "startsAt": "2026-11-22T00:00:00.000Z", "endsAt": end,
            })
        };
        let want = [
            alert("2026-11-22T00:05:00.000Z"),
            alert("2026-11-22T00:00:30.000Z"),
        ];
        assert_eq!(json(&firing), Value::from(want.to_vec()));
    }

    #[test]
    fn no_key_takes_the_place_of_a_label_of_ours_and_none_is_empty() {
        let mut hostile = telling(About::Firing);
        hostile.notice.key = "alertname=other".into();
        hostile.notice.workspace = String::new();
        let labels = json(&request(&[hostile]))[0]["labels"].clone();
        assert_eq!(labels["alertname"], "spend");
        assert!(labels.get("workspace").is_none());
        let mut health = telling(About::Error);
        health.notice.key = "rule".into();
        assert_eq!(json(&request(&[health]))[0]["labels"]["key"], "rule");
    }
}
