//! OTLP/gRPC with tonic's own client, as the protocol's crate generates it.

use std::sync::atomic::Ordering;

use flyball_ingest::server::{RetryInfo, RpcStatus};
use flyball_store::Table;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_client::LogsServiceClient;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_client::MetricsServiceClient;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::{
    Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, metric,
};
use prost::Message;
use tonic::Code;
use tonic::codec::CompressionEncoding;
use tonic::codegen::Service;
use tonic::transport::Channel;

use crate::collector::{BODY_LIMIT, Collector, one_bad_of_three, request, span};

async fn client(collector: &Collector) -> TraceServiceClient<Channel> {
    TraceServiceClient::connect(format!("http://{}", collector.grpc))
        .await
        .unwrap()
}

/// The delay that a refusal asks for.
fn retry_delay(status: &tonic::Status) -> Option<(i64, i32)> {
    let status = RpcStatus::decode(status.details()).unwrap();
    let detail = status.details.first()?;
    assert_eq!(detail.type_url, "type.googleapis.com/google.rpc.RetryInfo");
    let delay = RetryInfo::decode(detail.value.as_slice())
        .unwrap()
        .retry_delay?;
    Some((delay.seconds, delay.nanos))
}

#[tokio::test]
async fn spans_arrive_in_every_compression() {
    let collector = Collector::start().await;
    let plain = client(&collector).await;
    let clients = [
        plain.clone(),
        plain.clone().send_compressed(CompressionEncoding::Gzip),
        plain.send_compressed(CompressionEncoding::Zstd),
    ];
    for (n, mut client) in (1..).zip(clients) {
        let response = client
            .export(request(vec![span(n)]))
            .await
            .unwrap()
            .into_inner();
        assert_eq!(response.partial_success, None);
    }
    assert_eq!(
        collector.stop().await.names(),
        ["span 1", "span 2", "span 3"]
    );
}

#[tokio::test]
async fn a_bad_span_is_told_and_its_neighbours_land() {
    let collector = Collector::start().await;
    let response = client(&collector)
        .await
        .export(one_bad_of_three())
        .await
        .unwrap()
        .into_inner();
    let partial = response.partial_success.unwrap();
    assert_eq!(partial.rejected_spans, 1);
    assert!(
        partial.error_message.contains("span 1") && partial.error_message.contains("trace_id"),
        "{partial:?}"
    );
    assert_eq!(collector.stop().await.names(), ["span 1", "span 3"]);
}

#[tokio::test]
async fn a_retried_request_succeeds_and_is_kept_once() {
    let collector = Collector::start().await;
    let mut client = client(&collector).await;
    for _ in 0..3 {
        client.export(request(vec![span(1)])).await.unwrap();
    }
    assert_eq!(collector.stop().await.names(), ["span 1"]);
}

#[tokio::test]
async fn a_full_store_says_when_to_come_back() {
    let collector = Collector::start().await;
    collector.list.full_for.store(1, Ordering::SeqCst);
    let mut client = client(&collector).await;
    let status = client.export(request(vec![span(1)])).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert!(
        status.message().contains("the buffer is full"),
        "{}",
        status.message()
    );
    assert_eq!(retry_delay(&status), Some((1, 200_000_000)));
    client.export(request(vec![span(1)])).await.unwrap();
    assert_eq!(collector.stop().await.names(), ["span 1"]);
}

#[tokio::test]
async fn a_full_store_says_so_before_anything_is_read() {
    let collector = Collector::start().await;
    collector.list.no_room.store(true, Ordering::SeqCst);
    let mut client = client(&collector).await;
    let status = client.export(request(vec![span(1)])).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
    assert_eq!(retry_delay(&status), Some((1, 200_000_000)));
    collector.list.no_room.store(false, Ordering::SeqCst);
    client.export(request(vec![span(1)])).await.unwrap();
    assert_eq!(collector.stop().await.names(), ["span 1"]);
}

#[tokio::test]
async fn a_broken_store_is_unavailable() {
    let collector = Collector::start().await;
    collector.list.broken.store(true, Ordering::SeqCst);
    let status = client(&collector)
        .await
        .export(request(vec![span(1)]))
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(retry_delay(&status).is_some());
    assert!(collector.stop().await.names().is_empty());
}

/// Without `RetryInfo`, which to an exporter means: do not send this again.
#[tokio::test]
async fn a_request_over_the_limit_is_refused_for_good() {
    let collector = Collector::start().await;
    let mut long = span(1);
    long.name = "x".repeat(BODY_LIMIT + 1);
    let plain = client(&collector).await;
    for mut client in [
        plain.clone(),
        plain.send_compressed(CompressionEncoding::Gzip),
    ] {
        let status = client
            .export(request(vec![long.clone()]))
            .await
            .unwrap_err();
        assert_eq!(status.code(), Code::ResourceExhausted);
        assert!(status.message().contains("65536"), "{}", status.message());
        assert!(status.details().is_empty());
        client.export(request(vec![span(2)])).await.unwrap();
    }
    assert_eq!(collector.stop().await.names(), ["span 2"]);
}

