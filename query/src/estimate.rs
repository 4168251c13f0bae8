//! What a statement is about to read, by its physical plan: the files that partitions and statistics did not rule
//! out, and their bytes and rows. Known before a byte of them is read; and what was read, known behind.
//!
//! A file counts whole, however few of its columns are asked for: which pages a filter leaves is found out only by
//! reading. So the estimate is never too low, but for rows that are still in memory, which count nothing.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::SchemaRef;
use datafusion::datasource::physical_plan::FileScanConfig;
use datafusion::datasource::source::DataSourceExec;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::metrics::MetricValue;
use flyball_store::{Snapshot, Table};

use crate::{Error, Result};

/// The scans of a plan, added up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Estimate {
    /// Files that are opened.
    pub(crate) files: usize,
    /// What they take on disk, bytes.
    pub(crate) bytes: u64,
    /// Their rows; None when a file does not say.
    pub(crate) rows: Option<u64>,
}

impl Estimate {
    /// Of everything beneath a plan.
    pub(crate) fn of(plan: &dyn ExecutionPlan) -> Self {
        let mut all = Self {
            rows: Some(0),
            ..Self::default()
        };
        for scan in scans(plan) {
            let scan = Self::of_scan(scan);
            all.files += scan.files;
            all.bytes = all.bytes.saturating_add(scan.bytes);
            all.rows = all.rows.zip(scan.rows).map(|(a, b)| a.saturating_add(b));
        }
        all
    }

    fn of_scan(scan: &FileScanConfig) -> Self {
        // A large file is read in ranges, by several threads.
        let mut files = BTreeSet::new();
        let (mut bytes, mut rows) = (0_u64, Some(0_u64));
        for file in scan.file_groups.iter().flat_map(|group| group.iter()) {
            let size = file.object_meta.size;
            let part = file.range.as_ref().map_or(size, |range| {
                u64::try_from(range.end - range.start).unwrap_or(0)
            });
            files.insert(&file.object_meta.location);
            bytes = bytes.saturating_add(part);
            let held = file.statistics.as_ref();
            let held = held.and_then(|held| held.num_rows.get_value().copied());
            rows = rows.zip(held).map(|(rows, held)| {
                let share = u128::from(part) * held as u128 / u128::from(size.max(1));
                rows.saturating_add(u64::try_from(share).unwrap_or(u64::MAX))
            });
        }
        let whole = Self {
            files: files.len(),
            bytes,
            rows,
        };
        match (scan.limit, rows) {
            // It ends when it has as many.
            (Some(limit), Some(rows)) if (limit as u64) < rows => {
                let limit = limit as u64;
                let share = u128::from(bytes) * u128::from(limit) / u128::from(rows);
                Self {
                    bytes: u64::try_from(share).unwrap_or(bytes),
                    rows: Some(limit),
                    ..whole
                }
            }
            _ => whole,
        }
    }

    /// Of all the files that tables have at a moment.
    pub(crate) fn of_tables(snapshot: &Snapshot, tables: &BTreeSet<Table>) -> Self {
        let mut all = Self::default();
        for table in tables {
            let delta = snapshot.tables.get(table).and_then(|t| t.delta.as_ref());
            if let Some(Ok(state)) = delta.map(|delta| delta.snapshot()) {
                for file in state.log_data().iter() {
                    all.files += 1;
                    all.bytes += u64::try_from(file.size()).unwrap_or(0);
                }
            }
        }
        all
    }

    /// In words: what is read, of how much, and how much may be.
    pub(crate) fn told(self, whole: Self, bytes_max: u64) -> String {
        let limit = match bytes_max {
            0 => "no limit".to_owned(),
            limit => format!("limit {}", size(limit)),
        };
        let Self { files, bytes, .. } = whole;
        format!(
            "{self} to be read; the tables have {files} files, {}; {limit}",
            size(bytes)
        )
    }

    /// Refuses a plan that would read more than this; 0 lets everything pass.
    ///
    /// # Errors
    /// [`Error::TooWide`].
    pub(crate) fn within(self, bytes_max: u64) -> Result<()> {
        if bytes_max > 0 && self.bytes > bytes_max {
            return Err(Error::TooWide {
                estimate: self.to_string(),
                limit: size(bytes_max),
            });
        }
        Ok(())
    }
}

