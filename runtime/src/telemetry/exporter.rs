//! Sends spans over OTLP/gRPC: soon, in order, with retries, and never at the price of the agents.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::resource::v1::Resource as WireResource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span as Wire};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tonic::metadata::MetadataValue;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request};

use super::Span;
use super::span::attribute;
use crate::Error;

/// Where and how spans are sent.
#[derive(Debug, Clone)]
pub struct ExporterConfig {
    /// Such as `http://127.0.0.1:4317`.
    pub endpoint: String,
    /// Sent as `Authorization: Bearer ...`, when keys are configured.
    pub key: Option<String>,
    /// How long a span may wait for others to share its request.
    pub linger: Duration,
    /// Spans in one request, at most.
    pub batch: usize,
    /// Spans waiting, at most; further ones are dropped and counted.
    pub queue: usize,
    /// How long one request is tried before its spans are dropped and counted.
    pub give_up_after: Duration,
}

impl ExporterConfig {
    /// The defaults for an endpoint: 15 ms of lingering, 512 spans a request, 16,384 waiting, a minute of tries.
    #[must_use]
    pub fn to(endpoint: impl Into<String>) -> Self {
        Self {
            endpoint: endpoint.into(),
            key: None,
            linger: Duration::from_millis(15),
            batch: 512,
            queue: 16_384,
            give_up_after: Duration::from_secs(60),
        }
    }
}

/// Who sends: the resource attributes, texts.
type Resource = Arc<Vec<(String, String)>>;

enum Item {
    Span(Resource, Box<Wire>),
    Flush(oneshot::Sender<()>),
}

/// What has become of spans so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sent {
    /// Accepted by the collector.
    pub accepted: u64,
    /// Given up: the queue was full, the collector refused them, or it could not be reached.
    pub dropped: u64,
}

#[derive(Debug, Default)]
struct Counts {
    accepted: AtomicU64,
    dropped: AtomicU64,
}

/// Sends spans for one resource (a service); others share the same queue, see [`Telemetry::for_resource`].
#[derive(Debug, Clone)]
pub struct Telemetry {
    resource: Resource,
    line: Option<Arc<Line>>,
}

#[derive(Debug)]
struct Line {
    queue: mpsc::Sender<Item>,
    counts: Arc<Counts>,
    exporter: JoinHandle<()>,
}

impl Drop for Line {
    fn drop(&mut self) {
        self.exporter.abort();
    }
}

impl Telemetry {
    /// Tells nobody.
    #[must_use]
    pub fn none() -> Self {
        Self {
            resource: Arc::default(),
            line: None,
        }
    }

    /// Starts to send. It connects when the first span ends, and reconnects by itself. Needs a tokio runtime.
    ///
    /// # Errors
    /// When the endpoint is not a URL, or the key can't be sent in a header.
    pub fn start(config: ExporterConfig) -> Result<Self, Error> {
        let wrong = |reason: String| Error::Telemetry {
            endpoint: config.endpoint.clone(),
            reason,
        };
        let endpoint = Endpoint::from_shared(config.endpoint.clone())
            .map_err(|error| wrong(error.to_string()))?;
        let key = config
            .key
            .as_ref()
            .map(|key| format!("Bearer {key}").parse::<MetadataValue<_>>())
            .transpose();
        let key = key.map_err(|error| wrong(format!("the key can't be sent: {error}")))?;
        let channel = endpoint
            .connect_timeout(Duration::from_secs(2))
            .timeout(Duration::from_secs(10))
            .tcp_nodelay(true)
            .connect_lazy();
        let (queue, items) = mpsc::channel(config.queue.max(1));
        let counts = Arc::new(Counts::default());
        let exporter = Exporter {
            client: TraceServiceClient::new(channel),
            key,
            config,
            counts: Arc::clone(&counts),
        };
        let exporter = tokio::spawn(exporter.run(items));
        Ok(Self {
            resource: Arc::default(),
            line: Some(Arc::new(Line {
                queue,
                counts,
                exporter,
            })),
        })
    }

    /// The same sender, for spans of a resource with these attributes.
    #[must_use]
    pub fn for_resource(&self, attributes: Vec<(String, String)>) -> Self {
        Self {
            resource: Arc::new(attributes),
            line: self.line.clone(),
        }
    }

