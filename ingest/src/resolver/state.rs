//! The resolver's state: every open trace, and when each settles.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use flyball_pricing::Book;
use flyball_store::hashed::{HashMap, HashSet};
use flyball_store::rows::{ChargeRow, Row, SpanView, SpanViews};
use flyball_store::{LogPosition, Origin, Resume};

use super::options::{Counts, Options};
use super::posting::{Post, Posting};
use super::prices::Prices;
use super::settled::Settled;
use super::tellings::{Elsewhere, Tellings};
use super::trace::{Patience, Rules, Settles, Trace};

/// Spans to take in.
#[derive(Debug, Clone)]
pub struct Told {
    /// Rows of `spans`, with their log positions.
    pub batch: RecordBatch,
    /// The log position of the request they came in.
    pub position: LogPosition,
    /// How they came.
    pub origin: Origin,
}

/// A trace of more spans than this is resolved once a tick and not with each request: it is resolved as a
/// whole each time, which for a trace of thousands takes milliseconds.
const AT_ONCE_MAX: usize = 2_000;

/// Traces that have settled and got a late span, which can be looked up together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Their ids.
    pub traces: Vec<String>,
    /// The earliest start of a span of theirs that is known of, nanoseconds since 1970.
    pub from_unix_nano: i64,
    /// And the latest.
    pub to_unix_nano: i64,
}

/// What the starts of traces that are looked up together may differ by, nanoseconds.
const DAY: i64 = 86_400_000_000_000;

/// Turns spans into charges. A pure state machine: time is an argument (nanoseconds since 1970), and what
/// it wants from the store it [asks for](Resolver::wanted).
#[derive(Debug)]
pub struct Resolver {
    rules: Rules,
    patience: Patience,
    spans_held_max: usize,
    spans_of_trace_max: usize,
    traces: HashMap<u128, Open>,
    /// Open traces by the position of their first span.
    by_first: BTreeSet<(LogPosition, u128)>,
    settled: Settled,
    tellings: Tellings,
    /// Traces that wait for what the store holds of them.
    waiting: HashSet<u128>,
    /// Traces with news, and large ones whose news wait for the next tick.
    touched: Vec<u128>,
    large: BTreeSet<u128>,
    held: usize,
    highest: LogPosition,
    resolved_to: LogPosition,
    counts: Counts,
}

#[derive(Debug)]
struct Open {
    trace: Trace,
    first_position: LogPosition,
    touched: bool,
}

