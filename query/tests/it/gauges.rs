//! Metrics of the catalogue as gauges, in the format that Prometheus reads.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use flyball_query::gauges::{Config, Gauges, Rows};
use flyball_query::{Source, catalogue};
use flyball_store::rows::{ChargeRow, Micros};
use flyball_store::{Moment, Snapshot, Table};

use crate::fixture::{NOON, charges, decision, engine, moment, whole_world};

/// Samples by what stands before the value; fails on what Prometheus would refuse: a series twice, or a metric whose
/// lines are not all together behind its `# TYPE`.
fn samples(text: &str) -> BTreeMap<String, String> {
    let (mut samples, mut seen) = (BTreeMap::new(), Vec::new());
    for line in text.lines() {
        if let Some(of) = line.strip_prefix("# TYPE ") {
            let (name, kind) = of.split_once(' ').unwrap();
            assert!(["gauge", "counter"].contains(&kind), "{line}");
            assert!(!seen.contains(&name), "{name} twice");
            seen.push(name);
        } else if !line.starts_with('#') {
            let (series, value) = line.rsplit_once(' ').unwrap();
            assert_eq!(series.split('{').next(), seen.last().copied(), "{line}");
            value.parse::<f64>().unwrap();
            let before = samples.insert(series.to_owned(), value.to_owned());
            assert_eq!(before, None, "{series} twice");
        }
    }
    samples
}

fn config(names: &[&str], rows: Rows) -> Config {
    Config {
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        rows,
        ..Config::default()
    }
}

#[tokio::test]
async fn a_metric_is_a_gauge_for_each_number_with_its_texts_as_labels() {
    let gauges = config(&["cost_per_decision", "escalation_rate"], Rows::All);
    let gauges = Gauges::new(engine(whole_world()).await, "default", gauges)
        .await
        .unwrap();
    // Nothing is asked for a scrape: what is not known yet is not shown.
    let before = samples(&gauges.text());
    assert_eq!(before.len(), 2, "{before:?}");
    assert_eq!(
        before["flyball_catalogue_failures_total{metric=\"escalation_rate\"}"],
        "0"
    );
    gauges.ask().await;
    let text = gauges.text();
    let found = samples(&text);
    let of = |series: &str| found.get(&format!("flyball_{series}")).map(String::as_str);
    assert_eq!(
        of("cost_per_decision_decisions{agent_name=\"triage\"}"),
        Some("2")
    );
    assert_eq!(
        of("cost_per_decision_cost_usd{agent_name=\"triage\"}"),
        Some("0.003500000000")
    );
    // Unknown, and not zero.
    assert_eq!(
        of("cost_per_decision_cost_usd{agent_name=\"writer\"}"),
        None
    );
    assert_eq!(
        of("escalation_rate_rate{agent_name=\"writer\"}"),
        Some("1.0")
    );
    assert_eq!(
        of("catalogue_dropped_rows{metric=\"escalation_rate\"}"),
        Some("0")
    );
    assert!(
        text.contains("# HELP flyball_escalation_rate_rate How often"),
        "{text}"
    );
    assert!(
        text.contains("Column rate of everything kept; ratio, 0 to 1"),
        "{text}"
    );
}

#[tokio::test]
async fn series_are_bounded_and_always_the_same() {
    let rows: Vec<ChargeRow> = (0..500)
        .map(|n| {
            decision(
                &format!("{n}"),
                &format!("agent-{:03}", n * 7 % 500),
                "e",
                0.0,
                "1",
            )
        })
        .collect();
    let gauges = config(&["cost_per_decision"], Rows::All);
    let engine = engine(moment(vec![charges(&rows)])).await;
    let gauges = Gauges::new(engine, "default", gauges).await.unwrap();
    gauges.ask().await;
    let found = samples(&gauges.text());
    let agents: Vec<&String> = found
        .keys()
        .filter(|series| series.contains("_decision_calls{"))
        .collect();
    assert_eq!(agents.len(), 200);
    assert!(
        agents[0].contains("agent-000") && agents[199].contains("agent-199"),
        "{agents:?}"
    );
    assert_eq!(
        found["flyball_catalogue_dropped_rows{metric=\"cost_per_decision\"}"],
        "300"
    );
}

