//! Calls that are told in two traces: by a span in one, and by a log record that knew of no trace.
//!
//! An agent may send both signals, and its records without the trace they belong to (they then stand in one of their
//! session's own). What such a call is known by in both is the provider's id of the response, or the model's id of
//! the tool call. The span bills; the record bills only as long as no span is known to tell of its call.

use std::collections::VecDeque;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

use flyball_store::hashed::HashMap;
use flyball_store::rows::SpanView;

use super::fact::Class;

/// A record whose call a span of another trace tells as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Elsewhere {
    /// The record's trace, and the span it became there.
    pub(super) trace: u128,
    pub(super) span: u64,
    /// When that started, nanoseconds since 1970.
    pub(super) start: i64,
    /// The span that bills in its place.
    pub(super) better: u64,
}

/// Where a call was told.
#[derive(Debug, Clone, Copy)]
struct Place {
    trace: u128,
    span: u64,
    start: i64,
}

/// What was told lately, by spans and by records, as far back as there is room.
#[derive(Debug)]
pub(super) struct Tellings {
    hasher: RandomState,
    spans: Recent,
    records: Recent,
}

impl Tellings {
    pub(super) fn with_room(room: usize) -> Self {
        Self {
            hasher: RandomState::new(),
            spans: Recent::with_room(room),
            records: Recent::with_room(room),
        }
    }

    /// Takes note of a telling. Says when it is one of two, whichever of them came first.
    pub(super) fn tell(&mut self, row: &SpanView<'_>, trace: u128) -> Option<Elsewhere> {
        let key = self.key(row)?;
        let here = Place {
            trace,
            span: u64::from_str_radix(row.span_id, 16).ok()?,
            start: row.start_unix_nano,
        };
        let (record, span) = if row.signal.is_some() {
            self.records.put(key, here);
            (here, self.spans.get(key)?)
        } else {
            self.spans.put(key, here);
            (self.records.get(key)?, here)
        };
        // In one trace they are compared with all the others there.
        (record.trace != span.trace).then_some(Elsewhere {
            trace: record.trace,
            span: record.span,
            start: record.start,
            better: span.span,
        })
    }

    /// What the call is known by in every telling; `None` when it is no call or has no id.
    fn key(&self, row: &SpanView<'_>) -> Option<u64> {
        let class = Class::of(row.operation);
        let id = match class {
            Class::Model(_) => row.response_id,
            Class::Tool => row.tool_call_id,
            Class::Agent | Class::Fetch | Class::Other => None,
        };
        id.map(|id| self.hasher.hash_one((class, id)))
    }
}

/// A map that forgets what was put into it first.
#[derive(Debug)]
struct Recent {
    places: HashMap<u64, Place>,
    order: VecDeque<u64>,
    room: usize,
}

impl Recent {
    fn with_room(room: usize) -> Self {
        Self {
            places: HashMap::default(),
            order: VecDeque::new(),
            room,
        }
    }

    fn get(&self, key: u64) -> Option<Place> {
        self.places.get(&key).copied()
    }

    fn put(&mut self, key: u64, place: Place) {
        if self.places.insert(key, place).is_some() {
            return;
        }
        self.order.push_back(key);
        if self.order.len() > self.room
            && let Some(oldest) = self.order.pop_front()
        {
            self.places.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use flyball_store::rows::SpanRow;

    use super::*;

    fn call(span: u64, signal: Option<&str>, response: &str) -> SpanRow {
        SpanRow {
            span_id: format!("{span:016x}"),
            operation: Some("chat".to_owned()),
            response_id: Some(response.to_owned()),
            signal: signal.map(str::to_owned),
            ..SpanRow::default()
        }
    }

    #[test]
    fn of_two_tellings_in_two_traces_the_record_is_named_whichever_came_first() {
        let (record, span) = (call(1, Some("log"), "r"), call(2, None, "r"));
        let found = Some(Elsewhere {
            trace: 7,
            span: 1,
            start: 0,
            better: 2,
        });
        let mut tellings = Tellings::with_room(10);
        assert_eq!(tellings.tell(&record.view(), 7), None);
        assert_eq!(tellings.tell(&span.view(), 8), found);
        let mut tellings = Tellings::with_room(10);
        assert_eq!(tellings.tell(&span.view(), 8), None);
        assert_eq!(tellings.tell(&record.view(), 7), found);
    }

    #[test]
    fn one_trace_other_calls_and_the_forgotten_are_left_alone() {
        let mut tellings = Tellings::with_room(1);
        tellings.tell(&call(1, Some("log"), "r").view(), 7);
        assert_eq!(
            tellings.tell(&call(2, None, "r").view(), 7),
            None,
            "the same trace"
        );
        assert_eq!(
            tellings.tell(&call(3, None, "s").view(), 8),
            None,
            "another call"
        );
        tellings.tell(&call(4, Some("log"), "t").view(), 7);
        assert_eq!(
            tellings.tell(&call(5, None, "r").view(), 9),
            None,
            "forgotten"
        );
    }
}
