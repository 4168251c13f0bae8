//! Our own JSON: a notice as it is, or, of a group, `{"notices": [...]}` with the id of each.

use chrono::{DateTime, Utc};
use reqwest::Url;
use serde_json::json;

use super::{WEB, harmless, web};
use crate::Error;
use crate::guard::digest;
use crate::notify::http::Request;
use crate::notify::signature::{SIGNATURE_HEADER, TIMESTAMP_HEADER, sign};
use crate::notify::{Secret, Telling};

/// The same over every try of a delivery.
const DELIVERY_HEADER: &str = "x-flyball-delivery";

/// Where it goes.
#[derive(Debug, Clone)]
pub struct Webhook {
    /// The whole address.
    pub url: Url,
    /// Signs what is sent.
    pub secret: Option<Secret>,
}

impl Webhook {
    /// One at an address, signed if there is a secret.
    ///
    /// # Errors
    /// When it is not an http or https URL with a host, or carries a password.
    pub fn to(url: &str, secret: Option<Secret>) -> Result<Self, Error> {
        let refused = || Error::Address {
            value: format!("{:?}", harmless(url)),
            accepted: WEB,
        };
        let url = web(url).ok_or_else(refused)?;
        Ok(Self { url, secret })
    }

    pub(in crate::notify) fn request(
        &self,
        tellings: &[Telling],
        now: DateTime<Utc>,
        grouped: bool,
    ) -> Result<Request, String> {
        let (id, body) = match tellings {
            [one] if !grouped => (one.delivery_id.clone(), serde_json::to_vec(&one.notice)),
            several => {
                let ids: Vec<&str> = several.iter().map(|t| t.delivery_id.as_str()).collect();
                let notices = several
                    .iter()
                    .map(|t| json!({ "delivery": t.delivery_id, "notice": t.notice }));
                let body = json!({ "notices": notices.collect::<Vec<_>>() });
                (digest(&ids), serde_json::to_vec(&body))
            }
        };
        let body = body.map_err(|error| error.to_string())?;
        let timestamp = now.timestamp().to_string();
        let mut headers = vec![(DELIVERY_HEADER, id)];
        if let Some(secret) = &self.secret {
            let signature = sign(secret.expose().as_bytes(), &timestamp, &body);
            headers.push((SIGNATURE_HEADER, format!("sha256={signature}")));
        }
        headers.push((TIMESTAMP_HEADER, timestamp));
        Ok(Request {
            url: self.url.clone(),
            content_type: "application/json",
            headers,
            bearer: None,
            body,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::samples::{json, now, telling};
    use super::*;
    use crate::notify::About;

    fn to(secret: Option<&str>) -> Webhook {
        Webhook {
            url: "http://127.0.0.1:1/hook?token=1".parse().unwrap(),
            secret: secret.map(Secret::new),
        }
    }

    #[test]
    fn one_is_sent_as_it_is_and_signed_with_the_time() {
        let one = telling(About::Firing);
        let request = to(Some("s3cret"))
            .request(std::slice::from_ref(&one), now(), false)
            .unwrap();
        assert_eq!(
            json(&request),
            json!({
                "status": "firing", "alert_id": "a1", "rule": "spend",
                "description": "An agent spends <too> much & fast", "key": "agent=triage", "severity": "critical",
                "workspace": "default", "summary": "agent triage spent 6 USD", "value": "6", "threshold": "5",
                "at": "2026-11-22T00:00:30.000Z",
                "action": {
                    "action": "freeze", "target": "agent triage", "action_id": "f1", "outcome": "ordered"
                },
                "evidence": null,
            })
        );
        let header = |name: &str| {
            let found = request.headers.iter().find(|(header, _)| *header == name);
            found.map(|(_, value)| value.as_str())
        };
        assert_eq!(header(DELIVERY_HEADER), Some(one.delivery_id.as_str()));
        assert_eq!(header(TIMESTAMP_HEADER), Some("1795305660"));
        let want = format!("sha256={}", sign(b"s3cret", "1795305660", &request.body));
        assert_eq!(header(SIGNATURE_HEADER), Some(want.as_str()));
    }

    #[test]
    fn without_a_secret_nothing_is_signed() {
        let request = to(None)
            .request(&[telling(About::Firing)], now(), false)
            .unwrap();
        let signed = request
            .headers
            .iter()
            .any(|(name, _)| *name == SIGNATURE_HEADER);
        assert!(!signed);
    }

    #[test]
    fn a_group_names_the_delivery_of_each() {
        let both = [telling(About::Firing), telling(About::Resolved)];
        let request = to(None).request(&both, now(), true).unwrap();
        let body = json(&request);
        for (at, telling) in both.iter().enumerate() {
            assert_eq!(body["notices"][at]["delivery"], telling.delivery_id);
            assert_eq!(
                body["notices"][at]["notice"]["status"],
                telling.notice.status.as_str()
            );
        }
        let again = to(None).request(&both, now(), true).unwrap();
        assert_eq!(request.headers, again.headers);
    }
}
