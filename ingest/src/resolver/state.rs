//! The resolver's state: every open trace, and when each settles.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use flyball_pricing::Book;
use flyball_store::rows::{ChargeRow, Row, SpanRow};
use flyball_store::{JournalUpdate, LogPosition, Origin, Resume};

use super::settled::Settled;
use super::trace::{Patience, Rules, Settles, Trace};

/// How patient the resolver is, and how much it holds.
#[derive(Debug, Clone)]
pub struct Options {
    /// A trace whose root has ended and whose parents have all been seen settles when nothing came for this long.
    pub settle_after_root: Duration,
    /// Any trace settles when nothing came for this long.
    pub settle_after_idle: Duration,
    /// Any trace settles at this age.
    pub settle_at_age: Duration,
    /// When more spans than this are held, the traces opened first settle before their time.
    pub spans_held_max: usize,
    /// Settled traces that are remembered, so that a late span opens the old trace again.
    pub settled_remembered: usize,
    /// Names of the tools that hand control to a person.
    pub escalation_tools: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            settle_after_root: Duration::from_secs(2),
            settle_after_idle: Duration::from_secs(30),
            settle_at_age: Duration::from_secs(15 * 60),
            spans_held_max: 200_000,
            settled_remembered: 500_000,
            escalation_tools: ["escalate_to_human", "transfer_to_human", "transfer_to_human_agents"].map(str::to_owned).to_vec(),
        }
    }
}

/// What the resolver has done, since it began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Traces that settled because they were complete.
    pub settled_complete: u64,
    /// Traces that settled because nothing more came.
    pub settled_idle: u64,
    /// Traces that settled at the age limit.
    pub settled_aged: u64,
    /// Traces that settled before their time, because too many spans were held.
    pub settled_for_room: u64,
    /// Traces that settled because somebody asked (an import that ends).
    pub settled_on_request: u64,
    /// Traces that were opened again by a late span.
    pub reopened: u64,
    /// Entries made.
    pub entered: u64,
    /// Entries taken back.
    pub taken_back: u64,
    /// Traces open now.
    pub traces_open: u64,
    /// Spans held now.
    pub spans_held: u64,
}

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

/// What is to be journalled, and how what caused it came.
#[derive(Debug)]
pub struct Post {
    /// Live, import or replay: of the latest spans of these traces.
    pub origin: Origin,
    /// For [`flyball_store::Store::journal`].
    pub update: JournalUpdate,
}

