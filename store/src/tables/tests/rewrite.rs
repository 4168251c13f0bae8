//! Files put in the place of others, and races for them.

use chrono::NaiveDate;

use super::*;
use crate::tables::rewrite::Pass;

async fn flushed(parts: i64, rows: i64) -> (tempfile::TempDir, Objects, DeltaTable) {
    let dir = tempfile::tempdir().unwrap();
    let objects = Objects::local(dir.path()).unwrap();
    let log_store = objects.log_store("w", Table::Spans).unwrap();
    let mut table = None;
    for part in 0..parts {
        let told: Vec<_> = (0..rows).map(|n| span(1 + n * parts + part)).collect();
        let told = SpanRow::batch(&told).unwrap();
        let adds = write(&log_store, Table::Spans, vec![told]).await.unwrap();
        let made = Commit::append(adds, 1 + part as u64);
        table = Some(done(&objects, Table::Spans, table, &made).await);
    }
    (dir, objects, table.unwrap())
}

fn of_day(table: &DeltaTable, day: i32) -> Vec<Listed> {
    let day = NaiveDate::from_epoch_days(day).unwrap();
    let mut listed = files(table, "w", Table::Spans).unwrap();
    listed.retain(|file| file.day == Some(day));
    listed
}

async fn anew(table: &DeltaTable, day: i32, target_bytes: u64, pass: Pass) -> Rewritten {
    let rewrite = Rewrite {
        log_store: &table.log_store(),
        table: Table::Spans,
        day: NaiveDate::from_epoch_days(day).unwrap(),
        target_bytes,
        part_bytes: 8 << 20,
    };
    let files = of_day(table, day);
    rewrite.run(&files, pass, &|| true).await.unwrap()
}

async fn rows(table: &DeltaTable) -> Vec<SpanRow> {
    let batches = read(table, "w", Table::Spans, &Wanted::Past(0)).await;
    let batches = batches.unwrap();
    let mut rows: Vec<_> = batches
        .iter()
        .flat_map(|batch| SpanRow::read(batch).unwrap())
        .collect();
    rows.sort_by_key(|row| row.log_position);
    rows
}

fn replace(done: &Rewritten) -> Commit {
    let operation = Operation::Compact { target_bytes: 1 };
    let same = done.rows_in == done.rows_out;
    Commit::replace(operation, done.adds.clone(), done.removes.clone(), same)
}

#[tokio::test]
async fn many_files_become_one_with_the_same_rows_in_order() {
    let (_dir, objects, table) = flushed(70, 30).await;
    let before = rows(&table).await;
    let done_ = anew(&table, 1, u64::MAX, Box::new(Ok)).await;
    // More than are merged at once: two files.
    assert_eq!((done_.rows_in, done_.rows_out), (700, 700));
    assert_eq!((done_.adds.len(), done_.removes.len()), (2, 70));
    let table = done(&objects, Table::Spans, Some(table), &replace(&done_)).await;
    assert_eq!(rows(&table).await, before);
    assert_eq!(of_day(&table, 1).len(), 2);
    assert_eq!(of_day(&table, 0).len(), 70);
    let done_ = anew(&table, 1, u64::MAX, Box::new(Ok)).await;
    assert_eq!(done_.adds.len(), 1);
    let table = done(&objects, Table::Spans, Some(table), &replace(&done_)).await;
    assert_eq!(rows(&table).await, before);
    // What the log says of the file is what is in it.
    let [file] = &of_day(&table, 1)[..] else {
        panic!()
    };
    let of_day: Vec<_> = before.iter().filter(|row| row.date.0 == 1).collect();
    let bounds = |of: fn(&SpanRow) -> i64| {
        let all = of_day.iter().map(|row| of(row));
        (all.clone().min().unwrap(), all.max().unwrap())
    };
    assert_eq!(file.positions(), Some(bounds(|row| row.log_position)));
    assert_eq!(file.starts(), Some(bounds(|row| row.start_time.0)));
    assert_eq!(file.rows, 700);
    let found = read(&table, "w", Table::Spans, &Wanted::Past(0)).await;
    for batch in found.unwrap() {
        let rows = SpanRow::read(&batch).unwrap();
        let kept = rows.iter().filter(|row| row.date.0 == 1);
        let keys: Vec<_> = kept
            .map(|row| (row.agent_name.clone(), row.start_time))
            .collect();
        assert!(keys.is_sorted());
    }
}

