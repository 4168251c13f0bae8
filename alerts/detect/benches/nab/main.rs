//! The Numenta Anomaly Benchmark: first the scorer is proven on published results, then our detector is
//! scored, one configuration for all files.
//!
//!     cargo bench --bench nab -- ../shared/bench/nab
//!
//! The folder holds `data/`, `labels/`, `profiles.json` and `published/` of github.com/numenta/NAB (MIT). It ends with
//! an error if the scorer differs from what was published.
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

mod corpus;
mod proof;
mod score;
mod settings;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use comfy_table::{CellAlignment, Table, presets};
use flyball_detect::{Config, Detector};

use corpus::Series;
use score::{Profile, Truth};

/// The detector's own alarm threshold, on its score.
const ALARM: f64 = 0.5;

/// Our scores of a file.
type Scored<'a> = (&'a Series, Vec<f64>);

fn main() -> ExitCode {
    let named = std::env::args()
        .skip(1)
        .find(|word| !word.starts_with("--"));
    let Some(named) = named else {
        eprintln!("nab: no folder given; cargo bench --bench nab -- ../shared/bench/nab");
        // `cargo bench` and `cargo test --benches` without arguments run every bench.
        return ExitCode::SUCCESS;
    };
    let Some(folder) = corpus::find(Path::new(&named)) else {
        eprintln!("nab: folder is {named}; it must hold data/, labels/ and profiles.json");
        return ExitCode::FAILURE;
    };
    let series = corpus::series(&folder);
    let profiles = corpus::profiles(&folder);
    let agree = proof::proof(&folder, &series, &profiles);

    let started = Instant::now();
    let scored = score_all(&series, Config::default());
    let took = started.elapsed();
    let rows: usize = series.iter().map(|one| one.values.len()).sum();

    leaderboard(&folder, &scored, &profiles);
    split(&scored, &profiles);
    files(&scored, &profiles[0]);
    settings::sensitivity(&series, &profiles);
    settings::crossed(&series, &profiles[0]);
    let nanoseconds = took.as_nanos() as f64 / rows as f64;
    println!(
        "{rows} samples, {nanoseconds:.0} ns a sample on one core; a detector takes {} bytes and a short list.",
        size_of::<Detector>()
    );
    println!("Configuration of every file: {:?}", Config::default());
    if agree {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Our scores of every file, each from a detector that has seen nothing.
fn score_all(series: &[Series], config: Config) -> Vec<Scored<'_>> {
    let scores = |one: &Series| {
        let mut detector = Detector::new(config).unwrap();
        let samples = one.at.iter().zip(&one.values);
        samples
            .map(|(at, value)| detector.observe(*at, *value).score)
            .collect()
    };
    series.iter().map(|one| (one, scores(one))).collect()
}

/// Ours beside what others published, on the files that are here.
fn leaderboard(folder: &Path, scored: &[Scored<'_>], profiles: &[Profile]) {
    let all: Vec<&Scored<'_>> = scored.iter().collect();
    let mut lines: Vec<(String, [String; 3], [String; 3], String)> = vec![(
        "Flyball".into(),
        marks(&all, profiles, Some(ALARM)),
        marks(&all, profiles, None),
        String::new(),
    )];
    for of_profile in corpus::table(folder, "visible_split_anchors.csv").chunks(3) {
        let cells = |column: Option<usize>| {
            [0, 1, 2].map(|profile| {
                let cell = column.map(|column| of_profile[profile][column].parse().unwrap());
                cell.map_or(String::new(), |mark: f64| format!("{mark:.2}"))
            })
        };
        let (own, best) = corpus::anchors(scored.len());
        let [full, ..] = cells(Some(2));
        lines.push((of_profile[0][0].clone(), cells(own), cells(best), full));
    }
    let standard = |line: &(String, [String; 3], [String; 3], String)| {
        -line.1[0].parse::<f64>().unwrap_or_default()
    };
    lines.sort_by(|a, b| standard(a).total_cmp(&standard(b)));
    let head = [
        "detector",
        "standard",
        "low FP",
        "low FN",
        "best standard",
        "best low FP",
        "best low FN",
        "published for all 58 files, standard",
    ];
    let mut table = table(&head, 1..8);
    for (name, own, best, full) in lines {
        table.add_row([name].into_iter().chain(own).chain(best).chain([full]));
    }
    let windows: usize = scored.iter().map(|(one, _)| one.truth.windows).sum();
    println!(
        "Scores on these {} files, {windows} windows, at the published threshold (ours: 0.5) and at the",
        scored.len()
    );
    println!("best of each profile:\n{table}\n");
}

/// Each file and whether it is in half A: of each category the first, third, fifth...
fn halves<T>(files: &[T], name: impl Fn(&T) -> &str) -> (Vec<&T>, Vec<&T>) {
    let mut places = BTreeMap::new();
    let in_a = |file: &&T| {
        let category = name(file).split('/').next().unwrap_or_default().to_owned();
        let place: &mut usize = places.entry(category).or_default();
        *place += 1;
        !place.is_multiple_of(2)
    };
    files.iter().partition(in_a)
}

/// Ours on each half and on all.
fn split(scored: &[Scored<'_>], profiles: &[Profile]) {
    let (a, b) = halves(scored, |(one, _)| &one.name);
    let head = [
        "files",
        "threshold",
        "standard",
        "low FP",
        "low FN",
        "found",
        "false alarms",
        "a 1,000 normal rows",
    ];
    let mut table = table(&head, 2..8);
    let all = scored.iter().collect();
    for (name, files) in [("half A", &a), ("half B", &b), ("all", &all)] {
        for (threshold, note) in [(Some(ALARM), "0.5"), (None, "best")] {
            let [standard, low_fp, low_fn] = marks(files, profiles, threshold);
            let pairs = pairs(files);
            let threshold =
                threshold.unwrap_or_else(|| score::best_threshold(&pairs, &profiles[0]).0);
            let sum = score::total(&pairs, threshold, &profiles[0]);
            let windows: usize = pairs.iter().map(|(truth, _)| truth.windows).sum();
            let normal: usize = pairs.iter().map(|(truth, _)| truth.normal_rows()).sum();
            let rate = 1_000.0 * sum.false_positives as f64 / normal as f64;
            table.add_row([
                format!("{name} ({})", files.len()),
                note.to_owned(),
                standard,
                low_fp,
                low_fn,
                format!("{} of {windows}", sum.hits),
                sum.false_positives.to_string(),
                format!("{rate:.3}"),
            ]);
        }
    }
    println!(
        "Flyball, by half (\"best\": at the threshold best for the standard profile; counts at it):"
    );
    println!("{table}\n");
}

fn files(scored: &[Scored<'_>], profile: &Profile) {
    let head = ["file", "raw score", "found", "false alarms", "rows"];
    let mut table = table(&head, 1..5);
    for (one, scores) in scored {
        let found = score::outcome(&one.truth, scores, ALARM, profile);
        table.add_row([
            one.name.clone(),
            format!("{:.2}", found.raw),
            format!("{} of {}", found.hits, one.truth.windows),
            found.false_positives.to_string(),
            one.values.len().to_string(),
        ]);
    }
    println!("Flyball, by file, standard profile, threshold 0.5:\n{table}\n");
}

/// The normalised score in each profile, at a threshold or at each profile's best.
fn marks(files: &[&Scored<'_>], profiles: &[Profile], threshold: Option<f64>) -> [String; 3] {
    let pairs = pairs(files);
    let windows = pairs.iter().map(|(truth, _)| truth.windows).sum();
    let mark = |profile: &Profile| {
        let raw = match threshold {
            Some(threshold) => score::total(&pairs, threshold, profile).raw,
            None => score::best_threshold(&pairs, profile).1,
        };
        format!("{:.2}", score::normalised(raw, windows, profile))
    };
    [mark(&profiles[0]), mark(&profiles[1]), mark(&profiles[2])]
}

fn pairs<'a>(files: &[&'a Scored<'_>]) -> Vec<(&'a Truth, &'a [f64])> {
    files
        .iter()
        .map(|(one, scores)| (&one.truth, scores.as_slice()))
        .collect()
}

/// A table with these heads; columns of numbers are set right.
fn table(head: &[&str], numbers: std::ops::Range<usize>) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::ASCII_MARKDOWN).set_header(head);
    for column in numbers {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}
