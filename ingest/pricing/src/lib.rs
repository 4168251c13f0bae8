//! The price book: what a model call costs, exactly.
//!
//! A [book](Book) is read from the built-in list, or from a file in our own format or LiteLLM's, with
//! every number an exact decimal. An [entry](Entry) holds a model's [prices](Price) over one stretch of time; a call
//! finds its one price by [name], seller, tier, length and hour, and [`cost`](cost()) multiplies: never
//! floating point, each component rounded half to even to 12 digits, the total the sum of the rounded components.

mod book;
mod builtin;
mod change;
mod cost;
mod decimal;
mod error;
mod format;
mod genai;
mod glob;
mod litellm;
pub mod name;
mod overlap;
mod price;
mod tool;
mod week;
mod when;

pub use book::{Book, Call, Listed};
pub use change::{Change, Import, ListFormat, import};
pub use cost::{Cost, Tokens, cost};
pub use error::Error;
pub use format::instant;
pub use price::{Amounts, Entry, Price};
pub use tool::ToolPrice;
pub use week::Week;
pub use when::{When, service_tier};

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;
