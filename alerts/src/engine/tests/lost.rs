//! Orders that never arrived, and freezes that are over: neither may stand in the way of the next.

use super::action::burst;
use super::*;

fn restarted(bench: &mut Bench, rules: &str) {
    bench.pass(1);
    bench.restart(rules);
    let effects = bench.core.warmed(bench.now);
    bench.take(effects);
}

#[test]
fn a_freeze_that_never_arrived_is_ordered_again_after_a_restart() {
    let mut bench = Bench::new(SPEND);
    burst(&mut bench, "a");
    // Saved as ordered, but control never heard of it.
    restarted(&mut bench, SPEND);
    burst(&mut bench, "a");
    assert_eq!(bench.frozen(), [&agent("a"), &agent("a")]);
    assert_eq!(
        bench.orders[0].action_id, bench.orders[1].action_id,
        "should it have arrived after all, it is one action"
    );
    bench.obey();
    restarted(&mut bench, SPEND);
    burst(&mut bench, "a");
    assert_eq!(bench.orders.len(), 2, "it is in force");
}

#[test]
fn what_is_milder_in_force_does_not_stand_for_a_lost_freeze() {
    let mut bench = Bench::new(SPEND);
    bench.view.entries.push(InForce {
        action_id: "by-hand".into(),
        scope: agent("a"),
        state: Control::Throttled {
            calls_per_minute: 9,
        },
        actor: "alice".into(),
        reason: "looks odd".into(),
        decided_at_unix_nano: START,
    });
    bench.see();
    burst(&mut bench, "a");
    restarted(&mut bench, SPEND);
    burst(&mut bench, "a");
    assert_eq!(bench.orders.len(), 2);
}

#[test]
fn a_shadow_order_is_not_lost_because_nothing_is_in_force() {
    let rules = SPEND.replace("enforce", "shadow");
    let mut bench = Bench::new(&rules);
    burst(&mut bench, "a");
    restarted(&mut bench, &rules);
    burst(&mut bench, "a");
    assert_eq!(bench.orders.len(), 1);
}

#[test]
fn a_failed_order_gives_its_place_back() {
    let mut bench = Bench::new(SPEND);
    burst(&mut bench, "a");
    let order = bench.orders[0].clone();
    bench.core.failed(&order, "a");
    burst(&mut bench, "b");
    assert_eq!(bench.frozen(), [&agent("a"), &agent("b")]);
}

#[test]
fn a_release_gives_its_place_back() {
    for restart in [false, true] {
        let mut bench = Bench::new(SPEND);
        burst(&mut bench, "a");
        bench.obey();
        burst(&mut bench, "b");
        assert_eq!(bench.frozen(), [&agent("a")], "one of two, and no more");
        if restart {
            restarted(&mut bench, SPEND);
        }
        bench.pass(70);
        burst(&mut bench, "b");
        assert_eq!(bench.frozen(), [&agent("a")], "it still is");
        bench.release(&agent("a"));
        bench.pass(70);
        burst(&mut bench, "b");
        assert_eq!(bench.frozen(), [&agent("a"), &agent("b")]);
    }
}

#[test]
fn a_state_saved_before_scopes_were_noted_is_read() {
    let old = r#"{ "touched": [{ "agent": "a", "at": 1 }], "resting": [] }"#;
    let read: crate::guard::Remembered = serde_json::from_str(old).unwrap();
    assert!(format!("{read:?}").contains("scope: None"));
}
