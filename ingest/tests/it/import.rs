//! Imports of recorded bodies.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use flyball_ingest::import::{self, Counts, ImportReport, Progress};
use flyball_ingest::{Ingest, Limits, Sink};
use prost::Message;

use crate::collector::{List, one_bad_of_three, request, span};

#[derive(Debug, Default)]
struct Watcher(Mutex<Vec<Counts>>);

impl Progress for Watcher {
    fn update(&self, so_far: &Counts) {
        self.0.lock().unwrap().push(*so_far);
    }
}

fn list_and_ingest() -> (Arc<List>, Ingest) {
    let list = Arc::new(List::default());
    let sink: Arc<dyn Sink> = Arc::<List>::clone(&list);
    (list, Ingest::new(sink, Limits::default()))
}

fn fixtures() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/otlp")
}

async fn import(ingest: &Ingest, path: PathBuf) -> ImportReport {
    import::run(ingest, "default", &[path], &Watcher::default())
        .await
        .unwrap()
}

#[tokio::test]
async fn a_folder_of_recordings_comes_in_once() {
    let (list, ingest) = list_and_ingest();
    let watcher = Watcher::default();
    let first = import::run(&ingest, "default", &[fixtures()], &watcher)
        .await
        .unwrap();
    assert_eq!(
        (first.requests, first.counts.spans, first.already_in),
        (7, 16 + 3 + 2 + 26, 0)
    );
    assert_eq!((first.counts.records, first.counts.points), (25, 3 + 11));
    assert_eq!(first.refused, 0);
    let skipped: Vec<_> = first
        .skipped
        .iter()
        .map(|note| {
            (
                note.path
                    .strip_prefix(fixtures())
                    .unwrap()
                    .to_str()
                    .unwrap(),
                note.reason.as_str(),
            )
        })
        .collect();
    assert_eq!(skipped, [("README.md", "not a .pb, .json or .gz file")]);
    assert_eq!(list.names().len(), 47);

    let steps = watcher.0.lock().unwrap().clone();
    assert_eq!(steps.len(), 12, "one a file");
    assert_eq!(steps.last(), Some(&first.counts));
    assert_eq!(
        (first.counts.files_done, first.counts.files_total),
        (12, 12)
    );
    assert!(steps.is_sorted_by_key(|step| (step.files_done, step.bytes, step.spans)));

    let again = import(&ingest, fixtures()).await;
    assert_eq!(
        (again.requests, again.counts.spans, again.already_in),
        (0, 0, 7)
    );
    assert_eq!(again.skipped, first.skipped);
    assert_eq!(list.names().len(), 47);
}

#[tokio::test]
async fn what_is_no_otlp_is_listed_and_the_rest_comes_in() {
    let folder = tempfile::tempdir().unwrap();
    let good = request(vec![span(1)]).encode_to_vec();
    for (name, body) in [
        ("1.pb", good.clone()),
        ("2.pb", good[..good.len() - 1].to_vec()),
        ("3.json", b"{\"some\": \"config\"}".to_vec()),
        ("4.json", serde_json::to_vec(&one_bad_of_three()).unwrap()),
        ("5.gz", b"not gzip".to_vec()),
        ("6.pb", Vec::new()),
        ("7.json", b"{\"resourceSpans\":[]}".to_vec()),
        // One that says of itself what it is not.
        (
            "8.json",
            b"{\"resourceSpans\":[{\"scopeSpans\":[{\"spans\":[{\"name\":1}]}]}]}".to_vec(),
        ),
        ("9.txt", good),
    ] {
        fs::write(folder.path().join(name), body).unwrap();
    }
    let (list, ingest) = list_and_ingest();
    let report = import(&ingest, folder.path().to_owned()).await;
    assert_eq!(list.names(), ["span 1", "span 1", "span 3"]);
    assert_eq!(
        (report.requests, report.counts.spans, report.refused),
        (2, 3, 1)
    );
    assert_eq!(report.rejected.len(), 1);
    assert!(
        report.rejected[0].reason.contains("trace_id"),
        "{:?}",
        report.rejected
    );
    let names: Vec<_> = report
        .skipped
        .iter()
        .map(|note| note.path.file_name().unwrap().to_str().unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "2.pb", "3.json", "5.gz", "6.pb", "7.json", "8.json", "9.txt"
        ]
    );
    assert!(
        report.skipped[5].reason.contains("name: invalid type"),
        "{:?}",
        report.skipped[5]
    );
}

#[tokio::test]
async fn a_full_store_is_waited_for_and_a_broken_one_is_not() {
    let (list, ingest) = list_and_ingest();
    list.full_for.store(1, Ordering::SeqCst);
    let report = import(&ingest, fixtures().join("autogen")).await;
    assert_eq!((report.requests, report.counts.spans), (1, 2));

    list.broken.store(true, Ordering::SeqCst);
    let error = import::run(
        &ingest,
        "default",
        &[fixtures().join("openai_v2")],
        &Watcher::default(),
    )
    .await
    .unwrap_err();
    assert_eq!(error.to_string(), "the store is closed");
    list.broken.store(false, Ordering::SeqCst);
    assert_eq!(
        import(&ingest, fixtures().join("openai_v2"))
            .await
            .counts
            .spans,
        16,
        "and goes on from there"
    );
}

#[tokio::test]
async fn a_path_that_is_not_there_is_an_error() {
    let (_, ingest) = list_and_ingest();
    let error = import::run(
        &ingest,
        "default",
        &[PathBuf::from("/no/such/folder")],
        &Watcher::default(),
    )
    .await
    .unwrap_err();
    assert!(
        error.to_string().starts_with("/no/such/folder: "),
        "{error}"
    );
}

/// The whole corpus, where it is at hand: as many spans as its own description counts.
#[tokio::test]
async fn the_whole_corpus_comes_in() {
    let corpus = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpus/otlp");
    let Ok(folders) = fs::read_dir(&corpus) else {
        return;
    };
    for folder in folders
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
    {
        let expected: serde_json::Value =
            serde_json::from_slice(&fs::read(folder.join("expected.json")).unwrap()).unwrap();
        let (list, ingest) = list_and_ingest();
        let report = import(&ingest, folder.clone()).await;
        assert_eq!(
            Some(report.counts.spans),
            expected["spans"]["total"].as_u64(),
            "{}",
            folder.display()
        );
        assert_eq!(list.names().len() as u64, report.counts.spans);
        assert!(report.rejected.is_empty(), "{:?}", report.rejected);
    }
}
