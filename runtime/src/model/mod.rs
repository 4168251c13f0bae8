//! Models behind one trait: what is asked, what comes back, and what can go wrong.

mod judgement;
pub mod openai;
pub mod scripted;
mod streamed;

pub use judgement::Judgement;
pub use openai::OpenAi;
pub use scripted::{Script, Scripted};

use std::time::Duration;

use serde_json::Value;

/// One message of the conversation.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(tag = "role", rename_all = "snake_case")]
pub enum Message {
    /// Instructions.
    System {
        /// In words.
        content: String,
    },
    /// The goal, or what a person adds.
    User {
        /// In words.
        content: String,
    },
    /// What the model said.
    Assistant {
        /// In words; may be empty beside tool calls.
        content: String,
        /// What it wants done.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        tool_calls: Vec<ToolCall>,
    },
    /// A tool's result.
    Tool {
        /// The call it answers.
        call_id: String,
        /// JSON, or an error in words.
        content: String,
    },
}

/// A call that the model wants made.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct ToolCall {
    /// The model's id for it.
    pub id: String,
    /// The tool's name.
    pub name: String,
    /// Its input; whatever the model wrote, not validated yet.
    pub arguments: Value,
}

/// A tool as the model is told of it.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Offer {
    /// The tool's name.
    pub name: String,
    /// What it does.
    pub description: String,
    /// JSON Schema of its input.
    pub input: Value,
}

/// What is asked of a model.
#[derive(Debug, Clone)]
pub struct Request {
    /// The model's name.
    pub model: String,
    /// The agent that asks; gateways and scripts may care.
    pub agent: String,
    /// The execution that asks.
    pub execution_id: String,
    /// How many plans the execution has made before, from 0.
    pub turn: u32,
    /// How often this very call was tried before, from 0.
    pub attempt: u32,
    /// The conversation so far.
    pub messages: Vec<Message>,
    /// Tools on offer.
    pub tools: Vec<Offer>,
    /// Output tokens, at most.
    pub max_tokens: u32,
    /// Sampling temperature, if set.
    pub temperature: Option<f64>,
}

/// Tokens of one call, as OpenTelemetry counts them: input includes what was read from or written to a
/// cache, output includes reasoning.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Usage {
    pub input_tokens: u64,
    pub cache_read_tokens: u64,
    pub cache_write_tokens: u64,
    pub output_tokens: u64,
    pub reasoning_tokens: u64,
}

/// What came back.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    /// The provider's id for the completion.
    pub id: String,
    /// The model that answered.
    pub model: String,
    /// Its words.
    pub content: String,
    /// What it wants done; empty: `content` is the answer.
    pub tool_calls: Vec<ToolCall>,
    /// `stop`, `tool_call`, `length`, ...
    pub finish_reason: String,
    /// Tokens; none when the provider did not say.
    pub usage: Option<Usage>,
    /// What the model says of itself.
    pub judgement: Judgement,
}

/// What can go wrong with a model call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// The gateway says that the agent is frozen (403).
    #[error("frozen: {0}")]
    Frozen(String),
    /// The gateway says that a budget is spent (402).
    #[error("budget spent: {0}")]
    Budget(String),
    /// Too many calls (429).
    #[error("throttled: {message}")]
    Throttled {
        /// In words.
        message: String,
        /// When to come back, if said.
        retry_after: Option<Duration>,
    },
    /// The provider is overloaded or broken (5xx).
    #[error("overloaded: {0}")]
    Overloaded(String),
    /// The connection failed, or timed out.
    #[error("not reached: {0}")]
    Unreachable(String),
    /// The request is refused, and would be again.
    #[error("refused with {status}: {message}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// In words.
        message: String,
    },
    /// It was cut, since nobody pays for more.
    #[error("cut: nobody pays for more")]
    Cut {
        /// What had come.
        partial: String,
    },
    /// The answer is not what the protocol says.
    #[error("not understood: {0}")]
    Malformed(String),
}

impl ModelError {
    /// Whether asking again may help.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Throttled { .. } | Self::Overloaded(_) | Self::Unreachable(_)
        )
    }

    /// Whether the provider may bill the call all the same: unless it said that it refuses the request
    /// (4xx), it may have answered without our hearing or understanding it. A budget then counts the
    /// worst case.
    #[must_use]
    pub fn may_be_billed(&self) -> bool {
        match self {
            Self::Frozen(_) | Self::Budget(_) | Self::Throttled { .. } => false,
            Self::Refused { status, .. } => !(400..500).contains(status),
            Self::Overloaded(_) | Self::Unreachable(_) | Self::Cut { .. } | Self::Malformed(_) => {
                true
            }
        }
    }

    /// For telemetry's `error.type`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Frozen(_) => "frozen",
            Self::Budget(_) => "budget_exhausted",
            Self::Throttled { .. } => "throttled",
            Self::Overloaded(_) => "overloaded",
            Self::Unreachable(_) => "unreachable",
            Self::Refused { .. } => "refused",
            Self::Cut { .. } => "budget_exhausted",
            Self::Malformed(_) => "malformed",
        }
    }
}

/// Calls models.
#[async_trait::async_trait]
pub trait Provider: Send + Sync + std::fmt::Debug {
    /// As telemetry and the price book name it, such as `openai`.
    fn name(&self) -> &str;

    /// The most input tokens that this request can be: what a hard budget reserves. By default one
    /// for each byte (no tokenizer makes more) and a few for each message's frame.
    fn input_at_most(&self, request: &Request) -> u64 {
        bytes(request)
    }

    /// Makes the call. Dropping the future cuts it.
    ///
    /// # Errors
    /// See [`ModelError`].
    async fn chat(&self, request: &Request) -> Result<Reply, ModelError>;

    /// Whether [`chat_heard`](Self::chat_heard) follows the output as it comes, and ends it when told to.
    fn can_be_cut(&self) -> bool {
        false
    }

    /// Makes the call, and says how far its output has come before it takes more of it.
    ///
    /// # Errors
    /// As [`chat`](Self::chat); [`ModelError::Cut`] when the listener stopped it.
    async fn chat_heard(
        &self,
        request: &Request,
        listener: &dyn Listener,
    ) -> Result<Reply, ModelError> {
        let _ = listener;
        self.chat(request).await
    }
}

/// Nobody pays for more output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stopped;

/// Follows an output as it comes.
#[async_trait::async_trait]
pub trait Listener: Send + Sync {
    /// At most so many output tokens have come so far.
    ///
    /// # Errors
    /// When the call must end here.
    async fn heard(&self, output_tokens: u64) -> Result<(), Stopped>;
}

fn bytes(request: &Request) -> u64 {
    let size = |text: &str| u64::try_from(text.len()).unwrap_or(u64::MAX);
    let messages: u64 = request
        .messages
        .iter()
        .map(|message| 16 + written(message))
        .sum();
    let tools: u64 = request
        .tools
        .iter()
        .map(|tool| 32 + size(&tool.name) + size(&tool.description) + size(&tool.input.to_string()))
        .sum();
    64 + messages + tools
}

fn written(message: &Message) -> u64 {
    serde_json::to_string(message).map_or(0, |text| u64::try_from(text.len()).unwrap_or(u64::MAX))
}
