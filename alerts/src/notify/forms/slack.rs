//! Slack: an incoming webhook, whose address is the secret.

use reqwest::Url;
use serde_json::{Value, json};

use super::{cut, title};
use crate::notify::http::Request;
use crate::notify::{About, Secret, Telling};

/// Slack takes 50 blocks a message and 3,000 letters a text, and escaping makes up to five of one.
const BLOCKS_MAX: usize = 40;
const SUMMARY_MAX: usize = 300;
const KEY_MAX: usize = 120;
const DESCRIPTION_MAX: usize = 120;

/// Where it goes.
#[derive(Debug, Clone)]
pub struct Slack {
    /// The address of the incoming webhook.
    pub(in crate::notify) url: Secret,
}

impl Slack {
    /// None when it is no http or https address.
    #[must_use]
    pub fn new(url: &Secret) -> Option<Self> {
        let parsed = Url::parse(url.expose()).ok()?;
        let usable = matches!(parsed.scheme(), "http" | "https") && parsed.has_host();
        usable.then(|| Self { url: url.clone() })
    }

    pub(in crate::notify) fn request(&self, tellings: &[Telling]) -> Result<Request, String> {
        let url = Url::parse(self.url.expose()).map_err(|error| error.to_string())?;
        let mut blocks = vec![section(&format!("*{}*", escaped(&title(tellings))))];
        blocks.extend(tellings.iter().take(BLOCKS_MAX).map(|t| section(&line(t))));
        if tellings.len() > BLOCKS_MAX {
            let more = tellings.len() - BLOCKS_MAX;
            blocks.push(section(&format!("and {more} more")));
        }
        // What a notification on a phone shows.
        let text = match tellings {
            [one] => format!(
                "{} {}",
                title(tellings),
                cut(&one.notice.summary, SUMMARY_MAX)
            ),
            _ => title(tellings),
        };
        Ok(Request::json(
            url,
            &json!({ "text": escaped(&text), "blocks": blocks }),
        ))
    }
}

fn section(text: &str) -> Value {
    // Verbatim: no name in it becomes a link to a person or a channel.
    json!({ "type": "section", "text": { "type": "mrkdwn", "text": text, "verbatim": true } })
}

fn line(Telling { notice, since, .. }: &Telling) -> String {
    let status = notice.status.as_str().to_uppercase().replace('_', " ");
    let when = match notice.status {
        About::Resolved => format!("from {since} to {}", notice.at),
        _ => format!("since {since}"),
    };
    let mut line = format!(
        "*{status}* {} ({}), {when}\n{}",
        escaped(&cut(&notice.key, KEY_MAX)),
        notice.severity.as_str(),
        escaped(&cut(&notice.summary, SUMMARY_MAX)),
    );
    if !notice.description.is_empty() {
        let description = cut(&notice.description, DESCRIPTION_MAX);
        line.push_str(&format!("\n_{}_", escaped(&description)));
    }
    line
}

/// The three letters that Slack reads as its own.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::samples::{json, telling};
    use super::*;

    fn sent(tellings: &[Telling]) -> Value {
        let to = Slack::new(&Secret::new("http://127.0.0.1:1/services/T/B/X")).unwrap();
        json(&to.request(tellings).unwrap())
    }

    #[test]
    fn a_message_has_a_text_and_blocks() {
        let body = sent(&[telling(About::Firing)]);
        assert_eq!(body["text"], "[FIRING] spend agent triage spent 6 USD");
        let want = json!([
            { "type": "section", "text": { "type": "mrkdwn", "text": "*[FIRING] spend*", "verbatim": true } },
            { "type": "section", "text": {
                "type": "mrkdwn", "verbatim": true,
                "text": "*FIRING* agent=triage (critical), since 2026-11-22T00:00:00.000Z\nagent triage spent 6 USD\n\
                    _An agent spends &lt;too&gt; much &amp; fast_",
            } },
        ]);
        assert_eq!(body["blocks"], want);
    }

    #[test]
    fn nobody_is_called_by_the_name_of_an_agent() {
        let mut hostile = telling(About::Firing);
        hostile.notice.summary = "<!channel> & <https://x|click> ]".into();
        hostile.notice.key = "agent=<@U1>".into();
        let body = sent(&[hostile]).to_string();
        assert!(!body.contains('<') && !body.contains('>'), "{body}");
        assert!(body.contains("&lt;!channel&gt; &amp; "), "{body}");
    }

    #[test]
    fn however_much_there_is_it_stays_within_what_slack_takes() {
        let mut long = telling(About::Firing);
        long.notice.summary = "&".repeat(100_000);
        long.notice.description = "<".repeat(100_000);
        long.notice.key = ">".repeat(100_000);
        let body = sent(&vec![long; 100]);
        let blocks = body["blocks"].as_array().unwrap();
        assert!(blocks.len() <= 50);
        for block in blocks {
            assert!(block["text"]["text"].as_str().unwrap().chars().count() <= 3_000);
        }
        assert_eq!(blocks.last().unwrap()["text"]["text"], "and 60 more");
    }

    #[test]
    fn only_an_address_is_taken() {
        for text in ["", "T/B/X", "file:///etc/passwd", "mailto:a@b"] {
            assert!(Slack::new(&Secret::new(text)).is_none(), "{text}");
        }
    }
}
