//! What a rule measures for one key, kept up to date with every fact.

mod budget;
mod burn;
mod conflicts;
mod drivers;
mod growth;
mod hours;
mod leakage;
mod marked;
mod repeats;
mod reprompts;
mod retries;
mod series;
mod silence;
mod tools;
mod worth;

pub(crate) use self::silence::Hearing;

use flyball_store::rows::Kind;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use self::budget::Budget;
use self::burn::Burn;
use self::conflicts::Conflicts;
use self::growth::Growth;
use self::hours::KnownHours;
use self::leakage::Leakage;
use self::marked::Marked;
use self::repeats::Repeats;
use self::reprompts::Reprompts;
use self::retries::Retries;
use self::series::{KnownSeries, Watched};
use self::silence::Silence;
use self::tools::Tools;
use self::worth::Worthless;
use crate::fact::{Fact, SpanRef};
use crate::memory::{SavedKey, SavedPardon, SavedTools};
use crate::rule::When;
use crate::state::State;
use crate::window::{Ring, Sum};

/// Calls and failures of a bucket.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Tally {
    pub(crate) calls: i64,
    pub(crate) failed: i64,
}

impl Sum for Tally {
    fn plus(self, other: Self) -> Self {
        Self {
            calls: self.calls.plus(other.calls),
            failed: self.failed.plus(other.failed),
        }
    }
    fn minus(self, other: Self) -> Self {
        Self {
            calls: self.calls.minus(other.calls),
            failed: self.failed.minus(other.failed),
        }
    }
}

/// Dollars and calls of a bucket.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Spent {
    dollars: Decimal,
    calls: i64,
}

impl Sum for Spent {
    fn plus(self, other: Self) -> Self {
        Self {
            dollars: self.dollars.plus(other.dollars),
            calls: self.calls.plus(other.calls),
        }
    }
    fn minus(self, other: Self) -> Self {
        Self {
            dollars: self.dollars.minus(other.dollars),
            calls: self.calls.minus(other.calls),
        }
    }
}

/// What a key has learnt that no table has.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Known {
    Series(Box<KnownSeries>),
    Hours(KnownHours),
}

/// The state of one key.
#[derive(Debug)]
pub(crate) enum Measure {
    /// What the last answer said.
    Told(Option<Decimal>),
    Spend(Ring<Spent>),
    Repeats(Repeats),
    Share {
        tally: Ring<Tally>,
        min_calls: i64,
    },
    Count(Ring<i64>),
    Strangers {
        calls: Ring<i64>,
        tool: Option<Box<str>>,
    },
    Tools(Box<Tools>),
    Leakage(Leakage),
    Conflicts(Conflicts),
    Marked(Box<Marked>),
    Worthless(Box<Worthless>),
    Budget(Budget),
    Retries(Retries),
    Reprompts(Reprompts),
    Silence(Silence),
    Growth(Growth),
    // The largest, and rare beside the others.
    Watched(Box<Watched>),
    Burn(Burn),
}

impl Measure {
    pub(crate) fn new(when: &When) -> Self {
        match when {
            When::Sql { .. } | When::Composite { .. } => Self::Told(None),
            When::Budget { per } => Self::Budget(Budget::new(*per)),
            When::ConflictingModifications { window, .. } => {
                Self::Conflicts(Conflicts::new(*window))
            }
            When::InjectionMarkers { window, .. } | When::MemoryPoisoning { window, .. } => {
                Self::Marked(Box::new(Marked::new(*window)))
            }
            When::BudgetLeakage {
                window,
                limit,
                executions,
            } => Self::Leakage(Leakage::new(*window, *limit, *executions)),
            When::LowValueExecutions { window, share } => {
                Self::Worthless(Box::new(Worthless::new(*window, *share)))
            }
            When::RetryStorm { window } => Self::Retries(Retries::new(*window)),
            When::Reprompts { window } => Self::Reprompts(Reprompts::new(*window)),
            When::UnknownTool {
                learn: Some(learn),
                window,
                ..
            } => Self::Tools(Box::new(Tools::new(*learn, *window))),
            When::UnknownTool { window, .. } => Self::Strangers {
                calls: Ring::new(*window),
                tool: None,
            },
            When::Absence {
                silent_for,
                min_calls,
                learn,
            } => Self::Silence(Silence::new(*silent_for, *min_calls, *learn)),
            When::RateOfChange {
                of,
                window,
                base,
                floor,
            } => Self::Growth(Growth::new(*of, *window, *base, *floor)),
            When::Detector { of, every, change } => {
                Self::Watched(Box::new(Watched::new(*of, *every, *change)))
            }
            When::SloBurn(objective) => Self::Burn(Burn::new(objective)),
            When::SpendRate { window } => Self::Spend(Ring::new(*window)),
            When::RepeatedToolCalls { window, proof } => {
                Self::Repeats(Repeats::new(*window, *proof))
            }
            When::ErrorRate {
                window, min_calls, ..
            } => Self::Share {
                tally: Ring::new(*window),
                min_calls: i64::from(*min_calls),
            },
            When::Escalations { window } => Self::Count(Ring::new(*window)),
        }
    }

