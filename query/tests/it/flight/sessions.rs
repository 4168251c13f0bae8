//! What is set in a session holds there and nowhere else.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_flight::Action;
use flyball_query::gate::Entrance;
use flyball_store::{Moment, Snapshot, Table};
use parking_lot::Mutex;
use serde_json::json;
use tonic::Code;

use super::{Client, ask, connect_to, fetch, json, message, query, refused, serve};
use crate::fixture::{engine, whole_world};

/// A session option that is text, as an entry of the map that requests and results hold.
fn option(name: &str, value: &str) -> Vec<u8> {
    let value = message(1, value.as_bytes());
    message(
        1,
        &[message(1, name.as_bytes()), message(2, &value)].concat(),
    )
}

async fn act(client: &mut Client, action: &str, body: Vec<u8>) -> Vec<u8> {
    let mut results = client.do_action(Action::new(action, body)).await.unwrap();
    results.message().await.unwrap().unwrap().body.to_vec()
}

/// Options by name, of an answer whose every length fits into one byte.
async fn options(client: &mut Client) -> BTreeMap<String, String> {
    let answer = act(client, "GetSessionOptions", Vec::new()).await;
    let mut left = answer.as_slice();
    let mut found = BTreeMap::new();
    while let [0x0a, length, rest @ ..] = left {
        let (entry, rest) = rest.split_at(usize::from(*length));
        let name_end = 2 + usize::from(entry[1]);
        let name = String::from_utf8(entry[2..name_end].to_vec()).unwrap();
        // The value's tag and length, and those of the text in it.
        let value = String::from_utf8(entry[name_end + 4..].to_vec()).unwrap();
        found.insert(name, value);
        left = rest;
    }
    assert!(left.is_empty());
    found
}

const PLANS: &str = "SELECT count(*) AS n FROM charges";

/// How many plans EXPLAIN tells, besides what is scanned: one when it is told to leave the physical plan out.
async fn plans(client: &mut Client) -> usize {
    ask(client, &format!("EXPLAIN {PLANS}")).await.len() - 1
}

#[tokio::test]
async fn what_is_set_holds_on_its_connection() {
    let address = serve(engine(whole_world()).await, Entrance::open("default")).await;
    let (mut first, mut second) = (connect_to(address).await, connect_to(address).await);
    let set = "SET datafusion.explain.logical_plan_only = true";
    // Announced is done: clients that expect no rows do not wait for them. To ask for its columns does nothing.
    let info = first.execute(set.to_owned(), None).await.unwrap();
    assert_eq!((plans(&mut first).await, plans(&mut second).await), (1, 2));
    ask(&mut first, "RESET datafusion.explain.logical_plan_only").await;
    assert!(json(&fetch(&mut first, info.clone()).await.unwrap()).is_empty());
    let descriptor = info.flight_descriptor.unwrap();
    first.inner_mut().get_schema(descriptor).await.unwrap();
    assert_eq!(plans(&mut first).await, 2);
    assert!(ask(&mut first, set).await.is_empty());
    assert_eq!((plans(&mut first).await, plans(&mut second).await), (1, 2));
    ask(&mut first, "RESET datafusion.explain.logical_plan_only").await;
    assert_eq!(plans(&mut first).await, 2);
    // As JDBC does, which takes for an update what answers no columns.
    assert_eq!(first.execute_update(set.to_owned(), None).await.unwrap(), 0);
    let mut prepared = second.prepare(set.to_owned(), None).await.unwrap();
    assert_eq!(prepared.execute_update().await.unwrap(), 0);
    assert_eq!((plans(&mut first).await, plans(&mut second).await), (1, 1));
}

#[tokio::test]
async fn each_handshake_begins_a_session_of_its_own() {
    let address = serve(engine(whole_world()).await, Entrance::open("default")).await;
    let mut first = connect_to(address).await;
    // Over the same connection.
    let mut second = first.clone();
    first.handshake("anybody", "anything").await.unwrap();
    second.handshake("anybody", "anything").await.unwrap();
    assert_ne!(first.token(), second.token());
    ask(
        &mut first,
        "SET datafusion.explain.logical_plan_only = true",
    )
    .await;
    assert_eq!((plans(&mut first).await, plans(&mut second).await), (1, 2));
    // It goes where its token goes.
    let mut elsewhere = connect_to(address).await;
    elsewhere.set_token(first.token().unwrap().clone());
    assert_eq!(plans(&mut elsewhere).await, 1);
    assert_eq!(act(&mut first, "CloseSession", Vec::new()).await, [0x08, 1]);
    assert_eq!(plans(&mut elsewhere).await, 2);
}

#[tokio::test]
async fn options_are_set_told_and_refused_by_name() {
    let address = serve(engine(whole_world()).await, Entrance::open("default")).await;
    let mut client = connect_to(address).await;
    let body = [
        option("catalog", "flyball"),
        option("schema", "public"),
        option("flyball.read", "2h"),
    ];
    assert!(
        act(&mut client, "SetSessionOptions", body.concat())
            .await
            .is_empty()
    );
    let told = options(&mut client).await;
    let told: Vec<_> = told
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    assert_eq!(
        told,
        [
            ("catalog", "flyball"),
            ("flyball.read", "2h"),
            ("schema", "public")
        ]
    );
    let value = 2;
    let name = 1;
    for (option_name, given, error) in [
        ("catalog", "other", value),
        ("flyball.read", "yesterday", value),
        ("datafusion.runtime.memory_limit", "100G", name),
        ("nothing", "x", name),
    ] {
        let answer = act(&mut client, "SetSessionOptions", option(option_name, given)).await;
        let error = [
            message(1, option_name.as_bytes()),
            message(2, &[0x08, error]),
        ]
        .concat();
        assert_eq!(answer, message(1, &error), "{option_name}");
    }
    assert_eq!(options(&mut client).await["flyball.read"], "2h");
    let long = format!(
        "SET datafusion.execution.time_zone = '{}'",
        "x".repeat(2000)
    );
    refused(
        query(&mut client, &long).await,
        Code::InvalidArgument,
        "1024",
    );
}

/// Remembers which moment it was asked for.
#[derive(Debug)]
struct Asked {
    rows: Snapshot,
    moments: Arc<Mutex<Vec<String>>>,
}

#[async_trait::async_trait]
impl flyball_query::Source for Asked {
    fn snapshot(&self, _workspace: &str) -> Snapshot {
        self.rows.clone()
    }

    async fn snapshot_at(
        &self,
        _workspace: &str,
        moment: Moment,
        _tables: &[Table],
    ) -> flyball_store::Result<Snapshot> {
        self.moments.lock().push(moment.to_string());
        Ok(self.rows.clone())
    }
}

#[tokio::test]
async fn the_moment_to_read_is_one_of_the_session() {
    let moments = Arc::default();
    let source = Asked {
        rows: whole_world(),
        moments: Arc::clone(&moments),
    };
    let mut client = connect_to(serve(engine(source).await, Entrance::open("default")).await).await;
    let count = [json!({"n": 11})];
    assert_eq!(ask(&mut client, PLANS).await, count);
    ask(&mut client, "SET flyball.read = 'committed'").await;
    assert_eq!(ask(&mut client, PLANS).await, count);
    act(
        &mut client,
        "SetSessionOptions",
        option("flyball.read", "latest"),
    )
    .await;
    assert_eq!(ask(&mut client, PLANS).await, count);
    assert_eq!(*moments.lock(), ["latest", "committed", "latest"]);
}
