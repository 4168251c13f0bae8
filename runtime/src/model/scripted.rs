//! A model that says what a script says: no network, no chance. What it answers depends only on the
//! script and the request (execution, turn and last message), so the same run again is the same run.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{Judgement, Listener, Message, ModelError, Provider, Reply, Request, ToolCall, Usage};
use crate::Error;

/// What a scripted model says, and when.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Script {
    /// Name of the provider it stands for; `scripted` when empty.
    pub provider: String,
    /// Rules are tried first, in order; the first that matches answers.
    pub rules: Vec<Rule>,
    /// Else the reply of this turn answers; past the last one, the last one again.
    pub replies: Vec<Line>,
    /// Its output comes bit by bit, and can be cut.
    pub streams: bool,
    /// Spreads what has a range; another seed, another (equally deterministic) run.
    pub seed: u64,
}

/// Answers when everything it names holds.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rule {
    /// The turn, from 0.
    pub turn: Option<u32>,
    /// From this turn on.
    pub from_turn: Option<u32>,
    /// The attempt at this turn, from 0.
    pub attempt: Option<u32>,
    /// The agent that asks.
    pub agent: Option<String>,
    /// The last message contains this text.
    pub last_contains: Option<String>,
    /// What it answers.
    pub reply: Line,
}

/// One reply.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Line {
    /// Its words.
    pub content: String,
    /// What it wants done.
    pub tool_calls: Vec<ScriptedCall>,
    /// Tokens.
    pub usage: Usage,
    /// How long it takes.
    pub latency_ms: u64,
    /// Tokens and latency vary by up to so many percent, by seed, execution and turn.
    pub spread_percent: u64,
    /// What it says of itself.
    pub judgement: Judgement,
    /// Fails instead.
    pub error: Option<Failure>,
}

/// A call that a script wants made.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ScriptedCall {
    /// The tool's name.
    pub name: String,
    /// Its input.
    pub arguments: Value,
}

/// How a scripted call fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum Failure {
    Frozen,
    Budget,
    Throttled,
    Overloaded,
    Refused,
    Malformed,
}

impl Script {
    /// Reads a script in JSON.
    ///
    /// # Errors
    /// When the file can't be read, or is not a script: says where.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let unreadable = |reason: String| Error::Unreadable {
            path: path.to_owned(),
            reason,
        };
        let text = std::fs::read_to_string(path).map_err(|error| unreadable(error.to_string()))?;
        let script: Self =
            serde_json::from_str(&text).map_err(|error| unreadable(error.to_string()))?;
        if script.rules.is_empty() && script.replies.is_empty() {
            return Err(unreadable(
                "a script has at least one of replies and rules".to_owned(),
            ));
        }
        Ok(script)
    }

    /// The line that answers a request; none when the script has none for it.
    #[must_use]
    pub fn line(&self, request: &Request) -> Option<&Line> {
        let last = request.messages.last().map_or("", |message| match message {
            Message::System { content }
            | Message::User { content }
            | Message::Assistant { content, .. }
            | Message::Tool { content, .. } => content,
        });
        let holds = |rule: &&Rule| {
            rule.turn.is_none_or(|turn| turn == request.turn)
                && rule.from_turn.is_none_or(|turn| turn <= request.turn)
                && rule
                    .attempt
                    .is_none_or(|attempt| attempt == request.attempt)
                && rule
                    .agent
                    .as_ref()
                    .is_none_or(|agent| *agent == request.agent)
                && rule
                    .last_contains
                    .as_ref()
                    .is_none_or(|text| last.contains(text))
        };
        if let Some(rule) = self.rules.iter().find(holds) {
            return Some(&rule.reply);
        }
        let turn = usize::try_from(request.turn).unwrap_or(usize::MAX);
        self.replies.get(turn).or(self.replies.last())
    }
}

/// In so many bits comes what streams.
const BITS: u32 = 16;

/// A provider that follows a [`Script`].
#[derive(Debug, Clone)]
pub struct Scripted {
    script: Script,
}

impl Scripted {
    /// Follows this script.
    #[must_use]
    pub fn new(script: Script) -> Self {
        Self { script }
    }

