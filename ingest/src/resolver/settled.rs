//! Which traces have settled, as far back as there is room: a late span must not open its trace as new.

use std::collections::{HashSet, VecDeque};

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
            ids: HashSet::new(),
            order: VecDeque::new(),
            room,
            horizon: i64::MIN,
        }
    }

    /// Remembers a trace, whose last span ended at this time (nanoseconds since 1970).
    pub(super) fn add(&mut self, id: u128, ended: i64) {
        if !self.ids.insert(id) {
            return;
        }
        self.order.push_back((id, ended));
        if self.order.len() > self.room
            && let Some((oldest, ended)) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
            self.horizon = self.horizon.max(ended);
        }
    }

    /// Nothing is known of traces that began before this time (nanoseconds since 1970).
    pub(super) fn forget_before(&mut self, time: i64) {
        self.horizon = self.horizon.max(time);
    }

    /// Whether a trace of which a span started at this time may have settled: it is remembered, or it is so
    /// old that it may have been forgotten.
    pub(super) fn may_hold(&self, id: u128, start: i64) -> bool {
        start < self.horizon || self.ids.contains(&id)
    }
}
