//! Which executions left one entry in the journal and which left several: nearly all leave one, which then says all there is
//! to say, and only the others have to be put together (see the view `standing_executions`).
//!
//! To find out takes every execution's id, however short the time that is asked for. A file never changes, so the ids of
//! each are read once: as fingerprints, 64 bits of a keyed hash. Two ids of one fingerprint are taken for one that left
//! several entries, which costs a look at both and changes no answer.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use datafusion::logical_expr::{ColumnarValue, Expr, Volatility, create_udf, lit, not};
use datafusion::prelude::col;
use flyball_store::{Snapshot, StoredFile, Table, TableSnapshot};
use futures::{StreamExt, TryStreamExt};
use tokio::sync::Mutex;

use crate::{Error, Result};

/// What an entry of an execution is called in the journal's column `kind`.
const EXECUTION: (&str, &str) = ("kind", "execution");
/// The column that tells executions apart.
const ID: [&str; 1] = ["execution_id"];
/// Files that are read at the same time.
const READS: usize = 4;
/// Entries that are remembered of a workspace, at most (16 bytes each). Of more, a statement asks the journal.
const ENTRIES_MAX: usize = 8 << 20;

/// The executions of a snapshot that left several entries, or may have.
#[derive(Debug, Clone)]
pub(crate) struct Shared {
    keys: RandomState,
    /// Of those on disk, and of those that entries not yet on disk add.
    stored: Arc<HashSet<u64>>,
    buffered: HashSet<u64>,
}

impl Shared {
    /// Every one of these ids.
    pub(crate) fn of_ids(batches: &[RecordBatch]) -> Result<Self> {
        let keys = RandomState::new();
        let mut found = Vec::new();
        for batch in batches {
            fingerprints(&keys, batch.column(0), &mut found)?;
        }
        Ok(Self {
            keys,
            stored: Arc::new(found.into_iter().collect()),
            buffered: HashSet::new(),
        })
    }

    /// True of the journal's entries of executions that left one.
    pub(crate) fn alone(&self) -> Expr {
        let execution = col(EXECUTION.0).eq(lit(EXECUTION.1));
        match self.is_empty() {
            true => execution,
            false => execution.and(not(self.clone().several())),
        }
    }

    /// True of the entries of all other executions.
    pub(crate) fn together(&self) -> Expr {
        match self.is_empty() {
            true => lit(false),
            false => col(EXECUTION.0)
                .eq(lit(EXECUTION.1))
                .and(self.clone().several()),
        }
    }

    fn is_empty(&self) -> bool {
        self.stored.is_empty() && self.buffered.is_empty()
    }

    fn has(&self, id: &str) -> bool {
        let fingerprint = fingerprint(&self.keys, id);
        self.stored.contains(&fingerprint) || self.buffered.contains(&fingerprint)
    }

    fn several(self) -> Expr {
        let test = move |arguments: &[ColumnarValue]| {
            let arrays = ColumnarValue::values_to_arrays(arguments)?;
            let ids = arrays[0].as_string::<i32>().iter();
            let found: BooleanArray = ids.map(|id| id.map(|id| self.has(id))).collect();
            Ok(ColumnarValue::Array(Arc::new(found)))
        };
        create_udf(
            "left_several_entries",
            vec![DataType::Utf8],
            DataType::Boolean,
            Volatility::Immutable,
            Arc::new(test),
        )
        .call(vec![col(ID[0])])
    }
}

/// What is known of every workspace's files.
#[derive(Debug, Default)]
pub(crate) struct Entries(parking_lot::Mutex<HashMap<Arc<str>, Arc<Mutex<Known>>>>);

impl Entries {
    /// The executions of a snapshot that left several entries; None when only the journal itself can say.
    pub(crate) async fn shared(&self, snapshot: &Snapshot) -> Result<Option<Shared>> {
        let Some(charges) = snapshot.tables.get(&Table::Charges) else {
            return Ok(None);
        };
        if !charges.spilled.is_empty() {
            return Ok(None);
        }
        let known = Arc::clone(
            self.0
                .lock()
                .entry(Arc::clone(&snapshot.workspace))
                .or_default(),
        );
        let mut known = known.lock().await;
        if !known.read(charges, &snapshot.workspace).await? {
            return Ok(None);
        }
        known.with(&charges.buffered).map(Some)
    }
}

/// The fingerprints of entries on disk.
#[derive(Debug, Default)]
struct Known {
    keys: RandomState,
    /// By path; sorted.
    files: HashMap<String, Arc<[u64]>>,
    /// The files of which `all` and `several` tell.
    told: BTreeSet<String>,
    /// Sorted; what is in it twice stands for two entries.
    all: Vec<u64>,
    several: Arc<HashSet<u64>>,
    /// There were too many once: they are not read again.
    beyond: bool,
}

