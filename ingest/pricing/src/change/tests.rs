#![allow(clippy::unwrap_used)]
use proptest::prelude::*;

use super::*;
use crate::Call;

/// The first import, and the second.
const NOW: i64 = 1_795_305_600_000_000_000;
const LATER: i64 = NOW + 1_000;

fn take(current: &Book, text: &str, at: i64) -> Import {
    import(current, ListFormat::LiteLlm, text, "list.json", at).unwrap()
}

fn input_at(book: &Book, model: &str, at: i64, known: Option<i64>) -> Option<Decimal> {
    let call = Call {
        response_model: Some(model),
        start_unix_nano: at,
        known_unix_nano: known,
        ..Call::default()
    };
    book.find(&call, Some(1))?.amounts.input
}

fn micros(amount: i64) -> Option<Decimal> {
    Some(Decimal::new(amount, 6))
}

#[test]
fn what_is_added_changed_and_removed_is_told_and_nothing_is_overwritten() {
    let first = take(
        &Book::default(),
        r#"{"a": {"input_cost_per_token": 2e-6, "output_cost_per_token": 8e-6, "litellm_provider": "p"},
            "gone": {"input_cost_per_token": 1e-6, "litellm_provider": "p"}}"#,
        NOW,
    );
    assert_eq!(input_at(&first.book, "a", 0, None), micros(2));
    let second = take(
        &first.book,
        r#"{"a": {"input_cost_per_token": 3e-6, "output_cost_per_token": 8e-6, "litellm_provider": "p"},
            "b": {"input_cost_per_token": 5e-6, "litellm_provider": "p"}}"#,
        LATER,
    );
    let told: Vec<_> = second
        .changes
        .iter()
        .filter(|change| change.component == "input")
        .map(|change| (change.model.as_str(), change.old, change.new))
        .collect();
    assert_eq!(
        told,
        [
            ("a", micros(2), micros(3)),
            ("b", None, micros(5)),
            ("gone", micros(1), None)
        ]
    );
    let book = &second.book;
    assert_eq!(input_at(book, "a", LATER - 1, None), micros(2));
    assert_eq!(input_at(book, "a", LATER, None), micros(3));
    assert_eq!(
        input_at(book, "gone", LATER, None),
        micros(1),
        "old calls keep it"
    );
}

#[test]
fn the_same_list_again_changes_nothing() {
    let text = r#"{"a": {"input_cost_per_token": 2e-6, "output_cost_per_token": 8e-6,
        "input_cost_per_token_above_200k_tokens": 4e-6, "input_cost_per_token_batches": 1e-6}}"#;
    let once = take(&Book::default(), text, NOW);
    let twice = import(&once.book, ListFormat::LiteLlm, text, "list.json", NOW + 1).unwrap();
    assert_eq!((twice.changes.len(), twice.unchanged), (0, 1));
    assert!(twice.book.entries().eq(once.book.entries()));
}

#[test]
fn a_limit_that_moves_is_a_change() {
    let list = |limit: i64| {
        format!(
            r#"{{"a": {{"input_cost_per_token": 2e-6, "input_cost_per_token_above_{limit}k_tokens": 4e-6}}}}"#
        )
    };
    let once = take(&Book::default(), &list(200), NOW);
    let moved = take(&once.book, &list(128), LATER);
    assert!(!moved.changes.is_empty());
}

