//! What was done, as one number: the same seed must give the same.

use std::collections::VecDeque;
use std::path::Path;

/// So many operations are kept in words, to be shown when something is wrong.
const KEPT: usize = 400;

#[derive(Debug, Default)]
pub(super) struct Tape {
    hash: u64,
    last: VecDeque<String>,
}

impl Tape {
    /// An operation of the disk. Random parts of names are left out, and so are sizes that hang on the time of day.
    pub(super) fn operation(&mut self, what: &str, path: &Path, bytes: usize, outcome: &str) {
        let path = plain(path);
        let bytes = if path.ends_with(".log") { bytes } else { 0 };
        self.note(&format!("{what} {path} {bytes} {outcome}"));
    }

    pub(super) fn note(&mut self, what: &str) {
        for byte in what.bytes().chain([b'\n']) {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        self.last.push_back(what.to_owned());
        if self.last.len() > KEPT {
            self.last.pop_front();
        }
    }

    pub(super) fn hash(&self) -> u64 {
        self.hash
    }

    pub(super) fn last(&self) -> Vec<String> {
        self.last.iter().cloned().collect()
    }
}

/// A path without what is random in it.
fn plain(path: &Path) -> String {
    let folder = path.parent().map(|folder| folder.display().to_string());
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let name = name.split('#').next().unwrap_or_default();
    let name = match name {
        _ if name.starts_with("_probe-") => "_probe",
        _ if name.ends_with(".parquet") => ".parquet",
        name => name,
    };
    format!("{}/{name}", folder.unwrap_or_default())
}
