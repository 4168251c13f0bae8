//! Finds what is unusual in a stream of numbers, sample by sample, and says what it had expected.
//!
//! One [`Detector`] watches one measure of one key (the cost a minute of an agent, say). A sample passes
//! through the modules in this order: three [`Aspect`]s of it are compared with what is usual (a `mean` of
//! the recent past and a running `median` for the hour of the day); a `tail` says how rare so large a
//! deviation is; `recurrence` takes off what has been seen lately; and the [`detector`] tells one event once.
//!
//! State and time a sample are constant, there is no randomness and no look-ahead, and a detector that was
//! kept with serde and read back goes on to the bit.

pub mod detector;

mod config;
mod error;
mod exact;
mod mean;
mod median;
mod recurrence;
mod tail;
mod verdict;

pub use config::Config;
pub use detector::Detector;
pub use error::{Error, Result};
pub use verdict::{Aspect, Evidence, Verdict};
