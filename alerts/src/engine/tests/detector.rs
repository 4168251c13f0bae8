//! Detectors: a series of each key, and what is unusual in it.

use super::*;
use crate::knowledge::Knowledge;

const SPIKE: &str = "\
rules:
  - name: spike
    key: agent
    mode: enforce
    when:
      spend_spike: { change: 1.00 }
    action: { throttle: { calls_per_minute: 10 } }
";

/// About so many cents, the same way every time.
fn about(cents: i64, minute: i64) -> i64 {
    cents + minute * 37 % 11
}

/// A call of a model with tokens.
fn used(bench: &mut Bench, model: &str, cents: i64, tokens: i64) -> ChargeRow {
    ChargeRow {
        response_model: Some(model.into()),
        input_tokens: Some(tokens),
        ..bench.model("a", cents)
    }
}

/// Minutes of usual traffic.
fn usual(bench: &mut Bench, minutes: i64) {
    for minute in 0..minutes {
        bench.pass(30);
        let cents = about(50, minute);
        let row = used(bench, "small", cents, cents * 100);
        bench.live(&[row]);
        bench.pass(30);
    }
}

/// A crash: what was kept some time before, and the journal since then.
fn crash(bench: &mut Bench, kept: &[u8], journal: &[ChargeRow]) {
    bench.core = Core::new(
        parse("test.yaml", SPIKE).unwrap(),
        &Settings::default(),
        bench.now,
    );
    let known = Knowledge::decode(kept).unwrap();
    assert!(bench.core.know("spike", known, bench.now));
    let since = Micros::of_nanos(bench.now - bench.core.reach().unwrap());
    let journal: Vec<_> = journal
        .iter()
        .filter(|row| row.received_at >= since)
        .cloned()
        .collect();
    bench.post(Origin::Replay, &journal);
    let effects = bench.core.warmed(bench.now);
    bench.take(effects);
}

#[test]
fn a_crash_loses_nothing_that_was_learnt_before_or_since_it_was_kept() {
    let (mut steady, mut crashed) = (Bench::new(SPIKE), Bench::new(SPIKE));
    let (mut journal, mut kept) = (Vec::new(), Vec::new());
    for minute in 0..150 {
        for bench in [&mut steady, &mut crashed] {
            bench.pass(30);
            let row = used(bench, "small", about(50, minute), 5_000);
            bench.live(std::slice::from_ref(&row));
            bench.pass(30);
            journal.push(row);
        }
        if minute == 140 {
            let known = crashed.core.knowledge("spike", crashed.now).unwrap();
            kept = known.encode().unwrap();
        }
    }
    let own = journal
        .iter()
        .skip(1)
        .step_by(2)
        .cloned()
        .collect::<Vec<_>>();
    crash(&mut crashed, &kept, &own);
    let told = |bench: &mut Bench| {
        bench.pass(30);
        let row = used(bench, "small", 500, 5_000);
        bench.live(&[row]);
        bench.pass(35);
        let evidence = bench.alerts[0].evidence.clone().unwrap();
        let evidence: serde_json::Value = serde_json::from_str(&evidence).unwrap();
        (bench.alerts[0].value, evidence["numbers"].clone())
    };
    let (there, here) = (told(&mut steady), told(&mut crashed));
    assert_eq!(there.0, here.0);
    assert_eq!(there.1, here.1);
    assert_eq!(here.1["steps"], 151);
}

#[test]
fn a_gap_that_nobody_can_fill_is_no_silence() {
    let mut bench = Bench::new(SPIKE);
    usual(&mut bench, 150);
    let kept = bench.core.knowledge("spike", bench.now).unwrap();
    let kept = kept.encode().unwrap();
    bench.now += 3_600 * SECOND;
    crash(&mut bench, &kept, &[]);
    usual(&mut bench, 20);
    assert!(bench.alerts.is_empty());
    let row = bench.model("a", 0);
    bench.live(&[row]);
    // The last of both is open, and of the hour that was slept through none is told.
    let known = bench.core.knowledge("spike", bench.now).unwrap();
    let crate::measure::Known::Series(series) = &known.keys[0].1 else {
        panic!("{known:?}");
    };
    assert_eq!(series.steps(), 149 + 19);
}

