//! Backtests over a journal whose outcome can be worked out by hand, read by the real query engine.

use std::sync::Mutex;

use flyball_alerts::backtest::{self, Backtest, Mark, Stretch, Timing};
use flyball_alerts::{Error, Settings, rule};
use flyball_store::rows::{ChargeRow, Micros};
use rust_decimal::Decimal;

use crate::sql::over;

const SECOND: i64 = 1_000_000_000;
/// Second 0.
const START: i64 = 1_790_000_000 * SECOND;

const SPEND: &str = "\
rules:
  - name: spend
    key: agent
    when:
      spend_rate: { at_least: 5.00, window: 10s }
    recover_below: 2
    keep_firing_for: 30s
    cool_down: 1m
    action: freeze
";

/// A model call that began at this millisecond and took half a second; we knew of it when it ended.
fn call(agent: &str, run: &str, begun_ms: i64, cents: i64) -> ChargeRow {
    let start = START + begun_ms * 1_000_000;
    let end = Micros::of_nanos(start + SECOND / 2);
    ChargeRow {
        charge_id: format!("{agent}-{run}-{begun_ms}"),
        entry: "charge".into(),
        kind: "model_call".into(),
        calls: 1,
        trace_id: format!("{:032x}", 1),
        span_id: format!("{begun_ms:016x}"),
        agent_name: Some(agent.into()),
        execution_id: run.into(),
        start_time: Micros::of_nanos(start),
        end_time: Some(end),
        start_unix_nano: start,
        duration_ns: Some(SECOND / 2),
        received_at: end,
        known_at: end,
        cost_usd: Some(Decimal::new(cents, 2)),
        ..ChargeRow::default()
    }
}

fn ended(agent: &str, run: &str, at_s: i64, termination: &str) -> ChargeRow {
    ChargeRow {
        charge_id: format!("{run}-ended"),
        kind: "execution".into(),
        cost_usd: None,
        termination: Some(termination.into()),
        ..call(agent, run, at_s * 1_000 - 500, 0)
    }
}

fn at(row: ChargeRow, known_s: i64) -> ChargeRow {
    ChargeRow {
        known_at: Micros::of_nanos(START + known_s * SECOND),
        ..row
    }
}

fn journal() -> Vec<ChargeRow> {
    // A dollar a second for twenty seconds, for nothing: the fifth is known at 4.5 s.
    let mut rows: Vec<ChargeRow> = (0..20)
        .map(|i| call("runaway", "lost", i * 1_000, 100))
        .collect();
    rows.push(ended("runaway", "lost", 20, "failure"));
    // One dear call of an agent that knows what it does, and a cheap one; while it is frozen, another one bursts.
    rows.push(call("careful", "won", 200_000, 600));
    rows.push(call("careful", "won", 201_000, 50));
    rows.push(ended("careful", "won", 203, "success"));
    rows.push(call("third", "other", 201_500, 700));
    // What was known of this call was wrong, and corrected before the next one came.
    let wrong = call("corrected", "fine", 400_000, 400);
    let back = ChargeRow {
        entry: "reversal".into(),
        calls: -1,
        cost_usd: Some(Decimal::new(-400, 2)),
        ..at(wrong.clone(), 402)
    };
    let anew = ChargeRow {
        charge_id: "corrected-anew".into(),
        ..at(call("corrected", "fine", 400_000, 4), 402)
    };
    rows.extend([wrong, back, anew]);
    rows.push(call("corrected", "fine", 403_000, 200));
    // An hour later somebody imports what happened then.
    let imported = ChargeRow {
        received_at: Micros::of_nanos(START + 3_900 * SECOND),
        ..at(call("imported", "old", 300_000, 10_000), 3_900)
    };
    rows.push(imported);
    rows
}

