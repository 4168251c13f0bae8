//! What the ledger is told of keys: `key.created` and `key.revoked`, with all there is but the secret and its hash.

use serde_json::json;

use super::file::{Untold, What};
use super::{ApiKey, ApiKeys};
use crate::append::OwnEvent;
use crate::error::Result;
use crate::rows::{AuditRow, Micros};
use crate::store::Store;

impl ApiKeys {
    /// Tells the ledger what it may not know yet: after a change, and at a start, should a crash have come between the
    /// two. What it knows already stands there once.
    ///
    /// # Errors
    /// As [`Store::record`]. What was not told is told the next time.
    pub async fn tell(&self, store: &Store) -> Result<()> {
        let untold = self.held.read().untold.clone();
        for change in untold {
            if let Some(key) = self.with_id(&change.id) {
                let record = record(&change, &key);
                store
                    .record(&key.workspace, OwnEvent::Audit(record))
                    .await?;
            }
            self.change(|file| {
                file.untold.retain(|other| *other != change);
                Ok(())
            })?;
        }
        Ok(())
    }
}

fn record(change: &Untold, key: &ApiKey) -> AuditRow {
    let event = match change.what {
        What::Created => "key.created",
        What::Revoked => "key.revoked",
    };
    // Each under a name that marks it as a tenant's, so that a tenant who is to be forgotten is forgotten here too.
    let tenants = key.tenants.iter().map(|tenant| json!({ "tenant": tenant }));
    AuditRow {
        at: Micros(change.at.timestamp_micros()),
        event: event.to_owned(),
        actor: change.actor.clone(),
        subject: format!("key:{}", key.id),
        record: json!({
            "id": key.id,
            "name": key.name,
            "role": key.role,
            "workspace": key.workspace,
            "tenants": tenants.collect::<Vec<_>>(),
            "requests_per_s": key.requests_per_s,
            "bytes_per_s": key.bytes_per_s,
            "created_at": key.created_at,
            "expires_at": key.expires_at,
        })
        .to_string(),
        ..AuditRow::default()
    }
}
