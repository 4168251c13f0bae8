//! Grafana: a data source, dashboards, and what the dashboards ask for.
//!
//! Copy `dashboards/grafana/provisioning` beside Grafana's own provisioning folder and
//! `dashboards/grafana/dashboards` to where its provider looks. The queries go through Grafana's PostgreSQL
//! data source to port 5433; [`catalogue`] makes the second dashboard; [`queries`] gives them as it would send them, so that they can be tried without it.

pub mod catalogue;
mod macros;

use serde_json::Value;

pub use macros::TimeRange;

use crate::{Error, Result};

/// Provisioning of the data source: `datasources/flyball.yaml`.
pub const DATASOURCE: &str = include_str!("../../grafana/provisioning/datasources/flyball.yaml");
/// Provisioning of the folder of dashboards: `dashboards/flyball.yaml`.
pub const PROVIDER: &str = include_str!("../../grafana/provisioning/dashboards/flyball.yaml");
/// The dashboards: file name and JSON.
pub const DASHBOARDS: [(&str, &str); 2] = [
    (
        "flyball-overview.json",
        include_str!("../../grafana/dashboards/flyball-overview.json"),
    ),
    (
        catalogue::FILE,
        include_str!("../../grafana/dashboards/flyball-catalogue.json"),
    ),
];

/// What one panel (or annotation) asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PanelQuery {
    /// The dashboard's file.
    pub file: &'static str,
    /// The panel's title.
    pub title: String,
    /// `table`, or `time_series`: then there is a column `time`, and text columns name the series.
    pub format: String,
    /// The SQL, macros expanded.
    pub sql: String,
}

/// Every query of every dashboard, as Grafana sends it for this time range.
///
/// # Errors
/// When a dashboard is not of the expected form, or uses a macro that Grafana would refuse.
pub fn queries(range: &TimeRange) -> Result<Vec<PanelQuery>> {
    let mut queries = Vec::new();
    for (file, text) in DASHBOARDS {
        let wrong = |reason: String| Error::Dashboard { file, reason };
        let dashboard: Value =
            serde_json::from_str(text).map_err(|error| wrong(error.to_string()))?;
        let panels = dashboard["panels"]
            .as_array()
            .ok_or_else(|| wrong("no panels".to_owned()))?;
        let mut targets: Vec<(&Value, &Value)> = Vec::new();
        for panel in panels {
            let of_panel = panel["targets"].as_array().into_iter().flatten();
            targets.extend(of_panel.map(|target| (&panel["title"], target)));
        }
        let annotations = dashboard["annotations"]["list"]
            .as_array()
            .into_iter()
            .flatten();
        targets.extend(annotations.map(|annotation| (&annotation["name"], &annotation["target"])));
        for (title, target) in targets {
            let text = |value: &Value, what: &str| {
                let text = value.as_str().map(str::to_owned);
                text.ok_or_else(|| wrong(format!("panel {title}: no {what}")))
            };
            let title = text(title, "title")?;
            let sql = macros::expand(&title, &text(&target["rawSql"], "rawSql")?, range)?;
            queries.push(PanelQuery {
                file,
                format: text(&target["format"], "format")?,
                title,
                sql,
            });
        }
    }
    Ok(queries)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeSet;

    use super::*;

    fn dashboards() -> Vec<Value> {
        DASHBOARDS
            .iter()
            .map(|(_, text)| serde_json::from_str(text).unwrap())
            .collect()
    }

    #[test]
    fn panels_have_ids_of_their_own_and_do_not_overlap() {
        for dashboard in dashboards() {
            let panels = dashboard["panels"].as_array().unwrap();
            let ids: BTreeSet<i64> = panels
                .iter()
                .map(|panel| panel["id"].as_i64().unwrap())
                .collect();
            assert_eq!(ids.len(), panels.len());
            let mut taken = BTreeSet::new();
            for panel in panels {
                let [x, y, w, h] =
                    ["x", "y", "w", "h"].map(|side| panel["gridPos"][side].as_u64().unwrap());
                assert!(x + w <= 24, "{}", panel["title"]);
                for cell in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
                    assert!(
                        taken.insert(cell),
                        "{} lies over another panel",
                        panel["title"]
                    );
                }
            }
        }
    }

    #[test]
    fn every_panel_asks_the_provisioned_data_source_and_says_what_it_shows() {
        assert!(
            DATASOURCE.contains("uid: flyball\n") && DATASOURCE.contains("url: 127.0.0.1:5433\n")
        );
        for dashboard in dashboards() {
            for panel in dashboard["panels"].as_array().unwrap() {
                assert_eq!(panel["datasource"]["uid"], "flyball");
                assert!(
                    !panel["description"].as_str().unwrap().is_empty(),
                    "{}",
                    panel["title"]
                );
                assert_eq!(panel["targets"].as_array().unwrap().len(), 1);
            }
        }
    }

    #[test]
    fn every_query_expands_with_no_macro_left() {
        let range = TimeRange::last_hours(1_795_341_600_000, 1);
        let queries = queries(&range).unwrap();
        assert!(queries.len() >= 16, "{}", queries.len());
        for query in &queries {
            assert!(!query.sql.contains('$'), "{}: {}", query.title, query.sql);
            if query.format == "time_series" {
                assert!(
                    query.sql.contains("AS \"time\"") && query.sql.contains("BETWEEN '2026-"),
                    "{}",
                    query.sql
                );
            }
        }
    }
}
