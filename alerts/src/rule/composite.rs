//! Looks at all rules together: what a composite names must be there and fit, and whether what it takes is
//! independent evidence.

use std::collections::{BTreeSet, HashMap};

use super::file::Stands;
use super::scalar::Place;
use super::{Quantity, Rule, Series, When};
use crate::Result;

/// Checks what composites name, and notes which of them rest on independent evidence.
///
/// # Errors
/// When a name is not that of another rule, that rule goes by another key or is a composite itself, or when a
/// composite would freeze without evidence from two sides.
pub(super) fn settle(rules: &mut [Rule], seen: &HashMap<String, Stands>) -> Result<()> {
    for i in 0..rules.len() {
        let (rules_before, rule) = (&*rules, &rules[i]);
        let When::Composite { all, of, .. } = &rule.when else {
            continue;
        };
        let Some(stands) = seen.get(&rule.name) else {
            continue;
        };
        let place = Place {
            file: &stands.file,
            rule: &rule.name,
        };
        let field = if *all { "all_of" } else { "any_of" };
        let refuse =
            |value: &str, accepted: String| Err(place.refuse(stands.when, field, value, accepted));
        let mut members = Vec::new();
        for name in of {
            let Some(member) = rules_before.iter().find(|other| other.name == *name) else {
                return refuse(name, "accepted are the names of other rules".to_owned());
            };
            if matches!(member.when, When::Composite { .. }) {
                return refuse(name, "accepted are rules that are no composites".to_owned());
            }
            if member.key != rule.key {
                let (own, its) = (rule.key.as_str(), member.key.as_str());
                return refuse(
                    name,
                    format!("accepted are rules by key: {own}, and this one is by {its}"),
                );
            }
            members.push(&member.when);
        }
        let independent = independent(*all, &members);
        if rule.freezes() && !independent {
            return Err(place.refuse(
                stands.line,
                "action",
                "freeze",
                "a freeze needs a deterministic condition or independent evidence: accepted is all_of with a rule that \
                 may freeze by itself, or with two that look at different things; any_of only of rules that each may",
            ));
        }
        if let When::Composite {
            independent: noted, ..
        } = &mut rules[i].when
        {
            *noted = independent;
        }
    }
    Ok(())
}

fn independent(all: bool, members: &[&When]) -> bool {
    let facts = members.iter().filter(|when| when.deterministic()).count();
    if all {
        let sides: BTreeSet<_> = members.iter().map(|when| side(when)).collect();
        facts > 0 || sides.len() >= 2
    } else {
        facts == members.len()
    }
}

/// What a rule looks at. Two that look at one thing are one witness, however differently they reckon.
fn side(when: &When) -> &'static str {
    match when {
        When::SpendRate { .. }
        | When::Budget { .. }
        | When::BudgetLeakage { .. }
        | When::RateOfChange {
            of: Quantity::Spend,
            ..
        }
        | When::Detector {
            of: Series::Spend | Series::Price,
            ..
        } => "money",
        When::RateOfChange {
            of: Quantity::Tokens,
            ..
        }
        | When::Detector {
            of: Series::Tokens, ..
        } => "tokens",
        When::RateOfChange {
            of: Quantity::Errors,
            ..
        }
        | When::ErrorRate { .. }
        | When::RetryStorm { .. }
        | When::LowValueExecutions { .. }
        | When::SloBurn(_) => "failures",
        When::InjectionMarkers { .. } | When::MemoryPoisoning { .. } => "markers",
        other => other.as_str(),
    }
}
