#![allow(clippy::unwrap_used)]

use std::sync::atomic::{AtomicI64, Ordering};

use flyball_store::{Config, KeyOrder, make_secret};

use super::*;

const NOON: i64 = 1_795_348_800_000_000_000;
const SECOND: i64 = 1_000_000_000;

struct Keys {
    _dir: tempfile::TempDir,
    keys: Arc<ApiKeys>,
}

impl Keys {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let keys = Arc::new(ApiKeys::open(&Config::local(dir.path())).unwrap());
        Self { _dir: dir, keys }
    }

    fn add(&self, name: &str, role: Role, more: impl FnOnce(&mut KeyOrder)) -> String {
        let mut order = KeyOrder {
            name: name.to_owned(),
            role,
            workspace: "default".to_owned(),
            tenants: Vec::new(),
            lasts_s: None,
            requests_per_s: None,
            bytes_per_s: None,
        };
        more(&mut order);
        let now = DateTime::from_timestamp_nanos(NOON);
        self.keys.add(order, "test", now).unwrap().1
    }

    fn door(&self) -> Door {
        Door::with_keys(Arc::clone(&self.keys)).with_clock(|| NOON)
    }
}

fn with(secret: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("x-api-key", secret.parse().unwrap());
    headers
}

fn outcomes(door: &Door) -> Vec<(String, &'static str, u64)> {
    let each = door.counts().into_iter();
    each.map(|count| (count.key, count.outcome.as_str(), count.requests))
        .collect()
}

#[test]
fn without_keys_everybody_is_let_in_and_with_the_first_nobody_else() {
    let keys = Keys::new();
    let door = keys.door();
    assert_eq!(
        door.admit(&HeaderMap::new(), SENDERS).unwrap(),
        Caller::Anyone
    );
    assert_eq!(door.admit(&with("whatever"), &[]).unwrap(), Caller::Anyone);
    assert!(!door.is_locked() && door.counts().is_empty());
    let secret = keys.add("agents", Role::Ingest, |_| {});
    assert!(door.is_locked());
    let refused = door.admit(&HeaderMap::new(), SENDERS).unwrap_err();
    assert!(
        matches!(refused, Error::Unauthenticated { .. }),
        "{refused}"
    );
    let caller = door.admit(&with(&secret), SENDERS).unwrap();
    assert_eq!(caller.key().unwrap().name, "agents");
    // Also when it is the only one, and revoked.
    keys.keys
        .revoke(&caller.key().unwrap().id, "test", Utc::now())
        .unwrap();
    assert!(door.admit(&HeaderMap::new(), SENDERS).is_err());
    assert!(door.admit(&with(&secret), SENDERS).is_err());
}

#[test]
fn each_role_gets_what_is_its_own_and_no_role_what_is_nobodys() {
    let keys = Keys::new();
    let door = keys.door();
    for role in Role::ALL {
        let secret = keys.add(role.as_str(), role, |_| {});
        for accepted in Role::ALL {
            let verdict = door.admit(&with(&secret), &[accepted]);
            assert_eq!(verdict.is_ok(), role == accepted, "{role} for {accepted}");
        }
        let refused = door.admit(&with(&secret), &[]).unwrap_err().to_string();
        assert!(refused.contains("no role may"), "{refused}");
    }
    let reader = keys.add("grafana", Role::Read, |_| {});
    let refused = door.admit(&with(&reader), SENDERS).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "role \"read\" of API key grafana: expected ingest or admin"
    );
}

#[test]
fn a_key_of_another_workspace_is_refused_by_name() {
    let keys = Keys::new();
    let secret = keys.add("b", Role::Admin, |order| order.workspace = "b".to_owned());
    let refused = keys.door().admit(&with(&secret), SENDERS).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "workspace \"b\" of API key b is not served: only \"default\" is"
    );
}

#[test]
fn an_expired_key_opens_until_its_last_nanosecond() {
    static NOW: AtomicI64 = AtomicI64::new(NOON);
    let keys = Keys::new();
    let secret = keys.add("brief", Role::Ingest, |order| order.lasts_s = Some(60));
    let door = keys.door().with_clock(|| NOW.load(Ordering::SeqCst));
    NOW.store(NOON + 60 * SECOND - 1, Ordering::SeqCst);
    assert!(door.admit(&with(&secret), SENDERS).is_ok());
    NOW.store(NOON + 60 * SECOND, Ordering::SeqCst);
    let refused = door.admit(&with(&secret), SENDERS).unwrap_err().to_string();
    assert!(
        refused.contains("(brief) expired at 2026-11-22T12:01:00Z"),
        "{refused}"
    );
    let told = [
        ("brief".to_owned(), "admitted", 1),
        ("brief".to_owned(), "expired", 1),
    ];
    assert_eq!(outcomes(&door), told);
}

