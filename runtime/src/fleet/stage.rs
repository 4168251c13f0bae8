//! Who prompts them: each execution has its own script, and every call is counted.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::clock::{Clock, SystemClock};
use crate::model::{ModelError, Provider, Reply, Request, Script, Scripted};

/// A provider that knows which execution follows which script.
#[derive(Debug, Default)]
pub(super) struct Stage {
    scripts: Mutex<HashMap<String, Scripted>>,
    calls: Mutex<Vec<(String, i64)>>,
}

impl Stage {
    pub(super) fn hand_out(&self, execution_id: &str, script: Script) {
        lock(&self.scripts).insert(execution_id.to_owned(), Scripted::new(script));
    }

    pub(super) fn take_back(&self, execution_id: &str) {
        lock(&self.scripts).remove(execution_id);
    }

    /// Calls of an agent that began after this moment.
    pub(super) fn calls_after(&self, agent: &str, unix_nano: i64) -> u64 {
        let calls = lock(&self.calls);
        calls
            .iter()
            .map(|(name, at)| u64::from(name == agent && *at > unix_nano))
            .sum()
    }

    fn script(&self, request: &Request) -> Option<Scripted> {
        lock(&self.scripts).get(&request.execution_id).cloned()
    }
}

#[async_trait::async_trait]
impl Provider for Stage {
    fn name(&self) -> &str {
        "flyball"
    }

    fn input_at_most(&self, request: &Request) -> u64 {
        self.script(request)
            .map_or(0, |script| script.input_at_most(request))
    }

    async fn chat(&self, request: &Request) -> Result<Reply, ModelError> {
        lock(&self.calls).push((request.agent.clone(), SystemClock.unix_nano()));
        match self.script(request) {
            Some(script) => script.chat(request).await,
            None => Err(ModelError::Malformed(format!(
                "no script for {}",
                request.execution_id
            ))),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
