//! `kill -9` at every transition of the table, before and after it is on disk, and before and after
//! every effect: a real process dies, another one goes on.
//!
//! The child is this test binary, run again for [`child`] alone. Its world is a folder: tools and the
//! model's meter leave files there, so what was done is counted by those who did it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

use flyball_runtime::Error;
use flyball_runtime::budget::{Budgets, Ledger, Limit, Scope as LimitScope, SqliteLedger, Window};
use flyball_runtime::clock::{Clock, SystemClock};
use flyball_runtime::control::{Governor, InForce, Obeyed, Scope, View};
use flyball_runtime::engine::{Engine, Outcome};
use flyball_runtime::gate::Gate;
use flyball_runtime::machine::{
    Event, Journal, Record, SqliteJournal, State, TABLE, Termination, Transition,
};
use flyball_runtime::model::scripted::{Failure, Line};
use flyball_runtime::model::{Judgement, Message, ModelError, Provider, Reply, Request, Scripted};
use flyball_runtime::spec::{AgentSpec, Task};
use flyball_runtime::tools::{Call, Contract, Effect, Tool, ToolError};
use rust_decimal::Decimal;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::workshop::*;

/// How an execution is brought to a transition.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
struct Story {
    replies: Vec<Line>,
    /// The tool `act` may be called again with the same key.
    idempotent: bool,
    budget_usd: Decimal,
    price_usd: Decimal,
    /// The agent is frozen from the moment at which it stands here.
    frozen_in: Option<State>,
    /// An hour passes from the moment at which it stands here.
    late_in: Option<State>,
}

impl Story {
    fn of(replies: Vec<Line>) -> Self {
        Self {
            replies,
            idempotent: true,
            budget_usd: Decimal::ONE,
            price_usd: Decimal::ZERO,
            frozen_in: None,
            late_in: None,
        }
    }

    /// Three actions of two plans, and an answer.
    fn long() -> Self {
        Self::of(vec![
            calls(&[("act", json!({"n": 1})), ("act", json!({"n": 2}))]),
            calls(&[("act", json!({"n": 3}))]),
            answer("mended"),
        ])
    }
}

/// One life of a child.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct Life {
    folder: PathBuf,
    story: Story,
    /// Stops for good at the n-th point that it passes; lives on when it passes fewer.
    dies_at: Option<usize>,
}

const LIFE: &str = "FLYBALL_TEST_LIFE";
const PASSED: &str = "passed: ";
const REACHED: &str = "reached: ";
const ENDED: &str = "ended: ";

/// Where a child may die. At its point it says so and never moves again; then its parent kills it.
#[derive(Debug)]
struct Points {
    dies_at: Option<usize>,
    passed: AtomicUsize,
}

impl Points {
    fn pass(&self, name: &str) {
        if self.dies_at.is_none() {
            println!("\n{PASSED}{name}");
        }
        if self.dies_at == Some(self.passed.fetch_add(1, Ordering::SeqCst)) {
            let mut out = std::io::stdout();
            writeln!(out, "\n{REACHED}{name}").unwrap();
            out.flush().unwrap();
            loop {
                std::thread::park();
            }
        }
    }
}

/// A journal with a point before and after each write, and a world that changes with the states.
#[derive(Debug)]
struct Pointed {
    inner: SqliteJournal,
    points: Arc<Points>,
    world: Arc<World>,
}

#[async_trait::async_trait]
impl Journal for Pointed {
    async fn begin(&self, record: &Record) -> Result<(), Error> {
        self.points.pass("before begin");
        self.inner.begin(record).await?;
        self.world.stands(record.state);
        self.points.pass("after begin");
        Ok(())
    }

    async fn write(&self, record: &Record, transitions: &[Transition]) -> Result<(), Error> {
        let name = match transitions.first() {
            Some(step) => serde_json::to_string(&(step.from, step.event, step.to)).unwrap(),
            None => "note".to_owned(),
        };
        self.points.pass(&format!("before {name}"));
        self.inner.write(record, transitions).await?;
        self.world.stands(record.state);
        self.points.pass(&format!("after {name}"));
        Ok(())
    }

    async fn read(&self, execution_id: &str) -> Result<Option<Record>, Error> {
        self.inner.read(execution_id).await
    }

    async fn unfinished(&self) -> Result<Vec<String>, Error> {
        self.inner.unfinished().await
    }

