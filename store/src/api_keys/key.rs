//! One key: what the file says of it, and what may be ordered.

use std::fmt;
use std::num::{NonZeroU32, NonZeroU64};
use std::str::FromStr;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::Scram;
use crate::append::check_workspace;
use crate::error::{Error, Result};

/// The longest name, and the longest name of a tenant, characters.
const NAME_MAX: usize = 64;
const TENANT_MAX: usize = 256;
/// Tenants of one key, at most.
const TENANTS_MAX: usize = 100;

/// What a key may do. Which route or port asks for which stands with the routes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Send telemetry, and follow what control has in force: for agents and collectors.
    Ingest,
    /// Ask and look on: for dashboards and analysts.
    Read,
    /// What `Read` may, and freeze, throttle, degrade and release.
    Operate,
    /// Everything: also send, erase, back up, and make and revoke keys.
    Admin,
}

impl Role {
    /// All of them, in the order of the design.
    pub const ALL: [Self; 4] = [Self::Ingest, Self::Read, Self::Operate, Self::Admin];

    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ingest => "ingest",
            Self::Read => "read",
            Self::Operate => "operate",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let role = Self::ALL.into_iter().find(|role| role.as_str() == text);
        role.ok_or_else(|| wrong("role", text, "ingest, read, operate or admin"))
    }
}

/// A key, as the file lists it. The secret is not in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
// What a later version restricts a key by must not be read as no restriction.
#[serde(deny_unknown_fields)]
pub struct ApiKey {
    /// Names it in the log and on the ledger: `key-` and 16 hex digits.
    pub id: String,
    /// What people call it; no two keys in force have the same.
    pub name: String,
    /// SHA-256 of the secret, lower-case hex.
    pub secret_sha256: String,
    /// What PostgreSQL's clients prove the secret against; None for a key made before this was kept.
    #[serde(default)]
    pub scram: Option<Scram>,
    /// The workspace it opens.
    pub workspace: String,
    /// What it may do.
    pub role: Role,
    /// The tenants it may send for; empty for any.
    pub tenants: Vec<String>,
    /// Requests a second, at most, over a burst of one second; None for any.
    pub requests_per_s: Option<NonZeroU32>,
    /// Bytes a second of decompressed bodies, at most, over a burst of one second; None for any.
    pub bytes_per_s: Option<NonZeroU64>,
    /// Since when.
    pub created_at: DateTime<Utc>,
    /// Until when, if not for ever.
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was revoked.
    pub revoked_at: Option<DateTime<Utc>>,
}

/// Whether a key is in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It is.
    InForce,
    /// It was, until then.
    Expired(DateTime<Utc>),
    /// It was, until somebody revoked it then.
    Revoked(DateTime<Utc>),
}

impl Standing {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InForce => "in force",
            Self::Expired(_) => "expired",
            Self::Revoked(_) => "revoked",
        }
    }
}

impl ApiKey {
    /// Whether it is in force at that moment; at the very moment of its expiry it is not any more.
    #[must_use]
    pub fn standing(&self, now: DateTime<Utc>) -> Standing {
        match (self.revoked_at, self.expires_at) {
            (Some(at), _) => Standing::Revoked(at),
            (None, Some(at)) if at <= now => Standing::Expired(at),
            _ => Standing::InForce,
        }
    }

    /// The tenant of what names none: that of its list, where that has exactly one.
    #[must_use]
    pub fn own_tenant(&self) -> Option<&str> {
        match self.tenants.as_slice() {
            [one] => Some(one),
            _ => None,
        }
    }

    pub(super) fn hash(&self) -> Option<[u8; 32]> {
        let mut hash = [0; 32];
        hex::decode_to_slice(&self.secret_sha256, &mut hash).ok()?;
        Some(hash)
    }
}

/// What is asked of a new key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyOrder {
    /// See [`ApiKey::name`].
    pub name: String,
    /// See [`ApiKey::role`].
    pub role: Role,
    /// See [`ApiKey::workspace`].
    pub workspace: String,
    /// See [`ApiKey::tenants`].
    #[serde(default)]
    pub tenants: Vec<String>,
    /// For how many seconds, from 1; None for ever.
    pub lasts_s: Option<u64>,
    /// See [`ApiKey::requests_per_s`].
    pub requests_per_s: Option<u32>,
    /// See [`ApiKey::bytes_per_s`].
    pub bytes_per_s: Option<u64>,
}

impl KeyOrder {
    /// The key, if the order can be carried out.
    pub(super) fn key(self, hash: [u8; 32], now: DateTime<Utc>) -> Result<ApiKey> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if self.name.is_empty() || self.name.len() > NAME_MAX || !self.name.chars().all(plain) {
            let accepted = "1 to 64 letters, digits, dots, dashes and underscores";
            return Err(wrong("name", &self.name, accepted));
        }
        check_workspace(&self.workspace)?;
        if let Some(tenant) = self.tenants.iter().find(|tenant| !is_tenant(tenant)) {
            let accepted = "1 to 256 characters, none of them a control character";
            return Err(wrong("tenant", tenant, accepted));
        }
        let mut tenants = self.tenants;
        tenants.sort();
        tenants.dedup();
        if tenants.len() > TENANTS_MAX {
            let accepted = "at most 100 tenants for one key";
            return Err(wrong("tenant", &tenants.len().to_string(), accepted));
        }
        let expires_at = self
            .lasts_s
            .map(|seconds| expiry(now, seconds))
            .transpose()?;
        let limit = "a whole number from 1, or nothing for no limit";
        let none = |field| move || wrong(field, "0", limit);
        let id = hex::encode(&hash[..8]);
        Ok(ApiKey {
            // Of the hash, not of the secret: it can be told to anybody.
            id: format!("key-{id}"),
            name: self.name,
            secret_sha256: hex::encode(hash),
            scram: None,
            workspace: self.workspace,
            role: self.role,
            tenants,
            requests_per_s: (self.requests_per_s)
                .map(|n| NonZeroU32::new(n).ok_or_else(none("requests_per_s")))
                .transpose()?,
            bytes_per_s: (self.bytes_per_s)
                .map(|n| NonZeroU64::new(n).ok_or_else(none("bytes_per_s")))
                .transpose()?,
            created_at: now,
            expires_at,
            revoked_at: None,
        })
    }
}

fn is_tenant(tenant: &str) -> bool {
    let length = tenant.chars().count();
    (1..=TENANT_MAX).contains(&length) && !tenant.chars().any(char::is_control)
}

fn expiry(now: DateTime<Utc>, seconds: u64) -> Result<DateTime<Utc>> {
    let lasts = i64::try_from(seconds).ok().filter(|seconds| *seconds > 0);
    lasts
        .and_then(TimeDelta::try_seconds)
        .and_then(|lasts| now.checked_add_signed(lasts))
        .filter(|at| at.timestamp_nanos_opt().is_some())
        .ok_or_else(|| {
            let accepted = "seconds from 1, ending before the year 2262, or nothing for ever";
            wrong("lasts_s", &seconds.to_string(), accepted)
        })
}

fn wrong(field: &'static str, value: &str, accepted: &str) -> Error {
    Error::ApiKeyOrder {
        field,
        value: value.to_owned(),
        accepted: accepted.to_owned(),
    }
}
