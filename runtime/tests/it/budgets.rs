//! Money that executions share: never past the limit, to the last digit; and hardly any of it unused.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use flyball_runtime::budget::{
    Budgets, FlatPrices, Ledger, Limit, Opening, Payer, Prices, Scope, SqliteLedger, Window,
};
use flyball_runtime::clock::SystemClock;
use flyball_runtime::control::NoControl;
use flyball_runtime::engine::{Engine, Outcome};
use flyball_runtime::machine::{SqliteJournal, Termination};
use flyball_runtime::model::scripted::Line;
use flyball_runtime::model::{
    Listener, ModelError, Provider, Reply, Request, Script, Scripted, Usage,
};
use flyball_runtime::spec::{AgentSpec, Bounds, Task};
use flyball_runtime::tools::Effect;
use proptest::prelude::*;
use rust_decimal::Decimal;
use serde_json::json;

use crate::workshop::*;

/// 10 USD a million input tokens, 50 of output.
const DEAR: FlatPrices = FlatPrices {
    input: Decimal::from_parts(10, 0, 0, false, 0),
    output: Decimal::from_parts(50, 0, 0, false, 0),
};

/// Meters what is billed, as a provider would, and how many calls are in flight at once.
#[derive(Debug)]
struct Meter {
    script: Script,
    /// Output tokens by execution, instead of the script's.
    output: Option<fn(&str) -> u64>,
    billed: std::sync::Mutex<Decimal>,
    in_flight: AtomicUsize,
    peak: AtomicUsize,
}

impl Meter {
    fn new(script: Script, output: Option<fn(&str) -> u64>) -> Arc<Self> {
        Arc::new(Self {
            script,
            output,
            billed: std::sync::Mutex::default(),
            in_flight: AtomicUsize::new(0),
            peak: AtomicUsize::new(0),
        })
    }

    fn begin(&self, request: &Request) -> Scripted {
        let now = self.in_flight.fetch_add(1, Ordering::SeqCst) + 1;
        self.peak.fetch_max(now, Ordering::SeqCst);
        let mut script = self.script.clone();
        if let Some(output) = self.output {
            script.replies[0].usage.output_tokens = output(&request.execution_id);
        }
        Scripted::new(script)
    }

    fn end(&self, request: &Request, reply: &Result<Reply, ModelError>) {
        self.in_flight.fetch_sub(1, Ordering::SeqCst);
        let cost = match reply {
            Ok(Reply {
                usage: Some(usage), ..
            }) => DEAR.cost("", "", usage, 0).unwrap(),
            // One that was cut is billed for what had come.
            Err(ModelError::Cut { partial }) => {
                let usage = Usage {
                    input_tokens: Scripted::new(self.script.clone()).input_at_most(request),
                    output_tokens: partial.len() as u64,
                    ..Usage::default()
                };
                DEAR.cost("", "", &usage, 0).unwrap()
            }
            other => panic!("{other:?}"),
        };
        *self.billed.lock().unwrap() += cost;
    }
}

#[async_trait::async_trait]
impl Provider for Meter {
    fn name(&self) -> &str {
        "metered"
    }

    fn input_at_most(&self, request: &Request) -> u64 {
        Scripted::new(self.script.clone()).input_at_most(request)
    }

    async fn chat(&self, request: &Request) -> Result<Reply, ModelError> {
        let reply = self.begin(request).chat(request).await;
        self.end(request, &reply);
        reply
    }

    fn can_be_cut(&self) -> bool {
        self.script.streams
    }

    async fn chat_heard(
        &self,
        request: &Request,
        listener: &dyn Listener,
    ) -> Result<Reply, ModelError> {
        let reply = self.begin(request).chat_heard(request, listener).await;
        self.end(request, &reply);
        reply
    }
}

/// A call of 1 cent of input and, of 4 cents of output that it may have (800 tokens), 280.
fn call(streams: bool) -> Script {
    let line = Line {
        content: "x".repeat(800),
        usage: Usage {
            input_tokens: 1000,
            output_tokens: 280,
            ..Usage::default()
        },
        latency_ms: 60,
        ..Line::default()
    };
    Script {
        replies: vec![line],
        streams,
        ..Script::default()
    }
}

/// One call of 25 takes all it may, the others a third: 5 USD for the 200 executions `e0` to `e199`.
fn output(execution_id: &str) -> u64 {
    let n: u64 = execution_id[1..].parse().unwrap();
    match n % 25 {
        24 => 800,
        n if n % 6 == 0 => 280,
        _ => 279,
    }
}