    async fn transitions(&self, execution_id: &str) -> Result<Vec<Transition>, Error> {
        self.inner.transitions(execution_id).await
    }
}

/// Control and the clock, as the story has them.
#[derive(Debug)]
struct World {
    story: Story,
    ahead: AtomicI64,
    view: watch::Sender<Arc<View>>,
}

impl World {
    fn new(story: Story) -> Self {
        Self {
            story,
            ahead: AtomicI64::new(0),
            view: watch::Sender::default(),
        }
    }

    fn stands(&self, state: State) {
        if self.story.late_in == Some(state) {
            self.ahead.store(3_600_000_000_000, Ordering::SeqCst);
        }
        if self.story.frozen_in == Some(state) {
            let entry = InForce {
                action_id: "f".into(),
                scope: Scope::Global,
                state: flyball_runtime::control::State::Frozen,
                actor: "test".into(),
                reason: "because".into(),
                decided_at_unix_nano: 1,
            };
            let view = View {
                entries: vec![entry],
                ..View::default()
            };
            self.view.send_replace(Arc::new(view));
        }
    }
}

impl Clock for World {
    fn unix_nano(&self) -> i64 {
        SystemClock.unix_nano() + self.ahead.load(Ordering::SeqCst)
    }
}

#[async_trait::async_trait]
impl Governor for World {
    fn view(&self) -> Arc<View> {
        Arc::clone(&self.view.borrow())
    }

    fn watch(&self) -> watch::Receiver<Arc<View>> {
        self.view.subscribe()
    }

    async fn obeyed(&self, _: Obeyed) -> Result<(), Error> {
        Ok(())
    }
}

fn append(folder: &Path, file: &str, line: &str) {
    let mut options = std::fs::File::options();
    let mut file = options
        .create(true)
        .append(true)
        .open(folder.join(file))
        .unwrap();
    writeln!(file, "{line}").unwrap();
}

