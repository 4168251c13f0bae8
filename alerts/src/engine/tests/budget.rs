//! Budgets: exact, by the calendar, and the same whether or not anybody restarted.

use arrow::array::{ArrayRef, Decimal128Array, Int64Array, RecordBatch, StringArray};
use proptest::prelude::*;

use super::*;

const DAILY: &str = "\
rules:
  - name: daily
    key: agent
    mode: enforce
    when:
      budget: { limit: 10.00, per: day, soft: 0.8 }
    action: freeze
";

const MINUTE: i64 = 60 * SECOND;

/// What the tables answer to a question for sums: this is what its SQL says, by hand.
pub(super) fn sums(sql: &str, journal: &[ChargeRow]) -> RecordBatch {
    let bounds: Vec<i64> = sql
        .split("to_timestamp_micros(")
        .skip(1)
        .map(|rest| rest[..rest.find(')').unwrap()].parse().unwrap())
        .collect();
    // The query for burn rates names the steps of time first.
    let steps = sql.contains("CASE WHEN received_at");
    let (begin, cut) = if steps {
        (bounds[2], bounds[3])
    } else {
        (bounds[0], bounds[1])
    };
    let mut sums = std::collections::BTreeMap::<(String, i64), (Decimal, i64, i64)>::new();
    for row in journal {
        let at = row.received_at.0;
        let late = at * 1_000 - row.start_unix_nano - row.duration_ns.unwrap() > 60 * SECOND;
        if !(begin..cut).contains(&at) || late {
            continue;
        }
        let step = match at {
            _ if !steps => 0,
            at if at >= bounds[0] => at / 60_000_000 * 60_000_000,
            at if at >= bounds[1] => at / 600_000_000 * 600_000_000,
            at => at / 3_600_000_000 * 3_600_000_000,
        };
        let key = (row.agent_name.clone().unwrap(), step);
        let sum = sums.entry(key).or_default();
        sum.0 += row.cost_usd.unwrap_or_default();
        sum.1 += row.calls;
        sum.2 += if row.error_type.is_some() {
            row.calls
        } else {
            0
        };
    }
    let usd = sums.values().map(|(usd, ..)| {
        let mut usd = *usd;
        usd.rescale(12);
        usd.mantissa()
    });
    let usd = Decimal128Array::from_iter_values(usd).with_precision_and_scale(38, 12);
    let int = |of: fn((&(String, i64), &(Decimal, i64, i64))) -> i64| -> ArrayRef {
        Arc::new(Int64Array::from_iter_values(sums.iter().map(of)))
    };
    let names = StringArray::from_iter_values(sums.keys().map(|(name, _)| name));
    RecordBatch::try_from_iter_with_nullable([
        ("name", Arc::new(names) as ArrayRef, true),
        ("step", int(|((_, at), _)| *at), true),
        ("usd", Arc::new(usd.unwrap()) as ArrayRef, true),
        ("calls", int(|(_, sum)| sum.1), true),
        ("failed", int(|(_, sum)| sum.2), true),
    ])
    .unwrap()
}

/// A bench whose tables were asked and are empty.
fn begun(rules: &str) -> Bench {
    let mut bench = Bench::new(rules);
    bench.pass(1);
    bench.tables_answer(&[]);
    bench
}

#[test]
fn a_soft_limit_is_a_rule_of_its_own_that_only_warns() {
    let rules = parse("r", DAILY).unwrap();
    let [hard, soft] = &rules[..] else {
        panic!("{rules:?}")
    };
    assert_eq!((soft.name.as_str(), soft.acts()), ("daily.soft", false));
    assert_eq!(soft.threshold.trigger, Decimal::from(8));
    assert_eq!(hard.condition(), "at least 10 USD in a calendar day (UTC)");
    let mut bench = begun(DAILY);
    for _ in 0..8 {
        let row = bench.model("a", 100);
        bench.live(&[row]);
        bench.pass(1);
    }
    assert_eq!(bench.orders.len(), 0);
    assert_eq!(bench.alerts.len(), 1);
    assert_eq!(bench.alerts[0].rule, "daily.soft");
    assert_eq!(
        bench.alerts[0].summary,
        "agent a spent 8 USD since 2027-01-15T00:00:00Z (one day in UTC); the rule fires at 8 USD"
    );
    for _ in 0..2 {
        let row = bench.model("a", 100);
        bench.live(&[row]);
    }
    assert_eq!(bench.frozen(), [&agent("a")]);
}

