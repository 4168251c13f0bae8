//! A book says one thing of every call: two entries, or two prices of one, that could both hold are refused.

use std::collections::HashMap;

use crate::{Entry, Error, Result, ToolPrice, glob};

/// Refuses the first pair that could both hold for one call.
pub(crate) fn refuse(book: &str, entries: &[Entry]) -> Result<()> {
    for entry in entries {
        prices(book, entry)?;
    }
    let in_force = || entries.iter().filter(|entry| entry.quarantined.is_none());
    let mut by_name: HashMap<&str, Vec<&Entry>> = HashMap::new();
    for entry in in_force() {
        let mut names: Vec<&str> = entry.names().collect();
        names.sort_unstable();
        names.dedup();
        for name in names {
            let others = by_name.entry(name).or_default();
            for other in others.iter() {
                if contend(other, entry) {
                    return Err(overlap(book, other, entry, name));
                }
            }
            others.push(entry);
        }
    }
    let patterned: Vec<&Entry> = in_force().filter(|e| !e.patterns.is_empty()).collect();
    for (at, one) in patterned.iter().enumerate() {
        for other in patterned[at + 1..].iter().filter(|o| contend(one, o)) {
            for (a, b) in pairs(&one.patterns, &other.patterns) {
                if glob::overlap(a, b) {
                    return Err(overlap(book, one, other, &format!("{a} and {b}")));
                }
            }
        }
    }
    Ok(())
}

/// The same for the prices of tools.
pub(crate) fn refuse_tools(book: &str, tools: &[ToolPrice]) -> Result<()> {
    for (at, one) in tools.iter().enumerate() {
        for other in &tools[at + 1..] {
            let same = one.tool == other.tool
                && one.workspace == other.workspace
                && one.known_unix_nano == other.known_unix_nano;
            if same && one.meets(other) {
                return Err(Error::EntriesOverlap {
                    book: book.to_owned(),
                    first: one.id.clone(),
                    second: other.id.clone(),
                    name: one.tool.clone(),
                });
            }
        }
    }
    Ok(())
}

fn prices(book: &str, entry: &Entry) -> Result<()> {
    for (at, one) in entry.prices.iter().enumerate() {
        if let Some(other) = entry.prices[at + 1..]
            .iter()
            .find(|other| one.when.overlaps(&other.when))
        {
            return Err(Error::PricesOverlap {
                book: book.to_owned(),
                entry: label(entry),
                first: one.when.to_string(),
                second: other.when.to_string(),
            });
        }
    }
    Ok(())
}

/// Whether nothing would say which of two that share a name stands.
fn contend(one: &Entry, other: &Entry) -> bool {
    if one.workspace != other.workspace || !one.meets(other) {
        return false;
    }
    let open = |entry: &Entry| entry.elsewhere || entry.provider.is_none();
    let same_seller = one.provider == other.provider;
    if same_seller {
        one.known_unix_nano == other.known_unix_nano
    } else {
        open(one) && open(other)
    }
}

fn pairs<'a>(
    one: &'a [String],
    other: &'a [String],
) -> impl Iterator<Item = (&'a String, &'a String)> {
    one.iter()
        .flat_map(move |a| other.iter().map(move |b| (a, b)))
}

fn overlap(book: &str, first: &Entry, second: &Entry, name: &str) -> Error {
    Error::EntriesOverlap {
        book: book.to_owned(),
        first: label(first),
        second: label(second),
        name: name.to_owned(),
    }
}

/// An entry in words.
pub(crate) fn label(entry: &Entry) -> String {
    let instant = |at: Option<i64>| {
        at.map_or_else(
            || "*".to_owned(),
            |at| {
                chrono::DateTime::from_timestamp_nanos(at)
                    .format("%Y-%m-%dT%H:%M:%SZ")
                    .to_string()
            },
        )
    };
    format!(
        "entry {} ({}{}, {} to {})",
        entry.model,
        entry.provider.as_deref().unwrap_or("any provider"),
        entry
            .workspace
            .as_deref()
            .map_or_else(String::new, |workspace| format!(", workspace {workspace}")),
        instant(entry.from_unix_nano),
        instant(entry.until_unix_nano)
    )
}

#[cfg(test)]
#[path = "overlap/tests.rs"]
mod tests;
