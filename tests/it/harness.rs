//! Starting the binary, asking it, ending it.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// The binary under test, on a data directory. FLYBALL_TEST_BINARY names another than the one just built.
pub(crate) fn flyball(data_dir: &Path) -> Command {
    let other = std::env::var_os("FLYBALL_TEST_BINARY");
    let mut command = Command::new(other.unwrap_or_else(|| env!("CARGO_BIN_EXE_flyball").into()));
    command
        .arg("--data-dir")
        .arg(data_dir)
        .current_dir(root())
        .env_remove("FLYBALL_DATA_DIR");
    command
}

/// The workspace's root.
pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Recorded requests of one framework, as they came over the wire.
pub(crate) fn recording(framework: &str) -> PathBuf {
    root().join("ingest/tests/fixtures/truth").join(framework)
}

/// The corpus' price table.
pub(crate) fn prices() -> PathBuf {
    root().join("ingest/tests/fixtures/truth/prices.litellm.json")
}

/// Runs to the end, and fails with what it printed when it failed.
pub(crate) fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}\n{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// Imports folders with the corpus' prices.
pub(crate) fn import(data_dir: &Path, folders: &[PathBuf]) -> String {
    let output = run(flyball(data_dir)
        .arg("import")
        .args(folders)
        .arg("--prices")
        .arg(prices()));
    String::from_utf8(output.stdout).unwrap()
}

/// The rows of a statement.
pub(crate) fn query(data_dir: &Path, sql: &str) -> Vec<Value> {
    let output = run(flyball(data_dir).args(["query", sql, "--format", "json"]));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The first row of a statement.
pub(crate) fn row(data_dir: &Path, sql: &str) -> Value {
    query(data_dir, sql).into_iter().next().expect("one row")
}

/// A number that may be printed as a number or (64-bit, decimal) as a string.
pub(crate) fn number(value: &Value) -> f64 {
    value
        .as_f64()
        .or_else(|| value.as_str()?.parse().ok())
        .unwrap_or_else(|| panic!("{value} is not a number"))
}

/// A running server on free ports; killed when dropped.
pub(crate) struct Server {
    child: Child,
    /// Its ports file.
    pub ports: Value,
    data_dir: PathBuf,
}

impl Server {
    /// Starts `flyball serve` and waits until it answers.
    pub(crate) fn start(data_dir: &Path, more: &[&str]) -> Self {
        Self::start_as(flyball(data_dir), data_dir, more)
    }

    /// The same with a command of the caller's making, which may carry settings.
    pub(crate) fn start_as(command: Command, data_dir: &Path, more: &[&str]) -> Self {
        Self::start_on(command, data_dir, "127.0.0.1:0", more)
    }

    /// The same on another address.
    pub(crate) fn start_on(
        mut command: Command,
        data_dir: &Path,
        address: &str,
        more: &[&str],
    ) -> Self {
        command.arg("serve");
        for listen in [
            "--otlp-grpc",
            "--otlp-http",
            "--postgres",
            "--flight-sql",
            "--http",
        ] {
            command.args([listen, address]);
        }
        let _ = std::fs::remove_file(data_dir.join("ports.json"));
        let mut child = command
            .args(more)
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("serve starts");
        let stdout = child.stdout.take().unwrap();
        std::thread::spawn(move || BufReader::new(stdout).lines().for_each(drop));
        let deadline = Instant::now() + Duration::from_secs(60);
        let ports = loop {
            let ports = std::fs::read(data_dir.join("ports.json")).ok();
            if let Some(ports) = ports.and_then(|bytes| serde_json::from_slice(&bytes).ok()) {
                break ports;
            }
            assert!(child.try_wait().unwrap().is_none(), "serve ended early");
            assert!(Instant::now() < deadline, "serve did not come up");
            std::thread::sleep(Duration::from_millis(20));
        };
        Self {
            child,
            ports,
            data_dir: data_dir.to_path_buf(),
        }
    }

    /// host:port of one of its ports.
    pub(crate) fn address(&self, port: &str) -> String {
        self.ports[port].as_str().unwrap().to_owned()
    }

    /// `kill -9`.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to end, and waits.
    pub(crate) fn stop(mut self) {
        let id = self.child.id().to_string();
        run(Command::new("kill").args(["-TERM", &id]));
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                assert!(status.success(), "serve ended with {status}");
                return;
            }
            assert!(Instant::now() < deadline, "serve does not end");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The rows of a statement, asked of the running server.
    pub(crate) fn query(&self, sql: &str) -> Vec<Value> {
        query(&self.data_dir, sql)
    }

    /// A PostgreSQL client on its port.
    pub(crate) async fn postgres(&self) -> tokio_postgres::Client {
        let address = self.address("postgres");
        let (host, port) = address.rsplit_once(':').unwrap();
        let config = format!("host={host} port={port} user=flyball dbname=flyball");
        let (client, connection) = tokio_postgres::connect(&config, tokio_postgres::NoTls)
            .await
            .unwrap();
        tokio::spawn(connection);
        client
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
