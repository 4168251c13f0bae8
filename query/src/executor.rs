//! Threads that statements run on, apart from those that take in and acknowledge what agents send: a query that
//! keeps every core busy for a minute may not hold up an acknowledgement for one poll.
//!
//! What runs here hands its parts over a channel that holds two, so that a slow reader slows the work and no more
//! than that is held. Whoever lets go of the reading end ends the work.

use std::any::Any;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures::Stream;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinError, JoinSet};

use crate::{Error, Result};

/// Parts that wait between work and reader.
const PARTS_AHEAD: usize = 2;
/// Statements and plans are trees, and walked by recursion. It is taken when it is used.
const STACK_BYTES: usize = 64 << 20;
/// How far they stand behind the threads that ingest and judge (0), as `nice` counts: where both have work, about a
/// tenth of a core is theirs, and where nobody else has, all of it. At 0, two heavy queries took the median
/// freeze from 17 ms to 238 (docs/benchmarks.md).
#[cfg(target_os = "linux")]
const NICE: i32 = 10;
/// Threads that wait for the local disk.
const DISK_THREADS_MAX: usize = 32;

/// A tokio runtime of its own.
pub(crate) struct Executor {
    handle: Handle,
    /// None only while it is dropped.
    runtime: Option<Runtime>,
}

impl fmt::Debug for Executor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Executor").finish_non_exhaustive()
    }
}

impl Drop for Executor {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // This may be dropped on a thread that must not wait, even on one of its own.
            runtime.shutdown_background();
        }
    }
}

impl Executor {
    /// So many threads.
    pub(crate) fn new(threads: usize) -> std::io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(threads.max(1))
            .max_blocking_threads(DISK_THREADS_MAX)
            .thread_stack_size(STACK_BYTES)
            .thread_name("flyball-query")
            .on_thread_start(stand_back)
            .enable_all()
            .build()?;
        Ok(Self {
            handle: runtime.handle().clone(),
            runtime: Some(runtime),
        })
    }

    /// Runs something to its end. It is dropped when whoever waits for it goes away.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        let mut task = JoinSet::new();
        task.spawn_on(work, &self.handle);
        match task.join_next().await {
            Some(Ok(done)) => done,
            Some(Err(error)) => Err(ended(error)),
            None => Err(lost()),
        }
    }

    /// Runs something that says one thing first, its head, and then hands over parts. Its error comes instead of the
    /// head, or behind the last part.
    pub(crate) async fn pipe<H, T, W>(
        &self,
        work: impl FnOnce(oneshot::Sender<H>, mpsc::Sender<T>) -> W,
    ) -> Result<(H, Pipe<T>)>
    where
        W: Future<Output = Result<()>> + Send + 'static,
    {
        let (tell, told) = oneshot::channel();
        let (send, parts) = mpsc::channel(PARTS_AHEAD);
        let mut task = JoinSet::new();
        task.spawn_on(work(tell, send), &self.handle);
        let mut pipe = Pipe { parts, task };
        match told.await {
            Ok(head) => Ok((head, pipe)),
            Err(_) => Err(match pipe.task.join_next().await {
                Some(Ok(Err(error))) => error,
                Some(Err(error)) => ended(error),
                _ => lost(),
            }),
        }
    }
}

/// The reading end of work under way.
#[derive(Debug)]
pub(crate) struct Pipe<T> {
    parts: mpsc::Receiver<T>,
    task: JoinSet<Result<()>>,
}

impl<T> Stream for Pipe<T> {
    type Item = Result<T>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(part) = ready!(self.parts.poll_recv(cx)) {
            return Poll::Ready(Some(Ok(part)));
        }
        Poll::Ready(match ready!(self.task.poll_join_next(cx)) {
            None | Some(Ok(Ok(()))) => None,
            Some(Ok(Err(error))) => Some(Err(error)),
            Some(Err(error)) => Some(Err(ended(error))),
        })
    }
}

/// Lets this thread stand behind the others of its process. Elsewhere than on Linux, priorities are a process's.
#[cfg(target_os = "linux")]
#[allow(unsafe_code)]
fn stand_back() {
    // SAFETY: it is handed three numbers and touches no memory of ours. On Linux, 0 is the thread that calls.
    let done = unsafe { libc::setpriority(libc::PRIO_PROCESS as _, 0, NICE) };
    if done != 0 {
        let error = std::io::Error::last_os_error();
        tracing::debug!(%error, "a thread of queries keeps its priority");
    }
}

#[cfg(not(target_os = "linux"))]
fn stand_back() {}

/// Why a task came to no end of its own.
fn ended(error: JoinError) -> Error {
    match error.try_into_panic() {
        Ok(panic) => Error::Lost {
            reason: words(panic.as_ref()),
        },
        Err(_) => lost(),
    }
}

fn lost() -> Error {
    Error::Lost {
        reason: "the engine was closed".to_owned(),
    }
}

fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without words".to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Arc;
    use std::time::Duration;

    use futures::StreamExt;

    use super::*;

    fn executor() -> Executor {
        Executor::new(1).unwrap()
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn its_threads_stand_behind_those_of_others() {
        let nice = || {
            let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
            let behind_the_name = stat.rsplit(") ").next().unwrap();
            behind_the_name.split(' ').nth(16).unwrap().parse::<i32>()
        };
        let before = nice().unwrap();
        let there = executor().run(async move { Ok(nice().unwrap()) }).await;
        assert_eq!(there.unwrap(), NICE);
        assert_eq!(nice().unwrap(), before, "and nobody else does");
    }

    #[tokio::test]
    async fn work_runs_on_threads_of_its_own() {
        let name = || std::thread::current().name().map(str::to_owned);
        let there = executor().run(async move { Ok(name()) }).await.unwrap();
        assert_eq!(there.as_deref(), Some("flyball-query"));
        assert_ne!(name(), there);
    }

    #[tokio::test]
    async fn parts_come_behind_the_head_and_an_error_behind_the_parts() {
        let executor = executor();
        let (head, parts) = executor
            .pipe(|head, parts| async move {
                head.send("first").unwrap();
                for part in 0..5 {
                    parts.send(part).await.unwrap();
                }
                Err(Error::Cancelled)
            })
            .await
            .unwrap();
        assert_eq!(head, "first");
        let parts: Vec<_> = parts.collect().await;
        let (error, parts) = parts.split_last().unwrap();
        assert!(matches!(error, Err(Error::Cancelled)), "{error:?}");
        let parts: Vec<i32> = parts.iter().map(|part| *part.as_ref().unwrap()).collect();
        assert_eq!(parts, [0, 1, 2, 3, 4]);
    }

    #[tokio::test]
    async fn a_panic_is_an_error_and_takes_nobody_along() {
        let executor = executor();
        let failed = executor
            .pipe(|_: oneshot::Sender<()>, _: mpsc::Sender<()>| async {
                panic!("at the {}", "seams")
            })
            .await
            .unwrap_err();
        assert!(failed.to_string().contains("at the seams"), "{failed}");
        executor.run(async { Ok(()) }).await.unwrap();
    }

    #[tokio::test]
    async fn a_reader_that_leaves_ends_the_work() {
        let executor = executor();
        let alive = Arc::new(());
        let held = Arc::clone(&alive);
        let (_, mut parts) = executor
            .pipe(|head, parts| async move {
                head.send(()).unwrap();
                let _held = held;
                while parts.send(()).await.is_ok() {}
                futures::future::pending().await
            })
            .await
            .unwrap();
        parts.next().await.unwrap().unwrap();
        drop(parts);
        for _ in 0..500 {
            if Arc::strong_count(&alive) == 1 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("it still runs");
    }
}
