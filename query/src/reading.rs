//! Which moment a session reads: the option `flyball.read`, `latest` unless set.

use std::any::Any;

use datafusion::common::config::{ConfigEntry, ConfigExtension, ExtensionOptions};
use datafusion::error::{DataFusionError, Result};
use flyball_store::{Moment, Snapshot, Table};

/// The option's name.
pub(crate) const READ: &str = "flyball.read";

/// The option, as a session keeps it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Reading(pub(crate) Moment);

impl ConfigExtension for Reading {
    const PREFIX: &'static str = "flyball";
}

impl ExtensionOptions for Reading {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }

    fn cloned(&self) -> Box<dyn ExtensionOptions> {
        Box::new(*self)
    }

    fn set(&mut self, key: &str, value: &str) -> Result<()> {
        if key != "read" {
            let unknown = format!("no option is called flyball.{key}: there is {READ}");
            return Err(DataFusionError::Configuration(unknown));
        }
        self.0 = value.parse().map_err(|error: flyball_store::Error| {
            DataFusionError::Configuration(error.to_string())
        })?;
        Ok(())
    }

    fn entries(&self) -> Vec<ConfigEntry> {
        vec![ConfigEntry {
            key: READ.to_owned(),
            value: Some(self.0.to_string()),
            description: "Which moment statements read: latest, committed (only what Delta versions hold), a time \
                          (RFC 3339), or how long ago (90s, 15m, 2h, 7d)",
        }]
    }
}

/// The Delta versions that a statement read, as `table=version`, comma between; `-` for a table that had none.
pub(crate) fn versions(snapshot: &Snapshot, tables: impl Iterator<Item = Table>) -> String {
    let version = |table| {
        let version = snapshot.tables.get(&table).and_then(|rows| rows.version());
        let version = version.map_or_else(|| "-".to_owned(), |version| version.to_string());
        format!("{}={version}", table.name())
    };
    tables.map(version).collect::<Vec<_>>().join(",")
}
