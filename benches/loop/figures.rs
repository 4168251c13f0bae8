//! What the tables, control and the server's own books say of the trials.

use std::collections::HashMap;

use serde_json::Value;

use crate::server::{query, whole};

/// An order in force, by the tables: microseconds since 1970.
#[derive(Debug, Clone)]
pub(crate) struct Ordered {
    pub(crate) agent: String,
    pub(crate) rule: String,
    pub(crate) state: String,
    /// The span that caused it ended, by its sender's clock.
    pub(crate) ended: i64,
    /// It was received.
    pub(crate) received: i64,
    /// The rule fired.
    pub(crate) judged: i64,
    /// Control took the order, and began to write it down.
    pub(crate) decided: i64,
    /// A runtime obeyed.
    pub(crate) obeyed: Option<i64>,
}

/// All orders in force; `agent_of` says of which agent an execution is.
pub(crate) async fn orders(http: &str, agent_of: impl Fn(&str) -> Option<String>) -> Vec<Ordered> {
    let fired = "SELECT rule, key, CAST(min(at) AS BIGINT) AS at FROM alerts \
         WHERE state = 'firing' AND mode = 'enforce' GROUP BY rule, key";
    let mut judged = HashMap::new();
    for row in query(http, fired).await {
        let (by, name) = text(&row["key"]).split_once('=').unwrap();
        let agent = match by {
            "execution" => agent_of(name),
            _ => Some(name.to_owned()),
        };
        if let Some(agent) = agent {
            let rule = text(&row["rule"]).to_owned();
            judged.insert((rule, agent), whole(&row["at"]).unwrap());
        }
    }
    let ordered = "SELECT target, rule, state, CAST(cause_ended_at AS BIGINT) AS ended, \
         CAST(cause_received_at AS BIGINT) AS received, CAST(decided_at AS BIGINT) AS decided, \
         CAST(obeyed_at AS BIGINT) AS obeyed FROM actions WHERE mode = 'enforce' AND rule IS NOT NULL";
    let rows = query(http, ordered).await;
    rows.iter()
        .map(|row| {
            let (agent, rule) = (text(&row["target"]), text(&row["rule"]));
            let at = |name: &str| whole(&row[name]);
            Ordered {
                judged: judged[&(rule.to_owned(), agent.to_owned())],
                agent: agent.to_owned(),
                rule: rule.to_owned(),
                state: text(&row["state"]).to_owned(),
                ended: at("ended").unwrap(),
                received: at("received").unwrap(),
                decided: at("decided").unwrap(),
                obeyed: at("obeyed"),
            }
        })
        .collect()
}

fn text(value: &Value) -> &str {
    value
        .as_str()
        .unwrap_or_else(|| panic!("{value} is a text"))
}

/// What `/metrics` says, by name and labels.
pub(crate) async fn metrics(http: &str) -> HashMap<String, f64> {
    let answer = reqwest::get(format!("{http}/metrics")).await.unwrap();
    let text = answer.text().await.unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| line.rsplit_once(' '))
        .filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?)))
        .collect()
}

/// The sum of a figure over its labels.
pub(crate) fn sum(metrics: &HashMap<String, f64>, name: &str) -> f64 {
    let of = |key: &&String| key.split('{').next() == Some(name);
    let keys = metrics.keys().filter(of);
    keys.map(|key| metrics[key]).sum()
}

/// Times of one kind, milliseconds.
#[derive(Debug, Clone, Default)]
pub(crate) struct Times(Vec<f64>);

impl Times {
    /// Of differences in microseconds.
    pub(crate) fn of_micros(times: impl IntoIterator<Item = i64>) -> Self {
        let mut times: Vec<f64> = times.into_iter().map(|us| us as f64 / 1e3).collect();
        times.sort_by(f64::total_cmp);
        Self(times)
    }

    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// The least that so many percent do not pass: the nearest rank.
    pub(crate) fn percentile(&self, percent: usize) -> f64 {
        let rank = (self.0.len() * percent).div_ceil(100).max(1);
        self.0.get(rank - 1).copied().unwrap_or(f64::NAN)
    }

    pub(crate) fn mean(&self) -> f64 {
        self.0.iter().sum::<f64>() / self.0.len() as f64
    }

    pub(crate) fn within(&self, ms: f64) -> usize {
        self.0.iter().filter(|took| **took <= ms).count()
    }
}
