//! `ks_drift`, `wasserstein_drift` and `js_drift` (value, in_baseline, in_window): the distances as aggregate functions.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Float64Array, Int64Array, ListArray, StringArray, StructArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, Fields, Float64Type, Int64Type};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{Accumulator, AggregateUDF, Volatility, create_udaf};
use datafusion::scalar::ScalarValue;

use super::{Counts, Grid, Labels, Sides, jensen_shannon, ks, wasserstein};

/// A struct of `d` and `p` (see [`ks::Distance`]), NULL when either side is empty, with `n_baseline`, `n_window` and
/// `rounding` ([`Grid::rounding`]), which never are.
pub(in crate::functions) fn ks_drift() -> AggregateUDF {
    numbers("ks_drift", &["d", "p"], |grid| {
        let found = ks::distance(grid);
        vec![found.map(|f| f.d), found.map(|f| f.p)]
    })
}

/// A struct of `distance`, `effect` and `p` (see [`wasserstein::Distance`]), NULL when either side is empty, with
/// `n_baseline`, `n_window` and `rounding` ([`Grid::rounding`]), which never are.
pub(in crate::functions) fn wasserstein_drift() -> AggregateUDF {
    numbers("wasserstein_drift", &["distance", "effect", "p"], |grid| {
        let found = wasserstein::distance(grid);
        vec![
            found.map(|f| f.distance),
            found.map(|f| f.effect),
            found.map(|f| f.p),
        ]
    })
}

/// A struct of `distance` and `p` (see [`jensen_shannon::Distance`]), NULL when either side is empty, with `n_baseline`,
/// `n_window` and `pooled` ([`Labels::pooled`]), which never are.
pub(in crate::functions) fn js_drift() -> AggregateUDF {
    let fields = fields(&["distance", "p"], ("pooled", DataType::Int64));
    let answer = Arc::clone(&fields);
    create_udaf(
        "js_drift",
        vec![DataType::Utf8, DataType::Boolean, DataType::Boolean],
        Arc::new(DataType::Struct(fields.as_ref().clone())),
        Volatility::Immutable,
        Arc::new(move |_| {
            Ok(Box::new(Words {
                labels: Labels::default(),
                fields: Arc::clone(&answer),
            }))
        }),
        Arc::new(vec![
            list_of(DataType::Utf8),
            list_of(DataType::Int64),
            list_of(DataType::Int64),
            list_of(DataType::Int64),
        ]),
    )
}

/// What is worked out of the numbers in the end, in the order of the fields.
type Distances = fn(&Grid) -> Vec<Option<f64>>;

fn numbers(name: &str, distances: &[&str], of: Distances) -> AggregateUDF {
    let fields = fields(distances, ("rounding", DataType::Float64));
    let answer = Arc::clone(&fields);
    create_udaf(
        name,
        vec![DataType::Float64, DataType::Boolean, DataType::Boolean],
        Arc::new(DataType::Struct(fields.as_ref().clone())),
        Volatility::Immutable,
        Arc::new(move |_| {
            Ok(Box::new(Numbers {
                grid: Grid::default(),
                fields: Arc::clone(&answer),
                of,
            }))
        }),
        Arc::new(vec![
            DataType::Int64,
            list_of(DataType::Float64),
            list_of(DataType::Int64),
            list_of(DataType::Int64),
        ]),
    )
}

/// The distances, the numbers of values, and what says how the values were kept.
fn fields(distances: &[&str], kept: (&str, DataType)) -> Arc<Fields> {
    let distances = distances.iter().map(|name| (*name, DataType::Float64));
    let counts = ["n_baseline", "n_window"].map(|name| (name, DataType::Int64));
    let all = distances.chain(counts).chain([kept]);
    Arc::new(all.map(|(name, of)| Field::new(name, of, true)).collect())
}

fn list_of(item: DataType) -> DataType {
    DataType::List(Arc::new(Field::new("item", item, true)))
}

#[derive(Debug)]
struct Numbers {
    grid: Grid,
    fields: Arc<Fields>,
    of: Distances,
}

