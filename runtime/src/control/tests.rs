//! What control promises: severity, release, durability, the outbox, and its REST face.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::*;

/// A ledger that fails as often as it is told to, then keeps.
#[derive(Debug, Default)]
struct Book {
    kept: Mutex<Vec<ControlEvent>>,
    failures: AtomicUsize,
}

#[async_trait::async_trait]
impl Ledger for Book {
    async fn record(&self, event: &ControlEvent) -> Result<(), String> {
        if self
            .failures
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1))
            .is_ok()
        {
            return Err("not now".into());
        }
        self.kept.lock().unwrap().push(event.clone());
        Ok(())
    }
}

impl Book {
    async fn wait(&self, count: usize) -> Vec<String> {
        for _ in 0..400 {
            if self.kept.lock().unwrap().len() >= count {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.said()
    }

    fn said(&self) -> Vec<String> {
        let name = |event: &ControlEvent| match event {
            ControlEvent::Decided(d) => format!("decided {} {}", d.action_id, d.state.name()),
            ControlEvent::Obeyed(o) => format!("obeyed {} {}", o.action_id, o.by),
            ControlEvent::Released(d) => format!("released {} {}", d.action_id, d.state.name()),
        };
        self.kept.lock().unwrap().iter().map(name).collect()
    }
}

fn order(scope: Scope, state: State, actor: &str, id: &str) -> Order {
    Order {
        scope,
        state,
        actor: actor.into(),
        reason: "because".into(),
        rule: None,
        mode: Mode::Enforce,
        cause: None,
        evidence: None,
        action_id: Some(id.into()),
    }
}

fn agent(name: &str) -> Scope {
    Scope::Agent(name.into())
}

fn throttled(calls_per_minute: u32) -> State {
    State::Throttled { calls_per_minute }
}

fn who(name: &str) -> Subject<'_> {
    Subject {
        workspace: "default",
        agent: name,
        ..Subject::default()
    }
}

async fn open(folder: &tempfile::TempDir, book: &Arc<Book>) -> Arc<Control> {
    let ledger: Arc<dyn Ledger> = Arc::<Book>::clone(book);
    Control::open(&folder.path().join("control.sqlite"), ledger)
        .await
        .unwrap()
}

#[test]
fn severity_is_by_kind_then_by_what_is_left() {
    let degraded = |tier: Option<&str>, read_only, plan_depth| State::Degraded {
        tier: tier.map(Into::into),
        read_only,
        plan_depth,
    };
    let ladder = [
        State::Running,
        throttled(u32::MAX),
        throttled(60),
        throttled(1),
        degraded(Some("economy"), false, None),
        degraded(None, false, Some(8)),
        degraded(None, false, Some(2)),
        degraded(Some("economy"), false, Some(2)),
        degraded(None, true, None),
        degraded(Some("economy"), true, Some(1)),
        State::Frozen,
    ];
    for pair in ladder.windows(2) {
        assert!(pair[0].severity() < pair[1].severity(), "{pair:?}");
    }
}

#[test]
fn every_scope_matches_its_own_and_nothing_else() {
    let subject = Subject {
        workspace: "w",
        tenant: Some("t"),
        agent: "a",
        tool: Some("x"),
        execution: Some("e"),
    };
    let scopes = [
        Scope::Global,
        Scope::Workspace("w".into()),
        Scope::Tenant("t".into()),
        agent("a"),
        Scope::Tool("x".into()),
        Scope::Execution("e".into()),
    ];
    let view = |scope: &Scope| View {
        epoch: 1,
        entries: vec![InForce {
            action_id: "1".into(),
            scope: scope.clone(),
            state: State::Frozen,
            actor: "me".into(),
            reason: "r".into(),
            decided_at_unix_nano: 1,
        }],
        ..View::default()
    };
    let other = Subject {
        workspace: "W",
        tenant: None,
        agent: "A",
        tool: None,
        execution: None,
    };
    for scope in &scopes {
        assert!(view(scope).verdict(&subject).is_some(), "{scope:?}");
        assert_eq!(
            view(scope).verdict(&other).is_some(),
            *scope == Scope::Global,
            "{scope:?}"
        );
    }
}

#[tokio::test]
async fn the_most_severe_scope_holds_and_release_names_the_scope() {
    let (folder, book) = (tempfile::tempdir().unwrap(), Arc::default());
    let control = open(&folder, &book).await;
    control
        .order(order(agent("a"), throttled(6), "ann", "1"))
        .await
        .unwrap();
    control
        .order(order(Scope::Global, State::Frozen, "bob", "2"))
        .await
        .unwrap();
    assert_eq!(control.view().verdict(&who("a")).unwrap().action_id, "2");
    assert_eq!(control.view().verdict(&who("b")).unwrap().action_id, "2");
    // releasing the agent leaves the global freeze in force
    let released = control
        .order(order(agent("a"), State::Running, "ann", "3"))
        .await
        .unwrap();
    assert_eq!(
        (released.action_id.as_str(), released.previous),
        ("1", throttled(6))
    );
    assert_eq!(control.view().verdict(&who("a")).unwrap().action_id, "2");
    control
        .order(order(Scope::Global, State::Running, "bob", "4"))
        .await
        .unwrap();
    assert!(control.view().verdict(&who("a")).is_none());
    assert_eq!(control.view().epoch, 4);
    assert_eq!(
        book.wait(4).await,
        [
            "decided 1 throttled",
            "decided 2 frozen",
            "released 1 running",
            "released 2 running"
        ]
    );
}

#[tokio::test]
async fn a_rule_moves_only_its_own_word_and_a_person_moves_all() {
    let (folder, book) = (tempfile::tempdir().unwrap(), Arc::default());
    let control = open(&folder, &book).await;
    control
        .order(order(agent("a"), State::Frozen, "ann", "1"))
        .await
        .unwrap();
    control
        .order(order(agent("a"), throttled(5), "rule:spend", "2"))
        .await
        .unwrap();
    control
        .order(order(agent("a"), State::Running, "rule:spend", "3"))
        .await
        .unwrap();
    assert_eq!(
        control.view().verdict(&who("a")).unwrap().state,
        State::Frozen
    );
    control
        .order(order(agent("a"), State::Frozen, "rule:spend", "4"))
        .await
        .unwrap();
    control
        .order(order(agent("a"), throttled(9), "ann", "5"))
        .await
        .unwrap();
    assert_eq!(control.view().state_of(&agent("a")), &throttled(9));
    assert_eq!(control.view().entries.len(), 1);
}

#[tokio::test]
async fn shadow_and_repeated_orders_change_nothing() {
    let (folder, book) = (tempfile::tempdir().unwrap(), Arc::default());
    let control = open(&folder, &book).await;
    let shadow = Order {
        mode: Mode::Shadow,
        ..order(agent("a"), State::Frozen, "rule:r", "1")
    };
    assert_eq!(control.order(shadow).await.unwrap().epoch, 0);
    assert!(control.view().entries.is_empty());
    let first = control
        .order(order(agent("a"), State::Frozen, "rule:r", "2"))
        .await
        .unwrap();
    let again = control
        .order(order(agent("b"), State::Frozen, "rule:r", "2"))
        .await
        .unwrap();
    assert_eq!(
        (again.scope, again.decided_at_unix_nano),
        (first.scope, first.decided_at_unix_nano)
    );
    assert_eq!(control.view().epoch, 1);
    // the id of a freeze may be given again to release it, once
    control
        .order(order(agent("a"), State::Running, "rule:r", "2"))
        .await
        .unwrap();
    control
        .order(order(agent("a"), State::Running, "rule:r", "2"))
        .await
        .unwrap();
    let nothing = control
        .order(order(agent("z"), State::Running, "ann", "9"))
        .await
        .unwrap();
    assert_eq!((nothing.previous, nothing.epoch), (State::Running, 2));
    assert_eq!(
        book.wait(3).await,
        ["decided 1 frozen", "decided 2 frozen", "released 2 running"]
    );
}

#[tokio::test]
async fn an_order_given_again_publishes_what_was_committed_and_not_told() {
    let (folder, book) = (tempfile::tempdir().unwrap(), Arc::default());
    let control = open(&folder, &book).await;
    let freeze = || order(agent("a"), State::Frozen, "ann", "1");
    // another handle on the file stands for a commit that landed and was reported as failed
    let other = open(&folder, &book).await;
    other.order(freeze()).await.unwrap();
    assert!(control.view().verdict(&who("a")).is_none());
    let watch = control.watch();
    control.order(freeze()).await.unwrap();
    assert_eq!(
        control.view().verdict(&who("a")).unwrap().state,
        State::Frozen
    );
    assert!(watch.has_changed().unwrap());
    // and wakes nobody when there is nothing to tell
    let watch = control.watch();
    control.order(freeze()).await.unwrap();
    assert!(!watch.has_changed().unwrap());
}

#[tokio::test]
async fn a_file_keeps_its_id_and_no_two_files_share_one() {
    let (folder, book) = (tempfile::tempdir().unwrap(), Arc::default());
    let first = open(&folder, &book).await.view().plane.clone();
    assert_eq!(first.len(), 32);
    assert_eq!(open(&folder, &book).await.view().plane, first);
    let other = tempfile::tempdir().unwrap();
    assert_ne!(open(&other, &book).await.view().plane, first);
}

#[tokio::test]
async fn the_first_word_of_obedience_counts() {
    let (folder, book) = (tempfile::tempdir().unwrap(), Arc::default());
    let control = open(&folder, &book).await;
    let said = |by: &str| Obeyed {
        action_id: "1".into(),
        by: by.into(),
        obeyed_at_unix_nano: 5,
    };
    assert!(matches!(
        control.obeyed(said("x")).await,
        Err(Error::UnknownAction { .. })
    ));
    control
        .order(order(agent("a"), State::Frozen, "ann", "1"))
        .await
        .unwrap();
    control.obeyed(said("x")).await.unwrap();
    control.obeyed(said("y")).await.unwrap();
    control
        .order(order(agent("q"), State::Frozen, "ann", "2"))
        .await
        .unwrap();
    assert_eq!(
        book.wait(3).await,
        ["decided 1 frozen", "obeyed 1 x", "decided 2 frozen"]
    );
}

#[tokio::test]
async fn state_and_outbox_survive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let deaf = Arc::new(Book {
        failures: AtomicUsize::new(usize::MAX),
        ..Book::default()
    });
    let control = open(&folder, &deaf).await;
    for n in 0..100 {
        control
            .order(order(
                agent(&format!("a{n}")),
                State::Frozen,
                "ann",
                &format!("{n}"),
            ))
            .await
            .unwrap();
    }
    let before = control.view();
    drop(control);
    assert!(deaf.said().is_empty());
    let book = Arc::new(Book {
        failures: AtomicUsize::new(2),
        ..Book::default()
    });
    let control = open(&folder, &book).await;
    assert_eq!(control.view(), before);
    let expected: Vec<String> = (0..100).map(|n| format!("decided {n} frozen")).collect();
    assert_eq!(book.wait(100).await, expected);
    // what was kept is not told again
    drop(control);
    tokio::time::sleep(Duration::from_millis(100)).await;
    let third = Arc::default();
    let control = open(&folder, &third).await;
    control
        .order(order(agent("new"), State::Frozen, "ann", "new"))
        .await
        .unwrap();
    assert_eq!(third.wait(1).await, ["decided new frozen"]);
}

