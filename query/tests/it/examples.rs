//! The worked examples of the metrics: one file in `tests/metrics/` for each, small enough to check by hand.
//!
//! A file is a sqllogictest. Comments at its head are the rows it is asked of: `# charge kind=model_call at=1 lasts=2`,
//! `# action ...`, `# alert ...`, `# span ...`, `# log ...`, each with values by column. Columns that are not named are NULL,
//! or empty. `at` is when it starts (or happens) and `lasts` how long, in seconds; 0 is 2026-03-01T12:00:00Z. `id` is a
//! charge's id and its span's. `times=60` stands for sixty such rows, with the row's number, from 0, in place of each `*`.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field};
use arrow::json::ReaderBuilder;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use async_trait::async_trait;
use flyball_query::{Engine, catalogue};
use flyball_store::Table;
use serde_json::{Map, Value, json};
use sqllogictest::{AsyncDB, DBOutput, DefaultColumnType, Runner};

use crate::fixture::{NOON, engine, moment};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/metrics")
}

/// A value of a column from what stands in the file.
fn value(field: &Field, text: &str) -> Value {
    match field.data_type() {
        DataType::Utf8 | DataType::Decimal128(..) | DataType::Timestamp(..) | DataType::Date32 => {
            json!(text)
        }
        _ => serde_json::from_str(text).unwrap_or_else(|_| {
            panic!("{}: {text:?} is not a {}", field.name(), field.data_type())
        }),
    }
}

/// What stands in a column that no row may leave empty.
fn nothing(field: &Field) -> Value {
    match field.data_type() {
        DataType::Utf8 => json!(""),
        DataType::Timestamp(..) => json!("1970-01-01T00:00:00Z"),
        DataType::Date32 => json!("1970-01-01"),
        _ => json!(0),
    }
}

fn time(seconds: f64) -> String {
    let micros = NOON * 1_000_000 + (seconds * 1e6).round() as i64;
    let time = chrono::DateTime::from_timestamp_micros(micros).unwrap();
    time.to_rfc3339_opts(chrono::SecondsFormat::Micros, true)
}

/// A row from `name=value name=value`; a value with spaces or quotes stands in quotes.
fn row(table: Table, line: &str) -> Value {
    let schema = table.schema();
    let mut row = Map::new();
    for field in schema.fields().iter().filter(|field| !field.is_nullable()) {
        row.insert(field.name().clone(), nothing(field));
    }
    let pairs = shlex(line);
    let named: HashMap<&str, &str> = pairs
        .iter()
        .map(|pair| {
            pair.split_once('=')
                .unwrap_or_else(|| panic!("{pair:?} is no name=value"))
        })
        .collect();
    let number = |name: &str| named.get(name).map(|text| text.parse::<f64>().unwrap());
    let has = |name: &str| schema.field_with_name(name).is_ok();
    if let Some(at) = number("at") {
        let name = ["start_time", "time", "at"]
            .into_iter()
            .find(|name| has(name));
        row.insert(name.unwrap().into(), json!(time(at)));
        row.insert("date".into(), json!(&time(at)[..10]));
        if has("start_unix_nano") {
            let nanos = NOON * 1_000_000_000 + (at * 1e9).round() as i64;
            row.insert("start_unix_nano".into(), json!(nanos));
            if let Some(lasts) = number("lasts") {
                row.insert("duration_ns".into(), json!((lasts * 1e9).round() as i64));
                row.insert("end_time".into(), json!(time(at + lasts)));
            }
        }
    }
    if table == Table::Charges {
        row.insert("entry".into(), json!("charge"));
        row.insert("calls".into(), json!(1));
    }
    for (name, text) in &named {
        match *name {
            "at" | "lasts" => {}
            "id" => {
                for name in ["charge_id", "span_id"]
                    .into_iter()
                    .filter(|name| has(name))
                {
                    row.insert(name.into(), json!(text));
                }
            }
            name => {
                let field = schema
                    .field_with_name(name)
                    .unwrap_or_else(|_| panic!("{} has no column {name}", table.name()));
                let at = matches!(field.data_type(), DataType::Timestamp(..));
                let found = match at.then(|| text.parse::<f64>()) {
                    Some(Ok(seconds)) => json!(time(seconds)),
                    _ => value(field, text),
                };
                row.insert(name.into(), found);
            }
        }
    }
    if row.get("decision") == Some(&json!(true)) {
        row.insert("decisions".into(), json!(1));
    }
    Value::Object(row)
}