#[test]
fn it_is_exact_and_ends_with_the_day() {
    let mut bench = begun(DAILY);
    let mut row = bench.model("a", 0);
    row.cost_usd = Some(Decimal::from_str_exact("9.999999999999").unwrap());
    bench.live(&[row]);
    assert_eq!(bench.orders.len(), 0);
    // 16 hours later it is tomorrow, and the cent counts for that day.
    bench.now += 16 * 3_600 * SECOND;
    let cent = bench.model("a", 1);
    bench.live(std::slice::from_ref(&cent));
    assert_eq!(bench.orders.len(), 0);
    assert_eq!(bench.value("a").as_deref(), Some("0.01"));
}

#[test]
fn until_the_tables_have_told_it_holds_unless_the_stream_alone_is_too_much() {
    let mut bench = Bench::new(DAILY);
    let row = bench.model("a", 500);
    bench.live(&[row]);
    bench.pass(1);
    assert_eq!(bench.value("a"), None, "part of it may be unknown");
    assert_eq!(bench.queries.len(), 2, "the hard limit and the soft one");
    let journal = [ChargeRow {
        received_at: Micros::of_nanos(bench.now - 30 * MINUTE),
        start_unix_nano: bench.now - 30 * MINUTE - SECOND,
        ..bench.model("a", 499)
    }];
    bench.tables_answer(&journal);
    bench.pass(1);
    assert_eq!(bench.orders.len(), 0, "9.99 USD");
    let row = bench.model("a", 1);
    bench.live(&[row]);
    assert_eq!(bench.frozen(), [&agent("a")]);

    let mut deaf = Bench::new(DAILY);
    let row = deaf.model("a", 1_000);
    deaf.live(&[row]);
    assert_eq!(deaf.frozen(), [&agent("a")]);
}

#[test]
fn tables_that_do_not_answer_are_told_of_and_asked_again() {
    let mut bench = Bench::new(DAILY);
    bench.pass(1);
    assert_eq!(bench.queries.len(), 2);
    bench.queries.clear();
    for rule in ["daily", "daily.soft"] {
        bench.answered(rule, Err("no answer within 30 s".into()));
    }
    assert_eq!(bench.alerts.len(), 2);
    assert_eq!(bench.alerts[0].state, "error");
    assert_eq!(
        bench.alerts[0].summary,
        "the query of rule daily fails: no answer within 30 s"
    );
    bench.pass(59);
    assert_eq!(bench.queries.len(), 0);
    bench.pass(1);
    assert_eq!(bench.queries.len(), 2);
    bench.tables_answer(&[]);
    assert_eq!(bench.alerts.last().unwrap().state, "ok");
}

#[test]
fn a_correction_of_what_the_tables_tell_has_them_asked_again() {
    let mut bench = Bench::new(DAILY);
    let old = ChargeRow {
        received_at: Micros::of_nanos(bench.now - 60 * MINUTE),
        start_unix_nano: bench.now - 60 * MINUTE - SECOND,
        ..bench.model("a", 900)
    };
    bench.pass(1);
    bench.tables_answer(std::slice::from_ref(&old));
    bench.pass(1);
    // Repriced: taken back, and entered anew at a third.
    let anew = ChargeRow {
        charge_id: "anew".into(),
        cost_usd: Some(Decimal::from(3)),
        ..old.clone()
    };
    let correction = [reversal(&old), anew];
    bench.live(&correction);
    let journal: Vec<_> = std::iter::once(old).chain(correction).collect();
    bench.pass(300);
    assert_eq!(bench.queries.len(), 2);
    bench.tables_answer(&journal);
    let row = bench.model("a", 100);
    bench.live(&[row]);
    assert_eq!(bench.value("a").as_deref(), Some("4"));
    assert_eq!(bench.orders.len(), 0);
}

