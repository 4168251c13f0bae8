//! The `flyball` binary: command line, configuration, wiring. No logic of its own.

mod access;
mod alerts_api;
mod backups;
mod cli;
mod commands;
mod config;
mod core;
mod gate;
mod http;
mod keys_api;
mod ledger;
mod ledger_api;
mod metrics;
mod notifiers;
mod openapi;
mod price_change;
mod prices;
mod running;
mod say;
mod serve;
mod tls;
mod trust_api;

use clap::Parser as _;

/// Rows are made on one thread and let go on another, by the million: with glibc's allocator a server takes a fifth more
/// time, and a third more memory (docs/benchmarks.md).
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// What is let go goes back to the machine within about a second, by a thread of the allocator's own, and few
/// arenas keep little each: that costs some time and saves more memory (docs/benchmarks.md). `_RJEM_MALLOC_CONF`
/// overrides it.
#[allow(unsafe_code)] // Only a name that the allocator looks for.
#[unsafe(export_name = "_rjem_malloc_conf")]
pub static ALLOCATOR_SETTINGS: &[u8; 70] =
    b"background_thread:true,dirty_decay_ms:1000,muzzy_decay_ms:0,narenas:3\0";

fn main() -> std::process::ExitCode {
    let cli = cli::Cli::parse();
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_env("FLYBALL_LOG")
                .unwrap_or_else(|_| "flyball=info,warn".into()),
        )
        .with_writer(std::io::stderr)
        .init();
    match commands::run(cli) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("flyball: {}", words(&error));
            std::process::ExitCode::FAILURE
        }
    }
}

/// An error and its causes, each said once: many errors name their cause already.
fn words(error: &anyhow::Error) -> String {
    error
        .chain()
        .map(ToString::to_string)
        .fold(String::new(), |said, cause| {
            if said.is_empty() {
                cause
            } else if said.contains(&cause) {
                said
            } else {
                format!("{said}: {cause}")
            }
        })
}
