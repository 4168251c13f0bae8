//! What PostgreSQL clients ask a server about itself.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int32Array, StringArray};
use arrow::datatypes::DataType;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature,
    Volatility, create_udf,
};
use datafusion::scalar::ScalarValue;

/// The version whose dialect and catalog we speak; the wire says the same when a client connects.
const SERVER_VERSION: &str = "16.6";

/// Settings by their PostgreSQL names, lower case. They are what holds here, and none can be changed.
pub(crate) const SETTINGS: [(&str, &str); 16] = [
    ("application_name", ""),
    ("client_encoding", "UTF8"),
    ("datestyle", "ISO, YMD"),
    ("default_transaction_read_only", "on"),
    ("integer_datetimes", "on"),
    ("intervalstyle", "postgres"),
    ("max_identifier_length", "63"),
    ("max_index_keys", "32"),
    ("search_path", "public"),
    ("server_encoding", "UTF8"),
    ("server_version", SERVER_VERSION),
    ("server_version_num", "160006"),
    ("standard_conforming_strings", "on"),
    ("timezone", "UTC"),
    ("transaction_isolation", "read committed"),
    ("transaction_read_only", "on"),
];

/// `current_setting(name [, missing_ok])`, as PostgreSQL defines it.
pub(super) fn current_setting() -> ScalarUDF {
    ScalarUDF::from(CurrentSetting {
        signature: Signature::one_of(
            vec![
                TypeSignature::Exact(vec![DataType::Utf8]),
                TypeSignature::Exact(vec![DataType::Utf8, DataType::Boolean]),
            ],
            Volatility::Stable,
        ),
    })
}

/// `version()`: starts with the word that clients look for.
pub(super) fn version() -> ScalarUDF {
    let text = format!(
        "PostgreSQL {SERVER_VERSION} (Flyball {})",
        env!("CARGO_PKG_VERSION")
    );
    create_udf(
        "version",
        Vec::new(),
        DataType::Utf8,
        Volatility::Stable,
        Arc::new(move |_: &[ColumnarValue]| {
            Ok(ColumnarValue::Scalar(ScalarValue::Utf8(Some(text.clone()))))
        }),
    )
}

/// Names of types and their numbers in every PostgreSQL server.
const TYPES: [(&[&str], i32); 15] = [
    (&["bool", "boolean"], 16),
    (&["bytea"], 17),
    (&["int8", "bigint"], 20),
    (&["int2", "smallint"], 21),
    (&["int4", "int", "integer"], 23),
    (&["text"], 25),
    (&["json"], 114),
    (&["float4", "real"], 700),
    (&["float8", "double precision"], 701),
    (&["varchar", "character varying"], 1043),
    (&["date"], 1082),
    (&["timestamp", "timestamp without time zone"], 1114),
    (&["timestamptz", "timestamp with time zone"], 1184),
    (&["interval"], 1186),
    (&["numeric", "decimal"], 1700),
];

/// `to_regtype(name)`: the number of a type; NULL for one that is not known here, which is how drivers ask for extensions.
pub(super) fn to_regtype() -> ScalarUDF {
    create_udf(
        "to_regtype",
        vec![DataType::Utf8],
        DataType::Int32,
        Volatility::Stable,
        Arc::new(|arguments: &[ColumnarValue]| {
            let arrays = ColumnarValue::values_to_arrays(arguments)?;
            let number = |name: &str| {
                let name = name.to_ascii_lowercase();
                let known = TYPES
                    .iter()
                    .find(|(names, _)| names.contains(&name.as_str()));
                known.map(|(_, number)| *number)
            };
            let names = arrays[0].as_string::<i32>().iter();
            let numbers: Int32Array = names.map(|name| name.and_then(number)).collect();
            Ok(ColumnarValue::Array(Arc::new(numbers)))
        }),
    )
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct CurrentSetting {
    signature: Signature,
}

impl ScalarUDFImpl for CurrentSetting {
    fn name(&self) -> &'static str {
        "current_setting"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&arguments.args)?;
        let names = arrays[0].as_string::<i32>();
        let mut values = Vec::with_capacity(names.len());
        for (row, name) in names.iter().enumerate() {
            values.push(match name {
                Some(name) => setting(name, missing_ok(&arrays, row))?,
                None => None,
            });
        }
        Ok(ColumnarValue::Array(Arc::new(StringArray::from(values))))
    }
}

fn missing_ok(arrays: &[ArrayRef], row: usize) -> bool {
    arrays.get(1).is_some_and(|flags| {
        let flags = flags.as_boolean();
        flags.is_valid(row) && flags.value(row)
    })
}

fn setting(name: &str, missing_ok: bool) -> Result<Option<&'static str>> {
    let wanted = name.to_ascii_lowercase();
    match SETTINGS.iter().find(|(known, _)| *known == wanted) {
        Some((_, value)) => Ok(Some(value)),
        None if missing_ok => Ok(None),
        None => Err(DataFusionError::Execution(format!(
            "unrecognized configuration parameter \"{name}\""
        ))),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::setting;

    #[test]
    fn names_are_found_in_any_case_and_missing_ones_are_an_error_unless_allowed() {
        assert_eq!(
            setting("Server_Version_Num", false).unwrap(),
            Some("160006")
        );
        assert_eq!(setting("no.such", true).unwrap(), None);
        assert!(
            setting("no.such", false)
                .unwrap_err()
                .to_string()
                .contains("no.such")
        );
    }
}
