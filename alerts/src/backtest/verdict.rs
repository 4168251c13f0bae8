//! Holds what was spent under an order against how those executions ended: what it would have saved, and what it
//! would have stopped wrongly.

use std::collections::{BTreeMap, BTreeSet};

use rust_decimal::Decimal;
use serde::Serialize;

use super::Firing;
use super::account::Bill;
use super::history::Ending;

/// What it comes to: of one order while it would have stood, or of all of them. Money in US dollars, exact.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Sums {
    /// Alerts that fired.
    pub firings: u64,
    /// Keys they were about.
    pub keys: u64,
    /// Orders that would have been given.
    pub orders: u64,
    /// Times that something spoke against one.
    pub withheld: u64,
    /// Calls that began while an order would have stood.
    pub calls: i64,
    /// What they cost.
    pub spent_usd: Decimal,
    /// Of that, of executions that a freeze would have stopped and that came to nothing (failure, escalation,
    /// abort): saved.
    pub saved_usd: Decimal,
    /// Of that, of executions of which nobody knows how they ended.
    pub unknown_usd: Decimal,
    /// Executions that a freeze would have stopped.
    pub stopped: u64,
    /// Of those, which ended in success: wrongly stopped.
    pub wrong: u64,
    /// What those cost from their begin to their end: successful work that would have been lost.
    pub lost_usd: Decimal,
    /// Whether there were more executions than are kept apart; their money is in `spent_usd` only.
    pub crowded: bool,
}

/// An execution that would have been stopped, and that ended in success.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Wrong {
    /// Which.
    pub execution_id: String,
    /// What it cost in all, US dollars.
    pub usd: Decimal,
}

/// What came of one order; `stops` when it would have stopped executions, rather than slowed them.
pub(super) fn of(
    bill: Bill,
    stops: bool,
    endings: &BTreeMap<String, Ending>,
) -> (Sums, Vec<Wrong>) {
    let mut sums = Sums {
        orders: 1,
        calls: bill.calls,
        spent_usd: bill.usd,
        crowded: bill.crowded,
        ..Sums::default()
    };
    let mut wrongs = Vec::new();
    if !stops {
        return (sums, wrongs);
    }
    for (id, spent) in bill.executions {
        sums.stopped += 1;
        let ending = endings.get(&*id);
        match ending.and_then(|ending| ending.termination.as_deref()) {
            Some("success") => {
                let usd = ending.map(|ending| ending.usd).unwrap_or_default();
                sums.wrong += 1;
                sums.lost_usd += usd;
                wrongs.push(Wrong {
                    execution_id: id.into(),
                    usd,
                });
            }
            Some(_) => sums.saved_usd += spent,
            None => sums.unknown_usd += spent,
        }
    }
    (sums, wrongs)
}

/// Of all firings. An execution that two orders would have stopped is lost once.
pub(super) fn total(firings: &[Firing]) -> Sums {
    let mut total = Sums {
        firings: firings.len() as u64,
        ..Sums::default()
    };
    let mut keys = BTreeSet::new();
    let mut lost = BTreeSet::new();
    for firing in firings {
        keys.insert(firing.key.as_str());
        for act in &firing.acts {
            let sums = &act.sums;
            total.orders += u64::from(act.action_id.is_some());
            total.withheld += u64::from(act.action_id.is_none());
            total.calls += sums.calls;
            total.spent_usd += sums.spent_usd;
            total.saved_usd += sums.saved_usd;
            total.unknown_usd += sums.unknown_usd;
            total.stopped += sums.stopped;
            total.crowded |= sums.crowded;
            for wrong in &act.wrongly_stopped {
                if lost.insert(wrong.execution_id.as_str()) {
                    total.wrong += 1;
                    total.lost_usd += wrong.usd;
                }
            }
        }
    }
    total.keys = keys.len() as u64;
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_to_nothing_is_saved_and_what_succeeded_would_have_been_lost() {
        let bill = Bill {
            at: 0,
            calls: 9,
            usd: Decimal::from(9),
            executions: [("failed", 4), ("done", 3), ("open", 2)]
                .map(|(id, usd)| (id.into(), Decimal::from(usd)))
                .into(),
            crowded: false,
        };
        let ended = |word: &str, usd: i64| Ending {
            termination: Some(word.to_owned()),
            usd: Decimal::from(usd),
        };
        let endings = BTreeMap::from([
            ("failed".to_owned(), ended("failure", 5)),
            ("done".to_owned(), ended("success", 7)),
        ]);
        let (sums, wrongs) = of(bill.clone(), true, &endings);
        assert_eq!((sums.stopped, sums.wrong), (3, 1));
        assert_eq!(sums.spent_usd, Decimal::from(9));
        assert_eq!(sums.saved_usd, Decimal::from(4));
        assert_eq!(sums.unknown_usd, Decimal::from(2));
        assert_eq!(sums.lost_usd, Decimal::from(7), "all of its work");
        assert_eq!(wrongs[0].execution_id, "done");
        // What is only slowed is neither saved nor lost.
        let (sums, wrongs) = of(bill, false, &endings);
        assert_eq!((sums.spent_usd, sums.stopped), (Decimal::from(9), 0));
        assert_eq!((sums.saved_usd, wrongs.len()), (Decimal::ZERO, 0));
    }
}
