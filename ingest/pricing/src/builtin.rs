//! The book that comes with Flyball.

use crate::{Book, Result, format};

const LIST: &str = include_str!("builtin.json");

/// The book.
pub(crate) fn book() -> Result<Book> {
    format::book(LIST, "builtin")
}

#[cfg(test)]
#[path = "builtin/tests.rs"]
mod tests;
