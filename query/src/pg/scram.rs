//! The server's half of SCRAM-SHA-256 (RFC 5802, RFC 7677): the client proves that it has the secret and the server
//! that it knows the key, and neither tells the other anything that could be used again.
//!
//! Of our own, since the wire library's keeps what one can log in with. Without channel binding: it is not offered.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ring::rand::{SecureRandom as _, SystemRandom};
use ring::{digest, hmac};

use crate::gate::Verifier;

/// The only mechanism that is offered.
pub(super) const MECHANISM: &str = "SCRAM-SHA-256";
/// What a client that is not known is let guess at.
const ITERATIONS: u32 = 4096;

/// Why an exchange ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failed {
    /// It is not SCRAM as we speak it; says what is wrong.
    Malformed(&'static str),
    /// The client has not the secret.
    Wrong,
}

/// An exchange that waits for the client's proof.
#[derive(Debug)]
pub(super) struct Exchange {
    verifier: Verifier,
    /// The client's first message without its header.
    client_first: String,
    /// The header, as the proof has to repeat it.
    header: String,
    nonce: String,
    server_first: String,
}

impl Exchange {
    /// Takes the client's first message, and gives what is sent in answer.
    pub(super) fn begin(client_first: &[u8], verifier: Verifier) -> Result<Self, Failed> {
        let mut random = [0; 18];
        SystemRandom::new()
            .fill(&mut random)
            .map_err(|_| Failed::Malformed("no random numbers are to be had"))?;
        Self::with_nonce(client_first, verifier, &BASE64.encode(random))
    }

    fn with_nonce(client_first: &[u8], verifier: Verifier, ours: &str) -> Result<Self, Failed> {
        const FORM: Failed = Failed::Malformed("expected n,,n=user,r=nonce");
        let message = std::str::from_utf8(client_first).map_err(|_| FORM)?;
        let (binding, rest) = message.split_once(',').ok_or(FORM)?;
        let (identity, bare) = rest.split_once(',').ok_or(FORM)?;
        if !matches!(binding, "n" | "y") {
            return Err(Failed::Malformed("channel binding is not offered here"));
        }
        if !identity.is_empty() {
            return Err(Failed::Malformed("nobody may act for another here"));
        }
        let mut parts = bare.split(',');
        let (_user, nonce) = (attribute(parts.next(), "n"), attribute(parts.next(), "r"));
        let nonce = nonce.filter(|nonce| !nonce.is_empty()).ok_or(FORM)?;
        let nonce = format!("{nonce}{ours}");
        let salt = BASE64.encode(&verifier.salt);
        Ok(Self {
            server_first: format!("r={nonce},s={salt},i={}", verifier.iterations),
            client_first: bare.to_owned(),
            header: BASE64.encode(format!("{binding},,")),
            nonce,
            verifier,
        })
    }

    /// The server's first message.
    pub(super) fn challenge(&self) -> String {
        self.server_first.clone()
    }

    /// Takes the client's proof, and gives the server's.
    pub(super) fn finish(self, client_final: &[u8]) -> Result<String, Failed> {
        const FORM: Failed = Failed::Malformed("expected c=binding,r=nonce,p=proof");
        let message = std::str::from_utf8(client_final).map_err(|_| FORM)?;
        let (unproven, proof) = message.rsplit_once(",p=").ok_or(FORM)?;
        let mut parts = unproven.split(',');
        let (header, nonce) = (attribute(parts.next(), "c"), attribute(parts.next(), "r"));
        if header != Some(&self.header) || nonce != Some(&self.nonce) {
            return Err(Failed::Malformed("the proof is of another exchange"));
        }
        let proof = BASE64.decode(proof).map_err(|_| FORM)?;
        let proof = <[u8; 32]>::try_from(proof).map_err(|_| FORM)?;
        let told = format!("{},{},{unproven}", self.client_first, self.server_first);
        let signature = sign(&self.verifier.stored_key, &told);
        let mut client_key = proof;
        for (byte, mask) in client_key.iter_mut().zip(signature.as_ref()) {
            *byte ^= mask;
        }
        // Hashes are compared: the time it takes says nothing of the key.
        if digest::digest(&digest::SHA256, &client_key).as_ref() != self.verifier.stored_key {
            return Err(Failed::Wrong);
        }
        let proof = sign(&self.verifier.server_key, &told);
        Ok(format!("v={}", BASE64.encode(proof)))
    }
}

