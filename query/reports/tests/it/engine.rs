//! The report over what the real engine answers to its SQL.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::util::display::array_value_to_string;
use flyball_query::{Config, Engine};
use flyball_reports::{Chargeback, Dimension};
use flyball_store::rows::{ChargeRow, Date, Micros, Row};
use flyball_store::{Minutes, Snapshot, Table, TableSnapshot};
use rust_decimal::Decimal;

const HOUR: i64 = 3_600_000_000;

/// Fifty calls, an hour apart, of three teams and four agents; every fifth without a price, every tenth
/// entered twice and taken back once.
fn journal() -> Vec<ChargeRow> {
    let mut rows = Vec::new();
    for n in 0..50_i64 {
        let start = Micros(20_779 * 24 * HOUR + n * HOUR);
        let row = ChargeRow {
            date: Date::of_micros(start.0),
            start_time: start,
            start_unix_nano: start.0 * 1_000,
            charge_id: format!("charge-{n}"),
            entry: "charge".to_owned(),
            kind: if n % 7 == 3 {
                "tool_call"
            } else {
                "model_call"
            }
            .to_owned(),
            team: (n % 3 != 0).then(|| format!("team-{}", n % 3)),
            agent_name: Some(format!("agent-{}", n % 4)),
            calls: 1,
            input_tokens: Some(100 + n),
            cost_usd: (n % 5 != 0).then(|| Decimal::new(1_234_567 * (n + 1), 12)),
            ..ChargeRow::default()
        };
        if n % 10 == 0 {
            rows.push(row.clone());
            rows.push(ChargeRow {
                entry: "reversal".to_owned(),
                calls: -1,
                input_tokens: row.input_tokens.map(|tokens| -tokens),
                cost_usd: row.cost_usd.map(|cost| -cost),
                ..row.clone()
            });
        }
        rows.push(row);
    }
    rows
}

async fn engine(journal: &[ChargeRow]) -> Arc<Engine> {
    let buffered = vec![ChargeRow::batch(journal).unwrap()];
    let table = |table| TableSnapshot {
        table,
        delta: None,
        buffered: Vec::new(),
        bounds: Vec::new(),
        spilled: Vec::new(),
        superseded: Arc::default(),
    };
    let mut tables: HashMap<Table, TableSnapshot> =
        Table::ALL.into_iter().map(|t| (t, table(t))).collect();
    tables.insert(
        Table::Charges,
        TableSnapshot {
            buffered,
            ..table(Table::Charges)
        },
    );
    let snapshot = Snapshot {
        workspace: Arc::from("default"),
        tables,
        unrolled: Minutes::all(),
    };
    Engine::new(Arc::new(snapshot), Config::default())
        .await
        .unwrap()
}

/// What a server hands out is bounded by rows: a report may need as many as it has lines (by kind, and
/// priced or not), and no more however long the journal is.
#[tokio::test]
async fn the_answer_grows_with_the_report_and_not_with_the_journal() {
    let mut journal = journal();
    // Past 64 bits, sums must neither wrap nor fail.
    for row in journal.iter_mut().take(4) {
        row.input_tokens = Some(i64::MAX);
    }
    let engine = engine(&journal).await;
    let raw = engine
        .query("default", "SELECT * FROM charges")
        .await
        .unwrap();
    for (by, rows_max) in [
        ("team", 3 * 2 * 2),
        ("team,agent", 3 * 4 * 2 * 2),
        ("day,model", 3 * 2 * 2),
    ] {
        let chargeback = Chargeback::by(Dimension::parse_list(by).unwrap()).unwrap();
        let summed = engine
            .session("default")
            .query_up_to(&chargeback.sql(None, None), rows_max)
            .await
            .unwrap();
        let report = chargeback.report(&summed).unwrap();
        assert_eq!(report, chargeback.report(&raw).unwrap(), "{by}");
        assert!(report.total.input_tokens > i128::from(i64::MAX), "{by}");
        assert!(report.total.unpriced_calls > 0, "{by}");
    }
}

#[tokio::test]
async fn the_total_is_what_sql_says() {
    let engine = engine(&journal()).await;
    let cut = (20_779 * 24 + 30) * HOUR * 1_000;
    let bounds = [
        (None, None, "true"),
        (Some(cut), None, "start_unix_nano >= {cut}"),
        (None, Some(cut), "start_unix_nano < {cut}"),
    ];
    for by in [
        "team,agent",
        "day",
        "model",
        "team,agent,tenant,environment,user,session,model,provider,tool,day",
    ] {
        let chargeback = Chargeback::by(Dimension::parse_list(by).unwrap()).unwrap();
        for (since, until, when) in bounds {
            let rows = engine
                .query("default", &chargeback.sql(since, until))
                .await
                .unwrap();
            let report = chargeback.report(&rows).unwrap();
            let sql = format!(
                "SELECT sum(cost_usd) AS cost, sum(input_tokens) AS tokens FROM charges WHERE {when}"
            );
            let sums = engine
                .query("default", &sql.replace("{cut}", &cut.to_string()))
                .await
                .unwrap();
            let sum = |column: usize| array_value_to_string(sums[0].column(column), 0).unwrap();
            assert_eq!(
                report.total.cost_usd.unwrap().to_string(),
                sum(0),
                "{by} {when}"
            );
            assert_eq!(report.total.input_tokens.to_string(), sum(1), "{by} {when}");
            assert!(
                report
                    .table()
                    .contains(&sum(0).trim_end_matches('0').to_owned())
            );
        }
    }
}
