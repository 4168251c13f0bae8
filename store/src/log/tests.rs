#![allow(clippy::unwrap_used)]
mod disk;

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use proptest::prelude::*;

use super::replay::Tail;
use super::*;
use crate::append::{Append, Appended};
use crate::config::Durability;
use crate::disk::Local;
use crate::error::{Error, Result};
use disk::{Disk, Failure};

/// Shows nothing to nobody, but remembers.
#[derive(Debug, Default, Clone)]
struct Seen(Arc<Mutex<Vec<LogPosition>>>);

impl Audience for Seen {
    fn known(&mut self, _: &Append) -> Option<LogPosition> {
        None
    }
    fn visible(&mut self, group: Vec<Written>) {
        self.0
            .lock()
            .extend(group.iter().map(|written| written.position));
    }
    fn release(&mut self, _: u64) {}
}

fn append(n: u64) -> Append {
    let mut digest = [0; 32];
    digest[..8].copy_from_slice(&n.to_le_bytes());
    let header = Header {
        kind: FrameKind::Otlp,
        origin: Origin::Live,
        received_at_unix_nano: n as i64,
        workspace: "default".into(),
        key: None,
        signal: Signal::Traces,
        encoding: Encoding::Json,
        rejected: vec![n as u32],
        digest,
    };
    Append {
        header,
        body: body(n),
        batches: Vec::new(),
    }
}

/// Bodies of various lengths, also none.
fn body(n: u64) -> Bytes {
    Bytes::from(n.to_string().repeat((n as usize * 7) % 40))
}

/// A folder of the machine's own disk.
fn files(folder: &Path) -> Arc<dyn Medium> {
    Arc::new(Files::new(Arc::new(Local), folder))
}

fn start(medium: Arc<dyn Medium>, seen: &Seen) -> Log {
    let tail = Replay::open(Arc::clone(&medium), false)
        .unwrap()
        .finish()
        .unwrap();
    Log::start(
        medium,
        tail,
        Durability::Durable,
        1 << 20,
        Box::new(seen.clone()),
    )
    .unwrap()
}

/// One at a time, so that each is a group of its own.
fn write(folder: &Path, count: std::ops::RangeInclusive<u64>) {
    let log = Log::start(
        files(folder),
        all(folder).unwrap().1,
        Durability::Durable,
        1 << 20,
        Box::new(Seen::default()),
    )
    .unwrap();
    for n in count {
        let answer = log
            .append(append(n), 0)
            .unwrap()
            .blocking_recv()
            .unwrap()
            .unwrap();
        assert_eq!(
            answer,
            Appended {
                position: n,
                duplicate: false
            }
        );
    }
}

fn all(folder: &Path) -> Result<(Vec<Frame>, Tail)> {
    let mut replay = Replay::open(files(folder), false)?;
    let mut frames = Vec::new();
    while let Some(frame) = replay.next_frame()? {
        frames.push(frame);
    }
    Ok((frames, replay.finish()?))
}

fn bodies(frames: &[Frame]) -> Vec<(LogPosition, Bytes)> {
    frames
        .iter()
        .map(|frame| (frame.position, frame.body.clone()))
        .collect()
}

fn wanted(count: u64) -> Vec<(LogPosition, Bytes)> {
    (1..=count).map(|n| (n, body(n))).collect()
}

/// Where each frame begins, and where the last one ends.
fn offsets(bytes: &[u8]) -> Vec<usize> {
    let mut offsets = vec![0];
    while let Some(head) = bytes
        .get(offsets[offsets.len() - 1]..)
        .and_then(|rest| rest.first_chunk())
    {
        let (len, _) = frame::prefix(*head).unwrap();
        offsets.push(offsets[offsets.len() - 1] + frame::PREFIX + len);
    }
    offsets
}

#[test]
fn cut_at_any_byte_exactly_the_whole_frames_before_it_are_left() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), 1..=6);
    let path = segment_path(dir.path(), 1);
    let bytes = std::fs::read(&path).unwrap();
    let offsets = offsets(&bytes);
    for cut in 0..=bytes.len() {
        std::fs::write(&path, &bytes[..cut]).unwrap();
        let whole = offsets[1..].iter().filter(|end| **end <= cut).count();
        let (frames, tail) = all(dir.path()).unwrap();
        assert_eq!(bodies(&frames), wanted(whole as u64), "cut at {cut}");
        assert_eq!(tail.next, whole as u64 + 1);
        assert_eq!(
            std::fs::metadata(&path).unwrap().len(),
            offsets[whole] as u64,
            "the torn rest is gone"
        );
    }
}

