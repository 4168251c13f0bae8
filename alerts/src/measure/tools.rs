//! The tools that a key is known to use, and calls of others: a behavioural firewall that learns its list.
//!
//! A key is learnt for a length of time and a number of calls, and until both have passed there is no verdict.
//! What it called in that time is known. A tool that comes later is a stranger: it counts, until a person
//! releases the target (who has looked at it) or it has been in use for as long as learning takes, with people
//! told of it all the while. What was not called for long is forgotten and would be a stranger again.
//!
//! Tools are kept by name, not by hash: nothing can be made to pass for another. Names longer than any tool has
//! are one name. A key that calls more tools than are kept while it is learnt has no usual ones, and there is no
//! verdict until some of them are forgotten; later, what finds no room is a stranger whenever it is called.
//!
//! What was learnt is saved with the state of the key. The window is read again after a restart: what had been
//! counted by then (`counted_until`) is not counted as learning twice.

use rust_decimal::Decimal;
use serde_json::{Value, json};

use crate::fact::Fact;
use crate::memory::{SavedTool, SavedTools};
use crate::rule::{Learn, SECOND};
use crate::window::Ring;

/// Tools kept for one key.
const TOOLS: usize = 128;
/// Longest name that is told from others, bytes.
const NAME: usize = 200;
/// What all longer ones are called.
const TOO_LONG: &str = "(a name of more than 200 bytes)";
/// What was learnt is kept at least so often, nanoseconds.
const KEPT_EVERY: i64 = 600 * SECOND;

#[derive(Debug)]
struct Tool {
    name: Box<str>,
    /// Calls that stand.
    calls: i64,
    first: i64,
    last: i64,
    /// It was called while the key was learnt, or a person has let it pass.
    known: bool,
}

/// The tools of one key.
#[derive(Debug)]
pub(crate) struct Tools {
    learn: Learn,
    window: i64,
    /// Since when it is learnt.
    since: Option<i64>,
    calls: i64,
    /// By name.
    tools: Vec<Tool>,
    /// Until when there were more than are kept.
    crowded_until: i64,
    /// When the latest call that was counted was received, and until when those were that a restart reads again.
    last: i64,
    counted_until: i64,
    strangers: Ring<i64>,
    /// The stranger that was called last.
    stranger: Option<Box<str>>,
    /// Whether something was learnt that is not saved.
    learnt: bool,
}

impl Tools {
    pub(crate) fn new(learn: Learn, window: i64) -> Self {
        Self {
            learn,
            window,
            since: None,
            calls: 0,
            tools: Vec::new(),
            crowded_until: i64::MIN,
            last: i64::MIN,
            counted_until: i64::MIN,
            strangers: Ring::new(window),
            stranger: None,
            learnt: false,
        }
    }

    /// Takes a tool call in, or out.
    pub(crate) fn add(&mut self, fact: &Fact<'_>, now: i64) {
        let Some(name) = fact.row.tool_name else {
            return;
        };
        let name = if name.len() > NAME { TOO_LONG } else { name };
        let at = fact.received;
        if fact.reversal() {
            // Of what has left the window, nobody remembers for sure whether it counted; what is read again, was.
            if !fact.replayed() && now - at >= self.window {
                return;
            }
            // Read again after a restart: what was saved has it.
            let counted = fact.replayed() && at <= self.counted_until;
            self.take_back(name, at, counted, now);
            return;
        }
        if self.is_empty(at) {
            // Whether it was let go meanwhile or not.
            (self.since, self.calls) = (None, 0);
            self.tools.clear();
        }
        let (counted, learning) = (at <= self.counted_until, !self.has_learnt(at));
        let Some(place) = self.place(name, at, counted, learning) else {
            if !learning && self.tools.len() >= TOOLS {
                self.meet(name, at, now);
            }
            return;
        };
        let tool = &mut self.tools[place];
        if at - tool.last > self.learn.forget {
            // As if it had never been called.
            (tool.first, tool.known, tool.calls) = (at, learning, 0);
            self.learnt = true;
        }
        if !counted {
            tool.calls += 1;
            tool.last = tool.last.max(at);
            self.calls += 1;
            self.since = Some(self.since.map_or(at, |since| since.min(at)));
            self.learnt |= at.div_euclid(KEPT_EVERY) > self.last.div_euclid(KEPT_EVERY);
            self.last = self.last.max(at);
        }
        if self.is_stranger(&self.tools[place], at) {
            self.meet(name, at, now);
        }
    }

