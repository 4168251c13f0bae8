//! `opened(text)`: a text of the ledger with the names of people in it readable, or `erased`.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, StringArray};
use arrow::datatypes::DataType;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{ColumnarValue, ScalarUDF, Volatility, create_udf};

use crate::Source;

/// Texts that hold nothing sealed are as they were. The answer depends on keys that may be dropped at any time.
pub(super) fn opened(source: &Arc<dyn Source>) -> ScalarUDF {
    // Weak, since the catalogue refers to itself and is never dropped: it would keep a closed store's lock.
    let source = Arc::downgrade(source);
    create_udf(
        "opened",
        vec![DataType::Utf8],
        DataType::Utf8,
        Volatility::Volatile,
        Arc::new(move |arguments: &[ColumnarValue]| {
            let Some(source) = source.upgrade() else {
                return Err(DataFusionError::Execution("the store is closed".to_owned()));
            };
            let arrays = ColumnarValue::values_to_arrays(arguments)?;
            let texts = arrays[0].as_string::<i32>().iter();
            let texts: StringArray = texts.map(|text| Some(source.opened(text?))).collect();
            Ok(ColumnarValue::Array(Arc::new(texts) as ArrayRef))
        }),
    )
}
