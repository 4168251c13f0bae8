//! For whom a key may send: what names another tenant is refused, one by one, and what names none gets the key's own
//! tenant, where it has exactly one.
//!
//! The tenant is what the columns say, whatever attribute it was read from. A replay makes the same rows of the log:
//! what was refused stands in the frame's header, and a key's tenants never change.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::error::ArrowError;
use flyball_store::{ApiKey, Signal};

use crate::error::Result;
use crate::normalise::{Normalised, Rejected};

const TENANT: &str = "tenant";
/// Tenants that a refusal lists, and characters of the one that was sent.
const LISTED_MAX: usize = 5;
const SHOWN_MAX: usize = 64;

/// A request's rows, as this key may send them. `read` makes them, without those whose index it is given.
pub(super) fn of_key(
    key: &ApiKey,
    signal: Signal,
    read: impl Fn(&[u32]) -> Result<Normalised>,
) -> Result<Normalised> {
    let mut normalised = read(&[])?;
    let refused = foreign(key, signal, &normalised)?;
    if !refused.is_empty() {
        // Once more without them, as a replay will: so nothing of them is left anywhere.
        let skip: Vec<u32> = refused.iter().map(|one| one.index).collect();
        normalised = read(&skip)?;
        normalised.rejected.extend(refused);
        normalised.rejected.sort_by_key(|one| one.index);
    }
    fill(&mut normalised, key)?;
    Ok(normalised)
}

/// Gives what names no tenant the key's own.
pub(super) fn fill(
    normalised: &mut Normalised,
    key: &ApiKey,
) -> std::result::Result<(), ArrowError> {
    let Some(tenant) = key.own_tenant() else {
        return Ok(());
    };
    normalised.spans = filled(&normalised.spans, tenant)?;
    for rows in [&mut normalised.logs, &mut normalised.metrics]
        .into_iter()
        .flatten()
    {
        *rows = filled(rows, tenant)?;
    }
    Ok(())
}

fn filled(rows: &RecordBatch, tenant: &str) -> std::result::Result<RecordBatch, ArrowError> {
    let at = rows.schema().index_of(TENANT)?;
    let told = texts(rows.column(at))?;
    if told.null_count() == 0 {
        return Ok(rows.clone());
    }
    let filled: StringArray = told
        .iter()
        .map(|told| Some(told.unwrap_or(tenant)))
        .collect();
    let mut columns = rows.columns().to_vec();
    columns[at] = Arc::new(filled) as ArrayRef;
    RecordBatch::try_new(rows.schema(), columns)
}

fn texts(column: &ArrayRef) -> std::result::Result<&StringArray, ArrowError> {
    let wrong = || ArrowError::SchemaError(format!("column {TENANT} is not of texts"));
    column.as_string_opt::<i32>().ok_or_else(wrong)
}

/// Spans (records, points) that name a tenant which is not the key's to send for, by their index in the request.
fn foreign(
    key: &ApiKey,
    signal: Signal,
    normalised: &Normalised,
) -> std::result::Result<Vec<Rejected>, ArrowError> {
    // One row for each that was kept, in the order of the request.
    let rows = match signal {
        Signal::Traces => Some(&normalised.spans),
        Signal::Logs => normalised.logs.as_ref(),
        Signal::Metrics => normalised.metrics.as_ref(),
    };
    let Some(rows) = rows.filter(|_| !key.tenants.is_empty()) else {
        return Ok(Vec::new());
    };
    let told = texts(rows.column(rows.schema().index_of(TENANT)?))?;
    let passed: HashSet<u32> = normalised.rejected.iter().map(|one| one.index).collect();
    let kept = (0u32..).filter(|index| !passed.contains(index));
    let foreign = |tenant: &&str| !key.tenants.iter().any(|own| own == tenant);
    let found = told.iter().zip(kept).filter_map(|(tenant, index)| {
        let reason = refusal(key, tenant.filter(foreign)?);
        Some(Rejected { index, reason })
    });
    Ok(found.collect())
}

fn refusal(key: &ApiKey, tenant: &str) -> String {
    let shown: String = tenant.chars().take(SHOWN_MAX).collect();
    let mut accepted: Vec<_> = key.tenants.iter().take(LISTED_MAX).cloned().collect();
    if key.tenants.len() > LISTED_MAX {
        accepted.push(format!("{} more", key.tenants.len() - LISTED_MAX));
    }
    format!(
        "tenant {shown:?} is not one that API key {} may send for: expected {}",
        key.name,
        accepted.join(" or ")
    )
}

#[cfg(test)]
mod tests;