    /// Where a tool stands, made if there is room. None when there is not, or when it was there before a restart
    /// and had been taken back by then.
    fn place(&mut self, name: &str, at: i64, counted: bool, learning: bool) -> Option<usize> {
        let place = match self.find(name) {
            Ok(place) => return Some(place),
            Err(_) if counted => return None,
            Err(place) => place,
        };
        let place = if self.tools.len() < TOOLS {
            place
        } else {
            let oldest = at - self.learn.forget;
            self.tools.retain(|tool| tool.last >= oldest);
            self.find(name).unwrap_or_else(|place| place)
        };
        if self.tools.len() >= TOOLS {
            if learning {
                self.crowded_until = at + self.learn.forget;
            }
            return None;
        }
        let tool = Tool {
            name: name.into(),
            calls: 0,
            first: at,
            last: at,
            known: learning,
        };
        self.tools.insert(place, tool);
        self.learnt = true;
        Some(place)
    }

    fn take_back(&mut self, name: &str, at: i64, counted: bool, now: i64) {
        let Ok(place) = self.find(name) else {
            // One that found no room.
            if self.tools.len() >= TOOLS && self.has_learnt(at) {
                self.strangers.add(at, -1, now);
            }
            return;
        };
        if self.is_stranger(&self.tools[place], at) {
            self.strangers.add(at, -1, now);
        }
        if counted {
            return;
        }
        self.calls -= 1;
        self.tools[place].calls -= 1;
        if self.tools[place].calls <= 0 {
            self.tools.remove(place);
        }
        self.learnt = true;
    }

    /// A stranger was called.
    fn meet(&mut self, name: &str, at: i64, now: i64) {
        self.strangers.add(at, 1, now);
        if self.stranger.as_deref() != Some(name) {
            self.stranger = Some(name.into());
        }
    }

    fn find(&self, name: &str) -> Result<usize, usize> {
        self.tools.binary_search_by(|tool| (*tool.name).cmp(name))
    }

    /// Calls of strangers; none while it learns.
    pub(crate) fn value(&mut self, now: i64) -> Option<Decimal> {
        let judges = self.has_learnt(now) && self.crowded_until <= now;
        judges.then(|| Decimal::from(self.strangers.sum(now)))
    }

    pub(crate) fn numbers(&mut self, now: i64) -> Value {
        let known = self.tools.iter().filter(|tool| tool.known).count();
        let stranger = self.stranger.as_deref();
        let first = self.tools.iter().find(|tool| Some(&*tool.name) == stranger);
        json!({
            "calls": self.strangers.sum(now),
            "tool": stranger,
            "first_called": first.map(|tool| crate::engine::rfc3339(tool.first)),
            "tools_known": known,
            "calls_learnt_from": self.calls,
            "learnt_since": self.since.map(crate::engine::rfc3339),
        })
    }

    /// Whether nothing is known any more: it was idle for as long as a tool is remembered.
    pub(crate) fn is_empty(&self, now: i64) -> bool {
        self.tools.is_empty() || now.saturating_sub(self.last) > self.learn.forget
    }

    /// A person has looked at what was called until now.
    pub(crate) fn accept(&mut self) {
        for tool in &mut self.tools {
            tool.known = true;
        }
        self.strangers.clear();
        self.stranger = None;
        self.learnt = true;
    }

    /// Whether something is to be saved; asked once.
    pub(crate) fn learnt(&mut self) -> bool {
        std::mem::take(&mut self.learnt)
    }

    pub(crate) fn save(&self) -> Option<SavedTools> {
        let since = self.since?;
        let tools = self.tools.iter().map(|tool| SavedTool {
            name: tool.name.to_string(),
            calls: tool.calls,
            first: tool.first,
            last: tool.last,
            known: tool.known,
        });
        Some(SavedTools {
            since,
            calls: self.calls,
            last: self.last,
            crowded_until: self.crowded_until,
            tools: tools.collect(),
        })
    }

    pub(crate) fn restore(&mut self, saved: &SavedTools) {
        self.since = Some(saved.since);
        self.calls = saved.calls;
        (self.last, self.counted_until) = (saved.last, saved.last);
        self.crowded_until = saved.crowded_until;
        let tools = saved.tools.iter().take(TOOLS).map(|tool| Tool {
            name: tool.name.as_str().into(),
            calls: tool.calls,
            first: tool.first,
            last: tool.last,
            known: tool.known,
        });
        self.tools = tools.collect();
        self.tools.sort_by(|a, b| a.name.cmp(&b.name));
    }

    fn has_learnt(&self, at: i64) -> bool {
        let long = |since: i64| at - since >= self.learn.period;
        self.since.is_some_and(long) && self.calls >= i64::from(self.learn.min_calls)
    }

    fn is_stranger(&self, tool: &Tool, at: i64) -> bool {
        !tool.known && at - tool.first < self.learn.period
    }
}
