//! Parameters of statements: `$1`, `$2`, ... as in PostgreSQL, or `?` as JDBC and ODBC write them; their types, and
//! the values that a client binds.

use std::collections::HashMap;

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use arrow_flight::FlightData;
use datafusion::common::ParamValues;
use datafusion::logical_expr::LogicalPlan;
use datafusion::scalar::ScalarValue;
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};
use futures::{Stream, StreamExt};
use tonic::Status;

use super::batches::plain;
use crate::{Error, Result};

/// The most parameters that a statement has: PostgreSQL's limit.
const PARAMETERS_MAX: usize = 65_535;
/// The most that the values of one statement take, bytes.
const VALUES_MAX: usize = 256 << 10;

fn wrong(message: impl Into<String>) -> Error {
    let message = message.into();
    Error::Request { message }
}

/// A statement with its `?` as `$1`, `$2`, ... in order. In the dialect a lone `?` means nothing else here.
///
/// # Errors
/// When it has both.
pub(super) fn numbered(sql: &str) -> Result<String> {
    let tokens = Tokenizer::new(&PostgreSqlDialect {}, sql)
        .with_unescape(false)
        .tokenize();
    let Ok(tokens) = tokens else {
        // What is wrong with it is said when it is planned.
        return Ok(sql.to_owned());
    };
    let marks = tokens.iter().filter(|token| is_mark(token)).count();
    if marks == 0 {
        return Ok(sql.to_owned());
    }
    if tokens
        .iter()
        .any(|token| matches!(token, Token::Placeholder(name) if name != "?"))
    {
        return Err(wrong(
            "a statement has its parameters as ? or as $1, $2, ..., not both",
        ));
    }
    let mut number = 0;
    Ok(tokens
        .iter()
        .fold(String::with_capacity(sql.len()), |mut text, token| {
            if is_mark(token) {
                number += 1;
                text.push_str(&format!("${number}"));
            } else {
                text.push_str(&token.to_string());
            }
            text
        }))
}

fn is_mark(token: &Token) -> bool {
    match token {
        Token::Question => true,
        Token::Placeholder(name) => name == "?",
        _ => false,
    }
}

/// The types of a plan's parameters, `$1` first; Null where nothing tells.
///
/// # Errors
/// When one is not called `$` and a number from 1.
pub(super) fn types(plan: &LogicalPlan) -> Result<Vec<DataType>> {
    let found: HashMap<String, Option<DataType>> =
        plan.get_parameter_types().map_err(Error::invalid)?;
    let mut types = Vec::new();
    for (name, data_type) in found {
        let number = name.trim_start_matches('$').parse().unwrap_or(0);
        if !(1..=PARAMETERS_MAX).contains(&number) {
            return Err(wrong(format!(
                "parameter {name}: they are called $1 to ${PARAMETERS_MAX}, or ?"
            )));
        }
        if types.len() < number {
            types.resize(number, DataType::Null);
        }
        types[number - 1] = data_type.unwrap_or(DataType::Null);
    }
    Ok(types)
}

/// The same as a schema.
pub(super) fn schema(types: &[DataType]) -> Schema {
    let numbered = types.iter().enumerate();
    let fields =
        numbered.map(|(at, data_type)| Field::new(format!("${}", at + 1), plain(data_type), true));
    Schema::new(fields.collect::<Vec<_>>())
}

/// A plan with values in place of its parameters: each column of the one row is a parameter, in order.
///
/// # Errors
/// When there are too few or too many, or one does not fit.
pub(super) fn bind(plan: LogicalPlan, row: Option<&RecordBatch>) -> Result<LogicalPlan> {
    let types = types(&plan)?;
    let given = row.map_or(0, RecordBatch::num_columns);
    if given != types.len() {
        return Err(wrong(format!(
            "{given} parameters are bound: the statement has {}",
            types.len()
        )));
    }
    let Some(row) = row.filter(|_| given > 0) else {
        return Ok(plan);
    };
    let columns = row.columns().iter().zip(&types).enumerate();
    let values = columns.map(|(at, (column, data_type))| {
        value(column, data_type).map_err(|error| {
            let given = column.data_type();
            wrong(format!(
                "parameter ${} is {given} and should be {data_type}: {error}",
                at + 1
            ))
        })
    });
    let values = ParamValues::from(values.collect::<Result<Vec<_>>>()?);
    plan.replace_params_with_values(&values)
        .map_err(Error::invalid)
}

