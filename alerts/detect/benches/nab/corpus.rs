//! Reads a folder in the layout of the benchmark: `data/CATEGORY/FILE.csv.gz`, `labels/combined_windows.json`,
//! `profiles.json`, and `published/` with what others reached.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use chrono::NaiveDateTime;
use flate2::read::GzDecoder;
use serde_json::Value;

use super::score::{Profile, Truth};

/// A file of the benchmark.
#[derive(Debug)]
pub struct Series {
    /// `CATEGORY/FILE.csv`.
    pub name: String,
    /// Seconds since 1970.
    pub at: Vec<i64>,
    /// One a row.
    pub values: Vec<f64>,
    /// The rows' worth.
    pub truth: Truth,
}

/// The folder that was named. Cargo runs a bench in its package's folder, so a relative path is also looked
/// for from every folder above.
pub fn find(named: &Path) -> Option<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut from = here.ancestors().map(|folder| folder.join(named));
    from.find(|folder| folder.join("labels").is_dir())
}

/// The columns of `visible_split_anchors.csv` that speak of so many files: at the published threshold, and at
/// the best. All 58 are the whole benchmark, 31 the part that this project may see.
pub fn anchors(files: usize) -> (Option<usize>, Option<usize>) {
    match files {
        58 => (Some(2), None),
        31 => (Some(3), Some(4)),
        _ => (None, None),
    }
}

/// Every file under `data/`, by name.
pub fn series(folder: &Path) -> Vec<Series> {
    let labels = json(&folder.join("labels/combined_windows.json"));
    let mut names = Vec::new();
    for category in entries(&folder.join("data")) {
        for file in entries(&category) {
            let name = file.strip_prefix(folder.join("data")).unwrap();
            names.push(name.to_str().unwrap().trim_end_matches(".gz").to_owned());
        }
    }
    names.sort();
    names
        .iter()
        .map(|name| one(folder, name, &labels[name]))
        .collect()
}

fn one(folder: &Path, name: &str, labels: &Value) -> Series {
    let text = unzip(&folder.join(format!("data/{name}.gz")));
    let (mut at, mut values, mut first) = (Vec::new(), Vec::new(), BTreeMap::new());
    for (row, line) in text.lines().skip(1).enumerate() {
        let (time, value) = line.split_once(',').unwrap();
        at.push(seconds(time));
        values.push(value.trim().parse().unwrap());
        // Some times occur twice: a window begins and ends with the first row of its time.
        first.entry(seconds(time)).or_insert(row);
    }
    let row = |time: &Value| first[&seconds(time.as_str().unwrap())];
    let windows = labels.as_array().into_iter().flatten();
    let windows: Vec<_> = windows
        .map(|window| (row(&window[0]), row(&window[1])))
        .collect();
    Series {
        name: name.to_owned(),
        truth: Truth::new(values.len(), &windows),
        at,
        values,
    }
}

/// The weights of each profile.
pub fn profiles(folder: &Path) -> Vec<Profile> {
    let all = json(&folder.join("profiles.json"));
    let order = ["standard", "reward_low_FP_rate", "reward_low_FN_rate"];
    let read = |name: &str| {
        let weight = |key: &str| all[name]["CostMatrix"][key].as_f64().unwrap();
        Profile {
            name: name.to_owned(),
            hit: weight("tpWeight"),
            false_alarm: weight("fpWeight"),
            miss: weight("fnWeight"),
        }
    };
    order.into_iter().map(read).collect()
}

/// The anomaly scores somebody published for a file, if they are here.
pub fn vector(folder: &Path, detector: &str, name: &str) -> Option<Vec<f64>> {
    let path = folder.join(format!("published/anomaly_scores/{detector}/{name}.gz"));
    let text = path.exists().then(|| unzip(&path))?;
    Some(
        text.lines()
            .skip(1)
            .map(|line| line.trim().parse().unwrap())
            .collect(),
    )
}

/// The lines of a published table, without its head; none if it is not here.
pub fn table(folder: &Path, name: &str) -> Vec<Vec<String>> {
    let text = std::fs::read_to_string(folder.join("published").join(name)).unwrap_or_default();
    let cells = |line: &str| line.trim().split(',').map(str::to_owned).collect();
    text.lines().skip(1).map(cells).collect()
}

fn seconds(time: &str) -> i64 {
    let time = NaiveDateTime::parse_from_str(time, "%Y-%m-%d %H:%M:%S%.f").unwrap();
    time.and_utc().timestamp()
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let read = std::fs::read_dir(folder).unwrap();
    read.map(|entry| entry.unwrap().path()).collect()
}

fn json(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn unzip(path: &Path) -> String {
    let mut text = String::new();
    GzDecoder::new(File::open(path).unwrap())
        .read_to_string(&mut text)
        .unwrap();
    text
}