    /// Ends a span and sends it. Never waits: when the queue is full, the span is dropped and counted.
    pub fn end(&self, span: Span, end_unix_nano: i64) {
        let Some(line) = &self.line else { return };
        let item = Item::Span(
            Arc::clone(&self.resource),
            Box::new(span.ended(end_unix_nano)),
        );
        if line.queue.try_send(item).is_err() {
            line.counts.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits until everything that has ended is sent or given up, at most this long; says whether it is.
    pub async fn flush(&self, at_most: Duration) -> bool {
        let Some(line) = &self.line else { return true };
        let (done, flushed) = oneshot::channel();
        let wait =
            async { line.queue.send(Item::Flush(done)).await.is_ok() && flushed.await.is_ok() };
        tokio::time::timeout(at_most, wait).await.unwrap_or(false)
    }

    /// What has become of spans so far.
    #[must_use]
    pub fn sent(&self) -> Sent {
        self.line.as_ref().map_or_else(Sent::default, |line| Sent {
            accepted: line.counts.accepted.load(Ordering::Relaxed),
            dropped: line.counts.dropped.load(Ordering::Relaxed),
        })
    }
}

struct Exporter {
    client: TraceServiceClient<Channel>,
    key: Option<MetadataValue<tonic::metadata::Ascii>>,
    config: ExporterConfig,
    counts: Arc<Counts>,
}

impl Exporter {
    async fn run(mut self, mut items: mpsc::Receiver<Item>) {
        let mut batch: Vec<(Resource, Wire)> = Vec::new();
        while let Some(first) = items.recv().await {
            let mut flushed = Vec::new();
            let deadline = Instant::now() + self.config.linger;
            let mut next = Some(first);
            while let Some(item) = next {
                match item {
                    Item::Span(resource, span) => batch.push((resource, *span)),
                    Item::Flush(done) => {
                        flushed.push(done);
                        break;
                    }
                }
                if batch.len() >= self.config.batch {
                    break;
                }
                next = tokio::time::timeout_at(deadline, items.recv())
                    .await
                    .ok()
                    .flatten();
            }
            self.send(std::mem::take(&mut batch)).await;
            for done in flushed {
                let _ = done.send(());
            }
        }
    }

    async fn send(&mut self, batch: Vec<(Resource, Wire)>) {
        if batch.is_empty() {
            return;
        }
        let count = u64::try_from(batch.len()).unwrap_or(u64::MAX);
        let request = wire(batch);
        let began = Instant::now();
        let mut pause = Duration::from_millis(25);
        loop {
            let mut call = Request::new(request.clone());
            if let Some(key) = &self.key {
                call.metadata_mut().insert("authorization", key.clone());
            }
            let status = match self.client.export(call).await {
                Ok(response) => {
                    let refused = response
                        .into_inner()
                        .partial_success
                        .map_or(0, |partial| partial.rejected_spans);
                    let refused = u64::try_from(refused).unwrap_or(0).min(count);
                    self.counts.dropped.fetch_add(refused, Ordering::Relaxed);
                    self.counts
                        .accepted
                        .fetch_add(count - refused, Ordering::Relaxed);
                    return;
                }
                Err(status) => status,
            };
            if !may_be_retried(&status) || began.elapsed() > self.config.give_up_after {
                tracing::warn!(%status, spans = count, "spans are given up");
                self.counts.dropped.fetch_add(count, Ordering::Relaxed);
                return;
            }
            tracing::debug!(%status, spans = count, "spans could not be sent yet");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(2));
        }
    }
}

/// The codes that OTLP declares retryable, and what tonic says when it can't connect.
fn may_be_retried(status: &tonic::Status) -> bool {
    matches!(
        status.code(),
        Code::Cancelled
            | Code::DeadlineExceeded
            | Code::ResourceExhausted
            | Code::Aborted
            | Code::OutOfRange
            | Code::Unavailable
            | Code::DataLoss
            | Code::Unknown
    )
}

/// Groups spans by resource, in the order in which each came.
fn wire(batch: Vec<(Resource, Wire)>) -> ExportTraceServiceRequest {
    let mut groups: Vec<(Resource, Vec<Wire>)> = Vec::new();
    for (resource, span) in batch {
        match groups
            .iter_mut()
            .find(|(known, _)| Arc::ptr_eq(known, &resource) || *known == resource)
        {
            Some((_, spans)) => spans.push(span),
            None => groups.push((resource, vec![span])),
        }
    }
    let resource_spans = groups.into_iter().map(|(resource, spans)| ResourceSpans {
        resource: Some(WireResource {
            attributes: resource
                .iter()
                .map(|(key, value)| attribute(key, Any::StringValue(value.clone())))
                .collect(),
            ..WireResource::default()
        }),
        scope_spans: vec![ScopeSpans {
            scope: Some(InstrumentationScope {
                name: "flyball-runtime".to_owned(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
                ..InstrumentationScope::default()
            }),
            spans,
            ..ScopeSpans::default()
        }],
        ..ResourceSpans::default()
    });
    ExportTraceServiceRequest {
        resource_spans: resource_spans.collect(),
    }
}
