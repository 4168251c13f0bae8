//! The PostgreSQL port with keys: real clients, real keys, and bytes that no client sends.

use std::sync::Arc;
use std::time::Duration;

use flyball_query::gate::{Entrance, Gate, Reader, Refused, Verifier};
use flyball_query::pg;
use flyball_store::{ApiKeys, Config, KeyOrder, Role, Standing};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_postgres::{Client, Error, NoTls};

use crate::fixture::{engine, whole_world};

/// Lets in whoever has one of these keys.
#[derive(Debug)]
struct Keys(ApiKeys);

impl Gate for Keys {
    fn is_locked(&self) -> bool {
        self.0.configured()
    }

    fn with_secret(&self, _secret: &str) -> Result<Reader, Refused> {
        unreachable!("nobody sends a secret here")
    }

    fn verifier(&self, key_id: &str) -> Option<Verifier> {
        let scram = self.0.with_id(key_id)?.scram.clone()?;
        Some(Verifier {
            salt: scram.salt,
            iterations: scram.iterations.get(),
            stored_key: scram.stored_key,
            server_key: scram.server_key,
        })
    }

    fn proven(&self, key_id: &str) -> Result<Reader, Refused> {
        let key = self.0.with_id(key_id);
        let key = key.ok_or_else(|| Refused::Unauthenticated("not known".to_owned()))?;
        match key.standing(chrono::Utc::now()) {
            Standing::InForce => Ok(Reader {
                key_id: Some(key.id.clone()),
                workspace: Some(key.workspace.clone()),
            }),
            _ => Err(Refused::Unauthenticated("it was revoked".to_owned())),
        }
    }

    fn still(&self, reader: &Reader) -> Result<(), Refused> {
        self.proven(reader.key_id.as_deref().unwrap_or_default())
            .map(drop)
    }
}

struct Port {
    keys: Arc<Keys>,
    port: u16,
    id: String,
    secret: String,
    _dir: tempfile::TempDir,
}

impl Port {
    async fn open() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let keys = Arc::new(Keys(ApiKeys::open(&Config::local(dir.path())).unwrap()));
        let order = KeyOrder {
            name: "grafana".to_owned(),
            role: Role::Read,
            workspace: "default".to_owned(),
            tenants: Vec::new(),
            lasts_s: None,
            requests_per_s: None,
            bytes_per_s: None,
        };
        let (key, secret) = keys.0.add(order, "test", chrono::Utc::now()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let entrance = Entrance {
            gate: Arc::clone(&keys) as _,
            ..Entrance::open("default")
        };
        let engine = engine(whole_world()).await;
        tokio::spawn(pg::serve(engine, entrance, listener));
        Self {
            keys,
            port,
            id: key.id.clone(),
            secret,
            _dir: dir,
        }
    }

    async fn connect(&self, user: &str, secret: &str, database: &str) -> Result<Client, Error> {
        let config = format!(
            "host=127.0.0.1 port={} user={user} password={secret} dbname={database}",
            self.port
        );
        let (client, connection) = tokio_postgres::connect(&config, NoTls).await?;
        tokio::spawn(connection);
        Ok(client)
    }
}

/// SQLSTATE and message of an error.
fn told(error: &Error) -> (String, String) {
    let error = error.as_db_error().expect("an error of the server");
    assert_eq!(error.severity(), "FATAL");
    (error.code().code().to_owned(), error.message().to_owned())
}

#[tokio::test]
async fn a_key_lets_in_and_a_wrong_secret_is_told_as_one_that_is_not_known() {
    let port = Port::open().await;
    for database in ["default", "flyball"] {
        let client = port.connect(&port.id, &port.secret, database).await;
        let rows = client.unwrap().query("SELECT 1", &[]).await.unwrap();
        assert_eq!(rows.len(), 1);
    }
    let wrong = port.connect(&port.id, "fbk_0", "default").await;
    let (code, wrong) = told(&wrong.err().unwrap());
    assert_eq!(code, "28P01");
    let unknown = port.connect("key-0", &port.secret, "default").await;
    let (code, unknown) = told(&unknown.err().unwrap());
    assert_eq!(code, "28P01");
    assert_eq!(wrong.replace(&port.id, ""), unknown.replace("key-0", ""));
    let other = port.connect(&port.id, &port.secret, "payroll").await;
    let (code, message) = told(&other.err().unwrap());
    assert_eq!(code, "3D000");
    assert!(message.contains("payroll") && message.contains("default"));
}

