//! What the tables say of the time before the stream: sums by key, asked for when a rule begins, now and then
//! after, and soon when something came that they must know better.
//!
//! One moment, the cut, parts the two. It lies ten minutes back, so that what is told late (a container that
//! bills when its trace has settled) is nearly always on the stream's side. Whatever comes for the time before
//! it (a correction, a late word of the resolver) is not added to the stream's sums; it raises a doubt, and
//! the tables are asked again. They count every entry of the journal once, so an answer mends what was missed.

use arrow::array::RecordBatch;
use flyball_store::hashed::HashMap;
use rust_decimal::Decimal;

use super::entry::Entry;
use crate::answer;
use crate::fact::Fact;
use crate::measure::{Measure, Tally};
use crate::rule::{Aim, Calls, Key, Period, Rule, SECOND, When};
use crate::window::Keyed;

const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
/// How far back the cut lies.
const SETTLED: i64 = 10 * MINUTE;
/// From one asking to the next, when nothing is in doubt, when something is, and when there was no answer.
const EVERY: i64 = 30 * MINUTE;
const DOUBT: i64 = 5 * MINUTE;
const AGAIN: i64 = MINUTE;
/// Longest that a query may take, nanoseconds: a month of charges is a scan.
const PATIENCE: i64 = 30 * SECOND;
/// Most rows of an answer.
const ROWS: usize = 1_000_000;

/// How long charges must be told apart for it, nanoseconds: from the cut, until the next asking, and a little.
pub(super) const HORIZON: i64 = SETTLED + EVERY + 5 * MINUTE;

/// What was asked of the tables: sums from then on, until the cut.
#[derive(Debug, Clone, Copy)]
struct Asked {
    begin: i64,
    cut: i64,
}

/// Where one rule stands with the tables.
#[derive(Debug, Default)]
pub(super) struct History {
    /// Until where the tables have told; none before they did.
    cut: Option<i64>,
    /// What is older than this is over anyway.
    begin: i64,
    asked: Option<Asked>,
    asked_at: i64,
    due: i64,
    doubt: bool,
}

impl History {
    /// Whether the tables have told what came before the stream.
    pub(super) fn known(&self) -> bool {
        self.cut.is_some()
    }

    /// Whether a fact is of the time that the tables tell of; if so, it is not the stream's to add.
    pub(super) fn tells(&mut self, fact: &Fact<'_>) -> bool {
        let before = |cut: Option<i64>| cut.is_some_and(|cut| fact.received < cut);
        // An answer that is on its way may lack it.
        if before(self.asked.map(|asked| asked.cut)) || before(self.cut) {
            self.doubt(fact);
        }
        before(self.cut)
    }

    /// Something happened to what the tables tell of.
    pub(super) fn doubt(&mut self, fact: &Fact<'_>) {
        self.doubt |= fact.received >= self.begin;
    }

    /// A key had to make room, and may come back.
    pub(super) fn forgot(&mut self) {
        self.doubt = true;
    }

    /// The query to ask now, if any.
    pub(super) fn ask(&mut self, rule: &Rule, limit: usize, now: i64) -> Option<(String, i64)> {
        let soon = self.doubt && now >= self.asked_at + DOUBT;
        if self.asked.is_some() || (now < self.due && !soon) {
            return None;
        }
        let cut = (now - SETTLED).div_euclid(MINUTE) * MINUTE;
        let begin = match &rule.when {
            When::Budget {
                per: Period::Execution,
            } => now - 7 * DAY,
            When::Budget { per } => per.begin(now),
            When::SloBurn(objective) => {
                let longest = objective.windows.iter().map(|w| w.long).max();
                now - longest.unwrap_or(0)
            }
            _ => return None,
        };
        self.asked_at = now;
        self.begin = begin;
        self.doubt = false;
        if cut <= begin {
            // The period has just begun: the stream has all of it.
            self.cut = Some(begin);
            self.due = begin + SETTLED + MINUTE;
            return None;
        }
        self.asked = Some(Asked { begin, cut });
        let sql = match &rule.when {
            When::SloBurn(objective) => burn_query(rule.key, objective.aim, begin, cut, now),
            _ => spend_query(rule, begin, cut, now, limit),
        };
        Some((sql, PATIENCE))
    }

    /// Takes an answer in.
    ///
    /// # Errors
    /// Why there is none, in words; it is asked again in a minute.
    pub(super) fn answered(
        &mut self,
        answer: Result<Vec<RecordBatch>, String>,
        workspace: &str,
        rule: &Rule,
        keys: &mut Keyed<Entry>,
        now: i64,
    ) -> Result<(), String> {
        let Some(Asked { begin, cut }) = self.asked.take() else {
            return Ok(());
        };
        let took = self.take(answer, (begin, cut), workspace, rule, keys, now);
        self.due = now + if took.is_ok() { EVERY } else { AGAIN };
        took
    }

    fn take(
        &mut self,
        answer: Result<Vec<RecordBatch>, String>,
        (begin, cut): (i64, i64),
        workspace: &str,
        rule: &Rule,
        keys: &mut Keyed<Entry>,
        now: i64,
    ) -> Result<(), String> {
        let told = answer.and_then(|batches| read(&batches, rule.key, workspace))?;
        if let When::Budget { per } = &rule.when
            && *per != Period::Execution
            && per.begin(now) != begin
        {
            // The period ended while the answer was on its way; of the new one, the stream has all.
            self.cut = Some(cut);
            return Ok(());
        }
        for key in told.keys() {
            keys.entry(
                key.as_str(),
                || Entry::new(rule, now),
                |entry| entry.worth(rule, now),
            );
        }
        for (key, entry) in keys.iter_mut() {
            entry.stirred = true;
            let sums = told.get(key).map_or(&[][..], Vec::as_slice);
            match &mut entry.measure {
                Measure::Budget(budget) => {
                    let dollars = sums.iter().map(|sum| sum.dollars).sum();
                    budget.rebase(dollars, cut, now);
                }
                Measure::Burn(burn) => {
                    burn.rebase(sums.iter().map(|sum| (sum.at, sum.tally)), cut, now);
                }
                _ => {}
            }
        }
        self.cut = Some(cut);
        Ok(())
    }
}

