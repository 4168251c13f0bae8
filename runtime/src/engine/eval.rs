//! EVAL and PERSIST: what happened is judged, kept, and the next turn decided.

use super::act::fingerprint;
use super::run::Run;
use crate::Error;
use crate::machine::{Event, Observation};
use crate::model::Message;
use crate::telemetry::SpanKind;

/// Messages kept of a conversation: instructions and goal, then the latest.
const MESSAGES_KEPT: usize = 40;

impl Run<'_> {
    pub(super) async fn eval(&mut self) -> Result<(), Error> {
        let mut span = self.begin(
            format!("evaluate {}", self.record.spec.agent),
            SpanKind::Internal,
            "evaluate",
        );
        if let Some(Observation::Tool {
            tool,
            input_hash,
            output,
            progress,
            ..
        }) = &self.record.observation
        {
            let stalled = progress.is_some_and(|progress| progress <= 0.0);
            span.double("flyball.progress", *progress);
            self.record.last_action = Some(fingerprint(tool, input_hash, output));
            self.record.counters.stalls = if stalled {
                self.record.counters.stalls + 1
            } else {
                0
            };
        }
        span.double("flyball.confidence", self.record.confidence);
        span.int("flyball.stalls", self.record.counters.stalls);
        self.telemetry.end(span, self.now());
        let (stalls, max_stalls) = (
            self.record.counters.stalls,
            self.record.spec.bounds.max_stalls,
        );
        if stalls > 0 && stalls >= max_stalls {
            if self.record.counters.replans < self.record.spec.bounds.max_replans {
                self.give_plan_up(stalls);
                return self
                    .advance(Event::Evaluated, "", "no progress: to be planned anew")
                    .await;
            }
            return self
                .bound(
                    "no_progress",
                    format!("{stalls} evaluations in a row without progress"),
                )
                .await;
        }
        self.advance(Event::Evaluated, "", "").await
    }

    /// What is left of the plan is not done, and the model is told why. Every call it asked for is
    /// answered: providers refuse a conversation with one that is not.
    fn give_plan_up(&mut self, stalls: u32) {
        self.record.counters.replans += 1;
        self.record.counters.stalls = 0;
        for action in std::mem::take(&mut self.record.pending) {
            self.record.messages.push(Message::Tool {
                call_id: action.call_id,
                content: "error: not done, the plan was given up".to_owned(),
            });
        }
        let content = format!(
            "{stalls} results in a row brought the goal no closer. The plan is given up; make another one, \
             or say that the goal can't be reached."
        );
        self.record.messages.push(Message::User { content });
    }

    pub(super) async fn persist(&mut self) -> Result<(), Error> {
        if !self.record.pending.is_empty() {
            self.record.observation = None;
            return self.advance(Event::NextAction, "", "").await;
        }
        match &self.record.observation {
            Some(Observation::Answer { success: true, .. }) => {
                self.advance(
                    Event::Succeeded,
                    "goal_reached",
                    "the agent gave its answer",
                )
                .await
            }
            Some(Observation::Answer { success: false, .. }) => {
                self.advance(
                    Event::GaveUp,
                    "gave_up",
                    "the agent says that the goal is not reached",
                )
                .await
            }
            _ if self.record.is_worth_no_more() => {
                let detail = format!("{} USD are spent", self.record.spent());
                self.bound("not_worth_it", detail).await
            }
            _ if self.record.counters.steps >= self.record.spec.bounds.max_steps => {
                let detail = format!("{} steps are taken", self.record.counters.steps);
                self.bound("max_steps", detail).await
            }
            _ => {
                self.record.observation = None;
                compact(&mut self.record.messages);
                self.advance(Event::Replanned, "", "").await
            }
        }
    }
}

/// Forgets the middle of a long conversation, never parting a tool's result from its call.
fn compact(messages: &mut Vec<Message>) {
    if messages.len() <= MESSAGES_KEPT {
        return;
    }
    let head = messages
        .iter()
        .take_while(|message| matches!(message, Message::System { .. } | Message::User { .. }))
        .count();
    let from = messages.len() - (MESSAGES_KEPT - head.min(MESSAGES_KEPT / 2));
    let tail = messages[from..]
        .iter()
        .position(|message| !matches!(message, Message::Tool { .. }))
        .unwrap_or(0);
    messages.drain(head..from + tail);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_conversation_keeps_its_goal_and_its_pairs() {
        let mut messages = vec![
            Message::System {
                content: "s".into(),
            },
            Message::User {
                content: "goal".into(),
            },
        ];
        for n in 0..200 {
            let call = crate::model::ToolCall {
                id: n.to_string(),
                name: "t".into(),
                arguments: serde_json::json!({}),
            };
            messages.push(Message::Assistant {
                content: String::new(),
                tool_calls: vec![call],
            });
            messages.push(Message::Tool {
                call_id: n.to_string(),
                content: "r".into(),
            });
            compact(&mut messages);
            assert!(messages.len() <= MESSAGES_KEPT);
            assert!(matches!(&messages[1], Message::User { content } if content == "goal"));
            assert!(matches!(&messages[2], Message::Assistant { .. }));
            assert!(
                matches!(messages.last(), Some(Message::Tool { call_id, .. }) if *call_id == n.to_string())
            );
        }
    }
}
