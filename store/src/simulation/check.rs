//! Whether the store holds what it must: everything acknowledged, once.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::array::RecordBatch;

use super::model::{Charged, Fate, Model, Told, charge};
use crate::log::LogPosition;
use crate::rows::{ActionRow, AlertRow, AuditRow, ChargeRow, ContentRow, Row, SpanRow};
use crate::snapshot::Snapshot;
use crate::store::Store;
use crate::table::Table;
use crate::tables::{self, Wanted};

/// The wanted rows of a table on disk, and all in the buffer.
async fn rows<R: Row>(snapshot: &Snapshot, table: Table, wanted: &Wanted) -> (Vec<R>, Vec<R>) {
    let found = &snapshot.tables[&table];
    let read = |batches: &[RecordBatch]| {
        batches
            .iter()
            .flat_map(|batch| R::read(batch).unwrap())
            .collect()
    };
    let on_disk = match &found.delta {
        Some(delta) => tables::read(delta, "default", table, wanted).await.unwrap(),
        None => Vec::new(),
    };
    (read(&on_disk), read(&found.buffered))
}

async fn all<R: Row>(snapshot: &Snapshot, table: Table) -> Vec<R> {
    let (mut on_disk, buffered) = rows(snapshot, table, &Wanted::Past(0)).await;
    on_disk.extend(buffered);
    on_disk
}

/// One row of a table whose rows are told by span.
struct Found {
    id: (String, String),
    telling: u64,
    position: LogPosition,
}

/// Looks at everything, and learns what became of what nobody answered.
pub(super) async fn check(model: &mut Model, store: &Store) {
    check_logged(model, store).await;
    charges(model, &store.snapshot("default")).await;
}

/// The same of the tables that are fed from the log.
pub(super) async fn check_logged(model: &mut Model, store: &Store) {
    let snapshot = store.snapshot("default");
    let spans = all::<SpanRow>(&snapshot, Table::Spans)
        .await
        .into_iter()
        .map(|row| Found {
            id: (row.trace_id, row.span_id),
            telling: row.name.parse().unwrap(),
            position: row.log_position as LogPosition,
        });
    let spans: Vec<_> = spans.collect();
    let contents = all::<ContentRow>(&snapshot, Table::Contents)
        .await
        .into_iter()
        .map(|row| Found {
            id: (row.trace_id, row.span_id),
            telling: row.input.unwrap().parse().unwrap(),
            position: row.log_position as LogPosition,
        });
    let contents: Vec<_> = contents.collect();
    learn(model, &spans);
    tellings(model, &spans, "span");
    tellings(model, &contents, "content");
    events(model, &snapshot).await;
}

/// A request without an answer is in if its own span 0 is.
fn learn(model: &mut Model, spans: &[Found]) {
    let found: HashMap<_, _> = spans
        .iter()
        .map(|row| (row.id.clone(), row.position))
        .collect();
    for (trace, request) in model.requests.iter_mut().enumerate() {
        let mark = Told {
            trace: trace as u64,
            span: 0,
            telling: 0,
        }
        .id();
        let there = found.get(&mark).copied();
        match request.fate {
            Fate::Kept(position) => assert_eq!(
                there,
                Some(position),
                "request {trace}, which was acknowledged"
            ),
            Fate::Missing => assert_eq!(there, None, "request {trace}, which was refused"),
            Fate::Unknown => request.fate = there.map_or(Fate::Missing, Fate::Kept),
        }
    }
}

/// Every telling at most once, the latest exactly once, and none of what is not in.
fn tellings(model: &Model, rows: &[Found], what: &str) {
    let mut found: HashMap<(&(String, String), u64), LogPosition> = HashMap::new();
    for row in rows {
        let before = found.insert((&row.id, row.telling), row.position);
        assert_eq!(
            before, None,
            "{what} {:?}, telling {}, stands twice",
            row.id, row.telling
        );
    }
    let kept: HashMap<u64, LogPosition> = model
        .requests
        .iter()
        .filter_map(|request| match request.fate {
            Fate::Kept(position) => Some(
                request
                    .told
                    .iter()
                    .map(move |told| (told.telling, position)),
            ),
            _ => None,
        })
        .flatten()
        .collect();
    for ((id, telling), position) in &found {
        assert_eq!(
            kept.get(telling),
            Some(position),
            "{what} {id:?}, telling {telling}, is nobody's"
        );
    }
    for (id, (position, telling)) in model.latest() {
        let there = found.get(&(&id, telling));
        assert_eq!(
            there,
            Some(&position),
            "{what} {id:?}: its latest telling {telling} is lost"
        );
    }
}

