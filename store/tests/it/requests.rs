//! What one request sees: positions, duplicates, refusals.

use flyball_store::rows::{AlertRow, AuditRow, Micros, Row};
use flyball_store::{Config, Durability, Error, Event, Origin, OwnEvent, Store, Table};

use crate::fixture::*;
use std::sync::Arc;

#[tokio::test]
async fn positions_go_on_after_every_restart_also_when_the_log_is_cut() {
    let dir = tempfile::tempdir().unwrap();
    let mut expected = 1;
    for round in 0..4u32 {
        let store = open(dir.path()).await;
        for n in 0..3 {
            let appended = store.append(request(&[Told::new(round, n)])).await.unwrap();
            assert_eq!((appended.position, appended.duplicate), (expected, false));
            expected += 1;
        }
        if round % 2 == 0 {
            store.close().await.unwrap();
            assert_eq!(
                segments(dir.path()),
                [(format!("{expected:020}.log"), 0)],
                "cut, the name keeps the position"
            );
        }
    }
    let store = open(dir.path()).await;
    assert_eq!(rows(&store, Table::Spans), 12);
    let stats = store.stats();
    assert_eq!((stats.log_next, stats.log_visible), (13, 12));
}

#[tokio::test]
async fn a_second_store_on_the_directory_is_refused_until_the_first_is_closed() {
    let dir = tempfile::tempdir().unwrap();
    let first = open(dir.path()).await;
    let error = Store::open(config(dir.path()), Arc::new(Json))
        .await
        .unwrap_err();
    assert!(
        matches!(&error, Error::Locked { holder, .. } if holder.contains(&std::process::id().to_string())),
        "{error}"
    );
    first.close().await.unwrap();
    assert!(matches!(
        first.append(request(&[Told::new(1, 1)])).await,
        Err(Error::Closed)
    ));
    open(dir.path()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_equal_requests_at_once_one_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    for round in 0..20 {
        let tries = (0..16).map(|_| {
            let store = Arc::clone(&store);
            tokio::spawn(
                async move { store.append(request(&[Told::new(round, 1)])).await.unwrap() },
            )
        });
        let outcomes: Vec<_> = futures::future::join_all(tries)
            .await
            .into_iter()
            .map(Result::unwrap)
            .collect();
        assert_eq!(
            outcomes
                .iter()
                .filter(|appended| !appended.duplicate)
                .count(),
            1
        );
        assert!(
            outcomes
                .iter()
                .all(|appended| appended.position == outcomes[0].position)
        );
    }
    assert_eq!(rows(&store, Table::Spans), 20);
}

#[tokio::test]
async fn a_retry_is_recognised_for_an_hour_and_an_import_for_ever_also_after_the_log_is_cut() {
    let dir = tempfile::tempdir().unwrap();
    let (live, import) = ([Told::new(1, 1)], [Told::new(2, 2)]);
    let store = open(dir.path()).await;
    store
        .append(request_at(&live, Origin::Live, 0))
        .await
        .unwrap();
    store
        .append(request_at(&import, Origin::Import, 0))
        .await
        .unwrap();
    store.flush().await.unwrap();
    assert_eq!(store.stats().log_bytes, 0);
    drop(store);
    let store = open(dir.path()).await;
    let again = |told, origin, second| {
        let store = Arc::clone(&store);
        async move {
            store
                .append(request_at(told, origin, second))
                .await
                .unwrap()
        }
    };
    assert!(again(&live, Origin::Live, 3_599).await.duplicate);
    assert!(again(&import, Origin::Import, 1_000_000).await.duplicate);
    assert!(again(&import, Origin::Live, 1_000_000).await.duplicate);
    assert!(store.seen("default", &request(&import).header.digest));
    assert!(!store.seen("other", &request(&import).header.digest));
    assert!(
        !again(&live, Origin::Live, 3_600).await.duplicate,
        "an hour later it is a new request"
    );
}

#[tokio::test]
async fn a_full_buffer_refuses_before_anything_is_written_and_takes_more_after_a_flush() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config {
        buffer_bytes_max: 300_000,
        ..config(dir.path())
    };
    let store = Store::open(config, Arc::new(Json)).await.unwrap();
    let mut told = 0;
    let full = loop {
        told += 1;
        match store.append(request(&[Told::new(told, 1)])).await {
            Ok(_) => assert!(told < 1_000),
            Err(error) => break error,
        }
    };
    let Error::Full {
        what: "buffer",
        used,
        limit: 300_000,
        retry_after_ms,
    } = full
    else {
        panic!("{full}")
    };
    assert!(used <= 300_000 && retry_after_ms > 0);
    // What is on its way counts as what is there.
    store.has_room(0).unwrap();
    let crowded = store.has_room(300_000 - used).unwrap_err();
    assert!(
        matches!(
            crowded,
            Error::Full {
                what: "buffer",
                used: 300_000,
                ..
            }
        ),
        "{crowded}"
    );
    // Whatever requests fill the buffer with, what the loop decides is kept.
    let event = flyball_store::OwnEvent::Alert(flyball_store::rows::AlertRow::default());
    store.record("default", event).await.unwrap();
    assert_eq!(store.stats().appended, u64::from(told));
    // The refusal itself rings for a flush.
    let accepted = async {
        while store.append(request(&[Told::new(told, 1)])).await.is_err() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), accepted)
        .await
        .unwrap();
    assert_eq!(rows(&store, Table::Spans), told as usize);
}

