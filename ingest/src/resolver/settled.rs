//! Which traces have settled, as far back as there is room: a late span must not open its trace as new.

use std::collections::{HashSet, VecDeque};

/// A bounded memory of trace ids; the oldest is forgotten first.
#[derive(Debug)]
pub(super) struct Settled {
    ids: HashSet<u128>,
    order: VecDeque<u128>,
    room: usize,
}

impl Settled {
    pub(super) fn with_room(room: usize) -> Self {
        Self { ids: HashSet::new(), order: VecDeque::new(), room }
    }

    pub(super) fn add(&mut self, id: u128) {
        if !self.ids.insert(id) {
            return;
        }
        self.order.push_back(id);
        if self.order.len() > self.room
            && let Some(oldest) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }
    }

    pub(super) fn holds(&self, id: u128) -> bool {
        self.ids.contains(&id)
    }
}