impl Accumulator for Numbers {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let numbers = values[0].as_primitive::<Float64Type>();
        for (row, number) in numbers.iter().enumerate() {
            if let (Some(number), Some(sides)) = (number, sides(values, row)) {
                self.grid.add(number, sides);
            }
        }
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let distances = (self.of)(&self.grid).into_iter().map(ScalarValue::Float64);
        let rounding = ScalarValue::Float64(Some(self.grid.rounding()));
        answer(&self.fields, distances, self.grid.totals(), rounding)
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.grid.memory()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let (dropped, bins) = self.grid.parts();
        let (places, counts): (Vec<f64>, Vec<Counts>) = bins.unzip();
        let [baseline, window] = lists(&counts);
        let places = list(Arc::new(Float64Array::from(places)));
        Ok(vec![i64::from(dropped).into(), places, baseline, window])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let dropped = states[0].as_primitive::<Int64Type>();
        for row in 0..dropped.len() {
            let places = item(&states[1], row);
            let places = places
                .as_primitive::<Float64Type>()
                .values()
                .iter()
                .copied();
            let counts = counts(&states[2], &states[3], row)?;
            let dropped = u32::try_from(dropped.value(row)).map_err(|_| broken())?;
            self.grid
                .merge(&Grid::from_parts(dropped, places.zip(counts)));
        }
        Ok(())
    }
}

#[derive(Debug)]
struct Words {
    labels: Labels,
    fields: Arc<Fields>,
}

impl Accumulator for Words {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for (row, word) in values[0].as_string::<i32>().iter().enumerate() {
            if let (Some(word), Some(sides)) = (word, sides(values, row)) {
                self.labels.add(word, sides);
            }
        }
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let found = jensen_shannon::distance(&self.labels);
        let distances = [found.map(|f| f.distance), found.map(|f| f.p)].map(ScalarValue::Float64);
        let pooled = ScalarValue::Int64(Some(whole(self.labels.pooled())));
        answer(&self.fields, distances, self.labels.totals(), pooled)
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.labels.memory()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let (kept, pooled) = self.labels.parts();
        let (words, counts): (Vec<&str>, Vec<Counts>) = kept.unzip();
        let [baseline, window] = lists(&counts);
        let words = list(Arc::new(StringArray::from(words)));
        let pooled = list(Arc::new(Int64Array::from(pooled.map(whole).to_vec())));
        Ok(vec![words, baseline, window, pooled])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        for row in 0..states[0].len() {
            let words = item(&states[0], row);
            let counts = counts(&states[1], &states[2], row)?;
            let pooled: Vec<u64> = positive(&item(&states[3], row))?;
            let pooled: Counts = pooled.try_into().map_err(|_| broken())?;
            let words = words.as_string::<i32>().iter().flatten();
            self.labels
                .merge(&Labels::from_parts(words.zip(counts), pooled));
        }
        Ok(())
    }
}

/// Which sides a row is on; None when on neither. Unknown is not on it.
fn sides(values: &[ArrayRef], row: usize) -> Option<Sides> {
    let on = |side: usize| {
        let side = values[side].as_boolean();
        side.is_valid(row) && side.value(row)
    };
    Some([on(1), on(2)]).filter(|sides| *sides != [false, false])
}

fn answer(
    fields: &Fields,
    distances: impl IntoIterator<Item = ScalarValue>,
    totals: Counts,
    kept: ScalarValue,
) -> Result<ScalarValue> {
    let totals = totals.map(|count| ScalarValue::Int64(Some(whole(count))));
    let cells = distances.into_iter().chain(totals).chain([kept]);
    let columns = cells
        .map(|cell| cell.to_array())
        .collect::<Result<Vec<_>>>()?;
    let row = StructArray::new(fields.clone(), columns, None);
    Ok(ScalarValue::Struct(Arc::new(row)))
}

fn whole(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn list(values: ArrayRef) -> ScalarValue {
    let item = Arc::new(Field::new("item", values.data_type().clone(), true));
    let offsets = OffsetBuffer::from_lengths([values.len()]);
    ScalarValue::List(Arc::new(ListArray::new(item, offsets, values, None)))
}

fn lists(counts: &[Counts]) -> [ScalarValue; 2] {
    [0, 1].map(|side| {
        let counts = counts.iter().map(|counts| whole(counts[side]));
        list(Arc::new(Int64Array::from_iter_values(counts)))
    })
}

fn item(lists: &ArrayRef, row: usize) -> ArrayRef {
    lists.as_list::<i32>().value(row)
}

fn counts(baseline: &ArrayRef, window: &ArrayRef, row: usize) -> Result<Vec<Counts>> {
    let [baseline, window] = [baseline, window].map(|side| positive(&item(side, row)));
    Ok(baseline?
        .into_iter()
        .zip(window?)
        .map(|(b, w)| [b, w])
        .collect())
}

fn positive(counts: &ArrayRef) -> Result<Vec<u64>> {
    let counts = counts.as_primitive::<Int64Type>().values().iter();
    counts
        .map(|count| u64::try_from(*count).map_err(|_| broken()))
        .collect()
}

/// A state that no accumulator of ours gave.
fn broken() -> DataFusionError {
    DataFusionError::Internal("a state of a drift function holds a count that is none".to_owned())
}
