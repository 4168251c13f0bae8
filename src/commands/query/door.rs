//! Where statements go: to the server that runs on the data directory, or to an engine on the directory itself.

use std::io::Write;

use anyhow::{Context as _, Result};
use arrow::array::RecordBatch;
use arrow::ipc::reader::StreamReader;
use flyball_query::format::Format;
use flyball_query::http;
use flyball_store::Moment;
use serde_json::json;

use crate::config::Config;
use crate::core::{Core, WORKSPACE};
use crate::running::Server;

/// A way to ask.
pub(in crate::commands) enum Door {
    Server(Server),
    Own(Box<Core>),
}

impl Door {
    pub(in crate::commands) async fn open(config: &Config) -> Result<Self> {
        Ok(match Server::find(&config.store.data_dir).await {
            Some(server) => Self::Server(server),
            None => Self::Own(Box::new(Core::open_to_read(config).await?)),
        })
    }

    /// Gives the directory back, where it was taken.
    pub(in crate::commands) async fn close(self) -> Result<()> {
        match self {
            Self::Server(_) => Ok(()),
            Self::Own(core) => core.close().await,
        }
    }

    /// Writes the rows of a statement as they come, and says which versions they are of. Dropped, it ends the statement.
    pub(super) async fn answer(
        &self,
        sql: &str,
        moment: Moment,
        format: Format,
        out: &mut (dyn Write + Send),
    ) -> Result<String> {
        match self {
            Self::Own(core) => {
                let session = core.engine.session(WORKSPACE).at(moment);
                Ok(session.write(sql, format, out).await?)
            }
            Self::Server(server) => {
                let url = server.url(&format!("/api/v1/query?format={format}&read={moment}"));
                let asked = server.begin(|http| http.post(url).json(&json!({ "sql": sql })));
                let mut answer = asked.await?;
                let versions = answer.headers().get(http::VERSIONS);
                let versions = versions.and_then(|v| v.to_str().ok()).unwrap_or_default();
                let versions = versions.to_owned();
                while let Some(part) = answer.chunk().await.context(
                    "the answer broke off: past its first mebibyte, that is how the server tells of a limit or a failure",
                )? {
                    out.write_all(&part)?;
                }
                Ok(versions)
            }
        }
    }

    /// The rows of a statement, at least one batch.
    pub(in crate::commands) async fn rows(
        &self,
        sql: &str,
        moment: Moment,
    ) -> Result<Vec<RecordBatch>> {
        let mut bytes = Vec::new();
        self.answer(sql, moment, Format::Arrow, &mut bytes).await?;
        let reader = StreamReader::try_new(&bytes[..], None).context("the answer is not Arrow")?;
        let schema = reader.schema();
        let mut rows = reader.collect::<Result<Vec<_>, _>>()?;
        if rows.is_empty() {
            rows.push(RecordBatch::new_empty(schema));
        }
        Ok(rows)
    }
}
