//! The key that signs checkpoints: Ed25519, made on the first start, its private half in a file of its own.

use std::path::Path;

use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};

use crate::disk::{self, Disk};
use crate::error::{Error, Result};

const FILE: &str = "ledger.key";
/// The key that comes next, while it is changed.
const NEXT: &str = "ledger.key.next";

/// Who can sign.
#[derive(Debug)]
pub(crate) struct SigningKey(Ed25519KeyPair);

/// Whom signatures are checked against: 32 bytes, written as 64 hex digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey([u8; 32]);

impl SigningKey {
    /// The key of a data directory, made if there is none yet: `ledger.key`, for its owner's eyes only.
    pub(crate) fn of(disk: &dyn Disk, data_dir: &Path) -> Result<Self> {
        let path = data_dir.join(FILE);
        Self::read(disk, &path)?.map_or_else(|| Self::make(disk, &path), Ok)
    }

    /// The key of a folder that must have one.
    pub(crate) fn in_folder(disk: &dyn Disk, folder: &Path) -> Result<Self> {
        let path = folder.join(FILE);
        Self::read(disk, &path)?.ok_or_else(|| Error::LedgerKey {
            path,
            reason: "it does not exist, and a machine whose disk does not outlive it makes none (ledger.dir)".into(),
        })
    }

    /// The key that a change which was cut off was to bring, if there was one.
    pub(crate) fn next_of(disk: &dyn Disk, data_dir: &Path) -> Result<Option<Self>> {
        Self::read(disk, &data_dir.join(NEXT))
    }

    /// Makes the key that comes next, unless a change that was cut off has made it. Durable when this returns.
    pub(crate) fn make_next(disk: &dyn Disk, data_dir: &Path) -> Result<Self> {
        let path = data_dir.join(NEXT);
        Self::read(disk, &path)?.map_or_else(|| Self::make(disk, &path), Ok)
    }

    /// The next key, if there is one, takes the place of the one before, which is gone then.
    pub(crate) fn install_next(disk: &dyn Disk, data_dir: &Path) -> Result<()> {
        let (next, path) = (data_dir.join(NEXT), data_dir.join(FILE));
        match disk.rename(&next, &path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            renamed => renamed
                .and_then(|()| disk.sync_folder(data_dir))
                .map_err(Error::file("write", &path)),
        }
    }

    fn read(disk: &dyn Disk, path: &Path) -> Result<Option<Self>> {
        match disk::read_text(disk, path) {
            Ok(text) => match Self::from_hex(text.trim()) {
                Some(key) => Ok(Some(key)),
                None => Err(Error::LedgerKey {
                    path: path.to_owned(),
                    reason: "it does not hold 64 hex digits".into(),
                }),
            },
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::file("read", path)(error)),
        }
    }

    fn make(disk: &dyn Disk, path: &Path) -> Result<Self> {
        let unmade = |reason: &str| Error::LedgerKey {
            path: path.to_owned(),
            reason: reason.into(),
        };
        let mut seed = [0; 32];
        SystemRandom::new()
            .fill(&mut seed)
            .map_err(|_| unmade("the operating system gives no random numbers"))?;
        let key = Self::from_seed(&seed).ok_or_else(|| unmade("no key could be made"))?;
        // Complete before it has its name: half a key would sign with another.
        let staged = path.with_added_extension("new");
        let (text, private) = (hex::encode(seed) + "\n", true);
        disk::write_whole(disk, &staged, path, text.as_bytes(), private)
            .map_err(Error::file("write", path))?;
        Ok(key)
    }

    fn from_hex(text: &str) -> Option<Self> {
        let mut seed = [0; 32];
        hex::decode_to_slice(text, &mut seed).ok()?;
        Self::from_seed(&seed)
    }

    pub(super) fn from_seed(seed: &[u8; 32]) -> Option<Self> {
        Ed25519KeyPair::from_seed_unchecked(seed).ok().map(Self)
    }

    /// The half that everybody may know.
    pub(crate) fn public(&self) -> PublicKey {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(self.0.public_key().as_ref());
        PublicKey(bytes)
    }

    /// Signature of a statement, in hex.
    pub(super) fn sign(&self, statement: &str) -> String {
        hex::encode(self.0.sign(statement.as_bytes()))
    }
}

impl PublicKey {
    /// Reads 64 hex digits; None when it is anything else.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).ok()?;
        Some(Self(bytes))
    }

    /// Whether this signature, in hex, is of that statement.
    pub(super) fn signed(&self, statement: &str, signature: &str) -> bool {
        let Ok(signature) = hex::decode(signature) else {
            return false;
        };
        UnparsedPublicKey::new(&ED25519, self.0)
            .verify(statement.as_bytes(), &signature)
            .is_ok()
    }
}

impl std::fmt::Display for PublicKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}
