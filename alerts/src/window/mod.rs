//! What a rule remembers: sums over a sliding window, by key, each journal entry once.

mod keyed;
mod once;
mod ring;

pub(crate) use keyed::{Keyed, Name, Names, Worth};
pub(crate) use once::Once;
pub(crate) use ring::{Ring, Sum, bucket_of};