fn buyer() -> AgentSpec {
    AgentSpec {
        bounds: Bounds {
            max_tokens: 800,
            budget_usd: Some(Decimal::new(5, 2)),
            max_wall_ms: 60_000,
            ..Bounds::default()
        },
        ..AgentSpec::new("buyer", "m")
    }
}

async fn shop(meter: &Arc<Meter>, limits: Vec<Limit>) -> (Engine, Arc<SqliteLedger>) {
    let ledger = Arc::new(SqliteLedger::in_memory().unwrap());
    let shared: Arc<dyn Ledger> = Arc::<SqliteLedger>::clone(&ledger);
    let mut parts = parts(
        Arc::new(NoControl::default()),
        Arc::new(SqliteJournal::in_memory().unwrap()),
        Arc::<Meter>::clone(meter),
        toolbox(vec![]),
    );
    parts.prices = Arc::new(DEAR);
    parts.budgets = Budgets::new(limits, shared, Arc::new(SystemClock))
        .await
        .unwrap();
    (Engine::new(parts), ledger)
}

fn dollar() -> Vec<Limit> {
    vec![Limit {
        scope: Scope::All,
        target: None,
        window: Window::Total,
        usd: Decimal::ONE,
    }]
}

async fn two_hundred(engine: &Engine) -> Vec<Outcome> {
    let mut running = tokio::task::JoinSet::new();
    for n in 0..200 {
        let engine = engine.clone();
        running.spawn(async move {
            let id = format!("e{n}");
            engine
                .run_as(&id, &buyer(), &Task::new("buy"))
                .await
                .unwrap()
        });
    }
    running.join_all().await
}

/// 200 executions at once, each of one call: up to 5 cents at worst, 5 USD in all. With `streams`, what
/// such calls cost as a rule is set aside, else the worst. Answers how many calls were in flight at once.
async fn one_dollar(streams: bool) -> usize {
    let ids = (0..200).map(|n| format!("e{n}"));
    let cost = |id: String| Decimal::new(1, 2) + Decimal::new(5, 5) * Decimal::from(output(&id));
    assert_eq!(ids.map(cost).sum::<Decimal>(), Decimal::from(5));
    let meter = Meter::new(call(streams), Some(output));
    let (engine, ledger) = shop(&meter, dollar()).await;
    // What is known of this agent's calls: the rule holds for 19 of 20.
    for n in 0..200 {
        let usage = Usage {
            output_tokens: output(&format!("e{n}")),
            ..Usage::default()
        };
        let agent = buyer().agent;
        engine.budgets().learn(&agent, "m", &usage).await.unwrap();
    }
    let began = std::time::Instant::now();
    let outcomes = two_hundred(&engine).await;
    let took = began.elapsed();
    let ended = |termination, reason: &str| {
        let mine = |outcome: &&Outcome| {
            (outcome.termination, outcome.reason.as_str()) == (termination, reason)
        };
        outcomes.iter().filter(mine).count()
    };
    let (bought, refused) = (
        ended(Termination::Success, "goal_reached"),
        ended(Termination::Abort, "budget_exhausted"),
    );
    assert_eq!(bought + refused, 200);
    let balance = ledger.balances().await.unwrap().remove(0);
    let billed = *meter.billed.lock().unwrap();
    let peak = meter.peak.load(Ordering::SeqCst);
    println!(
        "streams {streams}: {billed} of 1 USD billed, {bought} of 200 served, {peak} at once, {took:?}"
    );
    assert!(billed <= Decimal::ONE, "{billed}");
    assert!(billed >= Decimal::new(95, 2), "{billed}");
    assert_eq!(
        (balance.reserved, balance.overshot),
        (Decimal::ZERO, Decimal::ZERO)
    );
    // A call that was cut counts with what was held for it, which is no less than what it was billed.
    assert!(balance.spent >= billed && balance.spent <= Decimal::ONE);
    if !streams {
        assert_eq!(balance.spent, billed, "to the last digit");
    }
    let own: Decimal = outcomes.iter().map(|outcome| outcome.spent_usd).sum();
    assert_eq!(own, balance.spent, "executions and ledger agree");
    peak
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_hundred_share_a_dollar() {
    // 1 USD holds 20 worst cases at once, and 36 of 280 tokens and a margin of 64.
    let worst = one_dollar(false).await;
    let rule = one_dollar(true).await;
    assert!(worst <= 20, "{worst}");
    assert!(rule > 20 && rule <= 36, "{rule}");
}

fn payer(agent: &str) -> Payer<'_> {
    Payer {
        execution_id: "e",
        workspace: "default",
        environment: "test",
        agent,
        ..Payer::default()
    }
}

