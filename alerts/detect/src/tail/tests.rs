use super::*;

/// Uniform in (0, 1), the same on every machine (splitmix64).
fn uniform(state: &mut u64) -> f64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut bits = *state;
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((bits ^ (bits >> 31)) >> 11) as f64 / (1_u64 << 53) as f64 + f64::EPSILON
}

#[test]
fn a_power_law_is_learnt() {
    // P(X > x) = x^-2: three in a hundred exceed 5.77, and the mean logarithm of the ratio above is 1/2.
    let mut tail = Tail::default();
    let mut state = 7;
    for _ in 0..100_000 {
        tail.surprise(uniform(&mut state).powf(-0.5), 0.0, 0, 100_000);
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
    let (mut state, mut over) = (3, 0);
    for n in 0..200_000 {
        let surprise = tail.surprise(-uniform(&mut state).ln(), 0.0, 0, 20_000);
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
