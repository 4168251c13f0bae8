//! FinOps reports over the journal of charges.
//!
//! A report is three steps, each pure: the SQL that asks for journal rows ([`Chargeback::sql`]), the
//! rows made into a polars frame and summed by the dimensions asked for ([`Chargeback::report`]), and the
//! result written down ([`Report::table`], [`Report::csv`], [`Report::batch`]). Whoever has a query
//! engine runs the SQL in between; this crate needs none.
//!
//! Money is exact all the way: `DECIMAL(18,12)` in the rows, a polars `Decimal(38,12)` in the frame, an
//! integer of trillionths of a dollar ([`Usd`]) in the report. No step goes through floating point.

mod chargeback;
mod dimension;
mod error;
mod frame;
mod money;
mod render;

pub use chargeback::{Chargeback, Line, Report};
pub use dimension::Dimension;
pub use error::{Error, Result};
pub use money::{Percent, Usd};
