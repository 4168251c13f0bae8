//! The resolver: from what spans tell one by one to what is charged, once.
//!
//! Spans come in as rows, children before parents, in different requests. A [`Resolver`] holds each open
//! trace as a few numbers a span (`fact`, over the trace's own `words`), puts it in order (`tree`), decides
//! who the agent was (`identity`), which executions it holds (`execution`), which span bills each call
//! (`calls`, `tools`) and which calls were decisions (`decision`); `resolve` makes `charge`s of
//! that, and `trace` holds them against what was posted. What changed is reversed and entered anew. Calls that log
//! records tell come as spans too; `tellings` finds those that a span of another trace tells as well.
//!
//! The state machine knows no clock and no store: both are handed in. [`run`] drives it.

mod calls;
mod charge;
mod decision;
mod driver;
mod entries;
mod execution;
mod fact;
mod identity;
mod options;
mod posting;
mod prices;
mod reprice;
mod resolve;
mod settled;
mod state;
mod stored;
mod tellings;
mod tokens;
mod tools;
mod trace;
mod tree;
mod words;

pub use driver::{Asker, Command, Handle, run, start};
pub use options::{Counts, Options};
pub use posting::Post;
pub use reprice::reprice;
pub use state::{Resolver, Told, Wanted};
