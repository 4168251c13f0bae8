//! `flyball conventions`: the tables that spans and log records are read by, as they are in force.

use std::collections::HashMap;

use anyhow::{Result, bail};
use flyball_ingest::conventions::events::{EVENTS, Event};
use flyball_ingest::conventions::{RULES, Rule};
use serde_json::json;

use crate::cli::{Conventions, StorageFormat};
use crate::say::say;

/// Prints it, or the part that was asked for.
pub(super) fn run(options: &Conventions) -> Result<()> {
    let wanted = |rule: &&Rule| match &options.of {
        Some(of) => rule.key == of || rule.column.name() == *of,
        None => true,
    };
    let mut seen = HashMap::new();
    let ranked = RULES.iter().map(|rule| {
        let rank = seen.entry(rule.column).or_insert(0);
        *rank += 1;
        (*rank, rule)
    });
    let rows: Vec<(i32, &Rule)> = ranked.filter(|(_, rule)| wanted(rule)).collect();
    let events: Vec<&Event> = EVENTS
        .iter()
        .filter(|event| options.of.as_deref().is_none_or(|of| event.name == of))
        .collect();
    if rows.is_empty() && events.is_empty() {
        let of = options.of.as_deref().unwrap_or_default();
        bail!(
            "{of:?} is neither a column that attributes fill, nor a key that is read, nor an event that is known; \
             `flyball conventions` prints all"
        );
    }
    match options.format {
        StorageFormat::Json => say!("{}", serde_json::to_string_pretty(&as_json(&rows))?),
        StorageFormat::Table => {
            print(&rows);
            print_events(&events);
        }
    }
    Ok(())
}

fn as_json(rows: &[(i32, &Rule)]) -> serde_json::Value {
    let row = |(rank, rule): &(i32, &Rule)| {
        json!({
            "column": rule.column.name(),
            "rank": rank,
            "key": rule.key,
            "field": rule.field,
            "convention": rule.convention.as_str(),
            "on": rule.place.as_str(),
            "read_as": rule.read.as_str(),
            "operation": rule.only,
            "only_where_marked": rule.marked,
            "parts_are_apart": rule.apart,
        })
    };
    rows.iter().map(row).collect()
}

fn print_events(events: &[&Event]) {
    if events.is_empty() {
        return;
    }
    let mut table = comfy_table::Table::new();
    table
        .load_preset(comfy_table::presets::NOTHING)
        .set_header(["log record", "convention", "only if", "tells of"]);
    for event in events {
        let when = event.when.map(|(key, value)| format!("{key} is {value}"));
        table.add_row([
            event.name.to_owned(),
            event.convention.as_str().to_owned(),
            when.unwrap_or_default(),
            event.tells.words(),
        ]);
    }
    say!("{table}");
}

fn print(rows: &[(i32, &Rule)]) {
    if rows.is_empty() {
        return;
    }
    let mut table = comfy_table::Table::new();
    table
        .load_preset(comfy_table::presets::NOTHING)
        .set_header([
            "column",
            "rank",
            "key",
            "convention",
            "on",
            "read as",
            "only if operation is",
        ]);
    for (rank, rule) in rows {
        table.add_row([
            rule.column.name(),
            rank.to_string(),
            match rule.field {
                Some("") => format!("{} (JSON)", rule.key),
                Some(field) => format!("{} (JSON: {field})", rule.key),
                None => rule.key.to_owned(),
            },
            rule.convention.as_str().to_owned(),
            rule.place.as_str().to_owned(),
            rule.read.as_str().to_owned(),
            rule.only.unwrap_or_default().to_owned(),
        ]);
    }
    say!("{table}");
}
