//! What survives a restart: states, cool-downs, and what was in force. Windows do not: they are filled
//! again from the last minutes of `charges`.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Write;
use std::path::{Path, PathBuf};

use flyball_runtime::control::{Scope, State};
use flyball_store::LogPosition;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::guard::Remembered;
pub use crate::knowledge::Knowledge;
use crate::state::Machine;
use crate::{Error, Result, trust};

/// Everything that is kept. A plain value: how it is kept is [`Memory`]'s affair.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Saved {
    /// The latest log position that was seen.
    pub position: LogPosition,
    pub(crate) rules: BTreeMap<String, SavedRule>,
    pub(crate) guard: Remembered,
    pub(crate) in_force: Vec<SavedState>,
    #[serde(default)]
    pub(crate) trust: trust::Kept,
}

/// A scope and the state that was in force for it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct SavedState {
    pub(crate) scope: Scope,
    pub(crate) state: State,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct SavedRule {
    /// By what its keys were: under another, they mean something else.
    pub(crate) by: String,
    pub(crate) health: Machine,
    /// The alert of a query that fails.
    #[serde(default)]
    pub(crate) health_id: Option<String>,
    pub(crate) keys: BTreeMap<String, SavedKey>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct SavedKey {
    pub(crate) machine: Machine,
    /// The value that was judged last; unknown in what older versions saved.
    #[serde(default)]
    pub(crate) value: Option<Decimal>,
    pub(crate) alert_id: Option<String>,
    /// What was ordered first, as older versions saved it.
    #[serde(default, skip_serializing)]
    pub(crate) acted: Option<String>,
    /// What was ordered in this episode.
    #[serde(default)]
    pub(crate) ordered: Vec<Ordered>,
    pub(crate) resting_until: i64,
    pub(crate) forgiven_until: i64,
    pub(crate) wants_calm_until: i64,
    pub(crate) scope: Option<Scope>,
    /// What a person has forgiven of a budget; older versions had none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) pardon: Option<SavedPardon>,
    /// The tools it is known to use, where a rule learns them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tools: Option<SavedTools>,
}

/// An order of a rule, and when it was given, nanoseconds since 1970.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Ordered {
    pub(crate) action_id: String,
    pub(crate) at: i64,
}

/// What a person has forgiven of a budget.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct SavedPardon {
    /// The period, by its first nanosecond.
    pub(crate) begin: i64,
    pub(crate) dollars: Decimal,
    /// And all that the tables say besides, once they say it.
    pub(crate) all: bool,
}

/// The tools of a key, and what they were learnt from. Times in nanoseconds since 1970.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct SavedTools {
    pub(crate) since: i64,
    /// Calls that stand.
    pub(crate) calls: i64,
    /// When the latest of them was received.
    pub(crate) last: i64,
    /// Until when there were more tools than are kept.
    pub(crate) crowded_until: i64,
    pub(crate) tools: Vec<SavedTool>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct SavedTool {
    pub(crate) name: String,
    pub(crate) calls: i64,
    pub(crate) first: i64,
    pub(crate) last: i64,
    pub(crate) known: bool,
}

/// Where the state is kept.
pub trait Memory: Send + Sync + fmt::Debug {
    /// What was saved last, if anything.
    ///
    /// # Errors
    /// When there is something that cannot be read.
    fn load(&self) -> Result<Option<Saved>>;
    /// Replaces it, entirely or not at all. May block.
    ///
    /// # Errors
    /// When it cannot be written.
    fn save(&self, saved: &Saved) -> Result<()>;
    /// What a rule has learnt, as it was [kept](Self::keep) last.
    ///
    /// # Errors
    /// When there is something that cannot be read.
    fn knowledge(&self, rule: &str) -> Result<Option<Knowledge>>;
    /// Replaces what a rule has learnt, entirely or not at all. May block.
    ///
    /// # Errors
    /// When it cannot be written.
    fn keep(&self, rule: &str, knowledge: &Knowledge) -> Result<()>;
    /// Forgets what rules have learnt that are none of these.
    fn forget(&self, but: &[String]);
}

/// Keeps it in a JSON file, and what is learnt in a folder beside it, a file for each rule.
#[derive(Debug)]
pub struct FileMemory {
    path: PathBuf,
}

impl FileMemory {
    /// Keeps it at this path (its folder must exist).
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Names of rules are letters, digits, hyphens, underscores and dots.
    fn learnt(&self, rule: &str) -> PathBuf {
        self.path
            .with_extension("learnt")
            .join(format!("{rule}.bin"))
    }
}

fn failed(path: &Path, reason: impl fmt::Display) -> Error {
    Error::Memory {
        path: path.to_owned(),
        reason: reason.to_string(),
    }
}

fn read(path: &Path) -> Result<Option<Vec<u8>>> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(failed(path, e)),
    }
}

/// Entirely, or not at all.
fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let next = path.with_extension("next");
    let written = std::fs::File::create(&next).and_then(|mut file| {
        file.write_all(bytes)?;
        // The rename must not come true before the bytes do.
        file.sync_all()?;
        std::fs::rename(&next, path)
    });
    written.map_err(|e| failed(path, e))
}

impl Memory for FileMemory {
    fn load(&self) -> Result<Option<Saved>> {
        let bytes = read(&self.path)?;
        let saved = bytes.map(|bytes| serde_json::from_slice(&bytes));
        saved.transpose().map_err(|e| failed(&self.path, e))
    }

    fn save(&self, saved: &Saved) -> Result<()> {
        let bytes = serde_json::to_vec(saved).map_err(|e| failed(&self.path, e))?;
        replace(&self.path, &bytes)
    }

    fn knowledge(&self, rule: &str) -> Result<Option<Knowledge>> {
        let path = self.learnt(rule);
        let known = read(&path)?.map(|bytes| Knowledge::decode(&bytes));
        known.transpose().map_err(|reason| failed(&path, reason))
    }

    fn keep(&self, rule: &str, knowledge: &Knowledge) -> Result<()> {
        let path = self.learnt(rule);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(|e| failed(folder, e))?;
        }
        let bytes = knowledge.encode().map_err(|reason| failed(&path, reason))?;
        replace(&path, &bytes)
    }

    fn forget(&self, but: &[String]) {
        let kept: Vec<PathBuf> = but.iter().map(|rule| self.learnt(rule)).collect();
        let folder = std::fs::read_dir(self.path.with_extension("learnt"));
        let files = folder.into_iter().flatten().flatten();
        for path in files.map(|file| file.path()) {
            if !kept.contains(&path)
                && let Err(e) = std::fs::remove_file(&path)
            {
                tracing::warn!("{} stays: {e}", path.display());
            }
        }
    }
}

/// Keeps nothing: for those who need no restart.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoMemory;

impl Memory for NoMemory {
    fn load(&self) -> Result<Option<Saved>> {
        Ok(None)
    }

    fn save(&self, _: &Saved) -> Result<()> {
        Ok(())
    }

    fn knowledge(&self, _: &str) -> Result<Option<Knowledge>> {
        Ok(None)
    }

    fn keep(&self, _: &str, _: &Knowledge) -> Result<()> {
        Ok(())
    }

    fn forget(&self, _: &[String]) {}
}
