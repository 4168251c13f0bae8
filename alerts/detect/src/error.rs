//! What can go wrong here.

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// What can go wrong in detection.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    /// A setting holds what it must not.
    #[error("detector: {field} is {value}; {accepted}")]
    Config {
        /// The setting.
        field: &'static str,
        /// What it holds.
        value: f64,
        /// What it may hold.
        accepted: &'static str,
    },
}
