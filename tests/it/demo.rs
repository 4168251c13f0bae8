//! `flyball demo` ends by itself with a frozen runaway, and its data prove it.

use crate::harness::{flyball, number, query, row, run};

#[test]
fn the_runaway_is_frozen_within_a_second_and_makes_no_call_after_it() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("demo");
    let output = run(flyball(&dir).arg("demo"));
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(printed.contains("frozen"), "{printed}");

    let freezes = query(
        &dir,
        "SELECT action_id, target, rule, cause_span_id, cause_ended_at, obeyed_at, \
         (extract(epoch FROM obeyed_at) - extract(epoch FROM cause_ended_at)) * 1000 AS ms \
         FROM actions WHERE state = 'frozen' AND mode = 'enforce'",
    );
    assert_eq!(
        freezes.len(),
        1,
        "exactly the runaway is frozen: {freezes:?}\n{printed}"
    );
    let ms = number(&freezes[0]["ms"]);
    assert!(
        (0.0..1000.0).contains(&ms),
        "obeyed {ms} ms after the causing span ended\n{printed}"
    );
    let agent = freezes[0]["target"].as_str().unwrap();

    let after = row(
        &dir,
        &format!(
            "SELECT count(*) AS n FROM model_calls AS c, actions AS a WHERE a.state = 'frozen' AND a.mode = 'enforce' \
             AND c.agent_name = '{agent}' AND c.start_time > a.obeyed_at"
        ),
    );
    assert_eq!(
        number(&after["n"]),
        0.0,
        "{agent} called a model after it had obeyed\n{printed}"
    );
    let others = row(
        &dir,
        &format!(
            "SELECT count(DISTINCT c.agent_name) AS n FROM model_calls AS c, actions AS a WHERE a.state = 'frozen' \
             AND c.agent_name <> '{agent}' AND c.start_time > a.obeyed_at"
        ),
    );
    assert!(
        number(&others["n"]) >= 1.0,
        "the healthy agents went on\n{printed}"
    );
    let endings = query(
        &dir,
        "SELECT termination, count(*) AS n FROM executions GROUP BY 1",
    );
    assert!(
        endings.iter().any(|row| row["termination"] == "success"),
        "{endings:?}"
    );
}
