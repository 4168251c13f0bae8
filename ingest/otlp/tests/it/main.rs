//! What is read by reference is what prost reads.
#![allow(clippy::unwrap_used, missing_docs)]

mod corners;
mod memory;
mod oracle;
mod recorded;
mod requests;
mod rewrite;
