//! Signs of prompt injection, and of a memory that was poisoned with them.

use super::*;

const MARKS: &str = "\
rules:
  - name: injected
    key: execution
    mode: enforce
    when:
      injection_markers: { at_least: 2, window: 5m, markers: [instruction_override, hidden_text] }
    action: { degrade: { read_only: true } }
  - name: poisoned
    key: agent
    when:
      memory_poisoning: { window: 5m }
";

fn call(bench: &mut Bench, tool: &str, came: Option<&str>, went: Option<&str>) -> ChargeRow {
    let row = ChargeRow {
        tool_name: Some(tool.into()),
        injection_markers: came.map(Into::into),
        argument_markers: went.map(Into::into),
        ..bench.tool("a", "input")
    };
    bench.live(std::slice::from_ref(&row));
    row
}

#[test]
fn marked_results_count_and_what_nobody_looked_at_does_not() {
    let mut bench = Bench::new(MARKS);
    for came in [None, Some("none"), Some("role_marker")] {
        for _ in 0..5 {
            call(&mut bench, "fetch", came, Some("instruction_override"));
        }
    }
    assert!(bench.alerts.is_empty());
    let first = call(&mut bench, "fetch", Some("role_marker hidden_text"), None);
    call(&mut bench, "fetch", Some("instruction_override"), None);
    assert_eq!(bench.orders.len(), 1);
    assert_eq!(
        bench.orders[0].reason,
        "execution run-of-a: 2 calls within 5m with signs of prompt injection in what came from outside (last: \
         instruction_override); the rule fires at 2"
    );
    let evidence = bench.orders[0].evidence.as_ref().unwrap();
    assert_eq!(evidence["numbers"]["tool"], "fetch");
    assert_eq!(
        evidence["spans"].as_array().unwrap().len(),
        2,
        "the marked ones"
    );
    bench.live(&[reversal(&first)]);
    bench.pass(1);
    assert_eq!(bench.value("run-of-a").as_deref(), Some("1"));
}

#[test]
fn a_memory_is_poisoned_by_what_is_written_to_it_and_shows_it_when_read() {
    let poisoned = |tool: &str, effect: Option<&str>, came: Option<&str>, went: Option<&str>| {
        let mut bench = Bench::new(MARKS);
        let row = ChargeRow {
            tool_name: Some(tool.into()),
            tool_effect: effect.map(Into::into),
            injection_markers: came.map(Into::into),
            argument_markers: went.map(Into::into),
            ..bench.tool("a", "input")
        };
        bench.live(&[row]);
        bench.alerts.iter().any(|row| row.rule == "poisoned")
    };
    let evil = Some("instruction_override");
    assert!(poisoned("save_memory", None, None, evil));
    assert!(poisoned("add_memories", None, Some("none"), evil));
    assert!(poisoned("search_memory", None, evil, None));
    // Somebody asked for it, and nothing of the kind was there.
    assert!(!poisoned("search_memory", None, Some("none"), evil));
    assert!(!poisoned("memory", Some("read_only"), None, evil));
    assert!(!poisoned("fetch", None, evil, evil));
    assert!(!poisoned("save_memory", None, None, None));
}
