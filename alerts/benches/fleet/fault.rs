//! What goes wrong in the fleet, and what only looks like it.

use super::cast::{Agent, Trade};
use super::dice::Dice;
use super::shape::{Hours, below};
use super::{DAY, HOUR, MINUTE, Plan, SECOND};

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Loop,
    Wandering,
    RetryStorm,
    Spike,
    Overrun,
    UnknownTool,
    PriceChange,
    TierFallback,
    CacheLoss,
    PromptGrowth,
    EscalationSurge,
    RepromptSurge,
    Silence,
}

/// What there is to know of a kind.
#[derive(Debug)]
pub struct Nature {
    pub kind: Kind,
    pub name: &'static str,
    /// Whether it is a fact, on which something must be done; else a guess, of which people must be told.
    pub deterministic: bool,
    /// Whom it befalls, and how far down the ranks of a trade: who hardly works shows nothing within hours.
    trades: &'static [Trade],
    ranks: usize,
    /// How long it lasts if nobody does anything.
    lasts: i64,
    /// The rules whose alert tells of it. Any other alert is a coincidence.
    pub rules: &'static [&'static str],
}

use Trade::{Batch, Chat, Coding, Pipeline, Rag, Support};

pub const NATURES: [Nature; 13] = [
    nature(
        Kind::Loop,
        "runaway loop",
        true,
        &[Chat, Rag, Support, Coding, Pipeline],
        99,
        4,
        &[
            "runaway-loop",
            "slow-loop",
            "execution-budget",
            "execution-budget.soft",
        ],
    ),
    nature(
        Kind::Wandering,
        "loop that words its calls anew",
        true,
        &[Coding, Support, Rag],
        99,
        4,
        &[
            "execution-budget",
            "execution-budget.soft",
            "prompt-growth",
            "spend-unusual",
        ],
    ),
    nature(
        Kind::RetryStorm,
        "tool retry storm",
        true,
        &[Rag, Support, Coding, Pipeline],
        99,
        4,
        &[
            "tool-retry-storm",
            "tool-retry-storm-stop",
            "runaway-loop",
            "slow-loop",
            "tool-errors",
        ],
    ),
    nature(
        Kind::Spike,
        "spend spike, 30 USD a minute",
        true,
        &[Chat, Rag, Support, Coding, Batch],
        99,
        4,
        &[
            "spend-hard-limit",
            "spend-rate-high",
            "spend-unusual",
            "agent-budget",
            "agent-budget.soft",
        ],
    ),
    nature(
        Kind::Overrun,
        "overrun of a day's budget",
        true,
        &[Chat, Rag, Support, Coding, Batch],
        99,
        4,
        &[
            "agent-budget",
            "agent-budget.soft",
            "spend-unusual",
            "spend-rate-high",
        ],
    ),
    nature(
        Kind::UnknownTool,
        "unknown tool",
        true,
        &[Chat, Rag, Support, Coding, Pipeline],
        99,
        4,
        &["unknown-tool"],
    ),
    nature(
        Kind::PriceChange,
        "price of a model x 2",
        false,
        &[],
        0,
        12,
        &["model-price", "agent-price"],
    ),
    nature(
        Kind::TierFallback,
        "fallback to a dear tier",
        false,
        &[Chat, Rag, Support],
        8,
        12,
        &[
            "agent-price",
            "spend-unusual",
            "spend-rate-high",
            "agent-budget",
            "agent-budget.soft",
        ],
    ),
    nature(
        Kind::CacheLoss,
        "cache loss",
        false,
        &[Coding, Support],
        8,
        12,
        &["agent-price", "spend-unusual"],
    ),
    nature(
        Kind::PromptGrowth,
        "prompt growth, half as much again an hour",
        false,
        &[Chat, Support, Rag],
        8,
        12,
        &["prompt-growth", "spend-unusual"],
    ),
    nature(
        Kind::EscalationSurge,
        "escalation surge",
        false,
        &[Support],
        4,
        4,
        &["escalation-surge"],
    ),
    nature(
        Kind::RepromptSurge,
        "re-prompt surge",
        false,
        &[Chat, Support],
        6,
        4,
        &["reprompt-surge"],
    ),
    nature(
        Kind::Silence,
        "silent agent",
        false,
        &[Chat, Support, Pipeline],
        3,
        4,
        &["silent-agent"],
    ),
];