impl Known {
    /// Gets to know the files of a version, and forgets all others. False when they have too many entries.
    async fn read(&mut self, charges: &TableSnapshot, workspace: &str) -> Result<bool> {
        if self.beyond {
            return Ok(false);
        }
        let files = charges.files(workspace).map_err(|error| unread(&error))?;
        let told: BTreeSet<String> = files.iter().map(|file| file.path().to_owned()).collect();
        if told == self.told {
            return Ok(true);
        }
        self.files.retain(|path, _| told.contains(path));
        let unknown: Vec<StoredFile> = files
            .into_iter()
            .filter(|file| !self.files.contains_key(file.path()))
            .collect();
        let keys = self.keys.clone();
        let reads = unknown
            .into_iter()
            .map(|file| entries(&keys, charges, file));
        let mut reads = futures::stream::iter(reads).buffer_unordered(READS);
        // Each is kept as soon as it is read, so that a statement that gives up was not in vain.
        while let Some((path, entries)) = reads.try_next().await? {
            let so_far: usize = self.files.values().map(|entries| entries.len()).sum();
            if so_far + entries.len() > ENTRIES_MAX {
                *self = Self {
                    beyond: true,
                    ..Self::default()
                };
                return Ok(false);
            }
            self.files.insert(path, entries.into());
        }
        self.tell(told);
        Ok(true)
    }

    fn tell(&mut self, told: BTreeSet<String>) {
        let grown = self.told.is_subset(&told);
        let mut all = match grown {
            true => std::mem::take(&mut self.all),
            false => Vec::new(),
        };
        let added = told
            .iter()
            .filter(|path| !(grown && self.told.contains(*path)));
        for file in added.filter_map(|path| self.files.get(path)) {
            all.extend_from_slice(file);
        }
        // Sorted runs one behind the other, which this sort makes use of.
        all.sort();
        self.several = Arc::new(twice(&all).collect());
        (self.all, self.told) = (all, told);
    }

    fn with(&self, buffered: &[RecordBatch]) -> Result<Shared> {
        let mut fresh = Vec::new();
        for batch in buffered {
            let (Some(kind), Some(ids)) = (
                batch.column_by_name(EXECUTION.0),
                batch.column_by_name(ID[0]),
            ) else {
                continue;
            };
            let kinds = kind.as_string::<i32>();
            let ids = ids.as_string::<i32>();
            let executions = (0..batch.num_rows()).filter(|row| kinds.value(*row) == EXECUTION.1);
            fresh.extend(executions.map(|row| fingerprint(&self.keys, ids.value(row))));
        }
        fresh.sort_unstable();
        let on_disk = fresh
            .iter()
            .copied()
            .filter(|entry| self.all.binary_search(entry).is_ok());
        Ok(Shared {
            keys: self.keys.clone(),
            stored: Arc::clone(&self.several),
            buffered: on_disk.chain(twice(&fresh)).collect(),
        })
    }
}

/// The path of a file and the fingerprints of its entries, sorted.
async fn entries(
    keys: &RandomState,
    charges: &TableSnapshot,
    file: StoredFile,
) -> Result<(String, Vec<u64>)> {
    let mut found = Vec::new();
    let mut batches = charges.column_where(&file, &ID, EXECUTION);
    while let Some(batch) = batches.next().await {
        let batch = batch.map_err(|error| unread(&error))?;
        fingerprints(keys, batch.column(0), &mut found)?;
    }
    found.sort_unstable();
    Ok((file.path().to_owned(), found))
}

fn fingerprints(keys: &RandomState, ids: &ArrayRef, into: &mut Vec<u64>) -> Result<()> {
    let ids = cast(ids, &DataType::Utf8).map_err(|error| unread(&error))?;
    let ids = ids.as_string::<i32>().iter().flatten();
    into.extend(ids.map(|id| fingerprint(keys, id)));
    Ok(())
}

fn fingerprint(keys: &RandomState, id: &str) -> u64 {
    keys.hash_one(id)
}

/// What is in a sorted list more than once.
fn twice(sorted: &[u64]) -> impl Iterator<Item = u64> {
    sorted
        .windows(2)
        .filter(|pair| pair[0] == pair[1])
        .map(|pair| pair[0])
}

fn unread(error: &dyn std::fmt::Display) -> Error {
    Error::Table {
        table: Table::Charges.name(),
        message: error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gets to know these files, each with the entries of executions by these numbers.
    fn told(known: &mut Known, files: &[(&str, &[u64])]) -> BTreeSet<u64> {
        let paths: BTreeSet<String> = files.iter().map(|(path, _)| (*path).to_owned()).collect();
        known.files.retain(|path, _| paths.contains(path));
        for (path, entries) in files {
            known.files.insert((*path).to_owned(), Arc::from(*entries));
        }
        known.tell(paths);
        known.several.iter().copied().collect()
    }

    #[test]
    fn files_that_come_and_go_leave_what_is_there_twice() {
        let mut known = Known::default();
        let (a, b, c): (&[u64], &[u64], &[u64]) = (&[1, 2, 3], &[3, 4, 4], &[2, 5]);
        assert_eq!(told(&mut known, &[("a", a)]), [].into());
        assert_eq!(told(&mut known, &[("a", a), ("b", b)]), [3, 4].into());
        assert_eq!(
            told(&mut known, &[("a", a), ("b", b), ("c", c)]),
            [2, 3, 4].into()
        );
        // Two are merged into one: nothing was entered again.
        let merged: &[u64] = &[1, 2, 3, 3, 4, 4];
        assert_eq!(
            told(&mut known, &[("ab", merged), ("c", c)]),
            [2, 3, 4].into()
        );
        assert_eq!(told(&mut known, &[("c", c)]), [].into());
        assert_eq!(known.all, c);
    }
}
