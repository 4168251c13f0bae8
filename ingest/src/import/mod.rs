//! Recorded OTLP from files: `.pb`, `.json` and `.gz` bodies, or folders of them.
//!
//! Files are found (`files`), each is told what it is, by the `meta.json` beside it or by looking
//! (`signal`), and goes in by the same way as a live request. Importing again changes nothing, since the
//! store knows every imported body by its digest. What is no OTLP is listed with the reason.

mod files;
mod signal;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::Bytes;
use flyball_store::{self as store, Origin, Signal};

use crate::error::{Error, Result};
use crate::otlp::{Compression, Limits, decompress};
use crate::pipeline::{Accepted, Ingest, Sent};
use signal::Manifests;

/// Bytes of one imported body, decompressed: recorded batches may be larger than live ones.
const BODY_BYTES: usize = 256 << 20;

/// How long one body is offered to a full store before the import gives up: many times what a flush takes.
const PATIENCE: Duration = Duration::from_secs(120);

/// Told after every file.
pub trait Progress: Send + Sync {
    /// How far it is. Calls are in order, and the last one has `files_done == files_total`.
    fn update(&self, so_far: &Counts);
}

/// How far an import is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Files read, whatever they held.
    pub files_done: usize,
    /// Files found.
    pub files_total: usize,
    /// Bytes read, as on disk.
    pub bytes: u64,
    /// Spans taken in (those that were in already not counted).
    pub spans: u64,
    /// Log records taken in.
    pub records: u64,
    /// Data points of metrics taken in.
    pub points: u64,
}

/// What an import did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ImportReport {
    /// Files, bytes, spans, records and points.
    pub counts: Counts,
    /// Requests taken in.
    pub requests: u64,
    /// Requests whose body was in already: nothing was added.
    pub already_in: u64,
    /// Spans, records and points refused, in requests that were taken in otherwise.
    pub refused: u64,
    /// Which of them and why, for the first few of each file.
    pub rejected: Vec<Note>,
    /// Files that were passed over: no OTLP, or damaged.
    pub skipped: Vec<Note>,
}

/// Something to tell about a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// The file.
    pub path: PathBuf,
    /// What there is to tell.
    pub reason: String,
}

/// Imports every body under `paths`, folders in the order of their names.
///
/// # Errors
/// [`Error::Io`] when one of `paths` can't be read (a file inside a folder that can't is listed instead),
/// [`Error::Store`] when the store breaks or stays full. What was imported until then stays, and importing
/// again goes on from there.
pub async fn run(
    ingest: &Ingest,
    workspace: &str,
    paths: &[PathBuf],
    progress: &dyn Progress,
) -> Result<ImportReport> {
    let found = files::find(paths)?;
    let ingest = ingest.clone().with_limits(Limits::of_body(BODY_BYTES));
    let mut manifests = Manifests::default();
    let mut report = ImportReport::default();
    report.counts.files_total = found.len();
    for path in found {
        if !manifests.describes_others(&path) {
            let outcome = file(
                &ingest,
                workspace,
                &path,
                &mut manifests,
                &mut report.counts.bytes,
            )
            .await;
            report.enter(path, outcome?);
        }
        report.counts.files_done += 1;
        progress.update(&report.counts);
    }
    Ok(report)
}

/// What became of a file.
#[derive(Debug)]
enum Outcome {
    TakenIn(Signal, Accepted),
    Skipped(String),
}

impl ImportReport {
    fn enter(&mut self, path: PathBuf, outcome: Outcome) {
        match outcome {
            Outcome::TakenIn(_, accepted) if accepted.duplicate => self.already_in += 1,
            Outcome::TakenIn(signal, accepted) => {
                self.requests += u64::from(accepted.kept > 0);
                let count = match signal {
                    Signal::Traces => &mut self.counts.spans,
                    Signal::Logs => &mut self.counts.records,
                    Signal::Metrics => &mut self.counts.points,
                };
                *count += accepted.kept;
                self.refused += accepted.rejected;
                if accepted.rejected > 0 {
                    self.rejected.push(Note {
                        path,
                        reason: accepted.message,
                    });
                }
            }
            Outcome::Skipped(reason) => self.skipped.push(Note { path, reason }),
        }
    }
}

/// Takes in one file. An error ends the import; what is wrong with the file alone is an [`Outcome`].
async fn file(
    ingest: &Ingest,
    workspace: &str,
    path: &Path,
    manifests: &mut Manifests,
    bytes: &mut u64,
) -> Result<Outcome> {
    if !files::may_be_body(path) {
        return Ok(Outcome::Skipped("not a .pb, .json or .gz file".to_owned()));
    }
    let raw = match tokio::fs::read(path).await {
        Ok(raw) => Bytes::from(raw),
        Err(e) => return Ok(Outcome::Skipped(format!("could not be read: {e}"))),
    };
    *bytes += raw.len() as u64;
    // The first bytes tell more reliably than the name or the manifest: some tools store what they unpacked.
    let compression = Compression::sniff(&raw);
    let body = match decompress(raw, compression, BODY_BYTES) {
        Ok(body) => body,
        Err(e) => return Ok(Outcome::Skipped(e.to_string())),
    };
    let (signal, encoding) = match manifests
        .of(path)
        .map_or_else(|| signal::detect(&body, ingest.limits()), Ok)
    {
        Ok(told) => told,
        Err(reason) => return Ok(Outcome::Skipped(reason)),
    };
    take_in(ingest, workspace, body, Sent { signal, encoding }).await
}

/// Appends a body, waiting while the store is full.
async fn take_in(ingest: &Ingest, workspace: &str, body: Bytes, sent: Sent) -> Result<Outcome> {
    let give_up = Instant::now() + PATIENCE;
    loop {
        match ingest
            .take_in(
                body.clone(),
                Compression::Identity,
                sent,
                Origin::Import,
                workspace,
            )
            .await
        {
            Ok(accepted) if accepted.kept == 0 && accepted.rejected == 0 => {
                return Ok(Outcome::Skipped("holds nothing to keep".to_owned()));
            }
            Ok(accepted) => return Ok(Outcome::TakenIn(sent.signal, accepted)),
            Err(Error::Store(store::Error::Full { retry_after_ms, .. }))
                if Instant::now() < give_up =>
            {
                tokio::time::sleep(Duration::from_millis(retry_after_ms)).await;
            }
            Err(
                e @ (Error::BadProtobuf { .. }
                | Error::BadJson { .. }
                | Error::TooLarge { .. }
                | Error::Normalise(_)
                | Error::Store(
                    store::Error::TooLarge { .. } | store::Error::BatchRefused { .. },
                )),
            ) => return Ok(Outcome::Skipped(e.to_string())),
            Err(e) => return Err(e),
        }
    }
}
