//! Connections, accepted, greeted side by side, and handed on.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::Stream;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::socket::{self, Io, Open, Opened, Socket};

/// The most connections of a port at a time, unless it says otherwise; a further one waits for a place.
pub const CONNECTIONS_MAX: usize = 1024;
/// How long a greeting may take: TLS's, and HTTP/2's after it.
pub(crate) const GREETING_MAX: Duration = Duration::from_secs(10);
/// What HTTP/2 clients say first, bytes (RFC 9113, 3.4). From there on pings find out who is gone.
const HTTP2_GREETING_BYTES: usize = 24;
/// How a TLS client begins: the type of a handshake record (RFC 8446, 5.1). No text begins so.
const TLS_HANDSHAKE: u8 = 22;

/// On what terms connections are taken.
#[derive(Clone)]
pub struct Terms {
    tls: Option<TlsAcceptor>,
    greeting_bytes: usize,
    connections_max: usize,
}

impl fmt::Debug for Terms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Terms")
            .field("tls", &self.tls.is_some())
            .field("connections_max", &self.connections_max)
            .finish_non_exhaustive()
    }
}

impl Terms {
    /// For a port that speaks HTTP/1, which finds out by itself who says nothing.
    #[must_use]
    pub fn http1(tls: Option<TlsAcceptor>) -> Self {
        Self::speaking(b"http/1.1", tls, 0)
    }

    /// For a port that speaks HTTP/2, as gRPC's do.
    #[must_use]
    pub fn http2(tls: Option<TlsAcceptor>) -> Self {
        Self::speaking(b"h2", tls, HTTP2_GREETING_BYTES)
    }

    /// The same, for so many connections at a time.
    #[must_use]
    pub fn up_to(self, connections_max: usize) -> Self {
        Self {
            connections_max,
            ..self
        }
    }

    /// gRPC clients insist on hearing in the TLS handshake which protocol it will be.
    fn speaking(protocol: &[u8], tls: Option<TlsAcceptor>, greeting_bytes: usize) -> Self {
        let tls = tls.map(|tls| {
            let mut config = tls.config().as_ref().clone();
            config.alpn_protocols = vec![protocol.to_vec()];
            TlsAcceptor::from(Arc::new(config))
        });
        Self {
            tls,
            greeting_bytes,
            connections_max: CONNECTIONS_MAX,
        }
    }
}

/// The connections of a port, as they come. Dropped, it takes no more; those that are there go on.
#[derive(Debug)]
pub struct Incoming<C> {
    sockets: mpsc::Receiver<Socket<C>>,
    _accepting: JoinSet<()>,
}

impl<C> Stream for Incoming<C> {
    type Item = io::Result<Socket<C>>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.sockets.poll_recv(cx).map(|socket| socket.map(Ok))
    }
}

/// Begins to take connections, each with a `C` of its own. Must be called inside a tokio runtime.
#[must_use]
pub fn open<C: Default + Send + Sync + 'static>(
    listener: TcpListener,
    terms: Terms,
) -> (Open, Incoming<C>) {
    let (open, opened) = socket::port();
    let (hand_over, sockets) = mpsc::channel(1);
    let mut accepting = JoinSet::new();
    accepting.spawn(accept(listener, terms, hand_over, opened));
    (
        open,
        Incoming {
            sockets,
            _accepting: accepting,
        },
    )
}

async fn accept<C: Default + Send + Sync + 'static>(
    listener: TcpListener,
    terms: Terms,
    sockets: mpsc::Sender<Socket<C>>,
    opened: Opened,
) {
    let places = Arc::new(Semaphore::new(terms.connections_max));
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
        let (tls, sockets, opened) = (terms.tls.clone(), sockets.clone(), opened.clone());
        let greeting_bytes = terms.greeting_bytes;
        greeted.spawn(async move {
            match greet(stream, peer, tls).await {
                Ok(io) => {
                    let socket = Socket::new(io, opened, greeting_bytes, GREETING_MAX, place);
                    // It fails when the port is being closed.
                    let _ = sockets.send(socket).await;
                }
                Err(error) => tracing::debug!(%error, %peer, "a connection ended"),
            }
        });
    }
}

async fn greet(stream: TcpStream, peer: SocketAddr, tls: Option<TlsAcceptor>) -> io::Result<Io> {
    stream.set_nodelay(true)?;
    let Some(tls) = tls else {
        return Ok(Io::Plain(stream));
    };
    let greeted = async {
        let mut first = [0];
        if stream.peek(&mut first).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match way(first[0], peer.ip()) {
            Way::Tls => Ok(Io::Tls(Box::new(tls.accept(stream).await?))),
            Way::Plain => Ok(Io::Plain(stream)),
            Way::Refused => Err(io::Error::other(
                "plain text from another machine, where TLS is spoken",
            )),
        }
    };
    tokio::time::timeout(GREETING_MAX, greeted).await?
}

#[derive(Debug, PartialEq, Eq)]
enum Way {
    Tls,
    Plain,
    Refused,
}

/// How to go on with a client on a port that has a certificate, from the first byte it sends.
fn way(first: u8, peer: IpAddr) -> Way {
    if first == TLS_HANDSHAKE {
        Way::Tls
    } else if peer.to_canonical().is_loopback() {
        Way::Plain
    } else {
        Way::Refused
    }
}

#[cfg(test)]
mod tests {
    use super::{Way, way};

    #[test]
    fn plain_text_is_for_this_machine_alone() {
        let (here, there) = ([127, 0, 0, 1].into(), [192, 0, 2, 7].into());
        assert_eq!(way(22, there), Way::Tls);
        assert_eq!(way(22, here), Way::Tls);
        for text in *b"GP\0\xff" {
            assert_eq!(way(text, here), Way::Plain);
            assert_eq!(way(text, std::net::Ipv6Addr::LOCALHOST.into()), Way::Plain);
            assert_eq!(way(text, there), Way::Refused);
        }
        let mapped: std::net::Ipv6Addr = std::net::Ipv4Addr::new(192, 0, 2, 7).to_ipv6_mapped();
        assert_eq!(way(b'G', mapped.into()), Way::Refused);
    }
}
