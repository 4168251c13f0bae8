//! Which traces have settled, as far back as there is room: a late span must not open its trace as new.

use std::collections::VecDeque;

use flyball_store::hashed::HashSet;

/// What the clocks of a trace's senders may differ by, nanoseconds. Not more than needed: a trace that
/// begins this soon after a forgotten one ended is looked up for nothing.
const SKEW: i64 = 10_000_000_000;

/// A bounded memory of trace ids. The oldest is forgotten first; what remains of it is the
/// [horizon](Settled::may_hold), before which every trace has to be looked up.
#[derive(Debug)]
pub(super) struct Settled {
    ids: HashSet<u128>,
    order: VecDeque<(u128, i64)>,
    room: usize,
    horizon: i64,
}

impl Settled {
    pub(super) fn with_room(room: usize) -> Self {
        Self {
            ids: HashSet::default(),
            order: VecDeque::new(),
            room,
            horizon: i64::MIN,
        }
    }

    /// Remembers a trace, whose last span says it ended at this time (nanoseconds since 1970). A sender's
    /// clock may be ahead; nothing has ended later than now.
    pub(super) fn add(&mut self, id: u128, ended: i64, now: i64) {
        if !self.ids.insert(id) {
            return;
        }
        self.order.push_back((id, ended.min(now)));
        if self.order.len() > self.room
            && let Some((oldest, ended)) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
            self.forget_before(ended);
        }
    }

    /// Nothing is known of traces that began before this time (nanoseconds since 1970), give or take what
    /// clocks differ by.
    pub(super) fn forget_before(&mut self, time: i64) {
        self.horizon = self.horizon.max(time.saturating_add(SKEW));
    }

    /// Whether a trace of which a span started at this time may have settled: it is remembered, or it is so
    /// old that it may have been forgotten.
    pub(super) fn may_hold(&self, id: u128, start: i64) -> bool {
        start < self.horizon || self.ids.contains(&id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;
    const NOW: i64 = 1_795_000_000 * SECOND;

    #[test]
    fn a_clock_that_is_ahead_does_not_make_every_later_trace_be_looked_up() {
        let mut settled = Settled::with_room(1);
        settled.add(1, NOW + 5_000_000_000 * SECOND, NOW);
        settled.add(2, NOW, NOW);
        assert!(settled.may_hold(1, NOW), "forgotten, and old enough");
        assert!(
            settled.may_hold(2, i64::MAX),
            "remembered, whatever it says"
        );
        assert!(!settled.may_hold(3, NOW + SKEW), "a new trace is new");
    }

    #[test]
    fn a_late_span_of_a_forgotten_trace_is_looked_up_when_its_clock_is_a_little_ahead() {
        let mut settled = Settled::with_room(0);
        settled.add(1, NOW, NOW + SECOND);
        assert!(settled.may_hold(1, NOW + SKEW - 1));
    }

    #[test]
    fn an_import_of_old_traces_in_order_looks_none_of_them_up() {
        let mut settled = Settled::with_room(1);
        for day in 0..5 {
            let ended = day * 86_400 * SECOND;
            assert!(!settled.may_hold(day as u128, ended - SECOND));
            settled.add(day as u128, ended, NOW);
        }
    }
}
