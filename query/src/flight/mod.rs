//! Arrow Flight SQL: columns as they are, to ADBC and whatever else speaks Arrow.
//!
//! A call on a connection ([`flyball_listen`]) passes through the modules in this order: who calls is found out before anything is read (`caller`); the command in it is looked at
//! (`service`), which is a question about the catalog (`catalog`, `dialect`), an action (`actions`), or a statement
//! (`statement`, `prepared`, `parameters`) that is planned, judged and run as by every other port; and rows go out in
//! messages (`batches`). Between calls it keeps tokens and prepared statements (`kept`), bounded, and nothing else.
//!
//! Each statement sees its own snapshot. Without keys everybody on this machine is let in, and nobody else.

mod actions;
mod batches;
mod caller;
mod catalog;
mod dialect;
mod kept;
mod parameters;
mod prepared;
mod service;
mod statement;
mod status;
mod wire;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use arrow_flight::flight_service_server::FlightServiceServer;
use flyball_listen::Terms;
use tokio::net::TcpListener;
use tonic::transport::Server;

use crate::gate::Entrance;
use crate::{Engine, Error, Result};
use caller::{Connection, Door};
use catalog::Facts;
use prepared::Prepared;
use service::Port;

/// The most connections at a time; a further one waits for a place.
const CONNECTIONS_MAX: usize = 256;
/// The most calls at a time on one connection; further ones wait.
const CALLS_MAX: u32 = 128;
/// How often a connection is asked whether it is still there.
const PING_EVERY: Duration = Duration::from_secs(30);
/// How long it may take to answer that.
const PING_PATIENCE: Duration = Duration::from_secs(20);

/// Serves queries until it is dropped or the listener fails. Its connections end with it.
///
/// # Errors
/// [`Error::NotLoopback`] when the listener is open to other machines and no key is asked for; [`Error::Write`] when
/// it fails.
pub async fn serve(engine: Arc<Engine>, entrance: Entrance, listener: TcpListener) -> Result<()> {
    let address = listener.local_addr()?;
    let loopback = address.ip().is_loopback();
    if !loopback && !entrance.gate.is_locked() {
        return Err(Error::NotLoopback { address });
    }
    let terms = Terms::http2(entrance.tls.clone()).up_to(CONNECTIONS_MAX);
    let door = Arc::new(Door::new(entrance, loopback));
    let port = Port {
        engine,
        door: Arc::clone(&door),
        prepared: Prepared::new(),
        running: Arc::default(),
        facts: Facts::new().map_err(|error| Error::Write(io::Error::other(error)))?,
    };
    let service = FlightServiceServer::with_interceptor(port, move |call| door.admit(call));
    // Dropped with this future, and every connection with it.
    let (_open, sockets) = flyball_listen::open::<Connection>(listener, terms);
    Server::builder()
        .max_concurrent_streams(CALLS_MAX)
        .http2_keepalive_interval(Some(PING_EVERY))
        .http2_keepalive_timeout(Some(PING_PATIENCE))
        .add_service(service)
        .serve_with_incoming(sockets)
        .await
        .map_err(|error| Error::Write(io::Error::other(error)))
}
