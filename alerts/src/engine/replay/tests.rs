#![allow(clippy::unwrap_used)]

use flyball_store::rows::{ChargeRow, Micros, Row as _};
use proptest::prelude::*;
use rust_decimal::Decimal;

use super::*;
use crate::guard::BlastRadius;
use crate::rule::{SECOND, parse};

const START: i64 = 1_800_000_000 * SECOND;

const RULES: &str = "\
rules:
  - name: spend
    key: agent
    when:
      spend_rate: { at_least: 5.00, window: 10s }
    for: 2s
    keep_firing_for: 10s
    cool_down: 15s
    action: freeze
  - name: errors
    key: agent
    no_data: ok
    when:
      error_rate: { at_least: 0.5, window: 15s, min_calls: 2 }
    for: 3s
    keep_firing_for: 10s
    cool_down: 20s
  - name: again
    key: execution
    when:
      repeated_tool_calls: { at_least: 3, window: 20s }
    cool_down: 25s
    action: freeze
    scope: agent
";

/// Agent, seconds since the one before, cents, whether it is a tool that fails.
type Call = (u8, i64, i64, bool);

fn row(made: usize, call: &Call, now: i64) -> ChargeRow {
    let (agent, _, cents, fails) = call;
    ChargeRow {
        charge_id: format!("charge-{made}"),
        entry: "charge".into(),
        kind: if *fails { "tool_call" } else { "model_call" }.into(),
        calls: 1,
        trace_id: format!("{:032x}", 7),
        span_id: format!("{made:016x}"),
        agent_name: Some(format!("agent-{agent}")),
        execution_id: format!("run-{agent}"),
        start_unix_nano: now,
        duration_ns: Some(0),
        received_at: Micros::of_nanos(now),
        cost_usd: Some(Decimal::new(*cents, 2)),
        tool_name: fails.then(|| "search".into()),
        tool_input_hash: fails.then(|| "same".into()),
        error_type: fails.then(|| "timeout".into()),
        ..ChargeRow::default()
    }
}

/// Everything that a replay of these calls says.
fn told(rule: &Rule, calls: &[Call], skips: bool) -> Vec<String> {
    let settings = Settings {
        // Of two that fire in one tick, either may be walked first; the cap must not choose between them.
        blast_radius: BlastRadius {
            at_least: 1_000,
            ..BlastRadius::default()
        },
        ..Settings::default()
    };
    let mut replay = Replay::new(rule, &settings, START);
    if !skips {
        replay.rehearsal.settles = i64::MAX / 4;
    }
    let mut steps = replay.begin(START);
    let mut now = START;
    for (made, call) in calls.iter().enumerate() {
        now += call.1 * SECOND + 300_000_000;
        steps.extend(replay.pass(now));
        let batch = ChargeRow::batch(&[row(made, call, now)]).unwrap();
        steps.extend(replay.entries(&EntryViews::of(&batch).unwrap(), now));
    }
    steps.extend(replay.pass(now + 1_000 * SECOND));
    let mut told: Vec<String> = steps.iter().map(|step| format!("{step:?}")).collect();
    // Keys are walked in no order.
    told.sort();
    told
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn leaving_out_idle_stretches_changes_nothing(
        calls in prop::collection::vec(
            (0u8..3, prop_oneof![6 => 0i64..3, 2 => 3i64..40, 1 => 40i64..2_000], 0i64..400, any::<bool>()),
            1..60,
        ),
    ) {
        for rule in parse("test.yaml", RULES).unwrap() {
            prop_assert_eq!(told(&rule, &calls, true), told(&rule, &calls, false));
        }
    }
}

#[test]
fn an_order_stands_until_its_alert_is_over_and_history_goes_on() {
    let rule = &parse("test.yaml", RULES).unwrap()[0];
    // Six dollars a second for five seconds, silence, and once more.
    let mut calls: Vec<Call> = vec![(0, 0, 600, false); 5];
    calls.push((0, 100, 600, false));
    calls.extend([(0, 0, 600, false); 4]);
    let mut replay = Replay::new(rule, &Settings::default(), START);
    let mut said: Vec<&str> = Vec::new();
    let mut now = START;
    let mut steps = replay.begin(START);
    for (made, call) in calls.iter().enumerate() {
        now += call.1 * SECOND + SECOND;
        steps.extend(replay.pass(now));
        let batch = ChargeRow::batch(&[row(made, call, now)]).unwrap();
        steps.extend(replay.entries(&EntryViews::of(&batch).unwrap(), now));
    }
    steps.extend(replay.pass(now + 100 * SECOND));
    for step in &steps {
        said.push(match step {
            Step::Changed { to, .. } => to.as_str(),
            Step::Ordered { .. } => "ordered",
            Step::Withheld { .. } => "withheld",
            Step::Released { .. } => "released",
        });
    }
    let once = [
        "pending",
        "firing",
        "ordered",
        "recovering",
        "ok",
        "released",
    ];
    assert_eq!(said, [once, once].concat());
    assert!(replay.view.entries.is_empty() && replay.standing.is_empty());
}
