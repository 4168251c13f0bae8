//! Sketches in SQL, in the bytes that the rollup's rows hold (see [`flyball_store::sketch`]): `kll_value` and
//! `hll_value` make one of a single value, `kll_merge` and `hll_merge` bring many together, and `kll_quantile`,
//! `kll_count` and `hll_count` say what is in one.

use std::hash::{Hash, Hasher};
use std::marker::PhantomData;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Float64Array, Int64Array};
use arrow::compute::nullif;
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::function::AccumulatorArgs;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, ColumnarValue, EmitTo, GroupsAccumulator,
    ScalarUDF, Signature, Volatility, create_udf,
};
use datafusion::scalar::ScalarValue;
use flyball_store::sketch::{Distinct, Quantiles};

fn broken(error: flyball_store::Error) -> DataFusionError {
    DataFusionError::Execution(error.to_string())
}

/// What was merged so far.
trait Sketch: Sized + std::fmt::Debug + Send + Sync + 'static {
    fn empty() -> Result<Self>;
    fn merge(&mut self, bytes: &[u8]) -> Result<()>;
    /// None while nothing was merged.
    fn bytes(&self) -> Option<Vec<u8>>;
    fn memory(&self) -> usize;
}

impl Sketch for Quantiles {
    fn empty() -> Result<Self> {
        Self::new().map_err(broken)
    }
    fn merge(&mut self, bytes: &[u8]) -> Result<()> {
        self.merge_bytes(bytes).map_err(broken)
    }
    fn bytes(&self) -> Option<Vec<u8>> {
        (self.count() > 0).then(|| self.to_bytes())
    }
    fn memory(&self) -> usize {
        self.size()
    }
}

impl Sketch for Distinct {
    fn empty() -> Result<Self> {
        Self::new().map_err(broken)
    }
    fn merge(&mut self, bytes: &[u8]) -> Result<()> {
        self.merge_bytes(bytes).map_err(broken)
    }
    fn bytes(&self) -> Option<Vec<u8>> {
        (!self.is_empty()).then(|| self.to_bytes())
    }
    fn memory(&self) -> usize {
        self.size()
    }
}

/// `kll_merge(sketch)`: all values of all sketches; NULL without any.
pub(super) fn kll_merge() -> AggregateUDF {
    merge::<Quantiles>("kll_merge")
}

/// `hll_merge(sketch)`: all texts of all sketches; NULL without any.
pub(super) fn hll_merge() -> AggregateUDF {
    merge::<Distinct>("hll_merge")
}

fn merge<S: Sketch>(name: &'static str) -> AggregateUDF {
    AggregateUDF::from(Merge::<S> {
        name,
        signature: Signature::exact(vec![DataType::Binary], Volatility::Immutable),
        sketch: PhantomData,
    })
}

#[derive(Debug)]
struct Merge<S> {
    name: &'static str,
    signature: Signature,
    sketch: PhantomData<S>,
}

impl<S> PartialEq for Merge<S> {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl<S> Eq for Merge<S> {}

impl<S> Hash for Merge<S> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl<S: Sketch> AggregateUDFImpl for Merge<S> {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(DataType::Binary)
    }

    fn accumulator(&self, _arguments: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(Merged(S::empty()?)))
    }

    fn groups_accumulator_supported(&self, _arguments: AccumulatorArgs<'_>) -> bool {
        true
    }

    fn create_groups_accumulator(
        &self,
        _arguments: AccumulatorArgs<'_>,
    ) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(Groups::<S>(Vec::new())))
    }
}

#[derive(Debug)]
struct Merged<S>(S);

impl<S: Sketch> Accumulator for Merged<S> {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for bytes in values[0].as_binary::<i32>().iter().flatten() {
            self.0.merge(bytes)?;
        }
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(ScalarValue::Binary(self.0.bytes()))
    }

    fn size(&self) -> usize {
        self.0.memory()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.evaluate()?])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.update_batch(states)
    }
}

/// The same by groups. An hour of a rollup has many sketches of few values for each of many groups: to bring each batch's
/// together by group first costs more than to merge them.
#[derive(Debug)]
struct Groups<S>(Vec<S>);

