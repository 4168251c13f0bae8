//! The shapes of traffic: how long prompts are, when people work, how uneven a minute is, what a token costs.

use super::dice::Dice;
use super::{DAY, HOUR, MINUTE};

/// Tokens in and out of consecutive requests to a conversation service and to a code completion service: from the
/// Azure LLM inference trace 2023 (github.com/Azure/AzurePublicDataset, Microsoft, CC BY 4.0), conversation from
/// 18:17:14.79 and code from 18:40:46.15 of 2023-11-16 on. Drawn from with even chances.
pub(super) const CONVERSATION: [(i64, i64); 48] = [
    (194, 217),
    (1063, 396),
    (206, 217),
    (1083, 386),
    (1016, 436),
    (958, 427),
    (91, 16),
    (335, 18),
    (895, 114),
    (1004, 532),
    (194, 223),
    (1001, 427),
    (954, 390),
    (4083, 44),
    (203, 217),
    (980, 385),
    (91, 24),
    (428, 102),
    (878, 110),
    (4088, 41),
    (212, 164),
    (982, 411),
    (445, 174),
    (394, 86),
    (1023, 421),
    (1314, 152),
    (1009, 420),
    (1007, 375),
    (1161, 373),
    (4085, 52),
    (1067, 429),
    (1038, 409),
    (1136, 422),
    (169, 217),
    (313, 18),
    (1116, 574),
    (1240, 501),
    (1060, 58),
    (209, 167),
    (428, 108),
    (1093, 414),
    (1045, 585),
    (435, 111),
    (1037, 390),
    (422, 95),
    (1313, 201),
    (1184, 394),
    (1001, 396),
];
pub(super) const CODE: [(i64, i64); 48] = [
    (1710, 14),
    (4623, 92),
    (1495, 9),
    (913, 14),
    (1495, 7),
    (240, 12),
    (505, 45),
    (1122, 8),
    (2534, 10),
    (1076, 7),
    (7437, 21),
    (1037, 49),
    (1712, 7),
    (7436, 7),
    (2536, 66),
    (1077, 8),
    (914, 9),
    (1888, 7),
    (4050, 18),
    (1723, 19),
    (505, 26),
    (175, 11),
    (4623, 115),
    (914, 6),
    (2927, 9),
    (1077, 10),
    (1050, 18),
    (535, 6),
    (1568, 53),
    (914, 9),
    (768, 8),
    (133, 15),
    (1882, 55),
    (4496, 9),
    (987, 7),
    (2127, 73),
    (1727, 17),
    (7436, 11),
    (602, 62),
    (1714, 6),
    (7435, 9),
    (987, 8),
    (2643, 20),
    (1897, 7),
    (351, 6),
    (1417, 33),
    (508, 44),
    (1078, 37),
];

/// Unrest of a minute, as the standard deviation of the logarithm of the rate. The same trace has a coefficient of
/// variation of a minute's cost of 0.26 for conversation and 0.77 for code, in its busiest hour; the rest of it comes
/// from the sizes and the arrivals themselves.
pub(super) const EVEN: f64 = 0.22;
pub(super) const BURSTY: f64 = 0.65;

/// A model: picodollars a token (a dollar for a million tokens is a million).
#[derive(Debug)]
pub struct Model {
    pub name: &'static str,
    pub input: i64,
    pub cached: i64,
    pub output: i64,
}

const fn model(name: &'static str, input: i64, cached: i64, output: i64) -> Model {
    Model {
        name,
        input,
        cached,
        output,
    }
}

pub const MODELS: [Model; 7] = [
    model("mid-a", 1_000_000, 100_000, 4_000_000),
    model("small-a", 250_000, 25_000, 2_000_000),
    model("mid-b", 1_250_000, 125_000, 10_000_000),
    model("large-a", 3_000_000, 300_000, 15_000_000),
    model("nano-a", 100_000, 10_000, 400_000),
    model("small-b", 300_000, 30_000, 2_500_000),
    // What the others fall back to when their own has no capacity.
    model("frontier-a", 15_000_000, 1_500_000, 75_000_000),
];
pub(super) const FALLBACK: usize = 6;

/// When an agent has work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hours {
    /// Nine to six on working days, in the agent's zone; nothing else.
    Office,
    /// All day, least at night, half as much at the weekend.
    Waking,
    /// Once a night.
    Nightly,
    /// Every few minutes, always.
    Clockwork,
}

/// Share of the busiest hour's rate, by hour of the local day.
const OFFICE: [f64; 24] = [
    0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.15, 0.7, 1.0, 0.95, 0.6, 0.8, 0.95, 0.9, 0.75, 0.4,
    0.0, 0.0, 0.0, 0.0, 0.0, 0.0,
];
const WAKING: [f64; 24] = [
    0.22, 0.16, 0.12, 0.1, 0.1, 0.14, 0.24, 0.4, 0.6, 0.8, 0.92, 0.97, 0.95, 0.95, 1.0, 0.98, 0.95,
    0.9, 0.85, 0.85, 0.8, 0.68, 0.5, 0.34,
];

/// How busy the hours are at a moment, 0 to 1; `zone` is in nanoseconds. The first of the month is a Monday.
pub(super) fn rhythm(hours: Hours, start: i64, at: i64, zone: i64) -> f64 {
    let local = at - start + zone;
    let hour = usize::try_from(local.rem_euclid(DAY) / HOUR).unwrap_or(0);
    let weekend = local.div_euclid(DAY).rem_euclid(7) >= 5;
    match hours {
        Hours::Office if weekend => 0.0,
        Hours::Office => OFFICE[hour],
        Hours::Waking if weekend => 0.5 * WAKING[hour],
        Hours::Waking => WAKING[hour],
        Hours::Nightly | Hours::Clockwork => 1.0,
    }
}

/// How much more or less goes on in these three minutes than usual: log-normal with mean 1, the same whoever asks.
pub(super) fn unrest(seed: u64, at: i64, sigma: f64) -> f64 {
    let place = (at / (3 * MINUTE)).unsigned_abs();
    let mut dice = Dice(seed ^ place.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    (sigma * dice.normal() - sigma * sigma / 2.0).exp()
}

/// Log-normal, by its median.
pub(super) fn around(dice: &mut Dice, median: f64, sigma: f64) -> f64 {
    median * (sigma * dice.normal()).exp()
}

/// Nanoseconds, log-normal around so many seconds.
pub(super) fn seconds(dice: &mut Dice, median: f64, sigma: f64) -> i64 {
    (around(dice, median, sigma) * 1e9) as i64
}

pub(super) fn pick<T: Copy>(dice: &mut Dice, of: &[T]) -> T {
    of[below(dice, of.len())]
}

pub(super) fn below(dice: &mut Dice, n: usize) -> usize {
    ((dice.uniform() * n as f64) as usize).min(n.saturating_sub(1))
}

/// 64 bits that nobody else has.
pub(super) fn fresh(dice: &mut Dice) -> u64 {
    (dice.uniform() * 2f64.powi(53)) as u64 ^ dice.0.rotate_left(17)
}