#[tokio::test]
async fn a_file_is_closed_at_its_size_unless_little_is_left() {
    let (_dir, objects, table) = flushed(3, 12_000).await;
    let whole = anew(&table, 0, u64::MAX, Box::new(Ok)).await;
    let third = whole.bytes_out / 3;
    let parts = anew(&table, 0, third, Box::new(Ok)).await;
    assert!(
        (2..=4).contains(&parts.adds.len()),
        "{} files",
        parts.adds.len()
    );
    assert!(
        parts.adds.iter().all(|add| add.size as u64 >= third / 2),
        "{:?}",
        parts.adds
    );
    let before = rows(&table).await;
    let table = done(&objects, Table::Spans, Some(table), &replace(&parts)).await;
    assert_eq!(rows(&table).await, before);
}

#[tokio::test]
async fn rows_may_be_left_out_and_a_file_without_any_is_not_made() {
    let (_dir, objects, table) = flushed(4, 30).await;
    let none: Pass = Box::new(|batch| Ok(batch.slice(0, 0)));
    let done_ = anew(&table, 2, u64::MAX, none).await;
    assert_eq!((done_.rows_in, done_.rows_out), (40, 0));
    assert!(done_.adds.is_empty());
    let old = table.clone();
    let table = done(&objects, Table::Spans, Some(table), &replace(&done_)).await;
    assert!(of_day(&table, 2).is_empty());
    assert_eq!(rows(&table).await.len(), 80);
    // Asked again from an old view, the files are found gone: nothing is left to do.
    let again = done(&objects, Table::Spans, Some(old), &replace(&done_)).await;
    assert_eq!(again.version(), table.version());
}

#[tokio::test]
async fn who_comes_late_gives_way() {
    let (_dir, objects, table) = flushed(4, 30).await;
    let one = anew(&table, 0, u64::MAX, Box::new(Ok)).await;
    let other = anew(&table, 0, u64::MAX, Box::new(Ok)).await;
    let first = done(&objects, Table::Spans, Some(table.clone()), &replace(&one)).await;
    let late = commit(
        &objects,
        "flyball/test",
        "w",
        Table::Spans,
        Some(table.clone()),
        &replace(&other),
    )
    .await
    .unwrap();
    let Outcome::Overtaken(seen) = late else {
        panic!("{late:?}");
    };
    assert_eq!(seen.version(), first.version());
    // The first, asked again, is found made.
    let again = done(&objects, Table::Spans, Some(table), &replace(&one)).await;
    assert_eq!(again.version(), first.version());
    assert_eq!(rows(&again).await.len(), 120);
}

#[tokio::test]
async fn an_append_made_meanwhile_is_no_obstacle() {
    let (_dir, objects, table) = flushed(4, 30).await;
    let one = anew(&table, 0, u64::MAX, Box::new(Ok)).await;
    let log_store = objects.log_store("w", Table::Spans).unwrap();
    let told = SpanRow::batch(&[span(9_000)]).unwrap();
    let adds = write(&log_store, Table::Spans, vec![told]).await.unwrap();
    let made = Commit::append(adds, 99);
    done(&objects, Table::Spans, Some(table.clone()), &made).await;
    let table = done(&objects, Table::Spans, Some(table), &replace(&one)).await;
    assert_eq!(rows(&table).await.len(), 121);
    assert_eq!(
        committed(&table, "flyball/test", "w", Table::Spans)
            .await
            .unwrap(),
        99
    );
}
