//! Rules that ask in SQL.

use arrow::array::{ArrayRef, Decimal128Array, Float64Array, Int64Array, RecordBatch, StringArray};

use super::*;

const SUCCESS: &str = "\
rules:
  - name: success
    key: agent
    when:
      sql:
        query: SELECT agent_name, value FROM x
        every: 30s
        at_most: 0.8
    recover_above: 0.9
";

const SURE: &str = "\
rules:
  - name: sure
    key: agent
    mode: enforce
    cool_down: 1m
    when:
      sql: { query: SELECT 1, every: 10s, at_least: 5, deterministic: true }
    action: freeze
";

fn answer(rows: &[(&str, Option<f64>)]) -> Vec<RecordBatch> {
    let keys: StringArray = rows.iter().map(|(key, _)| Some(*key)).collect();
    let values: Float64Array = rows.iter().map(|(_, value)| *value).collect();
    let columns = [
        ("agent_name", Arc::new(keys) as ArrayRef),
        ("value", Arc::new(values) as ArrayRef),
    ];
    vec![RecordBatch::try_from_iter_with_nullable(columns.map(|(n, c)| (n, c, true))).unwrap()]
}

impl Bench {
    pub(super) fn answered(&mut self, rule: &str, answer: Result<Vec<RecordBatch>, String>) {
        let effects = self.core.answered(rule, answer, self.now);
        self.take(effects);
    }
}

#[test]
fn it_asks_on_schedule_and_never_twice_at_once() {
    let mut bench = Bench::new(SUCCESS);
    bench.pass(9);
    assert_eq!(bench.asked.len(), 0);
    bench.pass(1);
    assert_eq!(bench.asked, ["success"]);
    bench.pass(100);
    assert_eq!(bench.asked.len(), 1, "the first has not answered yet");
    bench.answered("success", Ok(answer(&[])));
    bench.pass(1);
    assert_eq!(bench.asked.len(), 2);
    bench.answered("success", Ok(answer(&[])));
    bench.pass(29);
    assert_eq!(bench.asked.len(), 2);
    bench.pass(1);
    assert_eq!(bench.asked.len(), 3);
}

#[test]
fn each_row_is_a_key_and_low_values_fire() {
    let mut bench = Bench::new(SUCCESS);
    bench.answered(
        "success",
        Ok(answer(&[("a", Some(0.8)), ("b", Some(0.81)), ("c", None)])),
    );
    assert_eq!(bench.alerts.len(), 1);
    let row = &bench.alerts[0];
    assert_eq!(
        (row.key.as_str(), row.state.as_str(), row.value),
        ("agent=a", "firing", Some(0.8))
    );
    assert_eq!(
        row.summary,
        "agent a: value is 0.8; the rule fires at at most 0.8"
    );
    // Between the bounds it holds; a key that vanishes holds, too; above, it is over.
    bench.now += 100 * SECOND;
    bench.answered("success", Ok(answer(&[("a", Some(0.9))])));
    bench.answered("success", Ok(answer(&[])));
    assert_eq!(bench.alerts.len(), 1);
    bench.answered("success", Ok(answer(&[("a", Some(0.95))])));
    assert_eq!(bench.states(), ["firing", "ok"]);
}

#[test]
fn a_query_that_fails_is_an_alert_of_its_own_and_resolves_nothing() {
    let mut bench = Bench::new(SUCCESS);
    bench.answered("success", Ok(answer(&[("a", Some(0.1))])));
    for _ in 0..5 {
        bench.now += 100 * SECOND;
        bench.answered("success", Err("no such table: x".into()));
    }
    assert_eq!(bench.states(), ["firing", "error"]);
    assert_eq!(bench.alerts[1].key, "rule");
    assert!(bench.alerts[1].summary.ends_with("fails: no such table: x"));
    assert_eq!(
        bench.core.status().rules[0].trouble.as_deref(),
        Some("no such table: x")
    );
    bench.now += 100 * SECOND;
    bench.answered("success", Ok(answer(&[("a", Some(0.1))])));
    assert_eq!(bench.states(), ["firing", "error", "ok"]);
    assert_eq!(bench.alerts[2].alert_id, bench.alerts[1].alert_id);
}