/// Turns spans into charges. A pure state machine: time is an argument (nanoseconds since 1970), and what
/// it wants from the store it [asks for](Resolver::wanted).
#[derive(Debug)]
pub struct Resolver {
    rules: Rules,
    patience: Patience,
    spans_held_max: usize,
    traces: HashMap<u128, Open>,
    /// Open traces by the position of their first span.
    by_first: BTreeSet<(LogPosition, u128)>,
    settled: Settled,
    touched: Vec<u128>,
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
                book,
                escalation_tools: options.escalation_tools.iter().cloned().collect::<HashSet<_>>(),
            },
            patience: Patience {
                after_root: nanos(options.settle_after_root),
                idle: nanos(options.settle_after_idle),
                age: nanos(options.settle_at_age),
            },
            spans_held_max: options.spans_held_max,
            traces: HashMap::new(),
            by_first: BTreeSet::new(),
            settled: Settled::with_room(options.settled_remembered),
            touched: Vec::new(),
            held: 0,
            highest: 0,
            resolved_to: 0,
            counts: Counts::default(),
        }
    }

    /// What it has done and holds.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts { traces_open: self.traces.len() as u64, spans_held: self.held as u64, ..self.counts }
    }

    /// Takes in spans, in log order, and posts whatever they change.
    ///
    /// # Errors
    /// When a batch is not of the schema of `spans`. Batches before it have been taken in.
    pub fn spans(&mut self, told: &[Told], now: i64) -> Result<Vec<Post>, ArrowError> {
        for told in told {
            let rows = read(&told.batch)?;
            self.highest = self.highest.max(told.position);
            for row in &rows {
                self.tell(row, told.position, told.origin, now);
            }
        }
        Ok(self.post(now))
    }

    /// Lets time pass: traces that may settle do.
    pub fn tick(&mut self, now: i64) -> Vec<Post> {
        let due: Vec<(u128, Settles)> =
            self.traces.iter().filter_map(|(id, open)| Some((*id, open.trace.settles(&self.patience, now)?))).collect();
        let mut posting = Posting::default();
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
    pub fn settle_all(&mut self, now: i64) -> Vec<Post> {
        let ids: Vec<u128> = self.by_first.iter().map(|(_, id)| *id).filter(|id| !self.waits(*id)).collect();
        let mut posting = Posting::default();
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
        let waiting = self.traces.values().filter(|open| open.trace.waits);
        waiting.map(|open| open.trace.id().to_owned()).collect()
    }

    /// Takes in what the store holds of traces that were [wanted](Resolver::wanted), and posts what the late
    /// spans change.
    ///
    /// # Errors
    /// When a batch is not of the schema of its table.
    pub fn reopen(&mut self, wanted: &[String], resume: &Resume, now: i64) -> Result<Vec<Post>, ArrowError> {
        self.recall(resume, None, now)?;
        for id in wanted.iter().filter_map(|id| trace_id(id)) {
            // The store may hold nothing of it any more (erased): then it is new after all.
            if let Some(open) = self.traces.get_mut(&id) {
                open.trace.waits = false;
                self.touch(id);
            }
        }
        Ok(self.post(now))
    }

    /// Goes on after a restart, from what [`flyball_store::Store::resume`] gives.
    ///
    /// # Errors
    /// When a batch is not of the schema of its table.
    pub fn resume(&mut self, resume: &Resume, now: i64) -> Result<Vec<Post>, ArrowError> {
        self.resolved_to = self.resolved_to.max(resume.resolved_to);
        self.highest = self.highest.max(resume.resolved_to);
        self.recall(resume, Some(Origin::Replay), now)?;
        Ok(self.post(now))
    }

    fn recall(&mut self, resume: &Resume, opens: Option<Origin>, now: i64) -> Result<(), ArrowError> {
        for batch in &resume.spans {
            for row in read(batch)? {
                let position = u64::try_from(row.log_position).unwrap_or_default();
                match opens {
                    // Spans up to the resolved position belong to a trace that a later one has opened again.
                    Some(origin) => {
                        let first = if position > self.resolved_to { position } else { LogPosition::MAX };
                        self.highest = self.highest.max(position);
                        self.tell(&row, first, origin, now);
                    }
                    None => {
                        if let Some(id) = trace_id(&row.trace_id)
                            && let Some(open) = self.traces.get_mut(&id)
                        {
                            self.held += usize::from(open.trace.tell(&row, now));
                        }
                    }
                }
            }
        }
        let mut charges: HashMap<u128, Vec<ChargeRow>> = HashMap::new();
        for batch in &resume.charges {
            for row in ChargeRow::read(batch)? {
                if let Some(id) = trace_id(&row.trace_id) {
                    charges.entry(id).or_default().push(row);
                }
            }
        }
        for (id, rows) in charges {
            if let Some(open) = self.traces.get_mut(&id) {
                open.trace.recall(&rows);
                self.touch(id);
            }
        }
        Ok(())
    }

    fn tell(&mut self, row: &SpanRow, position: LogPosition, origin: Origin, now: i64) {
        let Some(id) = trace_id(&row.trace_id) else { return };
        let late = self.settled.holds(id);
        let open = self.traces.entry(id).or_insert_with(|| {
            let mut trace = Trace::new(&row.trace_id, origin, now);
            trace.waits = late;
            self.counts.reopened += u64::from(late);
            self.by_first.insert((position, id));
            Open { trace, first_position: position, touched: false }
        });
        if position < open.first_position {
            self.by_first.remove(&(open.first_position, id));
            self.by_first.insert((position, id));
            open.first_position = position;
        }
        open.trace.origin = origin;
        self.held += usize::from(open.trace.tell(row, now));
        self.touch(id);
    }

    fn touch(&mut self, id: u128) {
        if let Some(open) = self.traces.get_mut(&id)
            && !std::mem::replace(&mut open.touched, true)
        {
            self.touched.push(id);
        }
    }

    fn waits(&self, id: u128) -> bool {
        self.traces.get(&id).is_some_and(|open| open.trace.waits)
    }

    /// What the traces that got news resolve to now; and room made, when too much is held.
    fn post(&mut self, now: i64) -> Vec<Post> {
        let mut posting = Posting::default();
        for id in std::mem::take(&mut self.touched) {
            if let Some(open) = self.traces.get_mut(&id) {
                open.touched = false;
                posting.add(open.trace.origin, open.trace.reconcile(&self.rules, false, now));
            }
        }
        while self.held > self.spans_held_max {
            let oldest = self.by_first.iter().map(|(_, id)| *id).find(|id| !self.waits(*id));
            let Some(oldest) = oldest else { break };
            self.counts.settled_for_room += 1;
            self.settle(oldest, now, &mut posting);
        }
        self.close(posting)
    }

    fn settle(&mut self, id: u128, now: i64, posting: &mut Posting) {
        let Some(mut open) = self.traces.remove(&id) else { return };
        self.by_first.remove(&(open.first_position, id));
        self.held -= open.trace.len();
        self.settled.add(id);
        posting.add(open.trace.origin, open.trace.reconcile(&self.rules, true, now));
        posting.of(open.trace.origin).settled.push(open.trace.id().to_owned());
    }

    /// The last of the updates says how far everything is resolved now; those before it must not.
    fn close(&mut self, posting: Posting) -> Vec<Post> {
        let before = self.resolved_to;
        let lowest_open = self.by_first.first().map(|(position, _)| position.saturating_sub(1));
        self.resolved_to = lowest_open.unwrap_or(self.highest).min(self.highest).max(before);
        let mut posts = posting.posts();
        for post in &mut posts {
            post.update.resolved_to = before;
            let reversals = post.update.post.iter().filter(|row| row.calls < 0 || row.entry == "reversal").count() as u64;
            self.counts.taken_back += reversals;
            self.counts.entered += post.update.post.len() as u64 - reversals;
        }
        if let Some(last) = posts.last_mut() {
            last.update.resolved_to = self.resolved_to;
        }
        posts
    }
}

