//! Functions of PostgreSQL's catalog that have one answer here, whatever they are asked: everything there is can be seen,
//! nothing has a definition in PostgreSQL's own words, and nobody
//! holds a lock.

use arrow::datatypes::DataType;
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature,
    Volatility,
};
use datafusion::scalar::ScalarValue;

/// By name; a text that is not there is NULL.
const ANSWERS: [(&str, Answer); 14] = [
    ("pg_advisory_unlock_all", Answer::NoText),
    ("pg_collation_is_visible", Answer::Is(true)),
    ("pg_function_is_visible", Answer::Is(true)),
    ("pg_get_function_arguments", Answer::NoText),
    ("pg_get_function_identity_arguments", Answer::NoText),
    ("pg_get_function_result", Answer::NoText),
    ("pg_get_ruledef", Answer::NoText),
    ("pg_get_serial_sequence", Answer::NoText),
    ("pg_get_triggerdef", Answer::NoText),
    (
        "pg_get_viewdef",
        Answer::Text("-- one of the server's own: docs/metrics.md"),
    ),
    ("pg_is_in_recovery", Answer::Is(false)),
    ("pg_opclass_is_visible", Answer::Is(true)),
    ("pg_operator_is_visible", Answer::Is(true)),
    ("pg_type_is_visible", Answer::Is(true)),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Answer {
    NoText,
    Text(&'static str),
    Is(bool),
}

pub(super) fn all() -> impl Iterator<Item = ScalarUDF> {
    ANSWERS.into_iter().map(|(name, answer)| {
        ScalarUDF::from(Fixed {
            name,
            answer,
            signature: Signature::one_of(
                vec![TypeSignature::Nullary, TypeSignature::VariadicAny],
                Volatility::Stable,
            ),
        })
    })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Fixed {
    name: &'static str,
    answer: Answer,
    signature: Signature,
}

impl ScalarUDFImpl for Fixed {
    fn name(&self) -> &'static str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(match self.answer {
            Answer::NoText | Answer::Text(_) => DataType::Utf8,
            Answer::Is(_) => DataType::Boolean,
        })
    }

    fn invoke_with_args(&self, _arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Ok(ColumnarValue::Scalar(match self.answer {
            Answer::NoText => ScalarValue::Utf8(None),
            Answer::Text(text) => ScalarValue::Utf8(Some(text.to_owned())),
            Answer::Is(value) => ScalarValue::Boolean(Some(value)),
        }))
    }
}
