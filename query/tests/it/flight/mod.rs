//! The Flight SQL port, with arrow-flight's own client.

mod adbc;
mod catalog;
mod doors;
mod sessions;
mod statements;

use std::net::SocketAddr;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow_flight::FlightInfo;
use arrow_flight::error::FlightError;
use arrow_flight::sql::client::FlightSqlServiceClient;
use flyball_query::format::{Format, render};
use flyball_query::gate::Entrance;
use flyball_query::{Engine, flight};
use futures::TryStreamExt;
use serde_json::Value;
use tokio::net::TcpListener;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

pub(crate) type Client = FlightSqlServiceClient<Channel>;

/// Serves on a free port; the address.
pub(crate) async fn serve(engine: Arc<Engine>, entrance: Entrance) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(flight::serve(engine, entrance, listener));
    address
}

pub(crate) async fn connect_to(address: SocketAddr) -> Client {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
    FlightSqlServiceClient::new(endpoint.connect().await.unwrap())
}

/// A client of a port that asks for no key.
pub(crate) async fn connect(engine: Arc<Engine>) -> Client {
    connect_to(serve(engine, Entrance::open("default")).await).await
}

/// The rows behind the one ticket of an announcement. They have the columns that were announced.
pub(crate) async fn fetch(
    client: &mut Client,
    info: FlightInfo,
) -> Result<Vec<RecordBatch>, FlightError> {
    let announced = info.clone().try_decode_schema()?;
    let [endpoint] = info.endpoint.as_slice() else {
        panic!("{} endpoints", info.endpoint.len());
    };
    let mut stream = client.do_get(endpoint.ticket.clone().unwrap()).await?;
    let mut batches = Vec::new();
    while let Some(batch) = stream.try_next().await? {
        batches.push(batch);
    }
    let schema = stream.schema().expect("a schema, also without rows");
    assert_eq!(**schema, announced);
    if batches.is_empty() {
        batches.push(RecordBatch::new_empty(Arc::clone(schema)));
    }
    Ok(batches)
}

pub(crate) async fn query(client: &mut Client, sql: &str) -> Result<Vec<RecordBatch>, FlightError> {
    let info = client.execute(sql.to_owned(), None).await?;
    fetch(client, info).await
}

pub(crate) fn json(batches: &[RecordBatch]) -> Vec<Value> {
    serde_json::from_str(&render(batches, Format::Json).unwrap()).unwrap()
}

/// The answer as JSON rows.
pub(crate) async fn ask(client: &mut Client, sql: &str) -> Vec<Value> {
    match query(client, sql).await {
        Ok(batches) => json(&batches),
        Err(error) => panic!("{sql}: {error}"),
    }
}

/// What the server said when it refused.
pub(crate) fn status<T: std::fmt::Debug>(refused: Result<T, FlightError>) -> Status {
    match refused.unwrap_err() {
        FlightError::Tonic(status) => *status,
        other => panic!("not by the server: {other}"),
    }
}

pub(crate) fn refused<T: std::fmt::Debug>(refused: Result<T, FlightError>, code: Code, told: &str) {
    let status = status(refused);
    assert_eq!(status.code(), code, "{status}");
    assert!(status.message().contains(told), "{status}");
}

/// A protobuf message of one field, which holds text, bytes or a message.
pub(crate) fn message(field: u8, inner: &[u8]) -> Vec<u8> {
    let mut written = vec![field << 3 | 2];
    let mut length = inner.len();
    while length >= 0x80 {
        written.push(length as u8 | 0x80);
        length >>= 7;
    }
    written.push(length as u8);
    written.extend_from_slice(inner);
    written
}