#[test]
fn a_flipped_byte_anywhere_before_the_last_frame_is_an_error_with_its_place() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), 1..=4);
    let path = segment_path(dir.path(), 1);
    let bytes = std::fs::read(&path).unwrap();
    let offsets = offsets(&bytes);
    for at in 0..offsets[3] {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x10;
        std::fs::write(&path, &damaged).unwrap();
        let frame_start = *offsets.iter().rev().find(|start| **start <= at).unwrap();
        match all(dir.path()).unwrap_err() {
            Error::LogCorrupt {
                segment, offset, ..
            } => assert_eq!((segment, offset), (path.clone(), frame_start as u64)),
            error => panic!("{error}"),
        }
        assert_eq!(std::fs::read(&path).unwrap(), damaged);
    }
}

#[test]
fn a_torn_group_is_cut_even_if_its_later_frames_are_whole() {
    let dir = tempfile::tempdir().unwrap();
    let mut bytes = Vec::new();
    for n in 1..=5 {
        let append = append(n);
        // One synced, then a group of four that a crash tore apart.
        frame::encode(&mut bytes, n, n.min(2) - 1, &append.header, &append.body);
    }
    let offsets = offsets(&bytes);
    bytes[offsets[2]..offsets[3]].fill(0);
    std::fs::write(segment_path(dir.path(), 1), &bytes).unwrap();
    assert_eq!(bodies(&all(dir.path()).unwrap().0), wanted(2));
}

#[test]
fn damage_or_loss_of_an_earlier_segment_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let log = start(files(dir.path()), &Seen::default());
    drop(log);
    let small = |folder: &Path| {
        let tail = all(folder).unwrap().1;
        Log::start(
            files(folder),
            tail,
            Durability::Durable,
            1,
            Box::new(Seen::default()),
        )
        .unwrap()
    };
    let log = small(dir.path());
    for n in 1..=4 {
        log.append(append(n), 0)
            .unwrap()
            .blocking_recv()
            .unwrap()
            .unwrap();
    }
    drop(log);
    assert_eq!(files(dir.path()).segments().unwrap().len(), 4);
    assert_eq!(bodies(&all(dir.path()).unwrap().0), wanted(4));
    let second = segment_path(dir.path(), 2);
    let bytes = std::fs::read(&second).unwrap();
    std::fs::write(&second, &bytes[..bytes.len() - 1]).unwrap();
    assert!(
        matches!(all(dir.path()), Err(Error::LogCorrupt { segment, offset: 0, .. }) if segment == second)
    );
    std::fs::remove_file(&second).unwrap();
    assert!(matches!(
        all(dir.path()),
        Err(Error::LogGap { expected: 2, .. })
    ));
}

fn start_on(disk: &Disk, seen: &Seen, segment_bytes: u64) -> Log {
    let tail = Tail {
        segments: Vec::new(),
        next: 1,
    };
    Log::start(
        Arc::new(disk.clone()),
        tail,
        Durability::Durable,
        segment_bytes,
        Box::new(seen.clone()),
    )
    .unwrap()
}

#[test]
fn after_a_failed_sync_nothing_is_acknowledged_or_shown_any_more() {
    let (disk, seen) = (Disk::default(), Seen::default());
    let log = start_on(&disk, &seen, 1 << 20);
    log.append(append(1), 0)
        .unwrap()
        .blocking_recv()
        .unwrap()
        .unwrap();
    // The next write succeeds, its sync does not; after that the disk is fine again, which must not help.
    let operations = disk.0.lock().operations;
    disk.0.lock().fail_at = Some((operations + 2, Failure::Dead));
    let failed = log.append(append(2), 0).unwrap().blocking_recv().unwrap();
    assert!(matches!(failed, Err(Error::LogPoisoned { .. })));
    disk.0.lock().fail_at = None;
    for n in 3..6 {
        let error = log
            .append(append(n), 0)
            .unwrap()
            .blocking_recv()
            .unwrap()
            .unwrap_err();
        assert!(
            matches!(&error, Error::LogPoisoned { reason } if reason.contains("sync")),
            "{error}"
        );
    }
    assert_eq!(*seen.0.lock(), [1]);
    assert_eq!(
        log.counters()
            .poisoned
            .load(std::sync::atomic::Ordering::Relaxed),
        1
    );
}

