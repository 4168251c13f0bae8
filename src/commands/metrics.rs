//! `flyball metrics`: the catalogue of what can be asked for by name, and what each entry means.

use anyhow::{Result, bail};
use flyball_query::catalogue::{self, Definition, Kind};
use serde_json::json;

use crate::cli::{Metrics, PageFormat};
use crate::say::say;

/// Prints it, or the entry that was asked for.
pub(super) fn run(options: &Metrics) -> Result<()> {
    let entries: Vec<Definition> = catalogue::all()
        .into_iter()
        .filter(|entry| options.of.as_ref().is_none_or(|of| entry.name == *of))
        .collect();
    if entries.is_empty() {
        let of = options.of.as_deref().unwrap_or_default();
        bail!("{of:?} is no metric, function or view: `flyball metrics` prints all");
    }
    match options.format {
        PageFormat::Json => say!("{}", serde_json::to_string_pretty(&as_json(&entries))?),
        PageFormat::Markdown => crate::say::text(format_args!("{}", catalogue::page())),
        PageFormat::Grafana => {
            let dashboard = flyball_dashboards::grafana::catalogue::dashboard(&catalogue::all());
            say!("{}", serde_json::to_string_pretty(&dashboard)?);
        }
        PageFormat::Table if options.of.is_some() => entries.iter().for_each(whole),
        PageFormat::Table => entries.iter().for_each(line),
    }
    Ok(())
}

fn line(entry: &Definition) {
    // A sentence is enough to choose by.
    let summary = entry
        .summary
        .split_inclusive(". ")
        .next()
        .unwrap_or_default();
    say!(
        "{:<9} {:<42} {}",
        kind(entry),
        entry.name,
        summary.trim_end()
    );
}

fn whole(entry: &Definition) {
    say!("{} ({})\n\n{}\n", entry.name, kind(entry), entry.summary);
    let facts = [
        ("formula", &entry.formula),
        ("unit", &entry.unit),
        ("one row", &entry.grain),
        ("time", &entry.time),
        ("edges", &entry.edges),
    ];
    for (name, text) in facts.into_iter().filter(|(_, text)| !text.is_empty()) {
        say!("{name:<8} {text}");
    }
    say!("\n{}", entry.sql.trim_end());
}

fn as_json(entries: &[Definition]) -> serde_json::Value {
    let entry = |entry: &Definition| {
        json!({
            "name": entry.name,
            "kind": kind(entry),
            "summary": entry.summary,
            "formula": entry.formula,
            "unit": entry.unit,
            "grain": entry.grain,
            "time": entry.time,
            "edges": entry.edges,
            "sql": entry.sql,
        })
    };
    entries.iter().map(entry).collect()
}

fn kind(entry: &Definition) -> &'static str {
    match entry.kind {
        Kind::View => "view",
        Kind::Metric => "metric",
        Kind::Function => "function",
    }
}
