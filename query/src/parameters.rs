//! Values for `$1`, `$2`, ... or `$name` of a statement, as JSON: each is read as the type that the plan gives its
//! place, as a prepared statement's are on the PostgreSQL port.

use std::collections::{BTreeMap, HashMap};

use arrow::array::StringArray;
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::DataType;
use datafusion::common::ParamValues;
use datafusion::logical_expr::LogicalPlan;
use datafusion::scalar::ScalarValue;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::{Error, Result};

/// The most bytes of a wrong value that an error repeats.
const TOLD_BYTES_MAX: usize = 100;

/// Values as they were sent. Numbers keep the digits they were written with.
#[derive(Debug, Default)]
pub(crate) enum Parameters {
    /// None were sent.
    #[default]
    None,
    /// For `$1`, `$2`, ...
    Listed(Vec<Box<RawValue>>),
    /// For `$name`, each by its name without the dollar.
    Named(BTreeMap<String, Box<RawValue>>),
}

impl Parameters {
    /// As they stand in a request.
    ///
    /// # Errors
    /// [`Error::Parameters`] unless they are a list or an object.
    pub(crate) fn read(sent: &RawValue) -> Result<Self> {
        let text = sent.get().trim_start();
        let read = match text.as_bytes().first() {
            Some(b'[') => serde_json::from_str(text).map(Self::Listed),
            Some(b'{') => serde_json::from_str(text).map(Self::Named),
            _ if text == "null" => Ok(Self::None),
            _ => {
                let wrong = format!("{} is neither", told(text));
                return Err(Error::Parameters { wrong });
            }
        };
        let wrong = |error: serde_json::Error| Error::Parameters {
            wrong: error.to_string(),
        };
        read.map_err(wrong)
    }

    /// The plan with a value in each place.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a value that the type of its place does not take; [`Error::Parameters`] when there are
    /// other values than places.
    pub(crate) fn bind(&self, plan: LogicalPlan) -> Result<LogicalPlan> {
        let types = plan.get_parameter_types().map_err(Error::invalid)?;
        self.agree(&types)?;
        if types.is_empty() {
            return Ok(plan);
        }
        let read = |name: &str, value: &RawValue| {
            let name = format!("${name}");
            let data_type = types.get(&name).and_then(Option::as_ref);
            scalar(&name, value, data_type)
        };
        let values = match self {
            Self::None => return Ok(plan),
            Self::Listed(values) => {
                let numbered = values.iter().zip(1..);
                let values = numbered.map(|(value, number)| read(&number.to_string(), value));
                ParamValues::from(values.collect::<Result<Vec<ScalarValue>>>()?)
            }
            Self::Named(values) => {
                let values = values
                    .iter()
                    .map(|(name, value)| Ok((name.clone(), read(name, value)?)));
                ParamValues::from(values.collect::<Result<Vec<(String, ScalarValue)>>>()?)
            }
        };
        plan.replace_params_with_values(&values)
            .map_err(Error::invalid)
    }

    /// Whether there is a value for each place, and a place for each value.
    fn agree(&self, types: &HashMap<String, Option<DataType>>) -> Result<()> {
        let sent: Vec<String> = match self {
            Self::None => Vec::new(),
            Self::Listed(values) => (1..=values.len()).map(|n| format!("${n}")).collect(),
            Self::Named(values) => values.keys().map(|name| format!("${name}")).collect(),
        };
        let mut asked: Vec<&String> = types.keys().collect();
        asked.sort_by_key(|name| (name.len(), *name));
        if let Some(missing) = asked.iter().find(|name| !sent.contains(name)) {
            return Err(Error::Parameters {
                wrong: format!("{missing} has no value"),
            });
        }
        // What stands in a list before the last place that is used may be unused, as in PostgreSQL.
        let unused = match self {
            Self::Listed(_) => sent.last().filter(|last| !types.contains_key(*last)),
            _ => sent.iter().find(|name| !types.contains_key(*name)),
        };
        match unused {
            Some(name) => Err(Error::Parameters {
                wrong: format!(
                    "there is a value for {name}, which does not stand in the statement"
                ),
            }),
            None => Ok(()),
        }
    }
}

/// One value, as the type of its place; of a place without one, as JSON's own.
fn scalar(name: &str, raw: &RawValue, data_type: Option<&DataType>) -> Result<ScalarValue> {
    let wrong = |expected: &str| Error::Parameter {
        name: name.to_owned(),
        value: told(raw.get()),
        expected: expected.to_owned(),
    };
    let value: Value = serde_json::from_str(raw.get()).map_err(|_| wrong("a JSON value"))?;
    let Some(data_type) = data_type else {
        return untyped(&value).ok_or_else(|| wrong(SIMPLE));
    };
    let expected = accepted(data_type);
    if value.is_null() {
        return ScalarValue::try_from(data_type).map_err(|_| wrong(expected));
    }
    let text = match (&value, kind(data_type)) {
        (Value::String(text), _) => text.clone(),
        (Value::Number(_), Kind::Number) => raw.get().to_owned(),
        (Value::Bool(_), Kind::Boolean) => raw.get().to_owned(),
        _ => return Err(wrong(expected)),
    };
    if !fits(&text, data_type) {
        return Err(wrong(expected));
    }
    let strict = CastOptions {
        safe: false,
        ..CastOptions::default()
    };
    cast_with_options(&StringArray::from(vec![text]), data_type, &strict)
        .ok()
        .and_then(|cast| ScalarValue::try_from_array(&cast, 0).ok())
        .filter(|read| !read.is_null())
        .ok_or_else(|| wrong(expected))
}

