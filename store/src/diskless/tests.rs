#![allow(clippy::unwrap_used)]
use object_store::memory::InMemory;
use rusqlite::Connection;

use super::medium::BucketMedium;
use super::*;
use crate::dedupe::{Dedupe, Remembered};
use crate::log::{Medium, segment_name};

const KEY: &str = "07";

fn key(byte: &str) -> LogKey {
    LogKey::from_hex(&byte.repeat(32)).unwrap()
}

fn dedupe() -> Dedupe {
    Dedupe::open(Connection::open_in_memory().unwrap()).unwrap()
}

fn take_over(store: &Arc<InMemory>, with: &LogKey, dedupe: &Dedupe) -> Result<Bucket> {
    let store: Arc<dyn ObjectStore> = Arc::<InMemory>::clone(store);
    let diskless = Diskless {
        log_url: "s3://bucket/logs".into(),
        node_id: "n1".into(),
        key: with.clone(),
        ledger_dir: PathBuf::new(),
        group_every: Duration::ZERO,
    };
    Bucket::take_over(store, &Path::from("logs"), &diskless, dedupe, false)
}

fn remembered(n: u64, for_ever: bool) -> Remembered {
    Remembered {
        workspace: "default".into(),
        digest: [n as u8; 32],
        position: n,
        received_at: n as i64 * 60_000_000_000,
        for_ever,
    }
}

#[test]
fn what_is_sealed_opens_again_and_nothing_else_does() {
    let cipher = Cipher::new(&key(KEY), "n1").unwrap();
    let object = cipher.seal("a", b"frames").unwrap();
    assert_eq!(object.len() as u64, 6 + cipher::OVERHEAD);
    assert_eq!(cipher.open("a", &object).unwrap(), b"frames");
    assert_ne!(
        cipher.seal("a", b"frames").unwrap(),
        object,
        "another nonce"
    );
    let refused =
        |cipher: &Cipher, name: &str, object: &[u8]| cipher.open(name, object).unwrap_err();
    assert!(refused(&cipher, "b", &object).contains("another's place"));
    let elsewhere = Cipher::new(&key(KEY), "n2").unwrap();
    assert!(refused(&elsewhere, "a", &object).contains("another's place"));
    let other = Cipher::new(&key("08"), "n1").unwrap();
    assert!(refused(&other, "a", &object).contains("another key"));
    for at in 0..object.len() {
        let mut flipped = object.to_vec();
        flipped[at] ^= 1;
        refused(&cipher, "a", &flipped);
        refused(&cipher, "a", &object[..at]);
    }
    assert!(!format!("{:?}", key(KEY)).contains("07"));
    assert!(LogKey::from_hex("07").is_none());
}

#[test]
fn whoever_starts_later_shuts_the_earlier_out_also_after_the_log_was_cut() {
    let store = Arc::new(InMemory::new());
    let first = Arc::new(take_over(&store, &key(KEY), &dedupe()).unwrap());
    assert_eq!(first.epoch(), 1);
    let medium = BucketMedium(Arc::clone(&first));
    assert_eq!(medium.segments().unwrap().len(), 1);
    let second = Arc::new(take_over(&store, &key(KEY), &dedupe()).unwrap());
    assert_eq!(second.epoch(), 2);
    // The second cuts all there is; its claim stays, where the first would go on.
    let newer = BucketMedium(Arc::clone(&second));
    second.save_digests(&dedupe(), 2).unwrap();
    newer.remove(1).unwrap();
    newer.remove(2).unwrap();
    let mut group = medium.create(2).unwrap();
    group.write(b"frames").unwrap();
    let error = group.sync().unwrap_err().to_string();
    assert!(
        error.contains("node.id") && error.contains(&segment_name(2)),
        "{error}"
    );
    let third = take_over(&store, &key(KEY), &dedupe()).unwrap();
    assert_eq!(third.epoch(), 3);
}

#[test]
fn digests_are_remembered_within_bounds_and_no_longer_than_needed() {
    let store = Arc::new(InMemory::new());
    let known = dedupe();
    let bucket = take_over(&store, &key(KEY), &known).unwrap();
    for n in 1..=200 {
        known.restore(&remembered(n, n % 50 == 0));
        let entries = [remembered(n, n % 50 == 0)];
        bucket.remember(&known, n, &entries).unwrap();
    }
    assert!(bucket.list("digests").unwrap().len() <= 65);
    let again = dedupe();
    let bucket = take_over(&store, &key(KEY), &again).unwrap();
    assert!(bucket.epoch() > 200, "the log was cut up to there");
    let seen = |n: u64| again.seen("default", &[n as u8; 32]);
    // One an hour old is forgotten, one for ever is not; the clock is the newest's.
    assert!(seen(200) && seen(199) && seen(141) && !seen(140) && !seen(1));
    assert!(seen(50) && seen(100) && seen(150));
}