    /// What it has learnt that no table has, to be kept over a restart.
    pub(crate) fn known(&self) -> Option<Known> {
        match self {
            Self::Watched(series) => series.known().map(Box::new).map(Known::Series),
            Self::Silence(silence) => silence.known().map(Known::Hours),
            _ => None,
        }
    }

    /// Takes over what was kept; after a `gap`, the time since then is unknown.
    pub(crate) fn know(&mut self, known: Known, gap: bool, now: i64) {
        match (self, known) {
            (Self::Watched(series), Known::Series(known)) => series.know(*known, gap),
            (Self::Silence(silence), Known::Hours(known)) => silence.know(known, gap, now),
            _ => {}
        }
    }

    /// What silence is measured with stops while nothing is heard; what hour it is does not.
    pub(crate) fn pass(&mut self, heard_until: i64, now: i64) {
        if let Self::Silence(silence) = self {
            silence.pass(heard_until, now);
        }
    }

    /// Whether a rule of this kind cares about the fact.
    pub(crate) fn concerns(when: &When, fact: &Fact<'_>) -> bool {
        match when {
            When::Sql { .. } | When::Composite { .. } => false,
            When::SpendRate { .. } | When::Budget { .. } => !fact.cost().is_zero(),
            When::ConflictingModifications { tools, .. } => conflicts::modifies(fact, tools),
            When::InjectionMarkers { markers, .. } => marked::injected(fact, markers),
            When::MemoryPoisoning { tools, .. } => marked::poisons(fact, tools),
            When::BudgetLeakage { .. } => Leakage::concerns(fact),
            When::LowValueExecutions { .. } => Worthless::concerns(fact),
            When::RetryStorm { .. } => fact.kind(Kind::ToolCall),
            When::Reprompts { .. } => {
                fact.kind(Kind::ModelCall) || fact.kind(Kind::ToolCall) || fact.progressed()
            }
            When::UnknownTool { allow, .. } => {
                let tool = fact.row.tool_name.filter(|_| fact.kind(Kind::ToolCall));
                tool.is_some_and(|tool| !allow.contains(tool))
            }
            When::Absence { .. } => fact.charge(),
            When::RateOfChange { of, .. } => of.of(fact).is_some(),
            When::Detector { of, .. } => of.concerns(fact),
            When::SloBurn(objective) => objective.aim.bad(fact).is_some(),
            When::RepeatedToolCalls { proof, .. } => {
                fact.kind(Kind::ToolCall)
                    || fact.progressed()
                    || (proof.asks_models() && fact.kind(Kind::ModelCall))
            }
            When::ErrorRate { of, .. } => fact.call(*of),
            When::Escalations { .. } => fact.escalated(),
        }
    }

    pub(crate) fn add(&mut self, fact: &Fact<'_>, now: i64) {
        let (at, sign) = (fact.received, fact.sign());
        match self {
            Self::Told(_) => {}
            Self::Spend(spent) => {
                let dollars = fact.cost();
                spent.add(
                    at,
                    Spent {
                        dollars,
                        calls: sign,
                    },
                    now,
                );
            }
            Self::Repeats(repeats) => repeats.add(fact, now),
            Self::Share { tally, .. } => {
                let failed = if fact.row.error_type.is_some() {
                    sign
                } else {
                    0
                };
                tally.add(
                    at,
                    Tally {
                        calls: sign,
                        failed,
                    },
                    now,
                );
            }
            Self::Count(count) => count.add(at, sign, now),
            Self::Strangers { calls, tool } => {
                calls.add(at, sign, now);
                if tool.as_deref() != fact.row.tool_name {
                    *tool = fact.row.tool_name.map(Into::into);
                }
            }
            Self::Tools(tools) => tools.add(fact, now),
            Self::Leakage(leakage) => leakage.add(fact, now),
            Self::Conflicts(conflicts) => conflicts.add(fact, now),
            Self::Marked(marked) => marked.add(fact, now),
            Self::Worthless(runs) => runs.add(fact, now),
            Self::Budget(budget) => budget.add(at, fact.cost(), now),
            Self::Retries(retries) => retries.add(fact, now),
            Self::Reprompts(reprompts) => reprompts.add(fact, now),
            Self::Silence(silence) => silence.add(at, fact.replayed(), now),
            Self::Growth(growth) => growth.add(fact, now),
            Self::Watched(series) => series.add(fact),
            Self::Burn(burn) => burn.add(fact, now),
        }
    }

