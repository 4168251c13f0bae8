//! Recorded traces, a life made of them, and what goes wrong in it.

#![allow(
    dead_code,
    missing_docs,
    missing_debug_implementations,
    unreachable_pub,
    clippy::unwrap_used
)]

#[allow(clippy::duplicate_mod)] // The tests have both.
#[path = "../../detect/tests/it/dice.rs"]
mod dice;
pub mod life;
pub mod recordings;

use std::path::PathBuf;

use flyball_alerts::Rule;
use flyball_alerts::rule::{When, parse};
use flyball_runtime::control::Mode;
use flyball_store::rows::ChargeRow;
use rust_decimal::Decimal;
use rust_decimal::prelude::FromPrimitive;

use self::recordings::Recording;

pub const SECOND: i64 = 1_000_000_000;
pub const MINUTE: i64 = 60 * SECOND;
pub const HOUR: i64 = 60 * MINUTE;

/// A dearer model costs ten times as much, as the large one of a family does beside the small one.
const DEARER: i64 = 10;
/// What was read from a cache costs a tenth of what was not, with most providers.
const UNCACHED: i64 = 10;
/// Prompts grow by half in an hour.
const GROWS: f64 = 1.5;

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    Loop,
    RetryStorm,
    Price,
    Tier,
    CacheLoss,
    Growth,
}

impl Fault {
    pub const ALL: [Self; 6] = [
        Self::Loop,
        Self::RetryStorm,
        Self::Price,
        Self::Tier,
        Self::CacheLoss,
        Self::Growth,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Loop => "a model call and a tool call, the same ones again and again",
            Self::RetryStorm => "a tool call that fails, again and again",
            Self::Price => "prices x 2",
            Self::Tier => "a model ten times as dear answers",
            Self::CacheLoss => "nothing is read from the cache any more",
            Self::Growth => "prompts grow by half an hour",
        }
    }

    /// How long it lasts if nobody does anything, nanoseconds.
    pub fn lasts(self) -> i64 {
        match self {
            Self::Loop | Self::RetryStorm => 4 * HOUR,
            _ => 12 * HOUR,
        }
    }

    /// The rules whose alert tells of it.
    pub fn rules(self) -> &'static [&'static str] {
        match self {
            Self::Loop => &["runaway-loop", "slow-loop", "execution-budget.soft"],
            Self::RetryStorm => &["tool-retry-storm", "tool-retry-storm-stop", "tool-errors"],
            Self::Price => &["agent-price", "model-price"],
            Self::Tier | Self::CacheLoss => &["agent-price", "spend-unusual"],
            Self::Growth => &["prompt-growth", "spend-unusual"],
        }
    }

    /// What it makes of a call, `since` nanoseconds after its onset. Answers what that costs more, US dollars.
    pub fn bend(self, row: &mut ChargeRow, since: i64) -> Decimal {
        let before = row.cost_usd.unwrap_or_default();
        let cached = row.cost_cache_read_usd.unwrap_or_default();
        let input = row.cost_input_usd.unwrap_or_default();
        let more = match self {
            _ if row.kind != "model_call" => return Decimal::ZERO,
            Self::Loop | Self::RetryStorm => return Decimal::ZERO,
            Self::Price => before,
            Self::Tier => {
                row.response_model = Some("the-dear-one".to_owned());
                before * Decimal::from(DEARER - 1)
            }
            Self::CacheLoss => {
                row.cache_read_tokens = row.cache_read_tokens.map(|_| 0);
                cached * Decimal::from(UNCACHED - 1)
            }
            Self::Growth => {
                let factor = GROWS.powf(since as f64 / HOUR as f64);
                row.input_tokens = row.input_tokens.map(|n| (n as f64 * factor) as i64);
                (input + cached) * Decimal::from_f64(factor - 1.0).unwrap_or_default()
            }
        };
        let more = more.round_dp(12);
        row.cost_usd = row.cost_usd.map(|cost| cost + more);
        row.cost_input_usd = row.cost_input_usd.map(|cost| cost + more);
        more
    }
}

/// Recordings that are always at hand.
pub fn fixtures() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../ingest/tests/fixtures/truth")
}

/// The rules that ship for a start, promoted, and with the recorded tools on their list. Those that ask the tables are
/// left out: here are none.
pub fn rules(recordings: &[Recording]) -> Vec<Rule> {
    let tools = recordings
        .iter()
        .flat_map(|r| r.executions.iter().flatten());
    let mut tools: Vec<&str> = tools.filter_map(|row| row.tool_name.as_deref()).collect();
    tools.sort_unstable();
    tools.dedup();
    let tools: Vec<String> = tools.iter().map(|tool| format!("{tool:?}")).collect();
    let text = include_str!("../../rules/starter.yaml");
    let text = text.replace("allow: []", &format!("allow: [{}]", tools.join(", ")));
    let mut rules = parse("starter.yaml", &text).unwrap();
    rules.retain(|rule| !matches!(rule.when, When::Sql { .. }));
    for rule in rules.iter_mut().filter(|rule| rule.acts()) {
        rule.mode = Mode::Enforce;
    }
    rules
}
