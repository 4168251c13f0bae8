//! E-mail over SMTP: one message for a group of notices.
//!
//! The message is built by a library that encodes what a header may not hold; what came from outside is freed of
//! control characters before it gets there, so that nothing in a notice can begin a header of its own.

use std::net::IpAddr;
use std::time::Duration;

use lettre::message::Mailbox;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Tls, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::{Message, SmtpTransport, Transport as _};

use super::forms::{cut, title};
use super::http::{Reply, spoken};
use super::{About, Secret, Telling};
use crate::guard::digest;

/// Notices that are spelled out in one message.
const LISTED: usize = 100;
/// A message takes about so many commands.
const COMMANDS: u32 = 6;
/// Bytes of a summary in the subject.
const SUBJECT_MAX: usize = 200;

/// How the connection is kept from being read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cover {
    /// TLS from the first byte.
    Tls,
    /// TLS before anything is told (STARTTLS), or nothing is.
    StartTls,
    /// None: to this machine only.
    Plain,
}

/// Where it goes, from whom, to whom.
#[derive(Debug, Clone)]
pub struct Email {
    host: String,
    port: u16,
    cover: Cover,
    login: Option<(String, Secret)>,
    from: Mailbox,
    to: Vec<Mailbox>,
}

/// A message that is ready to go.
pub(super) type Mail = Message;

impl Email {
    /// A server, and how it is spoken to.
    ///
    /// # Errors
    /// When somebody could read along: without TLS, the server must be on this machine.
    pub fn new(
        host: &str,
        port: u16,
        cover: Cover,
        from: Mailbox,
        to: Vec<Mailbox>,
    ) -> Result<Self, &'static str> {
        if cover == Cover::Plain && !loopback(host) {
            return Err(
                "accepted without TLS is a server on this machine (127.0.0.1, [::1] or localhost)",
            );
        }
        Ok(Self {
            host: host.trim_matches(['[', ']']).to_owned(),
            port,
            cover,
            login: None,
            from,
            to,
        })
    }

    /// The same, with a user and a password.
    #[must_use]
    pub fn with_login(mut self, user: &str, password: Secret) -> Self {
        self.login = Some((user.to_owned(), password));
        self
    }

    pub(super) fn mail(&self, tellings: &[Telling]) -> Result<Mail, String> {
        let ids: Vec<&str> = tellings.iter().map(|t| t.delivery_id.as_str()).collect();
        let domain = self.from.email.domain();
        let mut message = Message::builder()
            .from(self.from.clone())
            .subject(subject(tellings))
            // The same over every try, so that doubles can be told.
            .message_id(Some(format!("<{}@{domain}>", digest(&ids))))
            .raw_header(HeaderValue::new(
                HeaderName::new_from_ascii_str("Auto-Submitted"),
                "auto-generated".to_owned(),
            ));
        for to in &self.to {
            message = message.to(to.clone());
        }
        let message = message.header(ContentType::TEXT_PLAIN);
        message
            .body(body(tellings))
            .map_err(|error| error.to_string())
    }

    /// Hands it to the server, on a thread that may wait for it.
    pub(super) async fn send(&self, mail: Mail, patience: Duration) -> Reply {
        let transport = match self.transport(patience) {
            Ok(transport) => transport,
            Err(error) => return unreached(spoken(&error)),
        };
        let sent = tokio::task::spawn_blocking(move || transport.send(&mail));
        // Each command has its time; together they must have one too.
        match tokio::time::timeout(patience * COMMANDS, sent).await {
            Err(_) => unreached("the server does not go on".to_owned()),
            Ok(Err(error)) => unreached(error.to_string()),
            Ok(Ok(Err(error))) => reply(&error),
            Ok(Ok(Ok(_))) => Reply::Sent,
        }
    }

    fn transport(
        &self,
        patience: Duration,
    ) -> Result<SmtpTransport, lettre::transport::smtp::Error> {
        let parameters = || TlsParameters::new(self.host.clone());
        let tls = match self.cover {
            Cover::Tls => Tls::Wrapper(parameters()?),
            Cover::StartTls => Tls::Required(parameters()?),
            Cover::Plain => Tls::None,
        };
        let mut transport = SmtpTransport::builder_dangerous(&self.host)
            .port(self.port)
            .tls(tls)
            .hello_name(ClientId::Domain(self.from.email.domain().to_owned()))
            .timeout(Some(patience));
        if let Some((user, password)) = &self.login {
            let password = password.expose().to_owned();
            transport = transport.credentials(Credentials::new(user.clone(), password));
        }
        Ok(transport.build())
    }
}

