//! Which files are worth writing anew: a table's files in, jobs out. No clock and no disk in here.
//!
//! A file of half the target size or more is never touched. The others of a day are sorted into tiers, each eight
//! times as large as the one below; when a tier has eight files they become one, which belongs to a tier above.
//! So a row is written anew at most once a tier, five times in all, however small the flushes are. When a day is over
//! and quiet, what is left of it becomes few files: the small ones and any that is not much larger than all
//! smaller ones together, so that one late span does not have megabytes written again.

use std::collections::BTreeMap;

use chrono::NaiveDate;

/// Files of one tier that are worth a merge.
const ENOUGH: usize = 8;
/// Files of one merge: each costs some memory.
const FILES_MAX: usize = 16;
/// Rows of one merge: their ids are in memory when the same span may be told twice.
const ROWS_MAX: u64 = 4 << 20;
/// The lowest tier ends here, in bytes; each next is so many times as large.
const LOWEST_TIER: u64 = 64 << 10;
const TIER_FACTOR: u64 = 8;
/// A quiet day has had no new file for so long.
const QUIET_MS: i64 = 3_600_000;
/// On a quiet day a file joins when it is at most so many times as large as all smaller ones together.
const LARGER_MAX: u64 = 4;

/// What a plan has to know of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct File {
    /// Its place in the list that was given.
    pub(super) at: usize,
    pub(super) day: NaiveDate,
    pub(super) bytes: u64,
    pub(super) rows: u64,
    /// Log position of its last row.
    pub(super) last: i64,
    /// Milliseconds since 1970.
    pub(super) written_at: i64,
}

/// What holds now.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    pub(super) target_bytes: u64,
    /// Milliseconds since 1970.
    pub(super) now: i64,
    /// Do not wait for files to gather or days to end.
    pub(super) at_once: bool,
}

/// Files of one day to be merged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Job {
    pub(super) day: NaiveDate,
    pub(super) files: Vec<usize>,
}

/// The jobs that are due, oldest day first.
pub(super) fn plan(files: &[File], rules: Rules) -> Vec<Job> {
    let mut days: BTreeMap<NaiveDate, Vec<File>> = BTreeMap::new();
    for file in files.iter().filter(|file| rules.is_small(file)) {
        days.entry(file.day).or_default().push(*file);
    }
    let jobs = days.into_iter().flat_map(|(day, small)| {
        let groups = if rules.at_once {
            vec![small]
        } else if rules.is_over(day, &small) {
            vec![not_much_larger(small)]
        } else {
            tiers(small)
        };
        let jobs = groups.into_iter().flat_map(move |group| rules.jobs(group));
        jobs.map(move |files| Job { day, files })
    });
    jobs.collect()
}

impl Rules {
    pub(super) fn is_small(&self, file: &File) -> bool {
        file.bytes < self.target_bytes / 2
    }

    fn is_over(&self, day: NaiveDate, files: &[File]) -> bool {
        let end = i64::from(day.to_epoch_days() + 1) * 86_400_000;
        let newest = files.iter().map(|file| file.written_at).max();
        self.now >= end && newest.is_none_or(|newest| self.now - newest >= QUIET_MS)
    }

    /// Neighbours in time, as many as make a file.
    fn jobs(&self, mut group: Vec<File>) -> Vec<Vec<usize>> {
        group.sort_by_key(|file| (file.last, file.at));
        let (mut jobs, mut job, mut bytes, mut rows) = (Vec::new(), Vec::new(), 0, 0);
        for file in group {
            job.push(file.at);
            bytes += file.bytes;
            rows += file.rows;
            if bytes >= self.target_bytes || rows >= ROWS_MAX || job.len() == FILES_MAX {
                jobs.push(std::mem::take(&mut job));
                (bytes, rows) = (0, 0);
            }
        }
        jobs.push(job);
        jobs.retain(|job| job.len() > 1);
        jobs
    }
}

/// The tiers that have enough files.
fn tiers(small: Vec<File>) -> Vec<Vec<File>> {
    let mut tiers: BTreeMap<u32, Vec<File>> = BTreeMap::new();
    for file in small {
        let tier = (file.bytes / LOWEST_TIER).checked_ilog(TIER_FACTOR);
        tiers
            .entry(tier.map_or(0, |tier| tier + 1))
            .or_default()
            .push(file);
    }
    tiers
        .into_values()
        .filter(|files| files.len() >= ENOUGH)
        .collect()
}

