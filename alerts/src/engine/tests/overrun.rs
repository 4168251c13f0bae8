//! Hard limits that are passed: what counts as missed, and what does not.

use super::action::burst;
use super::*;
use crate::books::Overruns;

fn overruns(bench: &Bench) -> (u64, u64, u64) {
    let books = bench.core.rule_books();
    let Overruns {
        passed,
        unordered,
        unobeyed,
    } = books[0].overruns;
    let status = bench.core.status().rules[0].overruns;
    assert_eq!(status.unwrap_or_default(), books[0].overruns);
    (passed, unordered, unobeyed)
}

/// A call that began and ended so many nanoseconds after second 0, received at its end.
fn call(bench: &mut Bench, began: i64, ended: i64) -> ChargeRow {
    ChargeRow {
        start_unix_nano: START + began,
        duration_ns: Some(ended - began),
        received_at: Micros::of_nanos(START + ended),
        ..bench.model("a", 100)
    }
}

#[test]
fn what_the_loops_time_explains_is_not_missed() {
    let mut bench = Bench::new(SPEND);
    burst(&mut bench, "a");
    bench.obey();
    // Under way when the limit was passed, begun within the second, and begun early but told of late.
    let (second, half) = (SECOND, SECOND / 2);
    for (began, ended) in [(0, 3 * second), (second, second + half), (half, 9 * second)] {
        let row = call(&mut bench, began, ended);
        bench.now = START + ended;
        bench.live(&[row]);
    }
    assert_eq!(overruns(&bench), (1, 0, 0));
}

#[test]
fn a_paid_call_that_began_a_second_after_is_missed_once() {
    let mut bench = Bench::new(SPEND);
    burst(&mut bench, "a");
    bench.obey();
    let free = ChargeRow {
        cost_usd: None,
        ..call(&mut bench, 2 * SECOND, 3 * SECOND)
    };
    let other = ChargeRow {
        agent_name: Some("b".into()),
        ..call(&mut bench, 2 * SECOND, 3 * SECOND)
    };
    bench.now = START + 3 * SECOND;
    bench.live(&[free, other]);
    assert_eq!(
        overruns(&bench),
        (1, 0, 0),
        "it cost nothing, or another paid"
    );
    for _ in 0..3 {
        let row = call(&mut bench, SECOND + 1_000, 3 * SECOND);
        bench.live(&[row]);
    }
    assert_eq!(overruns(&bench), (1, 0, 1));
}

#[test]
fn a_senders_clock_that_is_ahead_makes_nothing_missed() {
    let mut bench = Bench::new(SPEND);
    burst(&mut bench, "a");
    bench.obey();
    let row = ChargeRow {
        start_unix_nano: START + 30 * SECOND,
        duration_ns: Some(SECOND),
        received_at: Micros::of_nanos(START + 2 * SECOND),
        ..bench.model("a", 100)
    };
    bench.now = START + 2 * SECOND;
    bench.live(&[row]);
    assert_eq!(overruns(&bench), (1, 0, 0));
}

#[test]
fn a_freeze_that_is_withheld_or_fails_is_missed() {
    let mut bench = Bench::new(SPEND);
    burst(&mut bench, "a");
    burst(&mut bench, "b");
    assert_eq!(bench.frozen(), [&agent("a")], "the cap is one");
    assert_eq!(overruns(&bench), (2, 1, 0));
    let order = bench.orders[0].clone();
    bench.core.failed(&order, "a");
    bench.core.failed(&order, "a");
    assert_eq!(overruns(&bench), (2, 2, 0));
    // Ordered anew by its next span: still the same overrun.
    bench.pass(1);
    burst(&mut bench, "a");
    assert_eq!(bench.orders.len(), 2);
    assert_eq!(overruns(&bench), (2, 2, 0));
}

#[test]
fn what_a_person_releases_may_spend_again_until_it_passes_the_limit_again() {
    let mut bench = Bench::new(SPEND);
    burst(&mut bench, "a");
    bench.obey();
    bench.pass(5);
    bench.release(&agent("a"));
    bench.pass(5);
    let row = bench.model("a", 100);
    bench.live(&[row]);
    assert_eq!(overruns(&bench), (1, 0, 0));
    burst(&mut bench, "a");
    assert_eq!(overruns(&bench), (2, 0, 0));
}

#[test]
fn an_overrun_ends_with_its_alert() {
    let mut bench = Bench::new(SPEND);
    burst(&mut bench, "a");
    bench.obey();
    bench.pass(300);
    assert_eq!(bench.states().last(), Some(&"ok"));
    // Somebody else lets it go on a little, as the freeze stands: no limit is passed by that.
    let row = bench.model("a", 100);
    bench.live(&[row]);
    assert_eq!(overruns(&bench), (1, 0, 0));
}

#[test]
fn neither_shadow_nor_a_throttle_is_a_hard_limit() {
    let throttle = SPEND.replace("freeze", "{ throttle: { calls_per_minute: 1 } }");
    for rules in [SPEND.replace("enforce", "shadow"), throttle] {
        let mut bench = Bench::new(&rules);
        burst(&mut bench, "a");
        assert_eq!(bench.orders.len(), 1);
        assert_eq!(overruns(&bench), (0, 0, 0));
    }
}
