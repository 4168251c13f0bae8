//! What can go wrong here, each named for what it was.

use std::path::PathBuf;

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// What can go wrong in alerting.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A rule file or folder could not be read.
    #[error("rules: cannot read {}: {reason}", path.display())]
    RulesUnreadable {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// A rule file is not the YAML it should be: syntax, an unknown or missing field, a wrong kind of node.
    #[error("{file}:{line}: {reason}")]
    RuleSyntax {
        /// The file, as given.
        file: String,
        /// Line, from 1.
        line: u64,
        /// What the reader met and what it expected.
        reason: String,
    },
    /// A field of a rule holds what it must not.
    #[error("{file}:{line}: rule {rule}: {field} is {value}; {accepted}")]
    RuleField {
        /// The file, as given.
        file: String,
        /// Line, from 1.
        line: u64,
        /// The rule's name.
        rule: String,
        /// The field.
        field: &'static str,
        /// What it holds.
        value: String,
        /// What is accepted, in words.
        accepted: String,
    },
    /// Two rules have one name.
    #[error("{file}:{line}: rule {rule} is already defined in {first}; names must be unique")]
    RuleTwice {
        /// The second file.
        file: String,
        /// Line, from 1.
        line: u64,
        /// The name.
        rule: String,
        /// Where it stood first.
        first: String,
    },
    /// A rule names a notifier that is not configured.
    #[error("rule {rule}: notify names {name}, which is not configured; configured are: {known}")]
    NotifierUnknown {
        /// The rule.
        rule: String,
        /// What it names.
        name: String,
        /// The configured names.
        known: String,
    },
    /// The file of notifiers could not be read.
    #[error("notifiers: cannot read {}: {reason}", path.display())]
    NotifiersUnreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// A field of a notifier holds what it must not.
    #[error("{file}:{line}: notifier {name}: {field} is {value}; {accepted}")]
    NotifierField {
        /// The file, as given.
        file: String,
        /// Line, from 1.
        line: u64,
        /// The notifier's name.
        name: String,
        /// The field.
        field: &'static str,
        /// What it holds.
        value: String,
        /// What is accepted, in words.
        accepted: String,
    },
    /// An address that nothing can be sent to.
    #[error("{value} is no address; {accepted}")]
    Address {
        /// The address, without what nobody may see.
        value: String,
        /// What is accepted, in words.
        accepted: &'static str,
    },
    /// Two notifiers have one name.
    #[error("{file}:{line}: notifier {name} is already defined in {first}; names must be unique")]
    NotifierTwice {
        /// The file.
        file: String,
        /// Line, from 1.
        line: u64,
        /// The name.
        name: String,
        /// Where it stood first.
        first: String,
    },
    /// A silence is not acceptable.
    #[error("silence: {field} is {value}; {accepted}")]
    Silence {
        /// The field.
        field: &'static str,
        /// What it holds.
        value: String,
        /// What is accepted, in words.
        accepted: String,
    },
    /// What is to be told could not be kept or read.
    #[error("alert outbox {}: {reason}", path.display())]
    Outbox {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        reason: String,
    },
    /// Saved state could not be read or written.
    #[error("alert state {}: {reason}", path.display())]
    Memory {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        reason: String,
    },
    /// No rule has this name.
    #[error("rule {rule} is not in use; rules are: {known}")]
    RuleUnknown {
        /// The name.
        rule: String,
        /// The names in use.
        known: String,
    },
    /// A rule is not promoted.
    #[error("rule {rule} is not promoted: {why}")]
    NotPromoted {
        /// The rule.
        rule: String,
        /// Why.
        why: String,
    },
    /// No rule took this action lately.
    #[error("action {action_id} is none of the last 200 actions of any rule in use")]
    ActionUnknown {
        /// Its id.
        action_id: String,
    },
    /// The engine has ended.
    #[error("alerting has ended")]
    Ended,
    /// A rule that history cannot be replayed through.
    #[error("rule {rule} cannot be backtested: {reason}")]
    NotReplayable {
        /// The rule.
        rule: String,
        /// Why.
        reason: String,
    },
    /// A backtest's stretch of time is empty.
    #[error("backtest: since is {since} and until is {until}; accepted is a since before until")]
    Stretch {
        /// Its begin, RFC 3339.
        since: String,
        /// Its end, RFC 3339.
        until: String,
    },
    /// The journal of the past cannot be read.
    #[error("history: {reason}")]
    History {
        /// What went wrong.
        reason: String,
    },
    /// A batch is not of the journal.
    #[error(
        "these entries cannot be read: {reason}; accepted are batches of the journal's schema (`ChargeRow`)"
    )]
    Entries {
        /// What does not fit.
        reason: String,
    },
}

impl Error {
    /// The same about a notifier, whose leaves are read by what reads those of a rule.
    pub(crate) fn of_a_notifier(self) -> Self {
        match self {
            Self::RuleField {
                file,
                line,
                rule,
                field,
                value,
                accepted,
            } => Self::NotifierField {
                file,
                line,
                name: rule,
                field,
                value,
                accepted,
            },
            other => other,
        }
    }
}
