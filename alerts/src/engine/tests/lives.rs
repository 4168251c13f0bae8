//! Any life at all: many keys, calls, corrections, releases, silence and restarts in any order.

use std::collections::BTreeMap;

use flyball_runtime::control::State as Control;
use proptest::prelude::*;

use super::*;
use crate::guard::BlastRadius;
use crate::knowledge::Knowledge;

/// A freeze, a throttle by execution, and what waits before it fires; silence means something else to each.
const RULES: &str = "\
rules:
  - name: spend
    key: agent
    mode: enforce
    when:
      spend_rate: { at_least: 5.00, window: 10s }
    recover_below: 2
    keep_firing_for: 30s
    cool_down: 1m
    action: freeze
  - name: slowly
    key: agent
    when:
      spend_rate: { at_least: 3.00, window: 20s }
    for: 5s
    keep_firing_for: 20s
    cool_down: 40s
  - name: errors
    key: agent
    no_data: ok
    when:
      error_rate: { at_least: 0.5, window: 15s, min_calls: 2 }
    for: 3s
    keep_firing_for: 10s
    cool_down: 20s
  - name: blind
    key: agent
    no_data: alert
    when:
      error_rate: { at_least: 0.7, window: 30s, min_calls: 3 }
    for: 40s
    cool_down: 30s
  - name: again
    key: execution
    mode: enforce
    when:
      repeated_tool_calls: { at_least: 4, window: 30s }
    cool_down: 45s
    action:
      throttle: { calls_per_minute: 5 }
";

/// What younger kinds add. They are lived apart, so that the others' lives stay as they are. The two whose values may rise
/// while nothing arrives only tell: what would act between two spans acts on the last one, and after a restart there is none.
const YOUNGER: &str = "\
rules:
  - name: firewall
    key: agent
    mode: enforce
    when:
      unknown_tool: { learn: { for: 1m, min_calls: 10, forget: 5m }, window: 30s }
    keep_firing_for: 10s
    cool_down: 40s
    action:
      throttle: { calls_per_minute: 5 }
    then:
      - after: 30s
        action:
          degrade: { read_only: true }
  - name: worthless
    key: agent
    when:
      low_value_executions: { at_least: 3, share: 0.6, window: 60s }
    keep_firing_for: 10s
    cool_down: 1m
  - name: conflict
    key: tool
    mode: enforce
    when:
      conflicting_modifications: { at_least: 2, window: 40s }
    keep_firing_for: 10s
    cool_down: 1m
    action:
      throttle: { calls_per_minute: 5 }
  - name: injected
    key: agent
    mode: enforce
    when:
      injection_markers: { at_least: 2, window: 30s }
    keep_firing_for: 10s
    cool_down: 1m
    action:
      throttle: { calls_per_minute: 5 }
    then:
      - after: 35s
        action:
          throttle: { calls_per_minute: 2 }
      - after: 30s
        action:
          degrade: { read_only: true }
  - name: leak
    key: task
    when:
      budget_leakage: { limit: 6.00, executions: 2, window: 40s }
    keep_firing_for: 10s
    cool_down: 1m
";

/// What is unusual, after all before it.
const LEARNING: &str = "\
rules:
  - name: spike
    key: agent
    when:
      spend_spike: { change: 0.50, at_least: 1, every: 10s }
    keep_firing_for: 10s
    cool_down: 20s
  - name: unsure
    key: workspace
    when:
      confidence_drift: { change: 0.10, at_least: 1, every: 10s }
    keep_firing_for: 10s
    cool_down: 20s
";

const AGENTS: usize = 4;

/// What can happen.
#[derive(Debug, Clone)]
enum Event {
    Model {
        agent: usize,
        cents: i64,
    },
    Tool {
        agent: usize,
        input: u8,
        fails: bool,
    },
    /// An execution of this task ends.
    End {
        agent: usize,
        well: bool,
        task: u8,
    },
    /// The same call, five times.
    Loop(usize),
    /// One of the last calls is taken back.
    Correct(usize),
    /// Second by second.
    Pass(i64),
    /// The machine slept: one tick at the end.
    Sleep(i64),
    Release(usize),
    Restart,
}

