//! A tool that answers what it is told to: for demonstrations, rehearsals and tests.

use std::sync::Mutex;
use std::time::Duration;

use serde_json::Value;

use super::{Call, Contract, Tool, ToolError};

/// A tool whose outputs are given. Each key (and so each action) gets the next output, the last one for
/// ever; the same key again gets the same output, so it is idempotent.
#[derive(Debug)]
pub struct ScriptedTool {
    contract: Contract,
    outputs: Vec<Value>,
    latency: Duration,
    given: Mutex<Vec<(String, usize)>>,
}

impl ScriptedTool {
    /// Keys that are remembered; a key forgotten gets the next output.
    const REMEMBERED: usize = 256;

    /// Answers these outputs in turn; `null` when there are none.
    #[must_use]
    pub fn new(contract: Contract, outputs: Vec<Value>, latency: Duration) -> Self {
        Self {
            contract,
            outputs,
            latency,
            given: Mutex::default(),
        }
    }

    fn output(&self, key: &str) -> Value {
        let mut given = self
            .given
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let index = match given.iter().find(|(known, _)| known == key) {
            Some((_, index)) => *index,
            None => {
                let index = given.last().map_or(0, |(_, index)| index + 1);
                if given.len() == Self::REMEMBERED {
                    given.remove(0);
                }
                given.push((key.to_owned(), index));
                index
            }
        };
        self.outputs
            .get(index)
            .or(self.outputs.last())
            .cloned()
            .unwrap_or(Value::Null)
    }
}

#[async_trait::async_trait]
impl Tool for ScriptedTool {
    fn contract(&self) -> &Contract {
        &self.contract
    }

    async fn call(&self, call: Call) -> Result<Value, ToolError> {
        tokio::time::sleep(self.latency).await;
        let output = self.output(&call.idempotency_key);
        match output.get("error").and_then(Value::as_str) {
            Some(error) => Err(ToolError::Failed(error.to_owned())),
            None => Ok(output),
        }
    }

    fn progress(&self, output: &Value) -> Option<f64> {
        output.get("progress").and_then(Value::as_f64)
    }
}
