//! The journal: visible at once, netted at the flush, resumed after a restart.

use flyball_store::rows::{ChargeRow, Date, Entry, Micros, Row, SpanRow};
use flyball_store::{Event, JournalUpdate, Origin, Resume, Store, Table};

use crate::fixture::*;

fn charge(trace: u32, id: &str, entry: Entry) -> ChargeRow {
    let sign = match entry {
        Entry::Charge => 1,
        Entry::Reversal => -1,
        Entry::Duplicate => 0,
    };
    ChargeRow {
        date: Date::of_micros(START_MICROS),
        start_time: Micros(START_MICROS),
        charge_id: id.into(),
        entry: entry.as_str().into(),
        kind: "model_call".into(),
        trace_id: Told::new(trace, 1).trace_id(),
        calls: sign,
        cost_usd: Some(rust_decimal::Decimal::new(sign * 1_234_567, 12)),
        ..ChargeRow::default()
    }
}

fn post(store: &Store, post: Vec<ChargeRow>, settled: &[u32], resolved_to: u64) {
    let settled = settled
        .iter()
        .map(|trace| Told::new(*trace, 1).trace_id())
        .collect();
    store
        .journal(
            "default",
            Origin::Live,
            JournalUpdate {
                settled,
                resolved_to,
                ..JournalUpdate::of(&post).unwrap()
            },
        )
        .unwrap();
}

fn charges(resume: &Resume) -> Vec<(String, String)> {
    let rows = resume
        .charges
        .iter()
        .flat_map(|batch| ChargeRow::read(batch).unwrap());
    let mut found: Vec<_> = rows.map(|row| (row.charge_id, row.entry)).collect();
    found.sort();
    found
}

fn named(id: &str, entry: Entry) -> (String, String) {
    (id.to_owned(), entry.as_str().to_owned())
}

#[tokio::test]
async fn only_settled_charges_are_flushed_and_pairs_never_reach_disk() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let mut events = store.subscribe();
    post(
        &store,
        vec![charge(1, "a", Entry::Charge), charge(2, "b", Entry::Charge)],
        &[],
        0,
    );
    post(
        &store,
        vec![
            charge(1, "a", Entry::Reversal),
            charge(1, "a2", Entry::Charge),
        ],
        &[1],
        5,
    );
    assert_eq!(rows(&store, Table::Charges), 4);
    assert!(matches!(events.try_recv(), Ok(Event::Charges { batch, .. }) if batch.num_rows() == 2));
    store.flush().await.unwrap();
    let snapshot = store.snapshot("default");
    assert_eq!(
        (
            rows_on_disk(&snapshot, Table::Charges),
            rows_buffered(&snapshot, Table::Charges)
        ),
        (1, 1)
    );
    let both = store
        .traces(
            "default",
            &[Told::new(1, 1).trace_id(), Told::new(2, 1).trace_id()],
        )
        .await
        .unwrap();
    assert_eq!(
        charges(&both),
        [named("a2", Entry::Charge), named("b", Entry::Charge)]
    );
    let one = store
        .traces("default", &[Told::new(1, 1).trace_id()])
        .await
        .unwrap();
    assert_eq!(charges(&one), [named("a2", Entry::Charge)]);
    assert_eq!(
        ChargeRow::read(&one.charges[0]).unwrap(),
        [charge(1, "a2", Entry::Charge)]
    );
}

#[tokio::test]
async fn a_restart_resumes_the_traces_that_were_open() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    // Positions 1 to 4: traces 1 and 2, then more of 1 and a third.
    for told in [
        Told::new(1, 1),
        Told::new(2, 1),
        Told::new(1, 2),
        Told::new(3, 1),
    ] {
        store.append(request(&[told])).await.unwrap();
    }
    post(
        &store,
        vec![charge(1, "a", Entry::Charge), charge(2, "b", Entry::Charge)],
        &[1, 2],
        2,
    );
    store.flush().await.unwrap();
    drop(store);
    let store = open(dir.path()).await;
    let resume = store.resume("default").await.unwrap();
    assert_eq!(resume.resolved_to, 2);
    let mut found: Vec<_> = spans(&store).await.into_keys().collect();
    found.sort();
    let wanted = [(1, 1), (1, 2), (3, 1)]
        .map(|(trace, span)| (format!("{trace:032x}"), format!("{span:016x}")));
    assert_eq!(
        found, wanted,
        "all of trace 1, since it went on; trace 2 had settled"
    );
    assert_eq!(charges(&resume), [named("a", Entry::Charge)]);
}

#[tokio::test]
async fn equal_resolved_positions_do_not_hide_a_flush() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    post(&store, vec![charge(1, "a", Entry::Charge)], &[1], 7);
    store.flush().await.unwrap();
    post(&store, vec![charge(1, "a", Entry::Reversal)], &[1], 7);
    store.flush().await.unwrap();
    let snapshot = store.snapshot("default");
    assert_eq!(
        (
            rows_on_disk(&snapshot, Table::Charges),
            rows_buffered(&snapshot, Table::Charges)
        ),
        (2, 0)
    );
}

#[tokio::test]
async fn an_amount_that_does_not_fit_and_rows_of_another_table_enter_nothing() {
    let odd = ChargeRow {
        cost_usd: Some(rust_decimal::Decimal::from(10_000_000)),
        ..charge(1, "a", Entry::Charge)
    };
    assert!(JournalUpdate::of(&[charge(1, "b", Entry::Charge), odd]).is_err());
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let mut update = JournalUpdate::of(&[charge(1, "b", Entry::Charge)]).unwrap();
    let spans = SpanRow::batch(&[SpanRow::default()]).unwrap();
    update.post.push(spans);
    assert!(store.journal("default", Origin::Live, update).is_err());
    assert_eq!(rows(&store, Table::Charges), 0);
}
