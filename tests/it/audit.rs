//! The ledger, from the command line: what people did stands in a chain, and `audit verify` sees every byte.

use std::path::{Path, PathBuf};
use std::process::Output;

use crate::harness::{Server, flyball, run};

fn audit(dir: &Path, more: &[&str]) -> (i32, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = flyball(dir)
        .args(["audit", "verify"])
        .args(more)
        .output()
        .unwrap();
    let text = String::from_utf8(stdout).unwrap() + &String::from_utf8_lossy(&stderr);
    (status.code().unwrap(), text)
}

fn order(dir: &Path, what: &str, agent: &str) {
    run(flyball(dir).args([what, "--agent", agent, "--reason", "a test of the ledger"]));
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let days = std::fs::read_dir(dir.join("tables/default/audit")).unwrap();
    let days = days.map(|day| day.unwrap().path());
    let days = days.filter(|day| day.to_str().unwrap().contains("/date="));
    days.flat_map(|day| {
        std::fs::read_dir(day)
            .unwrap()
            .map(|file| file.unwrap().path())
    })
    .collect()
}

#[test]
fn what_people_did_is_on_the_ledger_and_no_byte_of_it_changes_unseen() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    for life in 1..=2 {
        let server = Server::start(dir, &[]);
        order(dir, "freeze", "triage");
        order(dir, "release", "triage");
        order(dir, "freeze", "writer");
        if life == 2 {
            // Told, and soon kept, though not in files yet.
            let told = std::time::Instant::now();
            loop {
                let (code, text) = audit(dir, &[]);
                assert_eq!(code, 0, "{text}");
                if text.contains("more records are not yet in files") {
                    break;
                }
                assert!(told.elapsed().as_secs() < 20, "{text}");
            }
        }
        server.stop();
    }
    let (code, sound) = audit(dir, &[]);
    assert_eq!(code, 0, "{sound}");
    assert!(sound.contains("the ledger is as it was written"), "{sound}");
    assert!(!sound.contains("not yet in files"), "{sound}");
    let key = sound
        .split("public key ")
        .nth(1)
        .unwrap()
        .split_whitespace()
        .next()
        .unwrap();
    assert_eq!(audit(dir, &["--public-key", key]).0, 0);
    let (code, text) = audit(dir, &["--public-key", &"ab".repeat(32)]);
    assert!(code == 1 && text.contains(key), "{text}");
    assert_eq!(audit(dir, &["--public-key", "mine"]).0, 1);

    let files = files(dir);
    assert!(files.len() >= 2, "one of each life");
    for path in files {
        let sound = std::fs::read(&path).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap();
        let held: Vec<i64> = name
            .split('-')
            .skip(1)
            .take(2)
            .map(|n| n.parse().unwrap())
            .collect();
        let held = match held[..] {
            [first, last] if first == last => format!("(record {first})"),
            _ => format!("(records {} to {})", held[0], held[1]),
        };
        // Every 97th byte is tried in the store's own tests; here a few through the binary.
        for at in (0..sound.len()).step_by(997).chain([sound.len() - 1]) {
            let mut bytes = sound.clone();
            bytes[at] ^= 1;
            std::fs::write(&path, &bytes).unwrap();
            let (code, text) = audit(dir, &[]);
            assert_eq!(code, 1, "byte {at}: {text}");
            assert!(
                text.contains(name) && text.contains(&held),
                "byte {at}: {text}"
            );
        }
        std::fs::write(&path, &sound).unwrap();
    }
    assert_eq!(audit(dir, &[]).0, 0);
}