fn any_event() -> impl Strategy<Value = Event> {
    prop_oneof![
        8 => (0..AGENTS, 0i64..400).prop_map(|(agent, cents)| Event::Model { agent, cents }),
        8 => (0..AGENTS, 0u8..3, any::<bool>())
            .prop_map(|(agent, input, fails)| Event::Tool { agent, input, fails }),
        3 => (0..AGENTS, any::<bool>(), 0u8..3).prop_map(|(agent, well, task)| Event::End { agent, well, task }),
        1 => (0..AGENTS).prop_map(Event::Loop),
        2 => (0usize..6).prop_map(Event::Correct),
        6 => (1i64..20).prop_map(Event::Pass),
        1 => (1i64..200).prop_map(Event::Sleep),
        1 => (0..AGENTS).prop_map(Event::Release),
        2 => Just(Event::Restart),
    ]
}

fn settings() -> Settings {
    Settings {
        // What a freeze may touch is not what is tried here.
        blast_radius: BlastRadius {
            percent: 100,
            at_least: 1_000,
            ..BlastRadius::default()
        },
        ..Settings::default()
    }
}

fn core(rules: &str, now: i64) -> Core {
    Core::new(parse("test.yaml", rules).unwrap(), &settings(), now)
}

/// A core, its surroundings, and all that followed.
struct Life {
    core: Core,
    now: i64,
    view: View,
    journal: Vec<ChargeRow>,
    log: Vec<String>,
    changes: BTreeMap<(String, String), Vec<i64>>,
    orders: Vec<Order>,
    rules: &'static str,
    /// Whether a restart is one, or only a tick.
    restarts: bool,
}

impl Life {
    fn new(rules: &'static str, restarts: bool) -> Self {
        let mut core = core(rules, START);
        core.warmed(START);
        Self {
            core,
            now: START,
            view: View::default(),
            journal: Vec::new(),
            log: Vec::new(),
            changes: BTreeMap::new(),
            orders: Vec::new(),
            rules,
            restarts,
        }
    }

    fn live(&mut self, events: &[Event]) {
        for event in events {
            // No two things happen at once.
            self.now += 1_000_000;
            match event {
                Event::Model { agent, cents } => {
                    let row = ChargeRow {
                        cost_usd: Some(Decimal::new(*cents, 2)),
                        task_id: format!("task-{}", cents % 3),
                        confidence: Some((*cents as f64 / 400.0).clamp(0.0, 1.0)),
                        decision: [None, Some(false), Some(true)][*cents as usize % 3],
                        ..self.call("model_call", *agent)
                    };
                    self.post(row);
                }
                Event::End { agent, well, task } => {
                    let made = self.journal.len();
                    let row = ChargeRow {
                        execution_id: format!("run-{agent}-{made}"),
                        task_id: format!("task-{task}"),
                        termination: Some(if *well { "success" } else { "failure" }.into()),
                        ..self.call("execution", *agent)
                    };
                    self.post(row);
                }
                Event::Loop(agent) => {
                    let same = Event::Tool {
                        agent: *agent,
                        input: 9,
                        fails: false,
                    };
                    self.live(&vec![same; 5]);
                }
                Event::Tool {
                    agent,
                    input,
                    fails,
                } => {
                    let row = ChargeRow {
                        tool_name: Some(self.tool(*input)),
                        tool_input_hash: Some(input.to_string()),
                        error_type: fails.then(|| "timeout".into()),
                        tool_effect: Some("reversible".into()),
                        tool_target: Some("file".into()),
                        injection_markers: (*input == 1 && *fails).then(|| "hidden_text".into()),
                        ..self.call("tool_call", *agent)
                    };
                    self.post(row);
                }
                Event::Correct(back) => {
                    let charges = self.journal.iter().filter(|row| row.entry == "charge");
                    let charge = charges.rev().nth(*back).cloned();
                    let taken = |row: &ChargeRow| {
                        row.entry == "reversal"
                            && charge
                                .as_ref()
                                .is_some_and(|c| c.charge_id == row.charge_id)
                    };
                    if let Some(charge) = &charge
                        && !self.journal.iter().any(taken)
                    {
                        self.post(reversal(charge));
                    }
                }
                Event::Pass(seconds) => {
                    for _ in 0..*seconds {
                        self.now += SECOND;
                        self.tick();
                    }
                }
                Event::Sleep(seconds) => {
                    self.now += seconds * SECOND;
                    self.tick();
                }
                Event::Release(of) => {
                    let whose = format!("agent-{of}");
                    let run = format!("run-{of}");
                    self.view.entries.retain(|entry| {
                        ![&whose, &run].contains(&&entry.scope.target().to_owned())
                    });
                    self.see();
                }
                Event::Restart => self.restart(),
            }
        }
    }