#[test]
fn what_is_negative_or_jumps_is_kept_out_until_a_person_accepts_it() {
    let first = take(
        &Book::default(),
        r#"{"a": {"input_cost_per_token": 2e-6}, "b": {"input_cost_per_token": 2e-6}, "c": {"input_cost_per_token": 2e-6}}"#,
        NOW,
    );
    let list = r#"{"a": {"input_cost_per_token": 2.000001e-5}, "b": {"input_cost_per_token": 2e-5}, "c": {"input_cost_per_token": -2e-6}}"#;
    let second = take(&first.book, list, LATER);
    let input = |book: &Book| ["a", "b", "c"].map(|model| input_at(book, model, LATER, None));
    assert_eq!(input(&second.book), [micros(2), micros(20), micros(2)]);
    let held = |book: &Book| -> Vec<(String, String)> {
        let held = book
            .entries()
            .filter_map(|e| Some((e.quarantined.clone()?, e.id())));
        held.collect()
    };
    let why: Vec<_> = held(&second.book).into_iter().map(|(why, _)| why).collect();
    assert_eq!(why, ["input jumps more than tenfold", "input is negative"]);
    let again = import(
        &second.book,
        ListFormat::LiteLlm,
        list,
        "list.json",
        LATER + 5,
    )
    .unwrap();
    assert_eq!(
        held(&again.book).len(),
        2,
        "held once, however often it comes"
    );

    // It survives the file, and is in force once accepted; a negative price never is.
    let read = Book::parse(&second.book.text("mine").unwrap(), "mine").unwrap();
    let ids = held(&read);
    let accepted = read.accept(&ids[0].1, LATER + 9).unwrap();
    assert_eq!(
        input_at(&accepted, "a", LATER, None),
        Decimal::from_str_exact("0.00002000001").ok()
    );
    assert_eq!(input_at(&accepted, "a", LATER, Some(LATER + 8)), micros(2));
    assert!(matches!(
        read.accept(&ids[1].1, NOW),
        Err(Error::BadField { .. })
    ));
    assert!(matches!(
        read.accept("nobody", NOW),
        Err(Error::NotQuarantined { .. })
    ));
}

#[test]
fn a_name_that_is_taken_is_left_to_whom_it_belongs() {
    let first = take(
        &Book::default(),
        r#"{"m": {"input_cost_per_token": 2e-6, "litellm_provider": "maker"}}"#,
        NOW,
    );
    let second = take(
        &first.book,
        r#"{"m": {"input_cost_per_token": 3e-6, "litellm_provider": "reseller"}}"#,
        LATER,
    );
    assert_eq!(input_at(&second.book, "m", LATER, None), micros(2));
    let call = Call {
        provider: Some("reseller"),
        response_model: Some("m"),
        start_unix_nano: LATER,
        ..Call::default()
    };
    let price = second.book.find(&call, Some(1)).unwrap();
    assert_eq!(price.amounts.input, micros(3));
}

/// Both foreign files in turn on the built-in book, where they lie beside the workspace.
#[test]
fn the_real_files_go_into_the_builtin_book_and_out_again() {
    let folder =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/reference/prices");
    let mut book = Book::builtin().unwrap();
    for (list, file, at) in [
        (
            ListFormat::LiteLlm,
            "litellm-model-prices-1.109.1.json",
            NOW,
        ),
        (ListFormat::GenaiPrices, "genai-prices-0.2.3.json", LATER),
    ] {
        let Ok(text) = std::fs::read_to_string(folder.join(file)) else {
            return;
        };
        let imported = import(&book, list, &text, file, at).unwrap_or_else(|e| panic!("{e}"));
        assert!(imported.changes.len() > 1_000);
        book = imported.book;
        let again = import(&book, list, &text, file, at + 1).unwrap_or_else(|e| panic!("{e}"));
        let added = again.book.entries().count() - book.entries().count();
        assert_eq!(added, 0, "{file}: {:?}", again.changes.first());
    }
    let read = Book::parse(&book.text("all").unwrap(), "all").unwrap();
    assert!(read.entries().eq(book.entries()));
}

static CURRENT: std::sync::LazyLock<Book> = std::sync::LazyLock::new(|| {
    take(
        &Book::default(),
        r#"{"a": {"input_cost_per_token": 2e-6}}"#,
        NOW,
    )
    .book
});

proptest! {
    #[test]
    fn garbage_changes_no_book_and_never_panics(text in "\\PC{0,200}") {
        let current = &*CURRENT;
        for list in [ListFormat::Own, ListFormat::LiteLlm, ListFormat::GenaiPrices] {
            let _ = import(current, list, &text, "t", NOW);
        }
    }
}
