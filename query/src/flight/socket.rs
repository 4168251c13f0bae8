//! Connections: accepted, spoken to in TLS where it is configured, and ended with the port.
//!
//! A client that hangs in the middle of a greeting holds up nobody else, and loses its place after a while.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Sleep;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tonic::transport::server::Connected;

use super::caller::Connection;

/// The most connections at a time; a further one waits for a place.
pub(super) const CONNECTIONS_MAX: usize = 256;
/// How long a greeting may take: TLS's, and HTTP/2's after it.
const GREETING_MAX: Duration = Duration::from_secs(10);
/// What HTTP/2 clients say first, bytes (RFC 9113, 3.4). From there on pings find out who is gone.
const GREETING_BYTES: usize = 24;

/// A connection that is ready for HTTP/2.
pub(super) struct Socket {
    io: Io,
    connection: Arc<Connection>,
    /// Ends when the port is closed, and its connections with it; None from then on.
    open: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    /// What is missing of the greeting, and until when.
    greeting: Option<(usize, Pin<Box<Sleep>>)>,
    _place: OwnedSemaphorePermit,
}

enum Io {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// Accepts connections and hands them on, for ever.
pub(super) async fn accept(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    sockets: mpsc::Sender<Socket>,
    port: watch::Receiver<()>,
) {
    let tls = tls.map(speaking_http2);
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut greeted = JoinSet::new();
    loop {
        // The semaphore is never closed; if it were, nothing more could be served.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, or the client gave up: the next may succeed.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        while greeted.try_join_next().is_some() {}
        let (tls, sockets, port) = (tls.clone(), sockets.clone(), port.clone());
        greeted.spawn(async move {
            match greet(stream, tls).await {
                Ok(io) => {
                    // It fails when the port is being closed.
                    let _ = sockets.send(Socket::new(io, port, place)).await;
                }
                Err(error) => tracing::debug!(%error, %peer, "a connection ended"),
            }
        });
    }
}

/// gRPC clients insist on hearing in the TLS handshake that it will be HTTP/2.
fn speaking_http2(tls: TlsAcceptor) -> TlsAcceptor {
    let mut config = tls.config().as_ref().clone();
    config.alpn_protocols = vec![b"h2".to_vec()];
    TlsAcceptor::from(Arc::new(config))
}

async fn greet(stream: TcpStream, tls: Option<TlsAcceptor>) -> io::Result<Io> {
    stream.set_nodelay(true)?;
    match tls {
        None => Ok(Io::Plain(stream)),
        Some(tls) => {
            let greeted = tokio::time::timeout(GREETING_MAX, tls.accept(stream)).await??;
            Ok(Io::Tls(Box::new(greeted)))
        }
    }
}

impl Socket {
    fn new(io: Io, mut port: watch::Receiver<()>, place: OwnedSemaphorePermit) -> Self {
        Self {
            io,
            connection: Arc::default(),
            open: Some(Box::pin(async move {
                // Nothing is ever sent: it ends when the sender is dropped.
                while port.changed().await.is_ok() {}
            })),
            greeting: Some((GREETING_BYTES, Box::pin(tokio::time::sleep(GREETING_MAX)))),
            _place: place,
        }
    }

    fn io(self: Pin<&mut Self>) -> Pin<&mut (dyn Stream + 'static)> {
        match &mut self.get_mut().io {
            Io::Plain(stream) => Pin::new(stream),
            Io::Tls(stream) => Pin::new(stream.as_mut()),
        }
    }
}

trait Stream: AsyncRead + AsyncWrite + Unpin {}
impl<T: AsyncRead + AsyncWrite + Unpin> Stream for T {}

impl Connected for Socket {
    type ConnectInfo = Arc<Connection>;

    fn connect_info(&self) -> Arc<Connection> {
        Arc::clone(&self.connection)
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(open) = &mut self.open
            && open.as_mut().poll(cx).is_ready()
        {
            self.open = None;
        }
        if self.open.is_none() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        if let Some((_, until)) = &mut self.greeting
            && until.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        let before = buffer.filled().len();
        ready!(self.as_mut().io().poll_read(cx, buffer))?;
        let read = buffer.filled().len() - before;
        self.greeting = self.greeting.take().and_then(|(missing, until)| {
            let missing = missing.saturating_sub(read);
            (missing > 0).then_some((missing, until))
        });
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.io().poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io().poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io().poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.io().poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        match &self.io {
            Io::Plain(stream) => stream.is_write_vectored(),
            Io::Tls(stream) => stream.is_write_vectored(),
        }
    }
}