#[test]
fn an_answer_of_the_wrong_shape_says_what_is_missing() {
    let mut bench = Bench::new(SUCCESS);
    let batch = RecordBatch::try_from_iter([
        (
            "agent_name",
            Arc::new(StringArray::from(vec!["a"])) as ArrayRef,
        ),
        ("rate", Arc::new(Int64Array::from(vec![1])) as ArrayRef),
    ]);
    bench.answered("success", Ok(vec![batch.unwrap()]));
    let trouble = bench.core.status().rules[0].trouble.clone().unwrap();
    assert_eq!(
        trouble,
        "the answer has no column value; it has agent_name, rate"
    );
    bench.answered("success", Ok(answer(&[("a", Some(f64::NAN))])));
    let trouble = bench.core.status().rules[0].trouble.clone().unwrap();
    assert!(
        trouble.starts_with("column value is NaN; accepted is a number"),
        "{trouble}"
    );
}

#[test]
fn decimals_and_small_floats_are_read_exactly() {
    let rules = SURE
        .replace("at_least: 5", "at_least: 0.0000001")
        .replace("enforce", "shadow");
    let mut bench = Bench::new(&rules);
    let value = Decimal128Array::from(vec![99])
        .with_precision_and_scale(18, 9)
        .unwrap();
    let batch = RecordBatch::try_from_iter([
        (
            "agent_name",
            Arc::new(StringArray::from(vec!["a"])) as ArrayRef,
        ),
        ("value", Arc::new(value) as ArrayRef),
    ]);
    bench.answered("sure", Ok(vec![batch.unwrap()]));
    assert_eq!(
        bench.core.status().rules[0].keys[0].value.as_deref(),
        Some("0.000000099")
    );
    bench.answered(
        "sure",
        Ok(answer(&[("a", Some(1e-7)), ("b", Some(1.0 / 3.0))])),
    );
    assert_eq!(bench.states(), ["firing", "firing"]);
    assert_eq!(
        bench.core.status().rules[0].keys[0].value.as_deref(),
        Some("0.0000001")
    );
}

#[test]
fn a_query_acts_only_on_what_is_alive() {
    let mut bench = Bench::new(SURE);
    bench.answered("sure", Ok(answer(&[("a", Some(7.0))])));
    assert_eq!((bench.orders.len(), bench.states()), (0, vec!["firing"]));
    // An import does not make it alive.
    let row = bench.model("a", 1);
    bench.post(Origin::Import, &[row]);
    bench.answered("sure", Ok(answer(&[("a", Some(7.0))])));
    assert_eq!(bench.orders.len(), 0);
    let row = bench.model("a", 1);
    bench.live(std::slice::from_ref(&row));
    bench.answered("sure", Ok(answer(&[("a", Some(7.0))])));
    assert_eq!(bench.frozen(), [&agent("a")]);
    assert_eq!(bench.orders[0].cause.as_ref().unwrap().span_id, row.span_id);
}

#[test]
fn after_a_release_a_query_must_be_well_once_before_it_acts_again() {
    let mut bench = Bench::new(SURE);
    let step = |bench: &mut Bench, value: f64| {
        bench.pass(1);
        let row = bench.model("a", 1);
        bench.live(&[row]);
        bench.answered("sure", Ok(answer(&[("a", Some(value))])));
    };
    step(&mut bench, 7.0);
    bench.obey();
    bench.release(&agent("a"));
    step(&mut bench, 7.0);
    step(&mut bench, 8.0);
    assert_eq!(
        bench.frozen().len(),
        1,
        "still the condition that was released"
    );
    step(&mut bench, 1.0);
    step(&mut bench, 7.0);
    assert_eq!(bench.frozen().len(), 2, "newly triggered");
}

#[test]
fn one_number_for_the_workspace_is_one_row() {
    let rules = SUCCESS.replace("key: agent", "key: workspace");
    let mut bench = Bench::new(&rules);
    bench.answered("success", Ok(answer(&[("ignored", Some(0.1))])));
    assert_eq!(bench.alerts[0].key, "workspace=default");
    bench.answered("success", Ok(answer(&[("x", Some(0.1)), ("y", Some(0.2))])));
    let trouble = bench.core.status().rules[0].trouble.clone().unwrap();
    assert_eq!(
        trouble,
        "the query answers 2 rows; with key: workspace, one is accepted"
    );
}