fn lines(folder: &Path, file: &str) -> Vec<String> {
    let text = std::fs::read_to_string(folder.join(file)).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// A tool that writes its key down each time it does something.
#[derive(Debug)]
struct Writing {
    contract: Contract,
    folder: PathBuf,
    points: Arc<Points>,
}

#[async_trait::async_trait]
impl Tool for Writing {
    fn contract(&self) -> &Contract {
        &self.contract
    }

    async fn call(&self, call: Call) -> Result<Value, ToolError> {
        self.points.pass("before the effect");
        let known = lines(&self.folder, "effects").contains(&call.idempotency_key);
        if !(known && self.contract.idempotent) {
            append(&self.folder, "effects", &call.idempotency_key);
        }
        self.points.pass("after the effect");
        if call.input["n"] == json!("fails") {
            return Err(ToolError::Failed("as asked".into()));
        }
        Ok(call.input)
    }
}

/// A model whose provider bills each call when it begins, at its full price.
#[derive(Debug)]
struct Metered {
    inner: Scripted,
    folder: PathBuf,
    points: Arc<Points>,
}

#[async_trait::async_trait]
impl Provider for Metered {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn input_at_most(&self, request: &Request) -> u64 {
        self.inner.input_at_most(request)
    }

    async fn chat(&self, request: &Request) -> Result<Reply, ModelError> {
        self.points.pass("before the model call");
        let reply = self.inner.chat(request).await;
        if let Ok(Reply {
            usage: Some(usage), ..
        }) = &reply
        {
            use flyball_runtime::budget::Prices;
            let cost = PRICES.cost("", "", usage, 0).unwrap();
            append(&self.folder, "bill", &cost.to_string());
        }
        self.points.pass("after the model call");
        reply
    }
}

async fn live(life: Life) -> Outcome {
    let points = Arc::new(Points {
        dies_at: life.dies_at,
        passed: AtomicUsize::new(0),
    });
    let world = Arc::new(World::new(life.story.clone()));
    let tool = |name: &str, effect, idempotent| {
        let contract = Contract {
            effect,
            idempotent,
            input: json!({"type": "object"}),
            price_usd: life.story.price_usd,
            ..Contract::new(name)
        };
        Arc::new(Writing {
            contract,
            folder: life.folder.clone(),
            points: Arc::clone(&points),
        })
    };
    let tools = toolbox(vec![
        tool("act", Effect::Reversible, life.story.idempotent),
        tool("delete", Effect::Irreversible, false),
    ]);
    let journal = SqliteJournal::open(&life.folder.join("journal.sqlite"))
        .await
        .unwrap();
    if let Some(record) = journal.read("e").await.unwrap() {
        // What held when the process died holds still.
        world.stands(record.state);
    }
    let journal = Arc::new(Pointed {
        inner: journal,
        points: Arc::clone(&points),
        world: Arc::clone(&world),
    });
    let provider = Arc::new(Metered {
        inner: Scripted::new(script(life.story.replies.clone())),
        folder: life.folder.clone(),
        points: Arc::clone(&points),
    });
    let mut parts = parts(
        Arc::<World>::clone(&world),
        Arc::<Pointed>::clone(&journal),
        provider,
        tools,
    );
    let clock: Arc<dyn Clock> = Arc::<World>::clone(&world);
    parts.gate = Gate::new(Arc::<World>::clone(&world), "child", Arc::clone(&clock));
    let limit = Limit {
        scope: LimitScope::All,
        target: None,
        window: Window::Total,
        usd: life.story.budget_usd,
    };
    let ledger = SqliteLedger::open(&life.folder.join("ledger.sqlite"))
        .await
        .unwrap();
    parts.budgets = Budgets::new(vec![limit], Arc::new(ledger), Arc::clone(&clock))
        .await
        .unwrap();
    parts.clock = clock;
    let engine = Engine::new(parts);
    let mut spec: AgentSpec = spec(&["act", "delete"]);
    spec.bounds.budget_usd = Some(life.story.budget_usd);
    if journal.read("e").await.unwrap().is_some() {
        engine.resume("e").await.unwrap()
    } else {
        engine.run_as("e", &spec, &Task::new("go")).await.unwrap()
    }
}

/// The child. Without a life in its environment it is nobody's, and does nothing.
#[test]
#[ignore = "the process that the others kill"]
fn child() {
    let Ok(life) = std::env::var(LIFE) else {
        return;
    };
    let life = serde_json::from_str(&life).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let outcome = runtime.block_on(async { tokio::spawn(live(life)).await.unwrap() });
    println!(
        "\n{ENDED}{}",
        json!([outcome.termination, outcome.reason, outcome.answer])
    );
}

#[derive(Debug, Clone, PartialEq)]
enum Told {
    Reached(String),
    /// With the points that were passed, when it was not to die.
    Ended(Value, Vec<String>),
}

/// Lets a child live until it ends, or reaches its point and is killed there.
fn one_life(folder: &Path, story: &Story, dies_at: Option<usize>) -> Told {
    let life = Life {
        folder: folder.to_owned(),
        story: story.clone(),
        dies_at,
    };
    let mut child: Child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "killed::child",
            "--ignored",
            "--nocapture",
            "--test-threads=1",
        ])
        .env(LIFE, serde_json::to_string(&life).unwrap())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut told, mut passed) = (None, Vec::new());
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        if let Some(point) = line.strip_prefix(REACHED) {
            told = Some(Told::Reached(point.to_owned()));
            // SIGKILL: nothing of the process runs after it
            child.kill().unwrap();
        } else if let Some(outcome) = line.strip_prefix(ENDED) {
            let outcome = serde_json::from_str(outcome).unwrap();
            told = Some(Told::Ended(outcome, std::mem::take(&mut passed)));
        } else if let Some(point) = line.strip_prefix(PASSED) {
            passed.push(point.to_owned());
        }
    }
    child.wait().unwrap();
    told.unwrap_or_else(|| panic!("a child said nothing: {life:?}"))
}

/// What there is to see when it is all over.
struct Aftermath {
    outcome: Value,
    effects: BTreeMap<String, usize>,
    billed: Decimal,
    record: Record,
    transitions: Vec<Transition>,
}

