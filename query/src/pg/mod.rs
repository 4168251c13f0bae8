//! PostgreSQL's wire protocol: psql, Grafana and every driver as they are.
//!
//! Each connection has a session of its own, and each statement its own snapshot: a prepared
//! statement is planned once, over names, and bound to the rows of the moment each time it runs.
//! Without keys, any user and database name is let in without a password, and only from this machine. With keys, the
//! user is the id of a key, the password its secret, proven and not sent (`scram`), and the database its workspace.

mod absent;
mod cancel;
mod connection;
mod errors;
mod lookups;
mod prepared;
mod scram;
mod search_path;
mod settings;
mod startup;

use std::sync::Arc;

use datafusion_postgres::pgwire::tokio::process_socket;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::gate::Entrance;
use crate::{Engine, Error, Result};
use connection::Port;

/// The most connections at a time; a further one waits for a place.
const CONNECTIONS_MAX: usize = 256;

/// Serves queries until it is dropped or the listener fails.
///
/// # Errors
/// [`Error::NotLoopback`] when the listener is open to other machines and no key is asked for; [`Error::Write`] when it
/// fails.
pub async fn serve(engine: Arc<Engine>, entrance: Entrance, listener: TcpListener) -> Result<()> {
    let address = listener.local_addr()?;
    if !address.ip().is_loopback() && !entrance.gate.is_locked() {
        return Err(Error::NotLoopback { address });
    }
    let tls = entrance.tls.clone();
    let port = Port::new(engine, entrance)?;
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut open = tokio::task::JoinSet::new();
    loop {
        // The semaphore is never closed; if it were, nothing more could be served.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return Ok(());
        };
        let (socket, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, or the client gave up: the next may succeed.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                continue;
            }
        };
        let connection = port.open();
        let tls = tls.clone();
        while open.try_join_next().is_some() {}
        open.spawn(async move {
            if let Err(error) = process_socket(socket, tls, connection).await {
                tracing::debug!(%error, %peer, "a connection ended");
            }
            drop(place);
        });
    }
}
