//! The benchmark's scorer against what was published for two of its files, and against its definition.

#[path = "../../benches/nab/corpus.rs"]
#[allow(dead_code, unreachable_pub)]
mod corpus;
#[path = "../../benches/nab/score.rs"]
#[allow(dead_code, unreachable_pub)]
mod score;

use std::path::PathBuf;

use proptest::prelude::*;
use score::{Profile, Row, Truth, best_threshold, normalised, outcome, total};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/it/nab")
}

fn standard() -> Profile {
    corpus::profiles(&folder()).remove(0)
}

#[test]
fn it_gives_the_published_score_of_each_file_detector_and_profile() {
    let (series, profiles) = (corpus::series(&folder()), corpus::profiles(&folder()));
    let lines = corpus::table(&folder(), "per_file_scores.csv");
    assert_eq!(lines.len(), 2 * 3 * 3);
    for line in lines {
        let profile = profiles.iter().find(|p| p.name == line[1]).unwrap();
        let one = series.iter().find(|one| one.name == line[2]).unwrap();
        let scores = corpus::vector(&folder(), &line[0], &line[2]).unwrap();
        let number = |column: usize| line[column].parse::<f64>().unwrap();
        let found = outcome(&one.truth, &scores, number(3), profile);
        assert!((found.raw - number(4)).abs() < 1e-9, "{line:?}: {found:?}");
        assert_eq!(found.true_positives as f64, number(5), "{line:?}");
        assert_eq!(found.false_positives as f64, number(7), "{line:?}");
    }
}

#[test]
fn a_hit_in_the_first_row_of_a_window_is_worth_one_and_in_the_last_nearly_nothing() {
    let truth = Truth::new(1_000, &[(400, 499)]);
    let Row::Inside(0, first) = truth.rows[400] else {
        panic!("{:?}", truth.rows[400]);
    };
    let Row::Inside(0, last) = truth.rows[499] else {
        panic!("{:?}", truth.rows[499]);
    };
    assert!((first - 1.0).abs() < 1e-12 && last > 0.0 && last < 0.03);
    assert_eq!(truth.rows[399], Row::Outside(-1.0));
    assert_eq!(truth.rows[149], Row::Unscored);
    // Past three widths, a false alarm costs what it costs anywhere.
    assert_eq!(truth.rows[900], Row::Outside(-1.0));
}

#[test]
fn silence_scores_0_and_the_first_row_of_every_window_100() {
    let truth = Truth::new(1_000, &[(400, 449), (700, 799)]);
    let mut scores = vec![0.0; 1_000];
    let none = outcome(&truth, &scores, 0.5, &standard());
    assert!(normalised(none.raw, 2, &standard()).abs() < 1e-12);
    scores[400] = 1.0;
    scores[700] = 1.0;
    let all = outcome(&truth, &scores, 0.5, &standard());
    assert!((normalised(all.raw, 2, &standard()) - 100.0).abs() < 1e-9);
}

proptest! {
    #[test]
    fn the_best_threshold_is_the_best_of_all_tried_one_by_one(
        scores in prop::collection::vec(0_u8..12, 300),
        left in 50_usize..150,
        width in 2_usize..60,
    ) {
        let truth = Truth::new(300, &[(left, left + width - 1)]);
        let scores: Vec<f64> = scores.into_iter().map(|score| f64::from(score) / 11.0).collect();
        let files: Vec<(&Truth, &[f64])> = vec![(&truth, &scores)];
        let profile = standard();
        let (threshold, raw) = best_threshold(&files, &profile);
        let tried = scores.iter().copied().chain([1.1]);
        let best = tried.map(|t| total(&files, t, &profile).raw).fold(f64::NEG_INFINITY, f64::max);
        prop_assert!((raw - best).abs() < 1e-9);
        prop_assert!((total(&files, threshold, &profile).raw - best).abs() < 1e-9);
    }
}