async fn budgets(cents: i64) -> (Arc<Budgets>, Arc<SqliteLedger>) {
    let ledger = Arc::new(SqliteLedger::in_memory().unwrap());
    let limits = vec![Limit {
        usd: Decimal::new(cents, 2),
        ..dollar().remove(0)
    }];
    let shared: Arc<dyn Ledger> = Arc::<SqliteLedger>::clone(&ledger);
    (
        Budgets::new(limits, shared, Arc::new(SystemClock))
            .await
            .unwrap(),
        ledger,
    )
}

fn cents(cents: i64) -> Decimal {
    Decimal::new(cents, 2)
}

#[tokio::test]
async fn who_needs_much_is_not_passed_by_who_needs_little() {
    let (budgets, _) = budgets(100).await;
    let first = budgets
        .hold("first", &payer("a"), cents(60))
        .await
        .unwrap()
        .unwrap();
    let order = Arc::new(std::sync::Mutex::new(Vec::new()));
    let mut waiting = tokio::task::JoinSet::new();
    for (id, usd) in [("large", 80), ("small1", 10), ("small2", 10)] {
        let (budgets, order) = (Arc::clone(&budgets), Arc::clone(&order));
        waiting.spawn(async move {
            let held = budgets
                .hold(id, &payer("a"), cents(usd))
                .await
                .unwrap()
                .unwrap();
            order.lock().unwrap().push(id);
            budgets.settle(&held, cents(1)).await.unwrap();
        });
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    assert!(
        order.lock().unwrap().is_empty(),
        "the small ones wait behind the large one"
    );
    budgets.settle(&first, cents(5)).await.unwrap();
    waiting.join_all().await;
    assert_eq!(*order.lock().unwrap(), ["large", "small1", "small2"]);
}

#[tokio::test]
async fn one_account_that_is_full_holds_up_nobody_elses() {
    let ledger: Arc<dyn Ledger> = Arc::new(SqliteLedger::in_memory().unwrap());
    let agent = Limit {
        scope: Scope::Agent,
        usd: cents(10),
        ..dollar().remove(0)
    };
    let limits = vec![agent, dollar().remove(0)];
    let budgets = Budgets::new(limits, ledger, Arc::new(SystemClock))
        .await
        .unwrap();
    let _held = budgets
        .hold("1", &payer("a"), cents(10))
        .await
        .unwrap()
        .unwrap();
    let waits = {
        let budgets = Arc::clone(&budgets);
        tokio::spawn(async move { budgets.hold("2", &payer("a"), cents(10)).await })
    };
    tokio::time::sleep(Duration::from_millis(50)).await;
    let b = payer("b");
    let other = budgets.hold("3", &b, cents(10));
    let other = tokio::time::timeout(Duration::from_secs(5), other)
        .await
        .unwrap();
    assert!(other.unwrap().is_ok());
    assert!(!waits.is_finished());
    // who stops waiting leaves nothing behind
    waits.abort();
    let _ = waits.await;
    let balances = budgets.ledger().balances().await.unwrap();
    let reserved: Vec<Decimal> = balances.iter().map(|balance| balance.reserved).collect();
    assert_eq!(reserved, [cents(10), cents(10), cents(20)]);
}

fn opening(id: &str, usd: i64, at: i64, expires: i64) -> Opening {
    let limit = dollar().remove(0);
    Opening {
        id: id.into(),
        execution_id: "e".into(),
        usd: cents(usd),
        accounts: vec![limit.account(&payer("a"), 0).unwrap()],
        at_unix_nano: at,
        expires_at_unix_nano: expires,
    }
}

#[tokio::test]
async fn a_lease_that_ends_counts_as_spent_until_somebody_knows_better() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ledger.sqlite");
    let ledger = SqliteLedger::open(&file).await.unwrap();
    ledger
        .hold(opening("1", 60, 0, 100))
        .await
        .unwrap()
        .unwrap();
    // the same hold again is the same hold
    ledger
        .hold(opening("1", 60, 0, 100))
        .await
        .unwrap()
        .unwrap();
    let short = ledger
        .hold(opening("2", 50, 50, 150))
        .await
        .unwrap()
        .unwrap_err();
    assert!(short.may_pass());
    ledger.renew("1", 200).await.unwrap();
    assert!(
        ledger
            .hold(opening("2", 50, 150, 250))
            .await
            .unwrap()
            .unwrap_err()
            .may_pass()
    );
    drop(ledger);
    let ledger = SqliteLedger::open(&file).await.unwrap();
    let short = ledger
        .hold(opening("2", 50, 201, 300))
        .await
        .unwrap()
        .unwrap_err();
    assert!(!short.may_pass(), "the lease has ended: {short}");
    assert_eq!((short.spent, short.reserved), (cents(60), Decimal::ZERO));
    ledger.settle("1", cents(7)).await.unwrap();
    ledger.settle("1", cents(7)).await.unwrap();
    ledger
        .hold(opening("2", 50, 202, 300))
        .await
        .unwrap()
        .unwrap();
    let balance = ledger.balances().await.unwrap().remove(0);
    assert_eq!((balance.spent, balance.reserved), (cents(7), cents(50)));
}

