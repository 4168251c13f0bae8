//! The store through its public face.
#![allow(clippy::unwrap_used)]

mod charges;
mod exactly_once;
mod faults;
mod fixture;
mod late;
mod ledger;
mod ledger_heads;
mod ledger_proofs;
mod requests;
mod simulation;
mod snapshots;
