//! When a rule that fires may act, and when it may not.

use flyball_runtime::control::State as Control;

use super::*;
use crate::guard::BlastRadius;
use crate::notify::About;

pub(super) fn burst(bench: &mut Bench, agent: &str) {
    let row = bench.model(agent, 600);
    bench.live(&[row]);
}

#[test]
fn a_runaway_is_frozen_exactly_once_with_the_span_that_crossed_the_limit() {
    let mut bench = Bench::new(SPEND);
    let rows: Vec<_> = (0..8).map(|_| bench.model("a", 100)).collect();
    bench.live(&rows);
    bench.obey();
    for _ in 0..300 {
        // It is frozen, but what was under way still comes in.
        bench.pass(1);
        burst(&mut bench, "a");
    }
    assert_eq!(bench.frozen(), [&agent("a")]);
    let cause = bench.orders[0].cause.clone().unwrap();
    assert_eq!(cause.span_id, rows[4].span_id, "the fifth dollar");
    assert_eq!(cause.ended_at_unix_nano, START);
    assert_eq!(cause.received_at_unix_nano, START);
    assert_eq!(bench.orders[0].actor, "rule:spend");
    assert_eq!(bench.states(), ["firing"]);
    assert!(
        bench.alerts[0]
            .summary
            .ends_with("freeze of agent a: ordered"),
        "{}",
        bench.alerts[0].summary
    );
}

#[test]
fn the_order_comes_before_the_row_and_the_notice() {
    let mut bench = Bench::new(SPEND);
    let row = bench.model("a", 600);
    let effects = bench.core.charges(Origin::Live, &entries(&[row]), START);
    let order = |e: &Effect| matches!(e, Effect::Order { .. });
    let alert = |e: &Effect| matches!(e, Effect::Alert(_));
    let notice = |e: &Effect| matches!(e, Effect::Notice { .. });
    assert!(
        order(&effects[0]) && alert(&effects[1]) && notice(&effects[2]),
        "{effects:?}"
    );
    assert_eq!(effects.len(), 3);
}

#[test]
fn an_import_never_acts_and_fills_no_window() {
    let mut bench = Bench::new(SPEND);
    for _ in 0..10 {
        let row = bench.model("a", 600);
        bench.post(Origin::Import, &[row]);
    }
    bench.pass(5);
    let row = bench.model("a", 1);
    bench.live(&[row]);
    assert_eq!((bench.orders.len(), bench.alerts.len()), (0, 0));
    assert_eq!(bench.core.status().traffic.history, 10);
}

#[test]
fn a_span_that_ended_two_minutes_ago_never_acts() {
    let mut bench = Bench::new(SPEND);
    let late = ChargeRow {
        start_unix_nano: START - 121 * SECOND,
        ..bench.model("a", 600)
    };
    let row = bench.model("a", 1);
    bench.live(&[late, row]);
    bench.pass(3);
    assert_eq!((bench.orders.len(), bench.alerts.len()), (0, 0));
    // Nor may one act that was in time when it came, but is told of too late.
    let row = bench.model("a", 600);
    bench.now += 90 * SECOND;
    bench.live(&[row]);
    assert_eq!(bench.orders.len(), 0);
}

#[test]
fn a_replay_fills_windows_in_silence_and_the_next_live_span_acts() {
    let mut bench = Bench::new(SPEND);
    for _ in 0..3 {
        let row = bench.model("a", 200);
        bench.post(Origin::Replay, &[row]);
    }
    assert_eq!((bench.orders.len(), bench.alerts.len()), (0, 0));
    bench.pass(1);
    assert_eq!(
        (bench.orders.len(), bench.states()),
        (0, vec!["firing"]),
        "time shows it, but nothing acts"
    );
    assert!(
        bench.alerts[0]
            .summary
            .contains("no live span of it ended within the last minute")
    );
    let row = bench.model("a", 1);
    bench.live(std::slice::from_ref(&row));
    assert_eq!(bench.frozen(), [&agent("a")]);
    assert_eq!(bench.orders[0].cause.as_ref().unwrap().span_id, row.span_id);
    assert_eq!(bench.notices.len(), 2, "people hear of the action too");
}

#[test]
fn shadow_orders_in_shadow_and_tells_nobody() {
    let mut bench = Bench::new(&SPEND.replace("enforce", "shadow"));
    for name in ["a", "b", "c"] {
        burst(&mut bench, name);
    }
    assert_eq!(bench.orders.len(), 3);
    assert!(bench.orders.iter().all(|order| order.mode == Mode::Shadow));
    assert!(
        bench
            .alerts
            .iter()
            .all(|row| row.mode == "shadow" && row.state == "firing")
    );
    assert!(bench.notices.is_empty());
}

