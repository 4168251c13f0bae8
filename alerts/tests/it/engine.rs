use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use async_trait::async_trait;
use flyball_alerts::memory::{FileMemory, Memory, NoMemory};
use flyball_alerts::notify::{Notice, Notifier};
use flyball_alerts::ports::{Ask, Clock, Orders, Records};
use flyball_alerts::state::State;
use flyball_alerts::{Alerts, Parts, Settings, rule};
use flyball_runtime::control::{Control, ControlEvent, Decision, Ledger, Mode, Order, Scope, View};
use flyball_store::rows::{AlertRow, ChargeRow, Micros, Row};
use flyball_store::{Event, Origin};
use parking_lot::Mutex;
use rust_decimal::Decimal;
use tokio::sync::{mpsc, watch};

const RULES: &str = "\
rules:
  - name: spend
    key: agent
    mode: enforce
    when:
      spend_rate: { at_least: 5.00, window: 10s }
    action: freeze
";

pub(crate) fn now() -> i64 {
    Clock::default().now()
}

pub(crate) fn charge(agent: &str, id: usize, cents: i64) -> ChargeRow {
    let now = now();
    ChargeRow {
        charge_id: format!("{agent}-{id}"),
        entry: "charge".into(),
        kind: "model_call".into(),
        calls: 1,
        trace_id: format!("{:032x}", 1),
        span_id: format!("{id:016x}"),
        agent_name: Some(agent.into()),
        execution_id: "run".into(),
        start_unix_nano: now - 1_000_000,
        duration_ns: Some(1_000_000),
        received_at: Micros::of_nanos(now),
        known_at: Micros::of_nanos(now),
        cost_usd: Some(Decimal::new(cents, 2)),
        ..ChargeRow::default()
    }
}

pub(crate) fn event(rows: Vec<ChargeRow>) -> Event {
    Event::Charges {
        workspace: "default".into(),
        origin: Origin::Live,
        batch: ChargeRow::batch(&rows).unwrap(),
    }
}

/// Carries orders to the real control plane, and notes when each arrived.
#[derive(Debug)]
struct Timed {
    control: Arc<Control>,
    arrived: mpsc::UnboundedSender<(Instant, Order)>,
}

#[async_trait]
impl Orders for Timed {
    async fn order(&self, order: Order) -> Result<Decision, String> {
        let _ = self.arrived.send((Instant::now(), order.clone()));
        Orders::order(&*self.control, order).await
    }

    fn watch(&self) -> watch::Receiver<Arc<View>> {
        Orders::watch(&*self.control)
    }
}

#[derive(Debug)]
pub(crate) struct NoLedger;

#[async_trait]
impl Ledger for NoLedger {
    async fn record(&self, _: &ControlEvent) -> Result<(), String> {
        Ok(())
    }
}

/// Keeps alert rows; the first few times it says that it is full.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    rows: Mutex<Vec<AlertRow>>,
    refuse: Mutex<u32>,
    slow: Duration,
}

#[async_trait]
impl Records for Kept {
    async fn record(&self, workspace: &str, row: AlertRow) -> Result<(), String> {
        assert_eq!(workspace, "default");
        tokio::time::sleep(self.slow).await;
        let mut refuse = self.refuse.lock();
        if *refuse > 0 {
            *refuse -= 1;
            return Err("the buffer is full".into());
        }
        drop(refuse);
        self.rows.lock().push(row);
        Ok(())
    }
}

/// Answers the charges that are there at a start, and nothing else.
#[derive(Debug, Default)]
struct Table(Vec<ChargeRow>);

#[async_trait]
impl Ask for Table {
    async fn ask(&self, _: &str, sql: &str) -> Result<Vec<RecordBatch>, String> {
        assert!(sql.contains("FROM charges WHERE received_at >="), "{sql}");
        Ok(vec![ChargeRow::batch(&self.0).unwrap()])
    }
}

#[derive(Debug)]
struct Stuck;

impl Notifier for Stuck {
    fn name(&self) -> &str {
        "stuck"
    }
    fn notify(&self, _: Arc<Notice>) {}
}

