//! Real frameworks' traces against what the provider really served: equal to the last token and digit,
//! whatever the order and grouping of the requests.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use flyball_ingest::resolver::{Options, Resolver};
use flyball_ingest::{Limits, normalise, otlp};
use flyball_pricing::Book;
use flyball_store::Encoding;
use flyball_store::rows::{ChargeRow, Row, SpanRow};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use rust_decimal::Decimal;
use serde::Deserialize;

use crate::journal::{self, Journal, Totals};

/// What a folder's `truth.json` says.
#[derive(Debug, Deserialize)]
struct Truth {
    calls: i64,
    input_total_tokens: i64,
    cache_read_tokens: i64,
    cache_write_tokens: i64,
    output_total_tokens: i64,
    reasoning_tokens: i64,
    cost_usd: Decimal,
    spans: usize,
    agent_runs: usize,
    tool_calls: usize,
}

impl Truth {
    fn totals(&self) -> Totals {
        Totals {
            calls: self.calls,
            input: self.input_total_tokens,
            cache_read: self.cache_read_tokens,
            cache_write: self.cache_write_tokens,
            output: self.output_total_tokens,
            reasoning: self.reasoning_tokens,
            cost: self.cost_usd.normalize(),
        }
    }
}

fn fixtures() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/truth")
}

/// The spans of each request in a folder, in order of arrival.
pub(crate) fn requests(folder: &Path) -> Vec<Vec<SpanRow>> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let bodies = files
        .iter()
        .filter(|file| file.extension().is_some_and(|extension| extension == "gz"));
    bodies
        .map(|file| {
            let mut body = Vec::new();
            let packed = std::fs::File::open(file).unwrap();
            std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(packed), &mut body)
                .unwrap();
            let json = file.to_string_lossy().ends_with(".json.gz");
            let encoding = if json {
                Encoding::Json
            } else {
                Encoding::Protobuf
            };
            let normalised = otlp::traces(&body, encoding, Limits::NONE, |request| {
                normalise::spans(request, 1_795_307_500_000_000_000, &[])
            })
            .unwrap();
            assert_eq!(normalised.rejected, []);
            SpanRow::read(&normalised.spans).unwrap()
        })
        .collect()
}

pub(crate) fn frameworks() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(fixtures())
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut folders: Vec<PathBuf> = entries.filter(|path| path.is_dir()).collect();
    folders.sort();
    assert_eq!(folders.len(), 5);
    folders
}

pub(crate) fn book() -> Arc<Book> {
    Arc::new(Book::read(&fixtures().join("prices.litellm.json")).unwrap())
}

fn resolver() -> Resolver {
    Resolver::new("default", book(), &Options::default())
}

fn charged(requests: &[Vec<SpanRow>]) -> Journal {
    journal::resolve(&mut resolver(), requests)
}

fn check(folder: &Path, truth: &Truth, journal: &Journal, order: &str) {
    let standing = journal.standing();
    let exact: Vec<&ChargeRow> = standing
        .iter()
        .filter(|row| row.kind == "model_call" && row.usage.as_deref() == Some("exact"))
        .collect();
    let told = format!("{} {order}", folder.display());
    assert_eq!(
        journal::totals(exact.iter().copied()),
        truth.totals(),
        "{told}"
    );
    // Without the condition on usage: these frameworks have no partial calls, and unknown ones add nothing.
    let calls = |rows: &[ChargeRow]| {
        let rows = rows.iter().filter(|row| row.kind == "model_call");
        journal::totals(rows).with_calls(0)
    };
    assert_eq!(
        calls(&journal.rows),
        truth.totals().with_calls(0),
        "{told}: the sum over the journal"
    );
    let count = |kind: &str| standing.iter().filter(|row| row.kind == kind).count();
    assert_eq!(count("tool_call"), truth.tool_calls, "{told}");
    assert_eq!(count("execution"), truth.agent_runs, "{told}");
    for row in standing.iter().filter(|row| row.kind == "execution") {
        assert!(
            row.termination.is_some() && row.duration_ns.is_some(),
            "{told}: {row:?}"
        );
    }
}

