//! The journal summed by minute: what a chart reads instead of every call.
//!
//! A charge that is entered, or that a commit brings to disk or takes from it, makes its minute stale
//! ([`Rolled`], under the store's lock). The `builder` reads a stale minute's rows from disk (`source`), sums them
//! anew (`fold`, with the sketches of [`sketch`]) and puts them in the place of what the table held of that
//! minute, in one commit that names the version of the journal which is summed so far: after a restart `resume`
//! finds from it what went stale since. A reader gets with its snapshot the [`Minutes`] that the rollup does not
//! speak for: for those it reads the journal itself, so that its answer is exact at every moment.

mod builder;
mod fold;
mod minutes;
mod resume;
pub mod sketch;
mod source;
mod state;

pub(crate) use builder::{Roller, app, run};
pub use minutes::{MINUTE_MICROS, Minutes};
pub(crate) use resume::resume;
pub(crate) use state::Rolled;
