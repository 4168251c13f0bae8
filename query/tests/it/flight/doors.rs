//! Who is let in: keys, tokens, TLS, and where the port may listen.

use std::sync::Arc;
use std::time::Duration;

use arrow_flight::sql::CommandGetTables;
use arrow_flight::{Action, Criteria, Empty, FlightData, FlightDescriptor, Ticket};
use flyball_query::gate::{Entrance, Gate, Reader, Refused, Verifier};
use flyball_query::{Error, Source, flight};
use flyball_store::Snapshot;
use parking_lot::Mutex;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{PrivatePkcs8KeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tonic::Code;

use super::{Client, ask, connect_to, query, refused, serve, status};
use crate::fixture::{engine, moment, whole_world};

/// Keys whose ids are their secrets without `fbk_`, until they are revoked.
#[derive(Debug)]
pub(crate) struct Keys {
    good: Mutex<Vec<&'static str>>,
    locked: Mutex<bool>,
}

impl Keys {
    pub(crate) fn new(good: &[&'static str]) -> Arc<Self> {
        Arc::new(Self {
            good: Mutex::new(good.to_vec()),
            locked: Mutex::new(true),
        })
    }

    pub(crate) fn entrance(self: &Arc<Self>) -> Entrance {
        Entrance {
            gate: Arc::clone(self) as _,
            ..Entrance::open("default")
        }
    }
}

impl Gate for Keys {
    fn is_locked(&self) -> bool {
        *self.locked.lock()
    }

    fn with_secret(&self, secret: &str) -> Result<Reader, Refused> {
        match secret.strip_prefix("fbk_") {
            Some("ingest") => Err(Refused::Forbidden("this key may not read".to_owned())),
            Some("fast") => Err(Refused::TooFast {
                reason: "over the rate of key fast".to_owned(),
                retry_after: Duration::from_millis(1500),
            }),
            Some(id) => self.proven(id),
            None => Err(Refused::Unauthenticated("no such key".to_owned())),
        }
    }

    fn verifier(&self, _key_id: &str) -> Option<Verifier> {
        None
    }

    fn proven(&self, key_id: &str) -> Result<Reader, Refused> {
        let reader = Reader {
            key_id: Some(key_id.to_owned()),
            workspace: Some(format!("of-{key_id}")),
        };
        self.still(&reader).map(|()| reader)
    }

    fn still(&self, reader: &Reader) -> Result<(), Refused> {
        let id = reader.key_id.as_deref().unwrap_or_default();
        if self.good.lock().contains(&id) {
            Ok(())
        } else {
            Err(Refused::Unauthenticated(format!(
                "key {id} is not in force"
            )))
        }
    }
}

const ONE: &str = "SELECT 1 AS one";

async fn with_key(address: std::net::SocketAddr, secret: &str) -> Client {
    let mut client = connect_to(address).await;
    client.set_token(secret.to_owned());
    client
}

#[tokio::test]
async fn a_key_lets_in_and_nothing_else_does() {
    let keys = Keys::new(&["a"]);
    let address = serve(engine(whole_world()).await, keys.entrance()).await;
    let mut client = with_key(address, "fbk_a").await;
    assert_eq!(ask(&mut client, ONE).await, [json!({"one": 1})]);
    for (secret, code, told) in [
        ("fbk_b", Code::Unauthenticated, "not in force"),
        ("x", Code::Unauthenticated, "no such key"),
        ("fbs_x", Code::Unauthenticated, "connect again"),
        ("fbk_ingest", Code::PermissionDenied, "may not read"),
        ("fbk_fast", Code::ResourceExhausted, "over the rate"),
    ] {
        client.set_token(secret.to_owned());
        refused(query(&mut client, ONE).await, code, told);
    }
    let said = status(query(&mut client, ONE).await);
    // google.rpc.RetryInfo with 1 s and 500,000,000 ns.
    let delay = [0x08, 1, 0x10, 0x80, 0xca, 0xb5, 0xee, 0x01];
    let info = super::message(1, &delay);
    assert!(
        said.details().windows(info.len()).any(|part| part == info),
        "{said:?}"
    );
    client.clear_token();
    refused(
        query(&mut client, ONE).await,
        Code::Unauthenticated,
        "authorization: Bearer",
    );
    client.set_header("authorization", "Basic !");
    refused(
        query(&mut client, ONE).await,
        Code::Unauthenticated,
        "not readable",
    );
    // "any:fbk_a"
    client.set_header("authorization", "Basic YW55OmZia19h");
    assert_eq!(ask(&mut client, ONE).await, [json!({"one": 1})]);
    keys.good.lock().clear();
    refused(
        query(&mut client, ONE).await,
        Code::Unauthenticated,
        "key a is not in force",
    );
}

#[tokio::test]
async fn a_handshake_gives_a_token_that_lives_as_long_as_its_key() {
    let keys = Keys::new(&["a", "b"]);
    let address = serve(engine(whole_world()).await, keys.entrance()).await;
    let mut client = connect_to(address).await;
    let wrong = client
        .handshake("a", "fbk_x")
        .await
        .unwrap_err()
        .to_string();
    assert!(wrong.contains("not in force"), "{wrong}");
    client.handshake("a", "fbk_a").await.unwrap();
    let token = client.token().unwrap().clone();
    assert!(token.starts_with("fbs_") && token.len() == 68, "{token}");
    assert_eq!(ask(&mut client, ONE).await, [json!({"one": 1})]);
    keys.good.lock().retain(|id| *id != "a");
    refused(
        query(&mut client, ONE).await,
        Code::Unauthenticated,
        "key a is not in force",
    );
    client.clear_token();
    client.handshake("b", "fbk_b").await.unwrap();
    assert_eq!(ask(&mut client, ONE).await, [json!({"one": 1})]);
}

/// The first key shuts the door behind those who came in without.
#[tokio::test]
async fn a_token_from_before_there_were_keys_is_no_key() {
    let keys = Keys::new(&["a", ""]);
    *keys.locked.lock() = false;
    let address = serve(engine(whole_world()).await, keys.entrance()).await;
    let mut client = connect_to(address).await;
    client.handshake("anybody", "anything").await.unwrap();
    assert_eq!(ask(&mut client, ONE).await, [json!({"one": 1})]);
    *keys.locked.lock() = true;
    refused(
        query(&mut client, ONE).await,
        Code::Unauthenticated,
        "connect again",
    );
}

#[tokio::test]
async fn no_call_is_answered_without_a_key() {
    let address = serve(engine(whole_world()).await, Keys::new(&["a"]).entrance()).await;
    let mut client = connect_to(address).await;
    let put = || futures::stream::iter([FlightData::default()]);
    let hands = || futures::stream::iter([arrow_flight::HandshakeRequest::default()]);
    let raw = client.inner_mut();
    let codes = [
        raw.handshake(hands()).await.map(|_| ()),
        raw.list_flights(Criteria::default()).await.map(|_| ()),
        raw.get_flight_info(FlightDescriptor::default())
            .await
            .map(|_| ()),
        raw.poll_flight_info(FlightDescriptor::default())
            .await
            .map(|_| ()),
        raw.get_schema(FlightDescriptor::default())
            .await
            .map(|_| ()),
        raw.do_get(Ticket::default()).await.map(|_| ()),
        raw.do_put(put()).await.map(|_| ()),
        raw.do_exchange(put()).await.map(|_| ()),
        raw.do_action(Action::default()).await.map(|_| ()),
        raw.list_actions(Empty {}).await.map(|_| ()),
    ];
    for (at, answer) in codes.into_iter().enumerate() {
        assert_eq!(
            answer.unwrap_err().code(),
            Code::Unauthenticated,
            "call {at}"
        );
    }
    let tables = client.get_tables(CommandGetTables::default()).await;
    assert_eq!(status(tables).code(), Code::Unauthenticated);
}

/// Remembers whose rows it was asked for.
#[derive(Debug)]
struct Whose(Arc<Mutex<Vec<String>>>);

impl Source for Whose {
    fn snapshot(&self, workspace: &str) -> Snapshot {
        self.0.lock().push(workspace.to_owned());
        moment(Vec::new())
    }
}

#[tokio::test]
async fn a_key_reads_its_own_workspace_and_has_its_own_statements() {
    let asked = Arc::default();
    let keys = Keys::new(&["a", "b"]);
    let address = serve(engine(Whose(Arc::clone(&asked))).await, keys.entrance()).await;
    let (mut a, mut b) = (
        with_key(address, "fbk_a").await,
        with_key(address, "fbk_b").await,
    );
    let count = "SELECT count(*) AS n FROM charges";
    for client in [&mut a, &mut b] {
        assert_eq!(ask(client, count).await, [json!({"n": 0})]);
    }
    // Whoever has a ticket reads what is his own with it.
    let info = a.execute(count.to_owned(), None).await.unwrap();
    super::fetch(&mut b, info).await.unwrap();
    assert_eq!(*asked.lock(), ["of-a", "of-b", "of-b"]);
    // A handle is its maker's.
    let packed = |name: &str, inner: &[u8]| {
        let name = format!("type.googleapis.com/arrow.flight.protocol.sql.{name}");
        [super::message(1, name.as_bytes()), super::message(2, inner)].concat()
    };
    let prepare = packed(
        "ActionCreatePreparedStatementRequest",
        &super::message(1, ONE.as_bytes()),
    );
    let mut made = a
        .do_action(Action::new("CreatePreparedStatement", prepare))
        .await
        .unwrap();
    let made = made.message().await.unwrap().unwrap().body;
    let handle = made
        .windows(66)
        .find(|part| part.starts_with(&[0x0a, 64]))
        .unwrap();
    let asked = FlightDescriptor::new_cmd(packed("CommandPreparedStatementQuery", handle));
    for (key, code) in [("fbk_a", None), ("fbk_b", Some(Code::NotFound))] {
        let mut call = tonic::Request::new(asked.clone());
        let header = format!("Bearer {key}").parse().unwrap();
        call.metadata_mut().insert("authorization", header);
        let answer = a.inner_mut().get_flight_info(call).await;
        assert_eq!(answer.err().map(|status| status.code()), code, "{key}");
    }
}

/// Speaks TLS as `localhost`, and the certificate that says so.
pub(crate) fn certified() -> (TlsAcceptor, rcgen::Certificate) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    // Two providers are linked, so neither is the default.
    let server = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key.into())
        .unwrap();
    (TlsAcceptor::from(Arc::new(server)), made.cert)
}

