//! Which price book is in force.
//!
//! `import --prices FILE` prices what it brings in, and nothing else, by that file. Charges are entered as
//! traces settle, so an import that was cut off leaves traces that still have to be priced by it: the file
//! is kept in the data directory until the import is through, and whoever opens the directory next settles
//! those traces with it before anything else.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use flyball_pricing::Book;
use serde::{Deserialize, Serialize};

use crate::config::Config;

/// The book of `prices.file`, else the built-in one; under that of `prices.overlay`, when there is one.
pub(crate) fn configured(config: &Config) -> Result<Book> {
    let read = |setting: &str, path: &Path| {
        Book::read(path).with_context(|| format!("{setting} {}", path.display()))
    };
    let book = match &config.prices_file {
        Some(path) => read("prices.file", path)?,
        None => Book::builtin()?,
    };
    Ok(match &config.prices_overlay {
        Some(path) => book.under(read("prices.overlay", path)?),
        None => book,
    })
}

/// A price file as it was when an import began.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ImportBook {
    /// Its path, as given: price ids name it.
    source: String,
    text: String,
}

impl ImportBook {
    /// Reads the file of `--prices`.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("--prices {}: cannot be read", path.display()))?;
        let book = Self {
            source: path.display().to_string(),
            text,
        };
        // A book that can't be used is refused before anything is kept.
        book.book()?;
        Ok(book)
    }

    /// The book it holds.
    pub(crate) fn book(&self) -> Result<Book> {
        Ok(Book::parse(&self.text, &self.source)?)
    }

    /// The book of an import that was cut off, if one was.
    pub(crate) fn left_behind(data_dir: &Path) -> Result<Option<Self>> {
        let path = kept(data_dir);
        match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map(Some)
                .with_context(|| format!("{} is damaged", path.display())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    /// Keeps it until [`ImportBook::forget`]; durable when this returns.
    pub(crate) fn keep(&self, data_dir: &Path) -> Result<()> {
        write_whole(&kept(data_dir), &serde_json::to_vec(self)?)
    }

    /// The import is through.
    pub(crate) fn forget(data_dir: &Path) -> Result<()> {
        let path = kept(data_dir);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("cannot remove {}", path.display()))
            }
            _ => Ok(()),
        }
    }
}

fn kept(data_dir: &Path) -> PathBuf {
    data_dir.join("import-prices.json")
}

/// Writes a small file that is complete before it has its name; durable when this returns.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let draft = path.with_added_extension("new");
    let write = || -> std::io::Result<()> {
        let mut file = std::fs::File::create(&draft)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&draft, path)?;
        path.parent()
            .map_or(Ok(()), |folder| std::fs::File::open(folder)?.sync_all())
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}