#[test]
fn no_more_than_a_tenth_of_the_agents_but_at_least_one() {
    for (others, frozen) in [(0, 1), (18, 1), (19, 2), (39, 4)] {
        let mut bench = Bench::new(SPEND);
        for i in 0..others {
            let row = bench.model(&format!("healthy-{i}"), 1);
            bench.live(&[row]);
        }
        for i in 0..10 {
            // Whoever runs away is known as well; seen first, so that the cap stands still.
            let row = bench.model(&format!("run-{i}"), 0);
            if i == 0 {
                bench.live(&[row]);
            }
        }
        burst(&mut bench, "run-0");
        for i in 0..(frozen + 2).min(others) {
            burst(&mut bench, &format!("healthy-{i}"));
        }
        assert_eq!(bench.frozen().len(), frozen, "{others} others");
        if others > 0 {
            let last = bench.alerts.last().unwrap();
            assert!(
                last.summary.contains("withheld: freezing agent healthy-"),
                "{}",
                last.summary
            );
            assert!(
                last.summary.contains("a person has to decide"),
                "{}",
                last.summary
            );
            let deed = bench.notices.last().unwrap().action.clone().unwrap();
            assert_eq!(deed.action_id, None);
        }
    }
}

#[test]
fn a_withheld_freeze_is_tried_again_once_there_is_room() {
    let settings = Settings {
        blast_radius: BlastRadius {
            window: 100 * SECOND,
            ..BlastRadius::default()
        },
        ..Settings::default()
    };
    let mut bench = Bench::with(SPEND, settings);
    burst(&mut bench, "a");
    burst(&mut bench, "b");
    bench.obey();
    for _ in 0..130 {
        bench.pass(1);
        burst(&mut bench, "b");
    }
    assert_eq!(bench.frozen(), [&agent("a"), &agent("b")]);
    assert!(bench.orders[1].cause.as_ref().unwrap().ended_at_unix_nano >= START + 100 * SECOND);
}

#[test]
fn a_release_is_respected_until_it_triggers_anew() {
    let mut bench = Bench::new(SPEND);
    burst(&mut bench, "a");
    bench.obey();
    bench.pass(2);
    bench.release(&agent("a"));
    // What ended before the release is forgiven, even if it comes in only now.
    bench.now += SECOND;
    let under_way = ChargeRow {
        start_unix_nano: bench.now - 3 * SECOND,
        ..bench.model("a", 900)
    };
    bench.live(&[under_way]);
    let small = bench.model("a", 499);
    bench.live(&[small]);
    bench.pass(2);
    assert_eq!(bench.frozen().len(), 1);
    // It runs away again: no cool-down protects it.
    let row = bench.model("a", 100);
    bench.live(&[row]);
    assert_eq!(bench.frozen().len(), 2);
    assert_ne!(bench.orders[0].action_id, bench.orders[1].action_id);
}

#[test]
fn a_release_while_we_were_away_is_respected_too() {
    let mut bench = Bench::new(SPEND);
    let row = bench.model("a", 600);
    bench.live(std::slice::from_ref(&row));
    bench.obey();
    bench.pass(1);
    let saved_with_freeze = serde_json::to_string(&bench.core.save(bench.now)).unwrap();
    bench.view.entries.clear();
    bench.core = Core::new(
        parse("test.yaml", SPEND).unwrap(),
        &Settings::default(),
        bench.now,
    );
    let saved = serde_json::from_str(&saved_with_freeze).unwrap();
    bench
        .core
        .restore(saved, Arc::new(bench.view.clone()), bench.now);
    bench.post(Origin::Replay, &[row]);
    bench.core.warmed(bench.now);
    let row = bench.model("a", 100);
    bench.live(&[row]);
    assert_eq!(bench.orders.len(), 1);
}

#[test]
fn a_restart_in_the_middle_acts_no_second_time() {
    let mut bench = Bench::new(SPEND);
    let row = bench.model("a", 600);
    bench.live(std::slice::from_ref(&row));
    bench.obey();
    bench.pass(1);
    bench.restart(SPEND);
    // Nothing is judged before the windows are full again.
    let more = bench.model("a", 1);
    bench.live(&[more]);
    bench.pass(2);
    bench.post(Origin::Replay, &[row]);
    let effects = bench.core.warmed(bench.now);
    bench.take(effects);
    burst(&mut bench, "a");
    bench.pass(5);
    assert_eq!((bench.orders.len(), bench.states()), (1, vec!["firing"]));
    // It ends under the same id that it began with.
    bench.pass(200);
    assert_eq!(bench.states(), ["firing", "recovering", "ok"]);
    let ids: std::collections::BTreeSet<_> = bench.alerts.iter().map(|row| &row.alert_id).collect();
    assert_eq!(ids.len(), 1);
    let told: Vec<_> = bench.notices.iter().map(|notice| notice.status).collect();
    assert_eq!(told, [About::Firing, About::Resolved]);
}

