//! The public face of the detector, and the benchmark's scorer on a small part of it.
#![allow(clippy::unwrap_used, missing_docs)]

mod behaviour;
mod dice;
mod hostile;
mod scorer;
