#![allow(clippy::unwrap_used)]
use std::fs::File;

use parquet::basic::Compression;
use parquet::file::reader::{FileReader, SerializedFileReader};

use super::*;

mod rewrite;
use crate::rows::{ChargeRow, Date, Micros, Row, SpanRow};

const DAY: i64 = 86_400_000_000;

fn span(n: i64) -> SpanRow {
    SpanRow {
        date: Date::of_micros(n % 3 * DAY),
        start_time: Micros(n % 3 * DAY + 1_000 - n),
        trace_id: format!("{n:032x}"),
        agent_name: (n % 4 > 0).then(|| format!("agent-{}", n % 4)),
        log_position: n,
        ..SpanRow::default()
    }
}

async fn done(
    objects: &Objects,
    table: Table,
    current: Option<DeltaTable>,
    made: &Commit,
) -> DeltaTable {
    match commit(objects, "flyball/test", "w", table, current, made).await {
        Ok(Outcome::Made(made)) => made,
        other => panic!("{other:?}"),
    }
}

async fn written(count: i64) -> (tempfile::TempDir, Objects, DeltaTable) {
    let dir = tempfile::tempdir().unwrap();
    let objects = Objects::local(dir.path()).unwrap();
    let rows: Vec<_> = (0..count).map(span).collect();
    let log_store = objects.log_store("w", Table::Spans).unwrap();
    let adds = write(
        &log_store,
        Table::Spans,
        vec![SpanRow::batch(&rows).unwrap()],
    )
    .await
    .unwrap();
    let made = Commit::append(adds, count as u64);
    let table = done(&objects, Table::Spans, None, &made).await;
    (dir, objects, table)
}

#[tokio::test]
async fn every_table_can_be_created_and_loaded_with_its_schema() {
    let dir = tempfile::tempdir().unwrap();
    let objects = Objects::local(dir.path()).unwrap();
    for table in Table::ALL {
        assert!(load(&objects, "w", table).await.unwrap().is_none());
        create(&objects, "w", table).await.unwrap();
        let loaded = load(&objects, "w", table).await.unwrap().unwrap();
        let metadata = loaded.snapshot().unwrap().metadata().clone();
        assert_eq!(metadata.partition_columns(), &["date".to_owned()]);
        assert_eq!(
            committed(&loaded, "flyball/test", "w", table)
                .await
                .unwrap(),
            0
        );
        // A second creation finds the first.
        assert_eq!(
            create(&objects, "w", table).await.unwrap().version(),
            Some(0)
        );
    }
}

#[tokio::test]
async fn files_are_by_day_sorted_compressed_and_findable() {
    let (dir, _, table) = written(300).await;
    let state = table.snapshot().unwrap();
    assert_eq!(state.log_data().num_files(), 3);
    for file in state.log_data().iter() {
        let day = file.partition_values_map()["date"].clone().unwrap();
        assert!(file.path().starts_with(&format!("date={day}/part-")));
        assert_eq!(file.num_records(), Some(100));
        let stats: serde_json::Value = serde_json::from_str(&file.stats().unwrap()).unwrap();
        assert!(
            stats["minValues"]["start_time"]
                .as_str()
                .unwrap()
                .starts_with(&day)
        );
        let path = dir.path().join("w/spans").join(file.path().as_ref());
        let reader = SerializedFileReader::new(File::open(path).unwrap()).unwrap();
        let group = reader.metadata().row_group(0);
        let column = |name: &str| {
            group
                .columns()
                .iter()
                .find(|column| column.column_path().string() == name)
                .unwrap()
        };
        assert!(matches!(column("name").compression(), Compression::ZSTD(_)));
        assert!(
            column("trace_id").bloom_filter_offset().is_some()
                && column("name").bloom_filter_offset().is_none()
        );
        assert!(
            column("attributes").statistics().is_none()
                && column("start_time").statistics().is_some()
        );
        assert_eq!(group.sorting_columns().unwrap().len(), 2);
        assert!(
            !reader
                .metadata()
                .file_metadata()
                .schema_descr()
                .columns()
                .iter()
                .any(|column| column.name() == "date")
        );
    }
    let rows = read(&table, "w", Table::Spans, &Wanted::Past(0))
        .await
        .unwrap();
    for batch in rows {
        let rows = SpanRow::read(&batch).unwrap();
        assert!(rows.is_sorted_by_key(|row| (row.agent_name.clone(), row.start_time)));
        assert!(rows.iter().all(|row| *row == span(row.log_position)));
    }
}