    /// Mostly the same ones, and now and then one that nobody has called before.
    fn tool(&self, input: u8) -> String {
        match input {
            2 => format!("tool-{}", self.journal.len() / 40),
            _ => "search".into(),
        }
    }

    fn call(&self, kind: &str, agent: usize) -> ChargeRow {
        let made = self.journal.len();
        ChargeRow {
            charge_id: format!("charge-{made}"),
            entry: "charge".into(),
            kind: kind.into(),
            calls: 1,
            trace_id: format!("{:032x}", 7),
            span_id: format!("{made:016x}"),
            agent_name: Some(format!("agent-{agent}")),
            execution_id: format!("run-{agent}"),
            start_unix_nano: self.now,
            duration_ns: Some(0),
            received_at: Micros::of_nanos(self.now),
            ..ChargeRow::default()
        }
    }

    fn post(&mut self, row: ChargeRow) {
        let effects =
            self.core
                .charges(Origin::Live, &entries(std::slice::from_ref(&row)), self.now);
        self.journal.push(row);
        self.take(effects);
    }

    fn tick(&mut self) {
        let effects = self.core.tick(self.now);
        self.take(effects);
    }

    fn restart(&mut self) {
        if !self.restarts {
            return self.tick();
        }
        let saved = serde_json::to_string(&self.core.save(self.now)).unwrap();
        let learners = self.core.learners().into_iter();
        let known = learners.map(|rule| {
            let known = self.core.knowledge(&rule, self.now).unwrap();
            (rule, known.encode().unwrap())
        });
        let known: Vec<_> = known.collect();
        self.core = core(self.rules, self.now);
        let view = Arc::new(self.view.clone());
        self.core
            .restore(serde_json::from_str(&saved).unwrap(), view, self.now);
        for (rule, bytes) in known {
            let known = Knowledge::decode(&bytes).unwrap();
            assert!(self.core.know(&rule, known, self.now));
        }
        let since = Micros::of_nanos(self.now - self.core.reach().unwrap());
        let last = self.journal.iter().filter(|row| row.received_at >= since);
        let last: Vec<ChargeRow> = last.cloned().collect();
        self.core.charges(Origin::Replay, &entries(&last), self.now);
        let effects = self.core.warmed(self.now);
        self.take(effects);
    }

    fn take(&mut self, effects: Vec<Effect>) {
        let mut lines = Vec::new();
        for effect in effects {
            match effect {
                Effect::Order { order, .. } => {
                    let Order {
                        rule,
                        scope,
                        action_id,
                        ..
                    } = &*order;
                    lines.push(format!(
                        "{} {rule:?} orders {scope:?} {action_id:?}",
                        self.now
                    ));
                    self.orders.push(*order);
                }
                Effect::Alert(row) => {
                    lines.push(format!(
                        "{} {} {} {} {}->{} {:?}",
                        self.now,
                        row.alert_id,
                        row.rule,
                        row.key,
                        row.previous_state,
                        row.state,
                        row.value
                    ));
                    let changes = self.changes.entry((row.rule, row.key)).or_default();
                    changes.push(self.now);
                }
                Effect::Notice { notice, .. } => {
                    let Notice {
                        status, rule, key, ..
                    } = *notice;
                    lines.push(format!("{} {rule} {key} tells {status:?}", self.now));
                }
                Effect::Ask { .. } => {}
            }
        }
        // Keys are walked in no order.
        lines.sort();
        self.log.append(&mut lines);
        self.obey();
    }