async fn replay(rules: &str, timing: Timing) -> Vec<Backtest> {
    let rules = rule::parse("it.yaml", rules).unwrap();
    let stretch = Stretch {
        since: START - 100 * SECOND,
        until: START + 5_000 * SECOND,
        timing,
        parts: 51,
    };
    let engine = over(&journal()).await;
    let told = Mutex::new(Vec::new());
    let progress = |done, of| told.lock().unwrap().push((done, of));
    let settings = Settings::default();
    let done = backtest::run(&rules, &stretch, &settings, &*engine, &progress).await;
    let told = told.into_inner().unwrap();
    assert!(told.last().is_some_and(|(done, of)| done == of));
    done.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backtest_is_what_can_be_worked_out_by_hand() {
    let backtest = replay(SPEND, Timing::Known).await.remove(0);
    assert_eq!(backtest.history, 1, "imports are left to people");
    let fired: Vec<(&str, i64, Option<&str>)> = backtest
        .firings
        .iter()
        .map(|firing| {
            let ms = (firing.fired_at_unix_nano - START) / 1_000_000;
            (firing.key.as_str(), ms, firing.value.as_deref())
        })
        .collect();
    let want = [
        ("agent=runaway", 4_500, Some("5")),
        ("agent=careful", 200_500, Some("6")),
        ("agent=third", 202_000, Some("7")),
    ];
    assert_eq!(fired, want);

    // Under 2 dollars within 10 s from second 28 on; no change before a cool-down has passed, and two of them.
    let runaway = &backtest.firings[0];
    assert_eq!(runaway.over_at_unix_nano, Some(START + 125 * SECOND));
    let freeze = &runaway.acts[0];
    assert_eq!(
        (freeze.action.as_str(), freeze.target.as_str()),
        ("freeze", "agent runaway")
    );
    assert!(freeze.action_id.is_some());
    // Of the calls that began at 5 s to 19 s each would have been refused, and the run came to nothing.
    assert_eq!(freeze.sums.calls, 15);
    assert_eq!(freeze.sums.spent_usd, Decimal::from(15));
    assert_eq!(freeze.sums.saved_usd, Decimal::from(15));
    assert_eq!((freeze.sums.stopped, freeze.sums.wrong), (1, 0));

    // What succeeded would have been lost, and all that it had cost.
    let careful = &backtest.firings[1].acts[0];
    assert_eq!(careful.sums.spent_usd, Decimal::new(50, 2));
    assert_eq!(careful.sums.saved_usd, Decimal::ZERO);
    assert_eq!(careful.sums.lost_usd, Decimal::new(650, 2));
    assert_eq!(careful.wrongly_stopped[0].execution_id, "won");

    // With one agent frozen already, the cap of three known agents is reached.
    let third = &backtest.firings[2].acts[0];
    assert_eq!(third.action_id, None);
    assert!(third.outcome.starts_with("withheld: "), "{}", third.outcome);

    let sums = &backtest.sums;
    assert_eq!((sums.firings, sums.keys, sums.orders), (3, 3, 2));
    assert_eq!((sums.withheld, sums.stopped, sums.wrong), (1, 2, 1));
    assert_eq!(sums.spent_usd, Decimal::new(1_550, 2));
    assert_eq!(sums.saved_usd, Decimal::from(15));
    assert_eq!(sums.lost_usd, Decimal::new(650, 2));

    // A hundred seconds a part: each key's line shows the gravest.
    let lane = |key: &str| {
        let lane = backtest.lanes.iter().find(|lane| lane.key == key).unwrap();
        lane.marks[..5].to_vec()
    };
    let (quiet, calms) = (Mark::Quiet, Mark::Recovering);
    assert_eq!(
        lane("agent=runaway"),
        [quiet, Mark::Ordered, calms, quiet, quiet]
    );
    assert_eq!(lane("agent=third")[3], Mark::Withheld);
}

#[tokio::test(flavor = "multi_thread")]
async fn by_the_clock_of_the_calls_what_was_imported_fires_too() {
    let backtest = replay(SPEND, Timing::Ended).await.remove(0);
    assert_eq!(backtest.history, 0);
    let keys: Vec<&str> = backtest.firings.iter().map(|f| f.key.as_str()).collect();
    let want = [
        "agent=runaway",
        "agent=careful",
        "agent=third",
        "agent=imported",
    ];
    assert_eq!(keys, want, "and what was corrected still does not");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_slows_or_tells_saves_nothing_and_stops_nobody() {
    let throttle = SPEND.replace(
        "action: freeze",
        "action:\n      throttle: { calls_per_minute: 5 }",
    );
    let tell = SPEND.replace("    action: freeze\n", "");
    let backtest = replay(&throttle, Timing::Known).await.remove(0);
    assert_eq!(backtest.sums.orders, 3, "no cap on those");
    assert_eq!(backtest.sums.spent_usd, Decimal::new(1_550, 2));
    assert_eq!(
        (backtest.sums.stopped, backtest.sums.saved_usd),
        (0, Decimal::ZERO)
    );
    let backtest = replay(&tell, Timing::Known).await.remove(0);
    assert_eq!((backtest.sums.firings, backtest.sums.orders), (3, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn several_rules_are_replayed_apart_in_one_reading() {
    let lower = SPEND
        .replace("name: spend", "name: lower")
        .replace("5.00", "4.00");
    let both = format!("{SPEND}{}", lower.trim_start_matches("rules:\n"));
    let backtests = replay(&both, Timing::Known).await;
    let alone = replay(SPEND, Timing::Known).await.remove(0);
    assert_eq!(backtests[0].sums, alone.sums);
    assert_eq!(backtests[1].rule, "lower");
    assert_eq!(
        backtests[1].firings[0].fired_at_unix_nano,
        START + 3_500_000_000
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_replayed_says_so() {
    let engine = over(&[]).await;
    let stretch = Stretch {
        since: START,
        until: START + SECOND,
        timing: Timing::Known,
        parts: 10,
    };
    let settings = Settings::default();
    let rules = rule::default_rules().unwrap();
    let refused = backtest::run(&rules, &stretch, &settings, &*engine, &|_, _| {}).await;
    let refused = refused.unwrap_err();
    assert!(matches!(refused, Error::NotReplayable { .. }));
    assert!(refused.to_string().contains("now() is today"), "{refused}");
    let empty = Stretch {
        until: START,
        ..stretch
    };
    let rules = rule::parse("it.yaml", SPEND).unwrap();
    let refused = backtest::run(&rules, &empty, &settings, &*engine, &|_, _| {}).await;
    assert!(matches!(refused, Err(Error::Stretch { .. })));
}
