//! A data directory of an earlier version: columns that came since are added, and nothing is lost.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use flyball_store::{Error, Store, Table};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::Value;

use crate::fixture::*;

/// Columns of `spans` that an earlier version did not have.
const NEW: [&str; 2] = ["signal", "cache_write_1h_tokens"];

fn files_under(dir: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        match entry.path() {
            path if path.is_dir() => found.extend(files_under(&path, ending)),
            path if path.to_string_lossy().ends_with(ending) => found.push(path),
            _ => {}
        }
    }
    found
}

/// Changes the schema that the Delta log of `spans` tells, and leaves the new columns out of every file.
fn as_an_earlier_version(dir: &Path, change: impl Fn(&mut Vec<Value>)) {
    let table = dir.join("tables/default/spans");
    assert!(table.is_dir(), "{}", table.display());
    for path in files_under(&table, ".parquet") {
        let reader = ParquetRecordBatchReaderBuilder::try_new(fs::File::open(&path).unwrap());
        let batches: Vec<RecordBatch> = reader
            .unwrap()
            .build()
            .unwrap()
            .map(Result::unwrap)
            .collect();
        let schema = batches[0].schema();
        let kept: Vec<usize> = (0..schema.fields().len())
            .filter(|at| !NEW.contains(&schema.field(*at).name().as_str()))
            .collect();
        let (narrow, file) = (
            schema.project(&kept).unwrap(),
            fs::File::create(&path).unwrap(),
        );
        let mut writer = ArrowWriter::try_new(file, Arc::new(narrow), None).unwrap();
        for batch in batches {
            writer.write(&batch.project(&kept).unwrap()).unwrap();
        }
        writer.close().unwrap();
    }
    for path in files_under(&table.join("_delta_log"), ".json") {
        let lines = fs::read_to_string(&path).unwrap();
        let lines = lines.lines().map(|line| {
            let mut action: Value = serde_json::from_str(line).unwrap();
            if let Some(told) = action.pointer_mut("/metaData/schemaString") {
                let mut schema: Value = serde_json::from_str(told.as_str().unwrap()).unwrap();
                change(schema["fields"].as_array_mut().unwrap());
                *told = schema.to_string().into();
            }
            if let Some(add) = action.get_mut("add") {
                let file = table.join(add["path"].as_str().unwrap());
                add["size"] = fs::metadata(file).unwrap().len().into();
            }
            action.to_string()
        });
        let lines: Vec<String> = lines.collect();
        fs::write(&path, lines.join("\n")).unwrap();
    }
}

fn without_the_new(fields: &mut Vec<Value>) {
    let before = fields.len();
    fields.retain(|field| !NEW.contains(&field["name"].as_str().unwrap()));
    assert_eq!(fields.len() + NEW.len(), before);
}

fn columns_on_disk(store: &Store) -> Vec<String> {
    let snapshot = store.snapshot("default");
    let delta = snapshot.tables[&Table::Spans].delta.clone().unwrap();
    let schema = delta.snapshot().unwrap().schema();
    schema.fields().map(|field| field.name().clone()).collect()
}

async fn flushed(dir: &Path, told: &[Told]) {
    let store = open(dir).await;
    store.append(request(told)).await.unwrap();
    store.flush().await.unwrap();
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_table_of_an_earlier_version_gets_the_columns_that_came_since() {
    let dir = tempfile::tempdir().unwrap();
    flushed(dir.path(), &[Told::new(1, 1), Told::new(2, 2)]).await;
    as_an_earlier_version(dir.path(), without_the_new);

    let store = open(dir.path()).await;
    // Before anything is written: who reads finds every column, the new ones behind the others.
    let columns = columns_on_disk(&store);
    assert_eq!(columns.len(), Table::Spans.schema().fields().len());
    assert!(
        columns.ends_with(&NEW.map(str::to_owned))
            || columns.ends_with(&[NEW[1].into(), NEW[0].into()])
    );
    store.append(request(&[Told::new(3, 3)])).await.unwrap();
    store.flush().await.unwrap();
    assert_eq!(rows(&store, Table::Spans), 3);
    // Files of both kinds become one.
    store.maintain().await.unwrap();
    assert_eq!(rows(&store, Table::Spans), 3);
    let trace = [Told::new(1, 1).trace_id()];
    let found = store.traces("default", &trace).await.unwrap().spans;
    assert_eq!(found.iter().map(RecordBatch::num_rows).sum::<usize>(), 1);
    assert_eq!(found[0].column_by_name(NEW[0]).unwrap().null_count(), 1);
    store.close().await.unwrap();

    let store = open(dir.path()).await;
    assert_eq!(columns_on_disk(&store), columns, "they are added once");
    assert_eq!(rows(&store, Table::Spans), 3);
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_column_of_another_type_is_refused_by_name_and_both_types() {
    let dir = tempfile::tempdir().unwrap();
    flushed(dir.path(), &[Told::new(1, 1)]).await;
    as_an_earlier_version(dir.path(), |fields| {
        let field = fields
            .iter_mut()
            .find(|field| field["name"] == "input_tokens");
        field.unwrap()["type"] = "string".into();
    });
    let refused = Store::open(config(dir.path()), Arc::new(Json)).await;
    let Err(refused @ Error::SchemaDiffers { .. }) = refused else {
        panic!("{refused:?}");
    };
    let message = refused.to_string();
    assert!(
        message.contains("default/spans: column input_tokens is"),
        "{message}"
    );
}