/// Updates by origin.
#[derive(Debug, Default)]
struct Posting([JournalUpdate; 3]);

const ORIGINS: [Origin; 3] = [Origin::Live, Origin::Import, Origin::Replay];

impl Posting {
    fn of(&mut self, origin: Origin) -> &mut JournalUpdate {
        let at = ORIGINS.iter().position(|known| *known == origin).unwrap_or_default();
        &mut self.0[at]
    }

    fn add(&mut self, origin: Origin, rows: Vec<ChargeRow>) {
        self.of(origin).post.extend(rows);
    }

    fn posts(self) -> Vec<Post> {
        let posts = ORIGINS.into_iter().zip(self.0).map(|(origin, update)| Post { origin, update });
        posts.filter(|post| !post.update.post.is_empty() || !post.update.settled.is_empty()).collect()
    }
}

fn trace_id(hex: &str) -> Option<u128> {
    u128::from_str_radix(hex, 16).ok()
}

/// Columns that are most of the bytes and none of the decisions.
const PASSED_OVER: [&str; 6] = ["name", "status_message", "attributes", "resource", "events", "links"];

fn read(batch: &RecordBatch) -> Result<Vec<SpanRow>, ArrowError> {
    let schema = batch.schema();
    let wanted: Vec<usize> =
        (0..schema.fields().len()).filter(|column| !PASSED_OVER.contains(&schema.field(*column).name().as_str())).collect();
    SpanRow::read(&batch.project(&wanted)?)
}
