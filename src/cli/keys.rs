//! The arguments of `flyball keys`.

use clap::{Args, Subcommand};

use super::StorageFormat;

/// Options of `keys`.
#[derive(Debug, Args)]
pub(crate) struct Keys {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: KeysCommand,
    /// How to print: table or json.
    #[arg(long, value_enum, default_value = "table", global = true)]
    pub(crate) format: StorageFormat,
}

/// What can be done with API keys.
#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand {
    /// Make a key and show its secret, this once. With the first key the server asks everybody for one.
    Add(KeysAdd),
    /// Print all keys, also those that are expired or revoked.
    List,
    /// Revoke a key: from then on it opens nothing.
    Revoke {
        /// Its id, as `keys list` shows it.
        id: String,
    },
}

/// What a new key is to be.
#[derive(Debug, Args)]
pub(crate) struct KeysAdd {
    /// What people call it; counted under this name in /metrics.
    #[arg(long)]
    pub(crate) name: String,
    /// ingest (send telemetry, follow control), read (ask), operate (read, and stop agents) or admin (everything).
    #[arg(long)]
    pub(crate) role: String,
    /// A tenant it may send for; may be given several times. Without it, any.
    #[arg(long)]
    pub(crate) tenant: Vec<String>,
    /// How long it is in force: 90d, 12h, 30m, 45s, or never.
    #[arg(long, default_value = "90d")]
    pub(crate) expires: String,
    /// Requests a second, at most.
    #[arg(long)]
    pub(crate) requests_per_s: Option<u32>,
    /// Bytes a second of decompressed bodies, at most.
    #[arg(long)]
    pub(crate) bytes_per_s: Option<u64>,
    /// The workspace it opens.
    #[arg(long, default_value = "default")]
    pub(crate) workspace: String,
}
