//! How long a model's output to an agent is as a rule.

use std::collections::VecDeque;

/// The lengths of an agent's latest outputs from one model, in tokens.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outputs {
    latest: VecDeque<u64>,
    /// Tokens that nobody sees while they come: such calls can't be followed.
    hidden: bool,
    unkept: usize,
}

impl Outputs {
    /// How many are kept: an agent whose task changes is known anew after so many calls.
    pub const KEPT: usize = 200;
    /// Before so many, nothing is known.
    pub const ENOUGH: usize = 20;
    const PERCENT: usize = 95;

    /// Outputs that were seen before, the latest last.
    #[must_use]
    pub fn of(lengths: impl IntoIterator<Item = u64>) -> Self {
        let mut outputs = Self::default();
        for tokens in lengths {
            outputs.seen(tokens, 0);
        }
        outputs
    }

    /// One more was seen, of which `reasoning` tokens were not shown.
    pub fn seen(&mut self, tokens: u64, reasoning: u64) {
        self.hidden |= reasoning > 0;
        self.unkept += 1;
        if self.latest.len() == Self::KEPT {
            self.latest.pop_front();
        }
        self.latest.push_back(tokens);
    }

    /// A length that 95 of 100 outputs do not pass, as far as the latest tell; none while too few were
    /// seen, or when part of them can't be followed as it comes.
    ///
    /// The order statistic at ⌈0.95 (n + 1)⌉: the next output is above it with at most five in a hundred,
    /// whatever their distribution, as long as it does not change.
    #[must_use]
    pub fn upper(&self) -> Option<u64> {
        let count = self.latest.len();
        if count < Self::ENOUGH || self.hidden {
            return None;
        }
        let mut sorted: Vec<u64> = self.latest.iter().copied().collect();
        sorted.sort_unstable();
        let rank = ((count + 1) * Self::PERCENT).div_ceil(100).min(count);
        sorted.get(rank - 1).copied()
    }

    /// Whether enough is new to be kept; then it counts as kept.
    pub(super) fn is_due(&mut self) -> bool {
        let due = self.unkept >= Self::ENOUGH;
        if due {
            self.unkept = 0;
        }
        due
    }

    /// The lengths, the latest last; none when they may not be followed.
    #[must_use]
    pub fn lengths(&self) -> Vec<u64> {
        if self.hidden {
            return Vec::new();
        }
        self.latest.iter().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_upper_length_of_a_hundred() {
        assert_eq!(Outputs::of(1..=19).upper(), None);
        assert_eq!(Outputs::of(1..=20).upper(), Some(20));
        // ⌈0.95 · 101⌉ = 96
        assert_eq!(Outputs::of((1..=100).rev()).upper(), Some(96));
        // only the latest 200 count: ⌈0.95 · 201⌉ = 191
        assert_eq!(Outputs::of(1..=1000).upper(), Some(800 + 191));
        let mut thinking = Outputs::of(1..=100);
        thinking.seen(50, 30);
        assert_eq!(thinking.upper(), None);
    }

    proptest! {
        #[test]
        fn at_most_five_in_a_hundred_are_above(lengths in prop::collection::vec(0_u64..5000, 20..=200)) {
            let upper = Outputs::of(lengths.iter().copied()).upper().unwrap_or(0);
            let above = lengths.iter().filter(|length| **length > upper).count();
            prop_assert!(above * 100 <= lengths.len() * 5);
            prop_assert!(lengths.contains(&upper));
        }
    }
}
