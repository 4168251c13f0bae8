//! Service levels: how fast the error budget burns.

use super::*;

const SLO: &str = "\
rules:
  - name: slo
    key: agent
    when:
      slo_burn: { objective: 0.95, of: tool_errors }
";

/// A call in five seconds, of which so many in a hundred fail.
fn traffic(bench: &mut Bench, journal: &mut Vec<ChargeRow>, failing: i64, calls: i64) {
    for n in 0..calls {
        bench.pass(5);
        bench.tables_answer(journal);
        let row = ChargeRow {
            error_type: (n * 37 % 100 < failing).then(|| "timeout".into()),
            ..bench.tool("a", &n.to_string())
        };
        journal.push(row.clone());
        bench.live(&[row]);
    }
}

#[test]
fn factors_keep_to_what_the_objective_can_reach() {
    let rule = parse("r", SLO).unwrap().remove(0);
    assert_eq!(
        rule.condition(),
        "tool calls without an error below 95 %: the error budget burns 10 times in 5m and 1h, or 6 times in 30m \
         and 6h, or 1 times in 6h and 3d"
    );
    let strict = SLO.replace("0.95", "0.999");
    let condition = parse("r", &strict).unwrap()[0].condition();
    assert!(condition.contains("14.4 times in 5m and 1h"), "{condition}");
    let text = "\
rules:
  - name: slo
    key: agent
    when:
      slo_burn:
        objective: 0.95
        of: success
        windows:
          - { short: 5m, long: 1h, factor: 10 }
";
    let all_of_it = text.replace("factor: 10", "factor: 20");
    let message = parse("r.yaml", &all_of_it).unwrap_err().to_string();
    assert!(
        message.contains("r.yaml:9: rule slo: factor is \"20\"; accepted is a factor below 20"),
        "{message}"
    );
    let cases = [
        (
            "0.95",
            "1",
            "objective is \"1\"; accepted is a share above 0",
        ),
        (
            "success",
            "latency",
            "of is \"latency\"; accepted together with under",
        ),
        (
            "factor: 10",
            "factor: 0",
            "factor is \"0\"; accepted is a number above 0",
        ),
        (
            "short: 5m",
            "short: 2h",
            "short is \"2h\"; accepted is less than the long window, 1h",
        ),
        (
            "long: 1h",
            "long: 61m",
            "long is \"61m\"; accepted are whole minutes up to 1h",
        ),
    ];
    for (replace, with, want) in cases {
        let message = parse("r.yaml", &text.replace(replace, with))
            .unwrap_err()
            .to_string();
        assert!(message.contains(want), "{message}");
    }
}

#[test]
fn what_keeps_within_the_budget_never_fires_and_what_burns_it_does() {
    let mut bench = Bench::new(SLO);
    let mut journal = Vec::new();
    traffic(&mut bench, &mut journal, 3, 800);
    assert_eq!(bench.states(), [""; 0]);
    traffic(&mut bench, &mut journal, 60, 720);
    assert_eq!(bench.states(), ["firing"]);
}

#[test]
fn the_tables_give_back_what_a_restart_lost() {
    let mut bench = Bench::new(SLO);
    let mut journal = Vec::new();
    traffic(&mut bench, &mut journal, 20, 800);
    let before = bench.value("a");
    assert!(before.is_some());
    bench.restart(SLO);
    let since = bench.now - 720 * SECOND;
    let recent: Vec<_> = journal
        .iter()
        .filter(|row| row.received_at.0 * 1_000 >= since)
        .cloned()
        .collect();
    bench.post(Origin::Replay, &recent);
    let effects = bench.core.warmed(bench.now);
    bench.take(effects);
    // It holds what it knew until the tables tell.
    assert_eq!(bench.value("a"), before);
    bench.tables_answer(&journal);
    let row = bench.tool("a", "x");
    bench.live(&[row]);
    let after = bench.value("a");
    let near = |value: Option<String>| {
        Decimal::from_str_exact(&value.unwrap())
            .unwrap()
            .round_dp(2)
    };
    assert_eq!(near(after), near(before));
}

#[test]
fn few_calls_are_no_verdict() {
    let mut bench = Bench::new(SLO);
    let mut journal = Vec::new();
    traffic(&mut bench, &mut journal, 100, 19);
    assert_eq!(bench.value("a"), None);
    assert_eq!(bench.states(), [""; 0]);
    traffic(&mut bench, &mut journal, 100, 2);
    assert_eq!(bench.states(), ["firing"]);
}
