//! The sample fleet against a real collector and a real control plane: one runs away and is frozen.

use std::time::Duration;

use flyball_runtime::control::*;
use flyball_runtime::fleet::{self, FleetConfig, RUNAWAY, scenes};

use crate::control::Plane;
use crate::telemetry::{collector, text};

#[test]
fn the_same_seed_tells_the_same_story() {
    for number in 1..50 {
        let (one, same, other) = (
            scenes::incident(number, 7),
            scenes::incident(number, 7),
            scenes::incident(number, 8),
        );
        assert_eq!((one.task, &one.scripts), (same.task, &same.scripts));
        assert_ne!(one.scripts, other.scripts);
        assert_eq!(scenes::ticket(number, 7), scenes::ticket(number, 7));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_runaway_is_frozen_and_the_others_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let plane = Plane::start(&folder.path().join("c.sqlite"), "127.0.0.1:0").await;
    let (collector, otlp_endpoint) = collector().await;
    let config = FleetConfig {
        otlp_endpoint,
        control_url: plane.url(),
        key: None,
        seed: 7,
        runaway: true,
        duration: Duration::from_secs(14),
    };
    let running = tokio::spawn(fleet::run(config));

    // Whoever watches: five equal calls without progress, and it is frozen.
    let repeats = || {
        let spans = collector.spans.lock().unwrap();
        spans
            .iter()
            .map(|(span, ..)| text(&span.attributes))
            .filter(|said| {
                said.get("gen_ai.tool.name")
                    .is_some_and(|tool| tool == "rerun_pipeline")
            })
            .filter(|said| {
                said["gen_ai.agent.name"] == RUNAWAY
                    && said.get("flyball.progress").is_some_and(|p| p == "0")
            })
            .count()
    };
    while repeats() < 20 {
        assert!(!running.is_finished(), "nobody ran away");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let freeze = Order {
        scope: Scope::Agent(RUNAWAY.into()),
        state: State::Frozen,
        actor: "rule:no_progress".into(),
        reason: "20 equal calls without progress".into(),
        rule: Some("no_progress".into()),
        mode: Mode::Enforce,
        cause: None,
        evidence: None,
        action_id: Some("a1".into()),
    };
    let decided = plane
        .control
        .order(freeze)
        .await
        .unwrap()
        .decided_at_unix_nano;
    let report = running.await.unwrap().unwrap();
    println!("{}", serde_json::to_string_pretty(&report).unwrap());

    let runaway = report.runaway.unwrap();
    assert_eq!(runaway.reason, "frozen");
    assert!(runaway.model_calls >= 20);
    let obeyed_after = runaway.stopped_at_unix_nano - decided;
    assert!(
        (0..1_000_000_000).contains(&obeyed_after),
        "{obeyed_after} ns"
    );
    assert_eq!(runaway.calls_after_freeze, 0);
    assert!(
        runaway.refused_executions > 0,
        "it tried again, and was not admitted"
    );
    let words = plane.book.0.lock().unwrap();
    let obeyed = words
        .iter()
        .filter(|event| matches!(event, ControlEvent::Obeyed(word) if word.action_id == "a1"));
    assert_eq!(obeyed.count(), 1);

    assert_eq!(report.agents.len(), 5);
    for (name, agent) in &report.agents {
        let ended = agent.successes + agent.failures + agent.escalations + agent.aborts;
        assert_eq!(ended, agent.executions, "{name}");
        assert!(agent.executions >= 2, "{name}: {agent:?}");
        assert_eq!(agent.frozen > 0, name == RUNAWAY, "{name}: {agent:?}");
    }
    assert!(report.agents["support"].escalations + report.agents["supervise"].escalations > 0);
    assert_eq!(report.spans_dropped, 0);

    // As a collector sees it: no model call of the frozen agent began after it obeyed, every execution
    // ended once, and every model call has its tokens or its error.
    let spans = collector.spans.lock().unwrap();
    assert_eq!(spans.len() as u64, report.spans_accepted);
    let mut ends = std::collections::HashMap::<String, u32>::new();
    for (span, ..) in spans.iter() {
        let said = text(&span.attributes);
        if said["gen_ai.operation.name"] == "invoke_agent" {
            *ends
                .entry(said["flyball.execution.id"].clone())
                .or_default() += 1;
        }
        if said["gen_ai.operation.name"] == "chat" {
            assert!(
                said.contains_key("gen_ai.usage.input_tokens") || said.contains_key("error.type"),
                "{said:?}"
            );
            if said["gen_ai.agent.name"] == RUNAWAY {
                assert!(
                    i64::try_from(span.start_time_unix_nano).unwrap()
                        <= runaway.stopped_at_unix_nano
                );
            }
        }
    }
    assert!(ends.values().all(|count| *count == 1));
    assert_eq!(
        ends.len() as u64,
        report
            .agents
            .values()
            .map(|agent| agent.executions)
            .sum::<u64>()
    );
}