/// A client that trusts this certificate alone.
fn trusting(certificate: &rcgen::Certificate) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add(certificate.der().clone()).unwrap();
    let mut client = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    client.alpn_protocols = vec![b"h2".to_vec()];
    TlsConnector::from(Arc::new(client))
}

/// Takes what comes in the clear on to a port that speaks TLS.
async fn tunnel(to: std::net::SocketAddr, tls: TlsConnector) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut clear, _)) = listener.accept().await {
            let name = ServerName::try_from("localhost").unwrap();
            let socket = TcpStream::connect(to).await.unwrap();
            let mut hidden = tls.connect(name, socket).await.unwrap();
            assert_eq!(hidden.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
            tokio::spawn(
                async move { tokio::io::copy_bidirectional(&mut clear, &mut hidden).await },
            );
        }
    });
    address
}

#[tokio::test]
async fn tls_is_spoken_where_it_is_configured_and_a_hanging_client_holds_up_nobody() {
    let (acceptor, certificate) = certified();
    let connector = trusting(&certificate);
    let entrance = Entrance {
        tls: Some(acceptor),
        ..Entrance::open("default")
    };
    let address = serve(engine(whole_world()).await, entrance).await;
    let silent = TcpStream::connect(address).await.unwrap();
    let mut client = connect_to(tunnel(address, connector).await).await;
    assert_eq!(ask(&mut client, ONE).await, [json!({"one": 1})]);
    let big = "SELECT repeat('x', 1000) AS text FROM generate_series(1, 10000)";
    assert_eq!(ask(&mut client, big).await.len(), 10_000);
    // This machine may do without.
    let mut clear = connect_to(address).await;
    assert_eq!(ask(&mut clear, ONE).await, [json!({"one": 1})]);
    drop(silent);
}

