//! `approx_percentile_cont` by groups. DataFusion's keeps one accumulator a group and sorts what each batch brings it:
//! with thousands of groups that is a few hundred values at a time, again and again. Here a group's values are kept as they
//! come, and of up to some thousands the quantile is exact; more go into its t-digest (Dunning), which, as its error, is
//! DataFusion's own.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float64Array, Float64Builder, ListBuilder, RecordBatch,
    UInt64Builder,
};
use arrow::datatypes::{DataType, FieldRef, Float64Type, Schema, UInt64Type};
use datafusion::error::{DataFusionError, Result};
use datafusion::functions_aggregate::approx_percentile_cont::approx_percentile_cont_udaf;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, ColumnarValue, EmitTo, GroupsAccumulator,
    Signature,
};
use datafusion::scalar::ScalarValue;
use datafusion_functions_aggregate_common::tdigest::{Centroid, DEFAULT_MAX_SIZE, TDigest};

/// Values that a group keeps as they are before they go into its digest.
const FRESH_MAX: usize = 4096;
/// Digests that a group keeps before they are merged.
const PARTS_MAX: usize = 16;

/// The same function, faster with many groups.
pub(super) fn approx_percentile_cont() -> AggregateUDF {
    AggregateUDF::from(Percentile {
        theirs: approx_percentile_cont_udaf(),
    })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Percentile {
    theirs: Arc<AggregateUDF>,
}

impl AggregateUDFImpl for Percentile {
    fn name(&self) -> &str {
        self.theirs.name()
    }

    fn signature(&self) -> &Signature {
        self.theirs.signature()
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        self.theirs.return_type(arguments)
    }

    fn state_fields(&self, arguments: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        self.theirs.state_fields(arguments)
    }

    fn accumulator(&self, arguments: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        self.theirs.accumulator(arguments)
    }

    fn supports_within_group_clause(&self) -> bool {
        true
    }

    fn groups_accumulator_supported(&self, arguments: AccumulatorArgs<'_>) -> bool {
        rank(&arguments).is_some()
    }

    fn create_groups_accumulator(
        &self,
        arguments: AccumulatorArgs<'_>,
    ) -> Result<Box<dyn GroupsAccumulator>> {
        let rank = rank(&arguments).ok_or_else(|| {
            DataFusionError::Internal(format!("{} has no rank from 0 to 1", arguments.name))
        })?;
        Ok(Box::new(Groups {
            rank,
            groups: Vec::new(),
        }))
    }
}

/// The rank that is asked for; None where theirs has to see to it, or to refuse it.
fn rank(arguments: &AccumulatorArgs<'_>) -> Option<f64> {
    let ([_, rank], false) = (arguments.exprs, arguments.is_distinct) else {
        return None;
    };
    if arguments.expr_fields.first()?.data_type() != &DataType::Float64 {
        return None;
    }
    let nothing = RecordBatch::new_empty(Arc::new(Schema::empty()));
    let Ok(ColumnarValue::Scalar(ScalarValue::Float64(Some(rank)))) = rank.evaluate(&nothing)
    else {
        return None;
    };
    let descending = arguments
        .order_bys
        .first()
        .is_some_and(|order| order.options.descending);
    let rank = if descending { 1.0 - rank } else { rank };
    (0.0..=1.0).contains(&rank).then_some(rank)
}

/// What is known of every group.
#[derive(Debug)]
struct Groups {
    rank: f64,
    groups: Vec<Group>,
}

#[derive(Debug, Default)]
struct Group {
    fresh: Vec<f64>,
    parts: Vec<TDigest>,
}

impl Group {
    fn add(&mut self, value: f64) {
        self.fresh.push(value);
        if self.fresh.len() >= FRESH_MAX {
            self.settle();
        }
    }

    fn merge(&mut self, digest: TDigest) {
        self.parts.push(digest);
        if self.parts.len() >= PARTS_MAX {
            self.settle();
        }
    }

    /// Everything in one digest.
    fn settle(&mut self) {
        let one = TDigest::merge_digests(&self.parts);
        let fresh = std::mem::take(&mut self.fresh);
        self.parts.clear();
        self.parts.push(if fresh.is_empty() {
            one
        } else {
            one.merge_unsorted_f64(fresh)
        });
    }

    fn digest(mut self) -> TDigest {
        self.settle();
        self.parts
            .pop()
            .unwrap_or_else(|| TDigest::new(DEFAULT_MAX_SIZE))
    }

    fn quantile(mut self, rank: f64) -> Option<f64> {
        if self.parts.is_empty() {
            return among(&mut self.fresh, rank);
        }
        let digest = self.digest();
        (digest.count() > 0.0).then(|| digest.estimate_quantile(rank))
    }
}

/// The value at a rank from 0 to 1 among a few, interpolated between neighbours.
fn among(values: &mut [f64], rank: f64) -> Option<f64> {
    let place = rank * values.len().checked_sub(1)? as f64;
    let (_, below, above) = values.select_nth_unstable_by(place as usize, f64::total_cmp);
    let next = above.iter().copied().min_by(f64::total_cmp);
    let next = next.filter(|_| place.fract() > 0.0).unwrap_or(*below);
    Some(*below + (next - *below) * place.fract())
}

/// Digests on their way from one stage to the next, column by column as DataFusion has them. A group with few values hands
/// them on as they are: centroids of weight one, in no order.
#[derive(Default)]
struct States {
    sizes: UInt64Builder,
    /// Sum, count, largest, smallest.
    figures: [Float64Builder; 4],
    centroids: ListBuilder<Float64Builder>,
}

impl States {
    fn add(&mut self, group: Group) {
        if group.parts.is_empty() && !group.fresh.is_empty() {
            let values = || group.fresh.iter().copied();
            let most = values().max_by(f64::total_cmp).unwrap_or(f64::NAN);
            let least = values().min_by(f64::total_cmp).unwrap_or(f64::NAN);
            let figures = [values().sum(), group.fresh.len() as f64, most, least];
            self.push(
                DEFAULT_MAX_SIZE,
                figures,
                values().map(|value| (value, 1.0)),
            );
        } else {
            let digest = group.digest();
            let figures = [digest.sum(), digest.count(), digest.max(), digest.min()];
            let centroids = digest.centroids().iter();
            let centroids = centroids.map(|centroid| (centroid.mean(), centroid.weight()));
            self.push(digest.max_size(), figures, centroids);
        }
    }

    fn push(
        &mut self,
        size: usize,
        figures: [f64; 4],
        centroids: impl Iterator<Item = (f64, f64)>,
    ) {
        self.sizes.append_value(size as u64);
        for (column, figure) in self.figures.iter_mut().zip(figures) {
            column.append_value(figure);
        }
        for (mean, weight) in centroids {
            self.centroids.values().append_value(mean);
            self.centroids.values().append_value(weight);
        }
        self.centroids.append(true);
    }

    fn finish(mut self) -> Vec<ArrayRef> {
        let mut columns: Vec<ArrayRef> = vec![Arc::new(self.sizes.finish())];
        for mut figure in self.figures {
            columns.push(Arc::new(figure.finish()));
        }
        columns.push(Arc::new(self.centroids.finish()));
        columns
    }
}

impl GroupsAccumulator for Groups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        filter: Option<&BooleanArray>,
        groups: usize,
    ) -> Result<()> {
        self.groups.resize_with(groups, Group::default);
        let values = values[0].as_primitive::<Float64Type>();
        for (row, group) in group_indices.iter().enumerate() {
            let counts = filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row));
            if counts && values.is_valid(row) {
                self.groups[*group].add(values.value(row));
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
        self.groups.resize_with(groups, Group::default);
        let size = values[0].as_primitive::<UInt64Type>();
        let [sum, count, most, least] =
            [1, 2, 3, 4].map(|at: usize| values[at].as_primitive::<Float64Type>());
        let lists = values[5].as_list::<i32>();
        let all = lists.values().as_primitive::<Float64Type>().values();
        for (row, group) in group_indices.iter().enumerate() {
            let ends = [row, row + 1].map(|at| lists.value_offsets()[at] as usize);
            let (centroids, _) = all[ends[0]..ends[1]].as_chunks::<2>();
            let group = &mut self.groups[*group];
            if centroids.iter().all(|[_, weight]| *weight == 1.0) {
                for [value, _] in centroids {
                    group.add(*value);
                }
                continue;
            }
            let centroids = centroids
                .iter()
                .map(|[mean, weight]| Centroid::new(*mean, *weight));
            group.merge(TDigest::try_from_parts(
                size.value(row) as usize,
                sum.value(row),
                count.value(row),
                most.value(row),
                least.value(row),
                centroids.collect(),
            )?);
        }
        Ok(())
    }

    fn state(&mut self, emit: EmitTo) -> Result<Vec<ArrayRef>> {
        let mut states = States::default();
        for group in emit.take_needed(&mut self.groups) {
            states.add(group);
        }
        Ok(states.finish())
    }

    /// Each row as the state of a group of its own.
    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        filter: Option<&BooleanArray>,
    ) -> Result<Vec<ArrayRef>> {
        let rows = values[0].len();
        let mut alone = Self {
            rank: self.rank,
            groups: Vec::new(),
        };
        let each: Vec<usize> = (0..rows).collect();
        alone.update_batch(values, &each, filter, rows)?;
        alone.state(EmitTo::All)
    }

    fn evaluate(&mut self, emit: EmitTo) -> Result<ArrayRef> {
        let rank = self.rank;
        let groups = emit.take_needed(&mut self.groups).into_iter();
        let told: Float64Array = groups.map(|group| group.quantile(rank)).collect();
        Ok(Arc::new(told))
    }

    fn size(&self) -> usize {
        let of = |group: &Group| {
            group.fresh.capacity() * size_of::<f64>()
                + group.parts.iter().map(TDigest::size).sum::<usize>()
        };
        self.groups.capacity() * size_of::<Group>() + self.groups.iter().map(of).sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use arrow::array::AsArray;
    use arrow::compute::concat_batches;
    use arrow::datatypes::Float64Type;
    use datafusion::prelude::{SessionConfig, SessionContext};

    async fn asked(context: &SessionContext, sql: &str) -> Vec<Option<f64>> {
        let batches = context.sql(sql).await.unwrap().collect().await.unwrap();
        let all = concat_batches(&batches[0].schema(), &batches).unwrap();
        all.column(0).as_primitive::<Float64Type>().iter().collect()
    }

    #[tokio::test]
    async fn it_answers_as_theirs_does_and_exactly_where_there_is_little() {
        let config = SessionConfig::new()
            .with_target_partitions(3)
            .with_batch_size(512);
        let (ours, theirs) = (
            SessionContext::new_with_config(config.clone()),
            SessionContext::new_with_config(config),
        );
        ours.register_udaf(super::approx_percentile_cont());
        // 40,000 values that are not in order, some of them NULL, in groups of 1, 100 and the rest.
        let rows = "(SELECT CASE WHEN v % 7 = 0 THEN NULL ELSE CAST((v * 7919) % 40009 AS DOUBLE) END AS x, \
                    CASE WHEN v = 1 THEN 0 WHEN v <= 100 THEN 1 ELSE 2 END AS g FROM generate_series(1, 40000) t(v)) r";
        for call in [
            "approx_percentile_cont(x, 0.5)",
            "approx_percentile_cont(x, 0.99)",
            "approx_percentile_cont(x, 0.0)",
            "approx_percentile_cont(x, 1.0)",
            "approx_percentile_cont(x, 0.9, 200)",
            "approx_percentile_cont(0.25) WITHIN GROUP (ORDER BY x DESC)",
            "approx_percentile_cont(x, 0.5) FILTER (WHERE x > 20000)",
            "approx_percentile_cont(x, 0.5) FILTER (WHERE x < 0)",
        ] {
            for sql in [
                format!("SELECT {call} FROM {rows} GROUP BY g ORDER BY g"),
                format!("SELECT {call} FROM {rows}"),
            ] {
                let (a, b) = (asked(&ours, &sql).await, asked(&theirs, &sql).await);
                assert_eq!(a.len(), b.len(), "{sql}");
                for pair in a.iter().zip(&b) {
                    match pair {
                        // Ranks of either are within about a hundredth.
                        (Some(a), Some(b)) => assert!((a - b).abs() < 800.0, "{sql}: {a} {b}"),
                        (a, b) => assert_eq!(a, b, "{sql}"),
                    }
                }
            }
        }
        let few = "SELECT approx_percentile_cont(x, 0.5) FROM (VALUES (3.0), (1.0), (2.0)) t(x) GROUP BY x > 9";
        assert_eq!(asked(&ours, few).await, [Some(2.0)]);
    }
}
