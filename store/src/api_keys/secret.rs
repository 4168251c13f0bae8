//! Secrets: `fbk_` and 256 random bits as 64 hex digits.
//!
//! Nobody can try 2^256 secrets, so a single SHA-256 hides one as well as a slow hash (argon2) would; that is for
//! passwords, which people choose and which can be tried, and would cost every request its time.

use ring::rand::{SecureRandom as _, SystemRandom};
use sha2::{Digest as _, Sha256};

use crate::error::{Error, Result};

/// What every secret begins with, so that it can be found where it should not be.
const PREFIX: &str = "fbk_";
/// Hex digits after it.
const DIGITS: usize = 64;

/// A new one, and its hash.
pub(super) fn make() -> Result<(String, [u8; 32])> {
    let mut bits = [0; DIGITS / 2];
    SystemRandom::new()
        .fill(&mut bits)
        .map_err(|_| Error::NoRandomness)?;
    let secret = format!("{PREFIX}{}", hex::encode(bits));
    let hash = Sha256::digest(&secret).into();
    Ok((secret, hash))
}

/// A secret that opens no key, for who has another place to look it up.
///
/// # Errors
/// [`Error::NoRandomness`].
pub fn make_secret() -> Result<String> {
    Ok(make()?.0)
}

/// SHA-256 of what may be a secret; None for what has not its form, and is not worth hashing.
#[must_use]
pub fn hash_secret(secret: &str) -> Option<[u8; 32]> {
    let digits = secret.strip_prefix(PREFIX)?;
    let plain = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    (digits.len() == DIGITS && digits.bytes().all(plain)).then(|| Sha256::digest(secret).into())
}
