//! What goes in: requests with their bytes and rows, and our own events.

use std::sync::Arc;

use arrow::array::{Int64Array, RecordBatch};
use arrow::error::ArrowError;
use bytes::Bytes;

use crate::error::{Error, Result};
use crate::ledger;
use crate::log::{Encoding, FrameKind, Header, LogPosition, Origin, Signal};
use crate::rows::{ActionRow, AlertRow, AuditRow, Date, Row};
use crate::table::Table;

/// Most bytes a record of the ledger may have.
const RECORD_BYTES_MAX: u64 = 64 << 20;

/// A request to append.
#[derive(Debug)]
pub struct Append {
    /// What must be known to decode the body again.
    pub header: Header,
    /// The request's bytes, decompressed.
    pub body: Bytes,
    /// Rows that the body decodes to; `log_position` columns are overwritten by the store.
    pub batches: Vec<(Table, RecordBatch)>,
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// Where it stands in the log.
    pub position: LogPosition,
    /// The same body had been appended before: nothing was written.
    pub duplicate: bool,
}

/// Turns a frame's body into rows again, at recovery. `ingest` implements it.
pub trait Decoder: Send + Sync + std::fmt::Debug {
    /// The same batches that were given to [`Store::append`](crate::Store::append) for this header and body
    /// (`log_position` is filled by the store).
    ///
    /// # Errors
    /// What is wrong with the body, in words; recovery stops there, since the request was acknowledged.
    fn decode(
        &self,
        header: &Header,
        body: &Bytes,
    ) -> std::result::Result<Vec<(Table, RecordBatch)>, String>;
}

/// Our own events, kept through the log like everything else. Their bodies are JSON.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
#[serde(tag = "table", content = "row", rename_all = "snake_case")]
pub enum OwnEvent {
    /// An alert changed its state.
    Alert(AlertRow),
    /// Control changed.
    Action(ActionRow),
    /// A record of the ledger.
    Audit(AuditRow),
}

impl OwnEvent {
    /// The request that carries this event: `date` is set from `at`.
    pub(crate) fn into_append(mut self, workspace: &str) -> Result<Append> {
        match &mut self {
            Self::Alert(row) => (row.date, row.log_position) = (Date::of_micros(row.at.0), 0),
            Self::Action(row) => (row.date, row.log_position) = (Date::of_micros(row.at.0), 0),
            Self::Audit(row) => {
                (row.date, row.log_position) = (Date::of_micros(row.at.0), 0);
                // Of the ledger's own giving, once the record's turn has come.
                (row.seq, row.previous_hash, row.hash) = (0, String::new(), String::new());
                check_record(row)?;
            }
        }
        let batches = vec![self.batch()?];
        let body = serde_json::to_vec(&self).map_err(|error| Error::BatchRefused {
            table: self.table(),
            reason: format!("it cannot be written as JSON: {error}"),
        })?;
        let header = Header {
            kind: FrameKind::Own,
            origin: Origin::Live,
            received_at_unix_nano: self.at_micros().saturating_mul(1_000),
            workspace: workspace.to_owned(),
            key: None,
            signal: Signal::Logs,
            encoding: Encoding::Json,
            rejected: Vec::new(),
            digest: self.key(),
        };
        Ok(Append {
            header,
            body: body.into(),
            batches,
        })
    }

    /// Reads an event's frame back.
    pub(crate) fn decode(body: &[u8]) -> std::result::Result<Vec<(Table, RecordBatch)>, String> {
        let event: Self = serde_json::from_slice(body).map_err(|error| error.to_string())?;
        Ok(vec![event.batch().map_err(|error| error.to_string())?])
    }

    /// What recognises the event when it is told again; zeros for what may come twice.
    fn key(&self) -> [u8; 32] {
        match self {
            Self::Alert(_) => [0; 32],
            Self::Action(row) => ledger::action_key(row),
            Self::Audit(row) => ledger::record_key(row),
        }
    }

    pub(crate) fn batch(&self) -> Result<(Table, RecordBatch)> {
        let batch = match self {
            Self::Alert(row) => AlertRow::batch(std::slice::from_ref(row))?,
            Self::Action(row) => ActionRow::batch(std::slice::from_ref(row))?,
            Self::Audit(row) => AuditRow::batch(std::slice::from_ref(row))?,
        };
        Ok((self.table(), batch))
    }

    fn table(&self) -> Table {
        match self {
            Self::Alert(_) => Table::Alerts,
            Self::Action(_) => Table::Actions,
            Self::Audit(_) => Table::Audit,
        }
    }

    fn at_micros(&self) -> i64 {
        match self {
            Self::Alert(row) => row.at.0,
            Self::Action(row) => row.at.0,
            Self::Audit(row) => row.at.0,
        }
    }
}