fn loopback(host: &str) -> bool {
    let bare = host.trim_matches(['[', ']']);
    bare == "localhost" || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn unreached(reason: String) -> Reply {
    Reply::Later {
        reason,
        wait: None,
        unreached: true,
    }
}

/// 5xx is final, 4xx is about this message now; everything else is the server's or the line's.
fn reply(error: &lettre::transport::smtp::Error) -> Reply {
    // What the server said besides may name people.
    let code = error.status().map(|code| code.to_string());
    match code {
        Some(code) if error.is_permanent() => Reply::Refused {
            reason: format!("the server answers {code}"),
            apart: true,
        },
        Some(code) => Reply::Later {
            reason: format!("the server answers {code}"),
            wait: None,
            unreached: false,
        },
        None => unreached(spoken(error)),
    }
}

fn subject(tellings: &[Telling]) -> String {
    let mut subject = title(tellings);
    if let [one] = tellings {
        subject = format!("{subject}: {}", one.notice.summary);
    }
    cut(&one_line(&subject), SUBJECT_MAX)
}

fn body(tellings: &[Telling]) -> String {
    let mut body = String::new();
    for Telling { notice, since, .. } in tellings.iter().take(LISTED) {
        let status = notice.status.as_str().to_uppercase().replace('_', " ");
        let over = match notice.status {
            About::Resolved => format!(", over {}", notice.at),
            _ => String::new(),
        };
        let lines = [
            (
                "",
                format!(
                    "{status} {} {} ({})",
                    notice.rule,
                    notice.key,
                    notice.severity.as_str()
                ),
            ),
            ("  ", notice.summary.clone()),
            ("  ", notice.description.clone()),
            ("  since ", format!("{since}{over}")),
            ("  alert ", notice.alert_id.clone()),
        ];
        for (before, text) in lines {
            if !text.is_empty() {
                body.push_str(before);
                body.push_str(&one_line(&text));
                body.push('\n');
            }
        }
        body.push('\n');
    }
    if tellings.len() > LISTED {
        body.push_str(&format!("and {} more\n", tellings.len() - LISTED));
    }
    body
}

/// Without line ends and other control characters.
fn one_line(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::notify::Notice;
    use crate::rule::Severity;

    fn telling(summary: &str) -> Telling {
        let notice = Notice {
            status: About::Firing,
            alert_id: "a1".into(),
            rule: "spend".into(),
            description: "An agent spends too much".into(),
            key: "agent=triage".into(),
            severity: Severity::Critical,
            workspace: "default".into(),
            summary: summary.into(),
            value: None,
            threshold: "5".into(),
            at: "2026-11-22T00:00:00.000Z".into(),
            action: None,
            evidence: None,
        };
        Telling {
            delivery_id: notice.delivery_id(),
            since: notice.at.clone(),
            notice,
        }
    }

    fn email(host: &str, cover: Cover) -> Result<Email, &'static str> {
        let from = "Flyball <flyball@example.org>".parse().unwrap();
        let to = ["ops@example.org", "Ada <ada@example.org>"];
        let to = to.iter().map(|to| to.parse().unwrap()).collect();
        Email::new(host, 25, cover, from, to)
    }

    fn written(tellings: &[Telling]) -> String {
        let mail = email("localhost", Cover::Plain).unwrap().mail(tellings);
        String::from_utf8(mail.unwrap().formatted()).unwrap()
    }

    #[test]
    fn a_message_says_what_when_and_that_a_machine_wrote_it() {
        let one = [telling("agent triage spent 6 USD")];
        let text = written(&one);
        let (headers, body) = text.split_once("\r\n\r\n").unwrap();
        let id = digest(&[one[0].delivery_id.as_str()]);
        for line in [
            "From: Flyball <flyball@example.org>".to_owned(),
            "Subject: [FIRING] spend: agent triage spent 6 USD".to_owned(),
            format!("Message-ID: <{id}@example.org>"),
            "Auto-Submitted: auto-generated".to_owned(),
        ] {
            assert!(headers.lines().any(|l| l == line), "{line}\n{headers}");
        }
        assert!(headers.contains("ops@example.org") && headers.contains("ada@example.org"));
        assert!(
            body.starts_with("FIRING spend agent=triage (critical)\r\n"),
            "{body}"
        );
        assert!(
            body.contains("  since 2026-11-22T00:00:00.000Z\r\n"),
            "{body}"
        );
    }

    #[test]
    fn nothing_in_a_notice_begins_a_header() {
        for hostile in [
            "x\r\nBcc: all@example.net",
            "x\nBcc: all@example.net",
            "x\r\n\r\nBcc: all@example.net",
            "x\u{85}Bcc: all@example.net",
            "ünïcode\r\nBcc: all@example.net",
        ] {
            let mut telling = telling(hostile);
            telling.notice.rule = hostile.into();
            telling.notice.key = hostile.into();
            let text = written(&[telling]);
            let (headers, _) = text.split_once("\r\n\r\n").unwrap();
            assert!(
                !headers.to_lowercase().lines().any(|l| l.starts_with("bcc")),
                "{headers}"
            );
        }
    }

    #[test]
    fn without_tls_only_this_machine_is_spoken_to() {
        for host in ["127.0.0.1", "[::1]", "::1", "localhost", "127.9.9.9"] {
            assert!(email(host, Cover::Plain).is_ok(), "{host}");
        }
        for host in [
            "mail.example.org",
            "10.0.0.1",
            "localhost.example.org",
            "0.0.0.0",
        ] {
            assert!(email(host, Cover::Plain).is_err(), "{host}");
            assert!(email(host, Cover::StartTls).is_ok(), "{host}");
        }
    }
}
