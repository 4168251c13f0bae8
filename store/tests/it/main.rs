//! The store through its public face.
#![allow(clippy::unwrap_used)]

mod backup;
mod cable;
mod charges;
mod corrections;
mod dice;
mod diskless;
mod erase;
mod exactly_once;
mod faults;
mod faulty;
mod fixture;
mod history;
mod late;
mod ledger;
mod ledger_heads;
mod ledger_proofs;
mod older;
mod outage;
mod requests;
mod retold;
mod rollup;
mod s3;
mod simulation;
mod snapshots;
mod weather;
