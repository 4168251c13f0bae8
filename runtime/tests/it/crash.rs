//! A crash at every write of the journal, before and after it is on disk; then another process goes on.

use std::sync::Arc;
use std::time::Duration;

use flyball_runtime::control::NoControl;
use flyball_runtime::engine::{Engine, Outcome};
use flyball_runtime::machine::{Journal, SqliteJournal, Termination};
use flyball_runtime::model::Scripted;
use flyball_runtime::spec::Task;
use flyball_runtime::tools::Effect;
use rust_decimal::Decimal;
use serde_json::json;

use crate::workshop::*;

/// Runs with a crash at write `at`, then goes on with a sound journal. Answers the outcome, how often
/// each effect happened, and whether it crashed at all.
async fn crashed(
    at: usize,
    after: bool,
    effect: Effect,
    idempotent: bool,
) -> (Outcome, Vec<u32>, bool) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("journal.sqlite");
    let tool = Arc::new(Counting::new("act", effect, idempotent));
    let effects = Arc::clone(&tool.effects);
    let tools = toolbox(vec![tool]);
    let replies = vec![
        calls(&[("act", json!({"n": 1})), ("act", json!({"n": 2}))]),
        calls(&[("act", json!({"n": 3}))]),
        answer("ok"),
    ];
    let sound = Arc::new(SqliteJournal::open(&file).await.unwrap());
    let crashing = Arc::new(Crashing::new(Arc::clone(&sound), at, after));
    let first = Engine::new(parts(
        Arc::new(NoControl::default()),
        Arc::<Crashing>::clone(&crashing),
        Arc::new(Scripted::new(script(replies.clone()))),
        tools.clone(),
    ));
    let outcome = first.run_as("e", &spec(&["act"]), &Task::new("go")).await;
    let did_crash = outcome.is_err();
    assert_eq!(did_crash, crashing.writes() == at + 1, "write {at}");
    drop((first, crashing, sound));

    let journal = Arc::new(SqliteJournal::open(&file).await.unwrap());
    let second = Engine::new(parts(
        Arc::new(NoControl::default()),
        Arc::<SqliteJournal>::clone(&journal),
        Arc::new(Scripted::new(script(replies))),
        tools,
    ));
    let outcome = second.resume("e").await.unwrap();
    assert!(journal.unfinished().await.unwrap().is_empty());
    let transitions = journal.transitions("e").await.unwrap();
    assert!(
        transitions
            .iter()
            .enumerate()
            .all(|(index, step)| step.seq == index as u64 + 1)
    );
    let counts = effects.lock().unwrap().values().copied().collect();
    (outcome, counts, did_crash)
}

#[tokio::test]
async fn with_idempotent_tools_it_ends_as_it_would_have() {
    for after in [false, true] {
        for at in 0.. {
            let (outcome, counts, did_crash) = crashed(at, after, Effect::Reversible, true).await;
            assert_eq!(
                outcome.termination,
                Termination::Success,
                "write {at} {after}: {}",
                outcome.detail
            );
            assert_eq!(outcome.counters.steps, 3, "write {at} {after}");
            assert_eq!(counts, [1, 1, 1], "write {at} {after}");
            assert!(outcome.spent_usd <= Decimal::ONE);
            if !did_crash {
                assert_eq!(
                    at, 21,
                    "15 transitions, and a note before each of 3 model calls and 3 actions"
                );
                break;
            }
        }
    }
}

#[tokio::test]
async fn with_others_each_effect_happens_at_most_once_or_a_person_is_asked() {
    let mut escalated = 0;
    for after in [false, true] {
        for at in 0.. {
            let (outcome, counts, did_crash) = crashed(at, after, Effect::Reversible, false).await;
            assert!(
                counts.iter().all(|count| *count == 1),
                "write {at} {after}: {counts:?}"
            );
            match outcome.termination {
                Termination::Success => assert_eq!(counts.len(), 3),
                Termination::Escalation => {
                    assert_eq!(outcome.reason, "outcome_unknown");
                    escalated += 1;
                }
                other => panic!("write {at} {after}: {other:?}"),
            }
            if !did_crash {
                break;
            }
        }
    }
    // for each of three actions: after its intent is on disk, and before its result is
    assert_eq!(escalated, 6);
}

#[tokio::test]
async fn a_process_that_dies_in_the_middle_of_a_tool_is_resumed() {
    for (effect, idempotent, termination) in [
        (Effect::ReadOnly, false, Termination::Success),
        (Effect::Reversible, true, Termination::Success),
        (Effect::Reversible, false, Termination::Escalation),
    ] {
        let tool =
            Arc::new(Counting::new("act", effect, idempotent).taking(Duration::from_millis(200)));
        let effects = Arc::clone(&tool.effects);
        let (engine, _) = engine(
            script(vec![calls(&[("act", json!({}))]), answer("ok")]),
            toolbox(vec![tool]),
        );
        let dying = {
            let engine = engine.clone();
            tokio::spawn(async move { engine.run_as("e", &spec(&["act"]), &Task::new("go")).await })
        };
        while effects.lock().unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        dying.abort();
        let _ = dying.await;
        let outcome = engine.resume("e").await.unwrap();
        assert_eq!(
            outcome.termination, termination,
            "{effect:?} {idempotent}: {}",
            outcome.detail
        );
        let count = effects.lock().unwrap().values().copied().max();
        assert_eq!(count, Some(if effect == Effect::ReadOnly { 2 } else { 1 }));
    }
}

#[tokio::test]
async fn a_restart_resets_no_bound() {
    let tool = Arc::new(Counting::new("act", Effect::ReadOnly, false));
    let tools = toolbox(vec![tool]);
    let journal = Arc::new(SqliteJournal::in_memory().unwrap());
    let mut spec = spec(&["act"]);
    spec.bounds.max_steps = 4;
    spec.bounds.max_resumes = 50;
    let mut at = 3;
    let mut result = None;
    for life in 0..50 {
        let crashing = Arc::new(Crashing::new(Arc::clone(&journal), at, true));
        at = 3 + life % 3;
        let parts = parts(
            Arc::new(NoControl::default()),
            crashing,
            Arc::new(Scripted::new(script(vec![calls(&[(
                "act",
                json!({"n": life}),
            )])]))),
            tools.clone(),
        );
        let engine = Engine::new(parts);
        let outcome = if life == 0 {
            engine.run_as("e", &spec, &Task::new("go")).await
        } else {
            engine.resume("e").await
        };
        if let Ok(outcome) = outcome {
            result = Some((life, outcome));
            break;
        }
    }
    let (lives, outcome) = result.unwrap();
    assert!(lives > 3, "{lives} lives");
    assert_eq!(
        (outcome.reason.as_str(), outcome.counters.steps),
        ("max_steps", 4)
    );
}
