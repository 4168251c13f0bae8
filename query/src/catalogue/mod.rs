//! Every view, metric and table function, each defined once: one SQL file beside this one, whose header
//! says what it means. From here come the views in SQL, and the pages and panels that describe them.
//!
//! A file begins with lines `-- key: value` (a line `--   more` goes on with the value above). Keys:
//! `name`, `kind` (view, metric or function), `summary`, `formula`, `unit`, `grain` (what one row is),
//! `time` (which moment puts a row into a window), `edges` (what happens where the definition has an
//! edge), and `by_hour`, the name of a second view that has an `hour` column besides: in it, the
//! comments `/*hour,*/` of the SQL become `hour,`. Of a metric, `by` names the columns that tell its rows
//! apart, and `shows` the one to draw where there is room for one.

mod page;

pub use page::page;

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Rows of the data model, under the names of the design.
    View,
    /// A measured quantity, with a formula and a unit.
    Metric,
    /// A table function: the SQL has parameters.
    Function,
}

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Definition {
    /// Name in SQL.
    pub name: String,
    /// View, metric or function.
    pub kind: Kind,
    /// What it is, in a sentence or two.
    pub summary: String,
    /// How it is computed, in words.
    pub formula: String,
    /// Unit of the quantity it is about.
    pub unit: String,
    /// What one row stands for.
    pub grain: String,
    /// Which moment puts a row into a window of time.
    pub time: String,
    /// Of a metric, the columns that tell its rows apart (besides `hour`), all of them texts.
    pub by: Vec<String>,
    /// Of a metric, the column to draw where there is room for one: a number.
    pub shows: String,
    /// What happens at the edges: empty denominators, unknown values.
    pub edges: String,
    /// The query.
    pub sql: String,
}

impl Definition {
    /// Whether it is another entry's second view, with an `hour` column.
    #[must_use]
    pub fn is_by_hour(&self) -> bool {
        self.name.ends_with("_by_hour")
    }
}

/// In the order in which they can be planned: an entry may use the ones before it.
const FILES: [&str; 49] = [
    include_str!("standing_charges.sql"),
    include_str!("minutes.sql"),
    include_str!("minute_sketches.sql"),
    include_str!("model_calls.sql"),
    include_str!("embeddings.sql"),
    include_str!("reranks.sql"),
    include_str!("tool_calls.sql"),
    include_str!("unpriced_models.sql"),
    include_str!("client_clocks.sql"),
    include_str!("standing_executions.sql"),
    include_str!("executions.sql"),
    include_str!("decisions.sql"),
    include_str!("actions.sql"),
    include_str!("audit.sql"),
    include_str!("cost_per_decision.sql"),
    include_str!("escalation_rate.sql"),
    include_str!("task_success_rate.sql"),
    include_str!("latency_p95.sql"),
    include_str!("agent_activity.sql"),
    include_str!("control_latency.sql"),
    include_str!("confidence_drift.sql"),
    include_str!("cost_per_execution.sql"),
    include_str!("cost_per_task.sql"),
    include_str!("cost_per_cycle.sql"),
    include_str!("cost_per_successful_decision.sql"),
    include_str!("tokens_per_successful_execution.sql"),
    include_str!("cost_variance.sql"),
    include_str!("model_utilisation.sql"),
    include_str!("cache_hit_share.sql"),
    include_str!("cost_by_tool.sql"),
    include_str!("cost_by_tenant.sql"),
    include_str!("cost_by_user.sql"),
    include_str!("latency_by_phase.sql"),
    include_str!("queue_wait.sql"),
    include_str!("time_to_decision.sql"),
    include_str!("reprompt_rate.sql"),
    include_str!("tool_failure_containment.sql"),
    include_str!("policy_violations.sql"),
    include_str!("approval_rejection_rate.sql"),
    include_str!("intervention_frequency.sql"),
    include_str!("safe_termination.sql"),
    include_str!("incident_recurrence.sql"),
    include_str!("roi.sql"),
    include_str!("slo.sql"),
    include_str!("slo_burn.sql"),
    include_str!("outcome_drift.sql"),
    include_str!("latency_drift.sql"),
    include_str!("behaviour_drift.sql"),
    include_str!("feedback_drift.sql"),
];

/// All entries, in the order in which they can be planned.
#[must_use]
pub fn all() -> Vec<Definition> {
    FILES.iter().flat_map(|file| read(file)).collect()
}

/// The entries of a file: one, or two when it also has a view by hour.
fn read(file: &str) -> Vec<Definition> {
    let mut entries: Vec<(String, String)> = Vec::new();
    let mut sql = String::new();
    for line in file.lines() {
        match (line.strip_prefix("--"), sql.is_empty()) {
            (Some(text), true) => match (text.strip_prefix("   "), text.split_once(": ")) {
                (Some(more), _) => {
                    if let Some((_, value)) = entries.last_mut() {
                        value.push(' ');
                        value.push_str(more.trim());
                    }
                }
                (None, Some((key, value))) => {
                    entries.push((key.trim().to_owned(), value.trim().to_owned()));
                }
                (None, None) => {}
            },
            _ => {
                sql.push_str(line);
                sql.push('\n');
            }
        }
    }
    let value = |key: &str| {
        entries
            .iter()
            .find(|(k, _)| k == key)
            .map(|(_, v)| v.clone())
            .unwrap_or_default()
    };
    let plain = Definition {
        name: value("name"),
        kind: match value("kind").as_str() {
            "metric" => Kind::Metric,
            "function" => Kind::Function,
            _ => Kind::View,
        },
        summary: value("summary"),
        formula: value("formula"),
        unit: value("unit"),
        grain: value("grain"),
        time: value("time"),
        by: words(&value("by")),
        shows: value("shows"),
        edges: value("edges"),
        sql,
    };
    let by_hour = value("by_hour");
    if by_hour.is_empty() {
        return vec![plain];
    }
    let hourly = Definition {
        name: by_hour,
        grain: format!("{} and UTC hour", plain.grain),
        sql: plain.sql.replace("/*hour,*/", "hour,"),
        ..plain.clone()
    };
    vec![plain, hourly]
}

/// Names with commas between.
fn words(list: &str) -> Vec<String> {
    let words = list.split(',').map(str::trim);
    words
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_says_what_it_is() {
        let all = all();
        for entry in &all {
            let name = &entry.name;
            assert!(
                !name.is_empty() && !entry.sql.trim().is_empty(),
                "{entry:?}"
            );
            assert!(
                !entry.summary.is_empty() && !entry.grain.is_empty(),
                "{name} lacks a summary or grain"
            );
            if entry.kind != Kind::View {
                let told = [&entry.formula, &entry.unit, &entry.time, &entry.edges];
                assert!(
                    told.iter().all(|t| !t.is_empty()),
                    "{name} lacks a formula, unit, time or edges"
                );
            }
            assert_eq!(
                all.iter().filter(|e| e.name == *name).count(),
                1,
                "{name} is there twice"
            );
        }
    }

    #[test]
    fn an_hourly_view_differs_by_its_hour_alone() {
        let entries = read(
            "-- name: a\n-- kind: metric\n-- summary: one\n--   two\n-- by_hour: a_by_hour\nSELECT /*hour,*/ x FROM t GROUP BY /*hour,*/ x\n",
        );
        assert_eq!(entries[0].summary, "one two");
        assert_eq!(entries[1].name, "a_by_hour");
        assert_eq!(entries[1].sql, "SELECT hour, x FROM t GROUP BY hour, x\n");
    }
}
