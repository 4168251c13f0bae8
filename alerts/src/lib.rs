//! Watches what agents do and cost, says when it is too much, and orders what is to be done about it.
//!
//! A charge passes through the modules in this order: a `fact` is a journal entry and how it came; each
//! [`rule`] keeps a `measure` of it by key, in a sliding `window`; the [`state`] machine of that key is
//! stepped; if it fires, the `guard` decides whether the rule may act (only on what is alive, once in a
//! cool-down, on few agents at a time); and the [`engine`] sends the order first, then keeps the alert and
//! tells people ([`notify`]). Rules in SQL ask on a schedule, and their `answer` takes the same way from
//! the state machine on. What survives a restart is in [`memory`]; what is needed from outside, in [`ports`].
//!
//! Before a rule is trusted, [`backtest`] takes the journal of the past the same way, and [`trust`] keeps what the rule shows
//! in shadow, until somebody promotes it. A [`Rehearsal`]
//! lets rules run on traffic that its caller generates, in its caller's time. What the loop itself does, and how long it takes, is in its [`books`].
//!
//! History never acts: what was imported, replayed or late fills windows in silence, or not at all.

pub mod backtest;
pub mod books;
pub mod engine;
pub mod memory;
pub mod notify;
pub mod ports;
pub mod rule;
pub mod state;
pub mod trust;

mod answer;
mod error;
mod fact;
mod guard;
mod knowledge;
mod living;
mod measure;
mod overrun;
mod window;

pub use engine::{Alerts, Happening, Parts, Rehearsal, Settings, Status};
pub use error::{Error, Result};
pub use guard::BlastRadius;
pub use rule::Rule;
