#![allow(clippy::unwrap_used)]
use datafusion::prelude::SessionContext;
use flyball_store::Table;
use flyball_store::rows::{Micros, Row, SpanRow};
use proptest::prelude::*;

use super::*;

/// Rows as `(start, agent, position)`.
type Rows = Vec<(i64, Option<String>, i64)>;

const COLUMNS: [&str; 3] = ["start_time", "agent_name", "log_position"];

fn batch(rows: &Rows) -> RecordBatch {
    let row = |(start, agent, position): &(i64, Option<String>, i64)| SpanRow {
        start_time: Micros(*start),
        agent_name: agent.clone(),
        log_position: *position,
        ..SpanRow::default()
    };
    SpanRow::batch(&rows.iter().map(row).collect::<Vec<_>>()).unwrap()
}

fn context(batches: &[Rows], bounded: bool) -> SessionContext {
    let batches: Vec<_> = batches.iter().map(batch).collect();
    let bounds = batches.iter().map(|batch| Bounds::of(batch, &COLUMNS));
    let bounds = if bounded {
        bounds.collect()
    } else {
        Vec::new()
    };
    let context = SessionContext::new();
    let table = Buffered::new(Table::Spans.schema(), batches, bounds);
    context.register_table("spans", Arc::new(table)).unwrap();
    context
}

async fn answer(context: &SessionContext, filter: &str) -> Vec<RecordBatch> {
    let sql = format!(
        "SELECT start_time, agent_name, log_position FROM spans WHERE {filter} ORDER BY 1, 2, 3"
    );
    context.sql(&sql).await.unwrap().collect().await.unwrap()
}

/// How many batches a statement reads.
async fn batches_read(context: &SessionContext, filter: &str) -> usize {
    let sql = format!("SELECT trace_id FROM spans WHERE {filter}");
    let plan = context.sql(&sql).await.unwrap();
    let plan = plan.create_physical_plan().await.unwrap();
    let text = datafusion::physical_plan::displayable(plan.as_ref())
        .indent(false)
        .to_string();
    // Partitions of one table, as in `partition_sizes=[2, 1]`.
    let Some((_, sizes)) = text.split_once("partition_sizes=[") else {
        assert!(text.contains("Empty"), "{text}");
        return 0;
    };
    let (sizes, _) = sizes.split_once(']').unwrap();
    sizes
        .split(',')
        .map(|size| size.trim().parse::<usize>().unwrap())
        .sum()
}

#[tokio::test]
async fn a_narrow_filter_reads_only_the_batches_that_can_match() {
    // Ten batches of ten seconds each, of ten agents.
    let batches: Vec<Rows> = (0..10)
        .map(|at| {
            let row = |second: i64| {
                let start = (at * 10 + second) * 1_000_000;
                (start, Some(format!("a{at}")), at)
            };
            (0..10).map(row).collect()
        })
        .collect();
    let context = context(&batches, true);
    let micros = |at: i64| format!("arrow_cast({at}, 'Timestamp(Microsecond, Some(\"UTC\"))')");
    for (filter, read) in [
        ("true".to_owned(), 10),
        (format!("start_time >= {}", micros(85_000_000)), 2),
        (
            format!(
                "start_time BETWEEN {} AND {}",
                micros(31_000_000),
                micros(33_000_000)
            ),
            1,
        ),
        (format!("start_time > {}", micros(99_000_000)), 0),
        ("start_time < '1970-01-01T00:00:10Z'".to_owned(), 1),
        ("start_time <= '1970-01-01T00:00:10Z'".to_owned(), 2),
        ("agent_name = 'a4'".to_owned(), 1),
        ("agent_name IN ('a4', 'a7', 'b')".to_owned(), 2),
        ("agent_name IS NULL".to_owned(), 0),
        ("log_position = 3 AND agent_name = 'a4'".to_owned(), 0),
        ("log_position = 3 OR agent_name = 'a4'".to_owned(), 2),
        // No bounds are kept of this one.
        ("trace_id = 'x'".to_owned(), 10),
    ] {
        assert_eq!(batches_read(&context, &filter).await, read, "{filter}");
    }
}

#[tokio::test]
async fn without_bounds_every_batch_is_read() {
    let context = context(&[vec![(1, None, 1)], vec![(2, None, 2)]], false);
    assert_eq!(batches_read(&context, "log_position = 1").await, 2);
    assert_eq!(answer(&context, "log_position = 1").await[0].num_rows(), 1);
}

fn rows() -> impl Strategy<Value = Rows> {
    let row = (
        -20_i64..20,
        proptest::option::of("[a-c\u{e4}]{0,2}"),
        0_i64..20,
    );
    proptest::collection::vec(row, 0..6)
}

fn filter() -> impl Strategy<Value = String> {
    let comparison = prop_oneof![
        (prop_oneof!["<", "<=", "=", "<>", ">=", ">"], -22_i64..22).prop_map(|(op, at)| format!(
            "start_time {op} arrow_cast({at}, 'Timestamp(Microsecond, Some(\"UTC\"))')"
        )),
        (prop_oneof!["<", "=", "<>", ">"], "[a-c\u{e4}]{0,2}")
            .prop_map(|(op, name)| format!("agent_name {op} '{name}'")),
        "[a-c]{1,2}".prop_map(|prefix| format!("agent_name LIKE '{prefix}%'")),
        Just("agent_name IS NULL".to_owned()),
        Just("agent_name IS NOT NULL".to_owned()),
        (0_i64..20).prop_map(|at| format!("log_position IN ({at}, 3, 19)")),
        (0_i64..20).prop_map(|at| format!("NOT (log_position % 3 = 1 AND log_position > {at})")),
    ];
    comparison.prop_recursive(2, 6, 2, |inner| {
        (inner.clone(), prop_oneof!["AND", "OR"], inner)
            .prop_map(|(left, op, right)| format!("({left} {op} {right})"))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn skipping_batches_changes_no_answer(batches in proptest::collection::vec(rows(), 0..6), filter in filter()) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let skipping = answer(&context(&batches, true), &filter).await;
            let reading = answer(&context(&batches, false), &filter).await;
            let all = |answer: &[RecordBatch]| {
                arrow::util::pretty::pretty_format_batches(answer).unwrap().to_string()
            };
            assert_eq!(all(&skipping), all(&reading), "{filter}");
        });
    }
}
