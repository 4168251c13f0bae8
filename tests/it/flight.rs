//! The Flight SQL port of a running server, through the ADBC driver as it is on people's machines.

use std::process::Command;

use serde_json::{Value, json};

use crate::harness::{Server, import, recording, root, run};
use crate::readers::python;

fn text<'a>(found: &'a Value, what: &str) -> &'a str {
    found[what]
        .as_str()
        .unwrap_or_else(|| panic!("{what}: {found}"))
}

#[test]
fn adbc_asks_binds_looks_around_and_is_refused() {
    let Some(python) = python() else { return };
    let dir = tempfile::tempdir().unwrap();
    import(
        dir.path(),
        &[recording("oi_langgraph"), recording("traceloop")],
    );
    let server = Server::start(dir.path(), &[]);
    let truth = server.query(
        "SELECT CAST(sum(cost_usd) AS VARCHAR) AS cost, min(start_time) AS first FROM charges",
    );
    let busiest = server.query(
        "SELECT agent_name, count(*) AS calls FROM charges WHERE calls >= 1 GROUP BY 1 ORDER BY 2 DESC LIMIT 1",
    );
    let (agent, calls) = (text(&busiest[0], "agent_name"), &busiest[0]["calls"]);
    let columns: Vec<Value> = server
        .query("SELECT column_name FROM information_schema.columns WHERE table_name = 'model_calls' ORDER BY ordinal_position")
        .into_iter()
        .map(|row| row["column_name"].clone())
        .collect();
    // With a password the driver makes a handshake first; without keys any will do.
    for login in [&[][..], &["anybody", "anything"]] {
        let output = run(Command::new(&python)
            .arg(root().join("tests/it/flight.py"))
            .arg(server.address("flight_sql"))
            .arg(agent)
            .args(login));
        let found: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(found["vendor"], "Flyball");
        assert_eq!(found["spans"], json!([285, 285]));
        assert_eq!(
            found["types"],
            json!(["decimal128(28, 12)", "timestamp[us, tz=UTC]"])
        );
        assert_eq!(found["cost"], truth[0]["cost"]);
        let first = text(&found, "first").replace("+00:00", "Z");
        assert_eq!(first, truth[0]["first"]);
        assert_eq!(found["numbered"], json!([calls, 0]));
        assert_eq!(found["marked"], json!([calls, 0]));
        assert_eq!(found["streamed"], json!([30_000, 450_015_000]));
        assert_eq!(found["empty"], 0);
        assert_eq!(found["schema agrees"], true);
        assert!(
            text(&found, "unknown column").contains("the columns here are"),
            "{found}"
        );
        assert!(text(&found, "unknown table").contains("no_such"), "{found}");
        for writing in ["insert", "drop", "ingest"] {
            assert!(
                text(&found, writing).contains("this surface only reads"),
                "{found}"
            );
        }
        assert_eq!(found["read"], "committed");
        assert_eq!(
            found["objects"],
            json!(["flyball", "public", "model_calls", "VIEW"])
        );
        assert_eq!(found["columns"], Value::from(columns.clone()));
        assert_eq!(found["table types"], json!(["TABLE", "VIEW"]));
    }
    server.stop();
}
