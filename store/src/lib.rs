//! What Flyball keeps, and the promise that nothing acknowledged is lost or doubled.
//!
//! Data passes through the modules in this order: a request is framed and synced in the [`log`], its
//! rows stand in the hot [`buffer`], a [`flush`] sorts them into Parquet and makes one Delta commit a
//! table ([`tables`], on [`objects`]), and a [`Snapshot`] lets a reader see table and buffer as one.
//! The resolver's charges come in by another door ([`journal`]): they are derived, so the log does not
//! carry them, and they are flushed once their trace has settled.

pub mod api;
pub mod rows;

pub use api::{
    Append, Appended, Config, Decoder, Durability, Encoding, Error, Event, FrameKind, Header,
    JournalUpdate, LogPosition, Origin, OwnEvent, Result, Resume, Signal, Snapshot, Store, Table,
    TableSnapshot,
};