fn aftermath(folder: &Path, outcome: Value) -> Aftermath {
    let mut effects = BTreeMap::new();
    for key in lines(folder, "effects") {
        *effects.entry(key).or_default() += 1;
    }
    let billed = lines(folder, "bill")
        .iter()
        .map(|cost| cost.parse::<Decimal>().unwrap())
        .sum();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let (record, transitions) = runtime.block_on(async {
        let journal = SqliteJournal::open(&folder.join("journal.sqlite"))
            .await
            .unwrap();
        assert!(journal.unfinished().await.unwrap().is_empty());
        let record = journal.read("e").await.unwrap().unwrap();
        (record, journal.transitions("e").await.unwrap())
    });
    let gapless = |(index, step): (usize, &Transition)| step.seq == index as u64 + 1;
    assert!(transitions.iter().enumerate().all(gapless));
    assert_eq!(record.budget.reserved(), Decimal::ZERO);
    let limit = record.budget.limit().unwrap();
    assert!(billed <= limit, "{billed} of {limit} USD");
    assert!(
        billed <= record.budget.spent(),
        "{billed} billed, {} known",
        record.budget.spent()
    );
    assert!(record.budget.spent() <= limit);
    let balances = runtime.block_on(async {
        let ledger = SqliteLedger::open(&folder.join("ledger.sqlite")).await;
        ledger.unwrap().balances().await.unwrap()
    });
    for balance in balances {
        assert_eq!(
            (balance.reserved, balance.overshot),
            (Decimal::ZERO, Decimal::ZERO)
        );
        assert!(
            billed <= balance.spent && balance.spent <= limit,
            "{billed} {balance:?}"
        );
    }
    Aftermath {
        outcome,
        effects,
        billed,
        record,
        transitions,
    }
}

type Edge = (State, Event, State);

/// Runs the story once in peace, then once for each of its points that counts, with a death there and
/// another process that goes on. Answers the peaceful end, and each death's point with what came of it.
fn die_everywhere(
    story: &Story,
    mut counts: impl FnMut(&str) -> bool,
) -> (Aftermath, Vec<(String, Aftermath)>) {
    let folder = tempfile::tempdir().unwrap();
    let Told::Ended(outcome, points) = one_life(folder.path(), story, None) else {
        panic!("nobody was to die");
    };
    let peaceful = aftermath(folder.path(), outcome);
    let mut deaths = Vec::new();
    for (index, name) in points
        .into_iter()
        .enumerate()
        .filter(|(_, name)| counts(name))
    {
        let folder = tempfile::tempdir().unwrap();
        let died = one_life(folder.path(), story, Some(index));
        assert_eq!(died, Told::Reached(name.clone()));
        let Told::Ended(outcome, _) = one_life(folder.path(), story, None) else {
            panic!("{name}: nobody was to die again");
        };
        deaths.push((name, aftermath(folder.path(), outcome)));
    }
    (peaceful, deaths)
}

fn edges(transitions: &[Transition]) -> Vec<Edge> {
    transitions
        .iter()
        .map(|step| (step.from, step.event, step.to))
        .collect()
}

/// Stories that together take every edge of the table.
fn stories() -> Vec<Story> {
    let look = || calls(&[("act", json!({"n": 1}))]);
    let judged = |judgement| Line {
        judgement,
        ..answer("no")
    };
    let failing = |error| Line {
        error: Some(error),
        ..Line::default()
    };
    let mut stories = vec![
        Story::long(),
        Story::of(vec![
            calls(&[("act", json!({"n": "fails"}))]),
            answer("no way"),
        ]),
        Story::of(vec![judged(Judgement {
            success: Some(false),
            ..Judgement::default()
        })]),
        Story::of(vec![judged(Judgement {
            escalate: Some("I may not".into()),
            ..Judgement::default()
        })]),
        Story::of(vec![calls(&[("delete", json!({}))])]),
        Story::of(vec![failing(Failure::Refused)]),
        Story {
            budget_usd: Decimal::new(500, 6),
            ..Story::of(vec![look()])
        },
        // enough for a model call and one that was lost, and not for a tool beside them
        Story {
            budget_usd: Decimal::new(3_500, 6),
            price_usd: Decimal::new(3_000, 6),
            ..Story::of(vec![look()])
        },
    ];
    for state in State::ALL.into_iter().filter(|state| !state.is_terminal()) {
        stories.push(Story {
            frozen_in: Some(state),
            ..Story::of(vec![look(), answer("ok")])
        });
        stories.push(Story {
            late_in: Some(state),
            ..Story::of(vec![look(), answer("ok")])
        });
    }
    stories
}

/// The edge that only a death leads to.
const UNRESOLVED: Edge = (State::Act, Event::Unresolved, State::Escalate);