fn not_much_larger(mut small: Vec<File>) -> Vec<File> {
    small.sort_by_key(|file| (file.bytes, file.at));
    let mut smaller = 0;
    let joins = |file: &File| {
        let joins = smaller == 0 || file.bytes <= LARGER_MAX * smaller;
        smaller += file.bytes;
        joins
    };
    small.into_iter().take_while(joins).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const MIB: u64 = 1 << 20;
    /// 2026-11-22, noon.
    const NOON: i64 = 1_795_348_800_000;
    const HOUR: i64 = 3_600_000;

    fn rules(at_once: bool) -> Rules {
        Rules {
            target_bytes: 128 * MIB,
            now: NOON,
            at_once,
        }
    }

    fn day(of_month: u32) -> NaiveDate {
        NaiveDate::from_ymd_opt(2026, 11, of_month).unwrap()
    }

    /// Files of a day, of these kilobytes, written so many hours ago.
    fn files(of_month: u32, kilobytes: &[u64], hours_ago: i64) -> Vec<File> {
        let file = |(at, kilobytes): (usize, &u64)| File {
            at,
            day: day(of_month),
            bytes: kilobytes << 10,
            rows: *kilobytes,
            last: at as i64,
            written_at: NOON - hours_ago * HOUR,
        };
        kilobytes.iter().enumerate().map(file).collect()
    }

    #[test]
    fn files_in_jobs_out() {
        let eight = [10; 8];
        let table: &[(&str, u32, &[u64], i64, &[&[usize]])] = &[
            ("seven are too few today", 22, &[10; 7], 5, &[]),
            (
                "eight are enough",
                22,
                &eight,
                0,
                &[&[0, 1, 2, 3, 4, 5, 6, 7]],
            ),
            (
                "those of another tier are no part of it",
                22,
                &[10, 10, 900, 10, 10, 10, 10, 900, 10, 10],
                0,
                &[&[0, 1, 3, 4, 5, 6, 8, 9]],
            ),
            ("large ones stay", 22, &[64 << 10; 9], 0, &[]),
            ("yesterday, but not quiet yet", 21, &[10, 10], 0, &[]),
            ("yesterday, and quiet", 21, &[10, 10, 30], 2, &[&[0, 1, 2]]),
            ("one alone stays", 21, &[10], 2, &[]),
            (
                "a late one does not wake a far larger one",
                21,
                &[9_000, 10, 20],
                2,
                &[&[1, 2]],
            ),
            (
                "a job is full at the target",
                21,
                &[60 << 10, 60 << 10, 60 << 10, 60 << 10, 60 << 10],
                2,
                &[&[0, 1, 2], &[3, 4]],
            ),
        ];
        for (what, of_month, kilobytes, hours_ago, wanted) in table {
            let found = plan(&files(*of_month, kilobytes, *hours_ago), rules(false));
            let found: Vec<_> = found.into_iter().map(|job| job.files).collect();
            assert_eq!(found, *wanted, "{what}");
        }
    }

    #[test]
    fn days_are_never_mixed_and_old_ones_come_first() {
        let mut all = files(22, &[10; 8], 0);
        all.extend(files(20, &[10; 3], 9).into_iter().map(|mut file| {
            file.at += 8;
            file
        }));
        let jobs = plan(&all, rules(false));
        let days: Vec<_> = jobs.iter().map(|job| job.day).collect();
        assert_eq!(days, [day(20), day(22)]);
        assert_eq!(jobs[0].files, [8, 9, 10]);
    }

    #[test]
    fn at_once_takes_what_there_is() {
        let jobs = plan(&files(22, &[10, 70_000, 20], 0), rules(true));
        assert_eq!(jobs.len(), 1);
        assert_eq!(jobs[0].files, [0, 2]);
        assert!(plan(&files(22, &[10], 0), rules(true)).is_empty());
    }

    /// A day of flushes, each followed by whatever is due: what is left, and how often a byte was written.
    #[test]
    fn a_day_of_small_flushes_is_few_files_and_little_writing() {
        for kilobytes in [20, 300, 5_000] {
            let (mut list, mut written, mut flushed): (Vec<u64>, u64, u64) = (Vec::new(), 0, 0);
            let merge = |list: &mut Vec<u64>, hours: i64, of_month: u32| {
                let mut written = 0;
                loop {
                    let jobs = plan(&files(of_month, list, hours), rules(false));
                    let Some(job) = jobs.first() else {
                        return written;
                    };
                    let merged: u64 = job.files.iter().map(|at| list[*at]).sum();
                    written += merged;
                    let mut at = 0;
                    list.retain(|_| {
                        at += 1;
                        !job.files.contains(&(at - 1))
                    });
                    list.push(merged);
                }
            };
            for _ in 0..2_880 {
                list.push(kilobytes);
                flushed += kilobytes;
                written += merge(&mut list, 0, 22);
            }
            assert!(list.len() < 150, "{kilobytes} kB: {} files", list.len());
            written += merge(&mut list, 2, 21);
            let large = flushed / (64 << 10) + 3;
            assert!(list.len() as u64 <= large, "{kilobytes} kB: {list:?}");
            assert!(
                written <= 5 * flushed,
                "{kilobytes} kB: {}",
                written / flushed
            );
            assert_eq!(list.iter().sum::<u64>(), flushed);
        }
    }
}