const fn nature(
    kind: Kind,
    name: &'static str,
    deterministic: bool,
    trades: &'static [Trade],
    ranks: usize,
    hours: i64,
    rules: &'static [&'static str],
) -> Nature {
    Nature {
        kind,
        name,
        deterministic,
        trades,
        ranks,
        lasts: hours * HOUR,
        rules,
    }
}

/// What the starter lets an agent spend in a day, picodollars. An overrun that nobody stops passes it within
/// its four hours, on the day on which it begins.
pub(super) const BUDGET: i64 = 200_000_000_000_000;

/// A fault of known onset, and what became of it.
#[derive(Debug)]
pub struct Fault {
    pub nature: &'static Nature,
    /// Of whom; none when it is of a model.
    pub agent: Option<usize>,
    pub(super) model: Option<usize>,
    /// From then on it may show.
    pub planned: i64,
    pub(super) until: i64,
    /// Since then it does: the onset.
    pub begun: Option<i64>,
    /// Since then its agent has spent its budget of the day; of overruns only.
    pub(super) passed: Option<i64>,
    /// A person mended it.
    pub(super) mended: Option<i64>,
    /// The first alert that tells of it, and of which rule.
    pub seen: Option<(i64, String)>,
    /// The first order on whom it befell, and what.
    pub acted: Option<(i64, String)>,
    /// From then on that was obeyed.
    pub obeyed: Option<i64>,
    /// Picodollars that it cost: in calls begun before the order was obeyed, and in all.
    pub before: i64,
    pub lost: i64,
}

impl Fault {
    pub(super) fn active(&self, at: i64) -> bool {
        (self.planned..self.end()).contains(&at)
    }

    pub(super) fn end(&self) -> i64 {
        self.mended.unwrap_or(i64::MAX).min(self.until)
    }

    /// From when on something must be done: of an overrun since the budget is passed, of all else since the onset.
    pub fn due(&self) -> Option<i64> {
        if self.is(Kind::Overrun) {
            self.passed
        } else {
            self.begun
        }
    }

    /// From when it was due until something was ordered; 0 when that was before.
    pub fn acted_after(&self) -> Option<i64> {
        let (acted, _) = self.acted.as_ref()?;
        Some(self.due().map_or(0, |due| (acted - due).max(0)))
    }

    /// Whether it was an overrun in the making: a person was told, came, and ended it before the budget was passed, so
    /// that there was nothing to act on.
    pub fn prevented(&self) -> bool {
        self.is(Kind::Overrun)
            && self.acted.is_none()
            && self.mended.is_some()
            && self.passed.is_none()
    }

    pub(super) fn is(&self, kind: Kind) -> bool {
        self.nature.kind == kind
    }
}

