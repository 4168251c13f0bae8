//! What a rule is about, in words.

use rust_decimal::Decimal;

use super::{Objective, Period, Rule, Series, When};

impl Rule {
    /// What its numbers are about, in words: `at least 5 USD within 1m`.
    #[must_use]
    pub fn condition(&self) -> String {
        let bound = &self.threshold;
        let word = if bound.low { "at most" } else { "at least" };
        let limit = bound.trigger.normalize();
        let within = spoken(self.when.window());
        match &self.when {
            When::Sql { value, .. } => format!("{value} {word} {limit}, asked every {within}"),
            When::SpendRate { .. } => format!("{word} {limit} USD within {within}"),
            When::Budget { per } => match per {
                Period::Execution => format!("{word} {limit} USD in the life of an execution"),
                _ => format!("{word} {limit} USD in a calendar {} (UTC)", per.as_str()),
            },
            When::ConflictingModifications { .. } => format!(
                "{word} {limit} times within {within} that somebody changed again what another had changed since"
            ),
            When::InjectionMarkers { markers, .. } if markers.is_empty() => {
                format!("{word} {limit} calls within {within} with signs of prompt injection")
            }
            When::InjectionMarkers { markers, .. } => format!(
                "{word} {limit} calls within {within} with one of {}",
                listed(markers)
            ),
            When::MemoryPoisoning { tools, .. } if tools.is_empty() => format!(
                "{word} {limit} calls of memory tools within {within} with signs of prompt injection"
            ),
            When::MemoryPoisoning { tools, .. } => format!(
                "{word} {limit} calls of {} within {within} with signs of prompt injection",
                listed(tools)
            ),
            When::BudgetLeakage { executions, .. } => format!(
                "{word} {limit} USD within {within} over {executions} executions or more, each under {limit} USD"
            ),
            When::LowValueExecutions { share, .. } => format!(
                "{word} {limit} executions within {within} that were worth nothing, and {} % of all that ended",
                percent(*share)
            ),
            When::RepeatedToolCalls { proof, .. } => {
                format!("{word} {limit} equal tool calls with nothing new within {within}{proof}")
            }
            When::RetryStorm { .. } => {
                format!("{word} {limit} times the same input again after a failure within {within}")
            }
            When::Reprompts { .. } => format!(
                "{word} {limit} model calls in a row without a tool call or progress within {within}"
            ),
            When::UnknownTool {
                allow,
                learn: Some(learn),
                ..
            } => format!(
                "{word} {limit} calls within {within} of a tool that was not called in the {} of learning ({} calls or \
                 more){}",
                spoken(learn.period),
                learn.min_calls,
                match allow.len() {
                    0 => String::new(),
                    _ => format!(" and is none of {}", listed(allow)),
                }
            ),
            When::UnknownTool { allow, .. } => format!(
                "{word} {limit} calls within {within} of a tool that is none of {}",
                listed(allow)
            ),
            When::ErrorRate { of, min_calls, .. } => {
                let of = of.as_str();
                let percent = percent(limit);
                format!(
                    "{word} {percent} % of {of} calls failed within {within} (of {min_calls} or more)"
                )
            }
            When::Escalations { .. } => format!("{word} {limit} escalations within {within}"),
            When::Absence {
                learn: Some(weeks), ..
            } => format!(
                "nothing heard for {within} or more, in hours in which that is unlikely by the {} days before, \
                 while others were heard",
                7 * weeks
            ),
            When::Absence { min_calls, .. } => format!(
                "nothing heard for {within} after {min_calls} calls or more, while others were heard"
            ),
            When::RateOfChange {
                of, base, floor, ..
            } => format!(
                "{word} {limit} times the {} of the {} before, and at least {}, within {within}",
                of.as_str(),
                spoken(*base),
                floor.normalize()
            ),
            When::Detector { of, change, .. } => format!(
                "{}, a step of {within} so {} that one in {} is, and by {} {} or more (learns for 100 steps)",
                of.as_str(),
                match of {
                    Series::Confidence => "low",
                    Series::Price => "odd",
                    _ => "high",
                },
                one_in(limit),
                change.normalize(),
                of.unit()
            ),
            When::SloBurn(objective) => burn(objective),
            When::Composite { all, of, .. } => {
                let how = if *all { "all" } else { "any" };
                format!("{how} of {} firing on the same key", listed(of))
            }
        }
    }
}

impl When {
    /// The time that it looks at, in words: `1m`, `month`.
    pub(crate) fn within(&self) -> String {
        match self {
            Self::Budget { per } => per.as_str().to_owned(),
            Self::SloBurn(objective) => {
                let longest = objective.windows.iter().map(|w| w.long).max();
                spoken(longest.unwrap_or(0))
            }
            other => spoken(other.window()),
        }
    }
}

fn burn(objective: &Objective) -> String {
    let windows: Vec<_> = objective
        .windows
        .iter()
        .map(|w| {
            let (short, long) = (spoken(w.short), spoken(w.long));
            format!("{} times in {short} and {long}", w.factor.normalize())
        })
        .collect();
    format!(
        "{} below {} %: the error budget burns {}",
        objective.aim.words(),
        percent(objective.objective),
        windows.join(", or ")
    )
}

/// A share as a percentage.
pub(crate) fn percent(share: Decimal) -> Decimal {
    (share * Decimal::ONE_HUNDRED).normalize()
}

/// What so many decades of rarity mean: 3 is one in 1000.
fn one_in(decades: Decimal) -> String {
    let decades: f64 = decades.to_string().parse().unwrap_or(0.0);
    format!("{:.0}", 10f64.powf(decades))
}

fn listed(names: &std::collections::BTreeSet<String>) -> String {
    const SHOWN: usize = 5;
    let shown: Vec<_> = names.iter().take(SHOWN).map(String::as_str).collect();
    let more = names.len().saturating_sub(SHOWN);
    if more == 0 {
        shown.join(", ")
    } else {
        format!("{} and {more} more", shown.join(", "))
    }
}

/// A length of time as rule files write it.
#[must_use]
pub(crate) fn spoken(nanos: i64) -> String {
    let millis = nanos / 1_000_000;
    match millis {
        0 => "0s".to_owned(),
        m if m % 86_400_000 == 0 => format!("{}d", m / 86_400_000),
        m if m % 3_600_000 == 0 => format!("{}h", m / 3_600_000),
        m if m % 60_000 == 0 => format!("{}m", m / 60_000),
        m if m % 1_000 == 0 => format!("{}s", m / 1_000),
        m => format!("{m}ms"),
    }
}
