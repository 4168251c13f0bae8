//! Bounds that make an execution do something else before they end it; and agents that ask agents.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use flyball_runtime::clock::{Clock, SystemClock};
use flyball_runtime::control::NoControl;
use flyball_runtime::engine::{Delegate, Engine};
use flyball_runtime::machine::{Journal, SqliteJournal, Termination};
use flyball_runtime::model::scripted::Line;
use flyball_runtime::model::{Message, Scripted, Usage};
use flyball_runtime::spec::{PhaseBudgets, Task};
use flyball_runtime::tools::{Call, Contract, Effect, Tool, ToolError};
use rust_decimal::Decimal;
use serde_json::{Value, json};

use crate::workshop::*;

fn task() -> Task {
    Task::new("go")
}

#[tokio::test]
async fn without_progress_it_plans_anew_before_it_asks_a_person() {
    let same = calls(&[
        ("look", json!({})),
        ("look", json!({})),
        ("look", json!({})),
    ]);
    let contract = Contract::new("look");
    let tool = flyball_runtime::tools::ScriptedTool::new(contract, vec![json!(1)], Duration::ZERO);
    let (engine, journal) = engine(script(vec![same]), toolbox(vec![Arc::new(tool)]));
    let mut spec = spec(&["look"]);
    spec.bounds.max_stalls = 2;
    spec.bounds.max_replans = 3;
    let outcome = engine.run(&spec, &task()).await.unwrap();
    assert_eq!(
        (outcome.reason.as_str(), outcome.counters.replans),
        ("no_progress", 3)
    );
    let record = journal.read(&outcome.execution_id).await.unwrap().unwrap();
    let (mut asked, mut answered, mut told) = (BTreeSet::new(), BTreeSet::new(), 0);
    for message in &record.messages {
        match message {
            Message::Assistant { tool_calls, .. } => {
                // each call before is answered, or a provider would refuse the conversation
                assert_eq!(asked, answered);
                asked.extend(tool_calls.iter().map(|call| call.id.clone()));
            }
            Message::Tool { call_id, .. } => {
                answered.insert(call_id.clone());
            }
            Message::User { content } => told += usize::from(content.contains("given up")),
            Message::System { .. } => {}
        }
    }
    assert_eq!(told, 3);
}

#[tokio::test]
async fn planning_tokens_are_never_passed() {
    for at_most in [0, 49, 50, 51, 120] {
        let tool = Arc::new(Counting::new("look", Effect::ReadOnly, false));
        let (engine, _) = engine(
            script(vec![calls(&[("look", json!({}))])]),
            toolbox(vec![tool]),
        );
        let mut spec = spec(&["look"]);
        spec.bounds.max_planning_tokens = Some(at_most);
        let outcome = engine.run(&spec, &task()).await.unwrap();
        assert_eq!(outcome.reason, "max_planning_tokens");
        assert_eq!(outcome.counters.planning_tokens, at_most);
        assert_eq!(
            u64::from(outcome.counters.model_calls),
            at_most.div_ceil(50)
        );
    }
}

#[tokio::test]
async fn a_phase_that_is_late_makes_plans_shallower() {
    let many: Vec<(&str, Value)> = (0..8).map(|n| ("look", json!({ "n": n }))).collect();
    let slow = Line {
        latency_ms: 40,
        ..calls(&many)
    };
    let quick = calls(&many);
    let tool = Arc::new(Counting::new("look", Effect::ReadOnly, false));
    let (engine, journal) = engine(script(vec![slow.clone(), slow, quick]), toolbox(vec![tool]));
    let mut spec = spec(&["look"]);
    spec.bounds.max_steps = 4;
    spec.bounds.phases = PhaseBudgets {
        plan_ms: Some(30),
        ..PhaseBudgets::default()
    };
    let outcome = engine.run(&spec, &task()).await.unwrap();
    let record = journal.read(&outcome.execution_id).await.unwrap().unwrap();
    let depths: Vec<usize> = record
        .messages
        .iter()
        .filter_map(|message| match message {
            Message::Assistant { tool_calls, .. } => Some(tool_calls.len()),
            _ => None,
        })
        .collect();
    // The first was late when it ended; a quick one leaves the next as it is.
    assert_eq!(depths[..3], [8, 4, 2]);
    assert!(outcome.counters.overruns >= 2);
}

/// Fails for the moment, always, and takes its time for it.
#[derive(Debug)]
struct Flaky(Contract, AtomicU32);

#[async_trait::async_trait]
impl Tool for Flaky {
    fn contract(&self) -> &Contract {
        &self.0
    }

    async fn call(&self, _: Call) -> Result<Value, ToolError> {
        self.1.fetch_add(1, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(30)).await;
        Err(ToolError::Transient("busy".into()))
    }
}

