//! A policy's way over the rows of a request.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

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
    let Some((_, names)) = COLUMNS.iter().find(|(of, _)| *of == table) else {
        return Ok(batch);
    };
    let (schema, mut columns, mut changed) = (batch.schema(), batch.columns().to_vec(), false);
    for name in *names {
        let at = schema.index_of(name)?;
        if let Some(kept) = columns[at]
            .as_string_opt::<i32>()
            .and_then(|texts| column(policy, texts))
        {
            columns[at] = Arc::new(kept) as ArrayRef;
            changed = true;
        }
    }
    if changed {
        RecordBatch::try_new(schema, columns)
    } else {
        Ok(batch)
    }
}

/// The column as it may be kept; `None` when that is as it is. Values repeat in runs (a resource's are the same for
/// all its spans), so equal neighbours are looked at once.
fn column(policy: &Policy, texts: &StringArray) -> Option<StringArray> {
    let mut found: Vec<(usize, String)> = Vec::new();
    let mut last: Option<(&str, Option<String>)> = None;
    for row in (0..texts.len()).filter(|row| texts.is_valid(*row)) {
        let text = texts.value(row);
        let kept = match &last {
            Some((seen, kept)) if *seen == text => kept.clone(),
            _ => as_kept(policy, text),
        };
        found.extend(kept.clone().map(|kept| (row, kept)));
        last = Some((text, kept));
    }
    if found.is_empty() {
        return None;
    }
    let mut found = found.into_iter().peekable();
    let texts = (0..texts.len()).map(|row| {
        let kept = found.next_if(|(at, _)| *at == row);
        let sent = || texts.is_valid(row).then(|| texts.value(row).to_owned());
        kept.map(|(_, text)| text).or_else(sent)
    });
    Some(texts.collect())
}

/// A text without what is found, and no longer than it may be; `None` when it can stay as it is.
fn as_kept(policy: &Policy, text: &str) -> Option<String> {
    let redacted = redact(policy, text);
    let count = |counter: &AtomicU64| counter.fetch_add(1, Ordering::Relaxed);
    if redacted.is_some() {
        count(&policy.counts.redacted);
    }
    let whole = redacted.as_deref().unwrap_or(text);
    if whole.len() <= policy.text_bytes_max {
        return redacted;
    }
    count(&policy.counts.cut);
    Some(fitted(whole, policy.text_bytes_max))
}

/// A text of at most so many bytes: its longest strings are shortened until it fits; of an object or a list that is too
/// long even so, the first fields or items stay.
fn fitted(text: &str, bytes_max: usize) -> String {
    let (mut limit, mut kept) = (bytes_max, text.to_owned());
    while kept.len() > bytes_max && limit > 16 {
        limit /= 2;
        kept = shortened(text, limit);
    }
    if kept.len() <= bytes_max {
        return kept;
    }
    // Less the braces or brackets.
    let mut left = bytes_max.saturating_sub(2);
    let mut fits = |bytes: usize| {
        let rest = left.checked_sub(bytes);
        left = rest.unwrap_or(0);
        rest.is_some()
    };
    match serde_json::from_str::<Json>(&kept) {
        // A field's quotes, colon and comma are in the text of an object of its own.
        Ok(Json::Object(fields)) => {
            let first = fields.into_iter().take_while(|(key, value)| {
                fits(serde_json::json!({ key: value }).to_string().len())
            });
            Json::Object(first.collect()).to_string()
        }
        Ok(Json::Array(items)) => {
            let first = items
                .into_iter()
                .take_while(|item| fits(item.to_string().len() + 1));
            Json::Array(first.collect()).to_string()
        }
        _ => String::new(),
    }
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

/// Whether all contents may stay as they are: found out without copying them, since they are most of the bytes.
fn may_stay(policy: &Policy, batch: &RecordBatch) -> bool {
    let texts = ["input", "output", "reasoning"].map(|side| {
        let column = batch.column_by_name(side);
        column.and_then(|column| column.as_string_opt::<i32>())
    });
    (0..batch.num_rows()).all(|row| {
        let of_row = || {
            let valid = texts.iter().flatten().filter(|side| side.is_valid(row));
            valid.map(|side| side.value(row))
        };
        of_row().map(str::len).sum::<usize>() <= policy.content_bytes_max
            && of_row().all(|text| policy.redact(text).is_none())
    })
}

/// Contents are redacted, hashed as that, and cut to their size.
fn contents(policy: &Policy, batch: RecordBatch) -> Result<RecordBatch, ArrowError> {
    if may_stay(policy, &batch) {
        return Ok(batch);
    }
    let mut rows = ContentRow::read(&batch)?;
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
    }
    ContentRow::batch(&rows)
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
