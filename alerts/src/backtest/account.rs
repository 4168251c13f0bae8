//! What was spent while an order would have stood, and by whom: the bill that it would have spared.
//!
//! Only calls that began after the order count: the gates would have refused those. What was under way then may have
//! been cut or not, so the sum is what would have been saved at least.

use std::collections::BTreeMap;

use flyball_runtime::control::Scope;
use flyball_store::hashed::HashMap;
use flyball_store::rows::Kind;
use rust_decimal::Decimal;

use crate::fact::Fact;
use crate::rule::Target;

/// Executions kept apart under all orders of a rule; what further ones spend counts in the sums only.
const EXECUTIONS: usize = 200_000;

/// What went on under one order.
#[derive(Debug, Clone, Default)]
pub(super) struct Bill {
    /// When it was given, nanoseconds since 1970.
    pub(super) at: i64,
    pub(super) calls: i64,
    pub(super) usd: Decimal,
    /// What each execution spent from then on.
    pub(super) executions: BTreeMap<Box<str>, Decimal>,
    /// Executions that were not kept apart.
    pub(super) crowded: bool,
}

/// The open bills of one rule, by whom they are about.
#[derive(Debug)]
pub(super) struct Account {
    target: Option<Target>,
    /// Executions that may still be kept apart.
    room: usize,
    open: HashMap<Box<str>, Vec<(String, Bill)>>,
}

impl Account {
    /// An account of a rule that acts on such targets; none for one that only tells.
    pub(super) fn new(target: Option<Target>) -> Self {
        Self {
            target,
            room: EXECUTIONS,
            open: HashMap::default(),
        }
    }

    /// An order stands from now on.
    pub(super) fn open(&mut self, action_id: &str, scope: &Scope, at: i64) {
        let bill = Bill {
            at,
            ..Bill::default()
        };
        let bills = self.open.entry(scope.target().into()).or_default();
        bills.push((action_id.to_owned(), bill));
    }

    /// It stands no more.
    pub(super) fn close(&mut self, action_id: &str) -> Option<Bill> {
        let mut closed = None;
        self.open.retain(|_, bills| {
            if let Some(place) = bills.iter().position(|(id, _)| id == action_id) {
                closed = Some(bills.swap_remove(place).1);
            }
            !bills.is_empty()
        });
        closed
    }

    /// The orders that still stand.
    pub(super) fn left(self) -> impl Iterator<Item = (String, Bill)> {
        self.open.into_values().flatten()
    }

    /// Enters a fact on every bill that it belongs on.
    pub(super) fn enter(&mut self, fact: &Fact<'_>) {
        if self.open.is_empty() {
            return;
        }
        let Some(target) = self.target else {
            return;
        };
        let Some(bills) = fact
            .key(target.key(), "")
            .and_then(|name| self.open.get_mut(name))
        else {
            return;
        };
        for (_, bill) in bills {
            bill.enter(fact, &mut self.room);
        }
    }
}

impl Bill {
    fn enter(&mut self, fact: &Fact<'_>, room: &mut usize) {
        // An execution is stopped at its next call: one that makes none ends as it would have.
        let call = !fact.kind(Kind::Execution) && (fact.charge() || fact.reversal());
        if !call || fact.row.start_unix_nano < self.at {
            return;
        }
        self.calls += fact.sign();
        self.usd = self.usd.saturating_add(fact.cost());
        self.execution(fact.row.execution_id, fact.cost(), room);
    }

    fn execution(&mut self, id: &str, usd: Decimal, room: &mut usize) {
        if id.is_empty() {
            return;
        }
        if let Some(spent) = self.executions.get_mut(id) {
            *spent = spent.saturating_add(usd);
        } else if *room > 0 {
            *room -= 1;
            self.executions.insert(id.into(), usd);
        } else {
            self.crowded = true;
        }
    }
}
