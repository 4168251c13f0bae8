//! Numbers of both sides, counted by value in bounded memory.

use std::collections::BTreeMap;

use super::{Counts, Sides, add, totals};

/// Different values that are told apart. Seventeen octaves (a millisecond to two minutes) get 128 steps each.
const BINS_MAX: usize = 4096;
/// Bits of a number that is not negative; without them all are zero.
const BITS: u32 = 63;

/// How often each value came on either side.
///
/// Up to 4096 different values it is exact. Past that the last bits of every number are dropped, as few as it takes:
/// numbers that agree in the rest become one, in the middle between them. How many bits that is depends on the set of
/// values alone, since fewer values never need more room, and what is left of a number does not depend on how many
/// steps it was shortened in. So the grid is the same for every order and every way to split and merge.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grid {
    /// Bits dropped from every number.
    dropped: u32,
    bins: BTreeMap<Place, Counts>,
}

/// A number's bits, so that they sort as numbers do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place(u64);

const SIGN: u64 = 1 << 63;

impl Place {
    fn of(value: f64, dropped: u32) -> Self {
        // Adding zero makes one zero of two.
        let bits = (f64::from_bits(value.to_bits() & (u64::MAX << dropped)) + 0.0).to_bits();
        Self(if bits & SIGN == 0 { bits | SIGN } else { !bits })
    }

    fn value(self) -> f64 {
        f64::from_bits(if self.0 & SIGN == 0 {
            !self.0
        } else {
            self.0 ^ SIGN
        })
    }

    /// The middle of what was shortened to this; zero stays what it is.
    fn middle(self, dropped: u32) -> f64 {
        let value = self.value();
        if dropped == 0 || value == 0.0 {
            return value;
        }
        f64::from_bits(value.to_bits() | 1 << (dropped - 1))
    }
}

impl Grid {
    /// Counts a value. What is not finite is left out.
    pub fn add(&mut self, value: f64, sides: Sides) {
        if value.is_finite() {
            self.count(value, sides.map(u64::from));
            self.fit(BINS_MAX);
        }
    }

    /// Counts what another grid has counted.
    pub fn merge(&mut self, other: &Self) {
        self.shorten(self.dropped.max(other.dropped));
        for (place, counts) in &other.bins {
            self.count(place.value(), *counts);
        }
        self.fit(BINS_MAX);
    }

