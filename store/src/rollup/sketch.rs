//! The two sketches of a rollup row, in the bytes of Apache DataSketches: any library of that family, in
//! whatever language, reads and merges what stands in the table.
//!
//! [`Quantiles`] is a KLL sketch of 64-bit integers (`k` = 400). Up to `k` values it holds them all and is exact;
//! past that it keeps a weighted sample, chosen by tossing coins, and a quantile's rank is off by less than
//! 0.7 % with 99 % confidence. [`Distinct`] is a HyperLogLog sketch (`lg_k` = 12, 8 bits a register) of UTF-8
//! texts as DataSketches hashes them: exact for a handful, off by 1.6 % (one standard deviation) for
//! many, and the same however its texts were split and merged.

use datasketches::common::SearchCriteria;
use datasketches::hash::value::raw_bytes;
use datasketches::hll::{HllSketch, HllType, HllUnion};
use datasketches::kll::KllSketch;

use crate::error::{Error, Result};

/// Values up to which a [`Quantiles`] is exact.
const K: u16 = 400;
/// Flags of a [`Quantiles`] in bytes.
const EMPTY: u8 = 1;
const SINGLE: u8 = 4;
/// Registers of a [`Distinct`], as a power of two.
const LG_K: u8 = 12;

fn broken(what: &'static str) -> impl FnOnce(datasketches::error::Error) -> Error {
    move |source| Error::Sketch {
        what,
        reason: source.to_string(),
    }
}

/// How a set of whole numbers is spread.
#[derive(Debug, Clone)]
pub struct Quantiles(KllSketch<i64>);

impl Quantiles {
    /// Of no values.
    ///
    /// # Errors
    /// None in practice: the sketch's size is within what is accepted.
    pub fn new() -> Result<Self> {
        KllSketch::new(K).map(Self).map_err(broken("quantiles"))
    }

    /// Adds a value.
    pub fn add(&mut self, value: i64) {
        self.0.update(value);
    }

    /// Adds all values of another sketch.
    ///
    /// # Errors
    /// When the two are of different make, or hold more than 2^64 values together.
    pub fn merge(&mut self, other: &Self) -> Result<()> {
        self.0.merge(&other.0).map_err(broken("quantiles"))
    }

    /// Adds all values of a sketch in bytes. Most of the rollup's hold a few values, which are taken from where they stand.
    ///
    /// # Errors
    /// As [`Self::from_bytes`] and [`Self::merge`].
    pub fn merge_bytes(&mut self, bytes: &[u8]) -> Result<()> {
        let Some(values) = few(bytes) else {
            return self.merge(&Self::from_bytes(bytes)?);
        };
        for value in values {
            self.add(i64::from_le_bytes(*value));
        }
        Ok(())
    }

    /// Number of values.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.n()
    }

    /// The value at a rank from 0 (the smallest) to 1 (the largest), interpolated between neighbours as SQL's
    /// `percentile_cont` does. None without values, or at another rank.
    #[must_use]
    pub fn quantile(&self, rank: f64) -> Option<f64> {
        let last = self.0.n().checked_sub(1)?;
        if !(0.0..=1.0).contains(&rank) {
            return None;
        }
        let place = rank * last as f64;
        let ranks = [place.floor(), place.ceil()].map(|place| self.rank_of(place));
        // The ends are known without looking at all values in order.
        let found = match ranks {
            [one, other] if one == other => {
                let value = self.0.quantile(one, SearchCriteria::Exclusive).ok()??;
                vec![value, value]
            }
            _ => self.0.quantiles(&ranks, SearchCriteria::Exclusive).ok()??,
        };
        let [below, above] = [found.first()?, found.last()?].map(|value| *value as f64);
        Some(below + (above - below) * place.fract())
    }

    /// The rank of the value that has so many before it: half a value on, so that rounding cannot reach the neighbour.
    fn rank_of(&self, place: f64) -> f64 {
        let n = self.0.n() as f64;
        match place {
            _ if place <= 0.0 => 0.0,
            _ if place >= n - 1.0 => 1.0,
            _ => (place + 0.5) / n,
        }
    }

    /// By how much the rank of a quantile may be off, 0 while the sketch is exact.
    #[must_use]
    pub fn rank_error(&self) -> f64 {
        if self.0.is_estimation_mode() {
            self.0.normalized_rank_error()
        } else {
            0.0
        }
    }

    /// As bytes: DataSketches' compact form.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.0.serialize()
    }

    /// From such bytes.
    ///
    /// # Errors
    /// [`Error::Sketch`] when they are not a KLL sketch of 64-bit integers.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        KllSketch::deserialize(bytes)
            .map(Self)
            .map_err(broken("quantiles"))
    }

    /// Memory it takes, bytes, about.
    #[must_use]
    pub fn size(&self) -> usize {
        size_of::<Self>() + 8 * self.0.num_retained()
    }
}

