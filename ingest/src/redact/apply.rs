//! A policy's way over the rows of a request.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::error::ArrowError;
use flyball_store::Table;
use flyball_store::rows::{ContentRow, Row};
use serde_json::Value as Json;

use super::Policy;
use crate::normalise::content_hash;

/// The columns that hold texts somebody wrote, not names that rows are found by.
const COLUMNS: &[(Table, &[&str])] = &[
    (
        Table::Spans,
        &[
            "status_message",
            "attributes",
            "resource",
            "events",
            "links",
        ],
    ),
    (Table::Logs, &["body", "attributes", "resource"]),
    (Table::Metrics, &["attributes", "resource"]),
];

/// The rows as they may be kept. Tables that the policy leaves nothing of are left out.
///
/// # Errors
/// When rows cannot be put together again, which their own schema rules out.
pub fn apply(
    policy: &Policy,
    batches: Vec<(Table, RecordBatch)>,
) -> Result<Vec<(Table, RecordBatch)>, ArrowError> {
    let mut kept = Vec::with_capacity(batches.len());
    for (table, batch) in batches {
        match table {
            Table::Contents if !policy.keep_content => {}
            Table::Contents => kept.push((table, contents(policy, batch)?)),
            table => kept.push((table, columns(policy, table, batch)?)),
        }
    }
    Ok(kept)
}

fn columns(policy: &Policy, table: Table, batch: RecordBatch) -> Result<RecordBatch, ArrowError> {
    let named = COLUMNS.iter().find(|(of, _)| *of == table);
    let Some((_, names)) = named.filter(|_| !policy.detectors.is_empty()) else {
        return Ok(batch);
    };
    let (schema, mut columns, mut changed) = (batch.schema(), batch.columns().to_vec(), false);
    for name in *names {
        let at = schema.index_of(name)?;
        if let Some(redacted) = columns[at]
            .as_string_opt::<i32>()
            .and_then(|texts| column(policy, texts))
        {
            columns[at] = Arc::new(redacted) as ArrayRef;
            changed = true;
        }
    }
    if changed {
        RecordBatch::try_new(schema, columns)
    } else {
        Ok(batch)
    }
}

/// The column without what is found; `None` when nothing is. Values of dictionaries and runs repeat (a resource's are
/// the same for all its spans), so equal neighbours are looked at once.
fn column(policy: &Policy, texts: &StringArray) -> Option<StringArray> {
    let mut found: Vec<(usize, String)> = Vec::new();
    let mut last: Option<(&str, Option<String>)> = None;
    for row in (0..texts.len()).filter(|row| texts.is_valid(*row)) {
        let text = texts.value(row);
        let redacted = match &last {
            Some((seen, redacted)) if *seen == text => redacted.clone(),
            _ => redact(policy, text),
        };
        found.extend(redacted.clone().map(|redacted| (row, redacted)));
        last = Some((text, redacted));
    }
    if found.is_empty() {
        return None;
    }
    policy
        .counts
        .redacted
        .fetch_add(found.len() as u64, Ordering::Relaxed);
    let mut found = found.into_iter().peekable();
    let texts = (0..texts.len()).map(|row| {
        let redacted = found.next_if(|(at, _)| *at == row);
        let kept = || texts.is_valid(row).then(|| texts.value(row).to_owned());
        redacted.map(|(_, text)| text).or_else(kept)
    });
    Some(texts.collect())
}

/// A text, or the strings in a JSON text, without what is found; `None` when nothing is.
fn redact(policy: &Policy, text: &str) -> Option<String> {
    // Most texts hold nothing: that is found out without taking them apart.
    let plain = policy.redact(text)?;
    match serde_json::from_str::<Json>(text) {
        Ok(mut json @ (Json::Object(_) | Json::Array(_))) => {
            each_string(&mut json, &mut |text| {
                if let Some(redacted) = policy.redact(text) {
                    *text = redacted;
                }
            });
            Some(json.to_string())
        }
        _ => Some(plain),
    }
}

fn each_string(json: &mut Json, with: &mut impl FnMut(&mut String)) {
    match json {
        Json::String(text) => with(text),
        Json::Array(items) => items.iter_mut().for_each(|item| each_string(item, with)),
        Json::Object(fields) => fields
            .values_mut()
            .for_each(|field| each_string(field, with)),
        Json::Null | Json::Bool(_) | Json::Number(_) => {}
    }
}

/// Contents are redacted, hashed as that, and cut to their size.
fn contents(policy: &Policy, batch: RecordBatch) -> Result<RecordBatch, ArrowError> {
    let mut rows = ContentRow::read(&batch)?;
    let mut changed = false;
    for row in &mut rows {
        let mut redacted = 0;
        for text in [&mut row.input, &mut row.output, &mut row.reasoning] {
            if let Some(kept) = text.as_deref().and_then(|text| redact(policy, text)) {
                *text = Some(kept);
                redacted += 1;
            }
        }
        if redacted > 0 {
            row.sha256 = content_hash([&row.input, &row.output, &row.reasoning]);
            policy
                .counts
                .redacted
                .fetch_add(redacted, Ordering::Relaxed);
        }
        let cut = cut(policy.content_bytes_max, row);
        policy
            .counts
            .cut
            .fetch_add(u64::from(cut), Ordering::Relaxed);
        changed |= redacted > 0 || cut;
    }
    if changed {
        ContentRow::batch(&rows)
    } else {
        Ok(batch)
    }
}

/// Cuts a row's texts to so many bytes together, the longest strings first, and each so that JSON stays JSON. Says
/// whether it had to. `bytes` still says how many there were.
fn cut(bytes_max: usize, row: &mut ContentRow) -> bool {
    let size = |row: &ContentRow| {
        let texts = [&row.input, &row.output, &row.reasoning];
        texts
            .iter()
            .map(|text| text.as_ref().map_or(0, String::len))
            .sum::<usize>()
    };
    if size(row) <= bytes_max {
        return false;
    }
    let mut limit = bytes_max;
    while size(row) > bytes_max && limit > 0 {
        limit /= 2;
        let texts = [&mut row.input, &mut row.output, &mut row.reasoning];
        for text in texts.into_iter().flatten() {
            *text = shortened(text, limit);
        }
    }
    // Nothing but keys and numbers, and still too much.
    if size(row) > bytes_max {
        (row.input, row.output, row.reasoning) = (None, None, None);
    }
    true
}

fn shortened(text: &str, limit: usize) -> String {
    let shorten = |text: &mut String| {
        if text.len() > limit {
            let end = text.floor_char_boundary(limit);
            text.truncate(end);
            text.push('\u{2026}');
        }
    };
    match serde_json::from_str::<Json>(text) {
        Ok(mut json) => {
            each_string(&mut json, &mut |text| shorten(text));
            json.to_string()
        }
        Err(_) => {
            let mut text = text.to_owned();
            shorten(&mut text);
            text
        }
    }
}
