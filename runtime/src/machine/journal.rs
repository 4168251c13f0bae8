//! Where executions are kept: a small trait, and SQLite.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, params};

use super::{Record, State, Transition};
use crate::Error;
use crate::sqlite::Database;

/// Keeps executions. A write that was answered survives a crash.
#[async_trait::async_trait]
pub trait Journal: Send + Sync + std::fmt::Debug {
    /// Keeps a new execution.
    ///
    /// # Errors
    /// When there is one of that id, or it could not be kept.
    async fn begin(&self, record: &Record) -> Result<(), Error>;

    /// Keeps the record and its new transitions, all or nothing. `record.revision` is one more than
    /// what is kept.
    ///
    /// # Errors
    /// When somebody else has written in between, or it could not be kept.
    async fn write(&self, record: &Record, transitions: &[Transition]) -> Result<(), Error>;

    /// Reads an execution back.
    ///
    /// # Errors
    /// When what is kept can't be read.
    async fn read(&self, execution_id: &str) -> Result<Option<Record>, Error>;

    /// Ids of executions that have not ended, the oldest first.
    ///
    /// # Errors
    /// When they can't be read.
    async fn unfinished(&self) -> Result<Vec<String>, Error>;

    /// The history of an execution, in order.
    ///
    /// # Errors
    /// When it can't be read.
    async fn transitions(&self, execution_id: &str) -> Result<Vec<Transition>, Error>;
}

/// Executions in one SQLite file (WAL, `synchronous=FULL`): concurrent executions share fsyncs.
///
/// One process at a time: two that resume the same execution could each find a call in flight that the
/// other is about to make. A lock on the file beside it says whose they are; the kernel lifts it when
/// the process dies, however it dies.
#[derive(Debug, Clone)]
pub struct SqliteJournal {
    database: Database,
    _lock: Option<Arc<File>>,
}

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS execution (
    execution_id TEXT PRIMARY KEY,
    agent TEXT NOT NULL,
    state TEXT NOT NULL,
    seq INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    steps INTEGER NOT NULL,
    retries INTEGER NOT NULL,
    stalls INTEGER NOT NULL,
    model_calls INTEGER NOT NULL,
    tool_calls INTEGER NOT NULL,
    spent_usd TEXT NOT NULL,
    reserved_usd TEXT NOT NULL,
    started_at_unix_nano INTEGER NOT NULL,
    termination TEXT,
    reason TEXT,
    record TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS execution_unfinished ON execution (started_at_unix_nano) WHERE termination IS NULL;
CREATE TABLE IF NOT EXISTS transition (
    execution_id TEXT NOT NULL REFERENCES execution (execution_id),
    seq INTEGER NOT NULL,
    transition TEXT NOT NULL,
    PRIMARY KEY (execution_id, seq)
) STRICT, WITHOUT ROWID;
";

impl SqliteJournal {
    /// Opens (or creates) the file, and holds its lock until the last clone is dropped.
    ///
    /// # Errors
    /// When it can't be opened, or another process has it open.
    pub async fn open(path: &Path) -> Result<Self, Error> {
        let path = path.to_owned();
        let opened = tokio::task::spawn_blocking(move || {
            let lock = lock(&path)?;
            Ok(Self {
                database: Database::open(&path, SCHEMA)?,
                _lock: Some(Arc::new(lock)),
            })
        });
        opened.await.map_err(|_| Error::Closed)?
    }

    /// Executions that need not survive the process.
    ///
    /// # Errors
    /// When SQLite has no memory left.
    pub fn in_memory() -> Result<Self, Error> {
        Ok(Self {
            database: Database::in_memory(SCHEMA)?,
            _lock: None,
        })
    }
}

fn lock(path: &Path) -> Result<File, Error> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".lock");
    let unreadable = |error: std::io::Error| Error::Unreadable {
        path: beside.clone().into(),
        reason: error.to_string(),
    };
    let mut options = File::options();
    let file = options.create(true).truncate(false).write(true);
    let file = file.open(&beside).map_err(unreadable)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::InUse {
            path: path.to_owned(),
        }),
        Err(TryLockError::Error(error)) => Err(unreadable(error)),
    }
}

fn corrupt(what: &'static str) -> impl Fn(serde_json::Error) -> Error {
    move |source| Error::Corrupt { what, source }
}

fn json(record: &Record) -> Result<String, Error> {
    serde_json::to_string(record).map_err(corrupt("execution.record"))
}

