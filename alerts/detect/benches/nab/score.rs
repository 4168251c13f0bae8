//! The scorer of the Numenta Anomaly Benchmark (Lavin & Ahmad 2015, arXiv 1510.03336, section 3), written
//! from the description. It counts rows, never seconds.

/// What detections are worth.
#[derive(Debug, Clone)]
pub struct Profile {
    /// Name in `profiles.json`.
    pub name: String,
    /// For the earliest possible hit of a window.
    pub hit: f64,
    /// Lost for a false alarm far from any window.
    pub false_alarm: f64,
    /// Lost for a window without a hit.
    pub miss: f64,
}

/// What a detection in a row is worth, before the profile's weights.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Row {
    /// In probation: counts for nothing.
    Unscored,
    /// In this window: from 1 in its first row to nearly 0 in its last.
    Inside(usize, f64),
    /// After a window down from 0, before any and well after one -1.
    Outside(f64),
}

/// The rows of a file, and how many windows it has.
#[derive(Debug, Clone)]
pub struct Truth {
    /// In the order of the file.
    pub rows: Vec<Row>,
    /// Anomalies to be found.
    pub windows: usize,
}

/// From 1 (long before the end) by 0 (at the end) to -1 (long after).
fn sigmoid(place: f64) -> f64 {
    2.0 / (1.0 + (5.0 * place).exp()) - 1.0
}

impl Truth {
    /// Of a file of so many rows with these windows (first and last row, in order).
    pub fn new(rows: usize, windows: &[(usize, usize)]) -> Self {
        let probation = (rows * 15 / 100).min(750);
        let row = |i: usize| {
            if i < probation {
                return Row::Unscored;
            }
            if let Some(w) = windows.iter().position(|(l, r)| (*l..=*r).contains(&i)) {
                let (left, right) = windows[w];
                let place = -((right - i + 1) as f64) / (right - left + 1) as f64;
                return Row::Inside(w, sigmoid(place) / sigmoid(-1.0));
            }
            match windows.iter().rev().find(|(_, right)| *right < i) {
                None => Row::Outside(-1.0),
                Some((left, right)) => {
                    let place = (i - right) as f64 / (right - left) as f64;
                    Row::Outside(if place > 3.0 { -1.0 } else { sigmoid(place) })
                }
            }
        };
        Self {
            rows: (0..rows).map(row).collect(),
            windows: windows.len(),
        }
    }

    /// Rows that are scored and in no window.
    pub fn normal_rows(&self) -> usize {
        let outside = |row: &&Row| matches!(row, Row::Outside(_));
        self.rows.iter().filter(outside).count()
    }
}

/// How a file came out at a threshold.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Outcome {
    /// Raw score.
    pub raw: f64,
    /// Windows found.
    pub hits: usize,
    /// Detected rows in windows.
    pub true_positives: usize,
    /// Detected rows outside of windows.
    pub false_positives: usize,
}

/// Scores a file.
pub fn outcome(truth: &Truth, scores: &[f64], threshold: f64, profile: &Profile) -> Outcome {
    let mut best: Vec<Option<f64>> = vec![None; truth.windows];
    let mut out = Outcome::default();
    for (row, _) in truth
        .rows
        .iter()
        .zip(scores)
        .filter(|(_, score)| **score >= threshold)
    {
        match *row {
            Row::Unscored => {}
            Row::Inside(w, worth) => {
                out.true_positives += 1;
                best[w] = Some(best[w].map_or(worth, |other| other.max(worth)));
            }
            Row::Outside(worth) => {
                out.false_positives += 1;
                out.raw += profile.false_alarm * worth;
            }
        }
    }
    out.hits = best.iter().flatten().count();
    out.raw += profile.hit * best.iter().flatten().sum::<f64>();
    out.raw -= profile.miss * (truth.windows - out.hits) as f64;
    out
}

/// The sum over all files at one threshold.
pub fn total(files: &[(&Truth, &[f64])], threshold: f64, profile: &Profile) -> Outcome {
    let mut sum = Outcome::default();
    for (truth, scores) in files {
        let one = outcome(truth, scores, threshold, profile);
        sum.raw += one.raw;
        sum.hits += one.hits;
        sum.true_positives += one.true_positives;
        sum.false_positives += one.false_positives;
    }
    sum
}

/// 0 for a detector that is silent, 100 for one that finds each window in its first row and nothing else.
pub fn normalised(raw: f64, windows: usize, profile: &Profile) -> f64 {
    let silent = -profile.miss * windows as f64;
    let perfect = profile.hit * windows as f64;
    100.0 * (raw - silent) / (perfect - silent)
}

/// The threshold, of all scores that occur and one above all (1.1), at which the sum is largest, and that
/// sum. Goes down through the scores once, and changes the sum by what each row adds.
pub fn best_threshold(files: &[(&Truth, &[f64])], profile: &Profile) -> (f64, f64) {
    let mut rows: Vec<(f64, usize, Row)> = Vec::new();
    for (file, (truth, scores)) in files.iter().enumerate() {
        let scored = truth.rows.iter().zip(*scores);
        let scored = scored.filter(|(row, _)| **row != Row::Unscored);
        rows.extend(scored.map(|(row, score)| (*score, file, *row)));
    }
    rows.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut found: Vec<Vec<Option<f64>>> = Vec::new();
    found.extend(files.iter().map(|(truth, _)| vec![None; truth.windows]));
    let windows: usize = files.iter().map(|(truth, _)| truth.windows).sum();
    let mut sum = -profile.miss * windows as f64;
    let mut best = (1.1, sum);
    for (n, (score, file, row)) in rows.iter().enumerate() {
        match *row {
            Row::Unscored => {}
            Row::Outside(worth) => sum += profile.false_alarm * worth,
            Row::Inside(w, worth) => {
                let before = found[*file][w];
                let after = before.map_or(worth, |other| other.max(worth));
                sum += profile.hit * (after - before.unwrap_or_default());
                sum += if before.is_none() { profile.miss } else { 0.0 };
                found[*file][w] = Some(after);
            }
        }
        let last_of_its_score = rows.get(n + 1).is_none_or(|next| next.0 < *score);
        if last_of_its_score && sum > best.1 {
            best = (*score, sum);
        }
    }
    best
}