impl Resolver {
    /// A resolver of one workspace, that has seen nothing yet.
    #[must_use]
    pub fn new(workspace: &str, book: Arc<Book>, options: &Options) -> Self {
        let nanos = |duration: Duration| i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX);
        Self {
            rules: Rules {
                workspace: workspace.to_owned(),
                prices: Arc::new(Prices::of(book)),
                escalation_tools: options
                    .escalation_tools
                    .iter()
                    .cloned()
                    .collect::<HashSet<_>>(),
            },
            patience: Patience {
                after_root: nanos(options.settle_after_root),
                idle: nanos(options.settle_after_idle),
                age: nanos(options.settle_at_age),
            },
            spans_held_max: options.spans_held_max,
            spans_of_trace_max: options.spans_of_trace_max,
            traces: HashMap::default(),
            by_first: BTreeSet::new(),
            settled: Settled::with_room(options.settled_remembered),
            tellings: Tellings::with_room(options.tellings_remembered),
            waiting: HashSet::default(),
            touched: Vec::new(),
            large: BTreeSet::new(),
            held: 0,
            highest: 0,
            resolved_to: 0,
            counts: Counts::default(),
        }
    }

    /// What it has done and holds.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts {
            traces_open: self.traces.len() as u64,
            spans_held: self.held as u64,
            ..self.counts
        }
    }

    /// Takes in spans, in log order, and posts whatever they change.
    ///
    /// # Errors
    /// When a batch is not of the schema of `spans` (batches before it have been taken in), or an amount does not fit
    /// its column.
    pub fn spans(&mut self, told: &[Told], now: i64) -> Result<Vec<Post>, ArrowError> {
        for told in told {
            let rows = SpanViews::of(&told.batch)?;
            self.highest = self.highest.max(told.position);
            for row in rows.iter() {
                self.tell(&row, told.position, told.origin, now);
            }
        }
        self.post(now)
    }

    /// Lets time pass: what large traces resolve to is posted, and traces that may settle do.
    ///
    /// # Errors
    /// When an amount does not fit its column.
    pub fn tick(&mut self, now: i64) -> Result<Vec<Post>, ArrowError> {
        let mut posting = Posting::at(now);
        for id in std::mem::take(&mut self.large) {
            self.reconcile(id, &mut posting);
        }
        let due: Vec<(u128, Settles)> = self
            .traces
            .iter()
            .filter_map(|(id, open)| Some((*id, open.trace.settles(&self.patience, now)?)))
            .collect();
        for (id, why) in due {
            match why {
                Settles::Complete => self.counts.settled_complete += 1,
                Settles::Idle => self.counts.settled_idle += 1,
                Settles::Aged => self.counts.settled_aged += 1,
            }
            self.settle(id, now, &mut posting);
        }
        self.close(posting)
    }

    /// Settles every trace but those that [wait](Resolver::wanted) for the store.
    ///
    /// # Errors
    /// When an amount does not fit its column.
    pub fn settle_all(&mut self, now: i64) -> Result<Vec<Post>, ArrowError> {
        let ids: Vec<u128> = self
            .by_first
            .iter()
            .map(|(_, id)| *id)
            .filter(|id| !self.waits(*id))
            .collect();
        let mut posting = Posting::at(now);
        for id in ids {
            self.counts.settled_on_request += 1;
            self.settle(id, now, &mut posting);
        }
        self.close(posting)
    }

    /// Ids of traces that have settled and got a late span: their spans and journal rows, as
    /// [`flyball_store::Store::traces`] gives them, are to be handed to [`Resolver::reopen`].
    #[must_use]
    pub fn wanted(&self) -> Vec<String> {
        let waiting = self.waiting.iter().filter_map(|id| self.traces.get(id));
        waiting.map(|open| open.trace.id().to_owned()).collect()
    }

    /// Of the [wanted](Resolver::wanted) traces, the one that waits longest and those of about the same time,
    /// so that one sender's odd clock does not have the whole store searched for everybody's traces.
    #[must_use]
    pub fn wanted_first(&self) -> Option<Wanted> {
        let waiting = || self.waiting.iter().filter_map(|id| self.traces.get(id));
        let first = waiting().min_by_key(|open| open.first_position)?;
        let (from, to) = first.trace.window();
        let near = |open: &&Open| {
            let (start, end) = open.trace.window();
            start >= from.saturating_sub(DAY) && end <= to.saturating_add(DAY)
        };
        let mut wanted = Wanted {
            traces: Vec::new(),
            from_unix_nano: from,
            to_unix_nano: to,
        };
        for open in waiting().filter(near) {
            let (start, end) = open.trace.window();
            wanted.traces.push(open.trace.id().to_owned());
            wanted.from_unix_nano = wanted.from_unix_nano.min(start);
            wanted.to_unix_nano = wanted.to_unix_nano.max(end);
        }
        Some(wanted)
    }

    /// Takes in what the store holds of traces that were [wanted](Resolver::wanted), and posts what the late
    /// spans change.
    ///
    /// # Errors
    /// When a batch is not of the schema of its table, or an amount does not fit its column.
    pub fn reopen(
        &mut self,
        wanted: &[String],
        resume: &Resume,
        now: i64,
    ) -> Result<Vec<Post>, ArrowError> {
        for batch in &resume.spans {
            for row in SpanViews::of(batch)?.iter() {
                let open = trace_id(row.trace_id).and_then(|id| self.traces.get_mut(&id));
                self.held += usize::from(open.is_some_and(|open| open.trace.tell(&row, now)));
            }
        }
        self.counts.reopened += self.recall(&resume.charges)?;
        for id in wanted.iter().filter_map(|id| trace_id(id)) {
            self.waiting.remove(&id);
            // Where the store holds nothing of it, it is new after all.
            if let Some(open) = self.traces.get_mut(&id) {
                open.trace.waits = false;
                self.touch(id);
            }
        }
        self.post(now)
    }

    /// Goes on after a restart, from what [`flyball_store::Store::resume`] gives. Traces that began before
    /// now and are not among it may have settled: they are [wanted](Resolver::wanted) when they turn up.
    ///
    /// # Errors
    /// When a batch is not of the schema of its table, or an amount does not fit its column.
    pub fn resume(&mut self, resume: &Resume, now: i64) -> Result<Vec<Post>, ArrowError> {
        self.resolved_to = self.resolved_to.max(resume.resolved_to);
        self.highest = self.highest.max(resume.resolved_to);
        for batch in &resume.spans {
            for row in SpanViews::of(batch)?.iter() {
                let position = u64::try_from(row.log_position).unwrap_or_default();
                self.highest = self.highest.max(position);
                // Spans up to the resolved position are of a trace that a later span has opened again.
                let first = if position > self.resolved_to {
                    position
                } else {
                    LogPosition::MAX
                };
                self.tell(&row, first, Origin::Replay, now);
            }
        }
        self.recall(&resume.charges)?;
        if self.highest > 0 {
            self.settled.forget_before(now);
        }
        self.post(now)
    }

    /// Hands journal rows to the open traces they belong to. Says to how many.
    fn recall(&mut self, charges: &[RecordBatch]) -> Result<u64, ArrowError> {
        let mut by_trace: HashMap<u128, Vec<ChargeRow>> = HashMap::default();
        for batch in charges {
            for row in ChargeRow::read(batch)? {
                if let Some(id) = trace_id(&row.trace_id).filter(|id| self.traces.contains_key(id))
                {
                    by_trace.entry(id).or_default().push(row);
                }
            }
        }
        let traces = by_trace.len() as u64;
        for (id, rows) in by_trace {
            if let Some(open) = self.traces.get_mut(&id) {
                open.trace.recall(&rows);
                self.touch(id);
            }
        }
        Ok(traces)
    }

    fn tell(&mut self, row: &SpanView<'_>, position: LogPosition, origin: Origin, now: i64) {
        let Some(id) = trace_id(row.trace_id) else {
            return;
        };
        let late = self.settled.may_hold(id, row.start_unix_nano);
        let open = self.open(id, late, position, origin, now);
        open.trace.origin = origin;
        self.held += usize::from(open.trace.tell(row, now));
        self.touch(id);
        if let Some(found) = self.tellings.tell(row, id) {
            self.outdone(&found, position, origin, now);
        }
    }

    /// A call that a record told is told by a span of another trace too.
    fn outdone(&mut self, found: &Elsewhere, position: LogPosition, origin: Origin, now: i64) {
        let late = self.settled.may_hold(found.trace, found.start);
        let open = self.open(found.trace, late, position, origin, now);
        open.trace.outdone(found);
        self.touch(found.trace);
    }

    /// The trace, opened now where it is not open; one that may have settled `waits` for what the store holds of it.
    fn open(
        &mut self,
        id: u128,
        waits: bool,
        position: LogPosition,
        origin: Origin,
        now: i64,
    ) -> &mut Open {
        let (by_first, waiting) = (&mut self.by_first, &mut self.waiting);
        let open = self.traces.entry(id).or_insert_with(|| {
            let mut trace = Trace::new(&format!("{id:032x}"), origin, now);
            trace.waits = waits;
            if waits {
                waiting.insert(id);
            }
            by_first.insert((position, id));
            Open {
                trace,
                first_position: position,
                touched: false,
            }
        });
        if position < open.first_position {
            by_first.remove(&(open.first_position, id));
            by_first.insert((position, id));
            open.first_position = position;
        }
        open
    }

    fn touch(&mut self, id: u128) {
        if let Some(open) = self.traces.get_mut(&id)
            && !std::mem::replace(&mut open.touched, true)
        {
            self.touched.push(id);
        }
    }

    fn waits(&self, id: u128) -> bool {
        self.waiting.contains(&id)
    }

    /// What the traces that got news resolve to now; and room made, when too much is held.
    fn post(&mut self, now: i64) -> Result<Vec<Post>, ArrowError> {
        let mut posting = Posting::at(now);
        for id in std::mem::take(&mut self.touched) {
            let Some(open) = self.traces.get_mut(&id) else {
                continue;
            };
            open.touched = false;
            if (AT_ONCE_MAX + 1..=self.spans_of_trace_max).contains(&open.trace.len()) {
                self.large.insert(id);
            } else {
                self.reconcile(id, &mut posting);
            }
        }
        while self.held > self.spans_held_max {
            let oldest = self
                .by_first
                .iter()
                .map(|(_, id)| *id)
                .find(|id| !self.waits(*id));
            let Some(oldest) = oldest else { break };
            self.counts.settled_for_room += 1;
            self.settle(oldest, now, &mut posting);
        }
        self.close(posting)
    }

    /// What a trace resolves to now; one that has outgrown its room goes on without its oldest spans.
    fn reconcile(&mut self, id: u128, posting: &mut Posting) {
        let Some(open) = self.traces.get_mut(&id) else {
            return;
        };
        let (origin, before) = (open.trace.origin, open.trace.len());
        let outgrown = before > self.spans_of_trace_max && !open.trace.waits;
        let entries = &mut posting.of(origin).entries;
        if outgrown {
            self.counts.continued += 1;
            let room = self.spans_of_trace_max;
            open.trace.let_go(&self.rules, room, entries);
        } else {
            open.trace.reconcile(&self.rules, false, entries);
        }
        self.held -= before - open.trace.len();
    }

    fn settle(&mut self, id: u128, now: i64, posting: &mut Posting) {
        let Some(mut open) = self.traces.remove(&id) else {
            return;
        };
        self.by_first.remove(&(open.first_position, id));
        self.held -= open.trace.len();
        self.settled.add(id, open.trace.ended(), now);
        let update = posting.of(open.trace.origin);
        open.trace.reconcile(&self.rules, true, &mut update.entries);
        update.settled.push(open.trace.id().to_owned());
    }

    fn close(&mut self, posting: Posting) -> Result<Vec<Post>, ArrowError> {
        let before = self.resolved_to;
        let lowest_open = self
            .by_first
            .first()
            .map(|(position, _)| position.saturating_sub(1));
        self.resolved_to = lowest_open
            .unwrap_or(self.highest)
            .min(self.highest)
            .max(before);
        let (entered, taken_back) = posting.counts();
        self.counts.entered += entered;
        self.counts.taken_back += taken_back;
        posting.posts(before, self.resolved_to)
    }
}

fn trace_id(hex: &str) -> Option<u128> {
    u128::from_str_radix(hex, 16).ok()
}
