//! Who may ask: what the ports for SQL want to know of API keys, and nothing of where they lie.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use tokio_rustls::TlsAcceptor;

/// Knows the keys. The binary hands in its own; [`Open`] is for whoever embeds the engine, and for tests.
pub trait Gate: Debug + Send + Sync {
    /// Whether a key has to be shown. While it has not, only this machine is served.
    fn is_locked(&self) -> bool;

    /// Who has this secret, if that key may read now.
    ///
    /// # Errors
    /// [`Refused`] says why not.
    fn with_secret(&self, secret: &str) -> Result<Reader, Refused>;

    /// What the key of this id is proven against, without its secret being sent (SCRAM-SHA-256, RFC 5802). None for a
    /// key that is not known, or was made before verifiers were kept.
    fn verifier(&self, key_id: &str) -> Option<Verifier>;

    /// Who has the key of this id, if it may read now. To be asked only when the secret was proven.
    ///
    /// # Errors
    /// [`Refused`] says why not.
    fn proven(&self, key_id: &str) -> Result<Reader, Refused>;

    /// Whether who was let in still is: keys expire and are revoked while connections stay, and have a rate. Asked once
    /// at each statement.
    ///
    /// # Errors
    /// [`Refused`] says why not.
    fn still(&self, reader: &Reader) -> Result<(), Refused>;
}

/// Who was let in.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reader {
    /// The id of the key, or `local` for who can read the data directory; none where no key is asked for.
    pub key_id: Option<String>,
    /// The workspace that the key opens; none where any may be read.
    pub workspace: Option<String>,
}

/// What a server keeps of a secret to check a SCRAM-SHA-256 proof.
#[derive(Clone, PartialEq, Eq)]
pub struct Verifier {
    /// Random bytes, the key's own.
    pub salt: Vec<u8>,
    /// How often the hash is taken.
    pub iterations: u32,
    /// Hash of the client's key, which it proves that it has.
    pub stored_key: [u8; 32],
    /// What the server proves itself with.
    pub server_key: [u8; 32],
}

impl Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // With the server's key one can pass for the server.
        f.debug_struct("Verifier").finish_non_exhaustive()
    }
}

/// Why somebody is not let in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// No key, an unknown one, or one that is no longer in force.
    #[error("{0}")]
    Unauthenticated(String),
    /// The key is for something else.
    #[error("{0}")]
    Forbidden(String),
    /// The key is over its rate.
    #[error("{reason}")]
    TooFast {
        /// Which, and where the limit is.
        reason: String,
        /// When to come back.
        retry_after: Duration,
    },
}

/// Asks for no key.
#[derive(Debug, Clone, Copy, Default)]
pub struct Open;

impl Gate for Open {
    fn is_locked(&self) -> bool {
        false
    }

    fn with_secret(&self, _secret: &str) -> Result<Reader, Refused> {
        Ok(Reader::default())
    }

    fn verifier(&self, _key_id: &str) -> Option<Verifier> {
        None
    }

    fn proven(&self, _key_id: &str) -> Result<Reader, Refused> {
        Ok(Reader::default())
    }

    fn still(&self, _reader: &Reader) -> Result<(), Refused> {
        Ok(())
    }
}

/// What a port for SQL is opened with.
#[derive(Clone)]
pub struct Entrance {
    /// Who may ask.
    pub gate: Arc<dyn Gate>,
    /// Speaks TLS where it is configured.
    pub tls: Option<TlsAcceptor>,
    /// The workspace of whoever does not name one.
    pub workspace: Arc<str>,
}

impl Debug for Entrance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entrance")
            .field("gate", &self.gate)
            .field("tls", &self.tls.is_some())
            .field("workspace", &self.workspace)
            .finish()
    }
}

impl Entrance {
    /// One that asks for no key and speaks no TLS: for this machine alone.
    #[must_use]
    pub fn open(workspace: &str) -> Self {
        Self {
            gate: Arc::new(Open),
            tls: None,
            workspace: workspace.into(),
        }
    }
}
