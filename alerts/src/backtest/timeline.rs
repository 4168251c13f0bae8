//! The states of each key over time, cut into as many parts as there is room for: of each part, the gravest.

use std::collections::BTreeMap;

use crate::state::State;

/// Keys that get a line; further ones are counted.
const LINES: usize = 1_000;

/// What happened in one part of the time, from harmless to grave.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mark {
    /// All was well.
    #[default]
    Quiet,
    /// Nothing to judge by.
    Blind,
    /// Too much, but not for long enough.
    Pending,
    /// Well again, and watched for a while.
    Recovering,
    /// Too much.
    Firing,
    /// It wished to act, and something spoke against it.
    Withheld,
    /// It would have acted.
    Ordered,
}

impl From<State> for Mark {
    fn from(state: State) -> Self {
        match state {
            State::Ok => Self::Quiet,
            State::Pending => Self::Pending,
            State::Firing => Self::Firing,
            State::Recovering => Self::Recovering,
            State::NoData | State::Error => Self::Blind,
        }
    }
}

/// One key over time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lane {
    /// Such as `agent=triage`.
    pub key: String,
    /// One mark for each part of the time, the oldest first.
    pub marks: Vec<Mark>,
}

/// The lines, while they are drawn. Times in nanoseconds since 1970.
#[derive(Debug)]
pub(super) struct Timeline {
    since: i64,
    until: i64,
    parts: usize,
    lanes: BTreeMap<String, Line>,
    /// Keys in the order in which something first happened to them.
    order: Vec<String>,
    /// Keys without a line.
    pub(super) left_out: u64,
}

#[derive(Debug)]
struct Line {
    marks: Vec<Mark>,
    state: State,
    from: i64,
}

impl Timeline {
    pub(super) fn new(since: i64, until: i64, parts: usize) -> Self {
        Self {
            since,
            until,
            parts: parts.max(1),
            lanes: BTreeMap::new(),
            order: Vec::new(),
            left_out: 0,
        }
    }

    /// A key goes over to another state.
    pub(super) fn change(&mut self, key: &str, to: State, at: i64) {
        let Some(line) = self.line(key, at) else {
            return;
        };
        let (state, from) = (line.state, line.from);
        (line.state, line.from) = (to, at);
        self.paint(key, state.into(), from, at);
        // However short it lasts.
        self.paint(key, to.into(), at, at);
    }

    /// Something happened to a key at one moment.
    pub(super) fn mark(&mut self, key: &str, mark: Mark, at: i64) {
        if self.line(key, at).is_some() {
            self.paint(key, mark, at, at);
        }
    }

    /// The lines, those first to which something happened first.
    pub(super) fn end(mut self) -> Vec<Lane> {
        let until = self.until;
        for key in self.order.clone() {
            if let Some(line) = self.lanes.get(&key) {
                let (state, from) = (line.state, line.from);
                self.paint(&key, state.into(), from, until);
            }
        }
        let lanes = &mut self.lanes;
        let lane = |key| {
            let line = lanes.remove(&key)?;
            Some(Lane {
                key,
                marks: line.marks,
            })
        };
        self.order.into_iter().filter_map(lane).collect()
    }

    fn line(&mut self, key: &str, at: i64) -> Option<&mut Line> {
        if !self.lanes.contains_key(key) {
            if self.lanes.len() >= LINES {
                self.left_out += 1;
                return None;
            }
            self.order.push(key.to_owned());
            let line = Line {
                marks: vec![Mark::Quiet; self.parts],
                state: State::Ok,
                from: at,
            };
            self.lanes.insert(key.to_owned(), line);
        }
        self.lanes.get_mut(key)
    }

    fn paint(&mut self, key: &str, mark: Mark, from: i64, to: i64) {
        let (first, last) = (self.part(from), self.part(to));
        if let Some(line) = self.lanes.get_mut(key) {
            for place in &mut line.marks[first..=last] {
                *place = mark.max(*place);
            }
        }
    }

    fn part(&self, at: i64) -> usize {
        let long = i128::from(self.until - self.since).max(1);
        let into = i128::from(at.clamp(self.since, self.until) - self.since);
        let part = into * self.parts as i128 / long;
        usize::try_from(part).unwrap_or(0).min(self.parts - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_shows_the_gravest_of_it() {
        let mut timeline = Timeline::new(1_000, 2_000, 10);
        timeline.change("b", State::Pending, 1_150);
        timeline.change("b", State::Firing, 1_250);
        timeline.mark("b", Mark::Ordered, 1_250);
        timeline.change("b", State::Recovering, 1_450);
        timeline.change("b", State::Ok, 1_650);
        timeline.change("a", State::Firing, 1_990);
        let lanes = timeline.end();
        let letter = |mark: &Mark| match mark {
            Mark::Quiet => '.',
            Mark::Blind => '?',
            Mark::Pending => 'p',
            Mark::Recovering => 'r',
            Mark::Firing => 'F',
            Mark::Withheld => 'w',
            Mark::Ordered => '!',
        };
        let drawn: Vec<(&str, String)> = lanes
            .iter()
            .map(|lane| (lane.key.as_str(), lane.marks.iter().map(letter).collect()))
            .collect();
        let want = [
            ("b", ".p!FFrr...".to_owned()),
            ("a", ".........F".to_owned()),
        ];
        assert_eq!(drawn, want);
    }

    #[test]
    fn what_lies_outside_falls_on_the_edge() {
        let mut timeline = Timeline::new(1_000, 1_000, 3);
        timeline.change("a", State::Firing, 5);
        assert_eq!(timeline.end()[0].marks.len(), 3);
    }
}
