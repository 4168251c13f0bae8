//! The file of notifiers: its YAML form, and what becomes of it.
//!
//! Its leaves are read by what reads those of a rule: as text with a line, so that an error can point at it. Secrets
//! never stand in it: it names an environment variable or a file that holds one.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use reqwest::Url;
use serde::Deserialize;
use serde_saphyr::Spanned;

use super::channel::{Channel, Group, GroupBy, Kind};
use super::email::{Cover, Email};
use super::forms::{Alertmanager, Otlp, PagerDuty, Slack, WEB, Webhook, harmless, web};
use super::secret::Secret;
use crate::rule::{Leaf, Place, Severity, syntax};
use crate::{Error, Result};

/// Bytes of a secret.
const SECRET_MAX: usize = 10_000;
/// What an Alertmanager can be told how often: it takes what it does not hear of for over, four times later.
const RESEND: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(300));
/// More often than this nobody wants to be reminded.
const REMIND: Duration = Duration::from_secs(60);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    notifiers: Vec<Spanned<Form>>,
}

/// One notifier as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    name: Leaf,
    kind: Leaf,
    url: Option<Leaf>,
    secret_env: Option<Leaf>,
    secret_file: Option<Leaf>,
    min_severity: Option<Leaf>,
    group_by: Option<Vec<Leaf>>,
    group_wait: Option<Leaf>,
    group_interval: Option<Leaf>,
    repeat_interval: Option<Leaf>,
    send_resolved: Option<Leaf>,
    user: Option<Leaf>,
    from: Option<Leaf>,
    to: Option<Vec<Leaf>>,
    plain: Option<Leaf>,
}

/// The notifiers of a file. `env` reads an environment variable.
///
/// # Errors
/// When it cannot be read, is not valid (naming file, line, field, value and what is accepted), when two have one
/// name, or when a secret is not where it should be.
pub fn load(path: &Path, env: &dyn Fn(&str) -> Option<String>) -> Result<Vec<Channel>> {
    let text = std::fs::read_to_string(path).map_err(|error| Error::NotifiersUnreadable {
        path: path.to_owned(),
        reason: error.to_string(),
    })?;
    parse(&path.display().to_string(), &text, env)
}

/// The notifiers in a text; `file` is the name that errors show.
///
/// # Errors
/// As [`load`].
pub fn parse(file: &str, text: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<Vec<Channel>> {
    let parsed: File = serde_saphyr::from_str(text).map_err(|error| syntax(file, &error))?;
    let mut seen = HashMap::new();
    let mut channels = Vec::new();
    for form in parsed.notifiers {
        let line = form.referenced.line();
        // The helpers that read a rule's leaves speak of a rule.
        let channel = channel(file, line, &form.value, env).map_err(Error::of_a_notifier)?;
        if let Some(first) = seen.insert(channel.name.clone(), format!("{file}:{line}")) {
            return Err(Error::NotifierTwice {
                file: file.to_owned(),
                line,
                name: channel.name,
                first,
            });
        }
        channels.push(channel);
    }
    Ok(channels)
}

/// One form being read.
struct Reader<'a> {
    place: Place<'a>,
    line: u64,
    form: &'a Form,
    env: &'a dyn Fn(&str) -> Option<String>,
}

