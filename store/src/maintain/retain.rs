//! How long rows are kept: whole days past their time leave a table in one commit.

use chrono::{Days, NaiveDate, Utc};

use super::{Maintenance, Place};
use crate::error::Result;
use crate::store::Store;
use crate::table::Table;
use crate::tables::{self, Commit, Operation};

/// Rows of a table are kept for so many whole days. The day they belong to is the one in their `date`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retain {
    /// Of this workspace; None for all that have no rule of their own.
    pub workspace: Option<String>,
    /// Of this table.
    pub table: Table,
    /// Days before today that are kept.
    pub days: u32,
}

impl std::str::FromStr for Retain {
    type Err = String;

    /// `contents=30` (days, in every workspace) or `team-a/contents=7`.
    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let wrong = || format!("{text:?} is not TABLE=DAYS or WORKSPACE/TABLE=DAYS");
        let (what, days) = text.split_once('=').ok_or_else(wrong)?;
        let (workspace, name) = match what.trim().split_once('/') {
            Some((workspace, name)) => (Some(workspace.trim().to_owned()), name.trim()),
            None => (None, what.trim()),
        };
        let table = Table::ALL.into_iter().find(|table| table.name() == name);
        let names = || Table::ALL.map(Table::name).join(", ");
        Ok(Self {
            workspace,
            table: table
                .ok_or_else(|| format!("no table is called {name:?}; there are {}", names()))?,
            days: days.trim().parse().map_err(|_| wrong())?,
        })
    }
}

impl Store {
    /// Takes the days that are too old off a table, in one commit.
    pub(super) async fn expire(&self, place: &Place) -> Result<()> {
        let Some(first) = self.config.maintenance.first_kept(&place.0, place.1) else {
            return Ok(());
        };
        let Some(delta) = self.version(place) else {
            return Ok(());
        };
        let mut old = tables::files(&delta, &place.0, place.1)?;
        old.retain(|file| file.day.is_some_and(|day| day < first));
        if old.is_empty() {
            return Ok(());
        }
        // What is summed of the journal outlives it.
        if place.1 == Table::Charges && !self.outlived(&place.0, first) {
            tracing::info!(
                workspace = &*place.0, before = %first,
                "charges past their retention stay until their minutes are summed"
            );
            return Ok(());
        }
        let removes = old.iter().map(tables::Listed::remove).collect();
        let operation = Operation::Delete {
            reason: "retention: the day is older than this table keeps",
        };
        let commit = Commit::replace(operation, Vec::new(), removes, false);
        if self.replace(place, &commit).await? {
            let rows: u64 = old.iter().map(|file| file.rows).sum();
            self.count(|maintained| {
                maintained.files_expired += old.len() as u64;
                maintained.rows_expired += rows;
            });
            tracing::info!(
                workspace = &*place.0, table = place.1.name(), before = %first, files = old.len(), rows,
                "days that are past their retention were taken off the table"
            );
        }
        Ok(())
    }
}

impl Maintenance {
    /// The first day of a table that is kept today; None when all are.
    pub(crate) fn first_kept(&self, workspace: &str, table: Table) -> Option<NaiveDate> {
        first_kept(&self.retain, workspace, table, Utc::now().date_naive())
    }
}

/// The first day that is kept; None when all are. A rule for the workspace comes before one for all.
fn first_kept(
    rules: &[Retain],
    workspace: &str,
    table: Table,
    today: NaiveDate,
) -> Option<NaiveDate> {
    let of = |workspace: Option<&str>| {
        rules
            .iter()
            .find(|rule| rule.table == table && rule.workspace.as_deref() == workspace)
    };
    let rule = of(Some(workspace)).or_else(|| of(None))?;
    today.checked_sub_days(Days::new(rule.days.into()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn rules_are_read_and_what_is_none_is_refused_by_name() {
        let rule = |text: &str| text.parse::<Retain>();
        let wanted = Retain {
            workspace: Some("a".into()),
            table: Table::Spans,
            days: 7,
        };
        assert_eq!(rule("a/spans=7"), Ok(wanted.clone()));
        let everywhere = Retain {
            workspace: None,
            ..wanted
        };
        assert_eq!(rule(" spans = 7"), Ok(everywhere));
        for text in ["spans", "spans=", "spans=-1", "spans=x"] {
            assert!(rule(text).unwrap_err().contains("TABLE=DAYS"), "{text}");
        }
        let unknown = rule("span=7").unwrap_err();
        assert!(
            unknown.contains("\"span\"") && unknown.contains("charges"),
            "{unknown}"
        );
    }

    #[test]
    fn a_workspace_goes_before_all_and_no_rule_keeps_everything() {
        let rule = |workspace: Option<&str>, table, days| Retain {
            workspace: workspace.map(str::to_owned),
            table,
            days,
        };
        let rules = [
            rule(None, Table::Contents, 30),
            rule(Some("a"), Table::Contents, 1),
            rule(Some("a"), Table::Spans, 0),
        ];
        let today = NaiveDate::from_ymd_opt(2026, 3, 1).unwrap();
        let first = |workspace, table| {
            first_kept(&rules, workspace, table, today).map(|day| day.to_string())
        };
        assert_eq!(first("a", Table::Contents).unwrap(), "2026-02-28");
        assert_eq!(first("b", Table::Contents).unwrap(), "2026-01-30");
        assert_eq!(first("a", Table::Spans).unwrap(), "2026-03-01");
        assert_eq!(first("b", Table::Spans), None);
        assert_eq!(first("a", Table::Audit), None);
    }
}
