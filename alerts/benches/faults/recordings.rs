//! From the bytes that a framework's exporter sent to the entries that the collector makes of them.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flate2::read::GzDecoder;
use flyball_ingest::resolver::{Options, Resolver, Told};
use flyball_ingest::{Limits, normalise, otlp};
use flyball_pricing::Book;
use flyball_store::rows::{ChargeRow, Row as _, SpanRow};
use flyball_store::{Encoding, Origin};

/// One framework.
#[derive(Debug)]
pub struct Recording {
    pub name: String,
    /// The entries of each execution that stand, by their start.
    pub executions: Vec<Vec<ChargeRow>>,
}

/// Every folder with recorded requests of traces, by name.
pub fn read(folder: &Path) -> Vec<Recording> {
    let own = folder.join("prices.litellm.json");
    let beside = folder.join("../prices.litellm.json");
    let prices = if own.exists() { own } else { beside };
    let book = Arc::new(Book::read(&prices).unwrap());
    let mut folders: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .collect();
    folders.sort();
    let recordings = folders.iter().map(|folder| Recording {
        name: folder.file_name().unwrap().to_string_lossy().into_owned(),
        executions: executions(folder, &book),
    });
    recordings
        .filter(|recording| !recording.executions.is_empty())
        .collect()
}

fn executions(folder: &Path, book: &Arc<Book>) -> Vec<Vec<ChargeRow>> {
    let mut resolver = Resolver::new("default", Arc::clone(book), &Options::default());
    let mut posts = Vec::new();
    for (at, body) in bodies(folder).into_iter().enumerate() {
        let position = at as i64 + 1;
        let mut rows = body;
        for row in &mut rows {
            row.log_position = position;
        }
        let told = Told {
            batch: SpanRow::batch(&rows).unwrap(),
            position: position as u64,
            origin: Origin::Live,
        };
        posts.extend(resolver.spans(&[told], position).unwrap());
    }
    posts.extend(resolver.settle_all(super::SECOND).unwrap());
    let mut standing: BTreeMap<String, ChargeRow> = BTreeMap::new();
    for batch in posts.iter().flat_map(|post| &post.update.post) {
        for row in ChargeRow::read(batch).unwrap() {
            match row.entry.as_str() {
                "charge" => drop(standing.insert(row.charge_id.clone(), row)),
                "reversal" => drop(standing.remove(&row.charge_id)),
                _ => {}
            }
        }
    }
    let mut executions: BTreeMap<String, Vec<ChargeRow>> = BTreeMap::new();
    for row in standing.into_values() {
        executions
            .entry(row.execution_id.clone())
            .or_default()
            .push(row);
    }
    let mut executions: Vec<_> = executions.into_values().collect();
    for rows in &mut executions {
        rows.sort_by_key(|row| (row.start_unix_nano, row.charge_id.clone()));
    }
    executions
}

/// The spans of each request, in order of arrival. What is no request of traces is told apart by its name or content.
fn bodies(folder: &Path) -> Vec<Vec<SpanRow>> {
    let meta = std::fs::read(folder.join("meta.json")).ok();
    let meta: Option<serde_json::Value> = meta.map(|text| serde_json::from_slice(&text).unwrap());
    let files: Vec<String> = if let Some(meta) = &meta {
        let requests = meta["requests"].as_array().unwrap().iter();
        requests
            .filter(|request| request["path"] == "/v1/traces")
            .map(|request| request["file"].as_str().unwrap().to_owned())
            .collect()
    } else {
        let names = std::fs::read_dir(folder).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
        let mut names: Vec<String> = names.filter(|name| name.ends_with(".gz")).collect();
        names.sort();
        names
    };
    let read = |file: String| {
        let mut body = std::fs::read(folder.join(&file)).unwrap();
        if file.ends_with(".gz") {
            let packed = std::mem::take(&mut body);
            GzDecoder::new(&packed[..]).read_to_end(&mut body).unwrap();
        }
        let encoding = if file.contains(".json") {
            Encoding::Json
        } else {
            Encoding::Protobuf
        };
        let normalised = otlp::traces(&body, encoding, Limits::NONE, |request| {
            normalise::spans(request, super::SECOND, &[])
        });
        SpanRow::read(&normalised.unwrap().spans).unwrap()
    };
    files.into_iter().map(read).collect()
}
