//! Who is at the door: the API key of a request, whether it may do what it asks for, and how fast.
//!
//! Everything is decided by the headers, before a byte of the body is read. Without any key configured everybody is let
//! in, and the server listens to this machine only. The port of the console and the REST API asks here too.

mod bucket;
mod header;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderMap;
use chrono::{DateTime, SecondsFormat, Utc};
use flyball_store::{ApiKey, ApiKeys, Role, Scram, Standing, hash_secret};
use parking_lot::Mutex;

use crate::error::Error;
use crate::pipeline::DEFAULT_WORKSPACE;
use bucket::Bucket;
use header::Presented;

/// Who may send telemetry. Not `operate`, which stands above `read` and not above this: who writes telemetry decides what
/// others see and what rules act on, which is for agents alone.
pub const SENDERS: &[Role] = &[Role::Ingest, Role::Admin];

/// Names of keys that are counted by themselves; further ones are counted together.
const NAMES_MAX: usize = 100;
/// What they are counted as. No key can be called so.
const OTHERS: &str = "(other)";

/// Who was let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// No key is configured.
    Anyone,
    /// Somebody who can read the data directory.
    Local,
    /// Who has this key.
    Key(Arc<ApiKey>),
}

impl Caller {
    /// The key, if it has one.
    #[must_use]
    pub fn key(&self) -> Option<&ApiKey> {
        match self {
            Self::Key(key) => Some(key),
            Self::Anyone | Self::Local => None,
        }
    }

    /// As who it stands on the ledger, if a key says so.
    #[must_use]
    pub fn actor(&self) -> Option<String> {
        self.key().map(|key| format!("key:{}", key.name))
    }
}

/// What became of a request at the door.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// Let in.
    Admitted,
    /// It had no key, or several.
    NoKey,
    /// No key has that secret.
    Unknown,
    /// The key is past its end.
    Expired,
    /// The key was revoked.
    Revoked,
    /// The key is for something else.
    Forbidden,
    /// The key is over one of its rates.
    Limited,
}

impl Outcome {
    /// The word for it, as `/metrics` says it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Admitted => "admitted",
            Self::NoKey => "no_key",
            Self::Unknown => "unknown",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::Forbidden => "forbidden",
            Self::Limited => "limited",
        }
    }
}

/// How many requests of a key ended how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Count {
    /// The key's name; empty when there was none that we know, `(other)` for those past the first hundred names.
    pub key: String,
    /// How.
    pub outcome: Outcome,
    /// How many, since the start.
    pub requests: u64,
}

/// The door of all ports. Shared; what it remembers is how much of its rates each key has used, and the counts.
#[derive(Debug)]
pub struct Door {
    /// None where keys are no matter: everybody is let in.
    keys: Option<Arc<ApiKeys>>,
    /// SHA-256 of a secret that lies in the data directory.
    local: Option<[u8; 32]>,
    /// By id of the key.
    rates: Mutex<HashMap<String, Rates>>,
    counts: Mutex<BTreeMap<(String, Outcome), u64>>,
    clock: fn() -> i64,
}

impl Default for Door {
    /// Open to everybody.
    fn default() -> Self {
        Self {
            keys: None,
            local: None,
            rates: Mutex::default(),
            counts: Mutex::default(),
            clock: crate::pipeline::system_clock,
        }
    }
}

impl Door {
    /// A door that these keys open, once there are any.
    #[must_use]
    pub fn with_keys(keys: Arc<ApiKeys>) -> Self {
        Self {
            keys: Some(keys),
            ..Self::default()
        }
    }

    /// The same, opened by this secret too: it may do everything. For commands on this machine.
    #[must_use]
    pub fn with_local(self, secret: &str) -> Self {
        Self {
            local: hash_secret(secret),
            ..self
        }
    }

    /// The same with another clock (nanoseconds since 1970).
    #[must_use]
    pub fn with_clock(self, clock: fn() -> i64) -> Self {
        Self { clock, ..self }
    }

