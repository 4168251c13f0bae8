//! When something as surprising was last seen.

use serde::{Deserialize, Serialize};

/// Surprises are told apart by tenths of a decade, up to a hundred decades.
const LEVELS_A_DECADE: f64 = 10.0;
const LEVELS: u16 = 1_000;

/// The latest sample at each level of surprise, as far as no later one was higher: oldest and highest first.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Recurrence {
    latest: Vec<(u64, u16)>,
}

impl Recurrence {
    /// Samples since one that was at least as surprising; none if there never was. `now` counts samples.
    pub(crate) fn since(&self, now: u64, surprise: f64) -> Option<u64> {
        let level = level(surprise);
        let (at, _) = self
            .latest
            .iter()
            .rev()
            .find(|(_, other)| *other >= level)?;
        Some(now.saturating_sub(*at))
    }

    /// Takes a surprise in, and forgets what is older than `memory`.
    pub(crate) fn note(&mut self, now: u64, surprise: f64, memory: u32) {
        let level = level(surprise);
        while self.latest.pop_if(|(_, other)| *other <= level).is_some() {}
        self.latest.push((now, level));
        let oldest = now.saturating_sub(u64::from(memory));
        self.latest.retain(|(at, _)| *at >= oldest);
    }
}

fn level(surprise: f64) -> u16 {
    // A cast saturates, and what is not a number becomes zero.
    ((surprise * LEVELS_A_DECADE) as u16).min(LEVELS)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_agrees_with_a_search_of_the_whole_past(surprises in prop::collection::vec(0.0..12.0_f64, 1..400)) {
            let mut recurrence = Recurrence::default();
            let memory = 50;
            for (now, surprise) in surprises.iter().enumerate() {
                let past = &surprises[now.saturating_sub(memory)..now];
                let expected = past
                    .iter()
                    .rev()
                    .position(|other| level(*other) >= level(*surprise))
                    .map(|back| back as u64 + 1);
                let found = recurrence.since(now as u64, *surprise).filter(|back| *back <= memory as u64);
                prop_assert_eq!(found, expected);
                recurrence.note(now as u64, *surprise, memory as u32);
            }
        }

        #[test]
        fn it_is_bounded(surprises in prop::collection::vec(any::<f64>(), 1..3_000)) {
            let mut recurrence = Recurrence::default();
            for (now, surprise) in surprises.into_iter().enumerate() {
                recurrence.note(now as u64, surprise, 1_000_000);
                prop_assert!(recurrence.latest.len() <= usize::from(LEVELS) + 1);
            }
        }
    }
}