impl fmt::Display for Estimate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.files == 1 { "" } else { "s" };
        write!(f, "{} file{plural}, {}", self.files, size(self.bytes))?;
        match self.rows {
            Some(rows) => write!(f, ", {rows} rows"),
            None => f.write_str(", rows unknown"),
        }
    }
}

fn scans(plan: &dyn ExecutionPlan) -> Vec<&FileScanConfig> {
    let own = plan
        .downcast_ref::<DataSourceExec>()
        .and_then(|exec| exec.data_source().downcast_ref::<FileScanConfig>());
    let below = plan
        .children()
        .into_iter()
        .flat_map(|child| scans(child.as_ref()));
    own.into_iter().chain(below).collect()
}

/// What a plan that has run did read of files, in words.
pub(crate) fn read(plan: &dyn ExecutionPlan) -> String {
    let mut found = Found::default();
    found.add(plan);
    let Found {
        bytes,
        groups,
        pages,
        rows,
    } = found;
    format!(
        "{} read, {rows} rows left the files; row groups read {} and ruled out {}, pages read {} and ruled out {}",
        size(bytes),
        groups.read,
        groups.pruned,
        pages.read,
        pages.pruned,
    )
}

#[derive(Debug, Default)]
struct Pruned {
    read: usize,
    pruned: usize,
}

#[derive(Debug, Default)]
struct Found {
    bytes: u64,
    rows: usize,
    groups: Pruned,
    pages: Pruned,
}

impl Found {
    fn add(&mut self, plan: &dyn ExecutionPlan) {
        let files = plan.downcast_ref::<DataSourceExec>().is_some_and(|exec| {
            exec.data_source()
                .downcast_ref::<FileScanConfig>()
                .is_some()
        });
        if let Some(metrics) = plan.metrics().filter(|_| files) {
            self.rows += metrics.output_rows().unwrap_or(0);
            for metric in metrics.iter() {
                match metric.value() {
                    MetricValue::PruningMetrics {
                        name,
                        pruning_metrics,
                    } => {
                        let kind = match name.as_ref() {
                            "row_groups_pruned_statistics" => &mut self.groups,
                            "page_index_pages_pruned" => &mut self.pages,
                            _ => continue,
                        };
                        kind.read += pruning_metrics.matched();
                        kind.pruned += pruning_metrics.pruned();
                    }
                    MetricValue::Count { name, count } if name == "bytes_scanned" => {
                        self.bytes += count.value() as u64;
                    }
                    _ => {}
                }
            }
        }
        for child in plan.children() {
            self.add(child.as_ref());
        }
    }
}

/// One more row for EXPLAIN: two texts. None when it answers otherwise.
pub(crate) fn row(schema: &SchemaRef, kind: &str, text: String) -> Option<RecordBatch> {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from(vec![kind.to_owned()])),
        Arc::new(StringArray::from(vec![text])),
    ];
    RecordBatch::try_new(Arc::clone(schema), columns).ok()
}

/// Bytes for people: with the unit that leaves few digits, one of them behind the point.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return format!("{bytes} bytes");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut units = UNITS.iter();
    let mut unit = units.next().copied().unwrap_or_default();
    for larger in units {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        unit = larger;
    }
    format!("{value:.1} {unit}")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn sizes_are_told_in_the_unit_that_fits() {
        for (bytes, told) in [
            (0, "0 bytes"),
            (1023, "1023 bytes"),
            (1536, "1.5 KiB"),
            (64 << 30, "64.0 GiB"),
            (1 << 60, "1024.0 PiB"),
        ] {
            assert_eq!(size(bytes), told);
        }
    }

    #[test]
    fn a_limit_is_told_with_the_estimate_and_none_is_no_limit() {
        let wide = Estimate {
            files: 3,
            bytes: 3 << 30,
            rows: Some(7),
        };
        wide.within(0).unwrap();
        wide.within(3 << 30).unwrap();
        let refused = wide.within(1 << 30).unwrap_err().to_string();
        for word in [
            "3 files, 3.0 GiB, 7 rows",
            "1.0 GiB",
            "query.scan_bytes_max",
            "start_time",
        ] {
            assert!(refused.contains(word), "{refused}");
        }
    }
}
