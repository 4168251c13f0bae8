//! The price book from the command line: what an unpriced model looks like, and how a list comes in.

use serde_json::{Value, json};

use crate::harness::{flyball, import, number, prices, query, recording, run};
use crate::import::FRAMEWORKS;

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

#[test]
fn what_was_unpriced_is_priced_later_and_nothing_is_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let (data, priced) = (dir.path().join("data"), dir.path().join("priced"));
    let empty = dir.path().join("empty.json");
    std::fs::write(&empty, r#"{"format": "flyball-prices/1", "entries": []}"#).unwrap();
    run(flyball(&data)
        .arg("import")
        .args(FRAMEWORKS.map(recording))
        .arg("--prices")
        .arg(&empty));
    import(&priced, &FRAMEWORKS.map(recording));
    let by_model = "SELECT coalesce(response_model, request_model) AS model, count(*) AS calls, sum(cost_usd) AS cost \
         FROM model_calls GROUP BY 1 ORDER BY 1";
    let wanted = query(&priced, by_model);
    assert_ne!(query(&data, by_model), wanted);
    let reprice = |more: &[&str]| {
        let output = run(flyball(&data)
            .env("FLYBALL_PRICES_FILE", prices())
            .args(["reprice", "--since", "2020-01-01"])
            .args(more));
        String::from_utf8(output.stdout).unwrap()
    };
    let said = reprice(&["--dry-run"]);
    assert!(said.contains("would be corrected: 0 USD before"), "{said}");
    assert_eq!(
        query(&data, "SELECT * FROM charges WHERE entry = 'reversal'").len(),
        0
    );
    let said = reprice(&[]);
    assert!(said.contains("are corrected"), "{said}");
    assert_eq!(query(&data, by_model), wanted);
    let minutes = "SELECT sum(cost_usd) AS cost, sum(calls) AS calls, sum(input_tokens) AS input FROM minutes";
    assert_eq!(query(&data, minutes), query(&priced, minutes));
    // What was charged then still stands there, taken back with the reason.
    let taken_back = "SELECT count(*) AS n, count(DISTINCT reason) AS reasons, max(reason) AS reason FROM charges WHERE entry = 'reversal'";
    let taken_back = &query(&data, taken_back)[0];
    assert_eq!(
        (&taken_back["reasons"], &taken_back["reason"]),
        (&json!(1), &json!("reprice"))
    );
    let ledger = query(
        &data,
        "SELECT event, record FROM audit WHERE event IN ('prices.repriced', 'charges.corrected') ORDER BY seq",
    );
    let record = |at: usize| -> Value {
        serde_json::from_str(ledger[at]["record"].as_str().unwrap()).unwrap()
    };
    assert_eq!(ledger[0]["event"], "prices.repriced");
    assert_eq!(record(0)["charges"], taken_back["n"]);
    assert!(number(&record(0)["after_usd"]) > 0.0);
    let changed: f64 = (1..ledger.len())
        .map(|at| number(&record(at)["cost_usd_change"]))
        .sum();
    assert!(
        (changed - number(&record(0)["after_usd"])).abs() < 1e-9,
        "{ledger:?}"
    );
    let again = reprice(&[]);
    assert!(again.contains("0 charges are corrected"), "{again}");
    let refused = flyball(&data)
        .args(["reprice", "--since", "yesterday"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        !refused.status.success() && said.contains("--since \"yesterday\""),
        "{said}"
    );
}