#[tokio::test]
async fn an_action_that_is_late_is_not_tried_again() {
    for (act_ms, tries) in [(None, 3), (Some(10), 1)] {
        let tool = Arc::new(Flaky(Contract::new("look"), AtomicU32::new(0)));
        let replies = vec![calls(&[("look", json!({}))]), answer("no")];
        let (engine, _) = engine(script(replies), toolbox(vec![Arc::<Flaky>::clone(&tool)]));
        let mut spec = spec(&["look"]);
        spec.bounds.phases.act_ms = act_ms;
        engine.run(&spec, &task()).await.unwrap();
        assert_eq!(tool.1.load(Ordering::SeqCst), tries, "{act_ms:?}");
    }
}

#[tokio::test]
async fn it_stops_where_more_is_not_worth_it() {
    // 1,100 millionths of a dollar a step
    for (value, steps) in [(500, 1), (2_200, 2), (3_400, 3)] {
        let tool = Arc::new(Counting::new("look", Effect::ReadOnly, false));
        let (engine, _) = engine(
            script(vec![calls(&[("look", json!({}))])]),
            toolbox(vec![tool]),
        );
        let task = Task {
            value_usd: Some(Decimal::new(value, 6)),
            ..task()
        };
        let outcome = engine.run(&spec(&["look"]), &task).await.unwrap();
        assert_eq!(
            (outcome.reason.as_str(), outcome.counters.steps),
            ("not_worth_it", steps)
        );
        assert_eq!(outcome.termination, Termination::Escalation);
    }
}

/// A parent with 10 cents asks a child, for at most 4 cents a call, that spends 3 of each.
#[tokio::test]
async fn a_childs_slice_is_carved_from_its_parents_budget() {
    let journal = Arc::new(SqliteJournal::in_memory().unwrap());
    let build = |replies: Vec<Line>, tools| {
        Engine::new(parts(
            Arc::new(NoControl::default()),
            Arc::<SqliteJournal>::clone(&journal),
            Arc::new(Scripted::new(script(replies))),
            tools,
        ))
    };
    let dear = |line: Line| Line {
        usage: Usage {
            input_tokens: 30_000,
            output_tokens: 0,
            ..Usage::default()
        },
        ..line
    };
    let look = Arc::new(Counting::new("look", Effect::ReadOnly, false));
    // a child that would go on for ever, at 3 cents a step: its slice ends it after the first
    let children = build(
        vec![dear(calls(&[("look", json!({}))]))],
        toolbox(vec![look]),
    );
    let child = flyball_runtime::spec::AgentSpec {
        agent: "child".into(),
        ..spec(&["look"])
    };
    let delegate = Delegate::new("ask", children, child, Effect::ReadOnly, Decimal::new(4, 2));
    let ask = |n: i32| calls(&[("ask", json!({"goal": format!("part {n}")}))]);
    let parents = build(
        vec![ask(1), ask(2), ask(3), answer("done")],
        toolbox(vec![Arc::new(delegate)]),
    );
    let mut parent = spec(&["ask"]);
    parent.bounds.budget_usd = Some(Decimal::new(10, 2));
    parent.bounds.max_stalls = 9;
    let outcome = parents.run_as("p", &parent, &task()).await.unwrap();
    // Two slices fit, of which each spends 3 cents; after that 4 cents can't be set aside any more.
    assert_eq!(outcome.reason, "budget_exhausted", "{}", outcome.detail);
    assert_eq!(outcome.counters.tool_calls, 2);
    // three calls of its own, at 1,100 millionths
    assert_eq!(
        outcome.spent_usd,
        Decimal::new(6, 2) + Decimal::new(3 * 1_100, 6)
    );
    let record = journal.read("p").await.unwrap().unwrap();
    let said = serde_json::to_string(&record.messages).unwrap();
    assert!(
        said.contains("budget_exhausted"),
        "the child's end is told: {said}"
    );
    // both are executions of their own, and ended
    assert!(journal.unfinished().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_child_whose_parent_has_ended_is_ended_too() {
    let (engine, journal) = engine(script(vec![answer("ok")]), toolbox(vec![]));
    let now = SystemClock.unix_nano();
    for (id, parent) in [
        ("child", Some("gone")),
        ("other", Some("alive")),
        ("alive", None),
    ] {
        let task = Task {
            parent: parent.map(str::to_owned),
            ..task()
        };
        let record = flyball_runtime::machine::Record::new(id.into(), spec(&[]), task, now);
        journal.begin(&record).await.unwrap();
    }
    let resumed = engine.resume_all().await.unwrap();
    let mut told: Vec<(&str, &str)> = resumed
        .iter()
        .map(|(id, outcome)| (id.as_str(), outcome.as_ref().unwrap().reason.as_str()))
        .collect();
    told.sort_unstable();
    assert_eq!(told, [("alive", "goal_reached"), ("child", "parent_ended")]);
    // the other's parent, which is gone on with, goes on with it when it asks again
    assert_eq!(journal.unfinished().await.unwrap(), ["other"]);
}