#[test]
fn the_same_window_gives_the_same_action_id_even_if_everything_was_forgotten() {
    let ids: Vec<_> = (0..2)
        .map(|_| {
            let mut bench = Bench::new(SPEND);
            burst(&mut bench, "a");
            bench.orders.remove(0).action_id.unwrap()
        })
        .collect();
    assert_eq!(ids[0], ids[1]);
}

#[test]
fn what_holds_already_is_not_ordered_again_nor_loosened() {
    let throttle = SPEND.replace(
        "action: freeze",
        "action: { throttle: { calls_per_minute: 10 } }",
    );
    let mut bench = Bench::new(&throttle);
    bench.view.entries.push(InForce {
        action_id: "by-hand".into(),
        scope: agent("a"),
        state: Control::Frozen,
        actor: "alice".into(),
        reason: "looks odd".into(),
        decided_at_unix_nano: START,
    });
    bench.see();
    burst(&mut bench, "a");
    assert_eq!(bench.orders.len(), 0);
    assert!(
        bench.alerts[0]
            .summary
            .contains("agent a is frozen already"),
        "{}",
        bench.alerts[0].summary
    );
}

#[test]
fn an_order_that_failed_is_tried_with_the_next_span() {
    let mut bench = Bench::new(SPEND);
    burst(&mut bench, "a");
    let order = bench.orders[0].clone();
    bench.core.failed(&order, "a");
    burst(&mut bench, "a");
    assert_eq!(bench.orders.len(), 2);
    assert_eq!(
        bench.orders[0].action_id, bench.orders[1].action_id,
        "it is the same action"
    );
}

#[test]
fn an_action_can_be_about_less_than_the_key() {
    let rules = SPEND.replace(
        "    action: freeze\n",
        "    action: freeze\n    scope: execution\n",
    );
    let mut bench = Bench::new(&rules);
    burst(&mut bench, "a");
    assert_eq!(bench.frozen(), [&Scope::Execution("run-of-a".into())]);
}

#[test]
fn a_hold_that_runs_out_between_spans_acts_with_the_last_one_as_cause() {
    let rules = SPEND.replace("    cool_down", "    for: 3s\n    cool_down");
    let mut bench = Bench::new(&rules);
    let row = bench.model("a", 600);
    bench.live(std::slice::from_ref(&row));
    bench.pass(2);
    assert_eq!((bench.orders.len(), bench.states()), (0, vec!["pending"]));
    bench.pass(1);
    assert_eq!(bench.states(), ["pending", "firing"]);
    assert_eq!(bench.orders[0].cause.as_ref().unwrap().span_id, row.span_id);
}

#[test]
fn freezing_a_tool_counts_everyone_who_uses_it() {
    let rules = LOOP
        .replace("key: execution", "key: tool")
        .replace("    scope: agent\n", "");
    let mut bench = Bench::new(&rules);
    for i in 0..20 {
        let row = bench.tool(&format!("user-{i}"), &format!("input-{i}"));
        bench.live(&[row]);
    }
    for _ in 0..5 {
        let row = bench.tool("user-0", "same");
        bench.live(&[row]);
    }
    assert_eq!(bench.orders.len(), 0);
    let summary = &bench.alerts[0].summary;
    assert!(
        summary.contains("20 agents frozen automatically within 10m, and the cap is 2 of 20"),
        "{summary}"
    );
}

#[test]
fn an_alert_of_a_rule_that_was_removed_is_over() {
    for rules in [
        LOOP.to_owned(),
        SPEND.replace("key: agent", "key: execution"),
    ] {
        let mut bench = Bench::new(SPEND);
        burst(&mut bench, "a");
        bench.restart(&rules);
        let effects = bench.core.warmed(bench.now);
        bench.take(effects);
        assert_eq!(bench.states(), ["firing", "ok"]);
        assert_eq!(bench.alerts[0].alert_id, bench.alerts[1].alert_id);
        assert_eq!(bench.alerts[1].key, "agent=a");
        assert_eq!(bench.alerts[1].summary, "over: rule spend was removed");
    }
}
