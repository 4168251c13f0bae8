//! What the frameworks of the world send, and which column it fills: one table, readable by a person.
//!
//! [`RULES`] says, for each column, under which attribute keys it may stand, best first, and how the
//! value is read. [`OPERATIONS`] says what kind of work a span tells of, [`CONTENT`] which keys hold
//! prompts, answers, arguments and results, [`events`] which log records tell of a call, [`sources`] what else has to
//! be known about a sender. A new framework is a few rows here, not a branch elsewhere.

mod content;
pub mod events;
mod key;
mod operations;
pub mod sources;
mod table;

#[cfg(test)]
mod tests;

pub use content::{CONTENT, Side, content_side};
pub(crate) use key::{Key, key};
pub(crate) use operations::{KEY_COUNT, lower, operation_of};
pub use operations::{OPERATIONS, Operation, is_model_call, is_named_by_span, misnamed};
pub use table::RULES;
pub(crate) use table::is_leading;

/// A set of attribute names that instrumentations share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Convention {
    /// OpenTelemetry's GenAI semantic conventions, old names and new, and MCP's.
    Otel,
    /// OpenInference (Arize, Phoenix).
    OpenInference,
    /// OpenLLMetry (Traceloop).
    OpenLlmetry,
    /// Vercel's AI SDK up to version 6 (`ai.*`); later ones write OpenTelemetry's names.
    Vercel,
    /// Langfuse's SDKs.
    Langfuse,
    /// MLflow, whose values are JSON in strings.
    Mlflow,
    /// LangSmith's exporter.
    LangSmith,
    /// Claude Code and its SDK: bare names, told by `span.type`.
    ClaudeCode,
    /// Codex, which tells its calls by events alone.
    Codex,
    /// Gemini CLI: events with bare names.
    GeminiCli,
    /// What CrewAI, Google ADK and others add to OpenTelemetry's names under names of their own.
    Framework,
    /// Our own `flyball.*` keys, for what none of the others covers.
    Flyball,
    /// No convention of agents: names of OpenTelemetry at large, and what people commonly send.
    General,
}

impl Convention {
    /// The word in the `convention` column.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Otel => "otel",
            Self::OpenInference => "openinference",
            Self::OpenLlmetry => "openllmetry",
            Self::Vercel => "vercel_ai",
            Self::Langfuse => "langfuse",
            Self::Mlflow => "mlflow",
            Self::LangSmith => "langsmith",
            Self::ClaudeCode => "claude_code",
            Self::Codex => "codex",
            Self::GeminiCli => "gemini_cli",
            Self::Framework => "framework",
            Self::Flyball => "flyball",
            Self::General => "general",
        }
    }

    /// Of marks, the convention that a span is read by: the first; `None` for a plain span. A span may mix several;
    /// columns are then filled one by one, in the order of [`RULES`].
    pub(crate) fn of(marks: impl Iterator<Item = (usize, Self)>) -> Option<Self> {
        marks
            .min_by_key(|(place, _)| *place)
            .map(|(_, convention)| convention)
    }

    /// The convention whose mark a key is, and its place in [`MARKS`].
    pub(crate) fn marked_by(key: &str) -> Option<(usize, Self)> {
        MARKS.iter().enumerate().find_map(|(place, (mark, of))| {
            let marks = match mark.strip_suffix('*') {
                Some(start) => key.starts_with(start),
                None => key == *mark,
            };
            marks.then_some((place, *of))
        })
    }
}

/// The keys that give a convention away, best first. `*` at the end stands for anything.
#[rustfmt::skip]
const MARKS: &[(&str, Convention)] = &[
    ("langfuse.observation.*", Convention::Langfuse),
    ("mlflow.spanType", Convention::Mlflow),
    ("openinference.span.kind", Convention::OpenInference),
    ("span.type", Convention::ClaudeCode),
    ("traceloop.*", Convention::OpenLlmetry),
    ("llm.request.type", Convention::OpenLlmetry),
    ("langsmith.span.kind", Convention::LangSmith),
    ("ai.operationId", Convention::Vercel),
    ("gen_ai.*", Convention::Otel),
    ("mcp.*", Convention::Otel),
    ("flyball.*", Convention::Flyball),
];