/// A record's frame grows a little when it is sealed: it must not outgrow the log then.
fn check_record(row: &AuditRow) -> Result<()> {
    let bytes = row.record.len() as u64;
    if bytes > RECORD_BYTES_MAX {
        return Err(Error::TooLarge {
            bytes,
            limit: RECORD_BYTES_MAX,
        });
    }
    Ok(())
}

/// Checks a request before anything is done with it: the workspace's name, and that every batch fits its
/// table. Batches without rows are dropped, the others get the table's own schema.
pub(crate) fn check(append: &mut Append) -> Result<()> {
    check_workspace(&append.header.workspace)?;
    let (bytes, limit) = (crate::log::frame_bytes(append), crate::log::FRAME_BYTES_MAX);
    if bytes > limit {
        return Err(Error::TooLarge { bytes, limit });
    }
    append.batches = fitted(std::mem::take(&mut append.batches))?;
    Ok(())
}

/// The batches with their tables' own schemas; an error names what does not fit.
pub(crate) fn fitted(batches: Vec<(Table, RecordBatch)>) -> Result<Vec<(Table, RecordBatch)>> {
    let fit = |(table, batch): (Table, RecordBatch)| {
        let refused = |reason: String| Error::BatchRefused { table, reason };
        if !table.is_logged() {
            return Err(refused(
                "its rows come from the resolver's journal, not from requests".into(),
            ));
        }
        fits(table, &batch).map_err(refused)?;
        let batch = RecordBatch::try_new(table.schema(), batch.columns().to_vec());
        Ok((table, batch.map_err(|error| refused(error.to_string()))?))
    };
    batches
        .into_iter()
        .filter(|(_, batch)| batch.num_rows() > 0)
        .map(fit)
        .collect()
}

/// Writes a request's position into its rows.
pub(crate) fn stamp(
    batch: &RecordBatch,
    position: LogPosition,
) -> std::result::Result<RecordBatch, ArrowError> {
    let mut columns = batch.columns().to_vec();
    let at = batch.schema().index_of("log_position")?;
    columns[at] = Arc::new(Int64Array::from_value(position as i64, batch.num_rows()));
    RecordBatch::try_new(batch.schema(), columns)
}

/// Whether a batch has exactly the table's columns; the error says which does not fit.
pub(crate) fn fits(table: Table, batch: &RecordBatch) -> std::result::Result<(), String> {
    let (want, have) = (table.schema(), batch.schema());
    if want.fields().len() != have.fields().len() {
        return Err(format!(
            "it has {} columns, the table {}",
            have.fields().len(),
            want.fields().len()
        ));
    }
    for (want, have) in want.fields().iter().zip(have.fields()) {
        if want.name() != have.name() || want.data_type() != have.data_type() {
            return Err(format!(
                "column {} {} where the table has {} {}",
                have.name(),
                have.data_type(),
                want.name(),
                want.data_type()
            ));
        }
    }
    Ok(())
}

/// A workspace's name becomes a folder and part of a URL.
pub(crate) fn check_workspace(name: &str) -> Result<()> {
    let plain = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_'
    };
    let sound = (1..=64).contains(&name.len())
        && name.bytes().all(plain)
        && name
            .bytes()
            .next()
            .is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    if sound {
        Ok(())
    } else {
        Err(Error::WorkspaceName {
            name: name.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::rows::Micros;

    #[test]
    fn workspace_names_that_could_leave_their_folder_are_refused() {
        for name in ["default", "a", "team-7_x", "0"] {
            assert!(check_workspace(name).is_ok(), "{name}");
        }
        for name in [
            "",
            ".",
            "..",
            "a/b",
            "A",
            "-a",
            "_x",
            "a b",
            "\u{e4}",
            "a%2f",
            &"x".repeat(65),
        ] {
            assert!(check_workspace(name).is_err(), "{name}");
        }
    }

    #[test]
    fn an_event_reads_back_as_the_row_it_was() {
        let row = AlertRow {
            at: Micros(1_700_000_000_000_000),
            alert_id: "a".into(),
            value: Some(0.1),
            evidence: Some("{\"spans\":[\"\u{0}\"]}".into()),
            ..AlertRow::default()
        };
        let append = OwnEvent::Alert(row.clone()).into_append("default").unwrap();
        let (table, batch) = OwnEvent::decode(&append.body).unwrap().remove(0);
        assert_eq!((table, &batch), (Table::Alerts, &append.batches[0].1));
        assert_eq!(
            AlertRow::read(&batch).unwrap(),
            vec![AlertRow {
                date: Date::of_micros(row.at.0),
                ..row
            }]
        );
    }
}
