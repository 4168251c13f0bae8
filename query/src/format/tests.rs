#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use arrow::array::{
    BooleanArray, Decimal128Array, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};

use super::{Format, render, write};

fn batch() -> RecordBatch {
    let schema = Schema::new(vec![
        Field::new("cost_usd", DataType::Decimal128(38, 12), true),
        Field::new("n", DataType::Int64, true),
        Field::new("p95_ms", DataType::Float64, true),
        Field::new("who \"x\"", DataType::Utf8, true),
        Field::new("ok", DataType::Boolean, true),
        Field::new(
            "at",
            DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            true,
        ),
    ]);
    let money =
        Decimal128Array::from(vec![Some(3_625_000_000), None]).with_precision_and_scale(38, 12);
    let at = TimestampMicrosecondArray::from(vec![Some(1_700_000_000_000_001), None])
        .with_timezone("UTC");
    RecordBatch::try_new(
        Arc::new(schema),
        vec![
            Arc::new(money.unwrap()),
            Arc::new(Int64Array::from(vec![Some(9_007_199_254_740_993), Some(7)])),
            Arc::new(Float64Array::from(vec![Some(1.5), Some(f64::NAN)])),
            Arc::new(StringArray::from(vec![Some("a,\"b\"\n"), None])),
            Arc::new(BooleanArray::from(vec![Some(true), None])),
            Arc::new(at),
        ],
    )
    .unwrap()
}

#[test]
fn json_keeps_money_and_large_integers_exact() {
    let text = render(&[batch()], Format::Json).unwrap();
    let rows: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(rows[0]["cost_usd"], "0.003625000000");
    assert_eq!(rows[0]["n"], "9007199254740993");
    assert_eq!(rows[1]["n"], 7);
    assert_eq!(rows[0]["p95_ms"], 1.5);
    assert!(rows[1]["p95_ms"].is_null() && rows[1]["cost_usd"].is_null());
    assert_eq!(rows[0]["who \"x\""], "a,\"b\"\n");
    assert_eq!(rows[0]["ok"], true);
    assert_eq!(rows[0]["at"], "2023-11-14T22:13:20.000001Z");
    // Columns stay in their order.
    assert!(text.find("cost_usd").unwrap() < text.find("p95_ms").unwrap());
}

#[test]
fn csv_has_a_header_and_quotes_what_needs_it() {
    let text = render(&[batch()], Format::Csv).unwrap();
    assert!(
        text.starts_with("cost_usd,n,p95_ms,\"who \"\"x\"\"\",ok,at\n"),
        "{text}"
    );
    assert!(
        text.contains(
            "0.003625000000,9007199254740993,1.5,\"a,\"\"b\"\"\n\",true,2023-11-14T22:13:20.000001Z"
        ),
        "{text}"
    );
}

#[test]
fn a_table_is_for_people() {
    let text = render(&[batch()], Format::Table).unwrap();
    assert!(
        text.contains("0.003625 ") && !text.contains("0.003625000000"),
        "{text}"
    );
    assert!(text.contains("(2 rows)"), "{text}");
}

#[test]
fn nothing_is_still_a_result() {
    let empty = batch().slice(0, 0);
    assert_eq!(
        render(std::slice::from_ref(&empty), Format::Json).unwrap(),
        "[]\n"
    );
    assert!(
        render(std::slice::from_ref(&empty), Format::Csv)
            .unwrap()
            .starts_with("cost_usd,")
    );
    assert!(
        render(&[empty], Format::Table)
            .unwrap()
            .contains("(0 rows)")
    );
    assert_eq!(render(&[], Format::Json).unwrap(), "[]\n");
}

#[test]
fn arrow_comes_back_as_it_was() {
    let mut bytes = Vec::new();
    write(&[batch()], Format::Arrow, &mut bytes).unwrap();
    let mut read = arrow::ipc::reader::StreamReader::try_new(bytes.as_slice(), None).unwrap();
    let back = read.next().unwrap().unwrap();
    assert_eq!(back.schema(), batch().schema());
    assert_eq!(back.column(0), batch().column(0));
    assert!("ARROW".parse::<Format>().is_ok() && "xml".parse::<Format>().is_err());
}

#[test]
fn rows_can_stand_each_on_a_line() {
    let text = render(&[batch(), batch()], Format::JsonLines).unwrap();
    let rows: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let array = render(&[batch(), batch()], Format::Json).unwrap();
    let array: Vec<serde_json::Value> = serde_json::from_str(&array).unwrap();
    assert_eq!(rows, array);
    assert_eq!(rows.len(), 4);
    let empty = batch().slice(0, 0);
    assert_eq!(render(&[empty], Format::JsonLines).unwrap(), "");
}

#[test]
fn parquet_comes_back_as_it_was() {
    use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReader;
    let mut bytes = Vec::new();
    write(&[batch(), batch()], Format::Parquet, &mut bytes).unwrap();
    let mut read = ParquetRecordBatchReader::try_new(bytes::Bytes::from(bytes), 100).unwrap();
    let back = read.next().unwrap().unwrap();
    assert_eq!(back.num_rows(), 4);
    assert_eq!(back.slice(2, 2).columns(), batch().columns());
}

#[test]
fn what_is_written_in_parts_is_what_is_written_whole() {
    for format in Format::all() {
        let mut parts = Vec::new();
        let mut writer = super::Writer::new(format, &batch().schema()).unwrap();
        writer.rows(&batch().slice(0, 1), &mut parts).unwrap();
        writer.rows(&batch().slice(1, 1), &mut parts).unwrap();
        writer.end(&mut parts).unwrap();
        let mut whole = Vec::new();
        write(&[batch()], format, &mut whole).unwrap();
        if !format.is_binary() {
            assert_eq!(parts, whole, "{format}");
        }
        assert_eq!(format.to_string().parse::<Format>().unwrap(), format);
        assert_eq!(Format::accepted(format.media_type()), Some(format));
    }
}

#[test]
fn what_is_accepted_first_is_taken() {
    for (header, wanted) in [
        ("*/*", None),
        ("", None),
        ("text/html", None),
        ("text/csv", Some(Format::Csv)),
        ("Text/CSV;charset=utf-8", Some(Format::Csv)),
        (
            "text/html, application/json;q=0.5, text/csv;q=0.9",
            Some(Format::Csv),
        ),
        ("application/json, text/csv", Some(Format::Json)),
        (
            "application/json;q=0, application/jsonl;q=0.1",
            Some(Format::JsonLines),
        ),
    ] {
        assert_eq!(Format::accepted(header), wanted, "{header}");
    }
}