#[tokio::test]
async fn rows_are_found_by_trace_and_by_position() {
    let (_dir, _, table) = written(300).await;
    let found = async |wanted| {
        let batches = read(&table, "w", Table::Spans, &wanted).await.unwrap();
        let mut rows: Vec<_> = batches
            .iter()
            .flat_map(|batch| SpanRow::read(batch).unwrap())
            .collect();
        rows.sort_by_key(|row| row.log_position);
        rows.into_iter()
            .map(|row| row.log_position)
            .collect::<Vec<_>>()
    };
    assert_eq!(found(Wanted::Past(297)).await, [298, 299]);
    assert!(found(Wanted::Past(299)).await.is_empty());
    let traces = [5, 200, 999].map(|n| format!("{n:032x}")).into();
    assert_eq!(
        found(Wanted::Traces(std::sync::Arc::new(traces), None)).await,
        [5, 200]
    );
}

#[tokio::test]
async fn a_commit_is_made_once_and_carries_its_position() {
    let (_dir, objects, table) = written(30).await;
    assert_eq!(
        committed(&table, "flyball/test", "w", Table::Spans)
            .await
            .unwrap(),
        30
    );
    assert_eq!(
        committed(&table, "flyball/other", "w", Table::Spans)
            .await
            .unwrap(),
        0
    );
    let log_store = objects.log_store("w", Table::Spans).unwrap();
    let adds = write(
        &log_store,
        Table::Spans,
        vec![SpanRow::batch(&[span(31)]).unwrap()],
    )
    .await
    .unwrap();
    let made = Commit::append(adds, 31);
    let old = table.clone();
    let first = done(&objects, Table::Spans, Some(table), &made).await;
    // Asked again, from an old view of the table: it is found, not repeated.
    let again = done(&objects, Table::Spans, Some(old), &made).await;
    assert_eq!((first.version(), again.version()), (Some(2), Some(2)));
    assert_eq!(
        committed(&again, "flyball/test", "w", Table::Spans)
            .await
            .unwrap(),
        31
    );
}

#[tokio::test]
async fn money_survives_to_the_last_digit() {
    let dir = tempfile::tempdir().unwrap();
    let objects = Objects::local(dir.path()).unwrap();
    let rows: Vec<_> = [999_999_999_999_999_999, -1, 0]
        .map(|units| ChargeRow {
            cost_usd: Some(rust_decimal::Decimal::new(units, 12)),
            trace_id: "t".into(),
            start_time: Micros(-units.signum()),
            ..ChargeRow::default()
        })
        .into();
    let log_store = objects.log_store("w", Table::Charges).unwrap();
    let adds = write(
        &log_store,
        Table::Charges,
        vec![ChargeRow::batch(&rows).unwrap()],
    )
    .await
    .unwrap();
    let made = Commit::append(adds, 1);
    let table = done(&objects, Table::Charges, None, &made).await;
    let read = read(
        &table,
        "w",
        Table::Charges,
        &Wanted::Traces(std::sync::Arc::new(["t".to_owned()].into()), None),
    )
    .await
    .unwrap();
    let mut found = ChargeRow::read(&read[0]).unwrap();
    found.sort_by_key(|row| -row.start_time.0);
    assert_eq!(found, [rows[1].clone(), rows[2].clone(), rows[0].clone()]);
}

#[tokio::test]
async fn a_fence_shuts_out_a_commit_that_is_still_on_its_way() {
    let (_dir, objects, table) = written(30).await;
    let log_store = objects.log_store("w", Table::Spans).unwrap();
    let next = deltalake::logstore::commit_uri_from_version(Some(2));
    let fenced = fence(&objects, "flyball/test", "w", Table::Spans, table)
        .await
        .unwrap();
    assert_eq!(fenced.version(), Some(2));
    let late = object_store::PutOptions {
        mode: object_store::PutMode::Create,
        ..object_store::PutOptions::default()
    };
    let late = log_store
        .object_store(None)
        .put_opts(&next, "late".into(), late)
        .await;
    assert!(matches!(
        late,
        Err(object_store::Error::AlreadyExists { .. })
    ));
    assert_eq!(
        committed(&fenced, "flyball/test", "w", Table::Spans)
            .await
            .unwrap(),
        30
    );
}
