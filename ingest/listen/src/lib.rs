//! How a port takes connections: a bounded number of them, in TLS where that is configured, each with a while to say what
//! it wants and no longer. A client that hangs holds up nobody else.
//!
//! A listener is [opened](open) on [`Terms`]. What comes of it is [`Incoming`], a stream of [`Socket`]s that tonic serves
//! as it is and [`http1::serve`] for HTTP/1; and [`Open`], which ends every connection when it is dropped.
//!
//! With a certificate a port speaks TLS, and plain text to this machine alone: our own commands, a sidecar and a proxy
//! that ends TLS here are as safe without. Anybody else who speaks plain text is cut off before anything is read.

pub mod http1;

mod accept;
mod socket;

pub use accept::{CONNECTIONS_MAX, Incoming, Terms, open};
pub use socket::{Open, Socket};