    /// Whether a key is asked for.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        self.keys.as_ref().is_some_and(|keys| keys.configured())
    }

    /// Lets a request in that one of these roles may make, and takes it off the key's rate of requests.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] without exactly one key that is in force; [`Error::Forbidden`] when its role is none
    /// of these; [`Error::TooFast`] when it is over one of its rates.
    pub fn admit(&self, headers: &HeaderMap, roles: &[Role]) -> Result<Caller, Error> {
        self.admit_who(&header::presented(headers), roles)
    }

    /// The same for a secret that came some other way than in a header.
    ///
    /// # Errors
    /// As [`Self::admit`].
    pub fn admit_secret(&self, secret: &str, roles: &[Role]) -> Result<Caller, Error> {
        self.admit_who(&Presented::One(secret), roles)
    }

    fn admit_who(&self, presented: &Presented<'_>, roles: &[Role]) -> Result<Caller, Error> {
        if self.is_local(presented) && roles.contains(&Role::Admin) {
            return Ok(Caller::Local);
        }
        let key = match (&self.keys, presented) {
            (Some(keys), Presented::One(secret)) => keys.with_secret(secret),
            _ => None,
        };
        self.admit_key(key, presented, roles)
    }

    /// The same for who has proven to have the secret of the key of this id. Asked again, it says whether that still holds.
    ///
    /// # Errors
    /// As [`Self::admit`].
    pub fn admit_proven(&self, id: &str, roles: &[Role]) -> Result<Caller, Error> {
        let key = self.keys.as_ref().and_then(|keys| keys.with_id(id));
        self.admit_key(key, &Presented::NoText, roles)
    }

    /// What the secret of the key of this id is proven against.
    #[must_use]
    pub fn scram(&self, id: &str) -> Option<Scram> {
        self.keys.as_ref()?.with_id(id)?.scram.clone()
    }

    fn admit_key(
        &self,
        key: Option<Arc<ApiKey>>,
        presented: &Presented<'_>,
        roles: &[Role],
    ) -> Result<Caller, Error> {
        if !self.is_locked() {
            return Ok(Caller::Anyone);
        }
        let verdict = match &key {
            Some(key) => self.judge(key, roles),
            None => Err(nobody(presented)),
        };
        let name = key.as_ref().map_or("", |key| key.name.as_str());
        let outcome = verdict.as_ref().err().map(|(outcome, _)| *outcome);
        self.count(name, outcome.unwrap_or(Outcome::Admitted));
        verdict.map_err(|(_, error)| error)?;
        Ok(key.map_or(Caller::Anyone, Caller::Key))
    }

    /// Whether who was let in would still be: while a body arrives, a key may have been revoked, or the first one made.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] when not.
    pub fn still_admits(&self, caller: &Caller) -> Result<(), Error> {
        let refused = match caller {
            Caller::Local => None,
            Caller::Anyone => self.is_locked().then(|| nobody(&Presented::Nothing)),
            Caller::Key(key) => {
                let now = self.keys.as_ref().and_then(|keys| keys.with_id(&key.id));
                match now {
                    Some(key) => self.in_force(&key).err(),
                    None => Some(nobody(&Presented::NoText)),
                }
            }
        };
        let Some((outcome, error)) = refused else {
            return Ok(());
        };
        self.count(caller.key().map_or("", |key| key.name.as_str()), outcome);
        Err(error)
    }

    /// Takes bytes off a key's rate, which may thereby fall below zero: the key then waits for as long as they are worth.
    pub fn charge(&self, caller: &Caller, bytes: u64) {
        let Some(key) = caller.key() else {
            return;
        };
        let now = (self.clock)();
        if let Some(rates) = self.rates.lock().get_mut(&key.id)
            && let Some(bucket) = &mut rates.bytes
        {
            bucket.refill(now);
            bucket.take(bytes);
        }
    }

    /// Requests by key and outcome, since the start.
    #[must_use]
    pub fn counts(&self) -> Vec<Count> {
        let counts = self.counts.lock();
        let each = counts.iter().map(|((key, outcome), requests)| Count {
            key: key.clone(),
            outcome: *outcome,
            requests: *requests,
        });
        each.collect()
    }

    fn is_local(&self, presented: &Presented<'_>) -> bool {
        match (self.local, presented) {
            // Hashes are compared: the time it takes says nothing of the secret.
            (Some(local), Presented::One(secret)) => hash_secret(secret) == Some(local),
            _ => false,
        }
    }

    fn in_force(&self, key: &ApiKey) -> Result<(), (Outcome, Error)> {
        let spent = |word: &str, at: DateTime<Utc>| Error::Unauthenticated {
            reason: format!(
                "API key {} ({}) {word} at {}: `flyball keys add` makes another",
                key.id,
                key.name,
                at.to_rfc3339_opts(SecondsFormat::AutoSi, true)
            ),
        };
        match key.standing(DateTime::from_timestamp_nanos((self.clock)())) {
            Standing::InForce => Ok(()),
            Standing::Expired(at) => Err((Outcome::Expired, spent("expired", at))),
            Standing::Revoked(at) => Err((Outcome::Revoked, spent("was revoked", at))),
        }
    }

    fn judge(&self, key: &ApiKey, roles: &[Role]) -> Result<(), (Outcome, Error)> {
        self.in_force(key)?;
        let forbidden = |reason: String| (Outcome::Forbidden, Error::Forbidden { reason });
        if key.workspace != DEFAULT_WORKSPACE {
            return Err(forbidden(format!(
                "workspace {:?} of API key {} is not served: only {DEFAULT_WORKSPACE:?} is",
                key.workspace, key.name
            )));
        }
        if !roles.contains(&key.role) {
            let words: Vec<_> = roles.iter().map(|role| role.as_str()).collect();
            let accepted = match words.as_slice() {
                [] => "no role may do this".to_owned(),
                words => format!("expected {}", words.join(" or ")),
            };
            return Err(forbidden(format!(
                "role {:?} of API key {}: {accepted}",
                key.role.as_str(),
                key.name
            )));
        }
        self.take_request(key, (self.clock)())
            .map_err(|error| (Outcome::Limited, error))
    }

    fn take_request(&self, key: &ApiKey, now: i64) -> Result<(), Error> {
        if key.requests_per_s.is_none() && key.bytes_per_s.is_none() {
            return Ok(());
        }
        let mut rates = self.rates.lock();
        let rates = rates
            .entry(key.id.clone())
            .or_insert_with(|| Rates::of(key, now));
        let over = |what, bucket: &mut Option<Bucket>| {
            let bucket = bucket.as_mut()?;
            bucket.refill(now);
            let retry_after = bucket.wait()?;
            Some(Error::TooFast {
                key: key.name.clone(),
                what,
                limit: bucket.rate(),
                retry_after: Duration::from_nanos(retry_after),
            })
        };
        // Looked at before anything is taken: what is refused for its bytes costs no request.
        let over = [
            over("requests_per_s", &mut rates.requests),
            over("bytes_per_s", &mut rates.bytes),
        ];
        // The longest wait is the one that helps.
        let longest = over.into_iter().flatten().max_by_key(Error::retry_after);
        if let Some(error) = longest {
            return Err(error);
        }
        if let Some(requests) = &mut rates.requests {
            requests.take(1);
        }
        Ok(())
    }

    fn count(&self, name: &str, outcome: Outcome) {
        let mut counts = self.counts.lock();
        let known = |name: &str| {
            let mut of_name = counts.range((name.to_owned(), Outcome::Admitted)..);
            of_name.next().is_some_and(|((other, _), _)| other == name)
        };
        let room = || {
            let mut names: Vec<_> = counts.keys().map(|(name, _)| name).collect();
            names.dedup();
            names.len() < NAMES_MAX
        };
        let name = if name.is_empty() || known(name) || room() {
            name
        } else {
            OTHERS
        };
        *counts.entry((name.to_owned(), outcome)).or_default() += 1;
    }
}

