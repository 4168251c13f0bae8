//! `flyball query`: SQL, asked of the running server or of the data directory itself.

use std::io::Write as _;

use anyhow::{Context as _, Result};
use arrow::array::RecordBatch;
use arrow::ipc::reader::StreamReader;
use flyball_query::format;
use serde_json::json;

use crate::cli::Format;
use crate::config::Config;
use crate::core::{Core, WORKSPACE};
use crate::running::Server;

/// Asks, and prints the rows.
pub(super) async fn run(config: &Config, sql: &str, format: Format) -> Result<()> {
    let batches = ask(config, sql).await?;
    let format = match format {
        Format::Table => format::Format::Table,
        Format::Csv => format::Format::Csv,
        Format::Json => format::Format::Json,
    };
    let text = format::render(&batches, format)?;
    let mut out = std::io::stdout().lock();
    // A closed pipe (`| head`) is no error.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    Ok(())
}

/// The rows of one statement.
pub(super) async fn ask(config: &Config, sql: &str) -> Result<Vec<RecordBatch>> {
    if let Some(server) = Server::find(&config.store.data_dir).await {
        let url = server.url("/api/v1/query?format=arrow");
        let answer = server
            .send(|http| http.post(url).json(&json!({ "sql": sql })))
            .await?;
        let reader =
            StreamReader::try_new(&answer[..], None).context("the server's answer is not Arrow")?;
        return Ok(reader.collect::<Result<_, _>>()?);
    }
    let core = Core::open_to_read(config).await?;
    let rows = core.engine.query(WORKSPACE, sql).await;
    core.close().await?;
    Ok(rows?)
}
