//! How executions end: by themselves, by their bounds, by their budget, by policy.

use std::sync::Arc;
use std::time::Duration;

use flyball_runtime::machine::{Journal, SqliteJournal, State, Termination, next};
use flyball_runtime::model::scripted::{Failure, Line};
use flyball_runtime::model::{Judgement, Script, Usage};
use flyball_runtime::spec::{Bounds, Role, Task};
use flyball_runtime::tools::Effect;
use proptest::prelude::*;
use rust_decimal::Decimal;
use serde_json::json;

use crate::workshop::*;

fn task() -> Task {
    Task::new("mend the pipeline")
}

/// What must be true of every execution, however it went.
async fn examine(journal: &SqliteJournal, id: &str, bounds: &Bounds) -> Result<(), TestCaseError> {
    let record = journal.read(id).await.unwrap().unwrap();
    let transitions = journal.transitions(id).await.unwrap();
    let mut state = State::Init;
    for (index, transition) in transitions.iter().enumerate() {
        prop_assert_eq!(transition.seq, index as u64 + 1);
        prop_assert_eq!(transition.from, state);
        prop_assert_eq!(next(state, transition.event), Some(transition.to));
        state = transition.to;
    }
    prop_assert_eq!(state, record.state);
    prop_assert!(state.is_terminal());
    let endings = transitions
        .iter()
        .filter(|transition| transition.event.termination().is_some())
        .count();
    prop_assert_eq!(endings, 1);
    let ended = record.ended.unwrap();
    prop_assert!(!ended.reason.is_empty());
    prop_assert_eq!(
        Some(ended.termination),
        transitions.last().unwrap().event.termination()
    );
    prop_assert!(record.counters.steps <= bounds.max_steps);
    prop_assert!(record.counters.stalls <= bounds.max_stalls.max(1));
    prop_assert_eq!(record.budget.reserved(), Decimal::ZERO);
    if let Some(limit) = bounds.budget_usd {
        prop_assert!(record.budget.spent() <= limit);
    }
    let calls_at_most = bounds.max_steps * (bounds.max_retries + 1);
    prop_assert!(record.counters.model_calls <= calls_at_most);
    Ok(())
}

