//! Proves the scorer: what it makes of the published anomaly scores must be what was published for them.

use std::collections::BTreeMap;
use std::path::Path;

use crate::corpus::{self, Series};
use crate::score::{self, Profile, Truth};

/// Detectors whose scores are published row by row.
const VECTORS: [&str; 3] = ["numenta", "contextOSE", "windowedGaussian"];

/// Compares, prints one line a comparison, and returns whether all agree.
pub fn proof(folder: &Path, series: &[Series], profiles: &[Profile]) -> bool {
    let files = files(folder, series, profiles);
    let sums = sums(folder, series, profiles);
    let optima = optima(folder, series, profiles);
    let mut agree = true;
    println!("The scorer, on what others published:");
    for (what, differences, within) in [
        (
            "files x detectors x profiles, score and counts",
            files,
            1e-9,
        ),
        ("sums of published file scores, normalised", sums, 5.1e-5),
        ("best thresholds' scores", optima, 5.1e-5),
    ] {
        let worst = |worst: f64, one: &f64| {
            if one.is_nan() {
                f64::INFINITY
            } else {
                worst.max(*one)
            }
        };
        let worst = differences.iter().fold(0.0, worst);
        let verdict = match (differences.len(), worst <= within) {
            (0, _) => "nothing to compare with",
            (_, true) => "agree",
            (_, false) => "DO NOT AGREE",
        };
        agree &= worst <= within;
        let count = differences.len();
        println!(
            "  {count:4} {what}: {verdict}, largest difference {worst:.1e} (allowed {within:.1e})"
        );
    }
    println!();
    agree
}

/// Each file's raw score at the published threshold, and its counts of rows.
fn files(folder: &Path, series: &[Series], profiles: &[Profile]) -> Vec<f64> {
    let mut differences = Vec::new();
    for line in corpus::table(folder, "per_file_scores.csv") {
        let [detector, profile, name, rest @ ..] = line.as_slice() else {
            continue;
        };
        let Some(one) = series.iter().find(|one| one.name == *name) else {
            continue;
        };
        let Some(scores) = corpus::vector(folder, detector, name) else {
            continue;
        };
        let profile = profiles.iter().find(|p| p.name == *profile).unwrap();
        let rest: Vec<f64> = rest.iter().map(|cell| cell.parse().unwrap()).collect();
        let [threshold, raw, hits, _, false_alarms, _] = rest[..] else {
            continue;
        };
        let found = score::outcome(&one.truth, &scores, threshold, profile);
        differences.push((found.raw - raw).abs());
        differences.push((found.true_positives as f64 - hits).abs());
        differences.push((found.false_positives as f64 - false_alarms).abs());
    }
    differences
}

/// The published file scores of every detector, summed and normalised; only when all files are here.
fn sums(folder: &Path, series: &[Series], profiles: &[Profile]) -> Vec<f64> {
    let mut raw: BTreeMap<(String, String), (f64, usize)> = BTreeMap::new();
    for line in corpus::table(folder, "per_file_scores.csv") {
        let sum = raw.entry((line[0].clone(), line[1].clone())).or_default();
        sum.0 += line[4].parse::<f64>().unwrap();
        sum.1 += 1;
    }
    let windows = series.iter().map(|one| one.truth.windows).sum();
    let mut differences = Vec::new();
    let (Some(column), _) = corpus::anchors(series.len()) else {
        return differences;
    };
    for line in corpus::table(folder, "visible_split_anchors.csv") {
        let profile = profiles.iter().find(|p| p.name == line[1]).unwrap();
        if let Some((raw, files)) = raw.get(&(line[0].clone(), line[1].clone()))
            && *files == series.len()
        {
            let found = score::normalised(*raw, windows, profile);
            differences.push((found - line[column].parse::<f64>().unwrap()).abs());
        }
    }
    differences
}

/// The best score over all thresholds, where every row is published.
fn optima(folder: &Path, series: &[Series], profiles: &[Profile]) -> Vec<f64> {
    let mut differences = Vec::new();
    let (_, Some(column)) = corpus::anchors(series.len()) else {
        return differences;
    };
    for line in corpus::table(folder, "visible_split_anchors.csv") {
        if !VECTORS.contains(&line[0].as_str()) {
            continue;
        }
        let vectors: Option<Vec<_>> = series
            .iter()
            .map(|one| corpus::vector(folder, &line[0], &one.name))
            .collect();
        let Some(vectors) = vectors else {
            continue;
        };
        let profile = profiles.iter().find(|p| p.name == line[1]).unwrap();
        let truths = series.iter().map(|one| &one.truth);
        let files: Vec<(&Truth, &[f64])> = truths.zip(vectors.iter().map(Vec::as_slice)).collect();
        let windows = files.iter().map(|(truth, _)| truth.windows).sum();
        let (_, raw) = score::best_threshold(&files, profile);
        let found = score::normalised(raw, windows, profile);
        differences.push((found - line[column].parse::<f64>().unwrap()).abs());
    }
    differences
}
