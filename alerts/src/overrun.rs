//! Hard limits that were passed, and whether the loop was closed: the agent stopped in time.
//!
//! A hard limit is a rule in force that freezes by what is spent (`spend_rate` or `budget`). It is passed when the rule
//! acts or would; that overrun lasts until its alert is over or a person releases the target. It is missed, once, when
//! no order followed (withheld, or not taken by control in spite of all tries), or when a call that costs money began
//! more than [`LOOP`] after we received the span that passed the limit: until then a call is what the loop's own time
//! explains. What began earlier and is told of later is no fault of the loop.

use flyball_runtime::control::{Mode, Scope};
use flyball_store::hashed::HashMap;
use serde::Serialize;

use crate::fact::Fact;
use crate::rule::{Action, Key, Rule, SECOND, Target, When};

/// What the loop may take, from the receipt of a span to the agent's obeying: the promise, with room for a batch of the
/// sender's, nanoseconds.
pub(crate) const LOOP: i64 = SECOND;

/// How often a hard limit was passed, and what was missed of that.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Overruns {
    /// Times it was passed.
    pub passed: u64,
    /// Of those, the ones that no order followed.
    pub unordered: u64,
    /// Of those, the ones that were ordered, and whose agent began another paid call more than a second later.
    pub unobeyed: u64,
}

/// One that lasts.
#[derive(Debug)]
struct Overrun {
    scope: Scope,
    /// When the span was received that passed the limit.
    received: i64,
    missed: bool,
}

/// The overruns of one rule.
#[derive(Debug, Default)]
pub(crate) struct Limit {
    counts: Overruns,
    open: HashMap<String, Overrun>,
}

/// Whether a rule is a hard limit.
pub(crate) fn is_hard(rule: &Rule) -> bool {
    rule.mode == Mode::Enforce
        && rule.action == Action::Freeze
        && matches!(rule.when, When::SpendRate { .. } | When::Budget { .. })
}

/// The moment after which a call did certainly begin: by its sender's clock or by ours, whichever is earlier, since
/// clocks differ and spans wait to be sent.
fn began(fact: &Fact<'_>) -> i64 {
    let took = fact.row.duration_ns.unwrap_or(0).max(0);
    fact.row
        .start_unix_nano
        .min(fact.received.saturating_sub(took))
}

impl Limit {
    pub(crate) fn counts(&self) -> Overruns {
        self.counts
    }

    /// The key passed the limit with a span that was received then, and an order is on its way.
    pub(crate) fn ordered(&mut self, key: &str, scope: &Scope, received: i64) {
        self.pass(key, scope, received);
    }

    /// The key passed the limit, or has, and nothing follows.
    pub(crate) fn unordered(&mut self, key: &str, scope: &Scope, received: i64) {
        if !std::mem::replace(&mut self.pass(key, scope, received).missed, true) {
            self.counts.unordered += 1;
        }
    }

    fn pass(&mut self, key: &str, scope: &Scope, received: i64) -> &mut Overrun {
        let counts = &mut self.counts;
        self.open.entry(key.to_owned()).or_insert_with(|| {
            counts.passed += 1;
            Overrun {
                scope: scope.clone(),
                received,
                missed: false,
            }
        })
    }

    /// A charge has come.
    pub(crate) fn see(&mut self, fact: &Fact<'_>, by: Key, target: Target, workspace: &str) {
        if self.open.is_empty() || fact.cost() <= rust_decimal::Decimal::ZERO {
            return;
        }
        let overrun = fact
            .key(by, workspace)
            .and_then(|key| self.open.get_mut(key));
        if let Some(overrun) = overrun.filter(|overrun| !overrun.missed)
            && fact.key(target.key(), workspace) == Some(overrun.scope.target())
            && began(fact) > overrun.received.saturating_add(LOOP)
        {
            overrun.missed = true;
            self.counts.unobeyed += 1;
        }
    }

    /// The key's alert is over.
    pub(crate) fn over(&mut self, key: &str) {
        self.open.remove(key);
    }

    /// A person released the scope: what is spent from now on is meant.
    pub(crate) fn forgive(&mut self, scope: &Scope) {
        self.open.retain(|_, overrun| overrun.scope != *scope);
    }
}
