//! Who works in the fleet: six trades, and in each many agents of which few do most of the work.

use super::dice::Dice;
use super::shape::{BURSTY, EVEN, Hours, below, pick};
use super::{DAY, HOUR, Plan, SECOND};

/// What an agent does for a living.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trade {
    /// Answers people in sessions of a few turns.
    Chat,
    /// Looks documents up and answers from them.
    Rag,
    /// Handles tickets with tools; hands some to a person.
    Support,
    /// Works on a repository in a long loop with a large, mostly cached context.
    Coding,
    /// Works through what the day has left, at night.
    Batch,
    /// Starts jobs every few minutes and waits for them.
    Pipeline,
}

/// What the agents of a trade have in common.
#[derive(Debug)]
pub(super) struct Craft {
    pub(super) trade: Trade,
    pub(super) name: &'static str,
    /// Of twenty agents, so many.
    pub(super) share: usize,
    pub(super) model: usize,
    /// Executions an hour of the busiest of them, in its busiest hour; of a night, for Batch.
    pub(super) busiest: f64,
    pub(super) hours: Hours,
    pub(super) unrest: f64,
    /// Share of the input that comes from a cache.
    pub(super) cached: f64,
}

pub(super) const CRAFTS: [Craft; 6] = [
    craft(Trade::Chat, "chat", 4, 0, 240.0, Hours::Waking, EVEN, 0.3),
    craft(Trade::Rag, "rag", 4, 1, 120.0, Hours::Office, EVEN, 0.1),
    craft(
        Trade::Support,
        "support",
        4,
        2,
        90.0,
        Hours::Waking,
        EVEN,
        0.7,
    ),
    craft(
        Trade::Coding,
        "coding",
        4,
        3,
        14.0,
        Hours::Office,
        BURSTY,
        0.85,
    ),
    craft(
        Trade::Batch,
        "batch",
        2,
        4,
        400.0,
        Hours::Nightly,
        EVEN,
        0.0,
    ),
    craft(
        Trade::Pipeline,
        "pipeline",
        2,
        5,
        12.0,
        Hours::Clockwork,
        EVEN,
        0.5,
    ),
];

#[allow(clippy::too_many_arguments, reason = "a row of a table")]
const fn craft(
    trade: Trade,
    name: &'static str,
    share: usize,
    model: usize,
    busiest: f64,
    hours: Hours,
    unrest: f64,
    cached: f64,
) -> Craft {
    Craft {
        trade,
        name,
        share,
        model,
        busiest,
        hours,
        unrest,
        cached,
    }
}

/// The tools that the fleet knows: what the rule against unknown ones allows.
pub const TOOLS: [&str; 14] = [
    "search_help",
    "retrieve",
    "web_search",
    "look_up_order",
    "look_up_customer",
    "reply",
    "read_file",
    "edit_file",
    "run_tests",
    "read_rows",
    "write_row",
    "list_runs",
    "start_job",
    "job_status",
];

/// One agent.
#[derive(Debug)]
pub struct Agent {
    pub name: String,
    pub trade: Trade,
    pub(super) craft: &'static Craft,
    /// 0 is the busiest of its trade.
    pub(super) rank: usize,
    /// Executions an hour at its busiest.
    pub(super) rate: f64,
    /// Its clock is so much ahead of UTC.
    pub(super) zone: i64,
    /// Its exporter sends what it has so often: 5 s is OpenTelemetry's default, 1 s the bundled runtime's.
    pub(super) flush: i64,
    pub(super) phase: i64,
    pub(super) tenant: &'static str,
    /// Its first day.
    pub(super) begins: i64,
    pub(super) seed: u64,
}

impl Agent {
    /// When the spans that ended at `at` arrive.
    pub(super) fn received(&self, at: i64) -> i64 {
        let turn = (at - self.phase).div_euclid(self.flush) + 1;
        turn * self.flush + self.phase + SECOND / 4
    }
}

/// The agents of a plan. Work is shared by Zipf's law: the one of rank n has an n-th of the busiest one's.
pub(super) fn agents(plan: &Plan) -> Vec<Agent> {
    let mut dice = Dice(plan.seed ^ 0x00ca_5700);
    let mut agents = Vec::new();
    for craft in &CRAFTS {
        let count = (plan.agents * craft.share / 20).max(1);
        for rank in 0..count {
            // One in ten joins in the course of the month.
            let late = plan.days > 10 && dice.uniform() < 0.1;
            agents.push(Agent {
                name: format!("{}-{:02}", craft.name, rank + 1),
                trade: craft.trade,
                craft,
                rank,
                rate: plan.volume * craft.busiest / (rank as f64 + 1.0),
                zone: pick(&mut dice, &[-5, 0, 0, 1, 8]) * HOUR,
                flush: pick(&mut dice, &[1, 5, 5]) * SECOND,
                phase: below(&mut dice, 20) as i64 * SECOND / 4,
                tenant: pick(&mut dice, &["acme", "globex", "initech"]),
                begins: if late {
                    plan.start + (3 + below(&mut dice, 12) as i64) * DAY
                } else {
                    plan.start
                },
                seed: dice.0,
            });
        }
    }
    agents
}
