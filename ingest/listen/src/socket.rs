//! One connection: read and written until its port is closed, and cut off if it greets too slowly.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::Sleep;
use tokio_rustls::server::TlsStream;
use tonic::transport::server::Connected;

/// Whoever holds it keeps the connections of a port open.
#[derive(Debug)]
pub struct Open(#[expect(dead_code, reason = "only dropped")] watch::Sender<()>);

/// What a connection knows of that.
#[derive(Debug, Clone)]
pub(crate) struct Opened(watch::Receiver<()>);

pub(crate) fn port() -> (Open, Opened) {
    let (open, opened) = watch::channel(());
    (Open(open), Opened(opened))
}

/// A connection that is ready to be spoken with, and a `C` of its own, which tonic hands to each call on it.
pub struct Socket<C> {
    io: Io,
    connection: Arc<C>,
    /// Ends when the port is closed, and its connections with it; None from then on.
    open: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    /// What is missing of the greeting, and until when.
    greeting: Option<(usize, Pin<Box<Sleep>>)>,
    _place: OwnedSemaphorePermit,
}

impl<C> fmt::Debug for Socket<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socket")
            .field("tls", &matches!(self.io, Io::Tls(_)))
            .finish_non_exhaustive()
    }
}

pub(crate) enum Io {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl<C: Default> Socket<C> {
    pub(crate) fn new(
        io: Io,
        Opened(mut opened): Opened,
        greeting_bytes: usize,
        greeting_max: Duration,
        place: OwnedSemaphorePermit,
    ) -> Self {
        let until = || Box::pin(tokio::time::sleep(greeting_max));
        Self {
            io,
            connection: Arc::default(),
            open: Some(Box::pin(async move {
                // Nothing is ever sent: it ends when the sender is dropped.
                while opened.changed().await.is_ok() {}
            })),
            greeting: (greeting_bytes > 0).then(|| (greeting_bytes, until())),
            _place: place,
        }
    }
}

impl<C> Socket<C> {
    fn io(self: Pin<&mut Self>) -> Pin<&mut (dyn Stream + 'static)> {
        match &mut self.get_mut().io {
            Io::Plain(stream) => Pin::new(stream),
            Io::Tls(stream) => Pin::new(stream.as_mut()),
        }
    }
}

trait Stream: AsyncRead + AsyncWrite + Unpin {}
impl<T: AsyncRead + AsyncWrite + Unpin> Stream for T {}

impl<C: Send + Sync + 'static> Connected for Socket<C> {
    type ConnectInfo = Arc<C>;

    fn connect_info(&self) -> Arc<C> {
        Arc::clone(&self.connection)
    }
}

impl<C> AsyncRead for Socket<C> {
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

impl<C> AsyncWrite for Socket<C> {
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
