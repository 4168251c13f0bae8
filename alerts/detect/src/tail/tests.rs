#[path = "../../tests/it/dice.rs"]
mod dice;

use dice::Dice;

use super::*;

#[test]
fn a_power_law_is_learnt() {
    // P(X > x) = x^-2: three in a hundred exceed 5.77, and the mean logarithm of the ratio above is 1/2.
    let mut tail = Tail::default();
    let mut dice = Dice(7);
    for _ in 0..100_000 {
        tail.surprise(dice.power_law(2.0), 0.0, 0, 100_000);
    }
    assert!(
        (tail.threshold() - 5.77).abs() < 0.4,
        "{}",
        tail.threshold()
    );
    assert!((tail.excess - 0.5).abs() < 0.05, "{}", tail.excess);
    // A deviation of 100 has the chance 100^-2.
    let surprise = tail.clone().surprise(100.0, 0.0, 0, 100_000);
    assert!((surprise - 4.0).abs() < 0.3, "{surprise}");
}

#[test]
fn a_surprise_comes_as_often_as_it_says() {
    let mut tail = Tail::default();
    let (mut dice, mut over) = (Dice(3), 0);
    for n in 0..200_000 {
        let surprise = tail.surprise(dice.exponential(), 0.0, 0, 20_000);
        over += usize::from(n >= 20_000 && surprise >= 2.0);
    }
    // One in a hundred. The exponential's tail is lighter than the power law it is taken for.
    let share = over as f64 / 180_000.0;
    assert!((0.005..0.02).contains(&share), "{share}");
}

#[test]
fn the_first_hundred_are_never_surprising() {
    let mut tail = Tail::default();
    for n in 0..100 {
        assert!(tail.surprise(f64::from(n).exp(), 0.0, 64, 2_000).abs() < f64::EPSILON);
    }
    assert!(tail.first.is_empty());
}

#[test]
fn what_leaves_a_flat_line_is_surprising_and_soon_is_not() {
    let mut tail = Tail::default();
    for _ in 0..1_000 {
        assert!(tail.surprise(0.0, 0.0, 64, 2_000).abs() < f64::EPSILON);
    }
    assert!(tail.surprise(1e-9, 0.0, 64, 2_000) > 4.0);
    let mut last = 0.0;
    for n in 0..20_000 {
        let surprise = tail.surprise(if n % 100 == 0 { 1e-9 } else { 0.0 }, 0.0, 64, 2_000);
        last = if n % 100 == 0 { surprise } else { last };
    }
    // One in a hundred by now.
    assert!((1.0..3.0).contains(&last), "{last}");
}