#[async_trait::async_trait]
impl Journal for SqliteJournal {
    async fn begin(&self, record: &Record) -> Result<(), Error> {
        let (body, record) = (json(record)?, record.clone());
        self.database
            .write(move |c| {
                let known = c.prepare_cached("SELECT 1 FROM execution WHERE execution_id = ?1")?;
                if { known }.exists([&record.execution_id])? {
                    return Err(Error::Conflict { execution_id: record.execution_id });
                }
                c.prepare_cached(
                    "INSERT INTO execution VALUES (?1, ?2, ?3, ?4, ?5, 0, 0, 0, 0, 0, '0', '0', ?6, NULL, NULL, ?7)",
                )?
                .execute(params![
                    record.execution_id,
                    record.spec.agent,
                    record.state.name(),
                    number(record.seq),
                    number(record.revision),
                    record.started_at_unix_nano,
                    body
                ])?;
                Ok(())
            })
            .await
    }

    async fn write(&self, record: &Record, transitions: &[Transition]) -> Result<(), Error> {
        let body = json(record)?;
        let mut lines = Vec::with_capacity(transitions.len());
        for transition in transitions {
            let line =
                serde_json::to_string(transition).map_err(corrupt("transition.transition"))?;
            lines.push((number(transition.seq), line));
        }
        let row = Row::of(record);
        self.database
            .write(move |c| row.update(c, &body, &lines))
            .await
    }

    async fn read(&self, execution_id: &str) -> Result<Option<Record>, Error> {
        let id = execution_id.to_owned();
        self.database
            .write(move |c| {
                c.prepare_cached("SELECT record FROM execution WHERE execution_id = ?1")?
                    .query_row([id], |row| row.get::<_, String>(0))
                    .optional()?
                    .map(|body| serde_json::from_str(&body).map_err(corrupt("execution.record")))
                    .transpose()
            })
            .await
    }

    async fn unfinished(&self) -> Result<Vec<String>, Error> {
        self.database
            .write(|c| {
                let mut statement = c.prepare_cached(
                    "SELECT execution_id FROM execution WHERE termination IS NULL ORDER BY started_at_unix_nano",
                )?;
                let ids = statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
                Ok(ids)
            })
            .await
    }

    async fn transitions(&self, execution_id: &str) -> Result<Vec<Transition>, Error> {
        let id = execution_id.to_owned();
        self.database
            .write(move |c| {
                let mut statement = c.prepare_cached(
                    "SELECT transition FROM transition WHERE execution_id = ?1 ORDER BY seq",
                )?;
                let lines: Vec<String> = statement
                    .query_map([id], |row| row.get(0))?
                    .collect::<Result<_, _>>()?;
                lines
                    .iter()
                    .map(|line| {
                        serde_json::from_str(line).map_err(corrupt("transition.transition"))
                    })
                    .collect()
            })
            .await
    }
}

/// The columns that stand beside the record, so that SQL can see them.
struct Row {
    execution_id: String,
    state: State,
    seq: i64,
    revision: i64,
    counters: super::Counters,
    spent: String,
    reserved: String,
    termination: Option<&'static str>,
    reason: Option<String>,
}

impl Row {
    fn of(record: &Record) -> Self {
        Self {
            execution_id: record.execution_id.clone(),
            state: record.state,
            seq: number(record.seq),
            revision: number(record.revision),
            counters: record.counters,
            spent: record.budget.spent().to_string(),
            reserved: record.budget.reserved().to_string(),
            termination: record.ended.as_ref().map(|ended| ended.termination.name()),
            reason: record.ended.as_ref().map(|ended| ended.reason.clone()),
        }
    }

    fn update(self, c: &Connection, body: &str, lines: &[(i64, String)]) -> Result<(), Error> {
        let changed = c
            .prepare_cached(
                "UPDATE execution SET state = ?2, seq = ?3, revision = ?4, steps = ?5, retries = ?6, stalls = ?7,
                 model_calls = ?8, tool_calls = ?9, spent_usd = ?10, reserved_usd = ?11, termination = ?12,
                 reason = ?13, record = ?14
                 WHERE execution_id = ?1 AND revision = ?4 - 1 AND termination IS NULL",
            )?
            .execute(params![
                self.execution_id,
                self.state.name(),
                self.seq,
                self.revision,
                self.counters.steps,
                self.counters.retries,
                self.counters.stalls,
                self.counters.model_calls,
                self.counters.tool_calls,
                self.spent,
                self.reserved,
                self.termination,
                self.reason,
                body
            ])?;
        if changed != 1 {
            return Err(Error::Conflict {
                execution_id: self.execution_id,
            });
        }
        let mut statement = c.prepare_cached("INSERT INTO transition VALUES (?1, ?2, ?3)")?;
        for (seq, line) in lines {
            statement.execute(params![self.execution_id, seq, line])?;
        }
        Ok(())
    }
}

fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
