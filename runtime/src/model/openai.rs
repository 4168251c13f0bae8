//! Any server that speaks OpenAI's chat completions: the provider's, a local one, or Flyball's gateway.

use std::time::Duration;

use serde_json::{Value, json};

use super::streamed::Streamed;
use super::{Judgement, Listener, Message, ModelError, Provider, Reply, Request, ToolCall, Usage};
use crate::Error;

/// An OpenAI-compatible provider. Never retries by itself: the runtime does, after it has asked control.
#[derive(Debug, Clone)]
pub struct OpenAi {
    name: String,
    base_url: String,
    key: Option<String>,
    http: reqwest::Client,
}

impl OpenAi {
    /// `base_url` up to and without `/chat/completions`, such as `http://127.0.0.1:8090/v1`; `name` as
    /// telemetry and the price book name the provider.
    ///
    /// # Errors
    /// When the URL is not one, or no client can be made.
    pub fn new(
        name: impl Into<String>,
        base_url: &str,
        key: Option<String>,
        timeout: Duration,
    ) -> Result<Self, Error> {
        if !base_url.starts_with("http://") && !base_url.starts_with("https://") {
            return Err(Error::invalid(
                "base_url",
                base_url,
                "a URL such as https://api.openai.com/v1",
            ));
        }
        let base_url = base_url.trim_end_matches('/').to_owned();
        let http = reqwest::Client::builder().timeout(timeout).build();
        let http = http.map_err(|error| Error::Unreachable {
            url: base_url.clone(),
            reason: error.to_string(),
        })?;
        Ok(Self {
            name: name.into(),
            base_url,
            key,
            http,
        })
    }
}

#[async_trait::async_trait]
impl Provider for OpenAi {
    fn name(&self) -> &str {
        &self.name
    }

    async fn chat(&self, request: &Request) -> Result<Reply, ModelError> {
        let response = self.post(request, body(request)).await?;
        let text = response.text().await.map_err(not_reached)?;
        reply(&text)
    }

    fn can_be_cut(&self) -> bool {
        true
    }

    async fn chat_heard(
        &self,
        request: &Request,
        listener: &dyn Listener,
    ) -> Result<Reply, ModelError> {
        let mut body = body(request);
        body["stream"] = json!(true);
        body["stream_options"] = json!({"include_usage": true});
        let mut response = self.post(request, body).await?;
        let mut streamed = Streamed::default();
        while let Some(bytes) = response.chunk().await.map_err(not_reached)? {
            let ended = streamed.take(&bytes)?;
            if ended {
                break;
            }
            if listener.heard(streamed.tokens_at_most()).await.is_err() {
                // Dropping the response closes the connection: the provider stops.
                return Err(ModelError::Cut {
                    partial: streamed.content(),
                });
            }
        }
        streamed.reply()
    }
}

impl OpenAi {
    /// Posts a request; answers the response when it is none of refusal.
    async fn post(&self, request: &Request, body: Value) -> Result<reqwest::Response, ModelError> {
        let url = format!("{}/chat/completions", self.base_url);
        let mut post = self
            .http
            .post(url)
            .json(&body)
            .header("x-flyball-agent", &request.agent);
        if let Some(key) = &self.key {
            post = post.bearer_auth(key);
        }
        let response = post.send().await.map_err(not_reached)?;
        let status = response.status().as_u16();
        if (200..300).contains(&status) {
            return Ok(response);
        }
        let retry_after = response
            .headers()
            .get("retry-after")
            .and_then(|value| value.to_str().ok()?.parse().ok())
            .map(Duration::from_secs);
        let text = response.text().await.map_err(not_reached)?;
        Err(refusal(status, retry_after, &text))
    }
}

fn not_reached(error: reqwest::Error) -> ModelError {
    ModelError::Unreachable(error.to_string())
}

fn body(request: &Request) -> Value {
    let messages: Vec<Value> = request.messages.iter().map(message).collect();
    let mut body = json!({
        "model": request.model,
        "messages": messages,
        "max_tokens": request.max_tokens,
        "stream": false,
    });
    if let Some(temperature) = request.temperature {
        body["temperature"] = json!(temperature);
    }
    if !request.tools.is_empty() {
        let offer = |tool: &super::Offer| json!({"type": "function", "function": {"name": tool.name, "description": tool.description, "parameters": tool.input}});
        body["tools"] = request.tools.iter().map(offer).collect();
    }
    body
}

fn message(message: &Message) -> Value {
    match message {
        Message::System { content } => json!({"role": "system", "content": content}),
        Message::User { content } => json!({"role": "user", "content": content}),
        Message::Tool { call_id, content } => {
            json!({"role": "tool", "tool_call_id": call_id, "content": content})
        }
        Message::Assistant {
            content,
            tool_calls,
        } if tool_calls.is_empty() => {
            json!({"role": "assistant", "content": content})
        }
        Message::Assistant {
            content,
            tool_calls,
        } => {
            let call = |call: &ToolCall| {
                let function = json!({"name": call.name, "arguments": call.arguments.to_string()});
                json!({"id": call.id, "type": "function", "function": function})
            };
            json!({"role": "assistant", "content": content, "tool_calls": tool_calls.iter().map(call).collect::<Vec<_>>()})
        }
    }
}

