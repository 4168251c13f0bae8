//! PagerDuty's Events API v2: `POST /v2/enqueue`. One alert is one incident, by its id.

use reqwest::Url;
use serde_json::{Value, json};

use super::{below, cut};
use crate::notify::http::Request;
use crate::notify::{About, Secret, Telling};
use crate::rule::Severity;

/// What PagerDuty takes of a summary.
const SUMMARY_MAX: usize = 1_024;

/// Where it goes, and in whose name.
#[derive(Debug, Clone)]
pub struct PagerDuty {
    /// What stands before `/v2/enqueue`.
    pub url: Url,
    /// The integration's key.
    pub routing_key: Secret,
}

impl PagerDuty {
    /// PagerDuty's own address.
    pub const URL: &'static str = "https://events.pagerduty.com";

    pub(in crate::notify) fn request(&self, tellings: &[Telling]) -> Result<Request, String> {
        let [Telling { notice, .. }] = tellings else {
            return Err(format!("{} notices in one event", tellings.len()));
        };
        let mut event = json!({
            "routing_key": self.routing_key.expose(),
            "event_action": "trigger",
            "dedup_key": notice.alert_id,
        });
        if notice.status == About::Resolved {
            event["event_action"] = "resolve".into();
        } else {
            event["client"] = "Flyball".into();
            event["payload"] = json!({
                "summary": cut(&notice.summary, SUMMARY_MAX),
                "source": format!("flyball/{}", notice.workspace),
                "severity": severity(notice.severity),
                "timestamp": notice.at,
                "component": notice.key,
                "group": notice.rule,
                "class": notice.status.as_str(),
                "custom_details": {
                    "description": notice.description,
                    "value": notice.value,
                    "threshold": notice.threshold,
                    "action": notice.action.as_ref().map(ToString::to_string),
                    "evidence": notice.evidence.as_ref().unwrap_or(&Value::Null),
                },
            });
        }
        Ok(Request::json(below(&self.url, "/v2/enqueue"), &event))
    }
}

/// PagerDuty knows critical, error, warning and info.
fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "info",
        Severity::Warning => "warning",
        Severity::Critical => "critical",
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::samples::{json, telling};
    use super::*;

    fn to() -> PagerDuty {
        PagerDuty {
            url: PagerDuty::URL.parse().unwrap(),
            routing_key: Secret::new("samplekeyhere"),
        }
    }

    /// After the examples in PagerDuty's description of the Events API v2.
    #[test]
    fn an_alert_triggers_and_its_end_resolves_under_one_key() {
        let request = to().request(&[telling(About::Firing)]).unwrap();
        assert_eq!(
            request.url.as_str(),
            "https://events.pagerduty.com/v2/enqueue"
        );
        assert_eq!(
            json(&request),
            json!({
                "routing_key": "samplekeyhere", "event_action": "trigger", "dedup_key": "a1", "client": "Flyball",
                "payload": {
                    "summary": "agent triage spent 6 USD", "source": "flyball/default", "severity": "critical",
                    "timestamp": "2026-11-22T00:00:30.000Z", "component": "agent=triage", "group": "spend",
                    "class": "firing",
                    "custom_details": {
                        "description": "An agent spends <too> much & fast", "value": "6", "threshold": "5",
                        "action": "freeze of agent triage: ordered", "evidence": null,
                    },
                },
            })
        );
        let resolved = to().request(&[telling(About::Resolved)]).unwrap();
        let want =
            json!({ "routing_key": "samplekeyhere", "event_action": "resolve", "dedup_key": "a1" });
        assert_eq!(json(&resolved), want);
    }

    #[test]
    fn a_summary_is_cut_to_what_is_taken() {
        let mut long = telling(About::Firing);
        long.notice.summary = "ü".repeat(2_000);
        let body = json(&to().request(&[long]).unwrap());
        let summary = body["payload"]["summary"].as_str().unwrap().to_owned();
        assert!(summary.len() <= SUMMARY_MAX && summary.ends_with("..."));
    }
}
