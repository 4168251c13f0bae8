//! Silences: what people need not hear for a while. A silence mutes the telling; rules, actions and records go on.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, TimeDelta, Utc};
use regex::{Regex, RegexBuilder};
use serde::{Deserialize, Serialize};

use super::Notice;
use crate::guard::digest;
use crate::rule::Severity;
use crate::{Error, Result};

/// Bytes of one value.
const VALUE_MAX: usize = 200;
/// Bytes of a reason and of a name.
const WORDS_MAX: usize = 500;
/// Matchers of one silence.
const MATCHERS_MAX: usize = 10;
/// What nobody has looked at for so long is not meant any more.
const LONGEST: TimeDelta = TimeDelta::days(30);
/// Memory of one compiled expression, bytes.
const REGEX_BYTES: usize = 1 << 18;

/// What a matcher looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Rule,
    Key,
    Severity,
}

impl Field {
    const ALL: [(&'static str, Self); 3] = [
        ("rule", Self::Rule),
        ("key", Self::Key),
        ("severity", Self::Severity),
    ];

    fn of(self, notice: &Notice) -> &str {
        match self {
            Self::Rule => &notice.rule,
            Self::Key => &notice.key,
            Self::Severity => notice.severity.as_str(),
        }
    }
}

/// One condition: `rule=spend`, or `key=~agent=tri.*` with an expression that must match the whole value.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Matcher {
    field: Field,
    text: String,
    pattern: Option<Regex>,
}

impl Matcher {
    fn takes(&self, value: &str) -> bool {
        match &self.pattern {
            Some(pattern) => pattern.is_match(value),
            None => self.text == value,
        }
    }

    /// Whether it takes whatever there may be: values that have nothing in common.
    fn takes_all(&self) -> bool {
        const UNLIKE: [&str; 4] = ["a", "Zq-9._x", "agent=b", "tool=\u{3b1} 1/2"];
        let severities = [Severity::Info, Severity::Warning, Severity::Critical];
        match self.field {
            Field::Severity => severities.iter().all(|s| self.takes(s.as_str())),
            Field::Rule => UNLIKE[..2].iter().all(|value| self.takes(value)),
            Field::Key => UNLIKE[2..].iter().all(|value| self.takes(value)),
        }
    }
}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = Field::ALL.iter().find(|(_, field)| *field == self.field);
        let name = named.map_or("", |(name, _)| *name);
        let sign = if self.pattern.is_some() { "=~" } else { "=" };
        write!(f, "{name}{sign}{}", self.text)
    }
}

impl From<Matcher> for String {
    fn from(matcher: Matcher) -> Self {
        matcher.to_string()
    }
}

impl TryFrom<String> for Matcher {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl FromStr for Matcher {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        const ACCEPTED: &str = "accepted are rule, key or severity, then = and a value or =~ and a regular expression, \
             such as rule=spend-rate-high or key=~agent=test-.*";
        let refused = |accepted: &str| refused("matchers", text, accepted);
        let (name, value) = text.split_once('=').ok_or_else(|| refused(ACCEPTED))?;
        let field = Field::ALL.iter().find(|(word, _)| *word == name.trim());
        let (_, field) = field.ok_or_else(|| refused(ACCEPTED))?;
        let (expression, value) = match value.strip_prefix('~') {
            Some(expression) => (true, expression),
            None => (false, value),
        };
        if value.trim().is_empty() || value.len() > VALUE_MAX {
            return Err(refused("accepted is a value of 1 to 200 bytes"));
        }
        let pattern = expression.then(|| {
            let whole = format!("^(?:{value})$");
            let built = RegexBuilder::new(&whole).size_limit(REGEX_BYTES).build();
            built.map_err(|_| refused("accepted is a regular expression (of Rust's regex crate)"))
        });
        let matcher = Self {
            field: *field,
            text: value.to_owned(),
            pattern: pattern.transpose()?,
        };
        if matcher.takes_all() {
            return Err(refused("accepted is what leaves something to be told"));
        }
        Ok(matcher)
    }
}

/// A silence as it is asked for.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SilenceOrder {
    /// All of them must take a notice.
    pub matchers: Vec<String>,
    /// From when on; without it, from now on.
    #[serde(default)]
    pub from: Option<DateTime<Utc>>,
    /// Until when.
    pub until: DateTime<Utc>,
    /// Why.
    pub why: String,
}

/// What is not told, to whom it may concern.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Silence {
    /// Its name.
    pub id: String,
    /// All of them must take a notice.
    pub matchers: Vec<Matcher>,
    /// From when on.
    pub from: DateTime<Utc>,
    /// Until when.
    pub until: DateTime<Utc>,
    /// Who wanted it.
    pub by: String,
    /// Why.
    pub why: String,
}

impl Silence {
    /// Checks an order, and makes a silence of it.
    ///
    /// # Errors
    /// When it would mute everything, never begin or hardly ever end, or has no reason; the error names the field.
    pub fn new(order: &SilenceOrder, by: &str, now: DateTime<Utc>) -> Result<Self> {
        let count = order.matchers.len();
        if !(1..=MATCHERS_MAX).contains(&count) {
            let accepted = "accepted are 1 to 10 matchers: without any, everything would be muted";
            return Err(refused("matchers", &count.to_string(), accepted));
        }
        let matchers = order.matchers.iter().map(|text| text.parse());
        let matchers = matchers.collect::<Result<Vec<Matcher>>>()?;
        let from = order.from.unwrap_or(now).max(now);
        if order.until <= from || order.until - from > LONGEST {
            let accepted = "accepted is a time after its beginning and at most 30 days from it";
            return Err(refused("until", &order.until.to_rfc3339(), accepted));
        }
        for (field, text) in [("why", order.why.trim()), ("by", by)] {
            if text.is_empty() || text.len() > WORDS_MAX {
                return Err(refused(field, text, "accepted is text of 1 to 500 bytes"));
            }
        }
        let words: Vec<String> = matchers.iter().map(Matcher::to_string).collect();
        let at = now.timestamp_nanos_opt().unwrap_or_default().to_string();
        let mut id = digest(&[&words.join("\n"), by, &order.why, &at]);
        id.truncate(12);
        Ok(Self {
            id,
            matchers,
            from,
            until: order.until,
            by: by.to_owned(),
            why: order.why.trim().to_owned(),
        })
    }