#[tokio::test]
async fn what_does_not_fit_is_refused_with_the_column() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let mut odd = request(&[Told::new(1, 1)]);
    odd.batches[0].0 = Table::Audit;
    let error = store.append(odd).await.unwrap_err().to_string();
    assert!(error.contains("audit"), "{error}");
    let mut charges = request(&[Told::new(1, 1)]);
    charges.batches[0].0 = Table::Charges;
    assert!(matches!(
        store.append(charges).await,
        Err(Error::BatchRefused {
            table: Table::Charges,
            ..
        })
    ));
    let mut outside = request(&[Told::new(1, 1)]);
    outside.header.workspace = "../etc".into();
    assert!(matches!(
        store.append(outside).await,
        Err(Error::WorkspaceName { .. })
    ));
    assert_eq!(store.stats().log_visible, 0);
}

#[tokio::test]
async fn subscribers_hear_everything_in_log_order() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let mut events = store.subscribe();
    let appends = (1..=50).map(|n| store.append(request(&[Told::new(n, 1)])));
    futures::future::try_join_all(appends).await.unwrap();
    store
        .record(
            "default",
            OwnEvent::Audit(AuditRow {
                at: Micros(DAY_MICROS),
                ..AuditRow::default()
            }),
        )
        .await
        .unwrap();
    let mut heard = Vec::new();
    while let Ok(Event::Rows {
        position,
        table,
        batch,
        ..
    }) = events.try_recv()
    {
        let stamped = batch.column_by_name("log_position").unwrap();
        let stamped = arrow::array::AsArray::as_primitive::<arrow::datatypes::Int64Type>(stamped);
        assert!(stamped.values().iter().all(|at| *at == position as i64));
        heard.push((position, table));
    }
    let mut wanted: Vec<_> = (1..=50)
        .flat_map(|at| [(at, Table::Spans), (at, Table::Contents)])
        .collect();
    wanted.push((51, Table::Audit));
    assert_eq!(heard, wanted);
}

#[tokio::test]
async fn our_own_events_come_back_from_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let row = AlertRow {
        at: Micros(DAY_MICROS + 5),
        alert_id: "a".into(),
        value: Some(0.5),
        ..AlertRow::default()
    };
    let store = open(dir.path()).await;
    for _ in 0..2 {
        store
            .record("default", OwnEvent::Alert(row.clone()))
            .await
            .unwrap();
    }
    drop(store);
    let store = open(dir.path()).await;
    let snapshot = store.snapshot("default");
    let found: Vec<_> = snapshot.tables[&Table::Alerts]
        .buffered
        .iter()
        .flat_map(|batch| AlertRow::read(batch).unwrap())
        .collect();
    let wanted = |log_position| AlertRow {
        date: flyball_store::rows::Date(1),
        log_position,
        ..row.clone()
    };
    assert_eq!(found, [wanted(1), wanted(2)], "equal events are two events");
}

#[tokio::test]
async fn the_named_looser_promises_still_survive_our_own_death() {
    for durability in [Durability::GroupMs(5), Durability::Memory] {
        let dir = tempfile::tempdir().unwrap();
        let config = Config {
            durability,
            ..config(dir.path())
        };
        let store = Store::open(config.clone(), Arc::new(Json)).await.unwrap();
        let before = store.stats().log_syncs;
        for n in 0..10 {
            store.append(request(&[Told::new(n, 1)])).await.unwrap();
        }
        if durability == Durability::Memory {
            assert_eq!(store.stats().log_syncs, before);
        } else {
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
            assert!(store.stats().log_syncs > before);
        }
        drop(store);
        let store = Store::open(config, Arc::new(Json)).await.unwrap();
        assert_eq!(rows(&store, Table::Spans), 10);
    }
}

#[cfg(unix)]
#[tokio::test]
async fn the_log_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    store.append(request(&[Told::new(1, 1)])).await.unwrap();
    let (name, _) = segments(dir.path()).remove(0);
    let mode = std::fs::metadata(dir.path().join("log").join(name))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
}