/// What somebody proves against whom no key is known of: the same answers as for a key, and never the right one. The salt
/// of a name is always the same, so that asking twice tells nothing.
pub(super) fn nobody(name: &str, seed: &[u8; 32]) -> Verifier {
    let of = |what: &str| sign(seed, &format!("{what} {name}"));
    let mut unknown = [0; 32];
    unknown.copy_from_slice(of("key").as_ref());
    Verifier {
        salt: of("salt").as_ref()[..16].to_vec(),
        iterations: ITERATIONS,
        stored_key: unknown,
        server_key: unknown,
    }
}

fn sign(key: &[u8; 32], message: &str) -> hmac::Tag {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message.as_bytes())
}

fn attribute<'a>(part: Option<&'a str>, name: &str) -> Option<&'a str> {
    part?.strip_prefix(name)?.strip_prefix('=')
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const FIRST: &[u8] = b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
    const OURS: &str = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
    const FINAL: &str = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
         p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";

    /// The example of RFC 7677: user `user`, password `pencil`.
    fn pencil() -> Verifier {
        let salt = BASE64.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let mut salted = [0; 32];
        let rounds = ITERATIONS.try_into().unwrap();
        let hash = ring::pbkdf2::PBKDF2_HMAC_SHA256;
        ring::pbkdf2::derive(hash, rounds, &salt, b"pencil", &mut salted);
        let client_key = sign(&salted, "Client Key");
        let stored = digest::digest(&digest::SHA256, client_key.as_ref());
        Verifier {
            salt,
            iterations: ITERATIONS,
            stored_key: stored.as_ref().try_into().unwrap(),
            server_key: sign(&salted, "Server Key").as_ref().try_into().unwrap(),
        }
    }

    fn begun(first: &[u8]) -> Result<Exchange, Failed> {
        Exchange::with_nonce(first, pencil(), OURS)
    }

    #[test]
    fn the_example_of_the_rfc() {
        let exchange = begun(FIRST).unwrap();
        assert_eq!(
            exchange.challenge(),
            "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
        );
        assert_eq!(
            exchange.finish(FINAL.as_bytes()).as_deref(),
            Ok("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")
        );
    }

    #[test]
    fn a_wrong_proof_another_nonce_and_another_header_are_refused() {
        let end = |text: String| begun(FIRST).unwrap().finish(text.as_bytes());
        assert_eq!(end(FINAL.replace("dHzb", "dHzc")), Err(Failed::Wrong));
        for wrong in [
            FINAL.replace("k0,", "k1,"),
            FINAL.replace("biws", "eSws"),
            FINAL.replace(",p=", ",x="),
            FINAL.replace("ndVQ=", "nd"),
            String::new(),
        ] {
            assert!(matches!(end(wrong), Err(Failed::Malformed(_))));
        }
        // A nonce of our own in each exchange: what was proven once proves nothing again.
        let again = Exchange::begin(FIRST, pencil()).unwrap();
        assert!(again.finish(FINAL.as_bytes()).is_err());
    }

    #[test]
    fn what_is_no_first_message_is_refused() {
        for wrong in [
            &b""[..],
            b"n,,",
            b"n,,n=user",
            b"n,,n=user,r=",
            b"n,a=root,n=user,r=x",
            b"p=tls-server-end-point,,n=user,r=x",
            b"n,,m=ext,n=user,r=x",
            b"\xff,,n=user,r=x",
        ] {
            assert!(matches!(begun(wrong), Err(Failed::Malformed(_))));
        }
    }

    #[test]
    fn who_is_not_known_gets_the_same_challenge_twice_and_no_way_in() {
        let seed = [7; 32];
        assert_eq!(nobody("key-1", &seed), nobody("key-1", &seed));
        assert_ne!(nobody("key-1", &seed).salt, nobody("key-2", &seed).salt);
        let exchange = Exchange::with_nonce(FIRST, nobody("user", &seed), OURS).unwrap();
        assert_eq!(exchange.finish(FINAL.as_bytes()), Err(Failed::Wrong));
    }
}
