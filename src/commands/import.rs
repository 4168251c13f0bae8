//! `flyball import`: recorded OTLP into the data directory, or through the server that owns it.

use std::sync::Arc;

use anyhow::{Result, bail};
use async_trait::async_trait;
use flyball_ingest::import::{self, Counts, ImportReport, Progress};
use flyball_ingest::otlp::Limits;
use flyball_ingest::pipeline::{Accepted, Ingest, Sink};
use flyball_store::{Append, Appended, Encoding, Error as StoreError};
use indicatif::ProgressBar;

use super::progress;
use crate::cli;
use crate::config::Config;
use crate::core::{Core, WORKSPACE};
use crate::http::What;
use crate::running::{Server, words};
use crate::say::say;

/// How long to wait when the server is full.
const FULL_RETRY_MS: u64 = 250;

/// Imports `paths`, and prints what became of them.
pub(super) async fn run(config: &Config, options: &cli::Import) -> Result<()> {
    let paths = &options.paths;
    let bar = Bar(progress::bar(
        "{bar:30} {pos}/{len} files  {msg}  {elapsed}",
    ));
    let report = if let Some(server) = Server::find(&config.store.data_dir).await {
        if options.prices.is_some() {
            bail!(
                "a server runs on {}, and prices with its own book: stop it, or leave --prices out",
                config.store.data_dir.display()
            );
        }
        let ingest = Ingest::new(
            Arc::new(Remote { server }),
            Limits::of_body(config.request_bytes_max),
        );
        import::run(&ingest, WORKSPACE, paths, &bar).await?
    } else {
        let core = Core::open_to_import(config, options.prices.as_deref()).await?;
        let report = import::run(&core.ingest, WORKSPACE, paths, &bar).await;
        // What came in before an error is in: settle and flush it all the same.
        core.settle_and_close().await?;
        report?
    };
    bar.0.finish_and_clear();
    print(&report);
    Ok(())
}

fn print(report: &ImportReport) {
    say!(
        "{} files, {} bytes: {} requests and {} spans taken in, {} requests were in already",
        report.counts.files_total,
        report.counts.bytes,
        report.requests,
        report.counts.spans,
        report.already_in
    );
    if report.counts.records + report.counts.points > 0 {
        say!(
            "with them {} log records and {} data points of metrics",
            report.counts.records,
            report.counts.points
        );
    }
    if report.refused > 0 {
        say!("{} spans, records and points were refused:", report.refused);
    }
    for note in &report.rejected {
        say!("  {}: {}", note.path.display(), note.reason);
    }
    if !report.skipped.is_empty() {
        say!("{} files were passed over:", report.skipped.len());
    }
    for note in &report.skipped {
        say!("  {}: {}", note.path.display(), note.reason);
    }
}

/// Files and spans as they come in.
struct Bar(ProgressBar);

impl Progress for Bar {
    fn update(&self, so_far: &Counts) {
        self.0.set_length(so_far.files_total as u64);
        self.0.set_position(so_far.files_done as u64);
        self.0
            .set_message(format!("{} spans, {} bytes", so_far.spans, so_far.bytes));
    }
}

/// The running server as a place to put requests.
#[derive(Debug)]
struct Remote {
    server: Server,
}

#[async_trait]
impl Sink for Remote {
    async fn append(&self, append: Append) -> flyball_store::Result<Appended> {
        let content_type = match append.header.encoding {
            Encoding::Protobuf => "application/x-protobuf",
            Encoding::Json => "application/json",
        };
        let url = self.server.url("/api/v1/import");
        let request = |http: &reqwest::Client| {
            http.post(url)
                .query(&What {
                    signal: append.header.signal.into(),
                })
                .header("content-type", content_type)
                .body(append.body)
        };
        let broken = |reason: String| StoreError::LogPoisoned { reason };
        let answer = self.server.answer(request).await;
        let (status, answer) = answer.map_err(|e| broken(format!("{e:#}")))?;
        if status == reqwest::StatusCode::TOO_MANY_REQUESTS {
            // The import waits and sends it again, as it would on its own store.
            return Err(StoreError::Full {
                what: "the server",
                used: 0,
                limit: 0,
                retry_after_ms: FULL_RETRY_MS,
            });
        }
        if !status.is_success() {
            return Err(broken(format!("{} ({status})", words(&answer))));
        }
        let accepted: Answer =
            serde_json::from_slice(&answer).map_err(|e| broken(e.to_string()))?;
        Ok(Appended {
            position: 0,
            duplicate: accepted.duplicate,
        })
    }
}

/// What `POST /api/v1/import` answers.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct Answer {
    /// Spans, records or points kept.
    kept: u64,
    /// Those refused.
    rejected: u64,
    /// Why, for the first few.
    message: String,
    /// The same body was in already.
    duplicate: bool,
}

impl From<Accepted> for Answer {
    fn from(accepted: Accepted) -> Self {
        Self {
            kept: accepted.kept,
            rejected: accepted.rejected,
            message: accepted.message,
            duplicate: accepted.duplicate,
        }
    }
}
