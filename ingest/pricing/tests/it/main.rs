//! The shipped book against amounts that another program computed.
#![allow(clippy::unwrap_used, missing_docs)]

mod golden;
