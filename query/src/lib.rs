//! Answers in SQL, over what is buffered and what is in the tables, each row seen exactly once.
//!
//! A statement passes through the modules in this order: a port ([`pg`], [`mod@flight`], [`http`], or a caller of
//! [`Engine::query`]) hands its text to a [`Session`]; it is planned against the [`catalogue`] of base
//! tables, views, metrics and functions; judged on its plan, since only what reads may pass (`guard`);
//! given a place among those that run (`admission`); bound to one [`Source::snapshot`] taken for this statement
//! alone (`bind`); refused if it is about to read too much (`estimate`); run on threads of its own (`executor`)
//! under the engine's memory and time limits; and written out by [`mod@format`]. [`gauges`] asks for metrics on its own,
//! for Prometheus.

pub mod catalogue;
pub mod flight;
pub mod format;
pub mod functions;
pub mod gate;
pub mod gauges;
pub mod http;
pub mod pg;

mod admission;
mod bind;
mod buffered;
mod engine;
mod error;
mod estimate;
mod executor;
mod guard;
mod held;
mod information_schema;
mod like_escape;
mod listed;
mod optimise;
mod parameters;
mod reading;
mod schema;
mod session;
mod shared;
mod source;
mod spilled;

pub use engine::{Config, Engine};
pub use error::{Error, Result};
pub use session::{Answer, Session};
pub use source::Source;