/// A call in each of four hours up to now: one counts in the last full hour, one in this hour.
#[tokio::test]
async fn hours_are_counted_from_now() {
    let now = chrono::Utc::now().timestamp();
    let hour = now - now % 3600;
    let call = |agent: &str, at: i64| ChargeRow {
        start_time: Micros(at * 1_000_000),
        ..decision(agent, agent, "e", (at - NOON) as f64, "1")
    };
    let rows = [
        call("long ago", hour - 3601),
        call("last hour", hour - 1),
        call("this hour", hour),
    ];
    let engine = engine(moment(vec![charges(&rows)])).await;
    for (rows, expected) in [
        (Rows::LastHour, vec!["last hour"]),
        (Rows::ThisHour, vec!["this hour"]),
        (Rows::All, vec!["last hour", "long ago", "this hour"]),
    ] {
        let names = config(&["cost_per_decision"], rows);
        let gauges = Gauges::new(Arc::clone(&engine), "default", names)
            .await
            .unwrap();
        gauges.ask().await;
        let found = samples(&gauges.text());
        let expected: Vec<String> = expected
            .iter()
            .map(|agent| format!("flyball_cost_per_decision_calls{{agent_name=\"{agent}\"}}"))
            .collect();
        let calls = found
            .keys()
            .filter(|series| series.contains("_decision_calls{"));
        // Unless the hour ended while this ran.
        if chrono::Utc::now().timestamp() < hour + 3600 {
            assert_eq!(calls.cloned().collect::<Vec<_>>(), expected, "{rows:?}");
        }
    }
}

#[tokio::test]
async fn every_metric_can_be_shown_and_nothing_else() {
    let engine = engine(whole_world()).await;
    let metrics = catalogue::all()
        .into_iter()
        .filter(|entry| entry.kind == catalogue::Kind::Metric && !entry.is_by_hour());
    let names: Vec<String> = metrics.map(|entry| entry.name).collect();
    let all = Config {
        names: names.clone(),
        ..Config::default()
    };
    let gauges = Gauges::new(Arc::clone(&engine), "default", all)
        .await
        .unwrap();
    gauges.ask().await;
    let found = samples(&gauges.text());
    for name in &names {
        let failures = &found[&format!("flyball_catalogue_failures_total{{metric=\"{name}\"}}")];
        assert_eq!(failures, "0", "{name}");
    }
    for name in [
        "cost_per_decison",
        "slo",
        "model_calls",
        "cost_per_decision_by_hour",
        "",
    ] {
        let refused = config(&[name], Rows::All);
        let refused = Gauges::new(Arc::clone(&engine), "default", refused).await;
        let refused = refused.unwrap_err().to_string();
        assert!(
            refused.starts_with(&format!("{name:?} is no metric"))
                && refused.contains("accepted are cost_per_decision, "),
            "{refused}"
        );
    }
}

/// Answers while it is told to, and after that never.
#[derive(Debug)]
struct Stalling(Arc<AtomicBool>);

#[async_trait]
impl Source for Stalling {
    fn snapshot(&self, _workspace: &str) -> Snapshot {
        whole_world()
    }

    async fn snapshot_at(
        &self,
        workspace: &str,
        _moment: Moment,
        _tables: &[Table],
    ) -> flyball_store::Result<Snapshot> {
        if self.0.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        Ok(self.snapshot(workspace))
    }
}

#[tokio::test]
async fn what_is_not_answered_in_time_is_counted_and_keeps_its_values() {
    let stalls = Arc::new(AtomicBool::new(false));
    let engine = engine(Stalling(Arc::clone(&stalls))).await;
    let config = Config {
        time_limit: Duration::from_secs(5),
        ..config(&["cost_per_decision"], Rows::All)
    };
    let gauges = Gauges::new(engine, "default", config).await.unwrap();
    gauges.ask().await;
    let before = samples(&gauges.text());
    stalls.store(true, Ordering::SeqCst);
    gauges.ask().await;
    let after = samples(&gauges.text());
    let health = |name: &str| format!("flyball_catalogue_{name}{{metric=\"cost_per_decision\"}}");
    let failures = health("failures_total");
    assert_eq!(
        (before[&failures].as_str(), after[&failures].as_str()),
        ("0", "1")
    );
    assert!(after[&health("age_seconds")].parse::<f64>().unwrap() >= 5.0);
    let cost = "flyball_cost_per_decision_cost_usd{agent_name=\"triage\"}";
    assert_eq!(
        (before[cost].as_str(), after[cost].as_str()),
        ("0.003500000000", "0.003500000000")
    );
}
