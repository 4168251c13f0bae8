//! A port as its clients find it: hidden or plain, with a place or without, in time or too late.
#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use flyball_listen::{Open, Terms, http1};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector};

const ASK: &[u8] = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n";

struct Port {
    address: SocketAddr,
    open: Open,
    stop: oneshot::Sender<()>,
    served: JoinHandle<()>,
}

/// A port that says `here`, and says it late at `/late`.
async fn port(terms: Terms, head_max: Duration) -> Port {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (open, incoming) = flyball_listen::open(listener, terms);
    let router = Router::new().route("/", get(async || "here")).route(
        "/late",
        get(async || {
            tokio::time::sleep(Duration::from_millis(500)).await;
            "late"
        }),
    );
    let (stop, stopped) = oneshot::channel();
    let served = tokio::spawn(async move {
        let stopped = async { drop(stopped.await) };
        http1::serve(incoming, router, head_max, stopped).await;
    });
    Port {
        address,
        open,
        stop,
        served,
    }
}

fn certified() -> (TlsAcceptor, TlsConnector) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let certificate: CertificateDer<'static> = made.cert.der().clone();
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let provider = Arc::new(default_provider());
    let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key.into())
        .unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(certificate).unwrap();
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    (
        TlsAcceptor::from(Arc::new(server)),
        TlsConnector::from(Arc::new(client)),
    )
}

async fn answered(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> bool {
    stream.write_all(ASK).await.unwrap();
    let mut answer = vec![0; 1024];
    let read = stream.read(&mut answer).await.unwrap_or(0);
    answer[..read].ends_with(b"here")
}

async fn ends(stream: &mut TcpStream, within: Duration) -> bool {
    let mut rest = Vec::new();
    tokio::time::timeout(within, stream.read_to_end(&mut rest))
        .await
        .is_ok()
}

#[tokio::test]
async fn a_port_with_a_certificate_speaks_tls_and_plain_text_to_this_machine() {
    let (acceptor, connector) = certified();
    let port = port(Terms::http1(Some(acceptor)), http1::HEAD_MAX).await;
    // Says nothing, and holds up nobody.
    let silent = TcpStream::connect(port.address).await.unwrap();
    let socket = TcpStream::connect(port.address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let mut hidden = connector.connect(name, socket).await.unwrap();
    assert!(answered(&mut hidden).await);
    let mut plain = TcpStream::connect(port.address).await.unwrap();
    assert!(answered(&mut plain).await);
    drop(silent);
}

#[tokio::test]
async fn who_says_nothing_or_says_it_too_slowly_is_cut_off() {
    let port = port(Terms::http1(None), Duration::from_millis(400)).await;
    let mut silent = TcpStream::connect(port.address).await.unwrap();
    assert!(ends(&mut silent, Duration::from_secs(5)).await);
    let mut slow = TcpStream::connect(port.address).await.unwrap();
    slow.write_all(b"GET / HT").await.unwrap();
    assert!(ends(&mut slow, Duration::from_secs(5)).await);
    let mut idle = TcpStream::connect(port.address).await.unwrap();
    assert!(answered(&mut idle).await);
    assert!(ends(&mut idle, Duration::from_secs(5)).await);
}

#[tokio::test]
async fn one_too_many_waits_for_a_place() {
    let port = port(Terms::http1(None).up_to(2), http1::HEAD_MAX).await;
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut stream = TcpStream::connect(port.address).await.unwrap();
        assert!(answered(&mut stream).await);
        held.push(stream);
    }
    let mut third = TcpStream::connect(port.address).await.unwrap();
    let waits = tokio::time::timeout(Duration::from_millis(300), answered(&mut third)).await;
    assert!(waits.is_err());
    held.pop();
    let mut answer = vec![0; 1024];
    let read = third.read(&mut answer).await.unwrap();
    assert!(answer[..read].ends_with(b"here"));
}

#[tokio::test]
async fn a_stop_waits_for_what_is_under_way_and_the_end_of_the_port_for_nobody() {
    let late = b"GET /late HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let first = port(Terms::http1(None), http1::HEAD_MAX).await;
    let mut under_way = TcpStream::connect(first.address).await.unwrap();
    under_way.write_all(late).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    first.stop.send(()).unwrap();
    let mut answer = Vec::new();
    under_way.read_to_end(&mut answer).await.unwrap();
    assert!(answer.ends_with(b"late"));
    first.served.await.unwrap();
    assert!(TcpStream::connect(first.address).await.is_err());
    drop(first.open);

    let second = port(Terms::http1(None), http1::HEAD_MAX).await;
    let mut stream = TcpStream::connect(second.address).await.unwrap();
    assert!(answered(&mut stream).await);
    drop(second.open);
    assert!(ends(&mut stream, Duration::from_secs(5)).await);
}