pub(super) fn refusal(status: u16, retry_after: Option<Duration>, text: &str) -> ModelError {
    let body: Value = serde_json::from_str(text).unwrap_or_default();
    let message = body["error"]["message"]
        .as_str()
        .map_or_else(|| text.chars().take(200).collect(), str::to_owned);
    match (status, body["error"]["code"].as_str()) {
        (403, Some("agent_frozen")) => ModelError::Frozen(message),
        (402, _) => ModelError::Budget(message),
        (429, Some("insufficient_quota" | "budget_exhausted")) => ModelError::Budget(message),
        (429, _) => ModelError::Throttled {
            message,
            retry_after,
        },
        (500..=599, _) => ModelError::Overloaded(message),
        _ => ModelError::Refused { status, message },
    }
}

fn reply(text: &str) -> Result<Reply, ModelError> {
    let body = serde_json::from_str(text);
    read(&body.map_err(|error| ModelError::Malformed(error.to_string()))?)
}

/// A completion, as one object.
pub(super) fn read(body: &Value) -> Result<Reply, ModelError> {
    let choice = &body["choices"][0];
    let message = &choice["message"];
    if !message.is_object() {
        return Err(ModelError::Malformed(
            "choices[0].message is not there".to_owned(),
        ));
    }
    let mut tool_calls = Vec::new();
    for (index, call) in message["tool_calls"]
        .as_array()
        .into_iter()
        .flatten()
        .enumerate()
    {
        let name = call["function"]["name"].as_str();
        let name = name.ok_or_else(|| {
            ModelError::Malformed(format!("tool_calls[{index}].function.name is not there"))
        })?;
        let arguments = call["function"]["arguments"].as_str().unwrap_or("{}");
        tool_calls.push(ToolCall {
            id: call["id"]
                .as_str()
                .map_or_else(|| format!("call-{index}"), str::to_owned),
            name: name.to_owned(),
            // What is not JSON stays text, and the tool's schema will refuse it.
            arguments: serde_json::from_str(arguments)
                .unwrap_or_else(|_| Value::String(arguments.to_owned())),
        });
    }
    let content = message["content"].as_str().unwrap_or_default().to_owned();
    Ok(Reply {
        id: body["id"].as_str().unwrap_or_default().to_owned(),
        model: body["model"].as_str().unwrap_or_default().to_owned(),
        judgement: Judgement::read(&content),
        content,
        finish_reason: match choice["finish_reason"].as_str() {
            Some("tool_calls") => "tool_call".to_owned(),
            other => other.unwrap_or("stop").to_owned(),
        },
        tool_calls,
        usage: usage(&body["usage"]),
    })
}

fn usage(usage: &Value) -> Option<Usage> {
    Some(Usage {
        input_tokens: usage["prompt_tokens"].as_u64()?,
        cache_read_tokens: usage["prompt_tokens_details"]["cached_tokens"]
            .as_u64()
            .unwrap_or(0),
        cache_write_tokens: 0,
        output_tokens: usage["completion_tokens"].as_u64()?,
        reasoning_tokens: usage["completion_tokens_details"]["reasoning_tokens"]
            .as_u64()
            .unwrap_or(0),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn refusals_are_understood() {
        let frozen = r#"{"error":{"code":"agent_frozen","message":"Frozen by policy p"}}"#;
        assert_eq!(
            refusal(403, None, frozen),
            ModelError::Frozen("Frozen by policy p".into())
        );
        assert!(matches!(
            refusal(403, None, "no"),
            ModelError::Refused { status: 403, .. }
        ));
        assert!(matches!(refusal(402, None, ""), ModelError::Budget(_)));
        assert!(matches!(
            refusal(429, None, r#"{"error":{"code":"insufficient_quota"}}"#),
            ModelError::Budget(_)
        ));
        assert!(refusal(429, Some(Duration::from_secs(3)), "{}").is_transient());
        assert!(refusal(503, None, "busy").is_transient());
        assert!(!refusal(400, None, "bad").is_transient());
    }

    #[test]
    fn only_a_4xx_says_that_nothing_is_billed() {
        for status in [400, 401, 402, 403, 404, 422, 429] {
            assert!(!refusal(status, None, "").may_be_billed(), "{status}");
        }
        for status in [302, 500, 502, 503, 504, 529] {
            assert!(refusal(status, None, "").may_be_billed(), "{status}");
        }
        assert!(reply("<html>").unwrap_err().may_be_billed());
    }

    #[test]
    fn a_reply_with_tool_calls_and_cached_tokens_is_read() {
        let read = reply(
            r#"{"id":"c1","model":"gpt-4o-2024-08-06","choices":[{"finish_reason":"tool_calls","message":{"content":null,
            "tool_calls":[{"id":"t1","function":{"name":"look","arguments":"{\"at\":3}"}}]}}],
            "usage":{"prompt_tokens":100,"completion_tokens":9,"prompt_tokens_details":{"cached_tokens":64}}}"#,
        )
        .unwrap();
        assert_eq!(read.tool_calls[0].arguments, json!({"at": 3}));
        assert_eq!(read.finish_reason, "tool_call");
        let usage = read.usage.unwrap();
        assert_eq!(
            (
                usage.input_tokens,
                usage.cache_read_tokens,
                usage.output_tokens
            ),
            (100, 64, 9)
        );
    }

    #[test]
    fn what_is_no_reply_is_an_error() {
        for text in [
            "",
            "[]",
            "{}",
            r#"{"choices":[]}"#,
            r#"{"choices":[{"message":{"tool_calls":[{}]}}]}"#,
        ] {
            assert!(
                matches!(reply(text), Err(ModelError::Malformed(_))),
                "{text}"
            );
        }
        let bare = reply(r#"{"choices":[{"message":{"content":"hi"}}]}"#).unwrap();
        assert_eq!((bare.usage, bare.finish_reason.as_str()), (None, "stop"));
    }
}
