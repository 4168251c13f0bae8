//! `flyball alerts backtest`: what a rule would have done to the past.

use std::fmt;

use anyhow::{Context as _, Result, bail};
use arrow::array::RecordBatch;
use async_trait::async_trait;
use flyball_alerts::backtest::{self, Stretch};
use flyball_alerts::ports::Ask;
use flyball_alerts::{Rule, Settings, rule};
use flyball_store::Moment;

use super::{csv, picture};
use crate::cli::{Backtest, Format};
use crate::commands::prices::instant;
use crate::commands::progress;
use crate::commands::query::door::Door;
use crate::config::Config;
use crate::core::WORKSPACE;
use crate::say::{self, say};

/// Replays, and prints what came of it.
pub(super) async fn run(config: &Config, options: &Backtest) -> Result<()> {
    let rules = rules(config, options)?;
    let now = chrono::Utc::now();
    let until = options.until.as_deref();
    let stretch = Stretch {
        since: moment("--since", &options.since, now)?,
        until: until.map_or_else(
            || moment("--until", "0s", now),
            |text| moment("--until", text, now),
        )?,
        timing: options.clock.into(),
        parts: picture::parts(),
    };
    let settings = Settings {
        workspace: WORKSPACE.to_owned(),
        ..Settings::default()
    };
    let history = History(Door::open(config).await?);
    let bar = progress::bar("{bar:40} {percent}% of {human_len} entries");
    let tell = |done, of| {
        bar.set_length(of);
        bar.set_position(done);
    };
    let done = backtest::run(&rules, &stretch, &settings, &history, &tell).await;
    bar.finish_and_clear();
    history.0.close().await?;
    let backtests = done?;
    match options.format {
        Format::Json => say!("{}", serde_json::to_string_pretty(&backtests)?),
        Format::Csv => say::text(format_args!("{}", csv::text(&backtests)?)),
        Format::Table => {
            for backtest in &backtests {
                say::text(format_args!("{}", picture::draw(backtest)));
            }
        }
    }
    Ok(())
}

/// The rules that are asked for. Of a whole file, those that cannot be replayed are named and left out.
fn rules(config: &Config, options: &Backtest) -> Result<Vec<Rule>> {
    let rules = match options.file.as_ref().or(config.rules.as_ref()) {
        Some(path) => rule::load(path)?,
        None => rule::default_rules()?,
    };
    let Some(name) = &options.rule else {
        let (mut kept, total) = (Vec::new(), rules.len());
        for rule in rules {
            match backtest::replayable(&rule) {
                Ok(()) => kept.push(rule),
                Err(error) if total > 1 => eprintln!("flyball: {error}"),
                Err(error) => return Err(error.into()),
            }
        }
        return Ok(kept);
    };
    let names: Vec<String> = rules.iter().map(|rule| rule.name.clone()).collect();
    match rules.into_iter().find(|rule| rule.name == *name) {
        Some(rule) => Ok(vec![rule]),
        None => bail!("no rule {name}; there are: {}", names.join(", ")),
    }
}

/// A moment, as nanoseconds since 1970: `30d` before now, a day or an instant.
fn moment(option: &str, text: &str, now: chrono::DateTime<chrono::Utc>) -> Result<i64> {
    let at = match text.parse() {
        Ok(Moment::Ago(ago)) => now - ago,
        _ => {
            return instant(option, text).with_context(|| {
                format!("{option} {text:?}: accepted is also how long ago, such as 30d, 12h or 90m")
            });
        }
    };
    at.timestamp_nanos_opt()
        .with_context(|| format!("{option} {text:?}: expected a time between 1678 and 2262"))
}

/// The journal, by way of the running server or of the data directory itself.
struct History(Door);

impl fmt::Debug for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("History")
    }
}

#[async_trait]
impl Ask for History {
    async fn ask(&self, _: &str, sql: &str) -> Result<Vec<RecordBatch>, String> {
        let rows = self.0.rows(sql, Moment::Latest).await;
        rows.map_err(|error| format!("{error:#}"))
    }
}
