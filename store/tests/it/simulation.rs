//! Random histories against a model: requests, charges, flushes, an object store that fails, crashes.
//!
//! In half of them the object store fails as told, where it hurts most; in the others any of its operations may,
//! in any way there is ([`Weather`]), also while the store starts, makes tables and writes checkpoints.
//!
//! `FLYBALL_SEEDS` sets how many histories are run; a failure names its seed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use flyball_store::rows::{ChargeRow, Entry, Row};
use flyball_store::{JournalUpdate, Origin, Store, Table};

use crate::dice::Dice;
use crate::faulty::{Fault, Faulty, open_on, try_open_on};
use crate::fixture::*;
use crate::weather::{Ill, Operation, Weather};

/// In bad weather something befalls one operation in so many.
const ONE_IN: u64 = 7;

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

/// Opens the store in this weather. An attempt may fail; once the weather is fair it must not.
async fn reopen(dir: &Path, faulty: &Arc<Faulty>, one_in: u64) -> Arc<Store> {
    faulty.weather.set(one_in);
    for _ in 0..8 {
        if let Ok(store) = try_open_on(dir, faulty).await {
            faulty.weather.set(0);
            return store;
        }
    }
    faulty.weather.set(0);
    open_on(dir, faulty).await
}

/// Tables of these histories get a checkpoint every few commits.
async fn checkpoint_often(store: &Store) {
    for table in [Table::Spans, Table::Charges] {
        let Some(delta) = store.snapshot("default").tables[&table].delta.clone() else {
            continue;
        };
        let properties = [("delta.checkpointInterval".to_owned(), "3".to_owned())].into();
        delta
            .set_tbl_properties()
            .with_properties(properties)
            .await
            .unwrap();
    }
}

/// One history; how often something befell each operation of the object store.
async fn history(seed: u64, one_in: u64) -> BTreeMap<Operation, usize> {
    let mut dice = Dice(seed);
    let dir = tempfile::tempdir().unwrap();
    let faulty = Faulty::in_weather(Weather::of(seed, 0));
    let mut store = reopen(dir.path(), &faulty, one_in).await;
    let mut model = Model::default();
    let mut maintained = 0;
    for step in 0..30 {
        let at = format!("seed {seed}, step {step}");
        match dice.roll(11) {
            0..4 => {
                let told: Vec<_> = (0..=dice.roll(3) as u32)
                    .map(|span| Told::new(model.next_trace, span))
                    .collect();
                store
                    .append(request(&told))
                    .await
                    .unwrap_or_else(|error| panic!("{at}: {error}"));
                model.open.insert(model.next_trace, false);
                let update = JournalUpdate::of(&[charge(model.next_trace)]).unwrap();
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
                let fault = fault[dice.roll(4) as usize].filter(|_| one_in == 0);
                let suffix = [".parquet", ".json"][dice.roll(2) as usize];
                if let Some(fault) = fault {
                    faulty.fail(fault, suffix, 1 + dice.roll(8) as usize);
                }
                faulty.weather.set(one_in);
                let flushed = store.flush().await;
                assert!(
                    flushed.is_ok() || fault.is_some() || one_in > 0,
                    "{at}: {flushed:?}"
                );
                faulty.heal();
                faulty.weather.set(0);
            }
            8 => {
                // Merges, rewrites and deletes, in parts of a few bytes, whatever the weather.
                faulty.weather.set(one_in);
                let kept = store.maintain().await;
                assert!(kept.is_ok() || one_in > 0, "{at}: {kept:?}");
                faulty.weather.set(0);
                if one_in > 0 {
                    // Few uploads have parts, so the dice would hardly ever find each of their steps.
                    let steps = [Operation::Multipart, Operation::Part, Operation::Complete];
                    let ills = [Ill::Before, Ill::After];
                    let (step, ill) = (seed as usize % 3, maintained % 2);
                    faulty.weather.strike(steps[step], ills[ill]);
                    maintained += 1;
                    let _ = store.maintain().await;
                }
            }
            _ => {
                drop(store);
                store = reopen(dir.path(), &faulty, one_in).await;
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
                        let update = JournalUpdate::of(&[charge(trace)]).unwrap();
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
        if step == 8 {
            checkpoint_often(&store).await;
        }
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
    faulty.weather.met()
}

fn seeds() -> Vec<u64> {
    let seeds = std::env::var("FLYBALL_SEEDS").ok();
    (1..=seeds.and_then(|seeds| seeds.parse().ok()).unwrap_or(12)).collect()
}

#[tokio::test]
async fn random_histories_agree_with_the_model() {
    for some in seeds().chunks(6) {
        futures::future::join_all(some.iter().map(|seed| history(*seed, 0))).await;
    }
}

#[tokio::test]
async fn random_histories_in_bad_weather_agree_with_the_model() {
    let mut met = BTreeMap::<_, usize>::new();
    // These take longer: half as many.
    for some in seeds().chunks(6).step_by(2) {
        let histories = some.iter().map(|seed| history(*seed, ONE_IN));
        for (operation, times) in futures::future::join_all(histories)
            .await
            .into_iter()
            .flatten()
        {
            *met.entry(operation).or_default() += times;
        }
    }
    println!("befallen: {met:?}");
    // All that the store ever asks for: nobody here asks for copies or renames.
    use Operation::{
        Complete, Create, Delete, Folders, Get, Head, List, Multipart, Part, Put, Ranges,
    };
    for operation in [
        Create, Put, Get, Head, Ranges, List, Folders, Delete, Multipart, Part, Complete,
    ] {
        assert!(
            met.contains_key(&operation),
            "nothing befell {operation:?}: {met:?}"
        );
    }
}
