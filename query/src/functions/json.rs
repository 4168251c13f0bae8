//! `json_text(json, key)`: one member of a JSON object, as text.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, StringArray};
use arrow::datatypes::DataType;
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarUDF, Volatility, create_udf};

/// A string as it is, anything else as its JSON text; NULL when the key is missing, its value is null,
/// or the text is not a JSON object.
pub(super) fn json_text() -> ScalarUDF {
    create_udf(
        "json_text",
        vec![DataType::Utf8, DataType::Utf8],
        DataType::Utf8,
        Volatility::Immutable,
        Arc::new(|arguments: &[ColumnarValue]| {
            let arrays = ColumnarValue::values_to_arrays(arguments)?;
            Ok(ColumnarValue::Array(each(&arrays)?))
        }),
    )
}

fn each(arrays: &[ArrayRef]) -> Result<ArrayRef> {
    let (objects, keys) = (arrays[0].as_string::<i32>(), arrays[1].as_string::<i32>());
    let texts: StringArray = objects
        .iter()
        .zip(keys.iter())
        .map(|pair| match pair {
            (Some(object), Some(key)) => member(object, key),
            _ => None,
        })
        .collect();
    Ok(Arc::new(texts))
}

fn member(object: &str, key: &str) -> Option<String> {
    match serde_json::from_str::<serde_json::Value>(object)
        .ok()?
        .get_mut(key)?
        .take()
    {
        serde_json::Value::Null => None,
        serde_json::Value::String(text) => Some(text),
        other => Some(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::member;

    #[test]
    fn members_come_as_text_and_nothing_as_null() {
        let object = r#"{"s":"a \"b\"","n":1.50,"o":{"x":[1]},"z":null}"#;
        assert_eq!(member(object, "s").as_deref(), Some("a \"b\""));
        assert_eq!(member(object, "n").as_deref(), Some("1.5"));
        assert_eq!(member(object, "o").as_deref(), Some(r#"{"x":[1]}"#));
        assert_eq!(member(object, "z"), None);
        assert_eq!(member(object, "missing"), None);
        assert_eq!(member("not json", "s"), None);
        assert_eq!(member("[1]", "s"), None);
    }
}