#[test]
fn what_is_kept_is_small_and_its_form_has_a_name() {
    let mut bench = Bench::new(SPIKE);
    usual(&mut bench, 2 * 1_440);
    let known = bench.core.knowledge("spike", bench.now).unwrap();
    let bytes = known.encode().unwrap().len();
    assert!((1_000..3_000).contains(&bytes), "{bytes}");
    // When this fails, what older versions kept means something else: give it another FORMAT.
    let form = paths(&serde_json::to_value(&known).unwrap());
    assert_eq!(
        crate::guard::digest(&[&form]),
        "2b70c9f347031969ce7e2b13549e4e58"
    );
}

/// The names of all fields, sorted.
fn paths(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::Object(fields) => {
            // Whether a map keeps its order is a feature of the reader.
            let fields = fields
                .iter()
                .map(|(name, of)| format!("{name}({})", paths(of)));
            let mut fields: Vec<_> = fields.collect();
            fields.sort();
            fields.join(",")
        }
        serde_json::Value::Array(all) => all.last().map(paths).unwrap_or_default(),
        _ => String::new(),
    }
}

#[test]
fn what_is_kept_of_something_else_or_damaged_is_not_used() {
    let mut bench = Bench::new(SPIKE);
    usual(&mut bench, 10);
    let kept = bench.core.knowledge("spike", bench.now).unwrap();
    let bytes = kept.encode().unwrap();
    for (changed, why) in [
        (bytes[..20].to_vec(), "cut off"),
        (bytes[..bytes.len() - 1].to_vec(), "damaged"),
        ([&bytes[..40], b"x", &bytes[41..]].concat(), "damaged"),
        (Vec::new(), "cut off"),
    ] {
        let refused = Knowledge::decode(&changed).unwrap_err();
        assert!(refused.contains(why), "{refused}");
    }
    let other = SPIKE.replace("key: agent", "key: tenant");
    let mut other = Bench::new(&other);
    assert!(!other.core.know("spike", kept, other.now));
    let steps = SPIKE.replace("change: 1.00", "change: 1.00, every: 10s");
    let mut other = Bench::new(&steps);
    assert!(
        !other
            .core
            .know("spike", Knowledge::decode(&bytes).unwrap(), other.now)
    );
    let dearer = SPIKE.replace("change: 1.00", "change: 2.00");
    let mut other = Bench::new(&dearer);
    assert!(
        other
            .core
            .know("spike", Knowledge::decode(&bytes).unwrap(), other.now)
    );
}

#[test]
fn a_spike_of_spend_fires_with_what_was_expected_and_what_drove_it() {
    let mut bench = Bench::new(SPIKE);
    usual(&mut bench, 300);
    assert_eq!(bench.orders.len(), 0);
    bench.pass(30);
    // The same tokens on a model ten times as dear, and as many again.
    let rows = [
        used(&mut bench, "small", 50, 5_000),
        used(&mut bench, "large", 500, 5_000),
    ];
    bench.live(&rows);
    bench.pass(35);
    let row = bench.model("a", 0);
    bench.live(&[row]);
    assert_eq!(bench.states(), ["firing"]);
    let numbers =
        serde_json::from_str::<serde_json::Value>(bench.alerts[0].evidence.as_deref().unwrap())
            .unwrap()["numbers"]
            .clone();
    assert_eq!(numbers["number"], "5.5");
    let dollars = |of: &serde_json::Value| Decimal::from_str_exact(of.as_str().unwrap()).unwrap();
    let drivers = &numbers["drivers"];
    let parts = [
        &drivers["volume_usd"],
        &drivers["mix_usd"],
        &drivers["price_usd"],
    ];
    let sum: Decimal = parts.into_iter().map(dollars).sum();
    assert_eq!(sum, dollars(&drivers["change_usd"]));
    assert_eq!(
        dollars(&drivers["price_usd"]).round_dp(6),
        Decimal::ZERO,
        "no price changed"
    );
    assert_eq!(drivers["models"][0]["model"], "large");
}

