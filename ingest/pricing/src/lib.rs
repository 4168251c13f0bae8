//! The price book: what a model call costs, exactly.
//!
//! A book is [read](Book) from a built-in list or from a file in LiteLLM's format, with every number an
//! exact [decimal](Price). A call finds its price by [model name](name) and time, and
//! [`cost`](cost()) multiplies: never floating point, each component rounded half to even to 12 digits,
//! the total the sum of the rounded components.

mod book;
mod builtin;
mod cost;
mod decimal;
mod error;
mod litellm;
pub mod name;
mod price;

pub use book::{Book, Call};
pub use cost::{Cost, Tokens, cost};
pub use error::Error;
pub use price::Price;

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;
