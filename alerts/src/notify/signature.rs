//! Signs what a webhook sends, so that its receiver can tell that it is ours, and when it was sent.

use sha2::{Digest, Sha256};

/// Carries `sha256=` and the signature in hex.
pub const SIGNATURE_HEADER: &str = "x-flyball-signature";
/// Carries the time of sending, seconds since 1970; it is signed too, so that old notices cannot be replayed.
pub const TIMESTAMP_HEADER: &str = "x-flyball-timestamp";

const BLOCK: usize = 64;

/// The signature in hex: HMAC-SHA256 with the secret over the timestamp, a full stop and the body.
#[must_use]
pub fn sign(secret: &[u8], timestamp: &str, body: &[u8]) -> String {
    hex::encode(hmac(secret, &[timestamp.as_bytes(), b".", body]))
}

/// HMAC (RFC 2104) over SHA-256, of the parts in a row.
fn hmac(secret: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut key = [0u8; BLOCK];
    if secret.len() > BLOCK {
        key[..32].copy_from_slice(&Sha256::digest(secret));
    } else {
        key[..secret.len()].copy_from_slice(secret);
    }
    let mut inner = Sha256::new_with_prefix(key.map(|byte| byte ^ 0x36));
    for part in parts {
        inner.update(part);
    }
    let outer = Sha256::new_with_prefix(key.map(|byte| byte ^ 0x5c));
    outer.chain_update(inner.finalize()).finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Test cases of RFC 4231.
    #[test]
    fn it_is_the_hmac_of_the_standard() {
        let cases: [(&[u8], &[u8], &str); 4] = [
            (
                &[0x0b; 20],
                b"Hi There",
                "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
            ),
            (
                b"Jefe",
                b"what do ya want for nothing?",
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
            (
                &[0xaa; 20],
                &[0xdd; 50],
                "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe",
            ),
            (
                &[0xaa; 131],
                b"Test Using Larger Than Block-Size Key - Hash Key First",
                "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
            ),
        ];
        for (key, data, want) in cases {
            assert_eq!(hex::encode(hmac(key, &[data])), want);
        }
    }
}
