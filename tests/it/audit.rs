//! The ledger, from the command line: what people did stands in a chain, and `audit verify` sees every byte.

use std::path::{Path, PathBuf};
use std::process::Output;

use crate::harness::{Server, flyball, prices, query, run};

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

/// What an auditor does with a few small files and no data directory; and what erasure leaves of a person.
#[test]
fn proofs_need_no_ledger_and_the_forgotten_are_not_named() {
    // No name that hex digits could spell by chance.
    let (dir, auditor) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let dir = dir.path();
    let file = |name: &str| auditor.path().join(name).display().to_string();
    let audit = |arguments: &[&str]| {
        let output = flyball(dir).arg("audit").args(arguments).output().unwrap();
        let text =
            String::from_utf8(output.stdout).unwrap() + &String::from_utf8_lossy(&output.stderr);
        (output.status.code().unwrap(), text)
    };
    let sound = |arguments: &[&str]| {
        let (code, text) = audit(arguments);
        assert_eq!(code, 0, "{arguments:?}: {text}");
        text
    };
    let server = Server::start(dir, &[]);
    let freeze = ["freeze", "--agent", "triage", "--reason", "zoe saw it"];
    run(flyball(dir).env("USER", "zoe").args(freeze));
    server.stop();
    sound(&["head", "--out", &file("head.json")]);
    let head: serde_json::Value =
        serde_json::from_slice(&std::fs::read(file("head.json")).unwrap()).unwrap();
    let key = head["public_key"].as_str().unwrap();
    // The book of prices, the order, the checkpoint.
    sound(&["prove", "2", "--out", &file("proof.json")]);
    let elsewhere = [
        "check",
        &file("proof.json"),
        "--key",
        key,
        "--head",
        &file("head.json"),
    ];
    let output = run(flyball(&auditor.path().join("none"))
        .arg("audit")
        .args(elsewhere));
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(
        said.contains("record 2 (control.decided") && !said.contains("nobody checked"),
        "{said}"
    );
    let text = std::fs::read_to_string(file("proof.json")).unwrap();
    assert!(!text.contains("zoe"), "{text}");
    std::fs::write(
        file("altered.json"),
        text.replace("agent:triage", "agent:writer"),
    )
    .unwrap();
    let (code, said) = audit(&["check", &file("altered.json")]);
    assert!(
        code == 1 && said.contains("the record was altered"),
        "{said}"
    );
    let (code, said) = audit(&["check", &file("proof.json"), "--key", &"ab".repeat(32)]);
    assert!(
        code == 1 && said.contains("the key is not the trusted one"),
        "{said}"
    );
    let (code, said) = audit(&["prove", "99"]);
    assert!(code == 1 && said.contains("record 99"), "{said}");

    let server = Server::start(dir, &[]);
    let who = "SELECT actor, json_text(record, 'reason') AS reason FROM audit WHERE seq = 2";
    assert_eq!(server.query(who)[0]["actor"], "cli:zoe");
    assert!(sound(&["forget", "cli:zoe"]).contains("erased"));
    assert!(sound(&["forget", "cli:zoe"]).contains("nobody"));
    let row = &server.query(who)[0];
    assert_eq!(
        (&row["actor"], &row["reason"]),
        (&"erased".into(), &"erased".into())
    );
    let rotated = sound(&["rotate-key"]);
    server.stop();
    // The old proof and head are as good as before; the new key is the one that the old one named.
    run(flyball(dir).arg("audit").args(elsewhere));
    sound(&["verify", "--public-key", key, "--head", &file("head.json")]);
    let verified = sound(&["verify"]);
    let new_key = verified
        .split("public key ")
        .nth(1)
        .unwrap()
        .split_whitespace()
        .next()
        .unwrap();
    assert!(rotated.contains(new_key) && new_key != key, "{rotated}");
    sound(&[
        "prove",
        "--since",
        &file("head.json"),
        "--out",
        &file("grown.json"),
    ]);
    let said = sound(&["check", &file("grown.json"), "--head", &file("head.json")]);
    assert!(said.contains("nothing was changed or taken out"), "{said}");
}

#[test]
fn another_price_book_is_on_the_ledger() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let book = prices().display().to_string();
    for more in [&[][..], &[], &["--prices", &book], &["--prices", &book]] {
        Server::start(dir, more).stop();
    }
    let rows = query(
        dir,
        "SELECT record FROM audit WHERE event = 'prices.changed' ORDER BY seq",
    );
    let records: Vec<serde_json::Value> = rows
        .iter()
        .map(|row| serde_json::from_str(row["record"].as_str().unwrap()).unwrap())
        .collect();
    assert_eq!(records.len(), 2, "{records:?}");
    assert_eq!(
        (&records[0]["before"], &records[0]["after"]["source"]),
        (&serde_json::Value::Null, &"builtin".into())
    );
    assert_eq!(records[1]["before"], records[0]["after"]);
    assert_eq!(records[1]["after"]["source"], "prices.litellm.json");
    assert_eq!(audit(dir, &[]).0, 0);
}
