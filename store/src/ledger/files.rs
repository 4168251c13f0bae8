//! The records of a ledger's files, in order: each file checked against its name first, and read in portions, so
//! that a long ledger takes no more memory than the files whose numbers overlap.

use std::collections::VecDeque;
use std::vec;

use arrow::datatypes::DataType;
use bytes::Bytes;
use deltalake::DeltaTable;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};

use super::file::{self, Name};
use crate::error::{Error, Result};
use crate::rows::{AuditRow, Row};
use crate::table::Table;
use crate::tables;

/// Rows of a portion.
const PORTION: usize = 1_024;

/// Whoever goes along a ledger's files.
pub(super) trait Visitor {
    /// The next record, and the file it is in.
    fn step(&mut self, row: &AuditRow, path: &str);

    /// A file whose records cannot be had, or not all of them.
    fn damaged(&mut self, path: &Path, held: Option<(i64, i64)>, reason: &str);

    /// One more file is what its name says.
    fn read_file(&mut self) {}

    /// Nothing more is wanted.
    fn is_done(&self) -> bool {
        false
    }
}

/// The files a table names, by the records they hold; those of foreign names come first, so that what they hide
/// is missed later.
pub(super) fn listed(loaded: &DeltaTable, workspace: &str) -> Result<Vec<(Path, Option<Name>)>> {
    let state = loaded.snapshot().map_err(|source| Error::Delta {
        table: tables::full_name(workspace, Table::Audit),
        doing: "list its files",
        source: Box::new(source),
    })?;
    let named = |path: Path| {
        let name = path.filename().and_then(file::parse);
        (path, name)
    };
    let listed = state.log_data();
    let mut files: Vec<_> = listed
        .iter()
        .map(|file| named(file.object_store_path()))
        .collect();
    files.sort_by_key(|(_, name)| name.as_ref().map(|name| (name.first, name.last)));
    Ok(files)
}

/// Goes along all records of these files. Files overlap where days meet, so that several may be open.
pub(super) async fn along<V: Visitor + Send>(
    store: &dyn ObjectStore,
    files: Vec<(Path, Option<Name>)>,
    visitor: &mut V,
) {
    let mut files = VecDeque::from(files);
    let mut open: Vec<(AuditRow, Opened)> = Vec::new();
    while !visitor.is_done() {
        let next = open.iter().map(|(row, _)| row.seq).min();
        let may_hold_next = |(_, name): &mut (Path, Option<Name>)| match (name, next) {
            (Some(name), Some(next)) => name.first <= next,
            _ => true,
        };
        if let Some((path, name)) = files.pop_front_if(may_hold_next) {
            let Some(name) = name else {
                let reason = "its name is not one the ledger gives: somebody else wrote it";
                visitor.damaged(&path, None, reason);
                continue;
            };
            match Opened::of(store, path.clone(), name.clone()).await {
                Ok(file) => {
                    visitor.read_file();
                    advance(file, &mut open, visitor);
                }
                Err(reason) => visitor.damaged(&path, Some((name.first, name.last)), &reason),
            }
            continue;
        }
        let first = open.iter().enumerate().min_by_key(|(_, (row, _))| row.seq);
        let Some(at) = first.map(|(at, _)| at) else {
            return;
        };
        let (row, file) = open.swap_remove(at);
        visitor.step(&row, file.path.as_ref());
        advance(file, &mut open, visitor);
    }
}

/// Goes on with a file, unless it is at its end.
fn advance<V: Visitor>(mut file: Opened, open: &mut Vec<(AuditRow, Opened)>, visitor: &mut V) {
    match file.next() {
        Some(Ok(row)) => open.push((row, file)),
        Some(Err(reason)) => {
            let held = (file.name.first, file.name.last);
            visitor.damaged(&file.path, Some(held), &reason);
        }
        None => {}
    }
}

/// A file that is the one its name speaks of. One that is not is not even opened: nobody knows what a reader of
/// Parquet makes of it.
pub(super) struct Opened {
    path: Path,
    name: Name,
    day: Option<String>,
    reader: ParquetRecordBatchReader,
    portion: vec::IntoIter<AuditRow>,
}

impl Opened {
    pub(super) async fn of(
        store: &dyn ObjectStore,
        path: Path,
        name: Name,
    ) -> std::result::Result<Self, String> {
        let got = match store.get(&path).await {
            Ok(got) => got,
            Err(object_store::Error::NotFound { .. }) => return Err("it is gone".into()),
            Err(error) => return Err(cannot(&error)),
        };
        let bytes = got.bytes().await.map_err(|error| cannot(&error))?;
        let wanted = name.sha256.clone();
        let reader = tokio::task::spawn_blocking(move || checked(bytes, &wanted)).await;
        let reader = reader.map_err(|error| cannot(&error))??;
        let day = path
            .parts()
            .find_map(|part| part.as_ref().strip_prefix("date=").map(str::to_owned));
        Ok(Self {
            path,
            name,
            day,
            reader,
            portion: Vec::new().into_iter(),
        })
    }
}

impl Iterator for Opened {
    type Item = std::result::Result<AuditRow, String>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(row) = self.portion.next() {
                let at = chrono::DateTime::from_timestamp_micros(row.at.0);
                let at = at.map(|at| at.format("%Y-%m-%d").to_string());
                if at == self.day {
                    return Some(Ok(row));
                }
                let at = at.unwrap_or_else(|| "no day".into());
                return Some(Err(format!("record {} of {at} stands in it", row.seq)));
            }
            let batch = match self.reader.next()? {
                Ok(batch) => batch,
                Err(error) => return Some(Err(cannot(&error))),
            };
            match AuditRow::read(&batch) {
                Ok(rows) => self.portion = rows.into_iter(),
                Err(error) => return Some(Err(cannot(&error))),
            }
        }
    }
}

fn cannot(error: &dyn std::fmt::Display) -> String {
    format!("it cannot be read: {error}")
}

fn checked(bytes: Bytes, wanted: &str) -> std::result::Result<ParquetRecordBatchReader, String> {
    let found = file::sha256(&bytes);
    if found != wanted {
        return Err(format!(
            "its bytes were changed: their SHA-256 is {found}, but {wanted} was written"
        ));
    }
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).map_err(|e| cannot(&e))?;
    let wanted = AuditRow::schema();
    for field in wanted.fields().iter().filter(|f| f.name() != "date") {
        let found = reader.schema().field_with_name(field.name());
        let same = found.is_ok_and(|found| same_type(found.data_type(), field.data_type()));
        if !same {
            return Err(format!(
                "it has no column {} {}",
                field.name(),
                field.data_type()
            ));
        }
    }
    let reader = reader.with_batch_size(PORTION).build();
    reader.map_err(|e| cannot(&e))
}

fn same_type(found: &DataType, wanted: &DataType) -> bool {
    match (found, wanted) {
        (DataType::Timestamp(a, _), DataType::Timestamp(b, _)) => a == b,
        _ => found == wanted,
    }
}
