//! The forms that notices take over HTTP: each a pure function from notices to a request.

mod alertmanager;
mod otlp;
mod pagerduty;
mod slack;
mod webhook;

pub use alertmanager::Alertmanager;
pub use otlp::Otlp;
pub use pagerduty::PagerDuty;
pub use slack::Slack;
pub use webhook::Webhook;

use reqwest::Url;

use super::{About, Telling};

/// The address with a path behind what it has already.
fn below(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    let whole = format!("{}{path}", base.path().trim_end_matches('/'));
    url.set_path(&whole);
    url
}

/// An http or https address that carries no password.
pub(super) fn web(text: &str) -> Option<Url> {
    let url = Url::parse(text.trim()).ok()?;
    let plain = matches!(url.scheme(), "http" | "https")
        && url.host_str().is_some_and(|host| !host.is_empty())
        && url.username().is_empty()
        && url.password().is_none();
    plain.then_some(url)
}

/// An address as an error may show it: it may carry a password or a token.
pub(super) fn harmless(address: &str) -> &str {
    let shown = address.split('?').next().unwrap_or_default();
    shown.rsplit('@').next().unwrap_or_default()
}

/// What [`web`] takes.
pub(super) const WEB: &str =
    "accepted is an http:// or https:// URL with a host and without user or password";

/// `agent=triage` as name and value; what has no name is called key.
fn named(key: &str) -> (&str, &str) {
    key.split_once('=').unwrap_or(("key", key))
}

/// At most so many bytes of a text, cut between letters.
pub(super) fn cut(text: &str, most: usize) -> String {
    const CUT: &str = "...";
    if text.len() <= most {
        return text.to_owned();
    }
    let mut end = most.saturating_sub(CUT.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{CUT}", &text[..end])
}

/// What a message is about, in a few words: `[FIRING:2, RESOLVED:1] spend`.
pub(super) fn title(tellings: &[Telling]) -> String {
    const ORDER: [(About, &str); 5] = [
        (About::Firing, "FIRING"),
        (About::ActionFailed, "ACTION FAILED"),
        (About::Error, "ERROR"),
        (About::NoData, "NO DATA"),
        (About::Resolved, "RESOLVED"),
    ];
    let counts = ORDER.iter().filter_map(|(about, word)| {
        let of = tellings.iter().filter(|t| t.notice.status == *about);
        match of.count() {
            0 => None,
            1 if tellings.len() == 1 => Some((*word).to_owned()),
            n => Some(format!("{word}:{n}")),
        }
    });
    let counts: Vec<String> = counts.collect();
    let mut rules: Vec<&str> = tellings.iter().map(|t| t.notice.rule.as_str()).collect();
    rules.sort_unstable();
    rules.dedup();
    format!("[{}] {}", counts.join(", "), cut(&rules.join(", "), 100))
}

#[cfg(test)]
mod samples {
    #![allow(clippy::unwrap_used)]
    use chrono::{DateTime, Utc};

    use crate::notify::http::Request;
    use crate::notify::{About, Deed, Notice, Telling};
    use crate::rule::Severity;

    pub(super) fn now() -> DateTime<Utc> {
        DateTime::parse_from_rfc3339("2026-11-22T00:01:00Z")
            .unwrap()
            .to_utc()
    }

    pub(super) fn telling(status: About) -> Telling {
        let notice = Notice {
            status,
            alert_id: "a1".into(),
            rule: "spend".into(),
            description: "An agent spends <too> much & fast".into(),
            key: "agent=triage".into(),
            severity: Severity::Critical,
            workspace: "default".into(),
            summary: "agent triage spent 6 USD".into(),
            value: Some("6".into()),
            threshold: "5".into(),
            at: "2026-11-22T00:00:30.000Z".into(),
            action: Some(Deed {
                action: "freeze".into(),
                target: "agent triage".into(),
                action_id: Some("f1".into()),
                outcome: "ordered".into(),
            }),
            evidence: None,
        };
        Telling {
            delivery_id: notice.delivery_id(),
            notice,
            since: "2026-11-22T00:00:00.000Z".into(),
        }
    }

    pub(super) fn json(request: &Request) -> serde_json::Value {
        serde_json::from_slice(&request.body).unwrap()
    }

    #[test]
    fn a_path_goes_behind_the_one_that_is_there() {
        for (base, whole) in [
            ("http://h", "http://h/v1/logs"),
            ("http://h:1/", "http://h:1/v1/logs"),
            ("http://h/am/", "http://h/am/v1/logs"),
            ("http://h/am", "http://h/am/v1/logs"),
        ] {
            let url = super::below(&base.parse().unwrap(), "/v1/logs");
            assert_eq!(url.as_str(), whole);
        }
    }

    #[test]
    fn a_title_counts_what_happened() {
        let one = [telling(About::Firing)];
        assert_eq!(super::title(&one), "[FIRING] spend");
        let mut other = telling(About::Resolved);
        other.notice.rule = "errors".into();
        let three = [telling(About::Firing), other, telling(About::Firing)];
        assert_eq!(super::title(&three), "[FIRING:2, RESOLVED:1] errors, spend");
    }

    #[test]
    fn texts_are_cut_between_letters() {
        assert_eq!(super::cut("short", 5), "short");
        assert_eq!(super::cut("ä".repeat(10).as_str(), 10), "äää...");
    }
}