pub(crate) struct House {
    pub(crate) events: mpsc::UnboundedSender<Event>,
    pub(crate) arrived: mpsc::UnboundedReceiver<(Instant, Order)>,
    control: Arc<Control>,
    kept: Arc<Kept>,
    alerts: Arc<Alerts>,
}

async fn house(
    folder: &Path,
    rules: &str,
    kept: Kept,
    table: Vec<ChargeRow>,
    memory: Arc<dyn Memory>,
) -> House {
    let stuck: Arc<dyn Notifier> = Arc::new(Stuck);
    house_with(folder, rules, kept, table, memory, vec![stuck]).await
}

pub(crate) async fn house_with(
    folder: &Path,
    rules: &str,
    kept: Kept,
    table: Vec<ChargeRow>,
    memory: Arc<dyn Memory>,
    notifiers: Vec<Arc<dyn Notifier>>,
) -> House {
    let control = Control::open(&folder.join("control.sqlite"), Arc::new(NoLedger))
        .await
        .unwrap();
    let (events, received) = mpsc::unbounded_channel();
    let (arrives, arrived) = mpsc::unbounded_channel();
    let kept = Arc::new(kept);
    let parts = Parts {
        events: received,
        orders: Arc::new(Timed {
            control: Arc::clone(&control),
            arrived: arrives,
        }),
        records: Arc::clone(&kept) as Arc<dyn Records>,
        ask: Arc::new(Table(table)),
        notifiers,
        memory,
        clock: Clock::default(),
        settings: Settings::default(),
    };
    let alerts = Alerts::start(rule::parse("it.yaml", rules).unwrap(), parts).unwrap();
    until("windows are full", || alerts.status().warm).await;
    House {
        events,
        arrived,
        control,
        kept,
        alerts,
    }
}

