//! Sends bodies of requests over gRPC, as they are.

use std::sync::Arc;
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};

use crate::traffic::Traffic;

const EXPORT: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

/// Sends bytes as they are: a sender that encodes would be measured along.
#[derive(Debug, Clone, Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = ExportTraceServiceResponse;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Vec<u8>;
    type Error = tonic::Status;

    fn encode(&mut self, item: Vec<u8>, to: &mut EncodeBuf<'_>) -> Result<(), tonic::Status> {
        bytes::BufMut::put_slice(to, &item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = ExportTraceServiceResponse;
    type Error = tonic::Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Self::Item>, tonic::Status> {
        let answer = prost::Message::decode(from);
        answer
            .map(Some)
            .map_err(|e| tonic::Status::internal(e.to_string()))
    }
}

/// A connection to the server at this URL.
pub(crate) async fn connect(grpc: &str) -> Channel {
    let endpoint = Endpoint::new(grpc.to_owned()).unwrap();
    endpoint.connect().await.unwrap()
}

/// Sends one body once. The refusal, when there is no room; any other failure ends the benchmark.
pub(crate) async fn offer(channel: &Channel, body: Vec<u8>) -> Result<(), tonic::Status> {
    let mut client = tonic::client::Grpc::new(channel.clone());
    client.ready().await.unwrap();
    let path = PathAndQuery::from_static(EXPORT);
    match client.unary(tonic::Request::new(body), path, Raw).await {
        Ok(_) => Ok(()),
        Err(refusal) => {
            assert_eq!(refusal.code(), tonic::Code::ResourceExhausted, "{refusal}");
            Err(refusal)
        }
    }
}

/// When a sender sends: not all at the same moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    pub(crate) first: Duration,
    pub(crate) every: Duration,
}

impl Pace {
    /// Of one of so many senders, who together send so many spans a second.
    pub(crate) fn of(sender: usize, senders: usize, spans: usize, spans_a_second: f64) -> Self {
        let every = Duration::from_secs_f64((spans * senders) as f64 / spans_a_second);
        let first = every * sender as u32 / senders as u32;
        Self { first, every }
    }
}

/// Sends every request to the end, asking again where there is no room; how long each acknowledgement took.
pub(crate) async fn send(
    grpc: String,
    traffic: Arc<Traffic>,
    numbers: impl Iterator<Item = usize>,
    pace: Option<Pace>,
) -> Vec<Duration> {
    let channel = connect(&grpc).await;
    let mut took = Vec::new();
    let mut next = Instant::now() + pace.map_or(Duration::ZERO, |pace| pace.first);
    for number in numbers {
        if let Some(pace) = pace {
            tokio::time::sleep_until(next.into()).await;
            next += pace.every;
        }
        let sent = Instant::now();
        while offer(&channel, traffic.body(number)).await.is_err() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        took.push(sent.elapsed());
    }
    took
}