#[test]
fn calls_tokens_and_cost_are_what_the_provider_served() {
    for folder in frameworks() {
        let truth: Truth =
            serde_json::from_slice(&std::fs::read(folder.join("truth.json")).unwrap()).unwrap();
        let sent = requests(&folder);
        assert_eq!(
            sent.iter().map(Vec::len).sum::<usize>(),
            truth.spans,
            "no span is lost"
        );
        check(&folder, &truth, &charged(&sent), "in file order");
        let reversed: Vec<Vec<SpanRow>> = sent
            .iter()
            .rev()
            .map(|rows| rows.iter().rev().cloned().collect())
            .collect();
        check(&folder, &truth, &charged(&reversed), "reversed");
        let one_by_one: Vec<Vec<SpanRow>> =
            sent.iter().flatten().map(|row| vec![row.clone()]).collect();
        check(&folder, &truth, &charged(&one_by_one), "one span a request");
        let twice: Vec<Vec<SpanRow>> = sent.iter().chain(&sent).cloned().collect();
        check(&folder, &truth, &charged(&twice), "everything twice");
    }
}

/// The full corpus, where it is at hand: every framework in it, with a line on each.
#[test]
fn the_full_corpus_comes_out_equal_where_it_is_at_hand() {
    let corpus = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpus/otlp");
    let Ok(entries) = std::fs::read_dir(&corpus) else {
        return;
    };
    let mut folders: Vec<PathBuf> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .collect();
    folders.sort();
    let reports: Vec<String> = folders
        .iter()
        .map(|folder| journal::report(folder, &mut resolver()))
        .collect();
    println!("{}", reports.join("\n"));
    let differ: Vec<&String> = reports
        .iter()
        .filter(|line| line.contains("DIFFERS"))
        .collect();
    assert!(differ.is_empty(), "{differ:#?}");
}

/// Every recorded request, told again in the other encoding, makes the same rows.
#[test]
fn a_request_says_the_same_in_protobuf_and_in_json() {
    let corpus = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpus/otlp");
    let mut folders = frameworks();
    if let Ok(entries) = std::fs::read_dir(&corpus) {
        folders.extend(entries.map(|entry| entry.unwrap().path()));
    }
    let mut requests = 0;
    for file in folders
        .iter()
        .filter(|folder| folder.is_dir())
        .flat_map(|folder| std::fs::read_dir(folder).unwrap())
        .map(|entry| entry.unwrap().path())
    {
        let name = file.to_string_lossy();
        let json = name.ends_with(".json.gz");
        if !json && !name.ends_with(".pb.gz") {
            continue;
        }
        let (mut body, packed) = (Vec::new(), std::fs::File::open(&file).unwrap());
        std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(packed), &mut body).unwrap();
        let (sent, other) = if json {
            (Encoding::Json, Encoding::Protobuf)
        } else {
            (Encoding::Protobuf, Encoding::Json)
        };
        // The protocol crate's own readers; the folders hold logs and metrics as well, which they do not read, or
        // read as something else.
        let tree: Option<ExportTraceServiceRequest> = if json {
            serde_json::from_slice(&body).ok()
        } else {
            ExportTraceServiceRequest::decode(body.as_slice()).ok()
        };
        let Some(tree) = tree else { continue };
        let again = if json {
            tree.encode_to_vec()
        } else {
            serde_json::to_vec(&tree).unwrap()
        };
        let rows = |body: &[u8], encoding| {
            otlp::traces(body, encoding, Limits::NONE, |request| {
                normalise::spans(request, 1_795_307_500_000_000_000, &[]).spans
            })
        };
        assert_eq!(
            rows(&body, sent).unwrap(),
            rows(&again, other).unwrap(),
            "{name}"
        );
        requests += 1;
    }
    assert!(requests > 20, "{requests}");
}
