//! `date_trunc`, DataFusion's, without its detour: a time with a zone is taken apart into a calendar's date and put together
//! again, row by row, and all our times are in UTC, which is as if they had none.

use std::sync::Arc;

use arrow::array::{ArrayRef, make_array};
use arrow::datatypes::{DataType, FieldRef};
use datafusion::error::Result;
use datafusion::logical_expr::sort_properties::{ExprProperties, SortProperties};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};

/// The same function, faster on columns in UTC.
pub(super) fn date_trunc() -> ScalarUDF {
    ScalarUDF::from(DateTrunc {
        theirs: datafusion::functions::datetime::date_trunc(),
    })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct DateTrunc {
    theirs: Arc<ScalarUDF>,
}

impl ScalarUDFImpl for DateTrunc {
    fn name(&self) -> &str {
        self.theirs.name()
    }

    fn aliases(&self) -> &[String] {
        self.theirs.aliases()
    }

    fn signature(&self) -> &Signature {
        self.theirs.signature()
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        self.theirs.return_type(arguments)
    }

    fn return_field_from_args(&self, arguments: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        self.theirs.return_field_from_args(arguments)
    }

    fn invoke_with_args(&self, mut arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let Some(ColumnarValue::Array(times)) = arguments.args.get(1) else {
            return self.theirs.invoke_with_args(arguments);
        };
        let (unit, zone) = match times.data_type() {
            DataType::Timestamp(unit, Some(zone)) if zone.as_ref() == "UTC" => {
                (*unit, Arc::clone(zone))
            }
            _ => return self.theirs.invoke_with_args(arguments),
        };
        let bare = DataType::Timestamp(unit, None);
        arguments.args[1] = ColumnarValue::Array(read_as(times, bare.clone())?);
        // What it promises is held to what it gives.
        let promised = arguments.return_field.as_ref().clone();
        arguments.return_field = Arc::new(promised.with_data_type(bare));
        match self.theirs.invoke_with_args(arguments)? {
            ColumnarValue::Array(cut) => {
                let cut = read_as(&cut, DataType::Timestamp(unit, Some(zone)))?;
                Ok(ColumnarValue::Array(cut))
            }
            other => Ok(other),
        }
    }

    fn output_ordering(&self, input: &[ExprProperties]) -> Result<SortProperties> {
        self.theirs.output_ordering(input)
    }
}

/// The same numbers under another type of the same width.
fn read_as(array: &ArrayRef, data_type: DataType) -> Result<ArrayRef> {
    let data = array.to_data().into_builder().data_type(data_type);
    Ok(make_array(data.build()?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Arc;

    use arrow::array::{ArrayRef, TimestampMicrosecondArray};
    use arrow::datatypes::{DataType, Field};
    use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF};
    use datafusion::scalar::ScalarValue;

    fn cut(function: &ScalarUDF, unit: &str, times: &ArrayRef) -> ArrayRef {
        let field = Arc::new(Field::new("t", times.data_type().clone(), true));
        let answer = function.invoke_with_args(ScalarFunctionArgs {
            args: vec![
                ColumnarValue::Scalar(ScalarValue::Utf8(Some(unit.to_owned()))),
                ColumnarValue::Array(Arc::clone(times)),
            ],
            arg_fields: vec![
                Arc::new(Field::new("unit", DataType::Utf8, false)),
                Arc::clone(&field),
            ],
            number_rows: times.len(),
            return_field: field,
            config_options: Arc::default(),
        });
        answer.unwrap().into_array(times.len()).unwrap()
    }

    #[test]
    fn every_unit_is_cut_as_by_theirs() {
        let micros = [
            Some(0),
            None,
            Some(-1),
            Some(1_795_392_000_123_456),
            Some(-2_000_000_000_000_001),
            Some(951_782_399_999_999),
        ];
        let times = TimestampMicrosecondArray::from(micros.to_vec()).with_timezone("UTC");
        let times: ArrayRef = Arc::new(times);
        let theirs = datafusion::functions::datetime::date_trunc();
        for unit in [
            "microsecond",
            "millisecond",
            "second",
            "minute",
            "hour",
            "day",
            "week",
            "month",
            "quarter",
            "year",
        ] {
            let ours = cut(&super::date_trunc(), unit, &times);
            assert_eq!(&ours, &cut(&theirs, unit, &times), "{unit}");
        }
    }
}