    /// Control carries out at once what was ordered.
    fn obey(&mut self) {
        if self.orders.is_empty() {
            return;
        }
        for order in std::mem::take(&mut self.orders) {
            assert_ne!(order.state, Control::Running);
            self.view.entries.push(InForce {
                action_id: order.action_id.unwrap(),
                scope: order.scope,
                state: order.state,
                actor: order.actor,
                reason: order.reason,
                decided_at_unix_nano: self.now,
            });
        }
        self.see();
    }

    fn see(&mut self) {
        self.view.epoch += 1;
        self.core.viewed(Arc::new(self.view.clone()), self.now);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn no_key_changes_more_than_twice_in_a_cool_down(events in prop::collection::vec(any_event(), 1..250)) {
        for rules in [RULES, YOUNGER] {
            let mut life = Life::new(rules, true);
            life.live(&events);
            let cool_downs: BTreeMap<String, i64> = parse("test.yaml", rules)
                .unwrap()
                .into_iter()
                .map(|rule| (rule.name, rule.cool_down))
                .collect();
            for ((rule, key), changes) in &life.changes {
                for three in changes.windows(3) {
                    prop_assert!(three[2] - three[0] >= cool_downs[rule], "{rule} {key}: {three:?}");
                }
            }
        }
    }

    #[test]
    fn a_restart_at_any_moment_changes_nothing_of_what_follows(
        events in prop::collection::vec(any_event(), 1..250),
    ) {
        // A repetition looks back from each call, and so behind what fills its window again: right after a restart
        // an input that was shown before can count as new, and end a run that would have gone on.
        let (rules, _) = RULES.split_once("  - name: again").unwrap();
        for rules in [rules, YOUNGER] {
            let (mut steady, mut restarted) = (Life::new(rules, false), Life::new(rules, true));
            steady.live(&events);
            restarted.live(&events);
            prop_assert_eq!(steady.log, restarted.log);
        }
    }

}

proptest! {
    #![proptest_config(ProptestConfig { cases: 30, ..ProptestConfig::default() })]

    #[test]
    fn nor_does_it_make_a_detector_forget(
        events in prop::collection::vec(any_event(), 600..900),
    ) {
        let (mut steady, mut restarted) = (Life::new(LEARNING, false), Life::new(LEARNING, true));
        steady.live(&events);
        restarted.live(&events);
        prop_assert_eq!(steady.log, restarted.log);
    }
}

/// The traffic above makes alerts fire, recover and act: otherwise it would prove nothing.
#[test]
fn those_lives_are_not_idle() {
    use proptest::strategy::ValueTree as _;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let events = prop::collection::vec(any_event(), 2_000..2_001);
    let events = events.new_tree(&mut runner).unwrap().current();
    let mut life = Life::new(RULES, true);
    life.live(&events);
    let mut younger = Life::new(YOUNGER, true);
    younger.live(&events);
    life.log.append(&mut younger.log);
    let mut learning = Life::new(LEARNING, true);
    learning.live(&events);
    life.log.append(&mut learning.log);
    for word in [
        "spike agent=",
        "unsure workspace=",
        "firewall\") orders",
        "worthless agent=",
        "leak task=",
        "conflict\") orders",
        "injected\") orders",
        "spend\") orders",
        "again\") orders",
        "firing->recovering",
        "recovering->firing",
        "->no_data",
        "pending->ok",
        "recovering->ok",
    ] {
        assert!(life.log.iter().any(|line| line.contains(word)), "{word}");
    }
}