/// `FLYBALL_KILL=everywhere` kills each story at each of its points; else the first is, and of the
/// others only what the ones before did not show.
#[test]
fn killed_at_every_transition_it_ends_as_it_would_have() {
    let mut missing: BTreeSet<Edge> = TABLE.iter().copied().collect();
    missing.remove(&UNRESOLVED);
    let everywhere = std::env::var("FLYBALL_KILL").is_ok_and(|value| value == "everywhere");
    let (mut killed, mut seen) = (0, BTreeSet::new());
    for (index, story) in stories().into_iter().enumerate() {
        let (peaceful, deaths) = die_everywhere(&story, |point| {
            seen.insert(point.to_owned()) || everywhere || index == 0
        });
        let taken = edges(&peaceful.transitions);
        for edge in &taken {
            for when in ["before", "after"] {
                let name = format!("{when} {}", serde_json::to_string(edge).unwrap());
                assert!(seen.contains(&name), "{name}");
            }
            missing.remove(edge);
        }
        killed += deaths.len();
        for (point, after) in deaths {
            assert_eq!(
                after.outcome, peaceful.outcome,
                "killed {point} in {story:?}"
            );
            assert_eq!(edges(&after.transitions), taken, "killed {point}");
            assert_eq!(after.effects, peaceful.effects, "killed {point}");
            assert_eq!(after.record.counters.steps, peaceful.record.counters.steps);
        }
    }
    assert!(missing.is_empty(), "never taken: {missing:?}");
    println!("{killed} processes killed, {} edges", TABLE.len() - 1);
}

#[test]
fn killed_anywhere_a_tool_that_cannot_repeat_never_does() {
    let story = Story {
        idempotent: false,
        ..Story::long()
    };
    let (peaceful, deaths) = die_everywhere(&story, |_| true);
    assert_eq!(peaceful.effects.len(), 3);
    let mut escalated = 0;
    for (point, after) in &deaths {
        assert!(
            after.effects.values().all(|times| *times == 1),
            "killed {point}"
        );
        if after.outcome == peaceful.outcome {
            assert_eq!(after.effects.len(), 3, "killed {point}");
            continue;
        }
        assert_eq!(
            after.outcome,
            json!([Termination::Escalation, "outcome_unknown", null])
        );
        let last = edges(&after.transitions).pop();
        assert_eq!(last, Some(UNRESOLVED), "killed {point}");
        assert!(after.effects.len() <= 3);
        escalated += 1;
    }
    // Each of three actions: after its intent is on disk, before and after its effect, before its result is.
    assert_eq!(escalated, 3 * 4);
    println!("{} processes killed, {escalated} escalated", deaths.len());
}

/// Money for four calls and a little: what a killed call may have cost counts, so that the bill never
/// passes the limit, however often it dies.
#[test]
fn killed_again_and_again_it_never_overspends() {
    let story = Story {
        budget_usd: Decimal::new(5_000, 6),
        ..Story::long()
    };
    let mut reasons = BTreeMap::<String, u32>::new();
    for first in [3, 4, 5, 6, 17, 29, 30, 31] {
        let folder = tempfile::tempdir().unwrap();
        let mut next = first;
        let outcome = loop {
            match one_life(folder.path(), &story, Some(next)) {
                Told::Ended(outcome, _) => break outcome,
                Told::Reached(_) => next = 1 + (next * 7 + first) % 11,
            }
        };
        let after = aftermath(folder.path(), outcome);
        assert!(after.billed <= story.budget_usd);
        assert!(after.effects.values().all(|times| *times == 1));
        let reason = after.record.ended.unwrap().reason;
        *reasons.entry(reason).or_default() += 1;
    }
    println!("{reasons:?}");
    assert!(reasons.contains_key("goal_reached"));
}

#[tokio::test]
async fn a_journal_is_one_processes_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("journal.sqlite");
    let story = Story::long();
    let life = Life {
        folder: folder.path().to_owned(),
        story,
        dies_at: Some(5),
    };
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "killed::child",
            "--ignored",
            "--nocapture",
            "--test-threads=1",
        ])
        .env(LIFE, serde_json::to_string(&life).unwrap())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
    while !said.next().unwrap().unwrap().starts_with(REACHED) {}
    let error = SqliteJournal::open(&file).await.unwrap_err();
    assert!(error.to_string().contains("another process"), "{error}");
    child.kill().unwrap();
    child.wait().unwrap();
    let journal = SqliteJournal::open(&file).await.unwrap();
    let twice = SqliteJournal::open(&file).await.unwrap_err();
    assert!(matches!(twice, Error::InUse { .. }), "{twice}");
    let kept = journal.read("e").await.unwrap().unwrap();
    assert!(matches!(kept.messages.last(), Some(Message::User { .. })));
}
