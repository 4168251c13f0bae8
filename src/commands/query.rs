//! `flyball query`: SQL, asked of the running server or of the data directory itself.

use anyhow::{Context as _, Result};
use arrow::array::RecordBatch;
use arrow::ipc::reader::StreamReader;
use flyball_query::{Answer, format, http};
use flyball_store::Moment;
use serde_json::json;

use crate::cli::{self, Format};
use crate::config::Config;
use crate::core::{Core, WORKSPACE};
use crate::running::Server;
use crate::say;

/// Asks, and prints the rows.
pub(super) async fn run(config: &Config, options: &cli::Query) -> Result<()> {
    let moment = match &options.as_of {
        Some(text) => text.parse()?,
        None if options.committed => Moment::Committed,
        None => Moment::Latest,
    };
    let answer = ask_at(config, &options.sql, moment).await?;
    let format = match options.format {
        Format::Table => format::Format::Table,
        Format::Csv => format::Format::Csv,
        Format::Json => format::Format::Json,
    };
    let text = format::render(&answer.batches, format)?;
    if moment != Moment::Latest {
        eprintln!("-- versions {}", answer.versions);
    }
    say::text(format_args!("{text}"));
    Ok(())
}

/// The rows of one statement.
pub(super) async fn ask(config: &Config, sql: &str) -> Result<Vec<RecordBatch>> {
    Ok(ask_at(config, sql, Moment::Latest).await?.batches)
}

async fn ask_at(config: &Config, sql: &str, moment: Moment) -> Result<Answer> {
    if let Some(server) = Server::find(&config.store.data_dir).await {
        let url = server.url(&format!("/api/v1/query?format=arrow&read={moment}"));
        let (answer, versions) = server
            .send_for(http::VERSIONS.as_str(), |http| {
                http.post(url).json(&json!({ "sql": sql }))
            })
            .await?;
        let reader =
            StreamReader::try_new(&answer[..], None).context("the server's answer is not Arrow")?;
        return Ok(Answer {
            batches: reader.collect::<Result<_, _>>()?,
            versions: versions.unwrap_or_default(),
        });
    }
    let core = Core::open_to_read(config).await?;
    let session = core.engine.session(WORKSPACE).at(moment);
    let answer = session.answer(sql, usize::MAX).await;
    core.close().await?;
    Ok(answer?)
}
