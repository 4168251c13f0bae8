//! A dashboard with a panel for each metric of the catalogue, made from what the catalogue says of it.
//!
//! A metric that has a view by hour is drawn over time: the column it `shows`, a line for each combination of the columns
//! it is told apart `by`. The others are tables over everything that is kept.

use flyball_query::catalogue::{Definition, Kind};
use serde_json::{Value, json};

/// Where it is committed, under `dashboards/grafana/dashboards`.
pub const FILE: &str = "flyball-catalogue.json";

/// Grafana's unit of a column, by how its name ends; the first that fits.
const UNITS: [(&str, &str); 8] = [
    ("_usd", "currencyUSD"),
    ("usd_per_1k_tokens", "currencyUSD"),
    ("_ms", "ms"),
    ("rate", "percentunit"),
    ("_low", "percentunit"),
    ("_high", "percentunit"),
    ("share", "percentunit"),
    ("share_of_cost", "percentunit"),
];
/// Panels in a row, and their size in Grafana's 24 columns.
const ACROSS: usize = 2;
const WIDTH: usize = 12;
const HEIGHT: usize = 9;

/// The dashboard, in Grafana's model.
#[must_use]
pub fn dashboard(entries: &[Definition]) -> Value {
    let metrics = entries
        .iter()
        .filter(|entry| entry.kind == Kind::Metric && !entry.is_by_hour());
    let panels: Vec<Value> = metrics
        .enumerate()
        .map(|(at, entry)| {
            let hourly = format!("{}_by_hour", entry.name);
            let has_hours = entries.iter().any(|other| other.name == hourly);
            panel(at, entry, has_hours.then_some(hourly.as_str()))
        })
        .collect();
    json!({
        "uid": "flyball-catalogue",
        "title": "Flyball metrics catalogue",
        "description": "Every metric of the catalogue, as docs/metrics.md defines it. Made by `flyball metrics --format grafana`.",
        "tags": ["flyball"],
        "schemaVersion": 41,
        "version": 1,
        "editable": true,
        "graphTooltip": 1,
        "timezone": "browser",
        "refresh": "5m",
        "time": {"from": "now-24h", "to": "now"},
        "timepicker": {},
        "templating": {"list": []},
        "annotations": {"list": []},
        "links": [],
        "panels": panels,
    })
}

fn panel(at: usize, entry: &Definition, hourly: Option<&str>) -> Value {
    let source = json!({"type": "grafana-postgresql-datasource", "uid": "flyball"});
    let (kind, format, sql) = match hourly {
        Some(view) => ("timeseries", "time_series", over_time(entry, view)),
        None => ("table", "table", as_table(entry)),
    };
    json!({
        "id": at + 1,
        "type": kind,
        "title": title(entry, hourly),
        "description": description(entry),
        "datasource": source,
        "gridPos": {
            "x": at % ACROSS * WIDTH,
            "y": at / ACROSS * HEIGHT,
            "w": WIDTH,
            "h": HEIGHT,
        },
        "fieldConfig": fields(entry, hourly),
        "options": options(hourly),
        "targets": [{
            "refId": "A",
            "datasource": source,
            "editorMode": "code",
            "rawQuery": true,
            "format": format,
            "rawSql": sql,
        }],
    })
}

fn title(entry: &Definition, hourly: Option<&str>) -> String {
    let name = entry.name.replace('_', " ");
    match hourly {
        Some(_) => format!("{name}: {}, by hour", entry.shows),
        None => format!("{name}, everything kept"),
    }
}

fn description(entry: &Definition) -> String {
    let Definition {
        summary,
        formula,
        unit,
        time,
        edges,
        ..
    } = entry;
    format!("{summary}\n\nFormula: {formula}\n\nUnit: {unit}\n\nTime: {time}\n\nEdges: {edges}")
}

fn over_time(entry: &Definition, view: &str) -> String {
    let names = entry
        .by
        .iter()
        .map(|column| format!("coalesce({column}, '(none)')"));
    let names: Vec<String> = names.collect();
    format!(
        "SELECT $__timeGroupAlias(hour, 1h), concat_ws(' / ', {}) AS metric, {} FROM {view} WHERE $__timeFilter(hour) ORDER BY 1, 2",
        names.join(", "),
        entry.shows
    )
}

fn as_table(entry: &Definition) -> String {
    format!(
        "SELECT * FROM {} ORDER BY {} DESC NULLS LAST LIMIT 100",
        entry.name, entry.shows
    )
}

fn unit(column: &str) -> &'static str {
    let known = UNITS.iter().find(|(end, _)| column.ends_with(end));
    known.map_or("short", |(_, unit)| unit)
}

fn fields(entry: &Definition, hourly: Option<&str>) -> Value {
    let thresholds = json!({"mode": "absolute", "steps": [{"color": "text", "value": null}]});
    if hourly.is_none() {
        let overrides = UNITS.map(|(end, unit)| {
            json!({
                "matcher": {"id": "byRegexp", "options": format!("/{end}$/")},
                "properties": [{"id": "unit", "value": unit}],
            })
        });
        let defaults = json!({"color": {"mode": "thresholds"}, "thresholds": thresholds});
        return json!({"defaults": defaults, "overrides": overrides});
    }
    json!({
        "defaults": {
            "unit": unit(&entry.shows),
            "custom": {
                "drawStyle": "line",
                "lineWidth": 2,
                "fillOpacity": 8,
                "spanNulls": false,
                "showPoints": "always",
            },
            "color": {"mode": "palette-classic-by-name"},
            "thresholds": thresholds,
        },
        "overrides": [],
    })
}

fn options(hourly: Option<&str>) -> Value {
    match hourly {
        Some(_) => json!({
            "legend": {
                "displayMode": "table",
                "placement": "right",
                "calcs": ["lastNotNull", "max"],
                "showLegend": true,
            },
            "tooltip": {"mode": "multi", "sort": "desc"},
        }),
        None => json!({"showHeader": true, "cellHeight": "sm"}),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use flyball_query::catalogue;

    use super::*;
    use crate::grafana::DASHBOARDS;

    #[test]
    fn the_committed_dashboard_is_what_the_catalogue_says() {
        let (_, text) = DASHBOARDS
            .into_iter()
            .find(|(file, _)| *file == FILE)
            .unwrap();
        let committed: Value = serde_json::from_str(text).unwrap();
        assert!(
            committed == dashboard(&catalogue::all()),
            "not up to date: flyball metrics --format grafana > dashboards/grafana/dashboards/{FILE}"
        );
    }

    #[test]
    fn every_metric_has_one_panel_with_a_unit_that_fits() {
        let all = catalogue::all();
        let dashboard = dashboard(&all);
        let panels = dashboard["panels"].as_array().unwrap();
        let metrics = all
            .iter()
            .filter(|entry| entry.kind == Kind::Metric && !entry.is_by_hour());
        assert_eq!(panels.len(), metrics.count());
        let unit_of = |title: &str| {
            let panel = panels.iter().find(|panel| panel["title"] == title).unwrap();
            panel["fieldConfig"]["defaults"]["unit"].clone()
        };
        for (title, unit) in [
            (
                "cost per decision: cost_per_decision_usd, by hour",
                "currencyUSD",
            ),
            ("escalation rate: rate, by hour", "percentunit"),
            ("latency p95: p95_ms, by hour", "ms"),
            ("agent activity: executions, by hour", "short"),
        ] {
            assert_eq!(unit_of(title), unit, "{title}");
        }
        // Grafana would take it for a variable.
        for panel in panels {
            assert!(!panel["description"].as_str().unwrap().contains('$'));
        }
    }
}