#[tokio::test]
async fn a_revoked_key_asks_no_more_on_a_connection_that_stands() {
    let port = Port::open().await;
    let client = port
        .connect(&port.id, &port.secret, "default")
        .await
        .unwrap();
    let prepared = client
        .prepare("SELECT agent_name FROM model_calls")
        .await
        .unwrap();
    assert!(!client.query(&prepared, &[]).await.unwrap().is_empty());
    port.keys
        .0
        .revoke(&port.id, "test", chrono::Utc::now())
        .unwrap();
    let refused = client.query(&prepared, &[]).await.unwrap_err();
    assert_eq!(told(&refused).0, "28000");
    let refused = port.connect(&port.id, &port.secret, "default").await;
    assert_eq!(told(&refused.err().unwrap()).0, "28000");
}

/// Sends bytes, and gives what comes back until the server hangs up or has nothing more to say.
async fn raw(port: u16, messages: &[&[u8]]) -> Vec<u8> {
    let mut socket = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let mut answer = Vec::new();
    for message in messages {
        // It may have hung up already.
        let _ = socket.write_all(message).await;
        let mut part = [0; 4096];
        let read = tokio::time::timeout(Duration::from_millis(300), socket.read(&mut part)).await;
        if let Ok(Ok(bytes)) = read {
            answer.extend(&part[..bytes]);
        }
    }
    answer
}

fn message(tag: Option<u8>, body: &[u8]) -> Vec<u8> {
    let length = (body.len() + 4) as u32;
    tag.into_iter()
        .chain(length.to_be_bytes())
        .chain(body.iter().copied())
        .collect()
}

#[tokio::test]
async fn nothing_is_answered_before_somebody_was_let_in() {
    let port = Port::open().await;
    let startup = message(None, b"\0\x03\0\0user\0flyball\0database\0default\0\0");
    let query = message(Some(b'Q'), b"SELECT 'secret' || 'ly'\0");
    let parse = message(Some(b'P'), b"\0SELECT 'secret' || 'ly'\0\0\0");
    let rest = [
        message(Some(b'B'), b"\0\0\0\0\0\0\0\0"),
        message(Some(b'E'), b"\0\0\0\0\0"),
        message(Some(b'S'), b""),
    ]
    .concat();
    let initial = |mechanism: &[u8], first: &[u8]| {
        let length = (first.len() as u32).to_be_bytes();
        message(Some(b'p'), &[mechanism, b"\0", &length, first].concat())
    };
    let wrong = message(Some(b'p'), b"c=biws,r=x,p=AAAA");
    let scram = initial(b"SCRAM-SHA-256", b"n,,n=,r=abc");
    let cases: [Vec<&[u8]>; 9] = [
        vec![&query],
        vec![&startup, &query],
        vec![&startup, &parse, &rest],
        vec![&startup, &scram, &query],
        vec![&startup, &scram, &wrong, &query, &query],
        vec![&startup, &scram, &scram, &query],
        vec![&startup, &wrong, &query],
        vec![&startup, &startup, &query],
        vec![&startup, b"p\xff\xff\xff\xff", &query],
    ];
    for (at, case) in cases.iter().enumerate() {
        let answer = raw(port.port, case).await;
        let text = String::from_utf8_lossy(&answer);
        assert!(!text.contains("secretly"), "case {at}: {text}");
    }
    let plain = initial(b"PLAIN", b"x");
    let answer = raw(port.port, &[&startup, &plain]).await;
    assert!(String::from_utf8_lossy(&answer).contains("SCRAM-SHA-256"));
}
