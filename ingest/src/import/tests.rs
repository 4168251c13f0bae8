#![allow(clippy::unwrap_used)]

//! Telling what a file is. (Whole imports are driven from outside, in `tests/it`.)

use std::fs;

use flyball_store::Encoding;

use super::*;

fn fixture(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/otlp")
        .join(path)
}

fn body(path: &str) -> Bytes {
    let raw = Bytes::from(fs::read(fixture(path)).unwrap());
    let compression = Compression::sniff(&raw);
    decompress(raw, compression, 1 << 20).unwrap()
}

fn detect(body: &Bytes) -> std::result::Result<(Signal, Encoding), String> {
    signal::detect(body, Limits::default())
}

#[test]
fn a_body_tells_its_signal_without_a_manifest() {
    for (path, signal, encoding) in [
        ("openai_v2/0001.pb", Signal::Metrics, Encoding::Protobuf),
        ("openai_v2/0002.pb", Signal::Traces, Encoding::Protobuf),
        ("openai_v2/0011.pb", Signal::Logs, Encoding::Protobuf),
        (
            "oi_langgraph/0001.pb.gz",
            Signal::Traces,
            Encoding::Protobuf,
        ),
        ("autogen/0001.json", Signal::Traces, Encoding::Json),
        (
            "otel_openai_js/0001.json.gz",
            Signal::Traces,
            Encoding::Json,
        ),
        ("otel_openai_js/0005.json", Signal::Metrics, Encoding::Json),
    ] {
        assert_eq!(detect(&body(path)), Ok((signal, encoding)), "{path}");
    }
}

/// Every recorded body there is, against the manifest that was written when it was recorded.
#[test]
fn the_whole_corpus_tells_its_signals() {
    let corpus = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpus/otlp");
    if !corpus.is_dir() {
        return;
    }
    let mut manifests = Manifests::default();
    let mut told = 0;
    for path in files::find(&[corpus]).unwrap() {
        let Some(expected) = manifests.of(&path) else {
            continue;
        };
        let raw = Bytes::from(fs::read(&path).unwrap());
        let compression = Compression::sniff(&raw);
        let body = decompress(raw, compression, 64 << 20).unwrap();
        assert_eq!(detect(&body), Ok(expected), "{}", path.display());
        told += 1;
    }
    assert!(told > 100, "{told}");
}

#[test]
fn what_is_no_otlp_says_why() {
    for (body, reason) in [
        (&b"{\"framework\": \"x\"}"[..], "without resourceSpans"),
        (b"{\"resourceSpans\": [", "not JSON"),
        (b"", "empty"),
        (b"PAR1 and so on", "neither JSON nor protobuf"),
        // A whole request of nothing: protobuf of any message at all.
        (b"\x0a\x00", "neither JSON nor protobuf"),
    ] {
        let error = detect(&Bytes::copy_from_slice(body)).unwrap_err();
        assert!(error.contains(reason), "{error}");
    }
}

#[test]
fn a_manifest_tells_what_its_neighbours_are() {
    let mut manifests = Manifests::default();
    assert!(manifests.describes_others(&fixture("openai_v2/meta.json")));
    assert_eq!(
        manifests.of(&fixture("openai_v2/0011.pb")),
        Some((Signal::Logs, Encoding::Protobuf))
    );
    assert_eq!(
        manifests.of(&fixture("autogen/0001.json")),
        Some((Signal::Traces, Encoding::Json))
    );
    assert_eq!(manifests.of(&fixture("openai_v2/9999.pb")), None);

    let folder = tempfile::tempdir().unwrap();
    let other = folder.path().join("meta.json");
    fs::write(&other, "{\"requests\": 7}").unwrap();
    assert!(
        !manifests.describes_others(&other),
        "a file of that name need not be a manifest"
    );
}

#[test]
fn files_are_found_once_in_the_order_of_their_names() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    for path in ["b/2.pb", "b/10.json.gz", "a.PB", "c.txt", ".hidden/x.pb"] {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
    }
    #[cfg(unix)]
    std::os::unix::fs::symlink(root, root.join("b/circle")).unwrap();
    let found = files::find(&[root.to_owned(), root.join("a.PB")]).unwrap();
    let names: Vec<_> = found
        .iter()
        .map(|path| path.strip_prefix(root).unwrap().to_str().unwrap())
        .collect();
    assert_eq!(names, ["a.PB", "b/10.json.gz", "b/2.pb", "c.txt"]);
    assert_eq!(
        found.iter().filter(|path| files::may_be_body(path)).count(),
        3
    );

    let error = files::find(&[root.join("absent")]).unwrap_err().to_string();
    assert!(error.contains("absent"), "{error}");
}
