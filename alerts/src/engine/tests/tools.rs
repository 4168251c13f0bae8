//! Tools that a key was not known to use: what is learnt, when that is enough, and what survives a restart.

use super::*;

const FIREWALL: &str = "\
rules:
  - name: firewall
    key: agent
    mode: enforce
    when:
      unknown_tool: { learn: { for: 10m, min_calls: 20, forget: 1h }, window: 1m }
    action: { throttle: { calls_per_minute: 1 } }
";

fn use_tool(bench: &mut Bench, tool: &str) -> ChargeRow {
    let row = ChargeRow {
        tool_name: Some(tool.into()),
        ..bench.tool("a", "input")
    };
    bench.live(std::slice::from_ref(&row));
    row
}

/// Two tools in turn, a call every 15 seconds.
fn work(bench: &mut Bench, seconds: i64) {
    for i in 0..seconds / 15 {
        bench.pass(15);
        use_tool(bench, ["search", "read"][i as usize % 2]);
    }
}

/// It knows two tools.
fn learnt() -> Bench {
    let mut bench = Bench::new(FIREWALL);
    work(&mut bench, 630);
    bench
}

#[test]
fn a_tool_that_was_never_used_while_learning_fires_once_it_has_learnt() {
    let mut bench = learnt();
    assert_eq!(bench.value("a").as_deref(), Some("0"));
    use_tool(&mut bench, "read");
    assert!(bench.orders.is_empty());
    use_tool(&mut bench, "delete_all");
    assert_eq!(bench.orders.len(), 1);
    assert_eq!(
        bench.orders[0].reason,
        "agent a called delete_all, which is none of the 2 tools that it was learnt to use in 10m or more; such calls \
         within 1m: 1, and the rule fires at 1"
    );
    let numbers = &bench.orders[0].evidence.as_ref().unwrap()["numbers"];
    assert_eq!(numbers["tool"], "delete_all");
    assert_eq!(numbers["calls_learnt_from"], 44);
    assert_eq!(numbers["learnt_since"], "2027-01-15T08:00:15.000Z");
}

#[test]
fn while_it_learns_nothing_fires_by_time_or_by_calls() {
    let mut bench = Bench::new(FIREWALL);
    work(&mut bench, 585);
    for i in 0..20 {
        use_tool(&mut bench, &format!("early-{i}"));
    }
    assert!(bench.alerts.is_empty(), "ten minutes have not passed");
    let mut bench = Bench::new(FIREWALL);
    for _ in 0..10 {
        bench.pass(120);
        use_tool(&mut bench, "search");
    }
    use_tool(&mut bench, "other");
    assert!(bench.alerts.is_empty(), "11 calls are no 20");
}

#[test]
fn agents_are_learnt_apart() {
    let mut bench = learnt();
    let other = ChargeRow {
        tool_name: Some("delete_all".into()),
        ..bench.tool("b", "input")
    };
    bench.live(&[other]);
    assert!(bench.alerts.is_empty());
}

#[test]
fn a_stranger_counts_as_long_as_learning_takes_and_is_known_then() {
    let mut bench = learnt();
    let mut fired = 0;
    for _ in 0..50 {
        bench.pass(30);
        use_tool(&mut bench, "new");
        fired += i32::from(bench.value("a").as_deref() != Some("0"));
    }
    // The first 20 calls are made within ten minutes of the first; the 21st sees the last of them still.
    assert_eq!(fired, 21);
}

#[test]
fn a_release_lets_pass_what_was_called_until_then() {
    let mut bench = learnt();
    use_tool(&mut bench, "new");
    bench.obey();
    bench.pass(5);
    bench.view.entries.clear();
    bench.core.viewed(Arc::new(bench.view.clone()), bench.now);
    bench.pass(400);
    use_tool(&mut bench, "new");
    assert_eq!(bench.orders.len(), 1);
    use_tool(&mut bench, "newer");
    assert_eq!(bench.orders.len(), 2);
}

