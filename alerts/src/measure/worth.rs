//! Executions that end one after the other and were worth nothing.
//!
//! An execution that ended is of low value when it ended in failure or abort; when it was said to be worth nothing
//! (`flyball.value_usd` of 0 or less); when it did again what had been done: the task that it was sent for had
//! ended in success within the window before; when what it reported of progress was never above 0; or when none of
//! its model calls was a decision. What is not known is not held against it: without reports there is no lack of
//! progress, and the last two are only said of executions that were seen whole, from start to end within the
//! window. One that was worth something is never of low value, and one that was handed to a person is another
//! rule's affair.
//!
//! A busy agent has failures all day. So they only count where they are the greater part of what ended.

use std::collections::BTreeMap;

use flyball_store::hashed::HashMap;
use flyball_store::rows::Kind;
use rust_decimal::Decimal;
use serde_json::{Value, json};

use crate::fact::{Fact, SpanRef};

/// Executions kept for one key; the one that was idle longest makes room.
const RUNS: usize = 256;
/// Executions shown as evidence.
const SHOWN: usize = 5;

/// How an execution ended.
#[derive(Debug)]
struct End {
    charge: Box<str>,
    received: i64,
    started: i64,
    outcome: Outcome,
    /// The task that was sent with it.
    task: Option<Box<str>>,
    worth: Option<Decimal>,
    span: Option<SpanRef>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Success,
    Failure,
    Abort,
    Escalation,
}

/// One execution: what its calls came to, and its end.
#[derive(Debug, Default)]
struct Run {
    fed: i64,
    dollars: Decimal,
    /// Model calls that were decisions, and those that are known to be none.
    decided: i64,
    undecided: i64,
    /// Reports of progress above 0, and of none.
    advanced: i64,
    stalled: i64,
    end: Option<End>,
}

/// What the executions that ended in the window came to.
#[derive(Debug, Default)]
struct Tally {
    ended: usize,
    low: usize,
    dollars: Decimal,
    why: BTreeMap<&'static str, usize>,
    /// The last few of low value.
    shown: Vec<(Box<str>, Option<SpanRef>)>,
    /// When the first of them leaves the window.
    until: i64,
}

/// The executions of one key.
#[derive(Debug)]
pub(crate) struct Worthless {
    window: i64,
    share: Decimal,
    runs: HashMap<Box<str>, Run>,
    /// Until something changes.
    tally: Option<Tally>,
    /// What began before was not seen whole.
    since: i64,
}

impl Worthless {
    pub(crate) fn new(window: i64, share: Decimal) -> Self {
        Self {
            window,
            share,
            runs: HashMap::default(),
            tally: None,
            since: i64::MIN,
        }
    }

    pub(crate) fn concerns(fact: &Fact<'_>) -> bool {
        fact.kind(Kind::Execution)
            || fact.kind(Kind::ModelCall)
            || fact.row.progress.is_some()
            || !fact.cost().is_zero()
    }

    pub(crate) fn add(&mut self, fact: &Fact<'_>, now: i64) {
        let row = fact.row;
        if !self.runs.contains_key(row.execution_id) {
            if fact.reversal() {
                return;
            }
            self.make_room(now);
            self.runs.insert(row.execution_id.into(), Run::default());
        }
        let Some(run) = self.runs.get_mut(row.execution_id) else {
            return;
        };
        let sign = fact.sign();
        run.fed = run.fed.max(fact.received);
        run.dollars = run.dollars.saturating_add(fact.cost());
        if let Some(progress) = row.progress {
            let count = if progress > 0.0 {
                &mut run.advanced
            } else {
                &mut run.stalled
            };
            *count += sign;
        }
        match row.decision {
            Some(true) => run.decided += sign,
            Some(false) => run.undecided += sign,
            None => {}
        }
        if fact.kind(Kind::Execution) {
            if fact.reversal() {
                let its = |end: &End| *end.charge == *row.charge_id;
                if run.end.as_ref().is_some_and(its) {
                    run.end = None;
                    self.tally = None;
                }
            } else if let Some(end) = End::of(fact) {
                run.end = Some(end);
                self.tally = None;
            }
        }
        // What is told after the end may still change what it was worth.
        if run.end.is_some() {
            self.tally = None;
        }
    }

    /// How many were of low value; none that count, where they are the lesser part.
    pub(crate) fn count(&mut self, now: i64) -> usize {
        let share = self.share;
        let tally = self.tally(now);
        let enough = Decimal::from(tally.low) >= share * Decimal::from(tally.ended);
        if enough { tally.low } else { 0 }
    }