#[tokio::test]
async fn what_a_dead_process_held_is_spent_only_if_its_call_may_have_been_made() {
    let ledger = SqliteLedger::in_memory().unwrap();
    for (id, usd) in [("noted", 30), ("never", 40)] {
        ledger
            .hold(opening(id, usd, 0, 100))
            .await
            .unwrap()
            .unwrap();
    }
    ledger.recover("e", Some("noted")).await.unwrap();
    let balance = ledger.balances().await.unwrap().remove(0);
    assert_eq!(
        (balance.spent, balance.reserved),
        (cents(30), Decimal::ZERO)
    );
}

#[tokio::test]
async fn a_stream_is_topped_up_and_cut_where_the_money_ends() {
    // 20 short outputs are the rule; then one of 800 tokens: 1 cent and 4.
    for (limit, reason) in [(10, "goal_reached"), (3, "budget_exhausted")] {
        let mut script = call(true);
        script.replies[0].usage.output_tokens = 800;
        let meter = Meter::new(script, None);
        let limits = vec![Limit {
            usd: cents(limit),
            ..dollar().remove(0)
        }];
        let (engine, ledger) = shop(&meter, limits).await;
        let short = Usage {
            output_tokens: 40,
            ..Usage::default()
        };
        for _ in 0..20 {
            engine.budgets().learn("buyer", "m", &short).await.unwrap();
        }
        let outcome = engine.run(&buyer(), &Task::new("buy")).await.unwrap();
        assert_eq!(outcome.reason, reason, "{}", outcome.detail);
        let billed = *meter.billed.lock().unwrap();
        let balance = ledger.balances().await.unwrap().remove(0);
        assert!(
            billed <= balance.spent && balance.spent <= cents(limit),
            "{billed} {balance:?}"
        );
        if limit == 10 {
            assert_eq!((billed, balance.spent), (cents(5), cents(5)));
        } else {
            // 2 cents buy 400 tokens of output: cut where 64 more might not be paid for
            assert!(billed > cents(2), "{billed}");
            let record = engine.record(&outcome.execution_id).await.unwrap().unwrap();
            let kept = serde_json::to_string(&record.messages).unwrap();
            assert!(kept.contains("xxxx"), "what had come is kept");
        }
    }
}

#[tokio::test]
async fn a_tool_that_costs_draws_on_what_is_shared() {
    let tool = Arc::new(Counting::new("search", Effect::ReadOnly, false).costing(cents(40)));
    let ledger = Arc::new(SqliteLedger::in_memory().unwrap());
    let mut parts = parts(
        Arc::new(NoControl::default()),
        Arc::new(SqliteJournal::in_memory().unwrap()),
        Arc::new(Scripted::new(script(vec![calls(&[("search", json!({}))])]))),
        toolbox(vec![tool]),
    );
    let shared: Arc<dyn Ledger> = Arc::<SqliteLedger>::clone(&ledger);
    parts.budgets = Budgets::new(dollar(), shared, Arc::new(SystemClock))
        .await
        .unwrap();
    let engine = Engine::new(parts);
    let mut spec = spec(&["search"]);
    spec.bounds.budget_usd = None;
    let outcome = engine.run(&spec, &Task::new("go")).await.unwrap();
    assert_eq!(
        (outcome.reason.as_str(), outcome.counters.tool_calls),
        ("budget_exhausted", 2)
    );
    let balance = ledger.balances().await.unwrap().remove(0);
    assert_eq!(balance.spent, outcome.spent_usd);
    // a model without a price can't be kept within a limit: it is not called
    let unknown = Payer {
        agent: "a",
        ..payer("a")
    };
    assert!(engine.budgets().concern(&unknown));
}