    /// Whether it is in force.
    #[must_use]
    pub fn holds(&self, now: DateTime<Utc>) -> bool {
        self.from <= now && now < self.until
    }

    /// Whether it mutes this notice, when it is in force.
    #[must_use]
    pub fn mutes(&self, notice: &Notice) -> bool {
        let taken = |matcher: &Matcher| matcher.takes(matcher.field.of(notice));
        !self.matchers.is_empty() && self.matchers.iter().all(taken)
    }
}

fn refused(field: &'static str, value: &str, accepted: &str) -> Error {
    let value: String = value.chars().take(80).collect();
    Error::Silence {
        field,
        value: format!("{value:?}"),
        accepted: accepted.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::notify::About;

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000, 0).unwrap()
    }

    fn order(matchers: &[&str]) -> SilenceOrder {
        SilenceOrder {
            matchers: matchers.iter().map(|text| (*text).to_owned()).collect(),
            from: None,
            until: now() + TimeDelta::hours(1),
            why: "a deployment".into(),
        }
    }

    fn notice(rule: &str, key: &str, severity: Severity) -> Notice {
        Notice {
            status: About::Firing,
            alert_id: "a".into(),
            rule: rule.into(),
            description: String::new(),
            key: key.into(),
            severity,
            workspace: "default".into(),
            summary: String::new(),
            value: None,
            threshold: "1".into(),
            at: "2026-11-22T00:00:00Z".into(),
            action: None,
            evidence: None,
        }
    }

    #[test]
    fn all_matchers_must_take_the_whole_value() {
        let silence = |matchers: &[&str]| Silence::new(&order(matchers), "cli:ada", now()).unwrap();
        let of = |key| notice("spend", key, Severity::Warning);
        let both = silence(&["rule=spend", "key=~agent=test-.*"]);
        assert!(both.mutes(&of("agent=test-1")));
        assert!(!both.mutes(&of("agent=prod")) && !both.mutes(&of("xagent=test-1")));
        assert!(!both.mutes(&notice("errors", "agent=test-1", Severity::Warning)));
        // Either side of an alternative is anchored, too.
        let either = silence(&["key=~agent=a|agent=b"]);
        assert!(either.mutes(&of("agent=b")) && !either.mutes(&of("agent=bb")));
        let exact = silence(&["key=agent=a.b"]);
        assert!(exact.mutes(&of("agent=a.b")) && !exact.mutes(&of("agent=axb")));
        let mild = silence(&["severity=~info|warning"]);
        assert!(mild.mutes(&of("agent=a")));
        assert!(!mild.mutes(&notice("spend", "agent=a", Severity::Critical)));
    }

    #[test]
    fn what_would_mute_everything_is_refused() {
        for matchers in [
            &[][..],
            &[""],
            &["rule="],
            &["rule=~"],
            &["rule=~.*"],
            &["rule=~.+"],
            &["rule=~(?s).*"],
            &["rule=~[^ ]*"],
            &["key=~.*=.*"],
            &["key=~(agent|tool)=.*|x"],
            &["severity=~.*"],
            &["severity=~info|warning|critical"],
            &["severity=critical", "rule=~.*"],
            &["agent=a"],
            &["rule"],
            &["rule=~("],
            &["rule=~(a{1000}){1000}"],
        ] {
            let error = Silence::new(&order(matchers), "cli:ada", now()).unwrap_err();
            let error = error.to_string();
            assert!(error.starts_with("silence: matchers is"), "{error}");
            assert!(error.contains("accepted"), "{error}");
        }
    }

    #[test]
    fn it_has_an_end_and_a_reason() {
        let mut endless = order(&["rule=spend"]);
        endless.until = now() + TimeDelta::days(31);
        let mut over = order(&["rule=spend"]);
        over.until = now();
        let mut silent = order(&["rule=spend"]);
        silent.why = "  ".into();
        for (order, field) in [(endless, "until"), (over, "until"), (silent, "why")] {
            let error = Silence::new(&order, "cli:ada", now()).unwrap_err();
            assert!(
                error.to_string().contains(&format!(" {field} is")),
                "{error}"
            );
        }
    }

    #[test]
    fn it_holds_from_its_beginning_to_its_end_and_is_read_back_as_it_was() {
        let mut later = order(&["rule=spend", "key=~agent=a.*"]);
        later.from = Some(now() + TimeDelta::minutes(1));
        let silence = Silence::new(&later, "cli:ada", now()).unwrap();
        let text = serde_json::to_string(&silence).unwrap();
        let silence: Silence = serde_json::from_str(&text).unwrap();
        assert_eq!(serde_json::to_string(&silence).unwrap(), text);
        assert!(!silence.holds(now()));
        assert!(silence.holds(now() + TimeDelta::minutes(1)));
        assert!(!silence.holds(now() + TimeDelta::hours(1)));
        assert!(silence.mutes(&notice("spend", "agent=abc", Severity::Info)));
    }
}
