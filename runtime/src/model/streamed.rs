//! A completion that comes bit by bit, as server-sent events in OpenAI's form, put together again.

use serde_json::{Value, json};

use super::openai::{read, refusal};
use super::{ModelError, Reply};

/// An event longer than this is not one.
const EVENT_MAX: usize = 4 * 1024 * 1024;

/// What has come so far.
#[derive(Debug, Default)]
pub(super) struct Streamed {
    /// The beginning of a line that has not ended yet.
    rest: Vec<u8>,
    id: String,
    model: String,
    content: String,
    /// Id, name and arguments, by their index.
    calls: Vec<[String; 3]>,
    /// Bytes of everything that the model wrote, shown or not.
    written: u64,
    finish_reason: Option<String>,
    usage: Value,
    done: bool,
}

impl Streamed {
    /// Takes what has come, whole lines of it at once; true when the stream says that it is over.
    ///
    /// # Errors
    /// When it is not such a stream, or tells of an error.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Result<bool, ModelError> {
        self.rest.extend_from_slice(bytes);
        while let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            if let Some(data) = line.trim_end().strip_prefix("data:") {
                self.event(data.trim_start())?;
            }
        }
        if self.rest.len() > EVENT_MAX {
            return Err(ModelError::Malformed(
                "an event of more than 4 MiB".to_owned(),
            ));
        }
        Ok(self.done)
    }

    fn event(&mut self, data: &str) -> Result<(), ModelError> {
        if data == "[DONE]" {
            self.done = true;
            return Ok(());
        }
        let event: Value =
            serde_json::from_str(data).map_err(|error| ModelError::Malformed(error.to_string()))?;
        if event["error"].is_object() {
            let status = event["error"]["status"].as_u64();
            let status = status.and_then(|status| u16::try_from(status).ok());
            // Said within a stream there is no status: what the code says holds.
            let status = status.unwrap_or(match event["error"]["code"].as_str() {
                Some("agent_frozen") => 403,
                Some("budget_exhausted") => 402,
                _ => 500,
            });
            return Err(refusal(status, None, data));
        }
        for (field, key) in [(&mut self.id, "id"), (&mut self.model, "model")] {
            if let Some(text) = event[key].as_str() {
                text.clone_into(field);
            }
        }
        if event["usage"].is_object() {
            self.usage = event["usage"].clone();
        }
        let choice = &event["choices"][0];
        if let Some(reason) = choice["finish_reason"].as_str() {
            self.finish_reason = Some(reason.to_owned());
        }
        self.delta(&choice["delta"])
    }

    fn delta(&mut self, delta: &Value) -> Result<(), ModelError> {
        for key in ["content", "refusal", "reasoning_content", "reasoning"] {
            let text = delta[key].as_str().unwrap_or_default();
            self.written += length(text);
            if key == "content" {
                self.content.push_str(text);
            }
        }
        for call in delta["tool_calls"].as_array().into_iter().flatten() {
            let index = call["index"].as_u64().unwrap_or(0);
            let index = usize::try_from(index).unwrap_or(usize::MAX);
            if index > 256 {
                let said = format!("tool_calls[{index}] of one completion");
                return Err(ModelError::Malformed(said));
            }
            if self.calls.len() <= index {
                self.calls.resize_with(index + 1, Default::default);
            }
            let function = &call["function"];
            let parts = [&call["id"], &function["name"], &function["arguments"]];
            for (field, part) in self.calls[index].iter_mut().zip(parts) {
                let text = part.as_str().unwrap_or_default();
                self.written += length(text);
                field.push_str(text);
            }
        }
        Ok(())
    }

    /// No tokenizer makes more tokens than bytes.
    pub(super) fn tokens_at_most(&self) -> u64 {
        self.written
    }

    pub(super) fn content(&self) -> String {
        self.content.clone()
    }

    /// The whole completion.
    ///
    /// # Errors
    /// When it broke off: what came is no answer.
    pub(super) fn reply(self) -> Result<Reply, ModelError> {
        let Some(finish_reason) = self.finish_reason else {
            return Err(ModelError::Unreachable("the stream broke off".to_owned()));
        };
        let call = |[id, name, arguments]: &[String; 3]| {
            let id = if id.is_empty() {
                Value::Null
            } else {
                json!(id)
            };
            json!({"id": id, "function": {"name": name, "arguments": arguments}})
        };
        let calls: Vec<Value> = self.calls.iter().map(call).collect();
        read(&json!({
            "id": self.id,
            "model": self.model,
            "choices": [{
                "finish_reason": finish_reason,
                "message": {"content": self.content, "tool_calls": calls},
            }],
            "usage": self.usage,
        }))
    }
}

fn length(text: &str) -> u64 {
    u64::try_from(text.len()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    const STREAM: &str = r#": a comment
data: {"id":"c1","model":"gpt-4o-2024-08-06","choices":[{"delta":{"role":"assistant","content":"Grüße"}}]}

data: {"id":"c1","choices":[{"delta":{"content":", ich"}}]}

data: {"choices":[{"delta":{"tool_calls":[{"index":0,"id":"t1","function":{"name":"look","arguments":""}}]}}]}

data: {"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"at\""}}]}}]}
data: {"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":":3}"}}]}}]}

data: {"choices":[{"delta":{},"finish_reason":"tool_calls"}]}

data: {"choices":[],"usage":{"prompt_tokens":100,"completion_tokens":9,"prompt_tokens_details":{"cached_tokens":64}}}

data: [DONE]

"#;

    proptest! {
        /// However the network cuts it, also within a character, it is the same completion.
        #[test]
        fn any_cut_gives_the_same_reply(mut cuts in prop::collection::vec(0..STREAM.len(), 0..20)) {
            cuts.extend([0, STREAM.len()]);
            cuts.sort_unstable();
            let mut streamed = Streamed::default();
            for ends in cuts.windows(2) {
                streamed.take(&STREAM.as_bytes()[ends[0]..ends[1]]).unwrap();
            }
            prop_assert!(streamed.done);
            // Grüße (7 bytes), ", ich", t1, look and the arguments
            prop_assert_eq!(streamed.tokens_at_most(), 7 + 5 + 2 + 4 + 8);
            let reply = streamed.reply().unwrap();
            prop_assert_eq!(reply.content, "Grüße, ich");
            prop_assert_eq!(&reply.tool_calls[0].arguments, &json!({"at": 3}));
            prop_assert_eq!((reply.id.as_str(), reply.finish_reason.as_str()), ("c1", "tool_call"));
            prop_assert_eq!(reply.usage.map(|usage| (usage.input_tokens, usage.output_tokens)), Some((100, 9)));
        }
    }

    #[test]
    fn what_breaks_off_or_fails_is_no_answer() {
        let mut broken = Streamed::default();
        broken.take(&STREAM.as_bytes()[..300]).unwrap();
        assert!(matches!(broken.reply(), Err(ModelError::Unreachable(_))));
        for (line, frozen) in [
            (
                r#"data: {"error":{"code":"agent_frozen","message":"Frozen by policy p"}}"#,
                true,
            ),
            (r#"data: {"error":{"message":"overloaded"}}"#, false),
        ] {
            let error = Streamed::default()
                .take(format!("{line}\n").as_bytes())
                .unwrap_err();
            assert_eq!(matches!(error, ModelError::Frozen(_)), frozen, "{error}");
        }
        assert!(Streamed::default().take(b"data: {\n").is_err());
    }
}
