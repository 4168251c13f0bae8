//! Has a quantity moved? A baseline and a window, compared by three distances: Kolmogorov and Smirnov's ([`mod@ks`])
//! and Wasserstein's ([`mod@wasserstein`]) for numbers, Jensen and Shannon's ([`jensen_shannon`]) for words.
//!
//! Each says how far (an effect size, the same whatever the number of values) and how likely chance alone is to get
//! that far (`p`). Only both together say drift: a distance of 0.1 between two samples of 100 is nothing, and with a
//! million values everything is significant.
//!
//! What is kept of the values is bounded ([`Grid`], [`Labels`]) and does not depend on the order in which they came, nor
//! on how they were split and merged; so neither does any result, the permutation tests' included.

mod aggregate;
mod grid;
pub mod jensen_shannon;
pub mod ks;
mod labels;
mod permutation;
pub mod wasserstein;

pub(super) use aggregate::{js_drift, ks_drift, wasserstein_drift};
pub use grid::Grid;
pub use labels::Labels;

/// Which sides a value is on: the baseline, the window. It may be on both, so that a window can be held against itself.
pub type Sides = [bool; 2];
/// How many of the baseline, and of the window.
pub type Counts = [u64; 2];

fn add(to: &mut Counts, more: Counts) {
    for (to, more) in to.iter_mut().zip(more) {
        *to += more;
    }
}

/// How many on each side in all.
fn totals(counts: impl IntoIterator<Item = Counts>) -> Counts {
    counts.into_iter().fold([0, 0], |mut sum, counts| {
        add(&mut sum, counts);
        sum
    })
}

#[cfg(test)]
mod tests;
