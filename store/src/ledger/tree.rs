//! The Merkle tree over a chain, as in RFC 6962 (2.1): leaves are the records' hashes, in order.
//!
//! Only the peaks are kept: the roots of the perfect subtrees that the records so far fill, one for each bit of
//! their number. They are all it takes to add the next leaf, to know the root, and to see a path through the
//! tree come about ([`Climb`]).

use sha2::{Digest, Sha256};

/// A node of the tree.
pub(super) type Hash = [u8; 32];

/// The peaks over so many leaves, largest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Tree {
    size: u64,
    peaks: Vec<Hash>,
}

impl Tree {
    /// The tree of so many leaves with these peaks; None when their number does not fit.
    pub(super) fn of(size: u64, peaks: Vec<Hash>) -> Option<Self> {
        (size.count_ones() as usize == peaks.len()).then_some(Self { size, peaks })
    }

    /// Leaves so far.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    pub(super) fn peaks(&self) -> &[Hash] {
        &self.peaks
    }

    /// Adds the next leaf.
    pub(super) fn add(&mut self, record: &Hash) {
        self.add_seen(record, |_, _| {});
    }

    /// Adds the next leaf and tells of every pair of nodes that becomes one.
    fn add_seen(&mut self, record: &Hash, mut pair: impl FnMut(&Hash, &Hash)) {
        let mut node = leaf(record);
        for _ in 0..self.size.trailing_ones() {
            let Some(left) = self.peaks.pop() else { break };
            pair(&left, &node);
            node = parent(&left, &node);
        }
        self.peaks.push(node);
        self.size += 1;
    }

    /// The tree's head: SHA-256 of nothing for no leaves.
    pub(super) fn root(&self) -> Hash {
        let mut peaks = self.peaks.iter().rev();
        match peaks.next() {
            Some(last) => peaks.fold(*last, |right, left| parent(left, &right)),
            None => Sha256::digest([]).into(),
        }
    }
}

/// The way up from one leaf, found while the leaves go by: the sibling of each node on it.
#[derive(Debug, Clone)]
pub(super) struct Climb {
    tree: Tree,
    /// The leaf, from 0.
    index: u64,
    path: Vec<Hash>,
}

impl Climb {
    /// From the leaf of this index.
    pub(super) fn from(index: u64) -> Self {
        Self {
            tree: Tree::default(),
            index,
            path: Vec::new(),
        }
    }

    /// The leaves that went by.
    pub(super) fn tree(&self) -> &Tree {
        &self.tree
    }

    /// The next leaf.
    pub(super) fn add(&mut self, record: &Hash) {
        let (index, next, path) = (self.index, self.tree.size, &mut self.path);
        let mut height = 0;
        self.tree.add_seen(record, |left, right| {
            // The nodes of this height to the left and right of where the new leaf stands.
            let (from, middle) = ((next >> height) - 1, next >> height);
            if index >> height == from {
                path.push(*right);
            } else if index >> height == middle {
                path.push(*left);
            }
            height += 1;
        });
    }

    /// The audit path of the leaf in the tree so far, from below (RFC 6962, 2.1.1).
    pub(super) fn path(&self) -> Vec<Hash> {
        let mut path = self.path.clone();
        let (mut begins, mut right) = (self.tree.size, None::<Hash>);
        let mut heights = (0..64).filter(|height| self.tree.size >> height & 1 == 1);
        let mut below = false;
        for peak in self.tree.peaks.iter().rev() {
            begins -= 1 << heights.next().unwrap_or(0);
            if below {
                path.push(*peak);
            } else if begins <= self.index {
                // The peak over the leaf: what is right of it is one node.
                path.extend(right);
                below = true;
            } else {
                right = Some(right.map_or(*peak, |right| parent(peak, &right)));
            }
        }
        path
    }
}

/// The root that a leaf's audit path leads to; None when the path has another length than the tree's.
pub(super) fn root_by_path(record: &Hash, index: u64, size: u64, path: &[Hash]) -> Option<Hash> {
    if index >= size {
        return None;
    }
    let (mut at, mut last, mut node) = (index, size - 1, leaf(record));
    for sibling in path {
        if last == 0 {
            return None;
        }
        if at & 1 == 1 || at == last {
            node = parent(sibling, &node);
            let up = at.trailing_zeros().min(63);
            (at, last) = (at >> up, last >> up);
        } else {
            node = parent(&node, sibling);
        }
        (at, last) = (at >> 1, last >> 1);
    }
    (last == 0).then_some(node)
}

/// The roots that a consistency proof (RFC 6962, 2.1.2) leads to: of the tree's first `old` leaves, and of all
/// `new`; None when it proves nothing.
pub(super) fn roots_by_consistency(
    old: u64,
    old_root: &Hash,
    new: u64,
    path: &[Hash],
) -> Option<(Hash, Hash)> {
    if old == 0 || old > new {
        return None;
    }
    if old == new {
        return path.is_empty().then_some((*old_root, *old_root));
    }
    // The tree's last peak at `old` leaves: it is the whole old tree if that is a perfect one.
    let (first, path) = if old.is_power_of_two() {
        (*old_root, path)
    } else {
        let (first, path) = path.split_first()?;
        (*first, path)
    };
    let height = old.trailing_zeros();
    let (mut at, mut last) = ((old - 1) >> height, (new - 1) >> height);
    let (mut older, mut newer) = (first, first);
    for sibling in path {
        if last == 0 {
            return None;
        }
        if at & 1 == 1 || at == last {
            older = parent(sibling, &older);
            newer = parent(sibling, &newer);
            let up = at.trailing_zeros().min(63);
            (at, last) = (at >> up, last >> up);
        } else {
            newer = parent(&newer, sibling);
        }
        (at, last) = (at >> 1, last >> 1);
    }
    (last == 0).then_some((older, newer))
}

fn leaf(record: &Hash) -> Hash {
    Sha256::new()
        .chain_update([0])
        .chain_update(record)
        .finalize()
        .into()
}

fn parent(left: &Hash, right: &Hash) -> Hash {
    let node = Sha256::new().chain_update([1]);
    node.chain_update(left)
        .chain_update(right)
        .finalize()
        .into()
}

/// Reads a hash from 64 hex digits.
pub(super) fn from_hex(text: &str) -> Option<Hash> {
    let mut hash = [0; 32];
    hex::decode_to_slice(text, &mut hash).ok()?;
    Some(hash)
}
