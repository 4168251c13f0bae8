//! A signed head: what a checkpoint says of the records before it, and who says so.

use super::chain::Head;
use super::key::{PublicKey, SigningKey};
use super::tree::{self, Tree};

/// A signature over a workspace's ledger up to a record: what to keep elsewhere, and what proofs are held against.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct SignedHead {
    /// Whose ledger.
    pub workspace: String,
    /// Number of the last record that is signed, and so the number of records.
    pub seq: i64,
    /// Hash of that record, in lower-case hex.
    pub hash: String,
    /// Root of the Merkle tree (RFC 6962) over the hashes of all these records, in lower-case hex; none in
    /// checkpoints of before there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<String>,
    /// Roots of the tree's perfect subtrees, largest first: what it takes to go on with it. Only in the record.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    peaks: Vec<String>,
    /// Who signs: Ed25519, 64 hex digits.
    pub public_key: String,
    /// Over [`SignedHead::statement`], in hex.
    pub signature: String,
}

impl SignedHead {
    pub(super) fn sign(
        key: &SigningKey,
        workspace: &str,
        head: &Head,
        tree: Option<&Tree>,
    ) -> Self {
        let mut signed = Self {
            workspace: workspace.to_owned(),
            seq: head.seq,
            hash: head.hash.clone(),
            root: tree.map(|tree| hex::encode(tree.root())),
            peaks: tree.map_or_else(Vec::new, |tree| {
                tree.peaks().iter().map(hex::encode).collect()
            }),
            public_key: key.public().to_string(),
            signature: String::new(),
        };
        signed.signature = key.sign(&signed.statement());
        signed
    }

    /// Reads one from JSON: a checkpoint's `record`, or a file of `flyball audit head`.
    ///
    /// # Errors
    /// What is not as it should be, in words.
    pub fn read(json: &str) -> Result<Self, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
    }

    /// The text that is signed. It says what it is, so that the signature can't be taken for one of something else.
    #[must_use]
    pub fn statement(&self) -> String {
        let Self {
            workspace,
            seq,
            hash,
            ..
        } = self;
        match &self.root {
            Some(root) => {
                format!("flyball ledger checkpoint 2\n{workspace}\n{seq}\n{hash}\n{root}\n")
            }
            None => format!("flyball ledger checkpoint 1\n{workspace}\n{seq}\n{hash}\n"),
        }
    }

    /// The key that it names, if that key really signed it.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn signer(&self) -> Result<PublicKey, String> {
        let key = PublicKey::from_hex(&self.public_key)
            .ok_or_else(|| format!("its key {:?} is not 64 hex digits", self.public_key))?;
        if key.signed(&self.statement(), &self.signature) {
            Ok(key)
        } else {
            Err(format!("its signature is not by key {key}"))
        }
    }

    /// The tree that it signs, if its peaks lead to the root.
    pub(super) fn tree(&self) -> Option<Tree> {
        let peaks = self.peaks.iter().map(|peak| tree::from_hex(peak));
        let tree = Tree::of(u64::try_from(self.seq).ok()?, peaks.collect::<Option<_>>()?)?;
        (self.root.as_deref()? == hex::encode(tree.root())).then_some(tree)
    }

    /// The root, as bytes.
    pub(super) fn root(&self) -> Option<tree::Hash> {
        tree::from_hex(self.root.as_deref()?)
    }

    /// Without what only the record needs.
    #[must_use]
    pub(super) fn without_peaks(mut self) -> Self {
        self.peaks.clear();
        self
    }

    /// Whether another says the same of the same ledger, whoever signed it.
    #[must_use]
    pub fn says_as(&self, other: &Self) -> bool {
        (&self.workspace, self.seq, &self.hash, &self.root)
            == (&other.workspace, other.seq, &other.hash, &other.root)
    }
}
