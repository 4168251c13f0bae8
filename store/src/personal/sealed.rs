//! A sealed text: `sealed:<id of the key>:<nonce and ciphertext in hex>`, AES-256-GCM.
//!
//! What is sealed is a JSON value, blanks added up to a multiple of 32 bytes, so that the length of a name does not
//! show. The nonce is made from the text itself, under the person's key: the same text gives the same
//! sealed text, so that a record that is told again is recognised and SQL can count people apart.

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hmac;
use serde_json::Value;

const PREFIX: &str = "sealed:";
/// What the ciphertext is bound to besides the key.
const PURPOSE: &[u8] = b"flyball sealed text 1";
const PADDED_TO: usize = 32;

/// Bytes of a secret: one half encrypts, the other makes nonces.
pub(super) const SECRET_BYTES: usize = 64;

/// One person's key.
pub(super) struct Key {
    /// Names the key, and nobody.
    pub(super) id: String,
    cipher: LessSafeKey,
    nonces: hmac::Key,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Key")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl Key {
    /// None when the secret has another length.
    pub(super) fn new(id: String, secret: &[u8]) -> Option<Self> {
        let (cipher, nonces) = secret.split_at_checked(SECRET_BYTES / 2)?;
        Some(Self {
            id,
            cipher: LessSafeKey::new(UnboundKey::new(&AES_256_GCM, cipher).ok()?),
            nonces: hmac::Key::new(hmac::HMAC_SHA256, nonces),
        })
    }
}

/// Seals a value.
pub(super) fn seal(key: &Key, value: &Value) -> String {
    let mut text = value.to_string().into_bytes();
    text.resize(text.len().next_multiple_of(PADDED_TO), b' ');
    let tag = hmac::sign(&key.nonces, &text);
    let mut nonce = [0; NONCE_LEN];
    nonce.copy_from_slice(&tag.as_ref()[..NONCE_LEN]);
    let sealed = key.cipher.seal_in_place_append_tag(
        Nonce::assume_unique_for_key(nonce),
        Aad::from(PURPOSE),
        &mut text,
    );
    // Fails only for more than 64 GB; then the text is given up rather than kept readable.
    if sealed.is_err() {
        text.clear();
    }
    format!(
        "{PREFIX}{}:{}{}",
        key.id,
        hex::encode(nonce),
        hex::encode(text)
    )
}

/// Whether a text looks like a sealed one.
pub(super) fn is_sealed(text: &str) -> bool {
    text.starts_with(PREFIX)
}

/// Whose key it needs.
pub(super) fn key_id(text: &str) -> Option<&str> {
    text.strip_prefix(PREFIX)?.split_once(':').map(|(id, _)| id)
}

/// The value that was sealed; None when it was not with this key.
pub(super) fn open(key: &Key, text: &str) -> Option<Value> {
    let (_, body) = text.strip_prefix(PREFIX)?.split_once(':')?;
    let mut bytes = hex::decode(body).ok()?;
    let (nonce, ciphertext) = bytes.split_at_mut_checked(NONCE_LEN)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
    let opened = key
        .cipher
        .open_in_place(nonce, Aad::from(PURPOSE), ciphertext);
    serde_json::from_slice(opened.ok()?).ok()
}
