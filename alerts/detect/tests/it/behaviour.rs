//! What the detector finds, how soon, and how often it is wrong, on series whose truth is known.

use flyball_detect::{Aspect, Config, Detector, Verdict};

use super::dice::Dice;

const MINUTE: i64 = 60;
const DAY: i64 = 1_440;

fn detector() -> Detector {
    Detector::new(Config::default()).unwrap()
}

/// Feeds samples a minute apart from that minute on.
fn feed(detector: &mut Detector, from: i64, values: impl IntoIterator<Item = f64>) -> Vec<Verdict> {
    let minutes = from..;
    let samples = minutes.zip(values);
    samples
        .map(|(minute, value)| detector.observe(minute * MINUTE, value))
        .collect()
}

fn alarms(verdicts: &[Verdict]) -> Vec<usize> {
    let rows = verdicts.iter().enumerate();
    rows.filter(|(_, verdict)| verdict.alarm)
        .map(|(row, _)| row)
        .collect()
}

/// Fourteen days of noise, then what is given; the verdicts on what is given.
fn after_noise(seed: u64, mut then: impl FnMut(&mut Dice) -> f64, samples: usize) -> Vec<Verdict> {
    let (mut dice, mut detector) = (Dice(seed), detector());
    let noise: Vec<f64> = (0..14 * DAY).map(|_| 100.0 + 5.0 * dice.normal()).collect();
    feed(&mut detector, 0, noise);
    let values: Vec<f64> = (0..samples).map(|_| then(&mut dice)).collect();
    feed(&mut detector, 14 * DAY, values)
}

/// In how many of twenty runs a shift by so many deviations is told within so many samples.
fn told(deviations: f64, within: usize) -> usize {
    let level = 100.0 + 5.0 * deviations;
    let told = |seed: &u64| {
        !alarms(&after_noise(
            *seed,
            |dice| level + 5.0 * dice.normal(),
            within,
        ))
        .is_empty()
    };
    (0..20).filter(told).count()
}

#[test]
fn a_shift_is_told_the_sooner_the_larger_it_is() {
    let counts = [told(8.0, 1), told(4.0, 10), told(2.0, 64)];
    assert_eq!(counts[0], 20);
    assert!(counts[1] >= 18 && counts[2] >= 18, "{counts:?}");
}

#[test]
fn one_event_is_told_once_or_twice_however_long_it_lasts() {
    for seed in 0..20 {
        let found = after_noise(seed, |dice| 200.0 + 5.0 * dice.normal(), 240);
        assert!(
            (1..=3).contains(&alarms(&found).len()),
            "{seed}: {:?}",
            alarms(&found)
        );
    }
}

#[test]
fn a_series_that_gets_stuck_is_told_by_its_activity() {
    for seed in 0..20 {
        let found = after_noise(seed, |_| 100.0, 300);
        let told = found
            .iter()
            .find(|verdict| verdict.alarm)
            .and_then(|verdict| verdict.evidence);
        assert!(
            told.is_some_and(|evidence| evidence.aspect == Aspect::Activity),
            "{seed}: {told:?}"
        );
    }
}

#[test]
fn evidence_says_what_was_expected_and_how_far_off_is_usual() {
    let found = after_noise(1, |_| 140.0, 1);
    let evidence = found[0].evidence.unwrap();
    assert_eq!(evidence.aspect, Aspect::Level);
    assert!((evidence.observed - 140.0).abs() < f64::EPSILON);
    assert!((evidence.expected - 100.0).abs() < 2.0);
    // 97 of 100 normal samples are within 2.17 deviations of 5.
    let within = (evidence.usual_to - evidence.usual_from) / 2.0;
    assert!((within - 10.85).abs() < 2.0, "{evidence}");
    assert_eq!(evidence.last_seen, None);
    assert!(
        evidence
            .to_string()
            .starts_with("level 140.000000, expected ")
    );
}

/// Busy from 09:00 to 17:00, quiet else, with noise.
fn working_day(minute: i64, dice: &mut Dice) -> f64 {
    let busy = (9..17).contains(&(minute % DAY / 60));
    let base = if busy { 200.0 } else { 20.0 };
    base * (1.0 + 0.05 * dice.normal())
}

/// How often, of five runs with six days each after the first four, the day's beginning or end is told.
fn openings_told(alarm_rarity: f64) -> usize {
    let of_run = |seed| {
        let config = Config {
            alarm_rarity,
            ..Config::default()
        };
        let (mut dice, mut detector) = (Dice(seed), Detector::new(config).unwrap());
        let values: Vec<f64> = (0..10 * DAY)
            .map(|minute| working_day(minute, &mut dice))
            .collect();
        let found = alarms(&feed(&mut detector, 0, values));
        let minutes = found.into_iter().map(|row| row as i64);
        minutes
            .filter(|minute| *minute >= 4 * DAY)
            .filter(|minute| matches!(minute % DAY, 540..550 | 1_020..1_030))
            .count()
    };
    (0..5).map(of_run).sum()
}

#[test]
fn the_tenfold_step_of_a_working_day_is_seldom_told_after_four_days() {
    // Of sixty. What is left is activity in the hour in which the step lies.
    assert!(openings_told(Config::default().alarm_rarity) <= 20);
    assert_eq!(openings_told(2.5), 0);
}

#[test]
fn work_at_three_in_the_morning_is_told() {
    for seed in 0..5 {
        let (mut dice, mut detector) = (Dice(seed), detector());
        let values: Vec<f64> = (0..10 * DAY + 180)
            .map(|minute| working_day(minute, &mut dice))
            .collect();
        feed(&mut detector, 0, values);
        let verdict = detector.observe((10 * DAY + 180) * MINUTE, 200.0);
        assert!(verdict.alarm, "{seed}: {verdict:?}");
    }
}

#[test]
fn a_flat_line_is_never_an_alarm_and_what_leaves_it_is() {
    let mut detector = detector();
    assert!(alarms(&feed(&mut detector, 0, vec![3.0; 5_000])).is_empty());
    assert!(detector.observe(5_000 * MINUTE, 3.000_001).alarm);
}

#[test]
fn a_burst_that_comes_every_hour_is_soon_no_news() {
    let mut detector = detector();
    let values = (0..10 * DAY).map(|minute| if minute % 60 == 30 { 50.0 } else { 0.0 });
    let found = alarms(&feed(&mut detector, 0, values));
    let late = found.iter().filter(|row| **row as i64 > 5 * DAY).count();
    assert!(late <= 5, "{found:?}");
}

#[test]
fn noise_of_any_shape_raises_few_false_alarms() {
    let shapes: [(&str, fn(&mut Dice) -> f64); 4] = [
        ("normal", Dice::normal),
        ("exponential", |dice| -(1.0 - dice.uniform()).ln()),
        ("lognormal", |dice| dice.normal().exp()),
        ("power law", |dice| (1.0 - dice.uniform()).powf(-1.0 / 1.5)),
    ];
    for (name, shape) in shapes {
        let (mut dice, mut detector) = (Dice(11), detector());
        let values: Vec<f64> = (0..40_000).map(|_| shape(&mut dice)).collect();
        let count = alarms(&feed(&mut detector, 0, values)).len();
        // About one in a thousand.
        assert!(count <= 70, "{name}: {count}");
    }
}