impl<S: Sketch> GroupsAccumulator for Groups<S> {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        filter: Option<&BooleanArray>,
        groups: usize,
    ) -> Result<()> {
        while self.0.len() < groups {
            self.0.push(S::empty()?);
        }
        let sketches = values[0].as_binary::<i32>().iter().zip(group_indices);
        for (row, (bytes, group)) in sketches.enumerate() {
            let counts = filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row));
            if let (Some(bytes), true) = (bytes, counts) {
                self.0[*group].merge(bytes)?;
            }
        }
        Ok(())
    }

    fn merge_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        groups: usize,
    ) -> Result<()> {
        self.update_batch(values, group_indices, None, groups)
    }

    fn state(&mut self, emit: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.evaluate(emit)?])
    }

    /// Each is the state of a group of its own as it is.
    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        filter: Option<&BooleanArray>,
    ) -> Result<Vec<ArrayRef>> {
        let counts = |filter: &BooleanArray| match filter.nulls() {
            Some(nulls) => filter.values() & nulls.inner(),
            None => filter.values().clone(),
        };
        Ok(vec![match filter {
            None => Arc::clone(&values[0]),
            Some(filter) => nullif(&values[0], &BooleanArray::from(!&counts(filter)))?,
        }])
    }

    fn evaluate(&mut self, emit: EmitTo) -> Result<ArrayRef> {
        let taken = emit.take_needed(&mut self.0);
        let merged = taken.iter().map(Sketch::bytes);
        Ok(Arc::new(BinaryArray::from_iter(merged)))
    }

    fn size(&self) -> usize {
        self.0.capacity() * size_of::<S>() + self.0.iter().map(S::memory).sum::<usize>()
    }
}

/// `kll_value(number)`: a sketch of one whole number.
pub(super) fn kll_value() -> ScalarUDF {
    scalar(
        "kll_value",
        vec![DataType::Int64],
        DataType::Binary,
        |arrays| {
            let sketches = arrays[0].as_primitive::<Int64Type>().iter().map(|value| {
                let Some(value) = value else { return Ok(None) };
                let mut sketch = Quantiles::empty()?;
                sketch.add(value);
                Ok(sketch.bytes())
            });
            let sketches = sketches.collect::<Result<Vec<_>>>()?;
            Ok(Arc::new(BinaryArray::from_iter(sketches)))
        },
    )
}

/// `hll_value(text)`: a sketch of one text; NULL for the empty one.
pub(super) fn hll_value() -> ScalarUDF {
    scalar(
        "hll_value",
        vec![DataType::Utf8],
        DataType::Binary,
        |arrays| {
            let sketches = arrays[0].as_string::<i32>().iter().map(|text| {
                let Some(text) = text else { return Ok(None) };
                let mut sketch = Distinct::empty()?;
                sketch.add(text);
                Ok(sketch.bytes())
            });
            let sketches = sketches.collect::<Result<Vec<_>>>()?;
            Ok(Arc::new(BinaryArray::from_iter(sketches)))
        },
    )
}

/// `kll_quantile(sketch, rank)`: the value at a rank from 0 to 1, interpolated; NULL at another rank.
pub(super) fn kll_quantile() -> ScalarUDF {
    let arguments = vec![DataType::Binary, DataType::Float64];
    scalar("kll_quantile", arguments, DataType::Float64, |arrays| {
        let ranks = arrays[1].as_primitive::<Float64Type>();
        let sketches = arrays[0].as_binary::<i32>().iter().zip(ranks);
        let found = sketches.map(|pair| match pair {
            (Some(bytes), Some(rank)) => {
                Ok(Quantiles::from_bytes(bytes).map_err(broken)?.quantile(rank))
            }
            _ => Ok(None),
        });
        Ok(Arc::new(found.collect::<Result<Float64Array>>()?))
    })
}

/// `kll_count(sketch)`: how many values are in it.
pub(super) fn kll_count() -> ScalarUDF {
    count("kll_count", |bytes| {
        let sketch = Quantiles::from_bytes(bytes).map_err(broken)?;
        Ok(sketch.count())
    })
}

/// `hll_count(sketch)`: how many different texts are in it, about.
pub(super) fn hll_count() -> ScalarUDF {
    count("hll_count", |bytes| {
        let mut sketch = Distinct::empty()?;
        Sketch::merge(&mut sketch, bytes)?;
        Ok(sketch.estimate())
    })
}

fn count(name: &str, of: fn(&[u8]) -> Result<u64>) -> ScalarUDF {
    scalar(
        name,
        vec![DataType::Binary],
        DataType::Int64,
        move |arrays| {
            let counts = arrays[0].as_binary::<i32>().iter().map(|bytes| {
                let count = bytes.map(of).transpose()?;
                Ok(count.map(|count| i64::try_from(count).unwrap_or(i64::MAX)))
            });
            Ok(Arc::new(counts.collect::<Result<Int64Array>>()?))
        },
    )
}

fn scalar(
    name: &str,
    arguments: Vec<DataType>,
    result: DataType,
    of: impl Fn(&[ArrayRef]) -> Result<ArrayRef> + Send + Sync + 'static,
) -> ScalarUDF {
    create_udf(
        name,
        arguments,
        result,
        Volatility::Immutable,
        Arc::new(move |arguments: &[ColumnarValue]| {
            let arrays = ColumnarValue::values_to_arrays(arguments)?;
            Ok(ColumnarValue::Array(of(&arrays)?))
        }),
    )
}