/// A column that attributes fill. Named as in the `spans` table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // each is the column of that name, documented there
pub enum Column {
    AgentName,
    AgentId,
    AgentVersion,
    AgentRole,
    SessionId,
    UserId,
    Tenant,
    Team,
    Environment,
    ExecutionId,
    TaskId,
    TaskType,
    Workflow,
    Provider,
    RequestModel,
    ResponseModel,
    ServiceTier,
    InputTokens,
    CacheReadTokens,
    CacheWriteTokens,
    CacheWrite1hTokens,
    AudioInputTokens,
    ImageInputTokens,
    OutputTokens,
    ReasoningTokens,
    AudioOutputTokens,
    ImageOutputTokens,
    ClientCostUsd,
    ResponseId,
    FinishReason,
    ToolName,
    ToolType,
    ToolCallId,
    ToolEffect,
    ToolInputHash,
    ToolTarget,
    ErrorType,
    State,
    Step,
    Decision,
    Confidence,
    Progress,
    Termination,
    TerminationReason,
    Escalated,
    Intervention,
    PolicyVerdict,
    PolicyRule,
    QueueWaitMs,
    VersionSet,
    Outcome,
    ValueUsd,
}

impl Column {
    /// How many there are.
    pub(crate) const COUNT: usize = Self::ValueUsd as usize + 1;

    /// Its name in the `spans` table.
    #[must_use]
    pub fn name(self) -> String {
        let mut name = String::new();
        for letter in format!("{self:?}").chars() {
            let begins = letter.is_ascii_uppercase() || letter.is_ascii_digit();
            if begins && !name.is_empty() {
                name.push('_');
            }
            name.push(letter.to_ascii_lowercase());
        }
        name
    }
}

/// Where a key is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Place {
    /// On the span.
    Span,
    /// On the span, else on its resource.
    Both,
}

impl Place {
    /// The words for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Span => "span",
            Self::Both => "span, else resource",
        }
    }
}

/// How a value is read. Blank text and what redaction left behind are absent, whatever the reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Read {
    /// Text; a number or a boolean is written out.
    Text,
    /// Text in lower case.
    Word,
    /// The first of an array, of a JSON array in a string, or bare text; in lower case.
    FirstWord,
    /// A provider's name, by [`sources::provider`].
    Provider,
    /// A count: an integer, or a string or double that is one. Negative is absent.
    Count,
    /// A finite number; of text, what it spells.
    Number,
    /// A number from 0 to 1.
    Share,
    /// US dollars: a string or number, rounded half to even to 12 digits. Zero stays.
    Money,
    /// US dollars, of which zero means "not known": what price-less instrumentations send.
    Estimate,
    /// True or false, as a boolean or a word.
    Flag,
}

impl Read {
    /// What becomes of a value, and the unit of what has one.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Word => "lower-case text",
            Self::FirstWord => "first of a list, lower-case",
            Self::Provider => "provider's name",
            Self::Count => "count",
            Self::Number => "number",
            Self::Share => "number from 0 to 1",
            Self::Money => "US dollars",
            Self::Estimate => "US dollars, zero is unknown",
            Self::Flag => "true or false",
        }
    }
}

/// One row of the table: under this key stands that column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// The column it fills.
    pub column: Column,
    /// The attribute key.
    pub key: &'static str,
    /// Who writes that key.
    pub convention: Convention,
    /// Where it stands.
    pub place: Place,
    /// How its value is read.
    pub read: Read,
    /// Only on spans of this [operation](OPERATIONS).
    pub only: Option<&'static str>,
    /// Only on spans that are read by this rule's convention: the key is too common a word.
    pub marked: bool,
    /// The value is JSON in a string (or Python's text of a dict): this field of the object in it, or all of it when
    /// empty. A dot leads into an object within; the fields that `+` joins are added up, and `*` at the end of one
    /// stands for anything.
    pub field: Option<&'static str>,
    /// The number leaves out what is told apart from it: input what a cache took part in, cache writes those kept for
    /// an hour, output reasoning. On reasoning: it is told apart from output.
    pub apart: bool,
}
