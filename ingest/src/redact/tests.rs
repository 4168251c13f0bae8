#![allow(clippy::unwrap_used)]

use flyball_store::Table;
use flyball_store::rows::{ContentRow, LogRow, Row, SpanRow};
use proptest::prelude::*;
use serde_json::json;

use super::*;

fn all() -> Policy {
    Policy::new(vec![Detector::key(), Detector::card(), Detector::email()])
}

/// Made up, in the forms that the issuers publish.
const SECRETS: &[&str] = &[
    "fbk_0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
    "sk-proj-abcdefghijklmnopqrstuvwx",
    "sk-ant-api03-abcdefghijklmnopqrstuvwxyz",
    "AKIAIOSFODNN7EXAMPLE",
    "ghp_abcdefghijklmnopqrstuvwxyzABCDEFGHIJ",
    "xoxb-1234567890-abcdefghij",
    "sk_live_abcdefghijklmnop",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.abcdefghijklmnop",
    "Bearer abcdefghijklmnopqrstuvwxyz012345==",
    "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----",
    // Test numbers that the networks publish.
    "4111 1111 1111 1111",
    "5555-5555-5555-4444",
    "378282246310005",
    "ada.lovelace+bills@example.co.uk",
];

#[test]
fn what_should_not_be_kept_is_found_wherever_it_stands() {
    let policy = all();
    for secret in SECRETS {
        for text in [
            secret.to_string(),
            format!("say \"{secret}\", then go"),
            format!("k={secret}\n"),
        ] {
            let kept = policy.redact(&text).unwrap_or_else(|| panic!("{text}"));
            assert!(!kept.contains(secret), "{kept}");
        }
    }
    let kept = policy
        .redact("pay with 4111111111111111 or mail a@b.org")
        .unwrap();
    assert_eq!(kept, "pay with [card] or mail [email]");
}

#[test]
fn ordinary_texts_are_left_alone() {
    let policy = all();
    for text in [
        "",
        "sk-1",
        "the task is done",
        // A time in nanoseconds, a trace id, a wrong check digit, a number of no network.
        "1795000000000000000",
        "4bf92f3577b34da6a3ce929d0e0e4736",
        "4111 1111 1111 1112",
        "9111111111111111",
        "user@localhost",
        "bearer of news",
    ] {
        assert_eq!(policy.redact(text), None, "{text}");
    }
}

#[test]
fn ones_own_pattern_is_named_in_its_place_and_a_wrong_one_is_refused_by_name() {
    let policy = Policy::new(vec![Detector::pattern("case", r"CASE-\d+").unwrap()]);
    assert_eq!(policy.redact("see CASE-12").as_deref(), Some("see [case]"));
    let bad = Detector::pattern("case", "(").unwrap_err();
    assert!(
        bad.to_string()
            .starts_with("redaction \"case\": \"(\" is no regular expression")
    );
}

#[test]
fn texts_of_every_table_lose_it_and_json_stays_json() {
    let secret = SECRETS[0];
    let attributes =
        json!({ "a": format!("key {secret}"), "n": 4_111_111_111_111_111_i64, "l": [secret] });
    let span = SpanRow {
        attributes: Some(attributes.to_string()),
        status_message: Some(format!("denied: {secret}")),
        user_id: Some("ada@example.org".to_owned()),
        ..SpanRow::default()
    };
    let plain = SpanRow {
        attributes: Some("{\"a\":1}".to_owned()),
        ..SpanRow::default()
    };
    let log = LogRow {
        body: Some(format!("{secret}!")),
        ..LogRow::default()
    };
    let policy = all();
    let kept = apply(
        &policy,
        vec![
            (
                Table::Spans,
                SpanRow::batch(&[plain.clone(), span]).unwrap(),
            ),
            (Table::Logs, LogRow::batch(&[log]).unwrap()),
        ],
    )
    .unwrap();
    let spans = SpanRow::read(&kept[0].1).unwrap();
    assert_eq!(spans[0], plain);
    let wanted = json!({ "a": "key [key]", "n": 4_111_111_111_111_111_i64, "l": ["[key]"] });
    let found: serde_json::Value =
        serde_json::from_str(spans[1].attributes.as_ref().unwrap()).unwrap();
    assert_eq!(found, wanted);
    assert_eq!(spans[1].status_message.as_deref(), Some("denied: [key]"));
    assert_eq!(
        spans[1].user_id.as_deref(),
        Some("ada@example.org"),
        "rows are asked for by it"
    );
    assert_eq!(
        LogRow::read(&kept[1].1).unwrap()[0].body.as_deref(),
        Some("[key]!")
    );
    assert_eq!(policy.redacted(), 3);
}

fn content(input: &str) -> ContentRow {
    ContentRow {
        input: Some(input.to_owned()),
        bytes: input.len() as i64,
        ..ContentRow::default()
    }
}