#[test]
fn what_was_not_used_for_long_is_forgotten() {
    let mut bench = learnt();
    for _ in 0..62 {
        bench.pass(60);
        use_tool(&mut bench, "search");
    }
    assert!(bench.orders.is_empty());
    use_tool(&mut bench, "read");
    assert_eq!(bench.orders.len(), 1, "an hour ago");
}

#[test]
fn what_was_learnt_survives_a_restart_and_is_counted_once() {
    let mut bench = Bench::new(FIREWALL);
    work(&mut bench, 285);
    assert_eq!(19, 285 / 15);
    // 19 calls, four of which are read again.
    bench.restart(FIREWALL);
    let again: Vec<_> = (0..4)
        .map(|i| ChargeRow {
            charge_id: format!("charge-{}", 16 + i),
            tool_name: Some("search".into()),
            received_at: Micros::of_nanos(bench.now - i * 15 * SECOND),
            start_unix_nano: bench.now - i * 15 * SECOND,
            duration_ns: Some(0),
            ..bench.tool("a", "input")
        })
        .collect();
    bench.post(Origin::Replay, &again);
    let effects = bench.core.warmed(bench.now);
    bench.take(effects);
    bench.pass(400);
    use_tool(&mut bench, "new");
    assert!(
        bench.alerts.is_empty(),
        "the twentieth call is still learnt from"
    );
    use_tool(&mut bench, "newer");
    assert_eq!(bench.orders.len(), 1, "the next is not");
}

#[test]
fn a_call_that_was_a_mistake_is_not_learnt() {
    let mut bench = Bench::new(FIREWALL);
    let mistake = use_tool(&mut bench, "delete_all");
    bench.live(&[reversal(&mistake)]);
    work(&mut bench, 700);
    let stranger = use_tool(&mut bench, "delete_all");
    assert_eq!(bench.orders.len(), 1);
    bench.live(&[reversal(&stranger)]);
    bench.pass(1);
    assert_eq!(bench.value("a").as_deref(), Some("0"));
}

#[test]
fn nor_is_it_after_a_restart_that_reads_it_again_when_it_has_left_the_window() {
    let mut bench = Bench::new(FIREWALL);
    let mistake = use_tool(&mut bench, "search");
    bench.live(&[reversal(&mistake)]);
    bench.pass(61);
    bench.restart(FIREWALL);
    // Other rules reach further back, and with them what is read.
    bench.post(Origin::Replay, &[mistake.clone(), reversal(&mistake)]);
    let effects = bench.core.warmed(bench.now);
    bench.take(effects);
    work(&mut bench, 555);
    use_tool(&mut bench, "new");
    assert!(bench.alerts.is_empty(), "learnt for 540 s, not for 616");
}

#[test]
fn more_tools_than_are_kept_are_no_usual_ones_but_learnt_ones_stay() {
    let mut bench = Bench::new(FIREWALL);
    for i in 0..200 {
        bench.pass(4);
        use_tool(&mut bench, &format!("{i}"));
    }
    use_tool(&mut bench, "new");
    assert!(bench.alerts.is_empty(), "never learnt");
    let mut bench = learnt();
    for i in 0..200 {
        use_tool(&mut bench, &format!("{i}"));
    }
    assert_eq!(bench.value("a").as_deref(), Some("200"));
    bench.pass(120);
    use_tool(&mut bench, "read");
    bench.pass(1);
    assert_eq!(bench.value("a").as_deref(), Some("0"), "still known");
    let last = use_tool(&mut bench, "one more that finds no room");
    assert_eq!(bench.value("a").as_deref(), Some("1"));
    bench.live(&[reversal(&last)]);
    bench.pass(1);
    assert_eq!(bench.value("a").as_deref(), Some("0"));
}

#[test]
fn what_is_on_the_list_need_not_be_learnt() {
    let rules = FIREWALL.replace("{ learn:", "{ allow: [delete_all], learn:");
    let mut bench = Bench::new(&rules);
    work(&mut bench, 630);
    use_tool(&mut bench, "delete_all");
    assert!(bench.orders.is_empty());
}
