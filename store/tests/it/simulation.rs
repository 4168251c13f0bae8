//! Random histories against a model: requests, charges, flushes, an object store that fails, crashes.
//!
//! `FLYBALL_SEEDS` sets how many histories are run; a failure names its seed.

use std::collections::{BTreeMap, BTreeSet};

use flyball_store::rows::{ChargeRow, Entry, Row};
use flyball_store::{JournalUpdate, Origin, Store, Table};

use crate::faults::{Fault, Faulty, open_on};
use crate::fixture::*;

/// A small generator: the same seed, the same history.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

fn charge(trace: u32) -> ChargeRow {
    ChargeRow {
        charge_id: format!("charge-{trace}"),
        entry: Entry::Charge.as_str().into(),
        trace_id: Told::new(trace, 1).trace_id(),
        calls: 1,
        ..ChargeRow::default()
    }
}

/// What the store must hold.
#[derive(Default)]
struct Model {
    next_trace: u32,
    spans: usize,
    /// Charges in memory, and whether their trace has settled.
    open: BTreeMap<u32, bool>,
    /// Charges that a successful flush wrote.
    flushed: BTreeSet<u32>,
}

async fn charges(store: &Store) -> Vec<String> {
    let traces: Vec<_> = (0..1_000)
        .map(|trace| Told::new(trace, 1).trace_id())
        .collect();
    let found = store.traces("default", &traces).await.unwrap();
    let mut ids: Vec<_> = found
        .charges
        .iter()
        .flat_map(|batch| ChargeRow::read(batch).unwrap())
        .map(|row| row.charge_id)
        .collect();
    ids.sort();
    ids
}

async fn history(seed: u64) {
    let mut dice = Dice(seed);
    let dir = tempfile::tempdir().unwrap();
    let faulty = Faulty::new();
    let mut store = open_on(dir.path(), &faulty).await;
    let mut model = Model::default();
    for step in 0..30 {
        let at = format!("seed {seed}, step {step}");
        match dice.roll(10) {
            0..4 => {
                let told: Vec<_> = (0..=dice.roll(3) as u32)
                    .map(|span| Told::new(model.next_trace, span))
                    .collect();
                store
                    .append(request(&told))
                    .await
                    .unwrap_or_else(|error| panic!("{at}: {error}"));
                model.open.insert(model.next_trace, false);
                let update = JournalUpdate {
                    post: vec![charge(model.next_trace)],
                    ..JournalUpdate::default()
                };
                store.journal("default", Origin::Live, update).unwrap();
                model.next_trace += 1;
                model.spans += told.len();
            }
            4..6 => {
                let settled: Vec<_> = model
                    .open
                    .keys()
                    .copied()
                    .filter(|_| dice.roll(2) == 0)
                    .collect();
                let names = settled
                    .iter()
                    .map(|trace| Told::new(*trace, 1).trace_id())
                    .collect();
                let update = JournalUpdate {
                    settled: names,
                    ..JournalUpdate::default()
                };
                store.journal("default", Origin::Live, update).unwrap();
                model
                    .open
                    .extend(settled.into_iter().map(|trace| (trace, true)));
            }
            6..8 => {
                let fault = [
                    None,
                    Some(Fault::Before),
                    Some(Fault::After),
                    Some(Fault::AfterThenDown),
                ];
                let fault = fault[dice.roll(4) as usize];
                let suffix = [".parquet", ".json"][dice.roll(2) as usize];
                if let Some(fault) = fault {
                    faulty.fail(fault, suffix, 1 + dice.roll(8) as usize);
                }
                let flushed = store.flush().await;
                assert!(flushed.is_ok() || fault.is_some(), "{at}: {flushed:?}");
                faulty.heal();
            }
            _ => {
                drop(store);
                store = open_on(dir.path(), &faulty).await;
                // What was on disk is the truth about charges; the resolver enters the others anew.
                let on_disk: BTreeSet<_> = charges(&store).await.into_iter().collect();
                assert!(
                    model
                        .flushed
                        .iter()
                        .all(|trace| on_disk.contains(&format!("charge-{trace}"))),
                    "{at}"
                );
                for trace in model.open.keys().copied().collect::<Vec<_>>() {
                    if on_disk.contains(&format!("charge-{trace}")) {
                        assert_eq!(
                            model.open.remove(&trace),
                            Some(true),
                            "{at}: trace {trace} was still open"
                        );
                        model.flushed.insert(trace);
                    } else {
                        let update = JournalUpdate {
                            post: vec![charge(trace)],
                            ..JournalUpdate::default()
                        };
                        store.journal("default", Origin::Live, update).unwrap();
                        model.open.insert(trace, false);
                    }
                }
            }
        }
        let mut wanted: Vec<_> = (0..model.next_trace)
            .map(|trace| format!("charge-{trace}"))
            .collect();
        wanted.sort();
        assert_eq!(
            rows(&store, Table::Charges),
            wanted.len(),
            "{at}: charges by count"
        );
        assert_eq!(
            rows(&store, Table::Spans),
            model.spans,
            "{at}: spans by count"
        );
        assert_eq!(
            rows(&store, Table::Contents),
            model.spans,
            "{at}: contents by count"
        );
        if step % 5 == 4 {
            assert_eq!(charges(&store).await, wanted, "{at}: charges by name");
            assert_eq!(
                spans(&store).await.len(),
                model.spans,
                "{at}: spans by name"
            );
        }
    }
    store.flush().await.unwrap();
    let snapshot = store.snapshot("default");
    assert_eq!(
        rows_on_disk(&snapshot, Table::Spans),
        model.spans,
        "seed {seed}"
    );
    assert_eq!(store.stats().log_bytes, 0, "seed {seed}");
}

#[tokio::test]
async fn random_histories_agree_with_the_model() {
    let seeds = std::env::var("FLYBALL_SEEDS")
        .ok()
        .and_then(|seeds| seeds.parse().ok())
        .unwrap_or(12);
    let seeds: Vec<u64> = (1..=seeds).collect();
    for some in seeds.chunks(6) {
        futures::future::join_all(some.iter().map(|seed| history(*seed))).await;
    }
}
