//! What a rule does next when what it did has not helped.

use super::*;

const LADDER: &str = "\
rules:
  - name: spend
    key: agent
    mode: enforce
    when:
      spend_rate: { at_least: 5.00, window: 10s }
    recover_below: 2
    keep_firing_for: 30s
    cool_down: 10m
    action:
      throttle: { calls_per_minute: 30 }
    then:
      - after: 30s
        action:
          degrade: { read_only: true }
      - after: 1m
        action: freeze
";

/// So many seconds of a call a second, at so many cents.
fn spend(bench: &mut Bench, seconds: i64, cents: i64) {
    for _ in 0..seconds {
        bench.pass(1);
        let known = bench.orders.split_off(0);
        let call = bench.model("a", cents);
        bench.live(&[call]);
        // What is released stays released.
        bench.obey();
        bench.orders.splice(0..0, known);
    }
}

fn done(bench: &Bench) -> Vec<(&'static str, i64)> {
    let kind = |order: &Order| match order.state {
        Control::Throttled { .. } => "throttle",
        Control::Degraded { .. } => "degrade",
        Control::Frozen => "freeze",
        Control::Running => "running",
    };
    let at = |order: &Order| {
        let cause = order.cause.as_ref().unwrap();
        (cause.received_at_unix_nano - START) / SECOND
    };
    bench.orders.iter().map(|o| (kind(o), at(o))).collect()
}

#[test]
fn who_goes_on_climbs_a_rung_at_a_time() {
    let mut bench = Bench::new(LADDER);
    spend(&mut bench, 200, 60);
    // 9 x 0.60 is 5.40; then 30 s, then a minute.
    let climbed = [("throttle", 9), ("degrade", 39), ("freeze", 99)];
    assert_eq!(done(&bench), climbed);
    let ids: std::collections::BTreeSet<_> = bench.orders.iter().map(|o| &o.action_id).collect();
    assert_eq!(ids.len(), 3);
    // Each is told, and the state of the alert has not changed since it fired.
    assert_eq!(bench.states(), ["firing"]);
    let told: Vec<_> = bench
        .notices
        .iter()
        .map(|n| n.action.as_ref().unwrap())
        .collect();
    let told: Vec<_> = told.iter().map(|deed| deed.action.as_str()).collect();
    assert_eq!(told, ["throttle", "degrade", "freeze"]);
}

#[test]
fn who_is_well_under_the_first_stays_on_it() {
    let mut bench = Bench::new(LADDER);
    spend(&mut bench, 10, 60);
    // 4.00 in ten seconds: not well, and not over.
    spend(&mut bench, 300, 40);
    assert_eq!(done(&bench), [("throttle", 9)]);
    assert_eq!(bench.states(), ["firing"]);
}

#[test]
fn who_is_silent_since_does_not_climb() {
    let mut bench = Bench::new(LADDER);
    spend(&mut bench, 9, 60);
    bench.pass(29);
    assert_eq!(done(&bench).len(), 1);
    bench.pass(300);
    assert_eq!(done(&bench).len(), 1);
}

#[test]
fn a_release_leads_back_to_the_first() {
    let mut bench = Bench::new(LADDER);
    spend(&mut bench, 50, 60);
    assert_eq!(done(&bench).len(), 2);
    bench.release(&agent("a"));
    spend(&mut bench, 60, 60);
    assert_eq!(done(&bench)[2..], [("throttle", 59), ("degrade", 89)]);
}

#[test]
fn a_restart_leaves_it_where_it_stands() {
    let mut bench = Bench::new(LADDER);
    spend(&mut bench, 20, 60);
    bench.restart(LADDER);
    let effects = bench.core.warmed(bench.now);
    bench.take(effects);
    spend(&mut bench, 180, 60);
    let climbed = [("throttle", 9), ("degrade", 39), ("freeze", 99)];
    assert_eq!(done(&bench), climbed);
}

#[test]
fn an_order_that_never_arrived_is_given_again() {
    let mut bench = Bench::new(LADDER);
    spend(&mut bench, 38, 60);
    bench.pass(1);
    let call = bench.model("a", 60);
    bench.live(&[call]);
    assert_eq!(done(&bench).len(), 2, "and control has not heard of it");
    bench.restart(LADDER);
    let effects = bench.core.warmed(bench.now);
    bench.take(effects);
    spend(&mut bench, 12, 60);
    let (first, again) = (&bench.orders[1], &bench.orders[2]);
    assert_eq!(first.state, again.state);
    // So does one that control refused.
    let mut bench = Bench::new(LADDER);
    spend(&mut bench, 38, 60);
    bench.pass(1);
    let call = bench.model("a", 60);
    bench.live(&[call]);
    let order = bench.orders[1].clone();
    bench.core.failed(&order, "a");
    spend(&mut bench, 1, 60);
    assert_eq!(bench.orders.len(), 3);
    assert_eq!(bench.orders[2].state, order.state);
}

#[test]
fn in_shadow_it_climbs_on_paper() {
    let rules = LADDER.replace("mode: enforce", "mode: shadow");
    let mut bench = Bench::new(&rules);
    spend(&mut bench, 200, 60);
    assert_eq!(done(&bench).len(), 3);
    assert!(bench.notices.is_empty() && bench.view.entries.is_empty());
}
