//! PostgreSQL's own clients, from other languages, on a server with a key and TLS.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::harness::{Server, flyball, import, recording, root, row, run};
use crate::keys::key;
use crate::readers::python;

/// A certificate for `localhost`, beside its key, in files.
fn certificate(dir: &Path) -> [std::path::PathBuf; 2] {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let files = [dir.join("server.crt"), dir.join("server.key")];
    std::fs::write(&files[0], made.cert.pem()).unwrap();
    std::fs::write(&files[1], made.signing_key.serialize_pem()).unwrap();
    files
}

/// A server with imported calls, a key for reading, and TLS.
fn server(dir: &Path) -> (Server, [std::path::PathBuf; 2], (String, String)) {
    import(dir, &[recording("oi_langgraph")]);
    let files = certificate(dir);
    let key = key(dir, "grafana", "read", &[]);
    let mut command = flyball(dir);
    command
        .env("FLYBALL_TLS_CERTIFICATE", &files[0])
        .env("FLYBALL_TLS_KEY", &files[1]);
    (Server::start_as(command, dir, &[]), files, key)
}

#[test]
fn psycopg_proves_a_key_over_tls_and_finds_its_way() {
    let Some(python) = python() else { return };
    let dir = tempfile::tempdir().unwrap();
    let (server, [certificate, _], (id, secret)) = server(dir.path());
    let address = server.address("postgres");
    let port = address.rsplit_once(':').unwrap().1;
    let output = run(Command::new(python)
        .arg(root().join("tests/it/clients.py"))
        .args(["localhost", port, &id, &secret])
        .arg(&certificate));
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    let sums = "SELECT count(*) AS calls, sum(cost_usd) AS cost FROM model_calls";
    let ours = row(dir.path(), sums);
    assert_eq!(
        found,
        json!({
            "tls": true,
            "calls": ours["calls"].to_string().trim_matches('"').parse::<i64>().unwrap(),
            "cost": ours["cost"],
            "same": true,
            "types": ["datetime", "int", "Decimal", "str"],
            "insert": "25006",
            "timeout": "57014",
            "wrong": "28P01",
        })
    );
    server.stop();
}

#[test]
fn psql_checks_the_certificate_and_refuses_another() {
    if Command::new("psql").arg("--version").output().is_err() {
        eprintln!("no psql here: skipped");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (server, [certificate, _], (id, secret)) = server(dir.path());
    let address = server.address("postgres");
    let port = address.rsplit_once(':').unwrap().1;
    let other = tempfile::tempdir().unwrap();
    let [another, _] = self::certificate(other.path());
    let psql = |root: &Path| {
        let target = format!(
            "host=localhost port={port} user={id} dbname=default sslmode=verify-full sslrootcert={}",
            root.display()
        );
        Command::new("psql")
            .args(["-X", "-A", "-t", "-c", "SELECT count(*) > 0 FROM spans"])
            .arg(target)
            .env("PGPASSWORD", &secret)
            .output()
            .unwrap()
    };
    let seen = psql(&certificate);
    let errors = String::from_utf8_lossy(&seen.stderr);
    assert_eq!(
        String::from_utf8_lossy(&seen.stdout).trim(),
        "t",
        "{errors}"
    );
    let seen = psql(&another);
    assert!(!seen.status.success());
    assert!(String::from_utf8_lossy(&seen.stderr).contains("certificate"));
    server.stop();
}

#[test]
fn what_is_no_certificate_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let [certificate, key] = certificate(dir.path());
    let other = tempfile::tempdir().unwrap();
    let [another, _] = self::certificate(other.path());
    let missing = dir.path().join("nothing");
    for (certificate, key, told) in [
        (&missing, &key, "tls.certificate"),
        (&key, &key, "expected at least one CERTIFICATE"),
        (&certificate, &certificate, "tls.key"),
        (&another, &key, "its own private key"),
    ] {
        let output = flyball(dir.path())
            .arg("serve")
            .env("FLYBALL_TLS_CERTIFICATE", certificate)
            .env("FLYBALL_TLS_KEY", key)
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(
            !output.status.success() && said.contains(told),
            "{told}: {said}"
        );
    }
}
