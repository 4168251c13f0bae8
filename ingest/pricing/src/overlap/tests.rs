#![allow(clippy::unwrap_used)]
use proptest::prelude::*;

use super::*;
use crate::{Book, Call, Price, Week, When};

fn entry(model: &str, from: Option<i64>, until: Option<i64>) -> Entry {
    Entry {
        model: model.into(),
        from_unix_nano: from,
        until_unix_nano: until,
        prices: vec![Price::default()],
        ..Entry::default()
    }
}

#[test]
fn two_that_could_both_hold_are_named() {
    let patterned = |pattern: &str| Entry {
        patterns: vec![pattern.into()],
        ..entry(pattern, None, None)
    };
    let aliased = Entry {
        aliases: vec!["m".into()],
        ..entry("n", None, None)
    };
    for (one, other, name) in [
        (entry("m", None, None), entry("m", Some(5), None), "m"),
        (entry("m", None, Some(6)), entry("m", Some(5), None), "m"),
        (entry("m", None, None), aliased, "m"),
        (patterned("a*"), patterned("*b"), "a* and *b"),
    ] {
        let error = refuse("book", &[one, other]).unwrap_err().to_string();
        for part in ["book", "valid_from", "known_at", name] {
            assert!(error.contains(part), "{error}");
        }
    }
    let mut twice = entry("m", None, None);
    twice.prices.push(Price {
        when: When {
            service_tier: Some("batch".into()),
            ..When::default()
        },
        ..Price::default()
    });
    let error = refuse("book", &[twice]).unwrap_err().to_string();
    for part in ["always", "batch", "entry m", "service_tier"] {
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn what_excludes_each_other_may_stand_side_by_side() {
    let sold = |by: &str, elsewhere| Entry {
        provider: Some(by.into()),
        elsewhere,
        ..entry("m", None, None)
    };
    let known = |at| Entry {
        known_unix_nano: Some(at),
        ..entry("m", None, None)
    };
    for entries in [
        vec![entry("m", None, Some(5)), entry("m", Some(5), None)],
        vec![sold("a", true), sold("b", false)],
        vec![known(1), known(2), entry("m", None, None)],
    ] {
        refuse("book", &entries).unwrap();
    }
    assert!(refuse("book", &[sold("a", true), sold("b", true)]).is_err());
    assert!(refuse("book", &[sold("a", true), entry("m", None, None)]).is_err());
}

/// Small books in which everything can happen, over ten instants, two names, two sellers and two workspaces.
fn entries() -> impl Strategy<Value = Vec<Entry>> {
    let instant = || prop::option::of(0i64..10);
    let one = (
        prop::sample::select(vec!["m", "n"]),
        prop::option::of(prop::sample::select(vec!["m", "n", "a"])),
        prop::option::of(prop::sample::select(vec!["*", "a*", "*b"])),
        prop::option::of(prop::sample::select(vec!["p", "q"])),
        any::<bool>(),
        instant(),
        instant(),
        prop::option::of(0i64..2),
        prop::option::of(Just("w")),
        prop::collection::vec(
            (prop::option::of(0i64..4), prop::option::of(0i64..4), 0u8..3),
            1..3,
        ),
    );
    let one = one.prop_map(
        |(model, alias, pattern, provider, elsewhere, from, until, known, workspace, prices)| {
            Entry {
                model: model.into(),
                aliases: alias.into_iter().map(str::to_owned).collect(),
                patterns: pattern.into_iter().map(str::to_owned).collect(),
                provider: provider.map(str::to_owned),
                elsewhere,
                from_unix_nano: from,
                until_unix_nano: until,
                known_unix_nano: known,
                workspace: workspace.map(str::to_owned),
                prices: prices
                    .into_iter()
                    .map(|(above, up_to, hours)| Price {
                        when: When {
                            input_above: above,
                            input_up_to: up_to,
                            hours: match hours {
                                0 => None,
                                1 => Week::parse(&["00:00-12:00"]),
                                _ => Week::parse(&["12:00-24:00"]),
                            },
                            ..When::default()
                        },
                        ..Price::default()
                    })
                    .collect(),
                ..Entry::default()
            }
        },
    );
    prop::collection::vec(one, 1..4)
}

/// Whether an entry may speak for a call at all, written out once more.
fn speaks(
    entry: &Entry,
    workspace: Option<&str>,
    provider: Option<&str>,
    name: &str,
    at: i64,
) -> bool {
    let named = entry.model == name || entry.aliases.iter().any(|alias| alias == name);
    let open = entry.provider.is_none() || entry.elsewhere;
    entry.workspace.as_deref() == workspace
        && entry.from_unix_nano.is_none_or(|from| from <= at)
        && entry.until_unix_nano.is_none_or(|until| at < until)
        && (named || entry.patterns.iter().any(|p| glob::matches(p, name)))
        && (open || (provider.is_some() && entry.provider.as_deref() == provider))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// A book that loads leaves nothing to choose: of the entries that could speak for a call, the rules of
    /// precedence leave one, and of its prices one at most holds.
    #[test]
    fn a_book_that_loads_is_unambiguous(entries in entries()) {
        let Ok(book) = Book::of("t", entries.clone(), Vec::new()) else { return Ok(()) };
        for name in ["m", "n", "a", "ab", "xb"] {
            for provider in [None, Some("p"), Some("q"), Some("r")] {
                for at in -1..11 {
                    let mut speak: Vec<&Entry> = entries.iter()
                        .filter(|e| speaks(e, None, provider, name, at)).collect();
                    let exact = |e: &&Entry| e.model == name || e.aliases.iter().any(|a| a == name);
                    let own = |e: &&Entry| provider.is_some() && e.provider.as_deref() == provider;
                    if speak.iter().any(&exact) { speak.retain(exact); }
                    if speak.iter().any(&own) { speak.retain(own); }
                    let last = speak.iter().map(|e| e.known_unix_nano).max();
                    speak.retain(|e| Some(e.known_unix_nano) == last);
                    prop_assert!(speak.len() <= 1, "{speak:?}");
                    let call = Call { provider, response_model: Some(name), start_unix_nano: at, ..Call::default() };
                    prop_assert_eq!(book.entry(&call), speak.first().copied());
                    for input in [None, Some(0), Some(1), Some(2), Some(3), Some(4), Some(9)] {
                        let holding = speak.iter().flat_map(|e| &e.prices)
                            .filter(|price| price.when.holds("standard", at, input)).count();
                        prop_assert!(holding <= 1);
                    }
                }
            }
        }
    }

    /// And a book that is refused for its dates would have left something to choose.
    #[test]
    fn what_is_refused_is_ambiguous(dates in prop::collection::vec((prop::option::of(0i64..6), 1i64..4), 2..4)) {
        let entries: Vec<Entry> = dates.iter()
            .map(|(from, length)| entry("m", *from, Some(from.unwrap_or(0) + length))).collect();
        let both = (-1..12).any(|at| entries.iter().filter(|e| e.in_force(at)).count() > 1);
        prop_assert_eq!(refuse("t", &entries).is_err(), both);
    }
}
