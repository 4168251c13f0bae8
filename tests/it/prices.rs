//! The price book from the command line: what an unpriced model looks like, and how a list comes in.

use crate::harness::{flyball, query, recording, run};

#[test]
fn a_model_without_a_price_costs_null_and_is_listed() {
    let dir = tempfile::tempdir().unwrap();
    let book = dir.path().join("book.json");
    std::fs::write(
        &book,
        r#"{"format": "flyball-prices/1", "entries": [{"model": "nobody-uses-it", "prices": [{"input": 1, "output": 1}]}]}"#,
    )
    .unwrap();
    let data = dir.path().join("data");
    run(flyball(&data)
        .arg("import")
        .arg(recording("oi_openai"))
        .arg("--prices")
        .arg(&book));
    let [total] = &query(
        &data,
        "SELECT count(*) AS calls, sum(input_tokens) AS input, sum(cost_usd) AS cost FROM model_calls WHERE usage <> 'unknown'",
    )[..] else {
        panic!("one row")
    };
    assert!(total["cost"].is_null(), "{total}");
    let [listed] = &query(
        &data,
        "SELECT sum(calls) AS calls, sum(input_tokens) AS input, min(first_seen) <= max(last_seen) AS ordered FROM unpriced_models WHERE kind = 'model_call'",
    )[..] else {
        panic!("one row")
    };
    assert_eq!(listed["calls"], total["calls"]);
    assert_eq!(listed["input"], total["input"]);
    assert_eq!(listed["ordered"], true);
}

#[test]
fn a_list_comes_in_shows_what_it_changes_and_what_jumps_waits_for_a_person() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let data = path("data");
    let list = |prices: &str| {
        let text = format!(
            r#"{{"m": {{"litellm_provider": "p", "input_cost_per_token": {prices}, "output_cost_per_token": 1e-5}}}}"#
        );
        std::fs::write(path("list.json"), text).unwrap();
    };
    let prices = |arguments: &[&str]| {
        let output = run(flyball(&data)
            .arg("prices")
            .args(arguments)
            .current_dir(dir.path()));
        String::from_utf8(output.stdout).unwrap()
    };
    std::fs::write(
        path("empty.json"),
        r#"{"format": "flyball-prices/1", "entries": []}"#,
    )
    .unwrap();
    let import =
        |from: &str| prices(&["import", "list.json", "--book", from, "--out", "book.json"]);
    let list_of = |more: &[&str]| {
        let arguments = [&["list", "--book", "book.json", "--model", "m"], more].concat();
        prices(&arguments)
    };

    list("2e-6");
    let told = import("empty.json");
    assert!(
        told.contains("added") && told.contains("4 changes"),
        "{told}"
    );
    list("3e-6");
    let told = import("book.json");
    assert!(told.contains("changed"), "{told}");
    list("4e-5");
    let told = import("book.json");
    assert!(told.contains("input jumps more than tenfold"), "{told}");
    assert!(!list_of(&[]).contains(" 40 "), "not in force");
    let held = list_of(&["--quarantined"]);
    let id = held
        .split_whitespace()
        .find(|word| word.starts_with("litellm:m:"))
        .unwrap_or_else(|| panic!("{held}"));
    prices(&["accept", id, "--book", "book.json"]);
    assert!(list_of(&[]).contains(" 40 "), "{}", list_of(&[]));
    assert!(!list_of(&["--at", "2026-01-01"]).contains(" 40 "));

    let refused = flyball(&data)
        .args(["prices", "accept", id, "--book"])
        .arg(path("book.json"))
        .output()
        .unwrap();
    assert!(
        !refused.status.success(),
        "it is not in quarantine any more"
    );
}