#[tokio::test]
async fn a_greeting_that_does_not_come_ends_the_connection() {
    let address = serve(engine(whole_world()).await, Entrance::open("default")).await;
    let mut silent = TcpStream::connect(address).await.unwrap();
    silent.write_all(b"PRI").await.unwrap();
    let mut answer = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(20), silent.read_to_end(&mut answer));
    assert!(ended.await.is_ok(), "it is still open");
}

#[tokio::test]
async fn only_keys_open_the_port_to_other_machines() {
    let anywhere = || TcpListener::bind("0.0.0.0:0");
    let engine = engine(whole_world()).await;
    let open = flight::serve(
        Arc::clone(&engine),
        Entrance::open("default"),
        anywhere().await.unwrap(),
    );
    assert!(matches!(open.await.unwrap_err(), Error::NotLoopback { .. }));
    let keys = Keys::new(&["a"]);
    let listener = anywhere().await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(flight::serve(engine, keys.entrance(), listener));
    let mut client = with_key(([127, 0, 0, 1], port).into(), "fbk_a").await;
    assert_eq!(ask(&mut client, ONE).await, [json!({"one": 1})]);
    *keys.locked.lock() = false;
    refused(
        query(&mut client, ONE).await,
        Code::Unauthenticated,
        "serves nobody",
    );
}

#[tokio::test]
async fn connections_end_with_the_port() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let engine = engine(whole_world()).await;
    let port = tokio::spawn(flight::serve(engine, Entrance::open("default"), listener));
    let mut client = connect_to(address).await;
    assert_eq!(ask(&mut client, ONE).await, [json!({"one": 1})]);
    port.abort();
    let _ = port.await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(query(&mut client, ONE).await.is_err());
}
