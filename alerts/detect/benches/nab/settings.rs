//! What other settings would have scored: a figure that stands on one setting alone would be luck.

use flyball_detect::Config;

use crate::corpus::Series;
use crate::score::{self, Profile};
use crate::{ALARM, Scored, halves, marks, pairs, score_all, table};

const EVENTS: [u32; 5] = [32, 48, 64, 96, 128];
const MEMORIES: [u32; 5] = [2_000, 3_500, 5_000, 7_000, 10_000];
const RARITIES: [f64; 8] = [1.5, 1.6, 1.7, 1.8, 1.9, 2.0, 2.2, 2.5];

/// One setting changed at a time.
pub fn sensitivity(series: &[Series], profiles: &[Profile]) {
    let base = Config::default();
    let events = EVENTS.map(|event_samples| Config {
        event_samples,
        ..base
    });
    let memories = MEMORIES.map(|memory_samples| Config {
        memory_samples,
        ..base
    });
    let rarities = RARITIES.map(|alarm_rarity| Config {
        alarm_rarity,
        ..base
    });
    let others = events.into_iter().chain(memories).chain(rarities);
    let head = [
        "event_samples",
        "memory_samples",
        "alarm_rarity",
        "standard",
        "low FP",
        "low FN",
        "a 1,000 normal rows",
    ];
    let mut table = table(&head, 0..7);
    for config in [base]
        .into_iter()
        .chain(others.filter(|other| *other != base))
    {
        let scored = score_all(series, config);
        let all: Vec<&Scored<'_>> = scored.iter().collect();
        let pairs = pairs(&all);
        let normal: usize = pairs.iter().map(|(truth, _)| truth.normal_rows()).sum();
        let wrong = score::total(&pairs, ALARM, &profiles[0]).false_positives;
        let mut cells = vec![
            config.event_samples.to_string(),
            config.memory_samples.to_string(),
            config.alarm_rarity.to_string(),
        ];
        cells.extend(marks(&all, profiles, Some(ALARM)));
        cells.push(format!("{:.3}", 1_000.0 * wrong as f64 / normal as f64));
        table.add_row(cells);
    }
    println!(
        "Flyball with other settings, threshold 0.5 (the first line is the one used):\n{table}\n"
    );
}

/// The settings that are best on one half, scored on the other, out of every combination.
pub fn crossed(series: &[Series], standard: &Profile) {
    let mut tried = Vec::new();
    for event_samples in EVENTS {
        for memory_samples in MEMORIES {
            for alarm_rarity in RARITIES {
                let config = Config {
                    event_samples,
                    memory_samples,
                    alarm_rarity,
                };
                let scored = score_all(series, config);
                let (a, b) = halves(&scored, |(one, _)| &one.name);
                tried.push((config, mark(&a, standard), mark(&b, standard)));
            }
        }
    }
    let best_on_a = tried.iter().max_by(|x, y| x.1.total_cmp(&y.1));
    let best_on_b = tried.iter().max_by(|x, y| x.2.total_cmp(&y.2));
    println!(
        "Settings picked on one half out of {}, threshold 0.5, standard profile:",
        tried.len()
    );
    if let (Some(a), Some(b)) = (best_on_a, best_on_b) {
        let (in_a, in_b) = halves(series, |one| &one.name);
        let windows =
            |half: &[&Series]| half.iter().map(|one| one.truth.windows).sum::<usize>() as f64;
        let (in_a, in_b) = (windows(&in_a), windows(&in_b));
        let both = (a.2 * in_b + b.1 * in_a) / (in_a + in_b);
        println!(
            "  best on half A, {:.2}, scores {:.2} on half B: {:?}",
            a.1, a.2, a.0
        );
        println!(
            "  best on half B, {:.2}, scores {:.2} on half A: {:?}",
            b.2, b.1, b.0
        );
        println!("  so each file with settings picked on the others: {both:.2}");
    }
    println!();
}

fn mark(files: &[&Scored<'_>], profile: &Profile) -> f64 {
    let pairs = pairs(files);
    let windows = pairs.iter().map(|(truth, _)| truth.windows).sum();
    score::normalised(score::total(&pairs, ALARM, profile).raw, windows, profile)
}
