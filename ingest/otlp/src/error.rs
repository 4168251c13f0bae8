//! What is wrong with a body, and in which field.

use std::fmt;

/// The result of reading a message.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a body is not the message it should be. As small as a pointer, since every read returns a result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Error(Box<Inner>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Inner {
    /// From the innermost field outwards.
    path: Vec<&'static str>,
    problem: Problem,
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The bytes end within a value.
    #[error("the bytes end within a value")]
    Cut,
    /// An integer of more than ten bytes, or of more than 64 bits.
    #[error("an integer has more than 64 bits")]
    Varint,
    /// A field's key does not fit 32 bits, or its number is 0.
    #[error("{0} is no key of a field")]
    Key(u64),
    /// A value of another kind than the field's.
    #[error("wire type {found}, expected {expected}")]
    WireType {
        /// What was found.
        found: u8,
        /// What the field takes.
        expected: u8,
    },
    /// A string that is not UTF-8.
    #[error("the string is not valid UTF-8")]
    Utf8,
    /// A group ends that did not begin.
    #[error("a group ends that did not begin")]
    GroupEnd,
    /// Messages or groups nested too deep.
    #[error(
        "recursion limit reached: more than {} messages in each other",
        crate::DEPTH_MAX
    )]
    TooDeep,
    /// The messages would take more memory than they may.
    #[error("the decoded messages are larger than the limit of {limit} bytes")]
    TooLarge {
        /// The limit, bytes.
        limit: usize,
    },
}

impl Error {
    /// What is wrong.
    #[must_use]
    pub fn problem(&self) -> &Problem {
        &self.0.problem
    }

    /// The same, found in this field.
    #[cold]
    pub(crate) fn within(mut self, field: &'static str) -> Self {
        // Deeper paths than this repeat themselves, and an error must not cost more than the value it is about.
        if self.0.path.len() < 12 {
            self.0.path.push(field);
        }
        self
    }
}

impl From<Problem> for Error {
    #[cold]
    fn from(problem: Problem) -> Self {
        Self(Box::new(Inner {
            path: Vec::new(),
            problem,
        }))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, field) in self.0.path.iter().rev().enumerate() {
            let dot = if place == 0 { "" } else { "." };
            write!(f, "{dot}{field}")?;
        }
        let colon = if self.0.path.is_empty() { "" } else { ": " };
        write!(f, "{colon}{}", self.0.problem)
    }
}