#[test]
fn requests_and_bytes_are_limited_exactly_and_each_key_by_itself() {
    static NOW: AtomicI64 = AtomicI64::new(NOON);
    let keys = Keys::new();
    let limited = keys.add("limited", Role::Ingest, |order| {
        order.requests_per_s = Some(4);
        order.bytes_per_s = Some(1_000);
    });
    let free = keys.add("free", Role::Ingest, |_| {});
    let door = keys.door().with_clock(|| NOW.load(Ordering::SeqCst));
    for _ in 0..4 {
        door.admit(&with(&limited), SENDERS).unwrap();
    }
    let refused = door.admit(&with(&limited), SENDERS).unwrap_err();
    assert_eq!(refused.retry_after(), Some(Duration::from_millis(250)));
    assert_eq!(
        refused.to_string(),
        "API key limited is over its requests_per_s = 4: try again in 250 ms"
    );
    for _ in 0..100 {
        let caller = door.admit(&with(&free), SENDERS).unwrap();
        door.charge(&caller, u64::MAX);
    }
    NOW.store(NOON + 249_999_999, Ordering::SeqCst);
    assert!(door.admit(&with(&limited), SENDERS).is_err());
    NOW.store(NOON + 250_000_000, Ordering::SeqCst);
    let caller = door.admit(&with(&limited), SENDERS).unwrap();
    // 3,000 bytes where 1,000 were left: two seconds and a byte until there is one again.
    door.charge(&caller, 3_000);
    NOW.store(NOON + 1_250_000_000, Ordering::SeqCst);
    let refused = door.admit(&with(&limited), SENDERS).unwrap_err();
    assert_eq!(refused.retry_after(), Some(Duration::from_millis(1_001)));
    assert!(
        refused.to_string().contains("bytes_per_s = 1000"),
        "{refused}"
    );
    NOW.store(NOON + 2_251_000_000, Ordering::SeqCst);
    // What was refused for its bytes has cost no request: four are there, of which one goes.
    for _ in 0..4 {
        door.admit(&with(&limited), SENDERS).unwrap();
    }
    assert!(door.admit(&with(&limited), SENDERS).is_err());
}

#[test]
fn who_reads_the_data_directory_is_let_in_whatever_keys_there_are() {
    let keys = Keys::new();
    let local = make_secret().unwrap();
    let door = keys.door().with_local(&local);
    assert_eq!(
        door.admit(&with(&local), &[Role::Admin]).unwrap(),
        Caller::Local
    );
    keys.add("a", Role::Read, |_| {});
    assert_eq!(
        door.admit(&with(&local), &[Role::Admin]).unwrap(),
        Caller::Local
    );
    // What is nobody's is not theirs either.
    assert!(door.admit(&with(&local), &[]).is_err());
    assert!(
        door.admit(&with(&make_secret().unwrap()), &[Role::Admin])
            .is_err()
    );
    assert!(keys.door().admit(&with(&local), &[Role::Admin]).is_err());
}

#[test]
fn a_flood_of_names_is_counted_and_not_listed_and_no_secret_is_repeated() {
    let keys = Keys::new();
    let door = keys.door();
    for at in 0..NAMES_MAX + 20 {
        let secret = keys.add(&format!("n{at:04}"), Role::Ingest, |_| {});
        door.admit(&with(&secret), SENDERS).unwrap();
    }
    let unknown = make_secret().unwrap();
    for _ in 0..3 {
        let refused = door
            .admit(&with(&unknown), SENDERS)
            .unwrap_err()
            .to_string();
        assert!(!refused.contains(&unknown[4..]));
    }
    let counted = outcomes(&door);
    assert!(counted.len() <= NAMES_MAX + 2, "{}", counted.len());
    assert!(counted.contains(&("(other)".to_owned(), "admitted", 20)));
    assert!(counted.contains(&(String::new(), "unknown", 3)));
    assert_eq!(counted.iter().map(|(_, _, n)| n).sum::<u64>(), 123);
}