    fn spread(&self, request: &Request, line: &Line) -> (Usage, Duration) {
        let mut dice = Dice::new(self.script.seed, request);
        let mut vary = |value: u64| {
            let range = value * line.spread_percent.min(100) / 100;
            if range == 0 {
                value
            } else {
                value - range + dice.roll() % (2 * range + 1)
            }
        };
        let input_tokens = vary(line.usage.input_tokens);
        let output_tokens = vary(line.usage.output_tokens).min(u64::from(request.max_tokens));
        let usage = Usage {
            input_tokens,
            cache_read_tokens: line.usage.cache_read_tokens.min(input_tokens),
            cache_write_tokens: line
                .usage
                .cache_write_tokens
                .min(input_tokens.saturating_sub(line.usage.cache_read_tokens)),
            output_tokens,
            reasoning_tokens: line.usage.reasoning_tokens.min(output_tokens),
        };
        (usage, Duration::from_millis(vary(line.latency_ms)))
    }
}

#[async_trait::async_trait]
impl Provider for Scripted {
    fn name(&self) -> &str {
        if self.script.provider.is_empty() {
            "scripted"
        } else {
            &self.script.provider
        }
    }

    fn input_at_most(&self, request: &Request) -> u64 {
        self.script
            .line(request)
            .map_or(0, |line| self.spread(request, line).0.input_tokens)
    }

    async fn chat(&self, request: &Request) -> Result<Reply, ModelError> {
        self.say(request, None).await
    }

    fn can_be_cut(&self) -> bool {
        self.script.streams
    }

    async fn chat_heard(
        &self,
        request: &Request,
        listener: &dyn Listener,
    ) -> Result<Reply, ModelError> {
        self.say(request, Some(listener)).await
    }
}

impl Scripted {
    async fn say(
        &self,
        request: &Request,
        listener: Option<&dyn Listener>,
    ) -> Result<Reply, ModelError> {
        let Some(line) = self.script.line(request) else {
            return Err(ModelError::Malformed(format!(
                "the script has no reply for turn {}",
                request.turn
            )));
        };
        let (usage, latency) = self.spread(request, line);
        let bits = if listener.is_some() { BITS } else { 1 };
        for bit in 1..=bits {
            tokio::time::sleep(latency / bits).await;
            let come = usage.output_tokens * u64::from(bit) / u64::from(bits);
            if let Some(listener) = listener
                && listener.heard(come).await.is_err()
            {
                let partial = line
                    .content
                    .chars()
                    .take(usize::try_from(come).unwrap_or(0));
                return Err(ModelError::Cut {
                    partial: partial.collect(),
                });
            }
        }
        if let Some(failure) = line.error {
            return Err(failure.error());
        }
        let id = format!("scripted-{}-{}", request.execution_id, request.turn);
        let tool_calls: Vec<ToolCall> = line
            .tool_calls
            .iter()
            .enumerate()
            .map(|(index, call)| ToolCall {
                id: format!("call-{}-{index}", request.turn),
                name: call.name.clone(),
                arguments: call.arguments.clone(),
            })
            .collect();
        let finish_reason = if tool_calls.is_empty() {
            "stop"
        } else {
            "tool_call"
        }
        .to_owned();
        Ok(Reply {
            id,
            model: request.model.clone(),
            content: line.content.clone(),
            tool_calls,
            finish_reason,
            usage: Some(usage),
            judgement: line.judgement.clone(),
        })
    }
}

impl Failure {
    fn error(self) -> ModelError {
        let said = "as the script says".to_owned();
        match self {
            Self::Frozen => ModelError::Frozen(said),
            Self::Budget => ModelError::Budget(said),
            Self::Throttled => ModelError::Throttled {
                message: said,
                retry_after: Some(Duration::from_millis(5)),
            },
            Self::Overloaded => ModelError::Overloaded(said),
            Self::Refused => ModelError::Refused {
                status: 400,
                message: said,
            },
            Self::Malformed => ModelError::Malformed(said),
        }
    }
}

/// Numbers that look random and are the same for the same seed, execution and turn.
struct Dice {
    bytes: [u8; 32],
    at: usize,
}

impl Dice {
    fn new(seed: u64, request: &Request) -> Self {
        let mut hash = Sha256::new();
        hash.update(seed.to_le_bytes());
        hash.update(request.turn.to_le_bytes());
        hash.update(request.execution_id.as_bytes());
        Self {
            bytes: hash.finalize().into(),
            at: 0,
        }
    }

    fn roll(&mut self) -> u64 {
        let mut eight = [0; 8];
        eight.copy_from_slice(&self.bytes[self.at..self.at + 8]);
        self.at = (self.at + 8) % self.bytes.len();
        u64::from_le_bytes(eight)
    }
}
