//! `opened(text)`: a text of the ledger with the names of people in it readable, or `erased`.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, StringArray};
use arrow::datatypes::DataType;
use datafusion::logical_expr::{ColumnarValue, ScalarUDF, Volatility, create_udf};

use crate::Source;

/// Texts that hold nothing sealed are as they were. The answer depends on keys that may be dropped at any time.
pub(super) fn opened(source: &Arc<dyn Source>) -> ScalarUDF {
    let source = Arc::clone(source);
    create_udf(
        "opened",
        vec![DataType::Utf8],
        DataType::Utf8,
        Volatility::Volatile,
        Arc::new(move |arguments: &[ColumnarValue]| {
            let arrays = ColumnarValue::values_to_arrays(arguments)?;
            let texts = arrays[0].as_string::<i32>().iter();
            let texts: StringArray = texts.map(|text| Some(source.opened(text?))).collect();
            Ok(ColumnarValue::Array(Arc::new(texts) as ArrayRef))
        }),
    )
}
