//! Metrics of the catalogue in `/metrics`, read by Prometheus itself.

use std::io::Write as _;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use serde_json::Value;

use crate::harness::{Server, flyball};
use crate::serve::one_call_in;

/// A server that shows two metrics, of everything kept, asked for every second.
fn start(dir: &std::path::Path) -> Server {
    let mut command = flyball(dir);
    command
        .env(
            "FLYBALL_METRICS_CATALOGUE",
            "cost_per_decision, latency_p95",
        )
        .env("FLYBALL_METRICS_CATALOGUE_ROWS", "all")
        .env("FLYBALL_METRICS_CATALOGUE_EVERY_S", "1");
    Server::start_as(command, dir, &[])
}

async fn scrape(server: &Server) -> String {
    let url = format!("http://{}/metrics", server.address("http"));
    reqwest::get(url).await.unwrap().text().await.unwrap()
}

/// One call of 1,000 tokens in and 100 out: 1,000 x $0.15 + 100 x $0.60 a million tokens.
const COST: &str = "flyball_cost_per_decision_cost_usd{agent_name=\"triage\"} 0.000210000000\n";

const LATENCIES: &str = "flyball_latency_p95_n{agent_name=\"triage\",operation=\"chat\"} 1\n";

async fn with_one_call(dir: &std::path::Path) -> (Server, String) {
    let server = start(dir);
    let mut grpc = TraceServiceClient::connect(format!("http://{}", server.address("otlp_grpc")))
        .await
        .unwrap();
    grpc.export(one_call_in(&[9; 16])).await.unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let text = scrape(&server).await;
        // Metrics are asked one after the other.
        if text.contains(COST) && text.contains(LATENCIES) {
            return (server, text);
        }
        assert!(Instant::now() < deadline, "no gauge of the call:\n{text}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// The value of a series, by its whole name.
fn value(text: &str, series: &str) -> f64 {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {series} in\n{text}"))
        .parse()
        .unwrap()
}

/// Whether a program of Prometheus' Debian package is here.
fn there_is(program: &str) -> bool {
    let there = Command::new(program).arg("--version").output().is_ok();
    if !there {
        eprintln!("no {program} here: skipped");
    }
    there
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scrape_shows_what_was_last_known_and_how_old_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let (server, text) = with_one_call(dir.path()).await;
    for metric in ["cost_per_decision", "latency_p95"] {
        let of = |name: &str| {
            value(
                &text,
                &format!("flyball_catalogue_{name}{{metric=\"{metric}\"}}"),
            )
        };
        assert_eq!((of("failures_total"), of("dropped_rows")), (0.0, 0.0));
        assert!(of("age_seconds") < 30.0 && of("query_seconds") < 30.0);
    }
    if there_is("promtool") {
        let mut check = Command::new("promtool")
            .args(["check", "metrics"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        check
            .stdin
            .take()
            .unwrap()
            .write_all(text.as_bytes())
            .unwrap();
        let said = check.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&said.stdout).into_owned()
            + &String::from_utf8_lossy(&said.stderr);
        // Columns are called what they are called in SQL, units and all; and the minutes of the rollup are no unit, but what
        // is counted. Nothing else is found fault with.
        let expected = |line: &&str| {
            line.contains("should not contain abbreviated units")
                || line.starts_with("flyball_rollup_") && line.contains("instead of \"minutes\"")
        };
        let faults: Vec<&str> = said.lines().filter(|line| !expected(line)).collect();
        assert_eq!(faults, Vec::<&str>::new());
    }
    server.stop();
}

#[test]
fn a_name_that_is_no_metric_ends_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let output = flyball(dir.path())
        .env("FLYBALL_METRICS_CATALOGUE", "cost_per_decision,model_calls")
        .args([
            "serve",
            "--postgres",
            "127.0.0.1:0",
            "--http",
            "127.0.0.1:0",
        ])
        .args(["--otlp-grpc", "127.0.0.1:0", "--otlp-http", "127.0.0.1:0"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(
        said.contains("metrics.catalogue: \"model_calls\" is no metric")
            && said.contains("cost_per_decision, "),
        "{said}"
    );
}

/// Ended when dropped.
struct Ending(Child);

impl Drop for Ending {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A free port. Somebody else may take it before Prometheus does; then the test fails, and says so.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_itself_reads_it_as_it_stands() {
    if !there_is("prometheus") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (server, _) = with_one_call(&dir.path().join("flyball")).await;
    let config = dir.path().join("prometheus.yml");
    let scraped = format!(
        "global:\n  scrape_interval: 1s\nscrape_configs:\n  - job_name: flyball\n    static_configs:\n      - targets: ['{}']\n",
        server.address("http")
    );
    std::fs::write(&config, scraped).unwrap();
    let port = free_port();
    let prometheus = Command::new("prometheus")
        .arg(format!("--config.file={}", config.display()))
        .arg(format!(
            "--storage.tsdb.path={}",
            dir.path().join("tsdb").display()
        ))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let _prometheus = Ending(prometheus);
    let ask = async |query: &str| -> Option<Value> {
        let url = format!("http://127.0.0.1:{port}/api/v1/query");
        let answer = reqwest::Client::new()
            .get(url)
            .query(&[("query", query)])
            .send()
            .await;
        let answer: Value = answer.ok()?.json().await.ok()?;
        answer["data"]["result"].as_array()?.first().cloned()
    };
    let deadline = Instant::now() + Duration::from_secs(60);
    let found = loop {
        if let Some(found) = ask("flyball_cost_per_decision_cost_usd").await {
            break found;
        }
        assert!(
            Instant::now() < deadline,
            "Prometheus on port {port} has scraped nothing"
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    assert_eq!(found["metric"]["agent_name"], "triage");
    assert_eq!(found["value"][1], "0.00021");
    // The whole page is taken: no sample was refused.
    assert_eq!(ask("up").await.unwrap()["value"][1], "1");
    let scraped = ask("scrape_samples_scraped").await.unwrap();
    let kept = ask("scrape_samples_post_metric_relabeling").await.unwrap();
    assert_eq!(scraped["value"][1], kept["value"][1]);
    server.stop();
}
