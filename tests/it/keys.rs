//! API keys, through the real binary and its real ports.

use std::path::Path;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use prost::Message as _;
use reqwest::{Client, StatusCode};
use serde_json::Value;

use crate::harness::{Server, flyball, query, run};
use crate::serve::one_call_in;

/// Makes a key: its id and its secret.
pub(crate) fn key(dir: &Path, name: &str, role: &str, more: &[&str]) -> (String, String) {
    let output = run(flyball(dir)
        .args([
            "keys", "add", "--format", "json", "--name", name, "--role", role,
        ])
        .args(more));
    let made: Value = serde_json::from_slice(&output.stdout).unwrap();
    let text = |member: &str| made[member].as_str().unwrap().to_owned();
    (text("id"), text("secret"))
}

/// One call in that trace, its spans of these tenants; NULL where there is none.
fn call(trace: u8, tenants: [Option<&str>; 2]) -> ExportTraceServiceRequest {
    let mut request = one_call_in(&[trace; 16]);
    let spans = request.resource_spans[0].scope_spans[0].spans.iter_mut();
    for (span, tenant) in spans.zip(tenants) {
        let value = tenant.map(|name| any_value::Value::StringValue(name.to_owned()));
        span.attributes.extend(value.map(|value| KeyValue {
            key: "tenant.id".to_owned(),
            value: Some(AnyValue { value: Some(value) }),
            ..KeyValue::default()
        }));
    }
    request
}

async fn send(
    server: &Server,
    secret: Option<&str>,
    request: &ExportTraceServiceRequest,
) -> StatusCode {
    let mut post = Client::new()
        .post(format!("http://{}/v1/traces", server.address("otlp_http")))
        .header("content-type", "application/x-protobuf")
        .body(request.encode_to_vec());
    if let Some(secret) = secret {
        post = post.bearer_auth(secret);
    }
    post.send().await.unwrap().status()
}

async fn ask(server: &Server, secret: Option<&str>, method: &str, path: &str) -> StatusCode {
    let url = format!("http://{}{path}", server.address("http"));
    let mut request = Client::new().request(method.parse().unwrap(), url);
    if path == "/api/v1/query" {
        request = request.body("SELECT 1");
    }
    if let Some(secret) = secret {
        request = request.header("x-api-key", secret);
    }
    request.send().await.unwrap().status()
}