    /// Numbers from what lies elsewhere, so that the processor fetches it.
    pub(crate) fn touch(&self) -> i64 {
        match self {
            Self::Watched(series) => series.touch(),
            Self::Burn(burn) => burn.touch(),
            Self::Budget(budget) => budget.touch(),
            Self::Repeats(repeats) => repeats.touch(),
            Self::Retries(retries) => retries.touch(),
            _ => 0,
        }
    }

    /// The number that the threshold is held against; none when there is no telling.
    pub(crate) fn value(&mut self, now: i64) -> Option<Decimal> {
        match self {
            Self::Told(value) => *value,
            Self::Spend(spent) => Some(spent.sum(now).dollars),
            Self::Repeats(repeats) => Some(Decimal::from(repeats.most(now))),
            Self::Share { tally, min_calls } => {
                let Tally { calls, failed } = tally.sum(now);
                (calls >= *min_calls).then(|| Decimal::from(failed) / Decimal::from(calls.max(1)))
            }
            Self::Count(count) | Self::Strangers { calls: count, .. } => {
                Some(Decimal::from(count.sum(now)))
            }
            Self::Tools(tools) => tools.value(now),
            Self::Leakage(leakage) => Some(leakage.value(now)),
            Self::Conflicts(conflicts) => Some(Decimal::from(conflicts.most(now))),
            Self::Marked(marked) => Some(Decimal::from(marked.value(now))),
            Self::Worthless(runs) => Some(Decimal::from(runs.count(now))),
            Self::Budget(budget) => Some(budget.value(now)),
            Self::Retries(retries) => Some(Decimal::from(retries.most(now))),
            Self::Reprompts(reprompts) => Some(Decimal::from(reprompts.count(now))),
            Self::Silence(silence) => silence.value(now),
            Self::Growth(growth) => growth.value(now),
            Self::Watched(series) => series.value(now),
            Self::Burn(burn) => burn.value(now),
        }
    }

    /// The numbers behind the value.
    pub(crate) fn numbers(&mut self, now: i64) -> Value {
        match self {
            Self::Told(_) => json!({}),
            Self::Spend(spent) => {
                let Spent { dollars, calls } = spent.sum(now);
                json!({ "usd": dollars.normalize().to_string(), "calls": calls })
            }
            Self::Repeats(repeats) => repeats.numbers(now),
            Self::Share { tally, min_calls } => {
                let Tally { calls, failed } = tally.sum(now);
                json!({ "calls": calls, "failed": failed, "min_calls": min_calls })
            }
            Self::Count(count) => json!({ "escalations": count.sum(now) }),
            Self::Strangers { calls, tool } => json!({ "calls": calls.sum(now), "tool": tool }),
            Self::Tools(tools) => tools.numbers(now),
            Self::Leakage(leakage) => leakage.numbers(now),
            Self::Conflicts(conflicts) => conflicts.numbers(),
            Self::Marked(marked) => marked.numbers(now),
            Self::Worthless(runs) => runs.numbers(now),
            Self::Budget(budget) => budget.numbers(now),
            Self::Retries(retries) => retries.numbers(),
            Self::Reprompts(reprompts) => json!({ "model_calls": reprompts.count(now) }),
            Self::Silence(silence) => silence.numbers(),
            Self::Growth(growth) => growth.numbers(now),
            Self::Watched(series) => series.numbers(),
            Self::Burn(burn) => burn.numbers(now),
        }
    }

    /// The very spans that the value counts, where it is known; else the caller's last few will do.
    pub(crate) fn spans(&mut self, now: i64) -> Option<Vec<SpanRef>> {
        match self {
            Self::Repeats(repeats) => Some(repeats.spans(now)),
            Self::Retries(retries) => Some(retries.spans()),
            Self::Reprompts(reprompts) => Some(reprompts.spans()),
            Self::Worthless(runs) => Some(runs.spans(now)),
            Self::Conflicts(conflicts) => Some(conflicts.spans()),
            _ => None,
        }
    }