#[test]
fn a_release_forgives_what_was_spent_and_that_survives_a_restart() {
    let mut bench = begun(DAILY);
    let mut journal = vec![bench.model("a", 1_000)];
    bench.live(&journal);
    assert_eq!(bench.frozen().len(), 1);
    bench.obey();
    bench.pass(60);
    bench.release(&agent("a"));
    let row = bench.model("a", 900);
    journal.push(row.clone());
    bench.live(&[row]);
    assert_eq!(bench.orders.len(), 1, "9 USD since");
    bench.restart(DAILY);
    let effects = bench.core.warmed(bench.now);
    bench.take(effects);
    bench.post(Origin::Replay, &journal);
    bench.pass(700);
    bench.tables_answer(&journal);
    bench.pass(1);
    assert_eq!(bench.value("a").as_deref(), Some("9"));
    let row = bench.model("a", 100);
    bench.live(&[row]);
    assert_eq!(bench.orders.len(), 2);
}

#[test]
fn an_execution_has_a_budget_for_its_life() {
    let rules = "\
rules:
  - name: run
    key: execution
    mode: enforce
    when:
      budget: { limit: 2, per: execution }
    action: freeze
";
    let mut bench = begun(rules);
    for _ in 0..4 {
        bench.now += 3 * 3_600 * SECOND;
        let row = bench.model("a", 50);
        bench.live(&[row]);
    }
    assert_eq!(bench.frozen(), [&Scope::Execution("run-of-a".into())]);
}

#[test]
fn teams_and_task_types_have_budgets_too_and_nothing_to_freeze() {
    let rules = "\
rules:
  - name: team
    key: team
    when:
      budget: { limit: 1, per: month }
";
    let mut bench = begun(rules);
    let row = ChargeRow {
        team: Some("research".into()),
        ..bench.model("a", 100)
    };
    bench.live(&[row]);
    assert_eq!(bench.states(), ["firing"]);
    assert_eq!(bench.alerts[0].key, "team=research");
    let acting = format!("{rules}    action: freeze\n");
    let message = parse("r.yaml", &acting).unwrap_err().to_string();
    assert!(
        message.contains("r.yaml:6: rule team: action is"),
        "{message}"
    );
    assert!(message.contains("accepted is only notify"), "{message}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    /// Calls, corrections young and old, and restarts at any moment, against the plain sum over the journal.
    #[test]
    fn a_restart_changes_nothing(
        steps in prop::collection::vec((1i64..900, 1i64..40, 0u8..10), 1..60),
    ) {
        let rules = "rules:\n  - name: b\n    key: agent\n    when:\n      budget: { limit: 1000, per: day }\n";
        let mut bench = begun(rules);
        let mut journal: Vec<ChargeRow> = Vec::new();
        let mut standing: Vec<ChargeRow> = Vec::new();
        for (wait, cents, what) in steps {
            bench.now += wait * SECOND;
            let effects = bench.core.tick(bench.now);
            bench.take(effects);
            bench.tables_answer(&journal);
            match what {
                0 | 1 if !standing.is_empty() => {
                    let row = standing.swap_remove(cents as usize % standing.len());
                    journal.push(reversal(&row));
                    bench.live(&[reversal(&row)]);
                }
                2 => {
                    bench.restart(rules);
                    // What streams in before the warm-up has answered is in both.
                    let since = bench.now - 720 * SECOND;
                    let recent: Vec<_> = journal
                        .iter()
                        .filter(|row| row.received_at.0 * 1_000 >= since)
                        .cloned()
                        .collect();
                    bench.post(Origin::Replay, &recent);
                    let effects = bench.core.warmed(bench.now);
                    bench.take(effects);
                    bench.post(Origin::Replay, &recent);
                    bench.tables_answer(&journal);
                }
                _ => {
                    let row = bench.model("a", cents);
                    journal.push(row.clone());
                    standing.push(row.clone());
                    bench.live(&[row]);
                }
            }
        }
        // A last call, and time for every doubt to be settled.
        for _ in 0..2 {
            bench.now += 301 * SECOND;
            let effects = bench.core.tick(bench.now);
            bench.take(effects);
            bench.tables_answer(&journal);
        }
        let row = bench.model("a", 1);
        journal.push(row.clone());
        bench.live(&[row]);
        let begin = crate::rule::Period::Day.begin(bench.now) / 1_000;
        let want: Decimal = journal
            .iter()
            .filter(|row| row.received_at.0 >= begin)
            .filter_map(|row| row.cost_usd)
            .sum();
        let got = bench.value("a").map(|value| Decimal::from_str_exact(&value).unwrap());
        prop_assert_eq!(got, Some(want));
    }
}
