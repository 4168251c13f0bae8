#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;

const S: i64 = 1_000_000_000;

fn policy() -> Policy {
    Policy {
        threshold: Threshold {
            trigger: Decimal::TEN,
            recover: Decimal::from(8),
            low: false,
        },
        hold: 0,
        keep_firing_for: 60 * S,
        cool_down: 30 * S,
        no_data: NoData::Hold,
    }
}

/// Feeds (second, sample) pairs and returns the changes with their seconds.
fn run(policy: &Policy, samples: &[(i64, Sample)]) -> Vec<(i64, State)> {
    let mut machine = Machine::default();
    let mut changes = Vec::new();
    for (second, sample) in samples {
        let (next, change) = machine.step(*sample, second * S, policy);
        machine = next;
        changes.extend(change.map(|c| (*second, c.to)));
    }
    changes
}

fn v(value: i64) -> Sample {
    Sample::Value(Decimal::from(value))
}

#[test]
fn without_a_hold_it_fires_at_once_and_recovers_slowly() {
    let samples = [
        (0, v(3)),
        (1, v(10)),
        (2, v(9)),
        (20, v(7)),
        (31, v(7)),
        (60, v(7)),
        (80, v(7)),
    ];
    let want = [(1, State::Firing), (31, State::Recovering), (80, State::Ok)];
    assert_eq!(run(&policy(), &samples), want);
}

#[test]
fn the_value_between_the_thresholds_neither_fires_nor_recovers() {
    assert_eq!(run(&policy(), &[(0, v(9)), (100, v(9))]), []);
    assert_eq!(
        run(&policy(), &[(0, v(10)), (100, v(9)), (200, v(8))]),
        [(0, State::Firing)]
    );
}

#[test]
fn a_hold_must_be_held_without_a_gap() {
    let policy = Policy {
        hold: 10 * S,
        cool_down: S,
        ..policy()
    };
    let samples = [
        (0, v(10)),
        (9, v(10)),
        (9, v(9)),
        (12, v(10)),
        (21, v(10)),
        (22, v(10)),
    ];
    let want = [
        (0, State::Pending),
        (9, State::Ok),
        (12, State::Pending),
        (22, State::Firing),
    ];
    assert_eq!(run(&policy, &samples), want);
}

#[test]
fn a_relapse_fires_at_once() {
    let samples = [(0, v(10)), (40, v(1)), (41, v(10))];
    let want = [
        (0, State::Firing),
        (40, State::Recovering),
        (41, State::Firing),
    ];
    assert_eq!(run(&policy(), &samples), want);
}

#[test]
fn what_cannot_be_measured_does_not_resolve() {
    for unmeasured in [Sample::NoData, Sample::Error] {
        for no_data in [NoData::Hold, NoData::Alert] {
            let policy = Policy {
                no_data,
                ..policy()
            };
            let samples = [
                (0, v(10)),
                (100, unmeasured),
                (1_000, unmeasured),
                (2_000, unmeasured),
            ];
            assert_eq!(run(&policy, &samples), [(0, State::Firing)]);
        }
    }
    // A gap in the measuring starts the recovery anew.
    let samples = [
        (0, v(10)),
        (40, v(1)),
        (90, Sample::Error),
        (100, v(1)),
        (159, v(1)),
        (160, v(1)),
    ];
    let want = [
        (0, State::Firing),
        (40, State::Recovering),
        (160, State::Ok),
    ];
    assert_eq!(run(&policy(), &samples), want);
}

#[test]
fn silence_means_what_the_rule_says() {
    let alert = Policy {
        no_data: NoData::Alert,
        ..policy()
    };
    assert_eq!(
        run(&alert, &[(0, v(1)), (1, Sample::NoData)]),
        [(1, State::NoData)]
    );
    let ok = Policy {
        no_data: NoData::Ok,
        ..policy()
    };
    let samples = [(0, v(10)), (40, Sample::NoData), (100, Sample::NoData)];
    assert_eq!(
        run(&ok, &samples),
        [
            (0, State::Firing),
            (40, State::Recovering),
            (100, State::Ok)
        ]
    );
    assert_eq!(
        run(&policy(), &[(0, Sample::Error), (40, v(1))]),
        [(0, State::Error), (40, State::Ok)]
    );
}