/// Every event that was acknowledged once, in a chain without a gap.
async fn events(model: &mut Model, snapshot: &Snapshot) {
    let mut found: BTreeMap<(Table, u64), Vec<LogPosition>> = BTreeMap::new();
    let mut enter = |table, number: &str, position: i64| {
        found
            .entry((table, number.parse().unwrap()))
            .or_default()
            .push(position as LogPosition);
    };
    for row in all::<AlertRow>(snapshot, Table::Alerts).await {
        enter(Table::Alerts, &row.alert_id, row.log_position);
    }
    for row in all::<ActionRow>(snapshot, Table::Actions).await {
        enter(Table::Actions, &row.action_id, row.log_position);
    }
    let mut records = all::<AuditRow>(snapshot, Table::Audit).await;
    records.sort_by_key(|row| row.seq);
    for (at, row) in records.iter().enumerate() {
        assert_eq!(
            row.seq,
            at as i64 + 1,
            "the ledger has a gap, or a record twice"
        );
        if row.event == "tried" {
            enter(Table::Audit, &row.subject, row.log_position);
        }
    }
    for (event, fate) in &mut model.events {
        let there = found.remove(event).unwrap_or_default();
        match fate {
            Fate::Kept(position) => assert_eq!(
                there,
                [*position],
                "event {event:?}, which was acknowledged"
            ),
            Fate::Missing => assert!(there.is_empty(), "event {event:?}, which was refused"),
            Fate::Unknown => {
                assert!(there.len() < 2, "event {event:?} stands twice");
                *fate = there
                    .first()
                    .map_or(Fate::Missing, |position| Fate::Kept(*position));
            }
        }
    }
    assert!(found.is_empty(), "events that nobody sent: {found:?}");
}

/// Every charge once; what a flush took is on disk.
async fn charges(model: &Model, snapshot: &Snapshot) {
    let (on_disk, buffered) = rows::<ChargeRow>(snapshot, Table::Charges, &any(model)).await;
    let mut found: HashMap<String, (usize, usize)> = HashMap::new();
    for row in on_disk {
        found.entry(row.charge_id).or_default().0 += 1;
    }
    for row in buffered {
        found.entry(row.charge_id).or_default().1 += 1;
    }
    for (trace, charged) in &model.charges {
        let (on_disk, buffered) = found.remove(&format!("charge-{trace}")).unwrap_or_default();
        assert_eq!(
            on_disk + buffered,
            1,
            "charge {trace} ({charged:?}): {on_disk} on disk, {buffered} in the buffer"
        );
        assert!(
            on_disk == 1 || *charged != Charged::Flushed,
            "charge {trace} was flushed, but is not on disk"
        );
        assert!(
            on_disk == 0 || *charged != Charged::Open,
            "charge {trace} of an open trace is on disk"
        );
    }
    assert!(found.is_empty(), "charges that nobody made: {found:?}");
}

/// Charges do not stand in the log, so they are looked for by their traces.
fn any(model: &Model) -> Wanted {
    let traces = model.charges.keys().map(|trace| charge(*trace).trace_id);
    Wanted::Traces(Arc::new(traces.collect()), None)
}

/// Charges that are on disk: all that a new life knows of.
pub(super) async fn charged(model: &Model, store: &Store) -> Vec<String> {
    let snapshot = store.snapshot("default");
    let (on_disk, buffered) = rows::<ChargeRow>(&snapshot, Table::Charges, &any(model)).await;
    assert!(buffered.is_empty(), "the log carries no charges");
    let mut ids: Vec<_> = on_disk.into_iter().map(|row| row.charge_id).collect();
    ids.sort();
    assert!(
        ids.windows(2).all(|pair| pair[0] != pair[1]),
        "a charge stands twice: {ids:?}"
    );
    ids
}