/// A sum of one key.
struct Sum {
    /// First nanosecond of the step that it is of.
    at: i64,
    dollars: Decimal,
    tally: Tally,
}

fn read(
    batches: &[RecordBatch],
    key: Key,
    workspace: &str,
) -> Result<HashMap<String, Vec<Sum>>, String> {
    let mut told: HashMap<String, Vec<Sum>> = HashMap::default();
    let rows = answer::rows(batches, ["name", "step", "usd", "calls", "failed"])?;
    for [name, at, usd, calls, failed] in rows {
        let name = match (key, name) {
            (Key::Workspace, _) => workspace.to_owned(),
            (_, Some(name)) => name,
            (_, None) => continue,
        };
        let whole = |text: Option<String>| text.and_then(|t| t.parse::<i64>().ok()).unwrap_or(0);
        let dollars = usd.map_or(Ok(Decimal::ZERO), |text| answer::number("usd", &text))?;
        told.entry(name).or_default().push(Sum {
            at: whole(at).saturating_mul(1_000),
            dollars,
            tally: Tally {
                calls: whole(calls),
                failed: whole(failed),
            },
        });
    }
    Ok(told)
}

/// What makes a key, as SQL.
fn name_of(key: Key) -> &'static str {
    match key {
        Key::Model => "coalesce(response_model, request_model)",
        Key::Task => "nullif(task_id, execution_id)",
        other => other.column().unwrap_or("'all'"),
    }
}

/// Entries of a time that the stream would have counted: neither late when they came, nor doubles.
fn counted(key: Key, begin: i64, cut: i64) -> String {
    let (begin, cut, name) = (begin / 1_000, cut / 1_000, name_of(key));
    format!(
        "entry IN ('charge', 'reversal') AND {name} <> '' \
         AND received_at >= to_timestamp_micros({begin}) AND received_at < to_timestamp_micros({cut}) \
         AND (end_time IS NULL OR received_at <= end_time + INTERVAL '60 seconds')"
    )
}

fn spend_query(rule: &Rule, begin: i64, cut: i64, now: i64, limit: usize) -> String {
    let name = name_of(rule.key);
    let counted = counted(rule.key, begin, cut);
    // Who was idle for a day is forgotten in the stream, too.
    let alive = match rule.when {
        When::Budget {
            per: Period::Execution,
        } => {
            let since = (now - DAY) / 1_000;
            format!(" AND MAX(received_at) >= to_timestamp_micros({since})")
        }
        _ => String::new(),
    };
    format!(
        "SELECT {name} AS name, 0 AS step, SUM(cost_usd) AS usd, 0 AS calls, 0 AS failed FROM charges \
         WHERE {counted} AND cost_usd IS NOT NULL GROUP BY {name} HAVING SUM(cost_usd) <> 0{alive} \
         ORDER BY usd DESC LIMIT {limit}"
    )
}

/// By steps as fine as the windows that they are for: a minute in the last hour, ten minutes in the last six.
fn burn_query(key: Key, aim: Aim, begin: i64, cut: i64, now: i64) -> String {
    let (what, bad) = match aim {
        Aim::Success => (
            "kind = 'execution' AND termination IS NOT NULL".to_owned(),
            "termination <> 'success'".to_owned(),
        ),
        Aim::NoError(Calls::Tool) => (
            "kind = 'tool_call'".to_owned(),
            "error_type IS NOT NULL".to_owned(),
        ),
        Aim::NoError(Calls::Model) => (
            "kind = 'model_call'".to_owned(),
            "error_type IS NOT NULL".to_owned(),
        ),
        Aim::Latency { under } => (
            "kind = 'model_call' AND duration_ns IS NOT NULL".to_owned(),
            format!("duration_ns > {under}"),
        ),
    };
    let step = |step: i64| {
        let micros = step / 1_000;
        format!("CAST(received_at AS BIGINT) / {micros} * {micros}")
    };
    let floor = |at: i64, step: i64| at.div_euclid(step) * step / 1_000;
    let (hour, six) = (floor(now - HOUR, 10 * MINUTE), floor(now - 6 * HOUR, HOUR));
    let (fine, middle, coarse) = (step(MINUTE), step(10 * MINUTE), step(HOUR));
    let name = name_of(key);
    let counted = counted(key, begin, cut);
    format!(
        "SELECT name, step, 0 AS usd, SUM(calls) AS calls, SUM(CASE WHEN bad THEN calls ELSE 0 END) AS failed FROM ( \
         SELECT {name} AS name, calls, {bad} AS bad, \
         CASE WHEN received_at >= to_timestamp_micros({hour}) THEN {fine} \
         WHEN received_at >= to_timestamp_micros({six}) THEN {middle} ELSE {coarse} END AS step \
         FROM charges WHERE {counted} AND {what}) GROUP BY name, step HAVING SUM(calls) <> 0 \
         ORDER BY step DESC LIMIT {ROWS}"
    )
}