/// What is not wrong, only unusual.
#[derive(Debug)]
pub(super) enum Strain {
    /// So many times as much work for one agent.
    Launch { agent: usize, factor: f64 },
    /// So many times as much for those who work at night.
    MonthEnd { factor: f64 },
    /// A new release, whose prompts are so much longer.
    Release { agent: usize, factor: f64 },
    /// A tool fails for everybody.
    Outage { tool: &'static str },
    /// A provider refuses part of the calls of a model.
    Overload { model: usize },
}

#[derive(Debug)]
pub(super) struct Strained {
    pub(super) what: Strain,
    pub(super) from: i64,
    pub(super) until: i64,
}

/// The faults of a plan: each kind so many times, no agent twice.
pub(super) fn plant(plan: &Plan, agents: &[Agent]) -> Vec<Fault> {
    let mut dice = Dice(plan.seed ^ 0x00fa_0175);
    let (mut faults, mut taken) = (Vec::new(), vec![false; agents.len()]);
    let mut models = vec![1, 4, 5, 2, 0, 3];
    // Those that few agents can have come first, or others would have taken them.
    let mut natures: Vec<&'static Nature> = NATURES.iter().collect();
    natures.sort_by_key(|nature| nature.ranks);
    for nature in natures {
        for _ in 0..plan.each {
            let (agent, model) = if nature.kind == Kind::PriceChange {
                if models.is_empty() {
                    continue;
                }
                (
                    None,
                    Some(models.remove(below(&mut dice, models.len().min(3)))),
                )
            } else {
                let fits = |i: &usize| {
                    let agent = &agents[*i];
                    !taken[*i]
                        && nature.trades.contains(&agent.trade)
                        && agent.rank < nature.ranks
                        && agent.begins == plan.start
                };
                let fitting: Vec<usize> = (0..agents.len()).filter(fits).collect();
                if fitting.is_empty() {
                    continue;
                }
                let chosen = fitting[below(&mut dice, fitting.len())];
                taken[chosen] = true;
                (Some(chosen), None)
            };
            let planned = onset(plan, agent.map(|agent| &agents[agent]), &mut dice);
            faults.push(Fault {
                nature,
                agent,
                model,
                planned,
                until: planned + nature.lasts,
                begun: None,
                passed: None,
                mended: None,
                seen: None,
                acted: None,
                obeyed: None,
                before: 0,
                lost: 0,
            });
        }
    }
    faults
}

/// A moment at which the agent works: by day on a working day, or at night.
fn onset(plan: &Plan, agent: Option<&Agent>, dice: &mut Dice) -> i64 {
    let zone = agent.map_or(0, |agent| agent.zone);
    let hours = agent.map_or(Hours::Waking, |agent| agent.craft.hours);
    loop {
        let days = plan.days - plan.from_day - 1;
        let day = plan.from_day + below(dice, days.max(1) as usize) as i64;
        let (from, long) = match hours {
            Hours::Nightly => (2 * HOUR + 10 * MINUTE, HOUR),
            Hours::Clockwork => (0, DAY),
            Hours::Office | Hours::Waking => (9 * HOUR + HOUR / 2, 5 * HOUR),
        };
        let within = below(dice, (long / SECOND) as usize) as i64 * SECOND;
        let local = day * DAY + from + within;
        if hours != Hours::Office || local.div_euclid(DAY).rem_euclid(7) < 5 {
            return plan.start + local - zone;
        }
    }
}

/// What is unusual in a plan, but not wrong.
pub(super) fn strains(plan: &Plan, agents: &[Agent]) -> Vec<Strained> {
    let mut dice = Dice(plan.seed ^ 0x0057_a135);
    let (mut strains, end) = (Vec::new(), plan.start + plan.days * DAY);
    let mut at = |dice: &mut Dice, what, long| {
        let day = 1 + below(dice, (plan.days - 1).max(1) as usize) as i64;
        let from = plan.start + day * DAY + (8 + below(dice, 6) as i64) * HOUR;
        strains.push(Strained {
            what,
            from,
            until: from + long,
        });
    };
    let of = |trade| (0..agents.len()).filter(move |i| agents[*i].trade == trade);
    let weeks = (plan.days + 6) / 7;
    for week in 0..weeks as usize {
        let chats: Vec<usize> = of(Trade::Chat).collect();
        let agent = chats[below(&mut dice, chats.len())];
        at(&mut dice, Strain::Launch { agent, factor: 6.0 }, 6 * HOUR);
        let agent = below(&mut dice, agents.len());
        at(&mut dice, Strain::Release { agent, factor: 1.2 }, end);
        let tool = ["search_help", "look_up_order", "retrieve", "read_file"][week % 4];
        at(&mut dice, Strain::Outage { tool }, 20 * MINUTE);
        let model = below(&mut dice, 6);
        at(&mut dice, Strain::Overload { model }, 30 * MINUTE);
    }
    if plan.days >= 28 {
        strains.push(Strained {
            what: Strain::MonthEnd { factor: 8.0 },
            from: end - 2 * DAY,
            until: end,
        });
    }
    strains
}