#[test]
fn it_learns_first_and_idle_minutes_of_spend_are_zero() {
    let mut bench = Bench::new(SPIKE);
    usual(&mut bench, 50);
    bench.pass(30);
    let row = used(&mut bench, "large", 5_000, 5_000);
    bench.live(&[row]);
    bench.pass(120);
    assert_eq!(bench.value("a"), None);
    assert_eq!(bench.alerts.len(), 0, "nobody knows yet");
    // The rest of the hundred steps are idle, and what comes then is judged.
    bench.pass(60 * 60);
    usual(&mut bench, 1);
    bench.pass(10);
    assert!(bench.core.status().rules[0].watched == 1);
}

#[test]
fn confidence_that_falls_fires_and_confidence_that_rises_does_not() {
    let rules = "\
rules:
  - name: drift
    key: agent
    when:
      confidence_drift: { change: 0.2 }
";
    for (later, fires) in [(0.3, true), (1.0, false)] {
        let mut bench = Bench::new(rules);
        for minute in 0..330 {
            bench.pass(60);
            let usual = 0.75 + (minute * 37 % 11) as f64 / 200.0;
            let row = ChargeRow {
                confidence: Some(if minute < 300 { usual } else { later }),
                ..bench.model("a", 1)
            };
            bench.live(&[row]);
        }
        let fired = bench.states().contains(&"firing");
        assert_eq!(fired, fires, "{later}: {:?}", bench.alerts);
    }
}

#[test]
fn slow_calls_dear_tokens_and_growing_contexts_fire() {
    type Late = fn(&mut ChargeRow);
    let cases: [(&str, Late); 3] = [
        ("latency_shift: { change: 2 }", |row| {
            row.duration_ns = Some(20 * SECOND);
        }),
        ("price_anomaly: { change: 10 }", |row| {
            row.cost_usd = Some(Decimal::from(3));
        }),
        ("token_growth: { change: 5000 }", |row| {
            row.input_tokens = Some(60_000);
        }),
    ];
    for (when, late) in cases {
        let rules = format!("rules:\n  - name: odd\n    key: agent\n    when:\n      {when}\n");
        let mut bench = Bench::new(&rules);
        for minute in 0..315 {
            bench.pass(60);
            let tokens = 5_000 + minute * 37 % 11 * 10;
            let mut row = used(&mut bench, "m", 0, tokens);
            // Ten dollars a million tokens, a second a call.
            row.cost_usd = Some(Decimal::new(tokens * 10 + minute % 7, 6));
            row.duration_ns = Some(SECOND + minute * 37 % 11 * 10_000_000);
            if minute >= 300 {
                late(&mut row);
            }
            bench.live(&[row]);
        }
        assert_eq!(
            bench.states().first(),
            Some(&"firing"),
            "{when}: {:?}",
            bench.alerts
        );
        assert!(
            bench.alerts[0].summary.contains("expected"),
            "{}",
            bench.alerts[0].summary
        );
    }
}

#[test]
fn one_detector_alone_never_freezes() {
    let text = SPIKE.replace("{ throttle: { calls_per_minute: 10 } }", "freeze");
    let message = parse("r.yaml", &text).unwrap_err().to_string();
    assert!(
        message.contains(
            "r.yaml:7: rule spike: action is \"freeze\"; a freeze needs a deterministic condition"
        ),
        "{message}"
    );
}

#[test]
fn what_a_key_takes_is_bounded_and_known() {
    let one = std::mem::size_of::<flyball_detect::Detector>();
    let learning = 100 * std::mem::size_of::<f64>() * 3;
    println!("a detector of one key: {one} bytes, {learning} more while it learns");
    assert!(one + learning < 8_192);
}