pub(crate) async fn until(what: &str, mut done: impl FnMut() -> bool) {
    for _ in 0..1_000 {
        if done() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("not within 10 s: {what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn from_the_event_to_the_freeze_in_force_in_milliseconds() {
    let folder = tempfile::tempdir().unwrap();
    // In shadow nothing stops the next one, so that many can be measured.
    let shadow = RULES.replace("enforce", "shadow");
    let mut house = house(
        folder.path(),
        &shadow,
        Kept::default(),
        Vec::new(),
        Arc::new(NoMemory),
    )
    .await;
    let mut times = Vec::new();
    for i in 0..200 {
        // Among what a busy second brings.
        let mut rows: Vec<_> = (0..50)
            .map(|n| charge(&format!("healthy-{n}"), i, 1))
            .collect();
        rows.push(charge(&format!("runaway-{i}"), i, 600));
        let sent = Instant::now();
        house.events.send(event(rows)).unwrap();
        let (arrived, order) = house.arrived.recv().await.unwrap();
        assert_eq!(order.scope, Scope::Agent(format!("runaway-{i}")));
        assert_eq!(order.mode, Mode::Shadow);
        times.push(arrived - sent);
    }
    times.sort();
    println!(
        "event to order over {}: p50 {:?}, p99 {:?}, max {:?}",
        times.len(),
        times[100],
        times[197],
        times[199]
    );
    assert!(
        times[197] < Duration::from_millis(50),
        "p99 {:?}",
        times[197]
    );
    assert!(
        house.control.view().entries.is_empty(),
        "shadow changes nothing"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_action_waits_neither_for_its_row_nor_for_a_notice() {
    let folder = tempfile::tempdir().unwrap();
    let kept = Kept {
        slow: Duration::from_millis(800),
        refuse: Mutex::new(2),
        ..Kept::default()
    };
    let mut house = house(folder.path(), RULES, kept, Vec::new(), Arc::new(NoMemory)).await;
    let sent = Instant::now();
    house.events.send(event(vec![charge("a", 1, 600)])).unwrap();
    house.arrived.recv().await.unwrap();
    until("frozen", || !house.control.view().entries.is_empty()).await;
    assert!(
        sent.elapsed() < Duration::from_millis(700),
        "{:?}",
        sent.elapsed()
    );
    assert!(house.kept.rows.lock().is_empty());
    // The row is kept all the same, after two refusals.
    until("kept", || house.kept.rows.lock().len() == 1).await;
    let row = house.kept.rows.lock()[0].clone();
    assert_eq!(
        (row.state.as_str(), row.key.as_str(), row.value),
        ("firing", "agent=a", Some(6.0))
    );
    let evidence: serde_json::Value =
        serde_json::from_str(row.evidence.as_deref().unwrap()).unwrap();
    assert_eq!(evidence["action"]["outcome"], "ordered");
    assert_eq!(evidence["spans"][0]["span_id"], format!("{:016x}", 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_freeze_survives_a_restart_and_is_not_made_twice() {
    let folder = tempfile::tempdir().unwrap();
    let memory = || Arc::new(FileMemory::new(folder.path().join("alerts.json")));
    let runaway = charge("a", 1, 600);
    {
        let mut house = house(folder.path(), RULES, Kept::default(), Vec::new(), memory()).await;
        house.events.send(event(vec![runaway.clone()])).unwrap();
        house.arrived.recv().await.unwrap();
        until("frozen", || house.control.view().entries.len() == 1).await;
        house.alerts.stop().await;
        assert_eq!(
            house.kept.rows.lock().len(),
            1,
            "stopping keeps what was still to be kept"
        );
    }
    let mut house = house(
        folder.path(),
        RULES,
        Kept::default(),
        vec![runaway],
        memory(),
    )
    .await;
    let key = house.alerts.status().rules[0].keys[0].clone();
    assert_eq!(
        (key.key.as_str(), key.state, key.value.as_deref()),
        ("a", State::Firing, Some("6"))
    );
    house.events.send(event(vec![charge("a", 2, 600)])).unwrap();
    house.events.send(event(vec![charge("b", 1, 1)])).unwrap();
    until("both are read", || {
        house.alerts.status().rules[0].keys.len() == 2
    })
    .await;
    assert!(house.arrived.try_recv().is_err());
    assert!(house.kept.rows.lock().is_empty());
}

/// Takes its time, and refuses at first.
#[derive(Debug)]
struct Busy {
    control: Arc<Control>,
    arrived: mpsc::UnboundedSender<()>,
    refuse: Mutex<u32>,
}

#[async_trait]
impl Orders for Busy {
    async fn order(&self, order: Order) -> Result<Decision, String> {
        let _ = self.arrived.send(());
        tokio::time::sleep(Duration::from_millis(200)).await;
        {
            let mut refuse = self.refuse.lock();
            if *refuse > 0 {
                *refuse -= 1;
                return Err("busy".into());
            }
        }
        Orders::order(&*self.control, order).await
    }

    fn watch(&self) -> watch::Receiver<Arc<View>> {
        Orders::watch(&*self.control)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_waits_for_orders_that_are_under_way() {
    let folder = tempfile::tempdir().unwrap();
    let control = Control::open(&folder.path().join("control.sqlite"), Arc::new(NoLedger))
        .await
        .unwrap();
    let (events, received) = mpsc::unbounded_channel();
    let (arrives, mut arrived) = mpsc::unbounded_channel();
    let parts = Parts {
        events: received,
        orders: Arc::new(Busy {
            control: Arc::clone(&control),
            arrived: arrives,
            refuse: Mutex::new(2),
        }),
        records: Arc::new(Kept::default()),
        ask: Arc::new(Table::default()),
        notifiers: Vec::new(),
        memory: Arc::new(NoMemory),
        clock: Clock::default(),
        settings: Settings::default(),
    };
    let alerts = Alerts::start(rule::parse("it.yaml", RULES).unwrap(), parts).unwrap();
    until("windows are full", || alerts.status().warm).await;
    events.send(event(vec![charge("a", 1, 600)])).unwrap();
    arrived.recv().await.unwrap();
    assert!(control.view().entries.is_empty());
    alerts.stop().await;
    assert_eq!(control.view().entries.len(), 1, "two refusals later");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_fills_the_windows_again() {
    let folder = tempfile::tempdir().unwrap();
    let before = vec![charge("a", 1, 300), charge("b", 1, 10)];
    let mut house = house(
        folder.path(),
        RULES,
        Kept::default(),
        before.clone(),
        Arc::new(NoMemory),
    )
    .await;
    // The resolver tells again what it had told: it does not count twice.
    let again = Event::Charges {
        workspace: "default".into(),
        origin: Origin::Replay,
        batch: ChargeRow::batch(&before).unwrap(),
    };
    house.events.send(again).unwrap();
    house.events.send(event(vec![charge("a", 2, 199)])).unwrap();
    house.events.send(event(vec![charge("a", 3, 1)])).unwrap();
    let (_, order) = house.arrived.recv().await.unwrap();
    assert_eq!(order.cause.unwrap().span_id, format!("{:016x}", 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_persons_release_is_heard_of_through_control() {
    let folder = tempfile::tempdir().unwrap();
    let mut house = house(
        folder.path(),
        RULES,
        Kept::default(),
        Vec::new(),
        Arc::new(NoMemory),
    )
    .await;
    house.events.send(event(vec![charge("a", 1, 600)])).unwrap();
    let (_, first) = house.arrived.recv().await.unwrap();
    until("frozen", || house.control.view().entries.len() == 1).await;
    let release = Order {
        state: flyball_runtime::control::State::Running,
        actor: "alice".into(),
        reason: "looked at it".into(),
        rule: None,
        action_id: None,
        ..first.clone()
    };
    house.control.order(release).await.unwrap();
    until("released", || house.control.view().entries.is_empty()).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    house.events.send(event(vec![charge("a", 2, 400)])).unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(
        house.arrived.try_recv().is_err(),
        "what was before the release is forgiven"
    );
    house.events.send(event(vec![charge("a", 3, 100)])).unwrap();
    let (_, second) = house.arrived.recv().await.unwrap();
    assert_ne!(first.action_id, second.action_id);
    until("frozen again", || house.control.view().entries.len() == 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_workspaces_are_none_of_its_business() {
    let folder = tempfile::tempdir().unwrap();
    let mut house = house(
        folder.path(),
        RULES,
        Kept::default(),
        Vec::new(),
        Arc::new(NoMemory),
    )
    .await;
    let batch = ChargeRow::batch(&[charge("a", 1, 600)]).unwrap();
    house
        .events
        .send(Event::Charges {
            workspace: "other".into(),
            origin: Origin::Live,
            batch,
        })
        .unwrap();
    house.events.send(event(vec![charge("b", 1, 1)])).unwrap();
    until("b is read", || {
        house.alerts.status().rules[0].keys.len() == 1
    })
    .await;
    assert!(house.arrived.try_recv().is_err());
}

#[tokio::test]
async fn a_rule_that_names_an_unknown_notifier_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let control = Control::open(&folder.path().join("control.sqlite"), Arc::new(NoLedger))
        .await
        .unwrap();
    let (_, received) = mpsc::unbounded_channel();
    let parts = Parts {
        events: received,
        orders: control,
        records: Arc::new(Kept::default()),
        ask: Arc::new(Table::default()),
        notifiers: vec![Arc::new(Stuck)],
        memory: Arc::new(NoMemory),
        clock: Clock::default(),
        settings: Settings::default(),
    };
    let rules = rule::parse(
        "it.yaml",
        &RULES.replace("action:", "notify: [ops]\n    action:"),
    )
    .unwrap();
    let error = Alerts::start(rules, parts).unwrap_err().to_string();
    assert_eq!(
        error,
        "rule spend: notify names ops, which is not configured; configured are: stuck"
    );
}

#[test]
fn a_broken_state_file_is_an_error_and_not_a_fresh_start() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("alerts.json");
    assert!(FileMemory::new(&path).load().unwrap().is_none());
    std::fs::write(&path, "{\"position\": ").unwrap();
    let error = FileMemory::new(&path).load().unwrap_err().to_string();
    assert!(error.contains("alerts.json"), "{error}");
}
