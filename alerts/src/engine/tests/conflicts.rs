//! Two who change the same thing against each other, and those who only work on it together.

use proptest::prelude::*;

use super::*;

const CONFLICT: &str = "\
rules:
  - name: conflict
    key: workspace
    when:
      conflicting_modifications: { at_least: 2, window: 10m, tools: [patch] }
";

fn write(bench: &mut Bench, agent: &str, target: &str, input: &str) -> ChargeRow {
    let row = ChargeRow {
        tool_target: Some(target.into()),
        tool_effect: Some("reversible".into()),
        ..bench.tool(agent, input)
    };
    bench.live(std::slice::from_ref(&row));
    bench.pass(1);
    row
}

#[test]
fn who_comes_back_to_what_another_has_changed_is_in_conflict() {
    let mut bench = Bench::new(CONFLICT);
    for (agent, input) in [("a", "1"), ("b", "2"), ("a", "3")] {
        write(&mut bench, agent, "file", input);
    }
    assert_eq!(bench.value("default").as_deref(), Some("1"));
    assert!(bench.alerts.is_empty());
    write(&mut bench, "b", "file", "2");
    assert_eq!(bench.alerts.len(), 1);
    assert_eq!(
        bench.notices[0].summary,
        "workspace default: within 10m, 2 times somebody changed file again after another had changed it otherwise (4 \
         modifications in all); the rule fires at 2"
    );
    let evidence = bench.alerts[0].evidence.clone().unwrap();
    let evidence: serde_json::Value = serde_json::from_str(&evidence).unwrap();
    assert_eq!(evidence["numbers"]["writers"][1]["agent"], "b");
    assert_eq!(evidence["spans"].as_array().unwrap().len(), 4);
}

#[test]
fn handing_on_agreeing_reading_failing_and_other_targets_are_none() {
    type Change = fn(&mut ChargeRow, usize);
    let changes: [(&str, Change); 6] = [
        ("handed on", |row, at| {
            row.execution_id = format!("run-{at}");
        }),
        ("the same", |row, _| {
            row.tool_input_hash = Some("same".into());
        }),
        ("reads", |row, _| row.tool_effect = Some("read_only".into())),
        ("fails", |row, _| row.error_type = Some("timeout".into())),
        ("effect unknown", |row, _| row.tool_effect = None),
        ("target unknown", |row, _| row.tool_target = None),
    ];
    for (name, change) in changes {
        let mut bench = Bench::new(CONFLICT);
        for at in 0..20 {
            let agent = ["a", "b"][at % 2];
            let mut row = ChargeRow {
                tool_target: Some("file".into()),
                tool_effect: Some("irreversible".into()),
                ..bench.tool(agent, &at.to_string())
            };
            change(&mut row, at);
            bench.live(&[row]);
            bench.pass(1);
        }
        assert!(bench.alerts.is_empty(), "{name}");
    }
    let mut bench = Bench::new(CONFLICT);
    for at in 0..20 {
        write(
            &mut bench,
            ["a", "b"][at % 2],
            &format!("{}", at % 2),
            &at.to_string(),
        );
    }
    assert!(bench.alerts.is_empty());
}

#[test]
fn a_tool_on_the_list_modifies_whatever_is_known_of_it() {
    let mut bench = Bench::new(CONFLICT);
    for at in 0..4 {
        let row = ChargeRow {
            tool_name: Some("patch".into()),
            tool_target: Some("file".into()),
            ..bench.tool(["a", "b"][at % 2], &at.to_string())
        };
        bench.live(&[row]);
    }
    assert_eq!(bench.alerts.len(), 1);
}

#[test]
fn what_was_a_mistake_is_taken_back_and_all_leaves_with_the_window() {
    let mut bench = Bench::new(CONFLICT);
    for (agent, input) in [("a", "1"), ("b", "2"), ("a", "3")] {
        write(&mut bench, agent, "file", input);
    }
    let last = write(&mut bench, "b", "file", "4");
    assert_eq!(bench.value("default").as_deref(), Some("2"));
    bench.live(&[reversal(&last)]);
    bench.pass(1);
    assert_eq!(bench.value("default").as_deref(), Some("1"));
    bench.pass(600);
    assert_eq!(bench.alerts.last().unwrap().state, "ok");
}

#[test]
fn bundles_that_arrive_out_of_order_are_put_in_order() {
    let mut bench = Bench::new(CONFLICT);
    bench.pass(20);
    // a, a, b, b by arrival; a, b, a, b by their own clocks.
    let rows: Vec<_> = [("a", 1), ("a", 3), ("b", 2), ("b", 4)]
        .into_iter()
        .map(|(agent, second)| ChargeRow {
            tool_target: Some("file".into()),
            tool_effect: Some("reversible".into()),
            start_unix_nano: START + second * SECOND,
            duration_ns: Some(0),
            ..bench.tool(agent, &second.to_string())
        })
        .collect();
    bench.live(&rows);
    assert_eq!(bench.alerts.len(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Counted again, write by write, from the definition.
    #[test]
    fn comebacks_are_counted_as_defined(
        writes in prop::collection::vec((0usize..3, 0u8..3, 0usize..2), 1..60),
    ) {
        let mut bench = Bench::new(CONFLICT);
        let mut done: Vec<(usize, u8, usize)> = Vec::new();
        for (writer, input, target) in writes {
            write(&mut bench, ["a", "b", "c"][writer], ["x", "y"][target], &input.to_string());
            done.push((writer, input, target));
        }
        let of = |target: usize| {
            let its: Vec<_> = done.iter().filter(|(.., of)| *of == target).collect();
            (1..its.len())
                .filter(|at| {
                    let ((writer, input, _), (last, theirs, _)) = (its[*at], its[*at - 1]);
                    let before = its[..*at].iter().any(|(who, ..)| who == writer);
                    before && writer != last && input != theirs
                })
                .count()
        };
        let want = of(0).max(of(1)).to_string();
        let value = bench.value("default");
        prop_assert_eq!(value.as_deref(), Some(want.as_str()));
    }
}