    /// Whether an action would be about whoever this fact is of.
    pub(crate) fn blames(&self, fact: &Fact<'_>) -> bool {
        match self {
            Self::Repeats(repeats) => repeats.blames(fact),
            _ => true,
        }
    }

    pub(crate) fn is_empty(&mut self, now: i64) -> bool {
        match self {
            Self::Told(value) => value.is_none(),
            Self::Spend(spent) => spent.is_empty(now),
            Self::Repeats(repeats) => repeats.is_empty(now),
            Self::Share { tally, .. } => tally.is_empty(now),
            Self::Count(count) | Self::Strangers { calls: count, .. } => count.is_empty(now),
            Self::Tools(tools) => tools.is_empty(now),
            Self::Leakage(leakage) => leakage.is_empty(now),
            Self::Conflicts(conflicts) => conflicts.is_empty(now),
            Self::Marked(marked) => marked.is_empty(now),
            Self::Worthless(runs) => runs.is_empty(now),
            Self::Budget(budget) => budget.is_empty(now),
            Self::Retries(retries) => retries.is_empty(now),
            Self::Reprompts(reprompts) => reprompts.is_empty(now),
            Self::Silence(silence) => silence.is_empty(),
            Self::Growth(growth) => growth.is_empty(now),
            Self::Watched(series) => series.is_empty(now),
            Self::Burn(burn) => burn.is_empty(now),
        }
    }

    /// Forgets what was counted until now: somebody has looked at it.
    pub(crate) fn clear(&mut self, now: i64) {
        match self {
            // What a detector learnt of the past is no count; and silence leads to no action to be forgiven.
            Self::Told(_) | Self::Watched(_) | Self::Silence(_) => {}
            Self::Tools(tools) => tools.accept(),
            Self::Leakage(leakage) => leakage.clear(),
            Self::Conflicts(conflicts) => conflicts.clear(),
            Self::Marked(marked) => marked.clear(),
            Self::Worthless(runs) => runs.clear(now),
            Self::Budget(budget) => budget.forgive(),
            Self::Retries(retries) => retries.clear(),
            Self::Reprompts(reprompts) => reprompts.clear(),
            Self::Growth(growth) => growth.clear(),
            Self::Burn(burn) => burn.forgive(now),
            Self::Spend(spent) => spent.clear(),
            Self::Repeats(repeats) => repeats.clear(),
            Self::Share { tally, .. } => tally.clear(),
            Self::Count(count) | Self::Strangers { calls: count, .. } => count.clear(),
        }
    }

    /// Whether, with nothing new, its value never rises: a sum, and no share or time.
    pub(crate) fn only_falls(&self) -> bool {
        matches!(
            self,
            Self::Spend(_)
                | Self::Count(_)
                | Self::Strangers { .. }
                | Self::Tools(_)
                | Self::Conflicts(_)
                | Self::Marked(_)
                | Self::Retries(_)
                | Self::Budget(_)
        )
    }

    /// Whether what was forgiven is remembered as a sum, so that nothing need be left out for it.
    pub(crate) fn keeps_pardons(&self) -> bool {
        matches!(self, Self::Budget(_))
    }

    /// What must survive a restart besides the state.
    pub(crate) fn save(&self) -> Option<SavedPardon> {
        match self {
            Self::Budget(budget) => budget.save(),
            _ => None,
        }
    }

    /// The tools that it has learnt, which must survive a restart, too.
    pub(crate) fn tools(&self) -> Option<SavedTools> {
        match self {
            Self::Tools(tools) => tools.save(),
            _ => None,
        }
    }

    /// Whether it has learnt something that is to be kept; asked once.
    pub(crate) fn learnt(&mut self) -> bool {
        match self {
            Self::Tools(tools) => tools.learnt(),
            _ => false,
        }
    }

    /// What did survive one.
    pub(crate) fn restore(&mut self, saved: &SavedKey, now: i64) {
        match (self, &saved.pardon) {
            (Self::Budget(budget), Some(pardon)) => budget.restore(pardon, now),
            (Self::Burn(burn), _) if saved.forgiven_until > 0 => burn.forgive(saved.forgiven_until),
            (Self::Tools(tools), _) => {
                if let Some(saved) = &saved.tools {
                    tools.restore(saved);
                }
            }
            (Self::Worthless(runs), _) if saved.forgiven_until > 0 => {
                runs.clear(saved.forgiven_until);
            }
            // Its alert was not over.
            (Self::Silence(silence), _) if saved.machine.state != State::Ok => silence.missed(),
            _ => {}
        }
    }
}
