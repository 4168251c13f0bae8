//! What our rules make of a plan answers as DataFusion does without them.

use arrow::array::RecordBatch;
use arrow::util::pretty::pretty_format_batches;
use datafusion::prelude::SessionContext;

use crate::fixture::{engine, whole_world};

/// 2,000 rows over eleven days, with NULLs in every column that is compared.
const ROWS: &str = "(SELECT v, \
    CASE WHEN v % 11 = 0 THEN NULL ELSE 'agent ' || CAST(v % 3 AS VARCHAR) END AS agent, \
    CASE WHEN v % 7 = 0 THEN NULL ELSE 'tenant ' || CAST(v % 5 AS VARCHAR) END AS tenant, \
    CASE WHEN v % 13 = 0 THEN NULL ELSE CAST(v AS DECIMAL(18, 12)) / 7 END AS cost, \
    CASE WHEN v % 17 = 0 THEN NULL ELSE arrow_cast(v * 479000000, 'Timestamp(Microsecond, Some(\"UTC\"))') END AS ended, \
    arrow_cast(v * 477000000, 'Timestamp(Microsecond, Some(\"UTC\"))') AS began, \
    CASE WHEN v % 5 = 0 THEN '' WHEN v % 19 = 0 THEN NULL ELSE 'call ' || CAST(v AS VARCHAR) || ' of upstream exceeded 5 s' END \
      AS message \
    FROM generate_series(1, 2000) t(v)) r";

/// An answer's rows in an order of their own.
fn told(batches: &[RecordBatch]) -> Vec<String> {
    let text = pretty_format_batches(batches).unwrap().to_string();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

#[tokio::test]
async fn with_our_rules_and_without_every_answer_is_the_same() {
    let ours = engine(whole_world()).await;
    let theirs = SessionContext::new();
    let figures = "sum(cost) AS cost, count(*) AS n, count(cost) AS priced, min(v) AS first, max(cost) AS most";
    let day = |day: i64| {
        let micros = day * 86_400_000_000;
        format!("arrow_cast({micros}, 'Timestamp(Microsecond, Some(\"UTC\"))')")
    };
    let mut asked = vec![
        format!("SELECT agent, tenant, {figures} FROM {ROWS} GROUP BY CUBE (agent, tenant)"),
        format!("SELECT agent, tenant, {figures} FROM {ROWS} GROUP BY ROLLUP (agent, tenant)"),
        format!(
            "SELECT agent, tenant, grouping(agent) AS g, {figures} FROM {ROWS} \
             GROUP BY GROUPING SETS ((agent, tenant), (tenant), ())"
        ),
        format!(
            "SELECT date_trunc('day', began) AS day, agent, {figures} FROM {ROWS} \
             GROUP BY CUBE (date_trunc('day', began), agent) HAVING count(*) > 3"
        ),
        format!(
            "SELECT agent, tenant, {figures} FROM {ROWS} WHERE v < 0 GROUP BY CUBE (agent, tenant)"
        ),
        format!(
            "SELECT agent, tenant, sum(v) FILTER (WHERE v > 1000) AS late, count(DISTINCT v) AS d FROM {ROWS} \
             GROUP BY CUBE (agent, tenant)"
        ),
        format!("SELECT agent, avg(cost) AS mean, count(*) AS n FROM {ROWS} GROUP BY CUBE (agent)"),
    ];
    for unit in ["hour", "day", "week", "minute", "month"] {
        for op in [">=", ">", "<", "<=", "=", "<>"] {
            for at in [
                day(3),
                day(5),
                format!("{} + INTERVAL '90 minutes'", day(4)),
            ] {
                asked.push(format!(
                    "SELECT count(*) AS n, sum(v) AS s FROM {ROWS} WHERE date_trunc('{unit}', began) {op} {at}"
                ));
                asked.push(format!(
                    "SELECT count(*) AS n, sum(v) AS s FROM {ROWS} \
                     WHERE date_trunc('{unit}', coalesce(ended, began)) {op} {at}"
                ));
            }
        }
    }
    for pattern in [
        "%upstream%exceeded%",
        "call 1%of%exceeded _ s",
        "%exceeded%upstream%",
        "call%",
        "%a%b%",
        "",
    ] {
        for not in ["", "NOT "] {
            asked.push(format!(
                "SELECT count(*) AS n, sum(v) AS s FROM {ROWS} WHERE message {not}LIKE '{pattern}'"
            ));
        }
    }
    for sql in asked {
        let found = ours.query("default", &sql).await;
        let found = told(&found.unwrap_or_else(|error| panic!("{sql}\n{error}")));
        let expected = theirs.sql(&sql).await.unwrap().collect().await.unwrap();
        assert_eq!(found, told(&expected), "{sql}");
    }
}