#[derive(Debug, Clone)]
enum Step {
    Hold { id: usize, cents: i64, accounts: u8 },
    Add { id: usize, cents: i64 },
    Settle { id: usize, percent: i64 },
    Expire,
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0_usize..12, 0_i64..60, 1_u8..8).prop_map(|(id, cents, accounts)| Step::Hold { id, cents, accounts }),
        1 => (0_usize..12, 0_i64..40).prop_map(|(id, cents)| Step::Add { id, cents }),
        3 => (0_usize..12, 0_i64..=100).prop_map(|(id, percent)| Step::Settle { id, percent }),
        1 => Just(Step::Expire),
    ]
}

/// A second ledger, as simple as can be: a list of holds, summed anew for each question.
#[derive(Debug, Default)]
struct Reference {
    holds: std::collections::BTreeMap<usize, (Decimal, u8, bool)>,
    spent: [Decimal; 3],
}

impl Reference {
    const LIMITS: [i64; 3] = [100, 70, 150];

    fn used(&self, account: usize) -> Decimal {
        let held = self
            .holds
            .values()
            .filter(|(_, accounts, _)| accounts >> account & 1 == 1);
        self.spent[account] + held.map(|(usd, ..)| *usd).sum::<Decimal>()
    }

    fn fits(&self, accounts: u8, usd: Decimal) -> bool {
        (0..3)
            .filter(|account| accounts >> account & 1 == 1)
            .all(|account| self.used(account) + usd <= cents(Self::LIMITS[account]))
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    /// Whatever is held, added, settled and forgotten on whichever accounts: as the second ledger says,
    /// and never past a limit.
    #[test]
    fn the_ledger_is_what_a_list_of_holds_says(steps in prop::collection::vec(any_step(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let ledger = SqliteLedger::in_memory().unwrap();
            let mut reference = Reference::default();
            let mut now = 0;
            for step in steps {
                now += 1;
                match step {
                    Step::Hold { id, cents: usd, accounts } => {
                        let chosen = (0..3).filter(|account| accounts >> account & 1 == 1);
                        let accounts_named = chosen.map(|account| flyball_runtime::budget::Account {
                            name: account.to_string(),
                            limit: cents(Reference::LIMITS[account]),
                        });
                        let opening = Opening { accounts: accounts_named.collect(), ..opening(&id.to_string(), usd, now, now + 1000) };
                        let taken = ledger.hold(opening).await.unwrap().is_ok();
                        if reference.holds.contains_key(&id) {
                            prop_assert!(taken);
                        } else {
                            prop_assert_eq!(taken, reference.fits(accounts, cents(usd)));
                            if taken {
                                reference.holds.insert(id, (cents(usd), accounts, false));
                            }
                        }
                    }
                    Step::Add { id, cents: usd } => {
                        let added = ledger.add(&id.to_string(), cents(usd)).await;
                        match reference.holds.get(&id).copied() {
                            Some((held, accounts, false)) => {
                                let fits = reference.fits(accounts, cents(usd));
                                prop_assert_eq!(added.unwrap().is_ok(), fits);
                                if fits {
                                    reference.holds.insert(id, (held + cents(usd), accounts, false));
                                }
                            }
                            _ => prop_assert!(added.is_err()),
                        }
                    }
                    Step::Settle { id, percent } => {
                        let held = reference.holds.remove(&id);
                        let cost = held.map_or(Decimal::ZERO, |(usd, ..)| usd * Decimal::new(percent, 2));
                        ledger.settle(&id.to_string(), cost).await.unwrap();
                        for account in 0..3 {
                            if held.is_some_and(|(_, accounts, _)| accounts >> account & 1 == 1) {
                                reference.spent[account] += cost;
                            }
                        }
                    }
                    Step::Expire => {
                        now += 2000;
                        let nothing = Opening { accounts: Vec::new(), ..opening("none", 0, now, now) };
                        ledger.hold(nothing).await.unwrap().unwrap();
                        ledger.settle("none", Decimal::ZERO).await.unwrap();
                        reference.holds.values_mut().for_each(|hold| hold.2 = true);
                    }
                }
                for balance in ledger.balances().await.unwrap() {
                    let account: usize = balance.account.parse().unwrap();
                    prop_assert_eq!(balance.spent + balance.reserved, reference.used(account));
                    prop_assert!(balance.spent + balance.reserved <= cents(Reference::LIMITS[account]));
                    prop_assert_eq!(balance.overshot, Decimal::ZERO);
                }
            }
            Ok(())
        })?;
    }
}
