//! `flyball report`: FinOps reports over the journal.

use anyhow::{Context as _, Result, bail};
use chrono::{NaiveDate, NaiveTime};
use flyball_reports::{Chargeback, Dimension};

use crate::cli::{Format, ReportKind};
use crate::config::Config;
use crate::say::{self, say};

/// Prints one report.
pub(super) async fn run(config: &Config, kind: &ReportKind) -> Result<()> {
    let ReportKind::Chargeback {
        by,
        since,
        until,
        format,
    } = kind;
    let chargeback = Chargeback::by(Dimension::parse_list(&by.join(","))?)?;
    let sql = chargeback.sql(
        nanos("--since", since.as_deref())?,
        nanos("--until", until.as_deref())?,
    );
    let report = chargeback.report(&super::query::ask(config, &sql).await?)?;
    match format {
        Format::Table => say!("{}", report.table()),
        Format::Csv => say::text(format_args!("{}", report.csv()?)),
        Format::Json => {
            bail!("--format json: a report comes as table or csv; for JSON use `flyball query`")
        }
    }
    Ok(())
}

/// Midnight UTC of a day, in nanoseconds since 1970.
fn nanos(flag: &str, day: Option<&str>) -> Result<Option<i64>> {
    day.map(|day| {
        let date: NaiveDate = day
            .parse()
            .with_context(|| format!("{flag} {day:?}: expected a day as YYYY-MM-DD"))?;
        date.and_time(NaiveTime::MIN)
            .and_utc()
            .timestamp_nanos_opt()
            .with_context(|| format!("{flag} {day:?}: expected a day between 1678 and 2262"))
    })
    .transpose()
}
