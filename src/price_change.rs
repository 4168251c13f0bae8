//! A record of the ledger whenever another price book comes into force.
//!
//! Which book was in force last stands in `prices-in-force.json` of the data directory. After a crash between the
//! record and that file the record may come twice; it is never missing.

use std::path::Path;

use anyhow::{Context as _, Result};
use flyball_pricing::{Book, Entry, ToolPrice};
use flyball_store::rows::{AuditRow, Micros};
use flyball_store::{OwnEvent, Store, sha256};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::prices;

const FILE: &str = "prices-in-force.json";

/// What the ledger says of a book.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Told {
    /// `builtin`, or the file's name without its folder.
    source: String,
    /// Of what it says, not of how it is written: the same prices from another file are the same book.
    sha256: String,
    /// How many prices it holds.
    prices: usize,
}

impl Told {
    fn of(path: Option<&Path>, book: &Book) -> Self {
        let name = path.and_then(Path::file_name);
        Self {
            source: name.map_or_else(|| "builtin".into(), |name| name.to_string_lossy().into()),
            sha256: digest(book),
            prices: book.entries().map(|entry| entry.prices.len()).sum(),
        }
    }
}

/// Enters a record if the book that is configured is another than the last.
pub(crate) async fn note(
    store: &Store,
    workspace: &str,
    data_dir: &Path,
    path: Option<&Path>,
    book: &Book,
) -> Result<()> {
    let kept = data_dir.join(FILE);
    let before: Option<Told> = match std::fs::read(&kept) {
        Ok(bytes) => Some(
            serde_json::from_slice(&bytes)
                .with_context(|| format!("{} is damaged: remove it", kept.display()))?,
        ),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", kept.display())),
    };
    let after = Told::of(path, book);
    if before
        .as_ref()
        .is_some_and(|before| before.sha256 == after.sha256)
    {
        return Ok(());
    }
    let record = json!({ "before": before, "after": after });
    enter(store, workspace, "prices.changed", &record).await?;
    prices::write_whole(&kept, &serde_json::to_vec_pretty(&after)?)
}

/// Enters a record that an import is priced by a book of its own.
pub(crate) async fn note_import(
    store: &Store,
    workspace: &str,
    path: &Path,
    book: &Book,
) -> Result<()> {
    let record = json!({ "import": Told::of(Some(path), book) });
    enter(store, workspace, "prices.imported_by", &record).await
}

async fn enter(
    store: &Store,
    workspace: &str,
    event: &str,
    record: &serde_json::Value,
) -> Result<()> {
    let row = AuditRow {
        at: Micros(chrono::Utc::now().timestamp_micros()),
        event: event.to_owned(),
        actor: "flyball".to_owned(),
        subject: format!("workspace:{workspace}"),
        record: record.to_string(),
        ..AuditRow::default()
    };
    store.record(workspace, OwnEvent::Audit(row)).await?;
    Ok(())
}

/// Of all that entries and tools say, but where they were read from, in no particular order.
fn digest(book: &Book) -> String {
    let entries = book.entries().map(|entry| line(entry.clone()));
    let tools = book.tools().map(|tool| tool_line(tool.clone()));
    let mut lines: Vec<String> = entries.chain(tools).collect();
    lines.sort();
    sha256(lines.concat().as_bytes())
}

fn line(mut entry: Entry) -> String {
    (entry.book, entry.source) = (String::new(), String::new());
    for price in &mut entry.prices {
        price.id = String::new();
    }
    format!("{entry:?}\n")
}

fn tool_line(mut tool: ToolPrice) -> String {
    (tool.id, tool.source) = (String::new(), String::new());
    format!("{tool:?}\n")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_book_is_known_by_what_it_says() {
        let text = |input: &str, more: &str| {
            format!(
                r#"{{{more}"m": {{"input_cost_per_token": {input}, "output_cost_per_token": 2e-6}}}}"#
            )
        };
        let digest = |input: &str, more: &str, source: &str| {
            digest(&Book::litellm(&text(input, more), source).unwrap())
        };
        let one = digest("1e-6", "", "a.json");
        assert_eq!(one, digest("0.0000010", "", "/elsewhere/b.json"));
        assert_ne!(one, digest("1.1e-6", "", "a.json"));
        let other = r#""n": {"input_cost_per_token": 1e-6, "output_cost_per_token": 2e-6}, "#;
        assert_ne!(one, digest("1e-6", other, "a.json"));
    }
}
