//! Who falls silent is missed; when everything is silent, or we were away, nobody is.

use super::*;

const SILENT: &str = "\
rules:
  - name: stale
    key: agent
    when:
      absence: { silent_for: 5m, min_calls: 10 }
";

/// Agents call once in ten seconds each, for so long.
fn calls(bench: &mut Bench, agents: &[&str], seconds: i64) {
    for _ in 0..seconds / 10 {
        bench.pass(10);
        let rows: Vec<_> = agents.iter().map(|name| bench.model(name, 1)).collect();
        bench.live(&rows);
    }
}

#[test]
fn an_agent_that_falls_silent_is_missed_and_heard_again() {
    let mut bench = Bench::new(SILENT);
    calls(&mut bench, &["a", "b"], 200);
    calls(&mut bench, &["b"], 290);
    assert_eq!(bench.states(), [""; 0]);
    calls(&mut bench, &["b"], 20);
    assert_eq!(bench.states(), ["firing"]);
    assert_eq!(bench.alerts[0].key, "agent=a");
    assert_eq!(
        bench.alerts[0].summary,
        "agent a: nothing heard for 300 s after 20 calls, while others were heard; the rule fires at 300 s"
    );
    calls(&mut bench, &["a", "b"], 60);
    assert_eq!(bench.states(), ["firing", "ok"]);
}

#[test]
fn who_was_hardly_heard_is_not_missed() {
    let mut bench = Bench::new(SILENT);
    calls(&mut bench, &["a", "b"], 90);
    calls(&mut bench, &["b"], 1_000);
    assert_eq!(bench.states(), [""; 0]);
}

#[test]
fn when_everything_is_silent_that_is_told_once_and_the_keys_hold() {
    let mut bench = Bench::new(SILENT);
    calls(&mut bench, &["a", "b"], 200);
    bench.pass(3_600);
    assert_eq!(bench.states(), ["error"]);
    assert_eq!(
        bench.alerts[0].summary,
        "rule stale cannot judge: nothing at all was heard for 5m; its keys hold"
    );
    // One comes back first: the other is not missed for the hour.
    calls(&mut bench, &["b"], 100);
    assert_eq!(bench.states(), ["error", "ok"]);
    calls(&mut bench, &["b"], 150);
    assert_eq!(
        bench.states(),
        ["error", "ok", "firing"],
        "but for what came after"
    );
}

#[test]
fn nobody_is_missed_for_the_time_in_which_we_were_down() {
    let mut bench = Bench::new(SILENT);
    calls(&mut bench, &["a", "b"], 200);
    let known: Vec<_> = (0..20).map(|_| bench.model("a", 1)).collect();
    bench.now += 86_400 * SECOND;
    bench.restart(SILENT);
    bench.post(Origin::Replay, &known);
    let effects = bench.core.warmed(bench.now);
    bench.take(effects);
    calls(&mut bench, &["b"], 290);
    assert_eq!(bench.states(), [""; 0]);
    calls(&mut bench, &["b"], 30);
    assert_eq!(bench.states(), ["firing"]);
}

#[test]
fn who_was_missed_before_a_restart_is_heard_after_it() {
    let mut bench = Bench::new(SILENT);
    calls(&mut bench, &["a", "b"], 200);
    calls(&mut bench, &["b"], 310);
    assert_eq!(bench.states(), ["firing"]);
    bench.restart(SILENT);
    let effects = bench.core.warmed(bench.now);
    bench.take(effects);
    calls(&mut bench, &["b"], 60);
    assert_eq!(bench.states(), ["firing"], "it holds");
    calls(&mut bench, &["a"], 10);
    assert_eq!(bench.states(), ["firing", "ok"]);
}

#[test]
fn it_never_acts() {
    let acting = format!("{SILENT}    action: {{ throttle: {{ calls_per_minute: 5 }} }}\n");
    let message = parse("r.yaml", &acting).unwrap_err().to_string();
    assert!(
        message.contains(
            "r.yaml:6: rule stale: action is \"an act\"; accepted with absence is only notify"
        ),
        "{message}"
    );
}

const HOURS: &str = "\
rules:
  - name: silent
    key: agent
    when:
      absence: { silent_for: 30m, learn: 7d }
";

/// An agent calls every five minutes by day, another always, for so many days.
fn days(bench: &mut Bench, days: i64) {
    for step in 0..days * 288 {
        bench.now += 300 * SECOND;
        let mut rows = vec![bench.model("always", 1)];
        if (96..216).contains(&(step % 288)) {
            rows.push(bench.model("by-day", 1));
        }
        bench.live(&rows);
        bench.pass(1);
        bench.now -= SECOND;
    }
}

/// Begins anew with what was kept.
fn begin_again(bench: &mut Bench) {
    let kept = bench.core.knowledge("silent", bench.now).unwrap();
    let kept = kept.encode().unwrap();
    bench.restart(HOURS);
    let known = crate::knowledge::Knowledge::decode(&kept).unwrap();
    assert!(bench.core.know("silent", known, bench.now));
    let effects = bench.core.warmed(bench.now);
    bench.take(effects);
}

#[test]
fn nights_are_no_silence_and_a_silent_day_is_one_also_after_a_restart() {
    for restarts in [false, true] {
        let mut bench = Bench::new(HOURS);
        days(&mut bench, 10);
        assert_eq!(bench.states(), [""; 0]);
        if restarts {
            begin_again(&mut bench);
        }
        // From midnight on, only the other is heard.
        calls(&mut bench, &["always"], 9 * 3_600);
        assert_eq!(bench.states(), [""; 0], "its first hour may be late");
        if restarts {
            begin_again(&mut bench);
        }
        calls(&mut bench, &["always"], 1_800);
        assert_eq!(bench.states(), ["firing"]);
        assert_eq!(bench.alerts[0].key, "agent=by-day");
        if restarts {
            begin_again(&mut bench);
        }
        calls(&mut bench, &["always"], 600);
        assert_eq!(bench.states(), ["firing"]);
        calls(&mut bench, &["always", "by-day"], 600);
        assert_eq!(bench.states(), ["firing", "ok"]);
    }
}
