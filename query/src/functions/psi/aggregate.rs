//! `psi_drift(value, in_baseline, in_window)`: the index as an aggregate function.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, ListArray, StructArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, Fields, Float64Type};
use datafusion::error::Result;
use datafusion::logical_expr::{Accumulator, AggregateUDF, Volatility, create_udaf};
use datafusion::scalar::ScalarValue;

use super::drift;

/// A struct of `psi`, `expected` and `z` (see [`super::Drift`]); NULLs in it when either side is empty.
pub(in crate::functions) fn psi_drift() -> AggregateUDF {
    let list = DataType::List(item());
    create_udaf(
        "psi_drift",
        vec![DataType::Float64, DataType::Boolean, DataType::Boolean],
        Arc::new(DataType::Struct(fields())),
        Volatility::Immutable,
        Arc::new(|_| Ok(Box::new(Sides::default()))),
        Arc::new(vec![list.clone(), list]),
    )
}

fn fields() -> Fields {
    ["psi", "expected", "z"]
        .map(|name| Field::new(name, DataType::Float64, true))
        .into_iter()
        .collect()
}

fn item() -> Arc<Field> {
    Arc::new(Field::new("item", DataType::Float64, true))
}

/// The values of both sides. A value may be on both, so that a window can be held against itself.
#[derive(Debug, Default)]
struct Sides {
    baseline: Vec<f64>,
    window: Vec<f64>,
}

impl Accumulator for Sides {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let numbers = values[0].as_primitive::<Float64Type>();
        for (side, member) in [
            (&mut self.baseline, values[1].as_boolean()),
            (&mut self.window, values[2].as_boolean()),
        ] {
            for row in 0..numbers.len() {
                if numbers.is_valid(row) && member.is_valid(row) && member.value(row) {
                    side.push(numbers.value(row));
                }
            }
        }
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let found = drift(&self.baseline, &self.window);
        let columns: Vec<ArrayRef> = [
            found.map(|d| d.psi),
            found.map(|d| d.expected),
            found.and_then(|d| d.z),
        ]
        .into_iter()
        .map(|value| Arc::new(Float64Array::from(vec![value])) as ArrayRef)
        .collect();
        Ok(ScalarValue::Struct(Arc::new(StructArray::new(
            fields(),
            columns,
            None,
        ))))
    }

    fn size(&self) -> usize {
        size_of_val(self) + 8 * (self.baseline.capacity() + self.window.capacity())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![list(&self.baseline), list(&self.window)])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        for (side, lists) in [
            (&mut self.baseline, &states[0]),
            (&mut self.window, &states[1]),
        ] {
            for values in lists.as_list::<i32>().iter().flatten() {
                side.extend_from_slice(values.as_primitive::<Float64Type>().values());
            }
        }
        Ok(())
    }
}

fn list(values: &[f64]) -> ScalarValue {
    let array = Arc::new(Float64Array::from(values.to_vec()));
    let offsets = OffsetBuffer::from_lengths([values.len()]);
    ScalarValue::List(Arc::new(ListArray::new(item(), offsets, array, None)))
}