#[tokio::test]
async fn a_task_is_planned_done_judged_and_answered() {
    let tool = Arc::new(Counting::new("look", Effect::ReadOnly, false));
    let effects = Arc::clone(&tool.effects);
    let replies = vec![
        calls(&[("look", json!({"at": 1})), ("look", json!({"at": 2}))]),
        answer("mended"),
    ];
    let (engine, journal) = engine(script(replies), toolbox(vec![tool]));
    let outcome = engine.run(&spec(&["look"]), &task()).await.unwrap();
    assert_eq!(
        (outcome.termination, outcome.reason.as_str()),
        (Termination::Success, "goal_reached")
    );
    assert_eq!(outcome.answer.as_deref(), Some("mended"));
    assert_eq!(
        (
            outcome.counters.steps,
            outcome.counters.model_calls,
            outcome.counters.tool_calls
        ),
        (2, 2, 2)
    );
    assert_eq!(effects.lock().unwrap().len(), 2);
    // 2 x (1,000 x 1 + 50 x 2) millionths of a dollar
    assert_eq!(outcome.spent_usd, Decimal::new(2200, 6));
    let path: Vec<&str> = journal
        .transitions(&outcome.execution_id)
        .await
        .unwrap()
        .iter()
        .map(|step| step.to.name())
        .collect();
    assert_eq!(
        path,
        [
            "PLAN", "ACT", "EVAL", "PERSIST", "ACT", "EVAL", "PERSIST", "PLAN", "EVAL", "PERSIST",
            "END"
        ]
    );
    // an execution that has ended answers its outcome, and does nothing again
    assert_eq!(engine.resume(&outcome.execution_id).await.unwrap(), outcome);
    assert_eq!(effects.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn every_way_to_end_has_its_reason() {
    let look = || calls(&[("look", json!({}))]);
    let fail = |error| Line {
        error: Some(error),
        ..Line::default()
    };
    let judged = |judgement| Line {
        judgement,
        ..answer("no")
    };
    let gave_up = Judgement {
        success: Some(false),
        ..Judgement::default()
    };
    let asks = Judgement {
        escalate: Some("I may not".into()),
        ..Judgement::default()
    };
    let large = Line {
        usage: Usage {
            input_tokens: 2_000_000,
            ..Usage::default()
        },
        ..answer("x")
    };
    let bounds = |change: fn(&mut Bounds)| {
        let mut bounds = spec(&[]).bounds;
        change(&mut bounds);
        bounds
    };
    let normal = || bounds(|_| ());
    use Termination::{Abort, Escalation, Failure as Fails, Success};
    let cases: Vec<(Vec<Line>, Bounds, Termination, &str)> = vec![
        (vec![answer("ok")], normal(), Success, "goal_reached"),
        (vec![judged(gave_up)], normal(), Fails, "gave_up"),
        (vec![judged(asks)], normal(), Escalation, "asked_by_agent"),
        (vec![look()], normal(), Escalation, "no_progress"),
        (
            vec![look()],
            bounds(|b| {
                b.max_steps = 2;
                b.max_stalls = 9;
            }),
            Escalation,
            "max_steps",
        ),
        (
            vec![look()],
            bounds(|b| b.max_steps = 0),
            Escalation,
            "max_steps",
        ),
        (
            vec![Line {
                latency_ms: 500,
                ..look()
            }],
            bounds(|b| b.max_wall_ms = 40),
            Escalation,
            "max_wall_clock",
        ),
        (
            vec![calls(&[("delete", json!({}))])],
            normal(),
            Escalation,
            "needs_approval",
        ),
        (vec![large], normal(), Abort, "budget_exhausted"),
        (vec![fail(Failure::Frozen)], normal(), Abort, "frozen"),
        (
            vec![fail(Failure::Budget)],
            normal(),
            Abort,
            "budget_exhausted",
        ),
        (
            vec![fail(Failure::Refused)],
            normal(),
            Abort,
            "model_refused",
        ),
        (
            vec![fail(Failure::Overloaded)],
            bounds(|b| b.max_retries = 1),
            Abort,
            "model_unavailable",
        ),
        (
            vec![calls(&[("nothing", json!({}))])],
            normal(),
            Escalation,
            "no_progress",
        ),
    ];
    for (replies, bounds, termination, reason) in cases {
        let tools = toolbox(vec![
            Arc::new(Counting::new("look", Effect::ReadOnly, false)),
            Arc::new(Counting::new("delete", Effect::Irreversible, false)),
        ]);
        let same = flyball_runtime::tools::ScriptedTool::new(
            flyball_runtime::tools::Contract::new("look"),
            vec![json!({"n": 1})],
            Duration::ZERO,
        );
        let mut tools = tools;
        tools.add(Arc::new(same)).unwrap();
        let (engine, journal) = engine(script(replies), tools);
        let spec = flyball_runtime::spec::AgentSpec {
            bounds: bounds.clone(),
            ..spec(&["look", "delete"])
        };
        let outcome = engine.run(&spec, &task()).await.unwrap();
        assert_eq!(
            (outcome.termination, outcome.reason.as_str()),
            (termination, reason),
            "{}",
            outcome.detail
        );
        examine(&journal, &outcome.execution_id, &bounds)
            .await
            .unwrap();
    }
}

/// 100 tokens of output at 2 USD a million are reserved for each attempt, and kept unless the provider
/// has said that it refuses.
#[tokio::test]
async fn a_failed_call_that_may_be_billed_counts_at_its_worst() {
    let worst = Decimal::new(200, 6);
    for (error, attempts) in [
        (Failure::Malformed, 1),
        (Failure::Overloaded, 3),
        (Failure::Throttled, 0),
        (Failure::Refused, 0),
    ] {
        let fails = Line {
            error: Some(error),
            ..Line::default()
        };
        let (engine, _) = engine(script(vec![fails]), toolbox(vec![]));
        let outcome = engine.run(&spec(&[]), &task()).await.unwrap();
        let counted = worst * Decimal::from(attempts);
        assert_eq!(outcome.spent_usd, counted, "{error:?}");
    }
    // so retries stop where the budget does
    let fails = Line {
        error: Some(Failure::Overloaded),
        ..Line::default()
    };
    let (engine, _) = engine(script(vec![fails]), toolbox(vec![]));
    let mut spec = spec(&[]);
    spec.bounds.budget_usd = Some(Decimal::new(500, 6));
    let outcome = engine.run(&spec, &task()).await.unwrap();
    assert_eq!(
        (outcome.reason.as_str(), outcome.counters.model_calls),
        ("budget_exhausted", 2)
    );
}

#[tokio::test]
async fn what_policy_or_permission_refuses_is_not_done_and_the_model_is_told() {
    let tool = Arc::new(Counting::new("write", Effect::Reversible, false));
    let effects = Arc::clone(&tool.effects);
    let tools = toolbox(vec![tool]);
    let replies = || vec![calls(&[("write", json!({}))]), answer("I could not")];
    let (engine, journal) = engine(script(replies()), tools);
    let observer = flyball_runtime::spec::AgentSpec {
        role: Role::Observer,
        ..spec(&["write"])
    };
    for (spec, says) in [
        (observer, "denied by observers_only_read"),
        (spec(&[]), "may not call write"),
    ] {
        let outcome = engine.run(&spec, &task()).await.unwrap();
        assert_eq!(outcome.termination, Termination::Success);
        let record = journal.read(&outcome.execution_id).await.unwrap().unwrap();
        let told = serde_json::to_string(&record.messages).unwrap();
        assert!(told.contains(says), "{told}");
    }
    assert!(effects.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_tools_price_is_reserved_and_spent() {
    let tool =
        Arc::new(Counting::new("search", Effect::ReadOnly, false).costing(Decimal::new(40, 2)));
    let (engine, _) = engine(
        script(vec![calls(&[("search", json!({}))])]),
        toolbox(vec![tool]),
    );
    let outcome = engine.run(&spec(&["search"]), &task()).await.unwrap();
    assert_eq!(
        (outcome.reason.as_str(), outcome.counters.tool_calls),
        ("budget_exhausted", 2)
    );
    assert!(outcome.spent_usd > Decimal::new(80, 2) && outcome.spent_usd < Decimal::ONE);
}

#[tokio::test]
async fn two_do_not_run_one_execution() {
    let tool =
        Arc::new(Counting::new("look", Effect::ReadOnly, false).taking(Duration::from_millis(50)));
    let replies = vec![calls(&[("look", json!({}))]), answer("ok")];
    let (engine, _) = engine(script(replies), toolbox(vec![tool]));
    let (first, other) = (engine.clone(), engine.clone());
    let spec_ = spec(&["look"]);
    let running = tokio::spawn(async move { first.run_as("e1", &spec_, &task()).await });
    tokio::time::sleep(Duration::from_millis(20)).await;
    let second = other.resume("e1").await;
    let both = [running.await.unwrap(), second];
    assert_eq!(
        both.iter().filter(|result| result.is_ok()).count(),
        1,
        "{both:?}"
    );
    assert!(other.run_as("e1", &spec(&[]), &task()).await.is_err());
    assert!(other.resume("nobody").await.is_err());
}

fn any_line() -> impl Strategy<Value = Line> {
    let calls_any = prop::collection::vec((0_usize..4, 0_i64..3), 0..4).prop_map(|chosen| {
        let names = ["look", "write", "delete", "nothing"];
        let chosen: Vec<_> = chosen
            .iter()
            .map(|(tool, n)| (names[*tool], json!({ "n": n })))
            .collect();
        calls(&chosen)
    });
    let error = prop_oneof![
        Just(Failure::Frozen),
        Just(Failure::Budget),
        Just(Failure::Throttled),
        Just(Failure::Overloaded),
        Just(Failure::Refused),
        Just(Failure::Malformed)
    ];
    (
        calls_any,
        prop::option::weighted(0.1, error),
        0_u64..400_000,
        prop::option::weighted(0.1, any::<bool>()),
        prop::bool::weighted(0.05),
    )
        .prop_map(|(line, error, input_tokens, success, escalate)| Line {
            error,
            usage: Usage {
                input_tokens,
                output_tokens: 50,
                ..Usage::default()
            },
            judgement: Judgement {
                success,
                escalate: escalate.then(|| "help".to_owned()),
                confidence: Some(0.4),
                ..Judgement::default()
            },
            ..line
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    /// Whatever the model says: only edges of the table, one termination, bounds and budget kept.
    #[test]
    fn no_script_escapes_the_machine(
        replies in prop::collection::vec(any_line(), 1..8),
        max_steps in 0_u32..8,
        max_stalls in 1_u32..4,
        max_retries in 0_u32..2,
        cents in 0_i64..200,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let tools = toolbox(vec![
                Arc::new(Counting::new("look", Effect::ReadOnly, false)),
                Arc::new(Counting::new("write", Effect::Reversible, true).costing(Decimal::new(1, 2))),
                Arc::new(Counting::new("delete", Effect::Irreversible, false)),
            ]);
            let bounds = Bounds { max_steps, max_stalls, max_retries, budget_usd: Some(Decimal::new(cents, 2)), ..spec(&[]).bounds };
            let spec = flyball_runtime::spec::AgentSpec { bounds: bounds.clone(), ..spec(&["look", "write", "delete"]) };
            let (engine, journal) = engine(Script { replies, ..Script::default() }, tools);
            let outcome = engine.run(&spec, &task()).await.unwrap();
            examine(&journal, &outcome.execution_id, &bounds).await
        })?;
    }
}
