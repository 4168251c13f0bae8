//! One SQLite file behind one thread, so that no async worker ever waits for a disk.
//!
//! Work that arrives while a commit is being synced is committed together with the next (group
//! commit): many executions share one fsync. Each piece of work has its own savepoint, so that one
//! that fails leaves its neighbours alone. Nothing is answered before the commit that holds it.

use std::path::Path;
use std::sync::mpsc;

use rusqlite::Connection;
use tokio::sync::oneshot;

use crate::Error;

/// At most this many pieces of work share a commit.
const GROUP: usize = 64;

/// Called once the commit is known: `Err` says why it failed.
type Reply = Box<dyn FnOnce(Result<(), String>) + Send>;
/// Given the connection, or why there is no transaction to work in.
type Job = Box<dyn FnOnce(Result<&Connection, String>) -> Reply + Send>;

/// A handle to the file's thread. The thread ends when the last handle is dropped.
#[derive(Debug, Clone)]
pub(crate) struct Database {
    jobs: mpsc::Sender<Job>,
}

impl Database {
    /// Opens (or creates) the file in WAL mode with `synchronous=FULL`, and runs `schema`.
    /// Blocks for the time SQLite takes: call it where that is acceptable.
    pub(crate) fn open(path: &Path, schema: &'static str) -> Result<Self, Error> {
        let failed = |source| Error::Open {
            path: path.to_owned(),
            source,
        };
        let connection = Connection::open(path).map_err(failed)?;
        Self::start(connection, schema).map_err(failed)
    }

    /// The same without a file: for executions that need not survive.
    pub(crate) fn in_memory(schema: &'static str) -> Result<Self, Error> {
        Ok(Self::start(Connection::open_in_memory()?, schema)?)
    }

    fn start(connection: Connection, schema: &str) -> Result<Self, rusqlite::Error> {
        connection.busy_timeout(std::time::Duration::from_secs(10))?;
        connection.query_row("PRAGMA journal_mode=WAL", [], |_| Ok(()))?;
        connection.execute_batch("PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON;")?;
        connection.execute_batch(schema)?;
        connection.set_prepared_statement_cache_capacity(64);
        let (jobs, queue) = mpsc::channel::<Job>();
        let spawned = std::thread::Builder::new()
            .name("flyball-sqlite".into())
            .spawn(move || serve(&connection, &queue));
        // Without its thread the queue has no receiver, and every piece of work answers `Closed`.
        if let Err(error) = spawned {
            tracing::error!(%error, "the database's thread did not start");
        }
        Ok(Self { jobs })
    }

    /// Does `work` in a transaction; answers when it is on disk.
    pub(crate) async fn write<T, W>(&self, work: W) -> Result<T, Error>
    where
        T: Send + 'static,
        W: FnOnce(&Connection) -> Result<T, Error> + Send + 'static,
    {
        self.write_then(work, |value| value).await
    }

    /// Does `work` in a transaction; once it is on disk, and before anybody is answered, `effect`
    /// runs on the database's thread. So effects happen in the order of the commits.
    pub(crate) async fn write_then<T, U, W, E>(&self, work: W, effect: E) -> Result<U, Error>
    where
        T: Send + 'static,
        U: Send + 'static,
        W: FnOnce(&Connection) -> Result<T, Error> + Send + 'static,
        E: FnOnce(T) -> U + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |connection| {
            let result = connection
                .map_err(Error::Commit)
                .and_then(|connection| in_savepoint(connection, work));
            Box::new(move |committed| {
                let outcome = match committed {
                    Ok(()) => result.map(effect),
                    Err(reason) => result.and(Err(Error::Commit(reason))),
                };
                // Nobody waits any more: the work is done all the same.
                let _ = answer.send(outcome);
            })
        });
        self.jobs.send(job).map_err(|_| Error::Closed)?;
        answered.await.map_err(|_| Error::Closed)?
    }
}

fn in_savepoint<T>(
    connection: &Connection,
    work: impl FnOnce(&Connection) -> Result<T, Error>,
) -> Result<T, Error> {
    connection.execute_batch("SAVEPOINT work")?;
    match work(connection) {
        Ok(value) => {
            connection.execute_batch("RELEASE work")?;
            Ok(value)
        }
        Err(error) => {
            connection.execute_batch("ROLLBACK TO work; RELEASE work")?;
            Err(error)
        }
    }
}

fn serve(connection: &Connection, queue: &mpsc::Receiver<Job>) {
    while let Ok(first) = queue.recv() {
        let jobs = std::iter::once(first).chain(queue.try_iter().take(GROUP - 1));
        if let Err(error) = connection.execute_batch("BEGIN IMMEDIATE") {
            let reason = error.to_string();
            jobs.for_each(|job| job(Err(reason.clone()))(Ok(())));
            continue;
        }
        let replies: Vec<Reply> = jobs.map(|job| job(Ok(connection))).collect();
        let committed = connection.execute_batch("COMMIT").map_err(|error| {
            let _ = connection.execute_batch("ROLLBACK");
            error.to_string()
        });
        for reply in replies {
            reply(committed.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const SCHEMA: &str = "CREATE TABLE IF NOT EXISTS n (value INTEGER NOT NULL UNIQUE)";

    async fn sum(database: &Database) -> i64 {
        database
            .write(|c| {
                Ok(
                    c.query_row("SELECT coalesce(sum(value), 0) FROM n", [], |row| {
                        row.get(0)
                    })?,
                )
            })
            .await
            .unwrap()
    }

    #[tokio::test]
    async fn one_that_fails_leaves_its_neighbours_alone() {
        let database = Database::in_memory(SCHEMA).unwrap();
        let mut tasks = tokio::task::JoinSet::new();
        for value in 0..200_i64 {
            let database = database.clone();
            tasks.spawn(async move {
                database
                    .write(move |c| {
                        c.execute("INSERT INTO n VALUES (?1)", [value])?;
                        // every tenth breaks the UNIQUE constraint after having written something
                        if value % 10 == 0 {
                            c.execute("INSERT INTO n VALUES (?1)", [value])?;
                        }
                        Ok(())
                    })
                    .await
                    .is_ok()
            });
        }
        let kept = tasks.join_all().await.into_iter().filter(|ok| *ok).count();
        assert_eq!(kept, 180);
        let expected: i64 = (0..200).filter(|v| v % 10 != 0).sum();
        assert_eq!(sum(&database).await, expected);
    }

    #[tokio::test]
    async fn what_was_answered_is_on_disk() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("n.sqlite");
        let database = Database::open(&path, SCHEMA).unwrap();
        database
            .write(|c| Ok(c.execute("INSERT INTO n VALUES (7)", [])?))
            .await
            .unwrap();
        drop(database);
        assert_eq!(sum(&Database::open(&path, SCHEMA).unwrap()).await, 7);
    }

    #[tokio::test]
    async fn work_that_fails_to_begin_is_an_error_not_a_silence() {
        let folder = tempfile::tempdir().unwrap();
        let error = Database::open(folder.path(), SCHEMA).unwrap_err();
        assert!(error.to_string().starts_with("cannot open"), "{error}");
    }
}
