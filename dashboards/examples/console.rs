//! The console over a made-up fleet under a real control plane, to look at and to press the buttons:
//! `cargo run -p flyball-dashboards --example console`. With `--still`, three made-up orders are in force instead.
#![allow(clippy::unwrap_used, missing_docs)]

#[allow(dead_code)]
#[path = "../tests/it/fake.rs"]
mod fake;
#[path = "../tests/it/governed.rs"]
mod governed;

use std::sync::Arc;

use flyball_dashboards::console::{ConsoleState, FleetData, Hosts, router};

#[tokio::main]
async fn main() {
    let governed = Arc::new(governed::Governed::start().await);
    let orders = governed.orders();
    let still = std::env::args().any(|argument| argument == "--still");
    let data: Arc<dyn FleetData> = if still {
        Arc::new(fake::Fake::busy())
    } else {
        governed
    };
    let state = ConsoleState::new(data, "default", Hosts::default(), Arc::new(|| fake::NOW));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("http://{}/", listener.local_addr().unwrap());
    axum::serve(listener, router(state).merge(orders))
        .await
        .unwrap();
}
