//! Many agents that behave, and one that does not, under the rules that ship.

use proptest::prelude::*;

use super::*;

/// A small generator of our own: the same seed, the same traffic.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    /// Heavy-tailed: a thousandth of a dollar is usual, a dollar happens (Pareto, index 1.2).
    fn dollars(&mut self) -> f64 {
        let u = (self.below(1_000_000) + 1) as f64 / 1_000_000.0;
        (0.001 * u.powf(-1.0 / 1.2)).min(1.5)
    }
}

fn defaults() -> String {
    include_str!("../../../rules/default.yaml").to_owned()
}

/// One second of an agent that behaves: a few calls, spend under 4.90 USD a minute, a poll every five seconds
/// (six equal calls in 30 s), and now and then a failure or a step forward.
fn second(
    bench: &mut Bench,
    dice: &mut Dice,
    name: &str,
    spent: &mut [f64; 60],
    at: usize,
) -> Vec<ChargeRow> {
    spent[at % 60] = 0.0;
    let mut rows = Vec::new();
    for _ in 0..dice.below(3) {
        let dollars = dice.dollars();
        if spent.iter().sum::<f64>() + dollars < 4.9 {
            spent[at % 60] += dollars;
            let mut row = bench.model(name, 0);
            row.cost_usd = Decimal::from_f64_retain(dollars).map(|d| d.round_dp(12));
            rows.push(row);
        }
    }
    if at.is_multiple_of(5) || dice.below(2) == 0 {
        let input = if at.is_multiple_of(5) {
            "poll".to_owned()
        } else {
            format!("{}", dice.next())
        };
        let mut row = bench.tool(name, &input);
        row.error_type = (dice.below(10) == 0).then(|| "timeout".into());
        row.progress = (dice.below(4) == 0).then_some(0.1);
        rows.push(row);
    }
    rows
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, ..ProptestConfig::default() })]
    #[test]
    fn healthy_agents_are_never_touched_and_the_runaway_is_frozen_once(
        seed in 1u64..u64::MAX,
        onset in 30usize..120,
        by_loop in any::<bool>(),
    ) {
        const AGENTS: usize = 30;
        let mut bench = Bench::new(&defaults());
        let mut dice = Dice(seed);
        let mut spent = vec![[0.0; 60]; AGENTS];
        let mut frozen_at = None;
        for at in 0..240 {
            bench.pass(1);
            let mut rows = Vec::new();
            for (agent, spent) in spent.iter_mut().enumerate() {
                rows.extend(second(&mut bench, &mut dice, &format!("agent-{agent}"), spent, at));
            }
            if at >= onset && frozen_at.is_none() {
                rows.push(bench.model("runaway", if by_loop { 1 } else { 250 }));
                if by_loop {
                    rows.push(bench.tool("runaway", "same"));
                }
            }
            // Corrections now and then: taken back and entered anew, a little dearer.
            let corrected: Vec<_> = rows
                .iter()
                .filter(|_| dice.below(20) == 0)
                .flat_map(|row| {
                    let mut anew = row.clone();
                    anew.charge_id.push_str("-again");
                    [anew, reversal(row)]
                })
                .collect();
            bench.live(&rows);
            bench.live(&corrected);
            bench.obey();
            if frozen_at.is_none() && !bench.frozen().is_empty() {
                frozen_at = Some(at);
            }
        }
        let runaway = agent("runaway");
        prop_assert_eq!(bench.frozen(), vec![&runaway]);
        let others: Vec<_> = bench.orders.iter().filter(|o| o.scope != runaway).collect();
        prop_assert!(others.is_empty(), "{:?}", others);
        let seconds = frozen_at.unwrap() - onset;
        prop_assert!(seconds <= 8, "{} s after its onset", seconds);
    }
}
