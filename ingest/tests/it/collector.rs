//! A collector on free ports, with a list in place of the store.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use flyball_ingest::door::Door;
use flyball_ingest::server;
use flyball_ingest::{Ingest, Limits, Sink};
use flyball_store::rows::{Row, SpanRow};
use flyball_store::{Append, Appended, Error, Table};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Keeps what is appended. Can be full, or broken.
#[derive(Debug, Default)]
pub(crate) struct List {
    appended: Mutex<Vec<Append>>,
    digests: Mutex<HashSet<[u8; 32]>>,
    /// How many appends from now on find it full.
    pub(crate) full_for: AtomicU64,
    /// Whether it says so when asked, before there is anything to append.
    pub(crate) no_room: std::sync::atomic::AtomicBool,
    /// Whether every append fails.
    pub(crate) broken: std::sync::atomic::AtomicBool,
}

impl List {
    /// The names of all spans that were kept, without those that log records told.
    pub(crate) fn names(&self) -> Vec<String> {
        let appended = self.appended.lock().unwrap();
        appended
            .iter()
            .flat_map(|append| &append.batches)
            .filter(|(table, _)| *table == Table::Spans)
            .flat_map(|(_, batch)| SpanRow::read(batch).unwrap())
            .filter(|row| row.signal.is_none())
            .map(|row| row.name)
            .collect()
    }

    /// How many rows of a table were kept.
    pub(crate) fn rows(&self, table: Table) -> usize {
        let appended = self.appended.lock().unwrap();
        let batches = appended.iter().flat_map(|append| &append.batches);
        let of_table = batches.filter(|(of, _)| *of == table);
        of_table.map(|(_, batch)| batch.num_rows()).sum()
    }

    /// The key of each request that was kept.
    pub(crate) fn keys(&self) -> Vec<Option<String>> {
        let appended = self.appended.lock().unwrap();
        appended
            .iter()
            .map(|append| append.header.key.clone())
            .collect()
    }

    /// How many requests were kept.
    pub(crate) fn requests(&self) -> usize {
        self.appended.lock().unwrap().len()
    }
}

#[tonic::async_trait]
impl Sink for List {
    async fn append(&self, append: Append) -> flyball_store::Result<Appended> {
        if self.broken.load(Ordering::SeqCst) {
            return Err(Error::Closed);
        }
        let full = self
            .full_for
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
        if full.is_ok() {
            return Err(full_error());
        }
        let duplicate = !self.digests.lock().unwrap().insert(append.header.digest);
        let mut appended = self.appended.lock().unwrap();
        if !duplicate {
            appended.push(append);
        }
        Ok(Appended {
            position: appended.len() as u64,
            duplicate,
        })
    }

    fn has_room(&self, _: u64) -> flyball_store::Result<()> {
        match self.no_room.load(Ordering::SeqCst) {
            true => Err(full_error()),
            false => Ok(()),
        }
    }
}

fn full_error() -> Error {
    Error::Full {
        what: "the buffer",
        used: 10,
        limit: 10,
        retry_after_ms: 1_200,
    }
}

/// What bodies may weigh in these tests.
pub(crate) const BODY_LIMIT: usize = 64 << 10;

pub(crate) struct Collector {
    pub(crate) grpc: SocketAddr,
    pub(crate) http: SocketAddr,
    pub(crate) list: Arc<List>,
    stop: Vec<oneshot::Sender<()>>,
    servers: Vec<JoinHandle<flyball_ingest::Result<()>>>,
}

impl Collector {
    pub(crate) async fn start() -> Self {
        Self::with(Limits::of_body(BODY_LIMIT)).await
    }

    pub(crate) async fn with(limits: Limits) -> Self {
        Self::behind(limits, Door::default()).await
    }

    pub(crate) async fn behind(limits: Limits, door: Door) -> Self {
        let list = Arc::new(List::default());
        let sink: Arc<dyn Sink> = Arc::<List>::clone(&list);
        let ingest = Arc::new(Ingest::new(sink, limits).with_door(Arc::new(door)));
        let grpc = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let http = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (stop_grpc, stopped_grpc) = oneshot::channel();
        let (stop_http, stopped_http) = oneshot::channel();
        Self {
            grpc: grpc.local_addr().unwrap(),
            http: http.local_addr().unwrap(),
            list,
            stop: vec![stop_grpc, stop_http],
            servers: vec![
                tokio::spawn(server::grpc::serve(
                    grpc,
                    None,
                    Arc::clone(&ingest),
                    async {
                        drop(stopped_grpc.await);
                    },
                )),
                tokio::spawn(async {
                    let stopped = async { drop(stopped_http.await) };
                    server::http::serve(http, None, ingest, stopped).await;
                    Ok(())
                }),
            ],
        }
    }

    /// Asks both servers to stop, and waits until they have.
    pub(crate) async fn stop(self) -> Arc<List> {
        for stop in self.stop {
            stop.send(()).unwrap();
        }
        for server in self.servers {
            server.await.unwrap().unwrap();
        }
        self.list
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.http)
    }
}

pub(crate) fn span(n: u8) -> Span {
    Span {
        trace_id: vec![n; 16],
        span_id: vec![n; 8],
        name: format!("span {n}"),
        start_time_unix_nano: 1_795_307_539_000_000_000,
        end_time_unix_nano: 1_795_307_539_500_000_000,
        ..Span::default()
    }
}

pub(crate) fn request(spans: Vec<Span>) -> ExportTraceServiceRequest {
    let scope_spans = vec![ScopeSpans {
        spans,
        ..ScopeSpans::default()
    }];
    let resource_spans = vec![ResourceSpans {
        scope_spans,
        ..ResourceSpans::default()
    }];
    ExportTraceServiceRequest { resource_spans }
}

/// A good span, one whose trace id is all zeros, and another good one.
pub(crate) fn one_bad_of_three() -> ExportTraceServiceRequest {
    let zero = Span {
        trace_id: vec![0; 16],
        ..span(2)
    };
    request(vec![span(1), zero, span(3)])
}
