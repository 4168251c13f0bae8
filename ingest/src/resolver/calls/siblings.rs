//! One call told side by side: a client's own span and an instrumentation's, both under the same parent, often
//! without a response id when the call failed.

use std::collections::{HashMap, HashSet};

use super::{Groups, Spans};
use crate::resolver::words::Sym;

/// Of the siblings that start after a span, so many are compared with it: a bound for hostile traces.
const NEIGHBOURS: usize = 64;

/// Joins siblings of two instrumentations when one happened within the other's time, both failed or both came
/// through, and neither models nor ids nor tokens speak against it. Each finds one partner in another's
/// telling, since each instrumentation tells a call once.
pub(super) fn join(spans: &Spans<'_>, told: &[usize], groups: &mut Groups) {
    let mut families: HashMap<u64, Vec<usize>> = HashMap::new();
    for &span in told {
        families
            .entry(spans.facts[span].parent_id)
            .or_default()
            .push(span);
    }
    families.retain(|_, family| {
        let first = family.first().map(|span| spans.told(*span).scope);
        family
            .iter()
            .any(|span| Some(spans.told(*span).scope) != first)
    });
    if families.is_empty() {
        return;
    }
    let mut scopes = scopes(spans, told, groups);
    for mut family in families.into_values() {
        family.sort_unstable_by_key(|span| {
            let fact = &spans.facts[*span];
            // Of two that start together, the longer is the outer.
            (fact.start, std::cmp::Reverse(fact.duration), fact.span_id)
        });
        for (at, &outer) in family.iter().enumerate() {
            let end = spans.facts[outer].end();
            let partner = family[at + 1..]
                .iter()
                .take(NEIGHBOURS)
                .take_while(|inner| spans.facts[**inner].start <= end)
                .find(|inner| {
                    spans.facts[**inner].end() <= end
                        && may_be_told_twice(spans, outer, **inner)
                        && strangers(&scopes, groups.find(outer), groups.find(**inner))
                });
            if let Some(&inner) = partner {
                let both: HashSet<_> = [groups.find(outer), groups.find(inner)]
                    .iter()
                    .filter_map(|group| scopes.remove(group))
                    .flatten()
                    .collect();
                groups.join(outer, inner);
                scopes.insert(groups.find(outer), both);
            }
        }
    }
}

/// Which instrumentations tell of each group.
fn scopes(spans: &Spans<'_>, told: &[usize], groups: &mut Groups) -> HashMap<usize, HashSet<Sym>> {
    let mut scopes: HashMap<usize, HashSet<Sym>> = HashMap::new();
    for &span in told {
        let of_group = scopes.entry(groups.find(span)).or_default();
        of_group.extend(spans.told(span).scope);
    }
    scopes
}

/// Whether two groups have both named their instrumentations, and none in common.
fn strangers(scopes: &HashMap<usize, HashSet<Sym>>, one: usize, other: usize) -> bool {
    match (scopes.get(&one), scopes.get(&other)) {
        (Some(a), Some(b)) => !a.is_empty() && !b.is_empty() && a.is_disjoint(b),
        _ => false,
    }
}

fn may_be_told_twice(spans: &Spans<'_>, outer: usize, inner: usize) -> bool {
    let (a, b) = (spans.told(outer), spans.told(inner));
    let silent = !spans.knows_usage(outer) || !spans.knows_usage(inner);
    spans.may_be_one(outer, inner)
        && a.error_type.is_some() == b.error_type.is_some()
        && (silent || spans.equal_tokens(outer, inner))
}