/// The values in the bytes of a sketch that has them all, in no order; None when it is large, or not as we write it.
fn few(bytes: &[u8]) -> Option<&[[u8; 8]]> {
    // Length of the preamble, its version, the family KLL, flags; k and m; nothing.
    let (head, rest) = bytes.split_first_chunk::<8>()?;
    let [length, version, 15, flags, k0, k1, 8, _] = *head else {
        return None;
    };
    if u16::from_le_bytes([k0, k1]) != K {
        return None;
    }
    match (length, version, flags & (EMPTY | SINGLE)) {
        (2, 2, SINGLE) => match rest.as_chunks() {
            (one @ [_], []) => Some(one),
            _ => None,
        },
        (5, 1, 0) => {
            // n, smallest k, levels, nothing; where the level begins; the smallest and the largest value.
            let (n, rest) = rest.split_first_chunk()?;
            let (levels, rest) = rest.split_first_chunk::<8>()?;
            let (values, beyond) = rest.get(16..)?.as_chunks();
            let all = u64::from_le_bytes(*n) == values.len() as u64;
            let one = levels[2] == 1 && values.len() <= usize::from(K);
            (all && one && beyond.is_empty()).then_some(values)
        }
        _ => None,
    }
}

/// How many different texts there are.
#[derive(Debug, Clone)]
pub struct Distinct(HllUnion);

impl Distinct {
    /// Of no texts.
    ///
    /// # Errors
    /// None in practice: the sketch's size is within what is accepted.
    pub fn new() -> Result<Self> {
        HllUnion::new(LG_K).map(Self).map_err(broken("distinct"))
    }

    /// Adds a text. The empty one is nobody's name, and other implementations leave it out as well.
    pub fn add(&mut self, text: &str) {
        if !text.is_empty() {
            self.0.update_value(raw_bytes::from_str(text));
        }
    }

    /// Adds all texts of a sketch in bytes.
    ///
    /// # Errors
    /// [`Error::Sketch`] when they are not an HLL sketch.
    pub fn merge_bytes(&mut self, bytes: &[u8]) -> Result<()> {
        let other = HllSketch::deserialize(bytes).map_err(broken("distinct"))?;
        self.0.update(&other);
        Ok(())
    }

    /// The number of different texts, by the estimator that does not depend on their order.
    #[must_use]
    pub fn estimate(&self) -> u64 {
        self.0.composite_estimate().round().max(0.0) as u64
    }