/// A line that says `times=N` as so many lines, each with its number in place of `*`.
fn repeated(line: &str) -> Vec<String> {
    let Some((times, rest)) = line.strip_prefix("times=").and_then(|l| l.split_once(' ')) else {
        return vec![line.to_owned()];
    };
    let times: usize = times.parse().unwrap();
    (0..times)
        .map(|n| rest.replace('*', &n.to_string()))
        .collect()
}

/// Words, split at spaces that are not within quotes; in single ones, double ones stand for themselves.
fn shlex(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted) = (Vec::new(), String::new(), None);
    for char in line.chars() {
        match char {
            quote if quoted == Some(quote) => quoted = None,
            '"' | '\'' if quoted.is_none() => quoted = Some(char),
            ' ' if quoted.is_none() => {
                words.extend(Some(std::mem::take(&mut word)).filter(|w| !w.is_empty()));
            }
            char => word.push(char),
        }
    }
    words.extend(Some(word).filter(|word| !word.is_empty()));
    words
}

/// The rows at the head of a file.
fn rows(text: &str) -> Vec<(Table, RecordBatch)> {
    let tables = [
        ("# charge ", Table::Charges),
        ("# action ", Table::Actions),
        ("# alert ", Table::Alerts),
        ("# span ", Table::Spans),
        ("# log ", Table::Logs),
    ];
    let mut batches = Vec::new();
    for (head, table) in tables {
        let rows: Vec<Value> = text
            .lines()
            .filter_map(|line| line.strip_prefix(head))
            .flat_map(repeated)
            .map(|line| row(table, &line))
            .collect();
        if rows.is_empty() {
            continue;
        }
        let mut decoder = ReaderBuilder::new(table.schema()).build_decoder().unwrap();
        decoder.serialize(&rows).unwrap();
        batches.push((table, decoder.flush().unwrap().unwrap()));
    }
    batches
}

/// Asks the engine.
struct Asked(Arc<Engine>);

#[async_trait]
impl AsyncDB for Asked {
    type Error = std::io::Error;
    type ColumnType = DefaultColumnType;

    async fn run(&mut self, sql: &str) -> Result<DBOutput<DefaultColumnType>, std::io::Error> {
        let answer = self.0.query("default", sql).await;
        let batches = answer.map_err(|error| std::io::Error::other(error.to_string()))?;
        let options = FormatOptions::new().with_null("NULL");
        let (mut types, mut rows) = (Vec::new(), Vec::new());
        for batch in &batches {
            types = vec![DefaultColumnType::Any; batch.num_columns()];
            let columns: Vec<_> = batch
                .columns()
                .iter()
                .map(|column| ArrayFormatter::try_new(column, &options).unwrap())
                .collect();
            for at in 0..batch.num_rows() {
                let row = columns.iter().map(|column| column.value(at).to_string());
                rows.push(
                    row.map(|text| {
                        if text.is_empty() {
                            "(empty)".into()
                        } else {
                            text
                        }
                    })
                    .collect(),
                );
            }
        }
        Ok(DBOutput::Rows { types, rows })
    }

    async fn shutdown(&mut self) {}
}

#[tokio::test]
async fn every_metric_has_an_example_that_holds() {
    let (mut wrong, mut missing) = (Vec::new(), Vec::new());
    for entry in catalogue::all() {
        // Its view by hour differs by the hour alone.
        if entry.kind == catalogue::Kind::View || entry.name.ends_with("_by_hour") {
            continue;
        }
        let path = folder().join(format!("{}.slt", entry.name));
        let Ok(text) = std::fs::read_to_string(&path) else {
            missing.push(entry.name);
            continue;
        };
        let engine = engine(moment(rows(&text))).await;
        let mut runner = Runner::new(async || Ok(Asked(Arc::clone(&engine))));
        if let Err(error) = runner.run_file_async(&path).await {
            wrong.push(error.display(false).to_string());
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(
        missing.is_empty(),
        "no example in tests/metrics for {missing:?}"
    );
}

#[test]
fn every_example_is_of_a_metric() {
    let known: Vec<String> = catalogue::all()
        .into_iter()
        .map(|entry| entry.name)
        .collect();
    for file in std::fs::read_dir(folder()).unwrap() {
        let name = file
            .unwrap()
            .path()
            .file_stem()
            .unwrap()
            .to_string_lossy()
            .into_owned();
        assert!(known.contains(&name), "{name} is in no catalogue");
    }
}
