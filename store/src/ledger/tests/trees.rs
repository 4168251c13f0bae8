//! The tree against RFC 6962: its definition, recursive as it is written, and the roots that Certificate
//! Transparency's own tests publish.

use proptest::prelude::*;
use sha2::{Digest, Sha256};

use super::super::tree::{Climb, Hash, Tree, root_by_path, roots_by_consistency};

/// MTH, PATH and SUBPROOF as in RFC 6962, 2.1 to 2.1.2; leaves are hashed already.
fn mth(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => Sha256::digest([]).into(),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(split(leaves.len()));
            let mut text = vec![1];
            text.extend(mth(left));
            text.extend(mth(right));
            Sha256::digest(text).into()
        }
    }
}

fn split(n: usize) -> usize {
    let mut k = 1;
    while k * 2 < n {
        k *= 2;
    }
    k
}

fn path(m: usize, leaves: &[Hash]) -> Vec<Hash> {
    if leaves.len() == 1 {
        return Vec::new();
    }
    let k = split(leaves.len());
    let (left, right) = leaves.split_at(k);
    let (mut steps, sibling) = if m < k {
        (path(m, left), mth(right))
    } else {
        (path(m - k, right), mth(left))
    };
    steps.push(sibling);
    steps
}

fn subproof(m: usize, leaves: &[Hash], whole: bool) -> Vec<Hash> {
    if m == leaves.len() {
        return if whole { Vec::new() } else { vec![mth(leaves)] };
    }
    let k = split(leaves.len());
    let (left, right) = leaves.split_at(k);
    let (mut steps, sibling) = if m <= k {
        (subproof(m, left, whole), mth(right))
    } else {
        (subproof(m - k, right, false), mth(left))
    };
    steps.push(sibling);
    steps
}

fn records(n: usize) -> Vec<Hash> {
    (0..n)
        .map(|n| Sha256::digest(n.to_le_bytes()).into())
        .collect()
}

fn leaf(record: &[u8]) -> Hash {
    let mut text = vec![0];
    text.extend(record);
    Sha256::digest(text).into()
}

fn tree(records: &[Hash]) -> Tree {
    let mut tree = Tree::default();
    records.iter().for_each(|record| tree.add(record));
    tree
}

/// The consistency proof as `prove` makes it.
fn grown(records: &[Hash], old: usize) -> Vec<Hash> {
    let mut climb = Climb::from(old as u64 - 1);
    records[..old].iter().for_each(|record| climb.add(record));
    let peak = *climb.tree().peaks().last().unwrap();
    records[old..].iter().for_each(|record| climb.add(record));
    super::super::prove::consistency(old as i64, records.len() as i64, peak, &climb)
}

/// Leaves and roots of certificate-transparency's reference tests.
#[test]
fn roots_are_those_that_certificate_transparency_publishes() {
    let leaves = [
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    ];
    let roots = [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];
    let hashed: Vec<Hash> = leaves
        .iter()
        .map(|hex| leaf(&hex::decode(hex).unwrap()))
        .collect();
    for (n, root) in (1..).zip(roots) {
        assert_eq!(
            hex::encode(mth(&hashed[..n])),
            root,
            "the definition, of {n}"
        );
    }
    assert_eq!(
        hex::encode(Tree::default().root()),
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    );
}

/// Every leaf of every tree of up to 40, every older tree of every newer one.
#[test]
fn all_paths_of_small_trees_are_those_of_the_definition() {
    for n in 1..=40 {
        let records = records(n);
        let leaves: Vec<Hash> = records.iter().map(|record| leaf(record)).collect();
        let root = mth(&leaves);
        assert_eq!(tree(&records).root(), root);
        for m in 0..n {
            let mut climb = Climb::from(m as u64);
            records.iter().for_each(|record| climb.add(record));
            assert_eq!(climb.path(), path(m, &leaves), "leaf {m} of {n}");
            let reached = root_by_path(&records[m], m as u64, n as u64, &climb.path());
            assert_eq!(reached, Some(root));
            let old = m + 1;
            let proof = grown(&records, old);
            assert_eq!(proof, subproof(old, &leaves, true), "{old} of {n}");
            let old_root = mth(&leaves[..old]);
            let roots = roots_by_consistency(old as u64, &old_root, n as u64, &proof);
            assert_eq!(roots, Some((old_root, root)));
        }
    }
}

#[test]
fn the_same_records_and_peaks_are_the_same_tree() {
    for n in 0..70 {
        let tree = tree(&records(n));
        assert_eq!(
            Tree::of(n as u64, tree.peaks().to_vec()),
            Some(tree.clone())
        );
        assert_eq!(
            Tree::of(n as u64 + 1, tree.peaks().to_vec()).is_some(),
            (n + 1).count_ones() == n.count_ones()
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// A proof of something else does not check: another record, place, size, or one step changed, more or less.
    #[test]
    fn what_is_not_so_cannot_be_proved(n in 2..300_usize, at in any::<prop::sample::Index>(), step in any::<prop::sample::Index>(), what in 0..6_u8) {
        let records = records(n);
        let m = at.index(n);
        let mut climb = Climb::from(m as u64);
        records.iter().for_each(|record| climb.add(record));
        let root = tree(&records).root();
        let (mut record, mut index, mut steps) = (records[m], m as u64, climb.path());
        let step = step.index(steps.len());
        match what {
            0 => record[0] ^= 1,
            1 => index = (index + 1) % n as u64,
            2 => steps[step][31] ^= 128,
            3 => { steps.remove(step); }
            4 => { let twice = steps[step]; steps.insert(step, twice); }
            _ => steps.reverse(),
        }
        prop_assume!(what != 5 || steps != climb.path());
        prop_assert_ne!(root_by_path(&record, index, n as u64, &steps), Some(root));
    }

    /// A ledger of which one early record is another is no growth of the old one.
    #[test]
    fn another_past_is_no_growth(n in 2..300_usize, old in any::<prop::sample::Index>(), at in any::<prop::sample::Index>()) {
        let records = records(n);
        let old = 1 + old.index(n - 1);
        let mut forged = records.clone();
        forged[at.index(old)][0] ^= 1;
        let old_root = tree(&records[..old]).root();
        let proof = grown(&forged, old);
        let roots = roots_by_consistency(old as u64, &old_root, n as u64, &proof);
        prop_assert_ne!(roots, Some((old_root, tree(&forged).root())));
        let sound = grown(&records, old);
        let roots = roots_by_consistency(old as u64, &old_root, n as u64, &sound);
        prop_assert_eq!(roots, Some((old_root, tree(&records).root())));
    }
}