#[test]
fn low_values_can_be_the_bad_ones() {
    let threshold = Threshold {
        trigger: Decimal::from(5),
        recover: Decimal::from(8),
        low: true,
    };
    let policy = Policy {
        threshold,
        keep_firing_for: 0,
        ..policy()
    };
    let samples = [(0, v(6)), (1, v(5)), (40, v(8)), (80, v(9))];
    assert_eq!(
        run(&policy, &samples),
        [(1, State::Firing), (80, State::Ok)]
    );
}

fn any_sample() -> impl Strategy<Value = Sample> {
    prop_oneof![
        8 => (0i64..20).prop_map(v),
        1 => Just(Sample::NoData),
        1 => Just(Sample::Error),
    ]
}

fn any_policy() -> impl Strategy<Value = Policy> {
    let no_data = prop_oneof![Just(NoData::Hold), Just(NoData::Ok), Just(NoData::Alert)];
    (0i64..40, 0i64..80, 1i64..60, any::<bool>(), no_data).prop_map(
        |(hold, keep, cool, low, no_data)| {
            let recover = Decimal::from(if low { 12 } else { 8 });
            Policy {
                threshold: Threshold {
                    trigger: Decimal::TEN,
                    recover,
                    low,
                },
                hold: hold * S,
                keep_firing_for: keep * S,
                cool_down: cool * S,
                no_data,
            }
        },
    )
}

fn any_samples() -> impl Strategy<Value = Vec<(i64, Sample)>> {
    // Steps may be zero, and now and then the clock goes back.
    prop::collection::vec((-3i64..25, any_sample()), 1..200).prop_map(|steps| {
        let mut now = 1_000;
        steps
            .into_iter()
            .map(|(step, sample)| {
                now += step;
                (now, sample)
            })
            .collect()
    })
}

proptest! {
    #[test]
    fn never_more_than_two_changes_in_a_cool_down(policy in any_policy(), samples in any_samples()) {
        let mut machine = Machine::default();
        let mut changes: Vec<i64> = Vec::new();
        for (second, sample) in samples {
            let (next, change) = machine.step(sample, second * S, &policy);
            machine = next;
            if change.is_some() {
                changes.push(machine.last);
            }
        }
        for three in changes.windows(3) {
            prop_assert!(three[2] - three[0] >= policy.cool_down, "{three:?}");
        }
    }

    #[test]
    fn a_restart_in_any_state_changes_nothing(
        policy in any_policy(),
        samples in any_samples(),
        restarts in prop::collection::vec(any::<bool>(), 200),
    ) {
        let mut steady = Machine::default();
        let mut restarted = Machine::default();
        for ((second, sample), restart) in samples.into_iter().zip(restarts) {
            if restart {
                let saved = serde_json::to_string(&restarted).unwrap();
                restarted = serde_json::from_str(&saved).unwrap();
            }
            let a = steady.step(sample, second * S, &policy);
            let b = restarted.step(sample, second * S, &policy);
            prop_assert_eq!(a, b);
            (steady, restarted) = (a.0, b.0);
        }
    }

    #[test]
    fn too_much_for_long_enough_always_fires(policy in any_policy(), before in any_samples()) {
        let mut machine = Machine::default();
        let mut now = 0;
        for (second, sample) in before {
            (machine, _) = machine.step(sample, second * S, &policy);
            now = machine.last;
        }
        for _ in 0..=(policy.hold / S) {
            (machine, _) = machine.step(v(10), now, &policy);
            now += S;
        }
        prop_assert_eq!(machine.state, State::Firing);
    }
}