fn channel(
    file: &str,
    line: u64,
    form: &Form,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Channel> {
    let place = Place {
        file,
        rule: form.name.value.trim(),
    };
    let reader = Reader {
        place,
        line,
        form,
        env,
    };
    let name = reader.name()?;
    let kind = reader.kind()?;
    let usual = Channel::new(name, kind);
    Ok(Channel {
        min_severity: reader.min_severity()?,
        group: reader.group(&usual)?,
        repeat: reader.repeat(&usual)?,
        send_resolved: match &form.send_resolved {
            None => true,
            Some(leaf) => place.flag("send_resolved", leaf)?,
        },
        ..usual
    })
}

impl Reader<'_> {
    fn name(&self) -> Result<String> {
        let leaf = &self.form.name;
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_' || c == '.';
        if leaf.value.is_empty() || leaf.value.len() > 100 || !leaf.value.chars().all(plain) {
            let accepted = "accepted are 1 to 100 letters, digits, hyphens, underscores and dots";
            return Err(self.place.refuse_leaf("name", leaf, accepted));
        }
        Ok(leaf.value.clone())
    }

    fn kind(&self) -> Result<Kind> {
        let words = [
            "alertmanager",
            "webhook",
            "slack",
            "pagerduty",
            "email",
            "otlp",
        ];
        let words = words.map(|word| (word, word));
        let kind = self.place.word("kind", &self.form.kind, &words)?;
        self.only_of(kind)?;
        Ok(match kind {
            "alertmanager" => Kind::Alertmanager(Alertmanager {
                url: self.address()?,
                secret: self.secret()?,
            }),
            "webhook" => Kind::Webhook(Webhook {
                url: self.address()?,
                secret: self.secret()?,
            }),
            "slack" => Kind::Slack(self.slack()?),
            "pagerduty" => Kind::PagerDuty(PagerDuty {
                url: match &self.form.url {
                    Some(_) => self.address()?,
                    None => self.web(self.line, PagerDuty::URL)?,
                },
                routing_key: self.needed_secret("the integration's key")?,
            }),
            "email" => Kind::Email(Box::new(self.email()?)),
            _ => Kind::Otlp(Otlp {
                url: self.address()?,
                secret: self.secret()?,
            }),
        })
    }

    /// Refuses fields that mean nothing to this kind.
    fn only_of(&self, kind: &str) -> Result<()> {
        const PEOPLE: &[&str] = &["slack", "email", "webhook"];
        const EMAIL: &[&str] = &["email"];
        let first = |leaves: &Option<Vec<Leaf>>| leaves.as_ref().map(|_| self.line);
        let at = |leaf: &Option<Leaf>| leaf.as_ref().map(|leaf| leaf.referenced.line());
        let form = self.form;
        let fields: [(&'static str, Option<u64>, &[&str]); 8] = [
            ("group_by", first(&form.group_by), PEOPLE),
            ("group_wait", at(&form.group_wait), PEOPLE),
            ("group_interval", at(&form.group_interval), PEOPLE),
            ("user", at(&form.user), EMAIL),
            ("from", at(&form.from), EMAIL),
            ("to", first(&form.to), EMAIL),
            ("plain", at(&form.plain), EMAIL),
            (
                "url",
                at(&form.url).filter(|_| kind == "slack"),
                &["a notifier whose secret is not its address"],
            ),
        ];
        for (field, line, kinds) in fields {
            if let Some(line) = line
                && !kinds.contains(&kind)
            {
                let accepted = format!("accepted only with: {}", kinds.join(", "));
                return Err(self.place.refuse(line, field, kind, accepted));
            }
        }
        Ok(())
    }

    /// The address, which has to be there.
    fn address(&self) -> Result<Url> {
        match &self.form.url {
            Some(leaf) => self.web(leaf.referenced.line(), leaf.value.trim()),
            None => Err(self.missing("url", "an http:// or https:// URL")),
        }
    }

    fn web(&self, line: u64, text: &str) -> Result<Url> {
        web(text).ok_or_else(|| self.place.refuse(line, "url", harmless(text), WEB))
    }

    fn slack(&self) -> Result<Slack> {
        let secret = self.needed_secret("the address of the incoming webhook")?;
        Slack::new(&secret).ok_or_else(|| {
            let accepted =
                "accepted is an http:// or https:// URL, the address of the incoming webhook";
            self.place.refuse(self.line, "secret", "(set)", accepted)
        })
    }

    fn email(&self) -> Result<Email> {
        const ACCEPTED: &str = "accepted is smtp://HOST:PORT (STARTTLS) or smtps://HOST:PORT (TLS)";
        let (Some(address), Some(from)) = (&self.form.url, &self.form.from) else {
            let field = if self.form.url.is_none() {
                "url"
            } else {
                "from"
            };
            return Err(self.missing(field, "a value, for kind email"));
        };
        let plain = match &self.form.plain {
            None => false,
            Some(leaf) => self.place.flag("plain", leaf)?,
        };
        let url = Url::parse(address.value.trim()).ok();
        let server = url.as_ref().and_then(|url| {
            let (cover, port) = match url.scheme() {
                "smtp" if plain => (Cover::Plain, 25),
                "smtp" => (Cover::StartTls, 587),
                "smtps" if !plain => (Cover::Tls, 465),
                _ => return None,
            };
            let bare = url.username().is_empty() && url.password().is_none();
            let host = url.host_str().filter(|host| bare && !host.is_empty())?;
            Some((host, url.port().unwrap_or(port), cover))
        });
        let refused = |accepted| {
            let line = address.referenced.line();
            self.place
                .refuse(line, "url", harmless(&address.value), accepted)
        };
        let (host, port, cover) = server.ok_or_else(|| refused(ACCEPTED))?;
        let to = self.form.to.as_deref().unwrap_or_default();
        if to.is_empty() {
            return Err(self.missing("to", "one address at least"));
        }
        let to = to.iter().map(|leaf| self.mailbox("to", leaf));
        let to = to.collect::<Result<Vec<_>>>()?;
        let email =
            Email::new(host, port, cover, self.mailbox("from", from)?, to).map_err(refused)?;
        match (&self.form.user, self.secret()?) {
            (Some(user), Some(password)) => {
                let user = self.place.text("user", user, 200)?;
                Ok(email.with_login(&user, password))
            }
            (None, None) => Ok(email),
            (Some(_), None) => {
                Err(self.missing("secret_env", "the user's password, here or in secret_file"))
            }
            (None, Some(_)) => Err(self.missing("user", "whose password it is")),
        }
    }

    fn mailbox(&self, field: &'static str, leaf: &Leaf) -> Result<lettre::message::Mailbox> {
        let accepted = "accepted is an address such as ops@example.org or Ops <ops@example.org>";
        let text = leaf.value.trim();
        let parsed = text
            .parse()
            .ok()
            .filter(|_| !text.chars().any(char::is_control));
        parsed.ok_or_else(|| self.place.refuse_leaf(field, leaf, accepted))
    }

    fn secret(&self) -> Result<Option<Secret>> {
        let (field, leaf, text) = match (&self.form.secret_env, &self.form.secret_file) {
            (None, None) => return Ok(None),
            (Some(leaf), None) => ("secret_env", leaf, (self.env)(leaf.value.trim())),
            (None, Some(leaf)) => {
                let read = std::fs::read_to_string(leaf.value.trim());
                ("secret_file", leaf, read.ok())
            }
            (Some(_), Some(leaf)) => {
                let accepted = "accepted is one of secret_env and secret_file";
                return Err(self.place.refuse_leaf("secret_file", leaf, accepted));
            }
        };
        let text = text.unwrap_or_default();
        let text = text.trim();
        if text.is_empty() || text.len() > SECRET_MAX || text.chars().any(char::is_control) {
            let accepted = "accepted is the name of what holds the secret: one line, not empty";
            return Err(self.place.refuse_leaf(field, leaf, accepted));
        }
        Ok(Some(Secret::new(text)))
    }

    fn needed_secret(&self, what: &str) -> Result<Secret> {
        let missing = || self.missing("secret_env", &format!("{what}, here or in secret_file"));
        self.secret()?.ok_or_else(missing)
    }

    fn missing(&self, field: &'static str, what: &str) -> Error {
        let accepted = format!("accepted is {what}");
        self.place.refuse(self.line, field, "", accepted)
    }

    fn min_severity(&self) -> Result<Severity> {
        let words = [
            ("info", Severity::Info),
            ("warning", Severity::Warning),
            ("critical", Severity::Critical),
        ];
        match &self.form.min_severity {
            None => Ok(Severity::Info),
            Some(leaf) => self.place.word("min_severity", leaf, &words),
        }
    }

    fn group(&self, usual: &Channel) -> Result<Option<Group>> {
        let form = self.form;
        let asked =
            form.group_by.is_some() || form.group_wait.is_some() || form.group_interval.is_some();
        if usual.group.is_none() && !asked {
            return Ok(None);
        }
        let base = usual.group.clone().unwrap_or(Group {
            by: vec![GroupBy::Rule],
            wait: Duration::from_secs(10),
            interval: Duration::from_secs(300),
        });
        let by = match &form.group_by {
            None => base.by,
            Some(leaves) => leaves
                .iter()
                .map(|leaf| self.place.word("group_by", leaf, &GroupBy::WORDS))
                .collect::<Result<_>>()?,
        };
        Ok(Some(Group {
            by,
            wait: self.length("group_wait", form.group_wait.as_ref(), base.wait)?,
            interval: self.length(
                "group_interval",
                form.group_interval.as_ref(),
                base.interval,
            )?,
        }))
    }

    fn length(
        &self,
        field: &'static str,
        leaf: Option<&Leaf>,
        usual: Duration,
    ) -> Result<Duration> {
        leaf.map_or(Ok(usual), |leaf| {
            let nanos = self.place.length(field, leaf)?;
            Ok(Duration::from_nanos(nanos.unsigned_abs()))
        })
    }

    fn repeat(&self, usual: &Channel) -> Result<Option<Duration>> {
        let Some(leaf) = &self.form.repeat_interval else {
            return Ok(usual.repeat);
        };
        let every = self.length("repeat_interval", Some(leaf), Duration::ZERO)?;
        let refused = |accepted| Err(self.place.refuse_leaf("repeat_interval", leaf, accepted));
        if usual.forgets() {
            let (least, most) = RESEND;
            return match (least..=most).contains(&every) {
                true => Ok(Some(every)),
                false => refused("accepted for an Alertmanager is 1s to 5m"),
            };
        }
        match every {
            Duration::ZERO => Ok(None),
            every if every < REMIND => refused("accepted is 1m or more, or 0s for never"),
            every => Ok(Some(every)),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn env(name: &str) -> Option<String> {
        match name {
            "HOOK" => Some("s3cret".to_owned()),
            "SLACK" => Some("https://hooks.example/services/T/B/X\n".to_owned()),
            _ => None,
        }
    }

    fn read(text: &str) -> Result<Vec<Channel>> {
        parse("n.yaml", text, &env)
    }

    const ALL: &str = "\
notifiers:
  - { name: am, kind: alertmanager, url: 'http://127.0.0.1:9093', repeat_interval: 30s }
  - { name: hook, kind: webhook, url: 'https://example.org/hook?token=1', secret_env: HOOK }
  - name: chat
    kind: slack
    secret_env: SLACK
    min_severity: warning
    group_by: [rule, severity]
    group_wait: 30s
    group_interval: 10m
    repeat_interval: 1d
    send_resolved: false
  - { name: pager, kind: pagerduty, secret_env: HOOK, min_severity: critical }
  - name: mail
    kind: email
    url: smtp://mail.example.org
    user: flyball
    secret_env: HOOK
    from: Flyball <flyball@example.org>
    to: [ops@example.org, 'Ada <ada@example.org>']
  - { name: siem, kind: otlp, url: 'http://127.0.0.1:4318/otel' }
";

    #[test]
    fn every_kind_is_read_and_no_secret_is_shown() {
        let channels = read(ALL).unwrap();
        let kinds: Vec<_> = channels.iter().map(|c| c.kind.as_str()).collect();
        assert_eq!(
            kinds,
            [
                "alertmanager",
                "webhook",
                "slack",
                "pagerduty",
                "email",
                "otlp"
            ]
        );
        let chat = &channels[2];
        assert_eq!(chat.min_severity, Severity::Warning);
        assert!(!chat.send_resolved);
        let group = Group {
            by: vec![GroupBy::Rule, GroupBy::Severity],
            wait: Duration::from_secs(30),
            interval: Duration::from_secs(600),
        };
        assert_eq!(chat.group, Some(group));
        assert_eq!(chat.repeat, Some(Duration::from_secs(86_400)));
        assert_eq!(channels[0].repeat, Some(Duration::from_secs(30)));
        assert_eq!(channels[1].group, None);
        let shown = format!("{channels:?}");
        assert!(
            !shown.contains("s3cret") && !shown.contains("T/B/X"),
            "{shown}"
        );
    }

    #[test]
    fn errors_name_file_line_notifier_field_value_and_what_is_accepted() {
        let one = |fields: &str| format!("notifiers:\n  - name: n\n{fields}");
        for (fields, want) in [
            (
                "    kind: fax\n",
                "n.yaml:3: notifier n: kind is \"fax\"; accepted is one of: alertmanager,",
            ),
            (
                "    kind: webhook\n",
                "notifier n: url is \"\"; accepted is an http",
            ),
            (
                "    kind: webhook\n    url: 'ftp://h'\n",
                "n.yaml:4: notifier n: url is \"ftp://h\"; accepted is an http",
            ),
            (
                "    kind: webhook\n    url: 'https://u:hunter2@h'\n",
                "url is \"h\"; accepted is an http",
            ),
            (
                "    kind: webhook\n    url: http://h\n    secret_env: NONE\n",
                "n.yaml:5: notifier n: secret_env is \"NONE\"",
            ),
            (
                "    kind: webhook\n    url: http://h\n    secret_file: /nowhere/x\n",
                "secret_file is \"/nowhere/x\"",
            ),
            (
                "    kind: webhook\n    url: http://h\n    secret: x\n",
                "n.yaml:5: ",
            ),
            (
                "    kind: slack\n",
                "accepted is the address of the incoming webhook, here or in secret_file",
            ),
            (
                "    kind: slack\n    url: http://h\n    secret_env: SLACK\n",
                "url is \"slack\"; accepted only with",
            ),
            (
                "    kind: slack\n    secret_env: HOOK\n",
                "secret is \"(set)\"; accepted is an http",
            ),
            (
                "    kind: pagerduty\n    secret_env: HOOK\n    group_by: [rule]\n",
                "group_by is \"pagerduty\"; accepted only with: slack, email, webhook",
            ),
            (
                "    kind: webhook\n    url: http://h\n    group_by: [color]\n",
                "group_by is \"color\"; accepted is one of: rule, key, severity, workspace",
            ),
            (
                "    kind: webhook\n    url: http://h\n    group_wait: soon\n",
                "group_wait is \"soon\"; accepted is a whole number with a unit",
            ),
            (
                "    kind: alertmanager\n    url: http://h\n    repeat_interval: 10m\n",
                "accepted for an Alertmanager is 1s to 5m",
            ),
            (
                "    kind: webhook\n    url: http://h\n    repeat_interval: 1s\n",
                "accepted is 1m or more, or 0s for never",
            ),
            (
                "    kind: email\n    url: smtp://mail.example.org\n    plain: true\n    from: a@b.org\n    to: [a@b.org]\n",
                "accepted without TLS is a server on this machine",
            ),
            (
                "    kind: email\n    url: http://h\n    from: a@b.org\n    to: [a@b.org]\n",
                "accepted is smtp://HOST:PORT (STARTTLS)",
            ),
            (
                "    kind: email\n    url: smtps://h\n    from: a@b.org\n    to: [nobody]\n",
                "to is \"nobody\"; accepted is an address",
            ),
            (
                "    kind: email\n    url: smtps://h\n    from: \"a@b.org\\r\\nBcc: c@d.org\"\n    to: [a@b.org]\n",
                "from is",
            ),
            (
                "    kind: email\n    url: smtps://h\n    from: a@b.org\n    to: [a@b.org]\n    secret_env: HOOK\n",
                "user is \"\"",
            ),
        ] {
            let error = read(&one(fields)).unwrap_err().to_string();
            assert!(error.contains(want), "{error}\nlacks {want}");
            assert!(error.starts_with("n.yaml:"), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
        let twice = "notifiers:\n  - { name: n, kind: otlp, url: 'http://h' }\n  - { name: n, kind: otlp, url: 'http://h' }\n";
        let error = read(twice).unwrap_err().to_string();
        assert!(
            error.contains("n.yaml:3: notifier n is already defined in n.yaml:2"),
            "{error}"
        );
        for text in ["", "notifiers: 7\n", "other: []\n"] {
            assert!(
                read(text).unwrap_err().to_string().starts_with("n.yaml:"),
                "{text}"
            );
        }
        assert!(read("notifiers: []\n").unwrap().is_empty());
    }
}
