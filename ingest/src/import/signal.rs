//! What a file holds: told by the `meta.json` beside it, else found out.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use flyball_otlp::{
    ExportLogsServiceRequest, ExportMetricsServiceRequest, ExportTraceServiceRequest,
};
use flyball_store::{Encoding, Signal};
use serde::Deserialize;

use crate::otlp::{self, Limits};

/// Name of the file that describes the bodies beside it.
const MANIFEST: &str = "meta.json";

/// `meta.json`: for each body in its folder, how it was sent.
#[derive(Debug, Deserialize)]
struct Manifest {
    requests: Vec<Entry>,
}

/// One body.
#[derive(Debug, Deserialize)]
struct Entry {
    file: String,
    /// `/v1/traces`, `/v1/logs`, `/v1/metrics`.
    path: String,
    content_type: String,
}

impl Entry {
    /// None when it names no signal or encoding of OTLP: then the body has to tell.
    fn told(&self) -> Option<(Signal, Encoding)> {
        let signal = match self.path.as_str() {
            "/v1/traces" => Signal::Traces,
            "/v1/logs" => Signal::Logs,
            "/v1/metrics" => Signal::Metrics,
            _ => return None,
        };
        // A recorded gRPC body is the bare message.
        let encoding = if self.content_type.starts_with("application/grpc") {
            Encoding::Protobuf
        } else {
            otlp::encoding_of(Some(&self.content_type)).ok()?
        };
        Some((signal, encoding))
    }
}

type Told = HashMap<String, (Signal, Encoding)>;

/// The `meta.json` of every folder that was looked into; None where there is none (or it is no manifest).
#[derive(Debug, Default)]
pub(super) struct Manifests {
    by_folder: HashMap<PathBuf, Option<Told>>,
}

impl Manifests {
    /// Whether the file is itself a manifest.
    pub(super) fn describes_others(&mut self, path: &Path) -> bool {
        path.file_name() == Some(OsStr::new(MANIFEST)) && self.folder_of(path).is_some()
    }

    /// What the manifest beside a file says about it.
    pub(super) fn of(&mut self, path: &Path) -> Option<(Signal, Encoding)> {
        let name = path.file_name()?.to_str()?;
        self.folder_of(path)?.get(name).copied()
    }

    fn folder_of(&mut self, path: &Path) -> Option<&Told> {
        let folder = path.parent().unwrap_or(Path::new("")).to_owned();
        let told = self.by_folder.entry(folder).or_insert_with_key(|folder| {
            let text = std::fs::read(folder.join(MANIFEST)).ok()?;
            let manifest: Manifest = serde_json::from_slice(&text).ok()?;
            let told = |entry: Entry| entry.told().map(|told| (entry.file, told));
            Some(manifest.requests.into_iter().filter_map(told).collect())
        });
        told.as_ref()
    }
}

/// The first signal that the body decodes as, with something in it that only this signal has.
///
/// Protobuf does not say which message it is, and the three requests are alike on top. But where a span
/// has its id (bytes), a log record has a time (fixed64), and a metric, which has a text there, has its
/// data where a span has its times; so ids and times decide.
///
/// # Errors
/// Why it is none of them.
pub(super) fn detect(body: &Bytes, limits: Limits) -> Result<(Signal, Encoding), String> {
    let not_json = match otlp::signal_of(body) {
        Ok(signal) => return Ok((signal, Encoding::Json)),
        Err(reason) => reason,
    };
    if body.first() == Some(&b'{') {
        return Err(format!("not OTLP: {not_json}"));
    }
    if body.is_empty() {
        return Err("empty".to_owned());
    }
    if holds_spans(body, limits) {
        Ok((Signal::Traces, Encoding::Protobuf))
    } else if holds_logs(body, limits) {
        Ok((Signal::Logs, Encoding::Protobuf))
    } else if holds_metrics(body, limits) {
        Ok((Signal::Metrics, Encoding::Protobuf))
    } else {
        Err("not OTLP: neither JSON nor protobuf of a known signal with valid ids".to_owned())
    }
}

fn holds_spans(body: &Bytes, limits: Limits) -> bool {
    let is_there = |request: &ExportTraceServiceRequest<'_>| {
        request
            .resource_spans
            .iter()
            .flat_map(|resource| &resource.scope_spans)
            .flat_map(|scope| &scope.spans)
            .any(|span| {
                is_id::<16>(span.trace_id)
                    && is_id::<8>(span.span_id)
                    && span.start_time_unix_nano > 0
            })
    };
    otlp::traces(body, Encoding::Protobuf, limits, is_there).unwrap_or(false)
}

fn holds_logs(body: &Bytes, limits: Limits) -> bool {
    let is_there = |request: &ExportLogsServiceRequest<'_>| {
        request
            .resource_logs
            .iter()
            .flat_map(|resource| &resource.scope_logs)
            .flat_map(|scope| &scope.log_records)
            .any(|record| record.time_unix_nano > 0 || record.observed_time_unix_nano > 0)
    };
    otlp::logs(body, Encoding::Protobuf, limits, is_there).unwrap_or(false)
}

fn holds_metrics(body: &Bytes, limits: Limits) -> bool {
    let is_there = |request: &ExportMetricsServiceRequest<'_>| {
        request
            .resource_metrics
            .iter()
            .flat_map(|resource| &resource.scope_metrics)
            .flat_map(|scope| &scope.metrics)
            .any(|metric| !metric.name.is_empty() && metric.data.is_some())
    };
    otlp::metrics(body, Encoding::Protobuf, limits, is_there).unwrap_or(false)
}

fn is_id<const N: usize>(id: &[u8]) -> bool {
    id.len() == N && id.iter().any(|&byte| byte != 0)
}