    pub(crate) fn numbers(&mut self, now: i64) -> Value {
        let tally = self.tally(now);
        let executions: Vec<_> = tally.shown.iter().map(|(id, _)| id).collect();
        json!({
            "low_value": tally.low,
            "ended": tally.ended,
            "usd": tally.dollars.normalize().to_string(),
            "why": tally.why,
            "executions": executions,
        })
    }

    /// Where the last few of them stand.
    pub(crate) fn spans(&mut self, now: i64) -> Vec<SpanRef> {
        let shown = self.tally(now).shown.iter();
        shown.filter_map(|(_, span)| *span).collect()
    }

    pub(crate) fn is_empty(&mut self, now: i64) -> bool {
        self.expire(now);
        self.runs.is_empty()
    }

    pub(crate) fn clear(&mut self, now: i64) {
        self.runs.clear();
        self.tally = None;
        self.since = now;
    }

    fn tally(&mut self, now: i64) -> &Tally {
        if self.tally.as_ref().is_none_or(|tally| tally.until <= now) {
            self.expire(now);
            self.tally = Some(self.count_up());
        }
        self.tally.get_or_insert_default()
    }

    fn count_up(&self) -> Tally {
        let ended = self.runs.iter();
        let mut ended: Vec<(&str, &Run, &End)> = ended
            .filter_map(|(id, run)| Some((&**id, run, run.end.as_ref()?)))
            .collect();
        ended.sort_unstable_by_key(|(id, _, end)| (end.received, *id));
        let until = ended.first().map_or(i64::MAX, |(_, _, end)| end.received);
        let mut tally = Tally {
            ended: ended.len(),
            until: until.saturating_add(self.window),
            ..Tally::default()
        };
        let mut done = std::collections::BTreeSet::new();
        for (id, run, end) in ended {
            let again = match (&end.task, end.outcome) {
                (Some(task), Outcome::Success) => !done.insert(&**task),
                _ => false,
            };
            let whole = end.started >= self.since.max(end.received.saturating_sub(self.window));
            let Some(why) = run.low_value(end, again, whole) else {
                continue;
            };
            tally.low += 1;
            tally.dollars = tally.dollars.saturating_add(run.dollars);
            *tally.why.entry(why).or_default() += 1;
            if tally.shown.len() == SHOWN {
                tally.shown.remove(0);
            }
            tally.shown.push((id.into(), end.span));
        }
        tally
    }

    /// What ended before the window, or was idle for as long, leaves.
    fn expire(&mut self, now: i64) {
        let first = now - self.window;
        let before = self.runs.len();
        self.runs.retain(|_, run| match &run.end {
            Some(end) => end.received > first,
            None => run.fed > first,
        });
        if self.runs.len() != before {
            self.tally = None;
        }
    }

    fn make_room(&mut self, now: i64) {
        if self.runs.len() < RUNS {
            return;
        }
        self.expire(now);
        if self.runs.len() >= RUNS {
            let idlest = self.runs.iter().min_by_key(|(_, run)| run.fed);
            if let Some(idlest) = idlest.map(|(id, _)| id.clone()) {
                self.runs.remove(&idlest);
                self.tally = None;
            }
        }
    }
}

impl End {
    /// None of one that has not ended.
    fn of(fact: &Fact<'_>) -> Option<Self> {
        let row = fact.row;
        let outcome = match row.termination? {
            "success" => Outcome::Success,
            "failure" => Outcome::Failure,
            "abort" => Outcome::Abort,
            "escalation" => Outcome::Escalation,
            _ => return None,
        };
        Some(Self {
            charge: row.charge_id.into(),
            received: fact.received,
            started: row.start_unix_nano,
            outcome,
            task: fact.task().map(Into::into),
            worth: row.value_usd,
            span: fact.span(),
        })
    }
}

impl Run {
    /// Why it was of low value, if it was: `again` when its task had been done before, `whole` when all of its calls
    /// were seen.
    fn low_value(&self, end: &End, again: bool, whole: bool) -> Option<&'static str> {
        if end.worth.is_some_and(|worth| worth > Decimal::ZERO) {
            return None;
        }
        match end.outcome {
            Outcome::Escalation => None,
            Outcome::Failure => Some("failed"),
            Outcome::Abort => Some("aborted"),
            Outcome::Success if end.worth.is_some() => Some("worth_nothing"),
            Outcome::Success if again => Some("done_before"),
            Outcome::Success if whole && self.stalled > 0 && self.advanced == 0 => {
                Some("no_progress")
            }
            Outcome::Success if whole && self.undecided > 0 && self.decided == 0 => {
                Some("no_decision")
            }
            Outcome::Success => None,
        }
    }
}
