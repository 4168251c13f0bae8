//! What is left to do when a restored directory is opened for the first time: a note in it says so until it is
//! done.

use std::path::Path;

use chrono::Utc;
use serde::{Deserialize, Serialize};

use super::manifest::Manifest;
use super::restore::write_private;
use crate::append::OwnEvent;
use crate::disk::{Disk as _, Local};
use crate::error::{Error, Result};
use crate::log::LogPosition;
use crate::rows::{AuditRow, Micros};
use crate::store::Store;

/// The note's name in the data directory.
pub(super) const FILE: &str = "restored.json";

/// What it says.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Note {
    /// The backup.
    pub(super) backup: String,
    log_position: LogPosition,
    from_node: String,
    at_micros: i64,
}

/// Leaves the note.
pub(super) fn note(data_dir: &Path, manifest: &Manifest) -> Result<()> {
    let path = data_dir.join(FILE);
    let note = Note {
        backup: manifest.id.clone(),
        log_position: manifest.log_position,
        from_node: manifest.node.clone(),
        at_micros: Utc::now().timestamp_micros(),
    };
    let text = serde_json::to_vec(&note).map_err(unusable(&path))?;
    write_private(&path, &text)
}

/// The note, if there is one.
pub(super) fn noted(data_dir: &Path) -> Result<Option<Note>> {
    let path = data_dir.join(FILE);
    match std::fs::read(&path) {
        Ok(text) => serde_json::from_slice(&text)
            .map(Some)
            .map_err(unusable(&path)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::file("read", &path)(error)),
    }
}

fn unusable(path: &Path) -> impl FnOnce(serde_json::Error) -> Error {
    let damaged = Error::file("use", path);
    move |error| damaged(error.into())
}

impl Store {
    /// Says on every ledger where a restored directory comes from, once however often it is done; and carries out
    /// erasures that are newer than the backup.
    pub(crate) async fn finish_restore(&self) -> Result<()> {
        let data_dir = &self.config.data_dir;
        let Some(note) = noted(data_dir)? else {
            return Ok(());
        };
        for workspace in self.workspaces() {
            let record = serde_json::json!({
                "backup": note.backup,
                "log_position": note.log_position,
                "from_node": note.from_node,
                "node": self.node(),
            });
            let row = AuditRow {
                at: Micros(note.at_micros),
                event: "backup.restored".to_owned(),
                actor: "flyball".to_owned(),
                subject: format!("backup:{}", note.backup),
                record: record.to_string(),
                ..AuditRow::default()
            };
            self.record(&workspace, OwnEvent::Audit(row)).await?;
        }
        // Who was erased since the backup was taken is erased again, before anybody reads.
        self.replay_erasures(&self.erasures()?).await?;
        let path = data_dir.join(FILE);
        Local
            .remove(&path)
            .and_then(|()| Local.sync_folder(data_dir))
            .map_err(Error::file("remove", &path))
    }

    /// The id of this node.
    pub(super) fn node(&self) -> &str {
        self.app.trim_start_matches("flyball/")
    }
}
