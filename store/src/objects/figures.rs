//! What the object store is asked for and how it answers, counted by kind of operation, for `/metrics`.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Upper ends of the histogram's buckets, in milliseconds; what took longer stands only in the count.
pub const LATENCY_BUCKETS_MS: [u64; 12] = [
    1, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 10_000, 30_000,
];

/// What the object store is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    /// Write an object, whatever stood there.
    Put,
    /// Write an object that must not exist yet.
    Create,
    /// Begin, continue or end an upload in parts.
    Upload,
    /// Read an object, ranges of it, or what is known of it.
    Get,
    /// List.
    List,
    /// Delete.
    Delete,
    /// Copy or rename within the store.
    Copy,
}

impl Operation {
    const ALL: [Self; 7] = [
        Self::Put,
        Self::Create,
        Self::Upload,
        Self::Get,
        Self::List,
        Self::Delete,
        Self::Copy,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Put => "put",
            Self::Create => "create",
            Self::Upload => "upload",
            Self::Get => "get",
            Self::List => "list",
            Self::Delete => "delete",
            Self::Copy => "copy",
        }
    }
}

/// Figures of one kind of operation since the process started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectOperation {
    /// `put`, `create`, `upload`, `get`, `list`, `delete` or `copy`.
    pub name: &'static str,
    /// How often it was asked for.
    pub count: u64,
    /// How often it failed. That an object does not exist, or exists already, is an answer and no failure.
    pub errors: u64,
    /// How often it was tried again after a failure.
    pub retries: u64,
    /// Bytes written or read.
    pub bytes: u64,
    /// Time all of them took, in microseconds: until the answer began, for a read that is streamed.
    pub micros: u64,
    /// How many took at most as long as each of [`LATENCY_BUCKETS_MS`].
    pub within: [u64; LATENCY_BUCKETS_MS.len()],
}

#[derive(Debug, Default)]
struct Counted {
    count: AtomicU64,
    errors: AtomicU64,
    retries: AtomicU64,
    bytes: AtomicU64,
    micros: AtomicU64,
    within: [AtomicU64; LATENCY_BUCKETS_MS.len()],
}

/// Counters of every kind of operation.
#[derive(Debug, Default)]
pub(super) struct Figures([Counted; Operation::ALL.len()]);

impl Figures {
    fn of(&self, operation: Operation) -> &Counted {
        &self.0[operation as usize]
    }

    pub(super) fn done(&self, operation: Operation, took: Duration, failed: bool) {
        let counted = self.of(operation);
        counted.count.fetch_add(1, Relaxed);
        counted.errors.fetch_add(failed.into(), Relaxed);
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        counted.micros.fetch_add(micros, Relaxed);
        for (within, most) in counted.within.iter().zip(LATENCY_BUCKETS_MS) {
            if micros <= most * 1_000 {
                within.fetch_add(1, Relaxed);
            }
        }
    }

    pub(super) fn tried_again(&self, operation: Operation) {
        self.of(operation).retries.fetch_add(1, Relaxed);
    }

    pub(super) fn moved(&self, operation: Operation, bytes: u64) {
        self.of(operation).bytes.fetch_add(bytes, Relaxed);
    }

    pub(super) fn read(&self) -> Vec<ObjectOperation> {
        let one = |operation: Operation| {
            let counted = self.of(operation);
            ObjectOperation {
                name: operation.name(),
                count: counted.count.load(Relaxed),
                errors: counted.errors.load(Relaxed),
                retries: counted.retries.load(Relaxed),
                bytes: counted.bytes.load(Relaxed),
                micros: counted.micros.load(Relaxed),
                within: std::array::from_fn(|at| counted.within[at].load(Relaxed)),
            }
        };
        Operation::ALL.map(one).into()
    }
}
