//! What rules have learnt of series and hours, kept over a restart: no table has it, and it takes days to learn.
//!
//! A rule at a time, so that rules need not wait for long while it is taken down. The form is MessagePack with a mark of the
//! format before it and a digest after it: what was written by another version, or is damaged, is known as such and not
//! used. Then the rule begins to learn anew.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::measure::Known;
use crate::rule::SECOND;

/// How often it is kept, nanoseconds. What is received between the last time and a crash is read again from the tables.
pub(crate) const KEPT_EVERY: i64 = 600 * SECOND;
/// Changes with what is written: a test holds a detector's form beside it.
const FORMAT: &[u8] = b"flyball-learnt-2";
const DIGEST: usize = 32;

/// What one rule knows.
#[derive(Debug, Serialize, Deserialize)]
pub struct Knowledge {
    /// What it was learnt of: key, series and length of a step, or weeks.
    pub(crate) basis: String,
    /// When it was taken down, nanoseconds since 1970.
    pub(crate) at: i64,
    pub(crate) keys: Vec<(String, Known)>,
}

impl Knowledge {
    /// As bytes.
    ///
    /// # Errors
    /// When it has no such form.
    pub(crate) fn encode(&self) -> Result<Vec<u8>, String> {
        let mut bytes = FORMAT.to_vec();
        rmp_serde::encode::write(&mut bytes, self).map_err(|e| e.to_string())?;
        let digest = Sha256::digest(&bytes);
        bytes.extend(digest);
        Ok(bytes)
    }

    /// From what [`encode`](Self::encode) wrote.
    ///
    /// # Errors
    /// Why it cannot be used.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, String> {
        let (written, digest) = bytes.split_last_chunk::<DIGEST>().ok_or("it is cut off")?;
        if Sha256::digest(written)[..] != digest[..] {
            return Err("it is damaged: its digest is another".to_owned());
        }
        let body = written
            .strip_prefix(FORMAT)
            .ok_or("it was written by another version")?;
        rmp_serde::from_slice(body).map_err(|e| e.to_string())
    }
}
