//! What can be wrong with a price book.

use std::path::PathBuf;

/// What can go wrong while a price book is read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file could not be read.
    #[error("price book {path}: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The text is not the JSON that a book must be.
    #[error("price book {book}: {problem}; expected {expected}")]
    NotABook {
        /// The file, or `builtin`.
        book: String,
        /// What the JSON parser said.
        problem: String,
        /// What the format is.
        expected: &'static str,
    },
    /// One field of an entry is not what it must be.
    #[error("price book {book}: {entry}: {field} is {value}; expected {expected}")]
    BadField {
        /// The file, or `builtin`.
        book: String,
        /// Which entry, or model.
        entry: String,
        /// The field's name.
        field: String,
        /// The value as it stands in the file, cut off at 80 characters.
        value: String,
        /// What is accepted.
        expected: &'static str,
    },
    /// Two entries hold for the same call, and nothing says which of them stands.
    #[error(
        "price book {book}: {first} and {second} both hold for {name:?}; expected entries of one seller's model whose valid_from and valid_to do not overlap, or a later known_at for the one that stands"
    )]
    EntriesOverlap {
        /// The file, or `builtin`.
        book: String,
        /// One entry.
        first: String,
        /// The other.
        second: String,
        /// The model name, or the patterns, under which they meet.
        name: String,
    },
    /// Two prices of one entry hold for the same call.
    #[error(
        "price book {book}: {entry}: the prices for \"{first}\" and \"{second}\" hold for the same call; expected conditions that exclude each other (service_tier, input_above and input_up_to, hours_utc)"
    )]
    PricesOverlap {
        /// The file, or `builtin`.
        book: String,
        /// Which entry.
        entry: String,
        /// The conditions of one price.
        first: String,
        /// The conditions of the other.
        second: String,
    },
    /// No entry is kept out of force under this id.
    #[error("no quarantined entry has the id {id}; `flyball prices list --quarantined` lists them")]
    NotQuarantined {
        /// The id asked for.
        id: String,
    },
}

/// What an amount must be.
pub(crate) const AMOUNT: &str =
    "a non-negative decimal of at most 28 digits, such as 1.5e-7 (US dollars)";

impl Error {
    pub(crate) fn field(
        book: &str,
        entry: &str,
        field: &str,
        value: &str,
        expected: &'static str,
    ) -> Self {
        Self::BadField {
            book: book.to_owned(),
            entry: entry.to_owned(),
            field: field.to_owned(),
            value: value.chars().take(80).collect(),
            expected,
        }
    }
}
