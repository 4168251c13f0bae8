//! `flyball query`: SQL, asked of the running server or of the data directory itself; one statement, those of a file
//! on standard input, or one after the other at a prompt.

pub(super) mod door;
mod shell;
mod split;

use std::fs::File;
use std::io::{BufWriter, IsTerminal as _, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use arrow::array::{AsArray as _, RecordBatch};
use flyball_query::format::Format;
use flyball_store::Moment;

use crate::cli::{self, Explain};
use crate::config::Config;
use crate::say;
use door::Door;
use shell::Shell;

/// Asks, and prints the rows.
pub(super) async fn run(config: &Config, options: &cli::Query) -> Result<()> {
    let moment = match &options.as_of {
        Some(text) => text.parse()?,
        None if options.committed => Moment::Committed,
        None => Moment::Latest,
    };
    let format = match (options.format, &options.output) {
        (Some(format), _) => format,
        (None, Some(file)) => by_name(file)?,
        (None, None) => Format::Table,
    };
    if options.output.is_none() && format.is_binary() && std::io::stdout().is_terminal() {
        bail!("{format} is not for terminals: add --output FILE, or pipe it on");
    }
    let door = Door::open(config).await?;
    let done = match &options.sql {
        None => Shell::new(&door, format, moment).run().await,
        Some(sql) => one(&door, sql, moment, format, options).await,
    };
    door.close().await?;
    match done {
        Err(error) if nobody_reads(&error) => Ok(()),
        done => done,
    }
}

/// The rows of one statement.
pub(super) async fn ask(config: &Config, sql: &str) -> Result<Vec<RecordBatch>> {
    let door = Door::open(config).await?;
    let rows = door.rows(sql, Moment::Latest).await;
    door.close().await?;
    rows
}

/// One statement from the command line.
async fn one(
    door: &Door,
    sql: &str,
    moment: Moment,
    format: Format,
    options: &cli::Query,
) -> Result<()> {
    let sql = match options.explain {
        None => sql.to_owned(),
        Some(Explain::Plan) => format!("EXPLAIN {sql}"),
        Some(Explain::Analyze) => format!("EXPLAIN ANALYZE {sql}"),
    };
    if options.explain.is_some() && format == Format::Table && options.output.is_none() {
        return print_plans(&door.rows(&sql, moment).await?);
    }
    let versions = match &options.output {
        None => {
            let mut out = std::io::stdout();
            let versions = door.answer(&sql, moment, format, &mut out).await?;
            out.flush()?;
            versions
        }
        Some(file) => {
            let draft = Draft::beside(file)?;
            let mut out = BufWriter::new(&draft.file);
            let versions = door.answer(&sql, moment, format, &mut out).await?;
            out.flush()?;
            drop(out);
            draft.keep(file)?;
            versions
        }
    };
    if moment != Moment::Latest {
        eprintln!("-- versions {versions}");
    }
    Ok(())
}

/// Plans as they are written, each under its kind: in a table, lines of this length would be cut up.
fn print_plans(rows: &[RecordBatch]) -> Result<()> {
    for batch in rows {
        let column = |at: usize| {
            let column = batch.columns().get(at);
            column.and_then(|column| column.as_string_opt::<i32>())
        };
        let (kinds, plans) = column(0)
            .zip(column(1))
            .context("EXPLAIN has two columns")?;
        for (kind, plan) in kinds.iter().zip(plans) {
            let (kind, plan) = (kind.unwrap_or_default(), plan.unwrap_or_default());
            say::text(format_args!("{kind}:\n{}\n\n", plan.trim_end()));
        }
    }
    Ok(())
}

/// The format that a file's name ends in.
fn by_name(file: &Path) -> Result<Format> {
    let ending = file.extension().and_then(|ending| ending.to_str());
    let format = match ending {
        Some("txt") => Some(Format::Table),
        Some("ndjson") => Some(Format::JsonLines),
        Some(ending) => ending.parse().ok(),
        None => None,
    };
    format.with_context(|| {
        format!(
            "--output {}: say the --format, or let the name end in .csv, .json, .jsonl, .arrow, .parquet or .txt",
            file.display()
        )
    })
}

/// A file that gets its name when it is whole, and goes when it does not get that far.
struct Draft {
    path: PathBuf,
    file: File,
}

impl Draft {
    fn beside(file: &Path) -> Result<Self> {
        let mut path = file.as_os_str().to_owned();
        path.push(".part");
        let path = PathBuf::from(path);
        let opened = File::create(&path);
        let file = opened.with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self { path, file })
    }

    fn keep(self, as_file: &Path) -> Result<()> {
        std::fs::rename(&self.path, as_file)
            .with_context(|| format!("cannot write {}", as_file.display()))
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // Once it has its name, there is none of this.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Whether it went wrong because what we print into was closed, as by `| head`: that is no error.
fn nobody_reads(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let io = cause.downcast_ref::<std::io::Error>();
        io.is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
    })
}