    /// Values in rising order, with their counts.
    pub fn values(&self) -> impl Iterator<Item = (f64, Counts)> + '_ {
        let middle = |place: &Place| place.middle(self.dropped);
        self.bins
            .iter()
            .map(move |(place, counts)| (middle(place), *counts))
    }

    /// How many values there are on each side.
    #[must_use]
    pub fn totals(&self) -> Counts {
        totals(self.bins.values().copied())
    }

    /// By what share of itself a value may be off; 0 while all are exact.
    #[must_use]
    pub fn rounding(&self) -> f64 {
        match self.dropped {
            0 => 0.0,
            // 52 bits stand behind the point, and the middle is half a step away.
            dropped => (f64::from(dropped) - 53.0).exp2(),
        }
    }

    /// The same with no more different values than this.
    pub(super) fn at_most(&self, bins_max: usize) -> Self {
        let mut coarse = self.clone();
        coarse.fit(bins_max);
        coarse
    }

    /// Memory it takes, bytes, about: a tree's nodes are two thirds full.
    pub(super) fn memory(&self) -> usize {
        size_of::<Self>() + self.bins.len() * size_of::<(Place, Counts)>() * 3 / 2
    }

    /// Bits dropped, and the shortened values with their counts: all there is to it.
    pub(super) fn parts(&self) -> (u32, impl Iterator<Item = (f64, Counts)> + '_) {
        let bins = self.bins.iter();
        (
            self.dropped,
            bins.map(|(place, counts)| (place.value(), *counts)),
        )
    }

    /// A grid from such parts.
    pub(super) fn from_parts(dropped: u32, bins: impl IntoIterator<Item = (f64, Counts)>) -> Self {
        let mut grid = Self {
            dropped: dropped.min(BITS),
            bins: BTreeMap::new(),
        };
        for (value, counts) in bins {
            grid.count(value, counts);
        }
        grid
    }

    fn count(&mut self, value: f64, counts: Counts) {
        let place = Place::of(value, self.dropped);
        add(self.bins.entry(place).or_default(), counts);
    }

    fn shorten(&mut self, dropped: u32) {
        if dropped > self.dropped {
            self.dropped = dropped;
            for (place, counts) in std::mem::take(&mut self.bins) {
                self.count(place.value(), counts);
            }
        }
    }

    /// Drops as few bits as it takes.
    fn fit(&mut self, bins_max: usize) {
        if self.bins.len() <= bins_max {
            return;
        }
        let different = |dropped: u32| {
            let mut places: Vec<Place> = self
                .bins
                .keys()
                .map(|place| Place::of(place.value(), dropped))
                .collect();
            // Shortening keeps the order, so equals are neighbours.
            places.dedup();
            places.len()
        };
        let candidates: Vec<u32> = (self.dropped + 1..=BITS).collect();
        let at = candidates.partition_point(|dropped| different(*dropped) > bins_max);
        self.shorten(candidates.get(at).copied().unwrap_or(BITS));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn grid(values: &[f64]) -> Grid {
        let mut grid = Grid::default();
        for value in values {
            grid.add(*value, [true, false]);
        }
        grid
    }

    #[test]
    fn few_values_are_exact_and_in_order() {
        let found = grid(&[3.0, -1.5, 0.0, -0.0, 3.0, f64::NAN, f64::INFINITY]);
        let values: Vec<_> = found.values().collect();
        assert_eq!(values, [(-1.5, [1, 0]), (0.0, [2, 0]), (3.0, [2, 0])]);
        assert_eq!((found.rounding(), found.totals()), (0.0, [5, 0]));
    }

    #[test]
    fn many_values_are_all_counted_and_hardly_moved() {
        let values: Vec<f64> = (1..=100_000).map(|n| f64::from(n) * 0.37).collect();
        let found = grid(&values);
        assert!(found.bins.len() <= BINS_MAX && found.bins.len() > BINS_MAX / 4);
        assert_eq!(found.totals(), [100_000, 0]);
        // 17 octaves; the upper five have most values, and 512 steps each would be too many.
        assert!(found.rounding() > 0.0 && found.rounding() <= 1.0 / 512.0);
        for value in &values {
            let middle = Place::of(*value, found.dropped).middle(found.dropped);
            assert!((middle - value).abs() <= found.rounding() * value * 1.001);
        }
    }

    #[test]
    fn the_widest_numbers_there_are_still_fit() {
        let values: Vec<f64> = (0..20_000_u64)
            .map(|n| f64::from_bits(n.wrapping_mul(0x9E37_79B9_7F4A_7C15)))
            .collect();
        assert!(grid(&values).bins.len() <= BINS_MAX);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        /// More different values than there is room for, in another order, split into parts and merged in two ways.
        #[test]
        fn order_and_parts_do_not_matter(
            seed in any::<u64>(), cut in 0_usize..9000, second in 0_usize..9000, scale in -30_i32..30,
        ) {
            let mut state = seed;
            let mut values: Vec<f64> = (0..9000)
                .map(|_| {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    ((state >> 11) as f64 / 2_f64.powi(40) - 3000.0) * f64::from(scale).exp2()
                })
                .collect();
            let whole = grid(&values);
            let (first, last) = (cut.min(second), cut.max(second));
            let parts = [&values[..first], &values[first..last], &values[last..]].map(grid);
            let mut left = parts[0].clone();
            left.merge(&parts[1]);
            left.merge(&parts[2]);
            let mut right = parts[2].clone();
            right.merge(&parts[1]);
            let mut both = parts[0].clone();
            both.merge(&right);
            prop_assert_eq!(&left, &whole);
            prop_assert_eq!(&both, &whole);
            values.reverse();
            prop_assert_eq!(&grid(&values), &whole);
            let (dropped, bins) = whole.parts();
            prop_assert_eq!(&Grid::from_parts(dropped, bins), &whole);
        }
    }
}
