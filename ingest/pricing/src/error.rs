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
    #[error(
        "price book {book}: {problem}; expected a JSON object of model names, each with an object of prices"
    )]
    NotABook {
        /// The file, or `builtin`.
        book: String,
        /// What the JSON parser said.
        problem: String,
    },
    /// One price is not a number that can be kept exactly.
    #[error(
        "price book {book}: model {model}: {field} is {value}; expected a non-negative decimal of at most 28 digits, such as 1.5e-7 (US dollars)"
    )]
    BadAmount {
        /// The file, or `builtin`.
        book: String,
        /// The model's name.
        model: String,
        /// The field's name.
        field: String,
        /// The value as it stands in the file.
        value: String,
    },
    /// A day is not a day.
    #[error(
        "price book {book}: model {model}: {field} is {value}; expected a UTC day such as 2026-11-21"
    )]
    BadDay {
        /// The file, or `builtin`.
        book: String,
        /// The model's name.
        model: String,
        /// The field's name.
        field: String,
        /// The value as it stands in the file.
        value: String,
    },
}
