//! What one agent did under a key since something changed: its equal calls, and the model calls between.

use std::collections::VecDeque;

use rust_decimal::Decimal;

use crate::fact::{Fact, SpanRef};
use crate::rule::{Pace, Proof};

/// Runs kept; the one that was idle longest makes room. A cycle of more different calls is not seen as one.
const RUNS: usize = 64;
/// Calls remembered of one run, and model calls: more than any threshold allows.
const CALLS: usize = 10_001;
/// Of so many repeats, the model call of one may be missing: spans do get lost.
const LOST: usize = 8;

#[derive(Debug)]
struct Call {
    received: i64,
    /// When it ended, by its own clock. Exporters send spans in bundles, so only this shows the pace.
    ended: i64,
    charge: Box<str>,
    span: Option<SpanRef>,
}

/// Equal calls since the last change, in order of receipt. Without calls, it still knows that the input was
/// seen before.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) tool: Box<str>,
    pub(super) input: Box<str>,
    pub(super) outcome: Option<Box<str>>,
    calls: VecDeque<Call>,
    last: i64,
}

impl Run {
    pub(super) fn len(&self) -> usize {
        self.calls.len()
    }

    /// The last few calls.
    pub(super) fn spans(&self, shown: usize) -> Vec<SpanRef> {
        let skip = self.calls.len().saturating_sub(shown);
        let last = self.calls.iter().skip(skip);
        last.filter_map(|call| call.span).collect()
    }

    fn asks(&self, tool: &str, input: &str) -> bool {
        *self.tool == *tool && *self.input == *input
    }

    /// Whether its last so many calls ended within so long of each other.
    fn keeps(&self, calls: usize, within: i64) -> bool {
        let last = || self.calls.iter().rev().take(calls).map(|call| call.ended);
        let (first, last) = (last().min(), last().max());
        let long = last.zip(first).map(|(last, first)| last - first);
        self.calls.len() >= calls && long.is_some_and(|long| long <= within)
    }
}

#[derive(Debug)]
struct ModelCall {
    received: i64,
    ended: i64,
    charge: Box<str>,
    dollars: Decimal,
}

/// What one agent did.
#[derive(Debug)]
pub(super) struct Trail {
    pub(super) agent: Option<Box<str>>,
    pub(super) fed: i64,
    runs: Vec<Run>,
    models: VecDeque<ModelCall>,
    spent: Decimal,
    /// When something last changed: what ended before does not count.
    changed_at: i64,
}

impl Trail {
    pub(super) fn new(agent: Option<&str>) -> Self {
        Self {
            agent: agent.map(Into::into),
            fed: 0,
            runs: Vec::new(),
            models: VecDeque::new(),
            spent: Decimal::ZERO,
            changed_at: i64::MIN,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.runs.is_empty() && self.models.is_empty()
    }

    pub(super) fn model_calls(&self) -> usize {
        self.models.len()
    }

    pub(super) fn spent(&self) -> Decimal {
        self.spent
    }

    /// Takes a charge out, wherever it was counted.
    pub(super) fn take_back(&mut self, charge: &str) {
        for run in &mut self.runs {
            run.calls.retain(|call| *call.charge != *charge);
        }
        let spent = &mut self.spent;
        self.models.retain(|model| {
            let stays = *model.charge != *charge;
            if !stays {
                *spent -= model.dollars;
            }
            stays
        });
    }

    /// Something changed then: what had ended by then no longer counts.
    pub(super) fn change(&mut self, at: i64) {
        self.changed_at = self.changed_at.max(at);
        for run in &mut self.runs {
            run.calls.retain(|call| call.ended > at);
        }
        while self.models.front().is_some_and(|model| model.ended <= at) {
            self.drop_model();
        }
    }

    pub(super) fn model(&mut self, fact: &Fact<'_>) {
        // Kept before there is a run, too: a bundle may hold all model calls first.
        if ended(fact) < self.changed_at {
            return;
        }
        if self.models.len() >= CALLS {
            self.drop_model();
        }
        self.spent += fact.cost();
        let model = ModelCall {
            received: fact.received,
            ended: ended(fact),
            charge: fact.row.charge_id.into(),
            dollars: fact.cost(),
        };
        let late = self.models.iter().rposition(|m| m.ended <= model.ended);
        self.models.insert(late.map_or(0, |i| i + 1), model);
    }

    pub(super) fn call(&mut self, fact: &Fact<'_>) {
        let row = fact.row;
        let (Some(tool), Some(input)) = (row.tool_name, row.tool_input_hash) else {
            // Nobody knows that it was there before.
            self.change(ended(fact));
            return;
        };
        if !self.runs.iter().any(|run| run.asks(tool, input)) {
            self.change(ended(fact));
        }
        let outcome = row.error_type;
        let at = self
            .runs
            .iter()
            .position(|run| run.asks(tool, input) && run.outcome.as_deref() == outcome);
        let at = at.unwrap_or_else(|| {
            if self.runs.len() >= RUNS {
                self.drop_idlest();
            }
            self.runs.push(Run {
                tool: tool.into(),
                input: input.into(),
                outcome: outcome.map(Into::into),
                calls: VecDeque::new(),
                last: fact.received,
            });
            self.runs.len() - 1
        });
        let run = &mut self.runs[at];
        run.last = run.last.max(fact.received);
        if ended(fact) < self.changed_at {
            return;
        }
        if run.calls.len() >= CALLS {
            run.calls.pop_front();
        }
        let call = Call {
            received: fact.received,
            ended: ended(fact),
            charge: row.charge_id.into(),
            span: fact.span(),
        };
        // Receive times come nearly in order.
        let before = run.calls.iter().rposition(|c| c.received <= call.received);
        run.calls.insert(before.map_or(0, |i| i + 1), call);
    }

    /// Forgets what was received by then.
    pub(super) fn expire(&mut self, first: i64) {
        for run in &mut self.runs {
            while run.calls.front().is_some_and(|call| call.received <= first) {
                run.calls.pop_front();
            }
        }
        self.runs.retain(|run| run.last > first);
        while self
            .models
            .front()
            .is_some_and(|model| model.received <= first)
        {
            self.drop_model();
        }
    }

    /// The longest run that shows what it must, else the longest, and how many calls of it count.
    pub(super) fn longest(&self, proof: &Proof) -> Option<(usize, &Run)> {
        let lengths = self.runs.iter().map(|run| (self.length(run, proof), run));
        lengths.max_by_key(|(length, run)| (*length, run.len()))
    }

    fn length(&self, run: &Run, proof: &Proof) -> usize {
        let calls = run.len();
        // The first call of the run was decided before the change that it is.
        let decided = self.models.len() + 1 + calls / LOST >= calls;
        let fast = |pace: &Pace| run.keeps(pace.calls as usize, pace.within);
        let shows = match (&proof.pace, proof.spend) {
            (None, None) => true,
            (pace, spend) => {
                pace.as_ref().is_some_and(fast) || spend.is_some_and(|least| self.spent >= least)
            }
        };
        if shows && (decided || !proof.model_decided) {
            calls
        } else {
            0
        }
    }

    fn drop_model(&mut self) {
        if let Some(model) = self.models.pop_front() {
            self.spent -= model.dollars;
        }
    }

    fn drop_idlest(&mut self) {
        if let Some(at) = (0..self.runs.len()).min_by_key(|i| self.runs[*i].last) {
            self.runs.swap_remove(at);
        }
    }
}

/// When it ended, but never in the future: a clock that is ahead must not hide what comes next.
pub(super) fn ended(fact: &Fact<'_>) -> i64 {
    fact.ended.min(fact.received)
}
