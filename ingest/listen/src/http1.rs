//! HTTP/1 on the connections of a port.

use std::pin::pin;
use std::time::Duration;

use axum::Router;
use futures::StreamExt;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::accept::Incoming;
use crate::socket::Socket;

/// How long a client may take for the head of a request, counted from the end of the one before: past the pauses that
/// exporters make between two exports.
pub const HEAD_MAX: Duration = Duration::from_secs(75);

/// Answers requests until `shutdown`; those under way are then answered first.
pub async fn serve(
    mut incoming: Incoming<()>,
    router: Router,
    head_max: Duration,
    shutdown: impl Future<Output = ()>,
) {
    let mut shutdown = pin!(shutdown);
    let (serving, served) = watch::channel(());
    let mut connections = JoinSet::new();
    loop {
        let socket = tokio::select! {
            () = &mut shutdown => break,
            socket = incoming.next() => socket,
        };
        let Some(Ok(socket)) = socket else { break };
        while connections.try_join_next().is_some() {}
        connections.spawn(one(socket, router.clone(), head_max, served.clone()));
    }
    drop((incoming, serving));
    while connections.join_next().await.is_some() {}
}

async fn one(
    socket: Socket<()>,
    router: Router,
    head_max: Duration,
    mut served: watch::Receiver<()>,
) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head_max)
        .serve_connection(TokioIo::new(socket), TowerToHyperService::new(router));
    let mut connection = pin!(connection);
    let done = tokio::select! {
        done = connection.as_mut() => done,
        // Nothing is ever sent: the sender is dropped when no more is to be answered.
        _ = served.changed() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = done {
        tracing::debug!(%error, "a connection ended");
    }
}
