//! Rows on their way out: in types that every client knows, and in messages that every client takes.

use std::sync::Arc;

use arrow::array::{Array, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::{cast, take_record_batch};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow_flight::FlightData;
use arrow_flight::encode::FlightDataEncoderBuilder;
use arrow_flight::error::FlightError;
use datafusion::execution::SendableRecordBatchStream;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt, TryStreamExt};
use tonic::Status;

use crate::Error;

/// The most that one message holds of columns, bytes: many clients refuse a message of more than 4 MiB. A single row
/// that is larger goes alone.
const MESSAGE_BYTES: usize = 2 << 20;

/// The columns as they are sent: text for views and dictionaries of text, which older clients do not know. Any may be
/// NULL, since plan and rows do not always agree on that, and clients compare what was announced with what comes.
pub(super) fn sent(schema: &Schema) -> SchemaRef {
    let fields = schema.fields().iter().map(|field| {
        let data_type = plain(field.data_type());
        Field::new(field.name(), data_type, true)
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// The type that a column of this type is sent in.
pub(super) fn plain(data_type: &DataType) -> DataType {
    let inner = |field: &FieldRef| {
        let data_type = plain(field.data_type());
        Arc::new(Field::new(field.name(), data_type, field.is_nullable()))
    };
    match data_type {
        DataType::Utf8View => DataType::Utf8,
        DataType::BinaryView => DataType::Binary,
        DataType::Dictionary(_, values) => plain(values),
        DataType::List(field)
        | DataType::LargeList(field)
        | DataType::ListView(field)
        | DataType::LargeListView(field) => DataType::List(inner(field)),
        DataType::FixedSizeList(field, size) => DataType::FixedSizeList(inner(field), *size),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(inner).collect()),
        DataType::Map(field, sorted) => DataType::Map(inner(field), *sorted),
        other => other.clone(),
    }
}

/// The rows of a statement as messages, the schema first. An error ends them.
pub(super) fn stream(
    schema: SchemaRef,
    rows: SendableRecordBatchStream,
) -> BoxStream<'static, Result<FlightData, Status>> {
    let columns = Arc::clone(&schema);
    let parts = rows.flat_map(move |batch| {
        let parts = batch
            .map_err(|error| Error::from_stream(error).into())
            .and_then(|batch| parts(&batch, &columns).map_err(|error| Error::Encode(error).into()));
        futures::stream::iter(match parts {
            Ok(parts) => parts.into_iter().map(Ok).collect(),
            Err(status) => vec![Err(status)],
        })
    });
    messages(schema, parts)
}

/// One batch of ours, such as an answer of the catalogue.
pub(super) fn once(
    batch: RecordBatch,
) -> Result<BoxStream<'static, Result<FlightData, Status>>, Error> {
    let schema = batch.schema();
    let mut parts = Vec::new();
    cut(batch, &mut parts)?;
    Ok(messages(
        schema,
        futures::stream::iter(parts.into_iter().map(Ok)),
    ))
}

fn messages(
    schema: SchemaRef,
    batches: impl Stream<Item = Result<RecordBatch, Status>> + Send + 'static,
) -> BoxStream<'static, Result<FlightData, Status>> {
    FlightDataEncoderBuilder::new()
        .with_schema(schema)
        // They are cut to size already: the encoder goes by the average row and by buffers that slices share.
        .with_max_flight_data_size(usize::MAX)
        .build(batches.map_err(|status| FlightError::Tonic(Box::new(status))))
        .map_err(Status::from)
        .boxed()
}

/// A batch in the types that are sent, in parts that are small enough.
fn parts(batch: &RecordBatch, schema: &SchemaRef) -> Result<Vec<RecordBatch>, ArrowError> {
    let mut parts = Vec::new();
    let mut left = vec![batch.clone()];
    while let Some(next) = left.pop() {
        let rows = next.num_rows();
        let halves = || {
            let (first, second) = (
                next.slice(0, rows / 2),
                next.slice(rows / 2, rows - rows / 2),
            );
            [second, first]
        };
        match typed(&next, schema) {
            Ok(plain) => cut(plain, &mut parts)?,
            // More text than one array of the plain type holds.
            Err(_) if rows > 1 => left.extend(halves()),
            Err(error) => return Err(error),
        }
    }
    Ok(parts)
}

