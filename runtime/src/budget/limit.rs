//! Limits that executions share, and the accounts that they open.

use chrono::{DateTime, Datelike, Timelike, Utc};
use rust_decimal::Decimal;

/// At most so much, US dollars, for whom and in what time.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    /// What it is a limit of.
    pub scope: Scope,
    /// Which of them; none: each of them, for itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// In what time.
    #[serde(default)]
    pub window: Window,
    /// US dollars.
    pub usd: Decimal,
}

/// What a limit is of. An execution's own limit is [`Bounds::budget_usd`](crate::spec::Bounds).
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Everything that this ledger pays for.
    All,
    /// One workspace.
    Workspace,
    /// One environment, such as `production`.
    Environment,
    /// One tenant.
    Tenant,
    /// One agent, `WORKSPACE/AGENT`.
    Agent,
    /// One kind of task.
    TaskType,
}

impl Scope {
    /// As it is written in account names.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Workspace => "workspace",
            Self::Environment => "environment",
            Self::Tenant => "tenant",
            Self::Agent => "agent",
            Self::TaskType => "task_type",
        }
    }
}

/// In what time. A call belongs to the window in which it begins, UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum Window {
    Hour,
    Day,
    Month,
    /// For ever.
    #[default]
    Total,
}

impl Window {
    /// The window's name and beginning, such as `day:2026-11-23`.
    fn at(self, unix_nano: i64) -> String {
        let at = DateTime::<Utc>::from_timestamp_nanos(unix_nano);
        let (year, month, day, hour) = (at.year(), at.month(), at.day(), at.hour());
        match self {
            Self::Hour => format!("hour:{year}-{month:02}-{day:02}T{hour:02}"),
            Self::Day => format!("day:{year}-{month:02}-{day:02}"),
            Self::Month => format!("month:{year}-{month:02}"),
            Self::Total => "total".to_owned(),
        }
    }
}

/// Who pays for a call.
#[derive(Debug, Clone, Copy, Default)]
#[allow(missing_docs)]
pub struct Payer<'a> {
    pub execution_id: &'a str,
    pub workspace: &'a str,
    pub environment: &'a str,
    pub agent: &'a str,
    pub tenant: Option<&'a str>,
    pub task_type: Option<&'a str>,
}

impl Payer<'_> {
    /// Which of the scope's targets pays; none when it has none (a task without a tenant is no tenant's).
    fn target(&self, scope: Scope) -> Option<String> {
        match scope {
            Scope::All => Some(String::new()),
            Scope::Workspace => Some(self.workspace.to_owned()),
            Scope::Environment => Some(self.environment.to_owned()),
            Scope::Tenant => self
                .tenant
                .map(|tenant| format!("{}/{tenant}", self.workspace)),
            Scope::Agent => Some(format!("{}/{}", self.workspace, self.agent)),
            Scope::TaskType => self
                .task_type
                .map(|kind| format!("{}/{kind}", self.workspace)),
        }
    }
}

/// What a limit comes to for one payer at one time.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Account {
    /// Such as `agent:default/remediate:day:2026-11-23`.
    pub name: String,
    /// US dollars.
    pub limit: Decimal,
}

impl Limit {
    /// The account of this limit that a payer draws on; none when the limit is not of it.
    #[must_use]
    pub fn account(&self, payer: &Payer<'_>, unix_nano: i64) -> Option<Account> {
        let whose = payer.target(self.scope)?;
        if self.target.as_ref().is_some_and(|target| *target != whose) {
            return None;
        }
        let (scope, window) = (self.scope.name(), self.window.at(unix_nano));
        Some(Account {
            name: format!("{scope}:{whose}:{window}"),
            limit: self.usd,
        })
    }
}

/// The accounts that pay, each once, in order of name; of two limits on one account the lower holds.
pub(super) fn accounts(limits: &[Limit], payer: &Payer<'_>, unix_nano: i64) -> Vec<Account> {
    let mut accounts: Vec<Account> = limits
        .iter()
        .filter_map(|limit| limit.account(payer, unix_nano))
        .collect();
    accounts.sort_by(|a, b| (&a.name, a.limit).cmp(&(&b.name, b.limit)));
    accounts.dedup_by(|b, a| a.name == b.name);
    accounts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(scope: Scope, target: Option<&str>, window: Window, usd: i64) -> Limit {
        Limit {
            scope,
            target: target.map(str::to_owned),
            window,
            usd: Decimal::from(usd),
        }
    }

    #[test]
    fn a_payer_draws_on_every_limit_that_is_its() {
        let limits = [
            limit(Scope::All, None, Window::Month, 100),
            limit(Scope::Agent, None, Window::Day, 5),
            limit(Scope::Agent, Some("default/mend"), Window::Day, 3),
            limit(Scope::Agent, Some("default/other"), Window::Day, 1),
            limit(Scope::Tenant, None, Window::Hour, 2),
            limit(Scope::TaskType, None, Window::Total, 2),
            limit(Scope::Environment, Some("production"), Window::Total, 9),
        ];
        let payer = Payer {
            workspace: "default",
            environment: "production",
            agent: "mend",
            tenant: Some("acme"),
            ..Payer::default()
        };
        // 2026-11-23T06:59:59Z
        let told: Vec<String> = accounts(&limits, &payer, 1_795_417_199_000_000_000)
            .into_iter()
            .map(|account| format!("{} {}", account.name, account.limit))
            .collect();
        assert_eq!(
            told,
            [
                "agent:default/mend:day:2026-11-23 3",
                "all::month:2026-11 100",
                "environment:production:total 9",
                "tenant:default/acme:hour:2026-11-23T06 2",
            ]
        );
    }
}
