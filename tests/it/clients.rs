//! PostgreSQL's own clients, from other languages, on a server with a key and TLS.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

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
fn sqlalchemy_reflects_every_table_and_asyncpg_binds_lists() {
    let Some(python) = python() else { return };
    let dir = tempfile::tempdir().unwrap();
    let (server, [certificate, _], (id, secret)) = server(dir.path());
    let address = server.address("postgres");
    let port = address.rsplit_once(':').unwrap().1;
    let output = run(Command::new(python)
        .arg(root().join("tests/it/reflect.py"))
        .args(["localhost", port, &id, &secret])
        .arg(&certificate));
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    let ours = row(dir.path(), "SELECT sum(cost_usd) AS cost FROM model_calls");
    assert_eq!(
        found,
        json!({
            "schemas": ["information_schema", "public"],
            "tables": ["action_events", "alerts", "audit_records", "charges", "charges_unrolled", "contents",
                       "executions_alone", "executions_shared", "logs", "metrics", "rollup_1m", "spans"],
            "view": true,
            "defined": true,
            "types": {"date": "DATE", "start_time": "TIMESTAMP", "duration_ns": "BIGINT", "agent_name": "TEXT",
                      "cost_usd": "NUMERIC", "escalated": "BOOLEAN"},
            "nothing": [[], [], [], [], [], [], [], []],
            "has": [true, false],
            "all": true,
            "cost": ours["cost"],
            "escape": true,
            "any": [true, false],
            "cursor": true,
            "drop": "25006",
        })
    );
    server.stop();
}

/// Where Debian's package has the driver.
const DRIVER: &str = "/usr/share/java/postgresql.jar";

#[test]
fn jdbc_finds_the_catalog_and_prepares_on_the_server() {
    let java = Command::new("java").arg("-version").output();
    if java.is_err() || !Path::new(DRIVER).exists() {
        eprintln!("no java or no {DRIVER} here: skipped");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (server, [certificate, _], (id, secret)) = server(dir.path());
    let address = server.address("postgres");
    let port = address.rsplit_once(':').unwrap().1;
    let output = run(Command::new("java")
        .args(["-cp", DRIVER])
        .arg(root().join("tests/it/Jdbc.java"))
        .args(["localhost", port, &id, &secret])
        .arg(&certificate));
    let sums =
        "SELECT count(*) AS calls, sum(cost_usd) AS cost FROM model_calls WHERE input_tokens > 0";
    let ours = row(dir.path(), sums);
    let word = |name: &str| ours[name].to_string().trim_matches('"').to_owned();
    let sum = format!("sum={} {}", word("calls"), word("cost"));
    let told = String::from_utf8(output.stdout).unwrap();
    assert_eq!(
        told.lines().collect::<Vec<_>>(),
        [
            "product=PostgreSQL",
            "tables=true",
            "start_time=timestamptz",
            "agent_name=text",
            "cost_usd=numeric",
            "none=0",
            "types=true",
            &sum,
            &sum,
            "fetched=true",
            "delete=25006",
        ]
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

#[tokio::test]
async fn agents_and_browsers_come_over_tls_too() {
    let dir = tempfile::tempdir().unwrap();
    let files = certificate(dir.path());
    let (_, secret) = key(dir.path(), "agents", "ingest", &[]);
    let mut command = flyball(dir.path());
    command
        .env("FLYBALL_TLS_CERTIFICATE", &files[0])
        .env("FLYBALL_TLS_KEY", &files[1]);
    let server = Server::start_as(command, dir.path(), &[]);
    let pem = std::fs::read(&files[0]).unwrap();
    let client = reqwest::Client::builder()
        .no_proxy()
        .add_root_certificate(reqwest::Certificate::from_pem(&pem).unwrap())
        .build()
        .unwrap();
    let port = |name| server.address(name).rsplit_once(':').unwrap().1.to_owned();
    for scheme in ["https", "http"] {
        let export = client
            .post(format!(
                "{scheme}://localhost:{}/v1/traces",
                port("otlp_http")
            ))
            .header("content-type", "application/json")
            .body(r#"{"resourceSpans":[]}"#);
        let bare = export.try_clone().unwrap().send().await.unwrap();
        assert_eq!(bare.status(), reqwest::StatusCode::UNAUTHORIZED, "{scheme}");
        let keyed = export.header("x-api-key", &secret).send().await.unwrap();
        assert_eq!(keyed.status(), reqwest::StatusCode::OK, "{scheme}");
        let health = format!("{scheme}://localhost:{}/healthz", port("http"));
        let health = client.get(health).send().await.unwrap();
        assert_eq!(health.status(), reqwest::StatusCode::OK, "{scheme}");
    }
    // Exporters over gRPC hear which protocol it is.
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        roots.add(certificate.unwrap()).unwrap();
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let socket = TcpStream::connect(server.address("otlp_grpc"))
        .await
        .unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let hidden = TlsConnector::from(Arc::new(config)).connect(name, socket);
    let hidden = hidden.await.unwrap();
    assert_eq!(hidden.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
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