fn typed(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let columns = batch.columns().iter().zip(schema.fields());
    let columns = columns
        .map(|(column, field)| cast(column, field.data_type()))
        .collect::<Result<_, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)
}

/// Halves a batch until each part fits, in order. Rows differ: one half may be nearly all of it.
fn cut(batch: RecordBatch, parts: &mut Vec<RecordBatch>) -> Result<(), ArrowError> {
    let rows = batch.num_rows();
    if rows <= 1 || bytes(&batch)? <= MESSAGE_BYTES {
        parts.push(batch);
        return Ok(());
    }
    let middle = u32::try_from(rows / 2).unwrap_or(u32::MAX);
    let end = u32::try_from(rows).unwrap_or(u32::MAX);
    for half in [0..middle, middle..end] {
        // Taken and not sliced, so that a list holds its own values alone.
        let rows = UInt32Array::from_iter_values(half);
        cut(take_record_batch(&batch, &rows)?, parts)?;
    }
    Ok(())
}

fn bytes(batch: &RecordBatch) -> Result<usize, ArrowError> {
    let columns = batch.columns().iter();
    columns
        .map(|column| column.to_data().get_slice_memory_size())
        .sum()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use arrow::array::{
        ArrayRef, AsArray, DictionaryArray, Int64Array, ListBuilder, StringArray, StringViewArray,
        StringViewBuilder,
    };
    use arrow::compute::concat_batches;
    use arrow::datatypes::Int32Type;

    use super::*;

    fn sent_as(columns: Vec<(&str, ArrayRef)>) -> Vec<RecordBatch> {
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        parts(&batch, &sent(&batch.schema())).unwrap()
    }

    #[test]
    fn views_and_dictionaries_become_text_also_inside_of_others() {
        let mut lists = ListBuilder::new(StringViewBuilder::new());
        lists
            .values()
            .append_value("a text that is longer than a view holds");
        lists.append(true);
        let dictionary: DictionaryArray<Int32Type> = ["x"].into_iter().collect();
        let parts = sent_as(vec![
            (
                "view",
                Arc::new(StringViewArray::from(vec![Some("v")])) as ArrayRef,
            ),
            ("dictionary", Arc::new(dictionary)),
            ("list", Arc::new(lists.finish())),
        ]);
        let types: Vec<_> = parts[0]
            .schema()
            .fields()
            .iter()
            .map(|f| f.data_type().clone())
            .collect();
        assert_eq!(types[..2], [DataType::Utf8, DataType::Utf8]);
        assert!(matches!(&types[2], DataType::List(inner) if *inner.data_type() == DataType::Utf8));
        let list = parts[0].column(2).as_list::<i32>().value(0);
        assert_eq!(
            list.as_string::<i32>().value(0),
            "a text that is longer than a view holds"
        );
    }

    /// Large rows side by side: by the average row, one message would hold nearly all of them.
    #[test]
    fn no_message_is_too_large_however_rows_are_spread() {
        let large = "x".repeat(300_000);
        let texts: Vec<&str> = (0..8192)
            .map(|row| if row < 40 { large.as_str() } else { "" })
            .collect();
        let rows: ArrayRef = Arc::new(Int64Array::from_iter_values(0..8192));
        let parts = sent_as(vec![
            ("text", Arc::new(StringArray::from(texts)) as ArrayRef),
            ("row", rows),
        ]);
        assert!(parts.len() >= 6, "{}", parts.len());
        for part in &parts {
            assert!(bytes(part).unwrap() <= MESSAGE_BYTES);
        }
        let whole = concat_batches(&parts[0].schema(), &parts).unwrap();
        let numbers = whole
            .column(1)
            .as_primitive::<arrow::datatypes::Int64Type>();
        assert!(
            numbers.values().iter().copied().eq(0..8192),
            "in order, each once"
        );
    }

    #[test]
    fn a_row_that_is_too_large_goes_alone() {
        let texts = vec!["x".repeat(3 << 20), "y".to_owned()];
        let parts = sent_as(vec![(
            "text",
            Arc::new(StringArray::from(texts)) as ArrayRef,
        )]);
        assert_eq!(
            parts.iter().map(RecordBatch::num_rows).collect::<Vec<_>>(),
            [1, 1]
        );
    }
}