/// How much a key may still do.
#[derive(Debug)]
struct Rates {
    requests: Option<Bucket>,
    bytes: Option<Bucket>,
}

impl Rates {
    fn of(key: &ApiKey, now: i64) -> Self {
        let requests = key.requests_per_s.map(|rate| u64::from(rate.get()));
        let bytes = key.bytes_per_s.map(|rate| rate.get());
        let bucket = |rate| Bucket::full(rate, now);
        Self {
            requests: requests.map(bucket),
            bytes: bytes.map(bucket),
        }
    }
}

/// What is said to who has no key that we know. What was sent is not repeated: logs are read by many.
fn nobody(presented: &Presented<'_>) -> (Outcome, Error) {
    const SEND: &str = "send `authorization: Bearer fbk_...` or `x-api-key: fbk_...`";
    let (outcome, reason) = match presented {
        Presented::Nothing => (Outcome::NoKey, format!("no API key was sent: {SEND}")),
        Presented::Several => (
            Outcome::NoKey,
            format!("more than one authorization or x-api-key header was sent: {SEND}, once"),
        ),
        Presented::NotBearer => (
            Outcome::NoKey,
            format!("the authorization header is not of the scheme Bearer: {SEND}"),
        ),
        Presented::NoText | Presented::One(_) => (
            Outcome::Unknown,
            "the API key that was sent is not known here: `flyball keys list` shows those that are"
                .to_owned(),
        ),
    };
    (outcome, Error::Unauthenticated { reason })
}