fn value(column: &dyn Array, wanted: &DataType) -> datafusion::error::Result<ScalarValue> {
    let value = ScalarValue::try_from_array(column, 0)?;
    match wanted {
        DataType::Null => Ok(value),
        wanted => value.cast_to(wanted),
    }
}

/// The one row of values in what a client sent.
///
/// # Errors
/// When there are more or fewer rows, or they are too large.
pub(super) fn one_row(batches: &[RecordBatch]) -> Result<RecordBatch> {
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    let row = batches.iter().find(|batch| batch.num_rows() > 0);
    match (rows, row) {
        (1, Some(row)) => Ok(row.clone()),
        _ => Err(wrong(format!(
            "{rows} rows of parameters: a statement takes one, and is executed once for each"
        ))),
    }
}

/// What a client sends, up to somewhat more than may be kept of it: it is gathered before it is looked at.
pub(super) fn bounded(
    messages: impl Stream<Item = std::result::Result<FlightData, Status>>,
) -> impl Stream<Item = std::result::Result<FlightData, Status>> {
    let mut bytes = 0;
    messages.map(move |message| {
        let message = message?;
        // The message itself, which is what many empty ones amount to.
        bytes += size_of::<FlightData>() + message.data_header.len() + message.data_body.len();
        if bytes > 2 * VALUES_MAX {
            return Err(too_large(bytes).into());
        }
        Ok(message)
    })
}

fn too_large(bytes: usize) -> Error {
    wrong(format!(
        "the parameters take {bytes} bytes or more: a statement has at most {VALUES_MAX}"
    ))
}

/// The row as bytes, to be kept or sent.
///
/// # Errors
/// When it is too large.
pub(super) fn written(row: &RecordBatch) -> Result<Vec<u8>> {
    let mut writer = StreamWriter::try_new(Vec::new(), &row.schema())?;
    writer.write(row)?;
    let bytes = writer.into_inner()?;
    if bytes.len() > VALUES_MAX {
        return Err(too_large(bytes.len()));
    }
    Ok(bytes)
}

/// And back.
///
/// # Errors
/// When the bytes are not one row.
pub(super) fn read(bytes: &[u8]) -> Result<RecordBatch> {
    let batches = StreamReader::try_new(bytes, None)
        .and_then(|reader| reader.collect::<std::result::Result<Vec<_>, _>>())
        .map_err(|error| wrong(format!("the parameters are not readable: {error}")))?;
    one_row(&batches)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array};

    use super::*;

    #[test]
    fn question_marks_are_numbered_outside_of_texts_names_and_comments() {
        let same = |sql: &str| assert_eq!(numbered(sql).unwrap(), sql);
        same("SELECT '?' AS \"?\", $1 -- ?\n");
        same("SELECT 'it''s', E'\\n', $$ ? $$ /* ? */");
        same("not 'closed");
        assert_eq!(
            numbered("SELECT a FROM t WHERE b = ? AND c IN (?,?) AND d = 'it''s ?' -- ?\n")
                .unwrap(),
            "SELECT a FROM t WHERE b = $1 AND c IN ($2,$3) AND d = 'it''s ?' -- ?\n"
        );
        assert!(numbered("SELECT ?, $1").is_err());
    }

    #[test]
    fn a_row_survives_being_written_and_many_rows_are_refused() {
        let rows = |values: Vec<i64>| {
            let column: ArrayRef = Arc::new(Int64Array::from(values));
            RecordBatch::try_from_iter([("$1", column)]).unwrap()
        };
        let row = one_row(&[rows(vec![]), rows(vec![7])]).unwrap();
        assert_eq!(read(&written(&row).unwrap()).unwrap(), rows(vec![7]));
        for batches in [
            vec![],
            vec![rows(vec![])],
            vec![rows(vec![1]), rows(vec![2])],
        ] {
            let refused = one_row(&batches).unwrap_err().to_string();
            assert!(refused.contains("rows of parameters"), "{refused}");
        }
        assert!(read(b"garbage").is_err());
    }
}