#[tokio::test]
async fn logs_and_metrics_are_kept_and_what_is_not_is_counted() {
    let collector = Collector::start().await;
    let url = format!("http://{}", collector.grpc);
    let record = |time_unix_nano| LogRecord {
        time_unix_nano,
        ..LogRecord::default()
    };
    let mut logs = LogsServiceClient::connect(url.clone()).await.unwrap();
    let scope_logs = vec![ScopeLogs {
        log_records: vec![record(SECOND), record(u64::MAX), record(2 * SECOND)],
        ..ScopeLogs::default()
    }];
    let resource_logs = vec![ResourceLogs {
        scope_logs,
        ..ResourceLogs::default()
    }];
    let answer = logs
        .export(ExportLogsServiceRequest { resource_logs })
        .await
        .unwrap()
        .into_inner();
    let refused = answer.partial_success.unwrap();
    assert_eq!(refused.rejected_log_records, 1);
    assert!(
        refused
            .error_message
            .starts_with("log record 1: time_unix_nano")
    );

    let point = |time_unix_nano| NumberDataPoint {
        time_unix_nano,
        ..NumberDataPoint::default()
    };
    let mut metrics = MetricsServiceClient::connect(url).await.unwrap();
    let gauge = Gauge {
        data_points: vec![point(SECOND), point(u64::MAX)],
    };
    let scope_metrics = vec![ScopeMetrics {
        metrics: vec![Metric {
            name: "m".to_owned(),
            data: Some(metric::Data::Gauge(gauge)),
            ..Metric::default()
        }],
        ..ScopeMetrics::default()
    }];
    let resource_metrics = vec![ResourceMetrics {
        scope_metrics,
        ..ResourceMetrics::default()
    }];
    let answer = metrics
        .export(ExportMetricsServiceRequest { resource_metrics })
        .await
        .unwrap()
        .into_inner();
    assert_eq!(answer.partial_success.unwrap().rejected_data_points, 1);
    let list = collector.stop().await;
    assert_eq!((list.rows(Table::Logs), list.rows(Table::Metrics)), (2, 1));
}

/// A time, nanoseconds since 1970.
const SECOND: u64 = 1_000_000_000;

/// Sends bytes of our own as the message of `Export`.
async fn export_raw(
    collector: &Collector,
    framed: &'static [u8],
    encoding: Option<&'static str>,
) -> (u16, String, String) {
    // HTTP/2 with prior knowledge is what a gRPC client speaks; reqwest would need a feature for it.
    let mut channel = Channel::from_shared(format!("http://{}", collector.grpc))
        .unwrap()
        .connect()
        .await
        .unwrap();
    let mut request = tonic::codegen::http::Request::post(
        "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
    )
    .header("content-type", "application/grpc");
    if let Some(encoding) = encoding {
        request = request.header("grpc-encoding", encoding);
    }
    let body = tonic::body::Body::new(axum::body::Body::from(framed));
    std::future::poll_fn(|context| channel.poll_ready(context))
        .await
        .unwrap();
    let response = channel.call(request.body(body).unwrap()).await.unwrap();
    let header = |name: &str| {
        response
            .headers()
            .get(name)
            .map(|v| v.to_str().unwrap().to_owned())
            .unwrap_or_default()
    };
    (
        response.status().as_u16(),
        header("grpc-status"),
        header("grpc-message"),
    )
}

#[tokio::test]
async fn bad_frames_and_bodies_cost_only_themselves() {
    const INVALID_ARGUMENT: &str = "3";
    const UNIMPLEMENTED: &str = "12";
    let collector = Collector::start().await;
    for (what, framed, encoding, code) in [
        ("no frame", &b""[..], None, INVALID_ARGUMENT),
        ("half a frame header", b"\0\0\0", None, INVALID_ARGUMENT),
        ("cut", b"\0\0\0\0\x05\x0a\x00", None, INVALID_ARGUMENT),
        (
            "two messages",
            b"\0\0\0\0\0\0\0\0\0\0",
            None,
            INVALID_ARGUMENT,
        ),
        ("odd flag", b"\x07\0\0\0\0", None, INVALID_ARGUMENT),
        (
            "compressed by nothing",
            b"\x01\0\0\0\x01x",
            None,
            INVALID_ARGUMENT,
        ),
        (
            "not gzip",
            b"\x01\0\0\0\x01x",
            Some("gzip"),
            INVALID_ARGUMENT,
        ),
        (
            "unknown encoding",
            b"\x01\0\0\0\x01x",
            Some("br"),
            UNIMPLEMENTED,
        ),
        (
            "not protobuf",
            b"\0\0\0\0\x03\xff\xff\xff",
            None,
            INVALID_ARGUMENT,
        ),
        ("gzip named, message plain", b"\0\0\0\0\0", Some("gzip"), ""),
    ] {
        let (http, status, message) = export_raw(&collector, framed, encoding).await;
        assert_eq!((http, status.as_str()), (200, code), "{what}: {message}");
    }
    client(&collector)
        .await
        .export(request(vec![span(1)]))
        .await
        .unwrap();
    assert_eq!(collector.stop().await.names(), ["span 1"]);
}
