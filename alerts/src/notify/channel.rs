//! One notifier as configured: whom it tells, of what, and in which manner.

use std::time::Duration;

use serde::Serialize;

use super::email::{Email, Mail};
use super::forms::{Alertmanager, Otlp, PagerDuty, Slack, Webhook};
use super::http::{Answer, Reply, Request};
use super::{Notice, Secret, Telling};
use crate::rule::Severity;

/// One notifier.
#[derive(Debug, Clone)]
pub struct Channel {
    /// Its name in rules, figures and errors.
    pub name: String,
    /// What it speaks, and where.
    pub kind: Kind,
    /// What is milder is not told.
    pub min_severity: Severity,
    /// How notices are put together into one message; without it, each goes by itself.
    pub group: Option<Group>,
    /// After how long an alert that still stands is told again; without it, never.
    pub repeat: Option<Duration>,
    /// Whether people hear that it is over.
    pub send_resolved: bool,
}

impl Channel {
    /// One that tells everything, in the manner that is usual for its kind.
    #[must_use]
    pub fn new(name: impl Into<String>, kind: Kind) -> Self {
        Self {
            name: name.into(),
            group: kind.usual_group(),
            repeat: kind.usual_repeat(),
            kind,
            min_severity: Severity::Info,
            send_resolved: true,
        }
    }
}

/// What is written to by whom.
#[derive(Debug, Clone)]
pub enum Kind {
    /// Prometheus' Alertmanager, API v2.
    Alertmanager(Alertmanager),
    /// Our own JSON, signed.
    Webhook(Webhook),
    /// An incoming webhook of Slack.
    Slack(Slack),
    /// PagerDuty's Events API v2.
    PagerDuty(PagerDuty),
    /// E-mail over SMTP.
    Email(Box<Email>),
    /// OpenTelemetry logs over HTTP, for a SIEM.
    Otlp(Otlp),
}

/// What is put into one message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Notices that agree in these belong together; none of them: all do.
    pub by: Vec<GroupBy>,
    /// How long the first notice of a group waits for others.
    pub wait: Duration,
    /// The least time between two messages about one group.
    pub interval: Duration,
}

/// By what notices are put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum GroupBy {
    /// By rule.
    Rule,
    /// By what it is about, such as `agent=triage`.
    Key,
    /// By severity.
    Severity,
    /// By workspace.
    Workspace,
}

impl GroupBy {
    /// Every word, for configuration.
    pub(super) const WORDS: [(&'static str, Self); 4] = [
        ("rule", Self::Rule),
        ("key", Self::Key),
        ("severity", Self::Severity),
        ("workspace", Self::Workspace),
    ];

    fn of(self, notice: &Notice) -> &str {
        match self {
            Self::Rule => &notice.rule,
            Self::Key => &notice.key,
            Self::Severity => notice.severity.as_str(),
            Self::Workspace => &notice.workspace,
        }
    }
}

/// Which waiting notices go into one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bundle {
    /// The oldest, alone.
    Each,
    /// All of its group.
    Group,
    /// The oldest of every alert.
    Heads,
    /// All.
    All,
}

/// What goes over the wire.
pub(super) enum Letter {
    Http(Request),
    Mail(Box<Mail>),
}

impl Kind {
    /// The word in the file.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Alertmanager(_) => "alertmanager",
            Self::Webhook(_) => "webhook",
            Self::Slack(_) => "slack",
            Self::PagerDuty(_) => "pagerduty",
            Self::Email(_) => "email",
            Self::Otlp(_) => "otlp",
        }
    }

    /// Whether people read what it writes: they are told of many alerts in one message.
    pub(super) fn for_people(&self) -> bool {
        matches!(self, Self::Slack(_) | Self::Email(_))
    }

    pub(super) fn usual_group(&self) -> Option<Group> {
        self.for_people().then(|| Group {
            by: vec![GroupBy::Rule],
            wait: Duration::from_secs(10),
            interval: Duration::from_secs(300),
        })
    }

    pub(super) fn usual_repeat(&self) -> Option<Duration> {
        match self {
            // What is not repeated is over, for an Alertmanager, or was lost when it was started anew.
            Self::Alertmanager(_) => Some(Duration::from_secs(60)),
            Self::Slack(_) | Self::Email(_) => Some(Duration::from_secs(4 * 3_600)),
            Self::Webhook(_) | Self::PagerDuty(_) | Self::Otlp(_) => None,
        }
    }

    /// The notices in the form of the kind; pure.
    ///
    /// # Errors
    /// Why they cannot be put into it, in words.
    pub(super) fn letter(
        &self,
        tellings: &[Telling],
        now: chrono::DateTime<chrono::Utc>,
        repeat: Option<Duration>,
        grouped: bool,
    ) -> Result<Letter, String> {
        let request = match self {
            Self::Alertmanager(to) => to.request(tellings, now, repeat),
            Self::Webhook(to) => to.request(tellings, now, grouped),
            Self::Slack(to) => to.request(tellings),
            Self::PagerDuty(to) => to.request(tellings),
            Self::Otlp(to) => to.request(tellings, now),
            Self::Email(to) => return to.mail(tellings).map(|mail| Letter::Mail(Box::new(mail))),
        };
        request.map(Letter::Http)
    }

    /// What a receiver might repeat in its answer, and nobody else may read.
    pub(super) fn secret(&self) -> Option<&Secret> {
        match self {
            Self::Alertmanager(to) => to.secret.as_ref(),
            Self::Webhook(to) => to.secret.as_ref(),
            Self::Slack(to) => Some(&to.url),
            Self::PagerDuty(to) => Some(&to.routing_key),
            Self::Otlp(to) => to.secret.as_ref(),
            // Of what a mail server says only the code is kept.
            Self::Email(_) => None,
        }
    }

    /// What an answer over HTTP means; pure.
    pub(super) fn reply(&self, answer: &Answer) -> Reply {
        match self {
            Self::Otlp(_) => Otlp::reply(answer),
            _ => answer.reply(),
        }
    }
}

impl Channel {
    pub(super) fn bundle(&self) -> Bundle {
        match self.kind {
            Kind::Alertmanager(_) => Bundle::Heads,
            Kind::Otlp(_) => Bundle::All,
            _ if self.group.is_some() => Bundle::Group,
            _ => Bundle::Each,
        }
    }

    /// Whether what was over before it could be told is not told at all. A log is told everything.
    pub(super) fn cancels(&self) -> bool {
        !matches!(self.kind, Kind::Otlp(_))
    }

    /// Whether silences keep it quiet. A log is for later, and wakes nobody.
    pub(super) fn can_be_silenced(&self) -> bool {
        !matches!(self.kind, Kind::Otlp(_))
    }

    /// Whether it has to hear again and again of what it knows, or it takes it for over.
    pub(super) fn forgets(&self) -> bool {
        matches!(self.kind, Kind::Alertmanager(_))
    }

    /// What a notice has in common with the others of its message.
    pub(super) fn group_of(&self, notice: &Notice) -> String {
        let by = self.group.iter().flat_map(|group| &group.by);
        let words: Vec<&str> = by.map(|by| by.of(notice)).collect();
        // As JSON, so that no two lists of words read the same.
        serde_json::Value::from(words).to_string()
    }
}