#[tokio::test]
async fn an_order_without_a_target_names_the_field() {
    let (folder, book) = (tempfile::tempdir().unwrap(), Arc::default());
    let control = open(&folder, &book).await;
    for scope in [
        agent(""),
        Scope::Tool(" ".into()),
        Scope::Tenant(String::new()),
    ] {
        let name = scope.name();
        let error = control
            .order(order(scope, State::Frozen, "ann", "1"))
            .await
            .unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with(&format!("scope.target ({name}):")),
            "{error}"
        );
    }
    assert_eq!(control.view().epoch, 0);
}

#[tokio::test]
async fn epochs_grow_by_one_and_watchers_see_the_last() {
    let (folder, book) = (tempfile::tempdir().unwrap(), Arc::default());
    let control = open(&folder, &book).await;
    let mut watch = control.watch();
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..64 {
        let control = Arc::clone(&control);
        tasks.spawn(async move {
            control
                .order(order(
                    agent(&format!("a{n}")),
                    State::Frozen,
                    "ann",
                    &format!("{n}"),
                ))
                .await
                .unwrap()
                .epoch
        });
    }
    let mut epochs = tasks.join_all().await;
    epochs.sort_unstable();
    assert_eq!(epochs, (1..=64).collect::<Vec<u64>>());
    let last = watch.wait_for(|view| view.epoch == 64).await.unwrap();
    assert_eq!(last.entries.len(), 64);
}
