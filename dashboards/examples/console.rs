//! The console over a made-up fleet, to look at: `cargo run -p flyball-dashboards --example console`.
#![allow(clippy::unwrap_used, missing_docs)]

#[allow(dead_code)]
#[path = "../tests/it/fake.rs"]
mod fake;

use std::sync::Arc;

use flyball_dashboards::console::{ConsoleState, Hosts, router};

#[tokio::main]
async fn main() {
    let state = ConsoleState::new(
        Arc::new(fake::Fake::busy()),
        "default",
        Hosts::default(),
        Arc::new(|| fake::NOW),
    );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("http://{}/", listener.local_addr().unwrap());
    axum::serve(listener, router(state)).await.unwrap();
}
