//! Corrections: what a flush of charges changes in what was on disk before.
//!
//! A charge and its reversal that meet before they are flushed were never known outside; they leave no trace.
//! What is left is a correction: a reversal of a charge on disk, and the charge that stands in its place. Each
//! flush that holds some says so on the ledger, in one record, once its commit is made ([`told`]).

mod told;

pub(crate) use told::{Corrections, FILE};

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::{ArrayRef, AsArray, RecordBatch};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::Result;
use crate::rows::{AuditRow, ChargeRow, Entry, Micros, Row};

/// The event of the ledger's record.
const EVENT: &str = "charges.corrected";
/// The reason of a reversal or charge that gives none.
const UNSAID: &str = "unsaid";
/// So many charges are named one by one; the digest covers all.
const NAMED: usize = 20;

/// The corrections of one flush, added up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Correction {
    /// The first file of the flush, in the table's folder: there they stand.
    file: String,
    /// Latest time at which one of them became known, microseconds since 1970.
    known_at: i64,
    /// Charges taken back.
    reversed: u64,
    /// Charges entered in their place.
    entered: u64,
    /// Entries of both kinds by reason.
    reasons: BTreeMap<String, u64>,
    /// What the sum over `charges` changes by, US dollars.
    #[serde(with = "rust_decimal::serde::str")]
    cost_usd_change: Decimal,
    /// UTC days of the calls.
    days: Vec<String>,
    /// The first charges taken back, by id.
    charge_ids: Vec<String>,
    /// SHA-256, in hex, over the sorted ids of all of them, a newline after each.
    charge_ids_sha256: String,
}

impl Correction {
    /// The corrections among the rows of a flush; None when it only adds.
    fn of(file: &str, batches: &[RecordBatch]) -> Result<Option<Self>> {
        // Most flushes hold none, and need not be read row by row.
        if !batches.iter().any(holds_reversals) {
            return Ok(None);
        }
        let reversal = Entry::Reversal.as_str();
        let mut rows = Vec::new();
        for batch in batches {
            let corrects = |row: &ChargeRow| row.entry == reversal || row.reason.is_some();
            rows.extend(ChargeRow::read(batch)?.into_iter().filter(corrects));
        }
        let reversed: BTreeSet<&str> = rows
            .iter()
            .filter(|row| row.entry == reversal)
            .map(|row| row.charge_id.as_str())
            .collect();
        let mut reasons = BTreeMap::new();
        for row in &rows {
            let reason = row.reason.as_deref().unwrap_or(UNSAID);
            *reasons.entry(reason.to_owned()).or_insert(0) += 1;
        }
        let days: BTreeSet<String> = rows.iter().map(|row| row.date.to_string()).collect();
        let mut digest = Sha256::new();
        for id in &reversed {
            digest.update(id);
            digest.update("\n");
        }
        Ok(Some(Self {
            file: file.to_owned(),
            known_at: rows.iter().map(|row| row.known_at.0).max().unwrap_or(0),
            reversed: rows.iter().filter(|row| row.entry == reversal).count() as u64,
            entered: rows
                .iter()
                .filter(|row| row.entry == Entry::Charge.as_str())
                .count() as u64,
            reasons,
            cost_usd_change: rows.iter().filter_map(|row| row.cost_usd).sum(),
            days: days.into_iter().collect(),
            charge_ids: reversed
                .iter()
                .take(NAMED)
                .map(|id| (*id).to_owned())
                .collect(),
            charge_ids_sha256: hex::encode(digest.finalize()),
        }))
    }

    /// The ledger's record: the same for the same flush, so that telling it twice enters it once.
    fn record(&self) -> AuditRow {
        AuditRow {
            at: Micros(self.known_at),
            event: EVENT.to_owned(),
            actor: "flyball".to_owned(),
            subject: format!("charges:{}", self.file),
            // Maps and lists of plain values always serialise.
            record: serde_json::to_string(self).unwrap_or_default(),
            ..AuditRow::default()
        }
    }
}

fn holds_reversals(rows: &RecordBatch) -> bool {
    let entries = rows
        .column_by_name("entry")
        .and_then(ArrayRef::as_string_opt::<i32>);
    let is_reversal = |entry: Option<&str>| entry == Some(Entry::Reversal.as_str());
    entries.is_some_and(|entries| entries.iter().any(is_reversal))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::rows::Date;

    const DAY: i64 = 86_400_000_000;

    fn row(id: &str, entry: Entry, reason: Option<&str>, cost: i64, day: i64) -> ChargeRow {
        ChargeRow {
            date: Date::of_micros(day * DAY),
            known_at: Micros(day * DAY + cost),
            charge_id: id.into(),
            entry: entry.as_str().into(),
            reason: reason.map(str::to_owned),
            cost_usd: Some(Decimal::new(cost, 3)),
            ..ChargeRow::default()
        }
    }

    #[test]
    fn a_flush_that_only_adds_corrects_nothing() {
        let rows = [
            row("a", Entry::Charge, None, 1, 0),
            row("b", Entry::Charge, Some("late_span"), 2, 0),
        ];
        let batch = ChargeRow::batch(&rows).unwrap();
        assert_eq!(Correction::of("f", &[batch]).unwrap(), None);
    }

    #[test]
    fn what_is_taken_back_and_entered_anew_is_added_up() {
        let rows = [
            row("new", Entry::Charge, None, 999, 0),
            row("b", Entry::Reversal, Some("late_span"), -20, 1),
            row("b2", Entry::Charge, Some("late_span"), 25, 1),
            row("a", Entry::Reversal, Some("duplicate"), -3, 0),
        ];
        let found = Correction::of("f", &[ChargeRow::batch(&rows).unwrap()])
            .unwrap()
            .unwrap();
        assert_eq!((found.reversed, found.entered), (2, 1));
        assert_eq!(found.cost_usd_change, Decimal::new(2, 3));
        assert_eq!(found.days, ["1970-01-01", "1970-01-02"]);
        assert_eq!(found.charge_ids, ["a", "b"]);
        assert_eq!(
            found.reasons,
            BTreeMap::from([("duplicate".into(), 1), ("late_span".into(), 2)])
        );
        // printf 'a\nb\n' | sha256sum
        assert_eq!(
            found.charge_ids_sha256,
            "911169ddaaf146aff539f58c26c489af3b892dff0fe283c1c264c65ae5aa59a2"
        );
        assert_eq!(found.record(), found.record());
        let read: Correction = serde_json::from_str(&found.record().record).unwrap();
        assert_eq!(read, found);
    }
}
