//! Objects of the log at rest: AES-256-GCM under one key, a random nonce each, and its own name sealed in, so
//! that no object can be put in another's place.
//!
//! ```text
//! offset  size  what
//!      0     8  "flyball1"
//!      8     8  first bytes of SHA-256 over "flyball log key" and the key: which key it was
//!     16    12  nonce
//!     28   ...  ciphertext
//!    end    16  tag; node and name are authenticated with it
//! ```

use bytes::Bytes;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};
use sha2::{Digest, Sha256};

const MAGIC: &[u8; 8] = b"flyball1";
const NONCE_AT: usize = 16;
const TEXT_AT: usize = 28;
/// Bytes an object has besides its text.
pub(super) const OVERHEAD: u64 = (TEXT_AT + 16) as u64;

/// The key that the log in a bucket is encrypted with: 32 bytes. Whoever has it can read every request.
#[derive(Clone)]
pub struct LogKey([u8; 32]);

impl LogKey {
    /// Reads 64 hex digits; None when it is anything else.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text.trim(), &mut bytes).ok()?;
        Some(Self(bytes))
    }
}

impl std::fmt::Debug for LogKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LogKey(..)")
    }
}

/// Encrypts and decrypts the objects of one node.
pub(super) struct Cipher {
    key: LessSafeKey,
    id: [u8; 8],
    node: String,
}

impl Cipher {
    /// None when the key is of no use, which does not happen.
    pub(super) fn new(LogKey(key): &LogKey, node: &str) -> Option<Self> {
        let digest = Sha256::new()
            .chain_update(b"flyball log key")
            .chain_update(key)
            .finalize();
        Some(Self {
            key: LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).ok()?),
            id: *digest.first_chunk()?,
            node: node.to_owned(),
        })
    }

    /// The object of that name; None when the operating system gives no random numbers.
    pub(super) fn seal(&self, name: &str, text: &[u8]) -> Option<Bytes> {
        let mut nonce = [0; 12];
        SystemRandom::new().fill(&mut nonce).ok()?;
        let mut object = Vec::with_capacity(text.len() + OVERHEAD as usize);
        object.extend_from_slice(MAGIC);
        object.extend_from_slice(&self.id);
        object.extend_from_slice(&nonce);
        object.extend_from_slice(text);
        let (_, body) = object.split_at_mut(TEXT_AT);
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = self
            .key
            .seal_in_place_separate_tag(nonce, self.bound(name), body)
            .ok()?;
        object.extend_from_slice(tag.as_ref());
        Some(object.into())
    }

    /// The text of an object; the error says what is wrong with it.
    pub(super) fn open(&self, name: &str, object: &[u8]) -> Result<Vec<u8>, String> {
        let head = object
            .get(..TEXT_AT)
            .filter(|_| object.len() as u64 >= OVERHEAD)
            .ok_or_else(|| format!("{} bytes are no object of the log", object.len()))?;
        if !head.starts_with(MAGIC) {
            return Err("it is no object of the log".into());
        }
        if head.get(MAGIC.len()..NONCE_AT) != Some(self.id.as_slice()) {
            return Err("it was encrypted with another key (store.log_key_file)".into());
        }
        let nonce = head
            .get(NONCE_AT..)
            .and_then(|nonce| nonce.try_into().ok())
            .map(Nonce::assume_unique_for_key)
            .ok_or("it is no object of the log")?;
        let mut body = object[TEXT_AT..].to_vec();
        let text = self
            .key
            .open_in_place(nonce, self.bound(name), &mut body)
            .map_err(|_| "it is damaged, or stands in another's place")?
            .len();
        body.truncate(text);
        Ok(body)
    }

    fn bound(&self, name: &str) -> Aad<Vec<u8>> {
        Aad::from(format!("flyball log 1\n{}\n{name}\n", self.node).into_bytes())
    }
}