fn tenants(dir: &Path) -> Vec<(String, Option<String>)> {
    let rows = query(
        dir,
        "SELECT trace_id, span_id, tenant FROM spans ORDER BY 1, 2",
    );
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let row = |row: &Value| {
        let span = format!(
            "{}/{}",
            &text(&row["trace_id"]).unwrap()[..2],
            &text(&row["span_id"]).unwrap()[..2]
        );
        (span, text(&row["tenant"]))
    };
    rows.iter().map(row).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn tenants_are_the_keys_and_a_replay_after_kill_nine_gives_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let (id, acme) = key(dir, "acme", "ingest", &["--tenant", "acme"]);
    let server = Server::start(dir, &[]);
    let good = call(1, [None, Some("acme")]);
    assert_eq!(send(&server, Some(&acme), &good).await, 200);
    // One of the two is refused; the other is kept.
    let spoofed = call(2, [Some("umbra"), None]);
    assert_eq!(send(&server, Some(&acme), &spoofed).await, 200);
    assert_eq!(send(&server, None, &call(3, [None, None])).await, 401);
    let kept = tenants(dir);
    let acme_s = |span: &str| (span.to_owned(), Some("acme".to_owned()));
    assert_eq!(kept, [acme_s("01/01"), acme_s("01/02"), acme_s("02/01")]);
    server.kill();
    // Revoked without a server: the replay still knows whose the requests are.
    run(flyball(dir).args(["keys", "revoke", &id]));
    assert_eq!(tenants(dir), kept);
    let server = Server::start(dir, &[]);
    assert_eq!(tenants(dir), kept);
    assert_eq!(
        send(&server, Some(&acme), &call(4, [None, None])).await,
        401
    );
    server.stop();
    assert_eq!(tenants(dir), kept);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_made_and_revoked_while_it_runs_hold_at_once_and_stand_on_the_ledger() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let server = Server::start(dir, &[]);
    assert_eq!(send(&server, None, &call(1, [None, None])).await, 200);
    // Not by whoever reaches the port.
    let url = format!("http://{}/api/v1/keys", server.address("http"));
    let order = serde_json::json!({
        "key": { "name": "x", "role": "admin", "workspace": "default", "lasts_s": null, "requests_per_s": null, "bytes_per_s": null },
        "actor": "mallory",
    });
    let refused = Client::new().post(&url).json(&order).send().await.unwrap();
    assert_eq!(refused.status(), 403);

    let (id, agents) = key(dir, "agents", "ingest", &["--requests-per-s", "1000"]);
    let (_, admin) = key(dir, "boss", "admin", &["--expires", "never"]);
    assert_eq!(send(&server, None, &call(2, [None, None])).await, 401);
    assert_eq!(
        send(&server, Some(&agents), &call(2, [None, None])).await,
        200
    );
    // An admin's key makes keys by itself.
    let made = Client::new()
        .post(&url)
        .bearer_auth(&admin)
        .json(&order)
        .send()
        .await
        .unwrap();
    assert_eq!(made.status(), 200);
    assert_eq!(made.headers()["cache-control"], "no-store");
    let made: Value = made.json().await.unwrap();
    assert!(made["secret"].as_str().unwrap().starts_with("fbk_"));

    run(flyball(dir).args(["keys", "revoke", &id]));
    assert_eq!(
        send(&server, Some(&agents), &call(3, [None, None])).await,
        401
    );
    let list = run(flyball(dir).args(["keys", "list"]));
    let list = String::from_utf8(list.stdout).unwrap();
    assert!(
        list.contains(&id) && list.contains("revoked") && list.contains("boss"),
        "{list}"
    );
    for secret in [&agents, &admin] {
        assert!(!list.contains(&secret[4..]));
    }

    let user = std::env::var("USER").unwrap_or_else(|_| "unknown".to_owned());
    let told = query(
        dir,
        "SELECT event, actor, subject, record FROM audit WHERE event LIKE 'key.%' ORDER BY seq",
    );
    let told: Vec<_> = told
        .iter()
        .map(|row| {
            (
                row["event"].as_str().unwrap(),
                row["actor"].as_str().unwrap(),
            )
        })
        .collect();
    let cli = format!("cli:{user}");
    assert_eq!(
        told,
        [
            ("key.created", &*cli),
            ("key.created", &*cli),
            ("key.created", "key:boss"),
            ("key.revoked", &*cli),
        ]
    );
    let metrics = Client::new()
        .get(format!("http://{}/metrics", server.address("http")))
        .bearer_auth(&admin)
        .send()
        .await
        .unwrap();
    let metrics = metrics.text().await.unwrap();
    for line in [
        "flyball_key_requests_total{key=\"\",outcome=\"no_key\"} 1\n",
        "flyball_key_requests_total{key=\"agents\",outcome=\"admitted\"} 1\n",
        "flyball_key_requests_total{key=\"agents\",outcome=\"revoked\"} 1\n",
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
    server.stop();
    assert!(!dir.join("run.token").exists());
}

#[cfg(unix)]
#[test]
fn secrets_are_in_no_file_and_what_opens_the_server_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let server = Server::start(dir, &[]);
    let (_, secret) = key(dir, "a", "admin", &[]);
    for name in ["keys.json", "run.token"] {
        let mode = std::fs::metadata(dir.join(name))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    server.stop();
    let mut folders = vec![dir.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let bytes = std::fs::read(&path).unwrap();
            let found = bytes
                .windows(64)
                .any(|part| part == &secret.as_bytes()[4..]);
            assert!(!found, "{}", path.display());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_role_gets_its_own_routes_and_health_asks_for_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let server = Server::start(dir, &[]);
    let roles = ["ingest", "read", "operate", "admin"].map(|role| key(dir, role, role, &[]).1);
    // Whether ingest, read, operate and admin get through; what they get then is the route's own matter.
    let table = [
        ("POST", "/api/v1/query", [false, true, true, true]),
        ("GET", "/api/v1/fleet", [false, true, true, true]),
        ("GET", "/metrics", [false, true, true, true]),
        ("GET", "/api/v1/alerts/status", [false, true, true, true]),
        ("GET", "/api/v1/storage", [false, true, true, true]),
        ("GET", "/api/v1/control", [true, true, true, true]),
        ("GET", "/api/v1/control/watch", [true, true, true, true]),
        ("POST", "/api/v1/control/obeyed", [true, false, false, true]),
        ("POST", "/api/v1/control/orders", [false, false, true, true]),
        ("POST", "/api/v1/import", [true, false, false, true]),
        ("POST", "/api/v1/erase", [false, false, false, true]),
        ("POST", "/api/v1/backup", [false, false, false, true]),
        ("GET", "/api/v1/backup", [false, false, false, true]),
        ("GET", "/api/v1/keys", [false, false, false, true]),
        ("POST", "/api/v1/keys", [false, false, false, true]),
        ("POST", "/api/v1/keys/revoke", [false, false, false, true]),
        ("POST", "/api/v1/ledger/forget", [false, false, false, true]),
        (
            "POST",
            "/api/v1/storage/compact",
            [false, false, false, true],
        ),
        // In no table, so nobody's.
        ("GET", "/api/v1/no-such-route", [false; 4]),
        ("DELETE", "/api/v1/keys", [false; 4]),
    ];
    for (method, path, may) in table {
        assert_eq!(
            ask(&server, None, method, path).await,
            401,
            "{method} {path}"
        );
        for (secret, may) in roles.iter().zip(may) {
            let status = ask(&server, Some(secret), method, path).await;
            let refused = status == 401 || status == 403;
            assert_eq!(refused, !may, "{method} {path}: {status}");
            // Nothing of the table points where nothing is.
            let nothing = status == 405 || (status == 404 && path != "/api/v1/backup");
            assert!(!nothing, "{method} {path}: {status}");
        }
    }
    for open in [
        "/healthz",
        "/readyz",
        "/",
        "/console/console.js",
        "/console/keys.js",
    ] {
        assert_eq!(ask(&server, None, "GET", open).await, 200, "{open}");
    }
    // Orders are given in the key's name, whoever they say gives them.
    let order = r#"{"action":"freeze","agent":"triage","reason":"r","actor":"somebody else"}"#;
    let answer = Client::new()
        .post(format!(
            "http://{}/api/v1/control/orders",
            server.address("http")
        ))
        .bearer_auth(&roles[2])
        .body(order)
        .send()
        .await
        .unwrap();
    let decision: Value = answer.json().await.unwrap();
    assert_eq!(decision["actor"], "key:operate");
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn other_machines_are_served_once_there_is_a_key() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let refused = |more: &[&str]| {
        let output = flyball(dir).arg("serve").args(more).output().unwrap();
        assert!(!output.status.success(), "{more:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    for (flag, setting) in [
        ("--otlp-grpc", "listen.otlp_grpc"),
        ("--otlp-http", "listen.otlp_http"),
        ("--postgres", "listen.postgres"),
        ("--http", "listen.http"),
    ] {
        let said = refused(&[flag, "0.0.0.0:0"]);
        assert!(
            said.contains(setting) && said.contains("flyball keys add"),
            "{said}"
        );
    }
    let (_, secret) = key(dir, "agents", "ingest", &[]);
    let server = Server::start_on(flyball(dir), dir, "0.0.0.0:0", &[]);
    assert!(server.address("otlp_http").starts_with("0.0.0.0:"));
    assert_eq!(
        send(&server, Some(&secret), &call(1, [None, None])).await,
        200
    );
    assert_eq!(send(&server, None, &call(1, [None, None])).await, 401);
    // Commands on this machine find it as before.
    assert_eq!(server.query("SELECT count(*) AS n FROM spans").len(), 1);
    server.stop();
}

#[test]
fn an_order_for_a_key_is_refused_in_words() {
    let dir = tempfile::tempdir().unwrap();
    let refused = |more: &[&str]| {
        let output = flyball(dir.path())
            .args(["keys"])
            .args(more)
            .output()
            .unwrap();
        assert!(!output.status.success(), "{more:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    let add =
        |more: &[&str]| refused(&[&["add", "--name", "a", "--role", "ingest"], more].concat());
    let said = add(&["--workspace", "other"]);
    assert!(
        said.contains("\"other\"") && said.contains("\"default\""),
        "{said}"
    );
    let said = add(&["--expires", "soon"]);
    assert!(said.contains("\"soon\"") && said.contains("90d"), "{said}");
    let said = add(&["--requests-per-s", "0"]);
    assert!(said.contains("requests_per_s \"0\""), "{said}");
    let said = refused(&["add", "--name", "a", "--role", "root"]);
    assert!(
        said.contains("\"root\"") && said.contains("ingest, read, operate or admin"),
        "{said}"
    );
    let said = refused(&["revoke", "key-0"]);
    assert!(
        said.contains("\"key-0\"") && said.contains("keys list"),
        "{said}"
    );
}

/// A request of which the last byte is held back, and what is answered once it has come.
struct Slow {
    line: std::net::TcpStream,
    last: u8,
}

impl Slow {
    fn begin(server: &Server, secret: Option<&str>, path: &str, body: &str) -> Self {
        use std::io::Write as _;
        let mut line = std::net::TcpStream::connect(server.address("http")).unwrap();
        let host = server.address("http");
        let key = secret.map_or(String::new(), |secret| format!("x-api-key: {secret}\r\n"));
        let (body, last) = body.split_at(body.len() - 1);
        write!(
            line,
            "POST {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncontent-type: application/json\r\n{key}content-length: {}\r\n\r\n{body}",
            body.len() + 1
        )
        .unwrap();
        Self {
            line,
            last: last.as_bytes()[0],
        }
    }

    /// The status line.
    fn end(mut self) -> String {
        use std::io::{Read as _, Write as _};
        self.line.write_all(&[self.last]).unwrap();
        let mut answer = String::new();
        self.line.read_to_string(&mut answer).unwrap();
        answer.lines().next().unwrap_or_default().to_owned()
    }
}

#[test]
fn a_body_that_takes_its_time_does_not_outlive_its_key() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let server = Server::start(dir, &[]);
    let sql = r#"{"sql": "SELECT 1"}"#;
    let early = Slow::begin(&server, None, "/api/v1/query", sql);
    let pause = std::time::Duration::from_millis(200);
    std::thread::sleep(pause);
    let (boss, admin) = key(dir, "boss", "admin", &["--expires", "never"]);
    key(dir, "other", "admin", &[]);
    assert_eq!(early.end(), "HTTP/1.1 401 Unauthorized");
    let order = r#"{"key": {"name": "heir", "role": "admin", "workspace": "default", "lasts_s": null, "requests_per_s": null, "bytes_per_s": null}, "actor": "mallory"}"#;
    let slow = Slow::begin(&server, Some(&admin), "/api/v1/keys", order);
    let quick = Slow::begin(&server, Some(&admin), "/api/v1/query", sql);
    assert_eq!(quick.end(), "HTTP/1.1 200 OK");
    std::thread::sleep(pause);
    run(flyball(dir).args(["keys", "revoke", &boss]));
    assert_eq!(slow.end(), "HTTP/1.1 401 Unauthorized");
    let listed = run(flyball(dir).args(["keys", "list"]));
    assert!(!String::from_utf8_lossy(&listed.stdout).contains("heir"));
    server.stop();
}
