//! A real server in a process of its own, on free ports.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::cpu;

/// A running server; killed when dropped.
pub(crate) struct Server {
    child: Child,
    ports: Value,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    /// Starts it on a data directory, with the built-in rules or those of a file; returns when it answers.
    /// FLYBALL_TEST_BINARY names another binary than the one just built.
    pub(crate) fn start(dir: &Path, rules: Option<&Path>) -> Self {
        let other = std::env::var_os("FLYBALL_TEST_BINARY");
        let mut command =
            Command::new(other.unwrap_or_else(|| env!("CARGO_BIN_EXE_flyball").into()));
        command.arg("--data-dir").arg(dir).arg("serve");
        for port in [
            "--otlp-grpc",
            "--otlp-http",
            "--postgres",
            "--flight-sql",
            "--http",
        ] {
            command.args([port, "127.0.0.1:0"]);
        }
        if let Some(rules) = rules {
            command.env("FLYBALL_ALERTS_RULES", rules);
        }
        let child = command.stdout(Stdio::null()).spawn().unwrap();
        let mut server = Self {
            child,
            ports: Value::Null,
        };
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            if let Ok(text) = std::fs::read(dir.join("ports.json")) {
                server.ports = serde_json::from_slice(&text).unwrap();
                return server;
            }
            assert!(Instant::now() < deadline, "the server did not come up");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Where OTLP/gRPC is spoken, as a URL.
    pub(crate) fn grpc(&self) -> String {
        format!("http://{}", self.ports["otlp_grpc"].as_str().unwrap())
    }

    /// Where the API, control and `/metrics` are, as a URL.
    pub(crate) fn http(&self) -> String {
        format!("http://{}", self.ports["http"].as_str().unwrap())
    }

    /// Ends it in good order: what is buffered is written and committed. Its CPU seconds, all of them.
    pub(crate) fn stop(mut self) -> f64 {
        let pid = self.pid();
        let stopped = Command::new("kill").arg(pid.to_string()).status().unwrap();
        assert!(stopped.success());
        while !cpu::has_ended(pid) {
            std::thread::sleep(Duration::from_millis(10));
        }
        let took = cpu::of_process(pid);
        assert!(self.child.wait().unwrap().success());
        took
    }
}

/// The rows of a statement.
pub(crate) async fn query(http: &str, sql: &str) -> Vec<Value> {
    let asked = reqwest::Client::new().post(format!("{http}/api/v1/query"));
    let answer = asked.body(sql.to_owned()).send().await.unwrap();
    let text = answer.text().await.unwrap();
    serde_json::from_str(&text).unwrap_or_else(|_| panic!("{sql}: {text}"))
}

/// A whole number, which may be printed as text (64 bits).
pub(crate) fn whole(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.parse().ok())
}

/// How many rows a table has.
pub(crate) async fn count(http: &str, table: &str) -> usize {
    rows(http, &format!("SELECT count(*) AS n FROM {table}")).await
}

/// The `n` of a statement that answers with that alone.
pub(crate) async fn rows(http: &str, sql: &str) -> usize {
    let rows = query(http, sql).await;
    usize::try_from(whole(&rows[0]["n"]).unwrap()).unwrap()
}

/// Joins every span with every later one of its agent: as many cores as there are, until the time limit.
const HEAVY: &str = "SELECT a.agent_name, count(*) AS n, max(b.attributes) AS last FROM spans a \
     JOIN spans b ON a.agent_name = b.agent_name AND a.start_unix_nano < b.start_unix_nano GROUP BY 1";

/// Asks for more than there is time for, again and again.
pub(crate) async fn read(http: String) {
    let client = reqwest::Client::new();
    loop {
        let asked = client.post(format!("{http}/api/v1/query"));
        // Refused or cut off, it asks again.
        let _ = asked.body(HEAVY).send().await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