#[test]
fn a_full_disk_refuses_politely_and_goes_on_when_there_is_room() {
    let (disk, seen) = (Disk::default(), Seen::default());
    let log = start_on(&disk, &seen, 1 << 20);
    log.append(append(1), 0)
        .unwrap()
        .blocking_recv()
        .unwrap()
        .unwrap();
    for failure in [Failure::Full, Failure::Quota] {
        let operations = disk.0.lock().operations;
        disk.0.lock().fail_at = Some((operations + 1, failure));
        let full = log.append(append(9), 0).unwrap().blocking_recv().unwrap();
        assert!(matches!(full, Err(Error::Full { what: "disk", .. })));
    }
    log.append(append(2), 0)
        .unwrap()
        .blocking_recv()
        .unwrap()
        .unwrap();
    drop(log);
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(segment_path(dir.path(), 1), &disk.0.lock().files[&1].0).unwrap();
    assert_eq!(bodies(&all(dir.path()).unwrap().0), wanted(2));
    assert_eq!(*seen.0.lock(), [1, 2]);
}

#[test]
fn requests_that_wait_together_share_a_sync_and_keep_their_order() {
    let (disk, seen) = (Disk::default(), Seen::default());
    disk.0.lock().sync_takes = std::time::Duration::from_millis(10);
    let log = start_on(&disk, &seen, 1 << 20);
    let answers: Vec<_> = (1..=500)
        .map(|n| log.append(append(n), 0).unwrap())
        .collect();
    let positions: Vec<_> = answers
        .into_iter()
        .map(|answer| answer.blocking_recv().unwrap().unwrap().position)
        .collect();
    assert_eq!(positions, (1..=500).collect::<Vec<_>>());
    assert_eq!(*seen.0.lock(), positions);
    let syncs = log
        .counters()
        .syncs
        .load(std::sync::atomic::Ordering::Relaxed);
    assert!(syncs < 100, "{syncs} syncs for 500 requests");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// The machine dies at any operation, and keeps of what was not synced any part, in any order. What was
    /// acknowledged is there, byte for byte, in order; the log opens; what else is there was sent as well.
    #[test]
    fn a_crash_loses_nothing_acknowledged(
        groups in proptest::collection::vec(1..8u64, 1..12),
        die_at in 2..40usize,
        segment_bytes in 200..3_000u64,
        keep in 0.0..1.0f64,
        holes in proptest::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let (disk, seen) = (Disk::default(), Seen::default());
        let log = start_on(&disk, &seen, segment_bytes);
        disk.0.lock().fail_at = Some((die_at, Failure::Dead));
        let (mut next, mut acknowledged) = (1, 0);
        for size in groups {
            let answers: Vec<_> = (next..next + size).map(|n| log.append(append(n), 0).unwrap()).collect();
            next += size;
            for answer in answers {
                if let Ok(appended) = answer.blocking_recv().unwrap() {
                    prop_assert_eq!(appended.position, acknowledged + 1);
                    acknowledged = appended.position;
                }
            }
        }
        drop(log);
        let dir = tempfile::tempdir().unwrap();
        for (first, (bytes, synced)) in &disk.0.lock().files {
            let (safe, loose) = bytes.split_at(*synced);
            let mut loose = loose[..(loose.len() as f64 * keep) as usize].to_vec();
            for hole in &holes {
                if loose.is_empty() {
                    break;
                }
                let at = hole.index(loose.len());
                let end = loose.len().min(at + 64);
                loose[at..end].fill(0);
            }
            std::fs::write(segment_path(dir.path(), *first), [safe, &loose].concat()).unwrap();
        }
        let (frames, tail) = all(dir.path()).unwrap();
        prop_assert!(frames.len() as u64 >= acknowledged);
        prop_assert_eq!(bodies(&frames), wanted(frames.len() as u64));
        prop_assert_eq!(tail.next, frames.len() as u64 + 1);
        prop_assert_eq!(&*seen.0.lock(), &(1..=acknowledged).collect::<Vec<_>>());
    }
}