    /// Whether nothing was added.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// As bytes: DataSketches' compact form.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.0.to_sketch(HllType::Hll8).serialize()
    }

    /// Memory it takes, bytes, about.
    #[must_use]
    pub fn size(&self) -> usize {
        size_of::<Self>() + self.0.estimated_size()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    fn quantiles(values: &[i64]) -> Quantiles {
        let mut sketch = Quantiles::new().unwrap();
        for value in values {
            sketch.add(*value);
        }
        sketch
    }

    #[test]
    fn few_values_are_exact_and_interpolated() {
        // 0, 100, ..., 1000: the median is 500, and 95 % of the way lies halfway between 900 and 1000.
        let sketch = quantiles(&(0..=10).rev().map(|n| n * 100).collect::<Vec<_>>());
        let at = |rank| sketch.quantile(rank).unwrap();
        assert_eq!(
            [at(0.0), at(0.5), at(0.95), at(1.0)],
            [0.0, 500.0, 950.0, 1000.0]
        );
        assert_eq!(sketch.quantile(1.1), None);
        assert_eq!(quantiles(&[]).quantile(0.5), None);
        assert_eq!(quantiles(&[7]).quantile(0.95), Some(7.0));
        assert_eq!((sketch.count(), sketch.rank_error()), (11, 0.0));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]

        #[test]
        fn up_to_k_values_every_rank_is_the_sorted_lists(
            values in proptest::collection::vec(any::<i32>(), 1..400), cut in any::<prop::sample::Index>(), rank in 0.0_f64..=1.0,
        ) {
            let values: Vec<i64> = values.into_iter().map(i64::from).collect();
            let (left, right) = values.split_at(cut.index(values.len()));
            let mut sketch = quantiles(left);
            let bytes = quantiles(right).to_bytes();
            // As few, and as any sketch.
            prop_assert!(right.is_empty() || few(&bytes).is_some_and(|few| few.len() == right.len()));
            let mut other = sketch.clone();
            sketch.merge_bytes(&bytes).unwrap();
            other.merge(&Quantiles::from_bytes(&bytes).unwrap()).unwrap();
            prop_assert_eq!((sketch.quantile(rank), sketch.count()), (other.quantile(rank), other.count()));
            let mut sorted = values.clone();
            sorted.sort_unstable();
            let place = rank * (sorted.len() - 1) as f64;
            let (low, high) = (sorted[place.floor() as usize] as f64, sorted[place.ceil() as usize] as f64);
            prop_assert_eq!(sketch.quantile(rank).unwrap(), low + (high - low) * place.fract());
            prop_assert_eq!(sketch.rank_error(), 0.0);
        }

        #[test]
        fn many_values_stay_within_the_stated_error(seed in any::<u64>(), parts in 1_usize..20) {
            let mut state = seed | 1;
            let mut next = || {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 33) as i64
            };
            let values: Vec<i64> = (0..20_000).map(|_| next()).collect();
            let mut sketch = Quantiles::new().unwrap();
            for part in values.chunks(values.len().div_ceil(parts)) {
                sketch.merge_bytes(&quantiles(part).to_bytes()).unwrap();
            }
            let mut sorted = values;
            sorted.sort_unstable();
            prop_assert!(sketch.rank_error() > 0.0 && sketch.rank_error() < 0.007);
            for rank in [0.05, 0.5, 0.95, 0.99] {
                let found = sketch.quantile(rank).unwrap() as i64;
                let truly = sorted.partition_point(|value| *value < found) as f64 / sorted.len() as f64;
                // 99 % of the time within the error; three times that is beyond any coin's reach.
                prop_assert!((truly - rank).abs() < 3.0 * sketch.rank_error(), "{} at {}", truly, rank);
            }
        }

        #[test]
        fn distinct_texts_are_counted_the_same_however_they_are_split(many in 0_usize..30_000, parts in 1_usize..9) {
            let texts: Vec<String> = (0..many).map(|n| format!("user-{n}")).collect();
            let mut whole = Distinct::new().unwrap();
            for text in &texts {
                whole.add(text);
            }
            let mut merged = Distinct::new().unwrap();
            for part in 0..parts {
                let mut sketch = Distinct::new().unwrap();
                // Every text in one part, and every third in another as well.
                for (at, text) in texts.iter().enumerate() {
                    if at % parts == part || at % 3 == part {
                        sketch.add(text);
                    }
                }
                merged.merge_bytes(&sketch.to_bytes()).unwrap();
            }
            prop_assert_eq!(whole.estimate(), merged.estimate());
            // Five standard deviations.
            let off = merged.estimate().abs_diff(many as u64) as f64;
            prop_assert!(off <= 0.5 + 5.0 * 0.0163 * many as f64, "{} of {}", merged.estimate(), many);
        }
    }

    #[test]
    fn bytes_of_another_kind_are_refused() {
        let mut distinct = Distinct::new().unwrap();
        distinct.add("");
        assert!(distinct.is_empty());
        distinct.add("a");
        let bytes = quantiles(&[1, 2]).to_bytes();
        assert!(matches!(
            distinct.merge_bytes(&bytes),
            Err(Error::Sketch {
                what: "distinct",
                ..
            })
        ));
        assert!(Quantiles::from_bytes(&distinct.to_bytes()).is_err());
        assert!(Quantiles::from_bytes(&[]).is_err());
        // As few as they look, they are not all there, or more.
        for bytes in [quantiles(&[7]).to_bytes(), quantiles(&[7, 8, 9]).to_bytes()] {
            let mut whole = Quantiles::new().unwrap();
            assert!(whole.merge_bytes(&bytes[..bytes.len() - 1]).is_err());
            assert!(whole.merge_bytes(&bytes[..bytes.len() - 8]).is_err());
            assert!(
                whole
                    .merge_bytes(&[bytes.as_slice(), &[0; 8]].concat())
                    .is_err()
            );
            assert_eq!(whole.count(), 0);
        }
        assert_eq!(distinct.estimate(), 1);
    }
}
