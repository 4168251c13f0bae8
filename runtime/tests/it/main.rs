//! The crate's public face.
#![allow(clippy::unwrap_used)]

mod control;
