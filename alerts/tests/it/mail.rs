//! E-mail, against a small SMTP server that follows a script.

use std::sync::Arc;
use std::time::Duration;

use flyball_alerts::notify::{About, Channel, Cover, Email, Kind, Secret};
use parking_lot::Mutex;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::notify::{options, outbox, tell, until};

/// What a server was told, line by line, over all connections.
#[derive(Debug, Default)]
struct Server {
    heard: Mutex<Vec<String>>,
    /// What it says to the end of a message; then `250 ok`.
    script: Mutex<Vec<&'static str>>,
}

impl Server {
    async fn start(script: &[&'static str]) -> (Arc<Self>, u16) {
        let server = Arc::new(Self {
            script: Mutex::new(script.to_vec()),
            ..Self::default()
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let serving = Arc::clone(&server);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(Arc::clone(&serving).talk(stream));
            }
        });
        (server, port)
    }

    async fn talk(self: Arc<Self>, stream: TcpStream) {
        let mut stream = BufReader::new(stream);
        let _ = stream.write_all(b"220 mail.example.org ESMTP\r\n").await;
        let (mut line, mut in_message) = (String::new(), false);
        while stream.read_line(&mut line).await.is_ok_and(|n| n > 0) {
            let told = line.trim_end().to_owned();
            line.clear();
            self.heard.lock().push(told.clone());
            let answer = match told.split(' ').next().unwrap_or_default() {
                "." if in_message => {
                    in_message = false;
                    let mut script = self.script.lock();
                    if script.is_empty() {
                        "250 ok"
                    } else {
                        script.remove(0)
                    }
                }
                _ if in_message => continue,
                "EHLO" => "250-mail.example.org\r\n250 AUTH PLAIN",
                "AUTH" => "235 welcome",
                "DATA" => {
                    in_message = true;
                    "354 go on"
                }
                "QUIT" => "221 bye",
                _ => "250 ok",
            };
            let _ = stream.write_all(format!("{answer}\r\n").as_bytes()).await;
        }
    }

    fn heard(&self, start: &str) -> usize {
        let heard = self.heard.lock();
        heard.iter().filter(|line| line.starts_with(start)).count()
    }
}

fn channel(port: u16, cover: Cover) -> Channel {
    let from = "Flyball <flyball@example.org>".parse().unwrap();
    let to = vec![
        "ops@example.org".parse().unwrap(),
        "ada@example.org".parse().unwrap(),
    ];
    let email = Email::new("127.0.0.1", port, cover, from, to).unwrap();
    let email = email.with_login("flyball", Secret::new("s3cret"));
    let mut channel = Channel::new("mail", Kind::Email(Box::new(email)));
    channel.group.as_mut().unwrap().wait = Duration::from_millis(200);
    channel
}

#[tokio::test(flavor = "multi_thread")]
async fn one_message_for_what_belongs_together_tried_until_it_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let (server, port) = Server::start(&["451 come back later"]).await;
    let outbox = outbox(folder.path(), vec![channel(port, Cover::Plain)], options());
    for id in ["a", "b"] {
        tell(&outbox, id, About::Firing);
    }
    let figures = until(&outbox, |f| f.sent == 2).await;
    assert_eq!(figures.failed, 0);
    // "\0flyball\0s3cret"
    assert_eq!(server.heard("AUTH PLAIN AGZseWJhbGwAczNjcmV0"), 2);
    assert_eq!(server.heard("MAIL FROM:<flyball@example.org>"), 2);
    assert_eq!(server.heard("RCPT TO:<ops@example.org>"), 2);
    assert_eq!(server.heard("RCPT TO:<ada@example.org>"), 2);
    assert_eq!(server.heard("Subject: [FIRING:2] spend"), 2);
    let ids: Vec<String> = server
        .heard
        .lock()
        .iter()
        .filter(|line| line.starts_with("Message-ID: "))
        .cloned()
        .collect();
    assert_eq!(ids[0], ids[1], "the same message");
    for id in ["a", "b"] {
        assert_eq!(
            server.heard(&format!("FIRING spend agent={id} (critical)")),
            2
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_final_and_its_reason_names_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let (server, port) = Server::start(&["550 no such user ada@example.org"]).await;
    let outbox = outbox(folder.path(), vec![channel(port, Cover::Plain)], options());
    tell(&outbox, "a", About::Firing);
    until(&outbox, |f| f.failed == 1).await;
    let lost = outbox.lost().await.unwrap();
    assert_eq!(lost[0].reason, "the server answers 550");
    assert_eq!(server.heard("DATA"), 1);
}

/// Somebody in between may have taken the offer of TLS out: neither password nor message may follow.
#[tokio::test(flavor = "multi_thread")]
async fn without_the_tls_that_is_wanted_nothing_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let (server, port) = Server::start(&[]).await;
    for cover in [Cover::StartTls, Cover::Tls] {
        let folder = folder.path().join(format!("{cover:?}"));
        std::fs::create_dir(&folder).unwrap();
        let outbox = outbox(&folder, vec![channel(port, cover)], options());
        tell(&outbox, "a", About::Firing);
        let figures = until(&outbox, |f| f.trouble.is_some()).await;
        assert_eq!((figures.sent, figures.failed, figures.waiting), (0, 0, 1));
        outbox.stop(Duration::from_secs(3)).await;
    }
    assert_eq!(
        server.heard("AUTH") + server.heard("MAIL") + server.heard("DATA"),
        0
    );
}
