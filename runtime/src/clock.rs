//! What time it is, handed in wherever logic depends on it.

/// Tells the time.
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// Nanoseconds since 1970, UTC.
    fn unix_nano(&self) -> i64;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn unix_nano(&self) -> i64 {
        unix_nano()
    }
}

/// The machine's clock, in nanoseconds since 1970.
pub(crate) fn unix_nano() -> i64 {
    chrono::Utc::now().timestamp_nanos_opt().unwrap_or(i64::MAX)
}
