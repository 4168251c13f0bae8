//! One request, one answer, and what the answer means: the same for every kind that speaks HTTP.

use std::time::Duration;

use chrono::{DateTime, Utc};
use reqwest::header::{HeaderValue, RETRY_AFTER};
use reqwest::{Client, StatusCode, Url, redirect};

use super::Secret;

/// The longest that a receiver may make us wait.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3_600);
/// Bytes of an answer that are read.
const ANSWER_MAX: usize = 4_096;
/// Letters of it that are kept as a reason.
const REASON_MAX: usize = 200;

/// A POST.
pub(super) struct Request {
    pub(super) url: Url,
    pub(super) content_type: &'static str,
    pub(super) headers: Vec<(&'static str, String)>,
    /// Goes into `authorization: Bearer`.
    pub(super) bearer: Option<Secret>,
    pub(super) body: Vec<u8>,
}

impl Request {
    pub(super) fn json(url: Url, body: &serde_json::Value) -> Self {
        Self {
            url,
            content_type: "application/json",
            headers: Vec::new(),
            bearer: None,
            body: body.to_string().into_bytes(),
        }
    }
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    /// How long it asks us to wait.
    pub(super) retry_after: Option<Duration>,
    /// Its first bytes.
    pub(super) body: Vec<u8>,
}

/// What it means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reply {
    /// Taken.
    Sent,
    /// Not now.
    Later {
        reason: String,
        /// Not before this has passed.
        wait: Option<Duration>,
        /// Whether nobody was reached at all: then it is not about what was sent.
        unreached: bool,
    },
    /// Never, as it is. If it held several notices, each may be tried by itself.
    Refused { reason: String, apart: bool },
}

impl Answer {
    /// Taken, not now (408, 429, 5xx) or never.
    pub(super) fn reply(&self) -> Reply {
        let later = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS];
        if self.status.is_success() {
            Reply::Sent
        } else if self.status.is_server_error() || later.contains(&self.status) {
            self.later()
        } else {
            self.refused()
        }
    }

    pub(super) fn later(&self) -> Reply {
        Reply::Later {
            reason: self.reason(),
            wait: self.retry_after,
            unreached: false,
        }
    }

    pub(super) fn refused(&self) -> Reply {
        Reply::Refused {
            reason: self.reason(),
            apart: true,
        }
    }

    fn reason(&self) -> String {
        let said = String::from_utf8_lossy(&self.body);
        let said: String = said
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .take(REASON_MAX)
            .collect();
        match said.trim() {
            "" => format!("the receiver answers {}", self.status),
            said => format!("the receiver answers {}: {said}", self.status),
        }
    }
}

/// The client that all notifiers share. Redirects are not followed: where they lead is not what was configured.
pub(super) fn client(timeout: Duration) -> reqwest::Result<Client> {
    Client::builder()
        .redirect(redirect::Policy::none())
        .timeout(timeout)
        .build()
}

/// Sends it and reads the answer.
///
/// # Errors
/// When nobody answered, in words without the address: that may carry a token.
pub(super) async fn post(client: &Client, request: Request) -> Result<Answer, String> {
    let mut post = client
        .post(request.url)
        .header("content-type", request.content_type)
        .body(request.body);
    for (name, value) in request.headers {
        post = post.header(name, value);
    }
    if let Some(bearer) = &request.bearer {
        post = post.bearer_auth(bearer.expose());
    }
    let sent = post.send().await;
    let mut answer = sent.map_err(|error| spoken(&error.without_url()))?;
    let status = answer.status();
    let retry_after = answer.headers().get(RETRY_AFTER);
    let retry_after = retry_after.and_then(|value| wait(value, Utc::now()));
    let mut body = Vec::new();
    // An answer that breaks off has said what matters in its first line.
    while body.len() < ANSWER_MAX
        && let Ok(Some(chunk)) = answer.chunk().await
    {
        body.extend_from_slice(&chunk);
    }
    body.truncate(ANSWER_MAX);
    Ok(Answer {
        status,
        retry_after,
        body,
    })
}

/// An error and what caused it, in one line.
pub(super) fn spoken(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !words.contains(&said) {
            words = format!("{words}: {said}");
        }
        cause = error.source();
    }
    words
}

/// `Retry-After`: seconds, or a date.
fn wait(value: &HeaderValue, now: DateTime<Utc>) -> Option<Duration> {
    let text = value.to_str().ok()?.trim();
    let wait = match text.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let until = DateTime::parse_from_rfc2822(text).ok()?;
            (until.to_utc() - now).to_std().unwrap_or_default()
        }
    };
    Some(wait.min(RETRY_AFTER_MAX))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        Answer {
            status: StatusCode::from_u16(status).unwrap(),
            retry_after: None,
            body: body.into(),
        }
    }

    #[test]
    fn refusals_are_final_and_what_may_pass_is_tried_again() {
        for status in [200, 202, 204] {
            assert_eq!(answer(status, "").reply(), Reply::Sent);
        }
        for status in [408, 429, 500, 502, 503, 504] {
            let reply = answer(status, "").reply();
            assert!(matches!(reply, Reply::Later { .. }), "{status}");
        }
        for status in [301, 302, 307, 400, 401, 403, 404, 410, 413, 422] {
            let reply = answer(status, "").reply();
            assert!(matches!(reply, Reply::Refused { .. }), "{status}");
        }
    }

    #[test]
    fn a_reason_is_one_short_line() {
        let hostile = format!("no_service\r\nX: 1\u{1b}[31m{}", "x".repeat(10_000));
        let Reply::Refused { reason, .. } = answer(404, &hostile).reply() else {
            panic!("404 is final");
        };
        assert!(reason.starts_with("the receiver answers 404 Not Found: no_service"));
        assert!(reason.len() < 300 && !reason.chars().any(char::is_control));
    }

    #[test]
    fn how_long_to_wait_is_said_in_seconds_or_as_a_date() {
        let now = DateTime::parse_from_rfc3339("2015-10-21T07:27:00Z")
            .unwrap()
            .to_utc();
        let seconds = |text: &str| wait(&HeaderValue::from_str(text).unwrap(), now);
        assert_eq!(seconds("120"), Some(Duration::from_secs(120)));
        // The example of RFC 9110.
        let date = "Wed, 21 Oct 2015 07:28:00 GMT";
        assert_eq!(seconds(date), Some(Duration::from_secs(60)));
        assert_eq!(
            seconds("Wed, 21 Oct 2015 07:00:00 GMT"),
            Some(Duration::ZERO)
        );
        assert_eq!(seconds("999999999"), Some(RETRY_AFTER_MAX));
        for text in ["", "-1", "soon", "99999999999999999999999"] {
            assert_eq!(seconds(text), None, "{text}");
        }
    }
}
