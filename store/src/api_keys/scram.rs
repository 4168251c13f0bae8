//! What PostgreSQL's clients prove a secret against, without sending it: SCRAM-SHA-256 (RFC 5802, RFC 7677).
//!
//! It is kept as PostgreSQL writes it in `pg_authid`: `SCRAM-SHA-256$iterations:salt$stored key:server key`. Nobody can
//! log in with it. The secret is random, so the fewest iterations that clients accept are enough.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ring::rand::{SecureRandom as _, SystemRandom};
use ring::{digest, hmac, pbkdf2};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The fewest that RFC 7677 allows.
const ITERATIONS: NonZeroU32 = NonZeroU32::new(4096).expect("not zero");
const MECHANISM: &str = "SCRAM-SHA-256";

/// One key's verifier.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Scram {
    /// How often the hash is taken.
    pub iterations: NonZeroU32,
    /// Random, and no other key's.
    pub salt: Vec<u8>,
    /// Hash of what the client proves that it has.
    pub stored_key: [u8; 32],
    /// What the server proves itself with.
    pub server_key: [u8; 32],
}

impl Scram {
    /// Of a secret, with a salt of its own.
    pub(super) fn of(secret: &str) -> Result<Self> {
        let mut salt = vec![0; 16];
        SystemRandom::new()
            .fill(&mut salt)
            .map_err(|_| Error::NoRandomness)?;
        Ok(Self::with(secret, salt))
    }

    fn with(secret: &str, salt: Vec<u8>) -> Self {
        let mut salted = [0; 32];
        let hash = pbkdf2::PBKDF2_HMAC_SHA256;
        pbkdf2::derive(hash, ITERATIONS, &salt, secret.as_bytes(), &mut salted);
        let salted = hmac::Key::new(hmac::HMAC_SHA256, &salted);
        let client_key = hmac::sign(&salted, b"Client Key");
        let stored_key = digest::digest(&digest::SHA256, client_key.as_ref());
        let bytes = |bytes: &[u8]| {
            let mut array = [0; 32];
            array.copy_from_slice(bytes);
            array
        };
        Self {
            iterations: ITERATIONS,
            salt,
            stored_key: bytes(stored_key.as_ref()),
            server_key: bytes(hmac::sign(&salted, b"Server Key").as_ref()),
        }
    }
}

impl fmt::Display for Scram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [salt, stored, server] =
            [&self.salt[..], &self.stored_key, &self.server_key].map(|bytes| BASE64.encode(bytes));
        write!(
            f,
            "{MECHANISM}${}:{salt}${stored}:{server}",
            self.iterations
        )
    }
}

impl fmt::Debug for Scram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // With the server's key one can pass for the server.
        f.debug_struct("Scram").finish_non_exhaustive()
    }
}

impl From<Scram> for String {
    fn from(scram: Scram) -> Self {
        scram.to_string()
    }
}

impl TryFrom<String> for Scram {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl FromStr for Scram {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let read = || {
            let (mechanism, rest) = text.split_once('$')?;
            let (cost, keys) = rest.split_once('$')?;
            let (iterations, salt) = cost.split_once(':')?;
            let (stored, server) = keys.split_once(':')?;
            let bytes = |text: &str| BASE64.decode(text).ok();
            let key = |text: &str| <[u8; 32]>::try_from(bytes(text)?).ok();
            (mechanism == MECHANISM).then_some(Self {
                iterations: iterations.parse().ok()?,
                salt: bytes(salt)?,
                stored_key: key(stored)?,
                server_key: key(server)?,
            })
        };
        read().ok_or("expected SCRAM-SHA-256$iterations:salt$stored key:server key, in base64")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// The example of RFC 7677 gives the signatures of one exchange; these are the keys that give them, which its reader
    /// in the PostgreSQL port checks against the same example.
    #[test]
    fn the_example_of_the_rfc() {
        let salt = BASE64.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let scram = Scram::with("pencil", salt);
        let message = "n=user,r=rOprNGfwEbeRWgbNEkqO,\
             r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,\
             c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
        let sign =
            |key: &[u8]| hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message.as_bytes());
        let told = BASE64.encode(sign(&scram.server_key));
        assert_eq!(told, "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
        let proof = "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
        let proof = BASE64.decode(proof).unwrap();
        let signature = sign(&scram.stored_key);
        let client_key: Vec<u8> = proof
            .iter()
            .zip(signature.as_ref())
            .map(|(a, b)| a ^ b)
            .collect();
        let hashed = digest::digest(&digest::SHA256, &client_key);
        assert_eq!(hashed.as_ref(), scram.stored_key);
    }

    #[test]
    fn it_is_read_as_it_is_written_and_nothing_else_is() {
        let scram = Scram::of("fbk_1").unwrap();
        assert_eq!(scram.to_string().parse(), Ok(scram.clone()));
        assert_ne!(
            scram,
            Scram::of("fbk_1").unwrap(),
            "salts are the key's own"
        );
        for wrong in [
            "",
            "SCRAM-SHA-256",
            "SCRAM-SHA-256$0:AA==$AA==:AA==",
            "md5abc",
        ] {
            assert!(wrong.parse::<Scram>().is_err(), "{wrong}");
        }
    }
}
