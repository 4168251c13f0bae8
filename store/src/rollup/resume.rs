//! What went stale while nobody looked.

use chrono::NaiveDate;

use super::Minutes;
use super::builder::first_minute;
use crate::error::Result;
use crate::state::Workspace;
use crate::table::Table;
use crate::tables;

/// Finds out, at the start, which minutes the rollup does not sum rightly: those of every file of charges that came
/// or went after the version which the rollup's last commit names; all that either table has files of, when there
/// is no such version or the Delta log does not go back to it. `first_kept` is the first day of which charges are
/// kept, if that is bounded: once retention has taken the days before it, what was summed of them stays.
pub(crate) async fn resume(
    workspace: &mut Workspace,
    name: &str,
    first_kept: Option<NaiveDate>,
) -> Result<()> {
    let rolled_to = workspace.rolled.version.committed;
    let Some(charges) = workspace.charges.delta.clone() else {
        return Ok(());
    };
    if let Some(first) = first_kept {
        let files = tables::files(&charges, name, Table::Charges)?;
        if files
            .iter()
            .all(|file| file.day.is_some_and(|day| day >= first))
        {
            let none = Minutes::default();
            workspace.rolled.expire(first_minute(first), &none);
        }
    }
    let stale = match &workspace.rolled.version.delta {
        Some(_) if rolled_to > 0 => {
            tables::changed_since(&charges, rolled_to, name, Table::Charges, "start_time").await?
        }
        _ => None,
    };
    let stale = match stale {
        Some(stale) => stale,
        None => {
            let mut all = Minutes::default();
            for file in tables::files(&charges, name, Table::Charges)? {
                all.extend(&file.minutes("start_time"));
            }
            if let Some(rollup) = &workspace.rolled.version.delta {
                for file in tables::files(rollup, name, Table::Rollup1m)? {
                    all.extend(&file.minutes("minute"));
                }
            }
            all
        }
    };
    workspace.rolled.touch(&stale);
    Ok(())
}