const SIMPLE: &str = "a string, a number, true, false or null";

/// How a type's values are written in JSON, besides as strings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Number,
    Boolean,
    Text,
}

fn kind(data_type: &DataType) -> Kind {
    match data_type {
        DataType::Boolean => Kind::Boolean,
        number if number.is_numeric() => Kind::Number,
        _ => Kind::Text,
    }
}

/// What the type takes, in words.
fn accepted(data_type: &DataType) -> &'static str {
    match data_type {
        DataType::Boolean => "true or false",
        DataType::Decimal128(..) | DataType::Decimal256(..) => {
            "a decimal number, such as \"0.000125\", with no more digits than its column has"
        }
        whole if whole.is_integer() => "a whole number",
        number if number.is_numeric() => "a number",
        DataType::Date32 | DataType::Date64 => "a date, such as \"2026-11-22\"",
        DataType::Timestamp(..) => "a time, such as \"2026-11-22T09:00:00Z\"",
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "a string",
        _ => "a string that can be read as that type",
    }
}

/// What a cast would let pass, rounded or cut.
fn fits(text: &str, data_type: &DataType) -> bool {
    match data_type {
        DataType::Decimal128(_, scale) | DataType::Decimal256(_, scale) => {
            let fraction = text.split_once('.').map_or("", |(_, fraction)| fraction);
            let digits = fraction.trim_end_matches('0').len();
            digits <= usize::try_from(*scale).unwrap_or(0) && !text.contains(['e', 'E'])
        }
        // A date with a time is another moment than the date.
        DataType::Date32 | DataType::Date64 => text.len() == "2026-11-22".len(),
        _ => true,
    }
}

fn untyped(value: &Value) -> Option<ScalarValue> {
    Some(match value {
        Value::Null => ScalarValue::Null,
        Value::Bool(value) => ScalarValue::from(*value),
        Value::String(text) => ScalarValue::from(text.as_str()),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => ScalarValue::from(whole),
            None => ScalarValue::from(number.as_f64()?),
        },
        Value::Array(_) | Value::Object(_) => return None,
    })
}

/// A value as an error repeats it.
fn told(raw: &str) -> String {
    let cut = raw.floor_char_boundary(TOLD_BYTES_MAX);
    let more = if cut < raw.len() { "..." } else { "" };
    format!("{}{more}", &raw[..cut])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use arrow::datatypes::TimeUnit;

    use super::*;

    fn read(json: &str, data_type: &DataType) -> Result<ScalarValue> {
        let raw = RawValue::from_string(json.to_owned()).unwrap();
        scalar("$1", &raw, Some(data_type))
    }

    #[test]
    fn values_are_read_as_the_type_of_their_place_to_the_last_digit() {
        let micros = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        let money = DataType::Decimal128(18, 12);
        for (json, data_type, wanted) in [
            ("7", DataType::Int64, ScalarValue::from(7_i64)),
            (
                "9007199254740993",
                DataType::Int64,
                ScalarValue::from(9_007_199_254_740_993_i64),
            ),
            ("\"-3\"", DataType::Int32, ScalarValue::from(-3_i32)),
            ("0.5", DataType::Float64, ScalarValue::from(0.5)),
            ("true", DataType::Boolean, ScalarValue::from(true)),
            ("\"triage\"", DataType::Utf8, ScalarValue::from("triage")),
            ("null", DataType::Utf8, ScalarValue::Utf8(None)),
            // Twelve digits: as a double it would be another number.
            (
                "0.123456789012",
                money.clone(),
                ScalarValue::Decimal128(Some(123_456_789_012), 18, 12),
            ),
            (
                "\"0.001\"",
                money,
                ScalarValue::Decimal128(Some(1_000_000_000), 18, 12),
            ),
            (
                "\"1970-01-02\"",
                DataType::Date32,
                ScalarValue::Date32(Some(1)),
            ),
            (
                "\"1970-01-01T01:00:00.5+01:00\"",
                micros,
                ScalarValue::TimestampMicrosecond(Some(500_000), Some("UTC".into())),
            ),
        ] {
            assert_eq!(read(json, &data_type).unwrap(), wanted, "{json}");
        }
    }

    #[test]
    fn a_wrong_value_is_named_with_the_accepted_form() {
        let money = DataType::Decimal128(18, 12);
        for (json, data_type, form) in [
            ("\"x\"", DataType::Int64, "a whole number"),
            ("1.5", DataType::Int64, "a whole number"),
            ("true", DataType::Int64, "a whole number"),
            ("300", DataType::UInt8, "a whole number"),
            ("1", DataType::Boolean, "true or false"),
            ("7", DataType::Utf8, "a string"),
            ("[1]", DataType::Utf8, "a string"),
            ("\"0.1234567890123\"", money.clone(), "a decimal number"),
            ("1e-3", money.clone(), "a decimal number"),
            ("12345678", money, "a decimal number"),
            ("\"yesterday\"", DataType::Date32, "a date"),
        ] {
            let error = read(json, &data_type).unwrap_err().to_string();
            let named = error.contains("$1") && error.contains(json) && error.contains(form);
            assert!(named, "{error}");
        }
        let long = format!("\"{}\"", "x".repeat(10_000));
        assert!(read(&long, &DataType::Int64).unwrap_err().to_string().len() < 300);
    }
}