fn kept(policy: &Policy, row: &ContentRow) -> Option<ContentRow> {
    let batch = ContentRow::batch(std::slice::from_ref(row)).unwrap();
    let kept = apply(policy, vec![(Table::Contents, batch)]).unwrap();
    kept.first()
        .map(|(_, batch)| ContentRow::read(batch).unwrap().remove(0))
}

#[test]
fn content_is_hashed_as_it_is_kept_and_not_kept_where_none_is_wanted() {
    let policy = all();
    let one = kept(&policy, &content("{\"p\":\"a@b.org\"}")).unwrap();
    let other = kept(&policy, &content("{\"p\":\"c@d.org\"}")).unwrap();
    assert_eq!(one.input.as_deref(), Some("{\"p\":\"[email]\"}"));
    assert_eq!(
        one.sha256, other.sha256,
        "the hash gives away nothing of what was taken out"
    );
    let none = all().with_content(false, 1_000);
    assert_eq!(kept(&none, &content("{}")), None);
}

#[test]
fn content_that_is_too_long_is_cut_and_stays_json() {
    let long = json!({ "a": "\u{e4}".repeat(5_000), "b": "short", "c": ["x".repeat(3_000)] });
    let policy = Policy::none().with_content(true, 1_000);
    let row = kept(&policy, &content(&long.to_string())).unwrap();
    let input = row.input.unwrap();
    assert!(input.len() <= 1_000, "{}", input.len());
    assert_eq!(row.bytes, long.to_string().len() as i64, "as it was sent");
    let found: serde_json::Value = serde_json::from_str(&input).unwrap();
    assert_eq!(found["b"], "short");
    assert!(found["a"].as_str().unwrap().ends_with('\u{2026}'));
    assert_eq!(policy.cut(), 1);
    let numbers = json!(vec![1; 5_000]).to_string();
    assert_eq!(kept(&policy, &content(&numbers)).unwrap().input, None);
}

#[test]
fn attributes_that_are_too_much_are_shortened_and_then_left_out_from_the_end() {
    let kept = |attributes: serde_json::Value| {
        let span = SpanRow {
            attributes: Some(attributes.to_string()),
            ..SpanRow::default()
        };
        let policy = Policy::none().with_text_bytes_max(200);
        let batch = SpanRow::batch(&[span]).unwrap();
        let kept = apply(&policy, vec![(Table::Spans, batch)]).unwrap();
        assert_eq!(policy.cut(), 1);
        let text = SpanRow::read(&kept[0].1)
            .unwrap()
            .remove(0)
            .attributes
            .unwrap();
        assert!(text.len() <= 200, "{text}");
        serde_json::from_str::<serde_json::Value>(&text).unwrap()
    };
    let long = kept(json!({ "long": "x".repeat(1_000), "short": "y" }));
    assert_eq!(long["short"], "y");
    let many: serde_json::Map<_, _> = (0..1_000).map(|n| (format!("k{n:04}"), json!(n))).collect();
    let many = kept(many.into());
    assert_eq!(many["k0000"], 0);
    assert!(many.get("k0999").is_none());
}

#[test]
fn a_list_that_is_too_long_keeps_its_first_items() {
    let events: Vec<_> = (0..1_000).map(|n| json!({ "name": "e", "n": n })).collect();
    let span = SpanRow {
        events: Some(json!(events).to_string()),
        ..SpanRow::default()
    };
    let policy = Policy::none().with_text_bytes_max(200);
    let batch = SpanRow::batch(&[span]).unwrap();
    let kept = apply(&policy, vec![(Table::Spans, batch)]).unwrap();
    let text = SpanRow::read(&kept[0].1).unwrap().remove(0).events.unwrap();
    assert!(text.len() <= 200, "{text}");
    let kept: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
    assert_eq!(kept, events[..kept.len()]);
    assert!(kept.len() > 5, "{text}");
}

proptest! {
    /// Whatever the text, nothing breaks, and what is redacted once is not redacted again.
    #[test]
    fn redacting_twice_changes_nothing_more(text in "\\PC{0,200}|(sk-[a-z]{18,24}|[0-9 -]{10,40}|[a-z]{1,5}@[a-z.]{1,9}| ){0,12}") {
        let policy = all();
        if let Some(once) = policy.redact(&text) {
            prop_assert_eq!(policy.redact(&once), None);
        }
    }

    /// A cut row is never longer than it may be.
    #[test]
    fn a_cut_row_fits(text in "\\PC{0,400}", limit in 0_usize..300) {
        let policy = Policy::none().with_content(true, limit);
        let row = kept(&policy, &content(&json!({ "k": text }).to_string())).unwrap();
        prop_assert!(row.input.map_or(0, |input| input.len()) <= limit);
    }
}
