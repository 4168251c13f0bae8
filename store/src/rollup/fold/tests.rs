#![allow(clippy::unwrap_used)]
use proptest::prelude::*;

use super::*;

const NOON: i64 = 1_772_366_400_000_000;

fn call(id: &str, second: i64) -> ChargeRow {
    let start = Micros(NOON + second * 1_000_000);
    ChargeRow {
        date: Date::of_micros(start.0),
        start_time: start,
        end_time: Some(Micros(start.0 + 2_000_000)),
        duration_ns: Some(2_000_000_000),
        charge_id: id.into(),
        entry: "charge".into(),
        kind: "model_call".into(),
        agent_name: Some("triage".into()),
        execution_id: "e1".into(),
        user_id: Some("ada".into()),
        calls: 1,
        decisions: 1,
        input_tokens: Some(100),
        cost_usd: Some(Decimal::new(5, 3)),
        log_position: second,
        ..ChargeRow::default()
    }
}

fn reversal(of: &ChargeRow) -> ChargeRow {
    ChargeRow {
        entry: "reversal".into(),
        calls: -of.calls,
        decisions: -of.decisions,
        input_tokens: of.input_tokens.map(|tokens| -tokens),
        cost_usd: of.cost_usd.map(|cost| -cost),
        ..of.clone()
    }
}

fn folded(rows: &[ChargeRow], minutes: &Minutes) -> Vec<RollupRow> {
    let mut reversed = Reversed::default();
    let reversals: Vec<ChargeRow> = rows
        .iter()
        .filter(|row| row.entry == Reversed::ONLY.1)
        .cloned()
        .collect();
    reversed
        .add(&ChargeRow::batch(&reversals).unwrap())
        .unwrap();
    let mut fold = Fold::new(Arc::new(minutes.clone()), reversed);
    for rows in rows.chunks(3) {
        fold.add(&ChargeRow::batch(rows).unwrap()).unwrap();
    }
    let mut found = fold.finish();
    let key = |row: &RollupRow| {
        let ends = (row.ended_minute, row.kind.clone(), row.priced);
        (row.minute, ends, row.agent_name.clone(), row.tenant.clone())
    };
    found.sort_by_key(key);
    found
}

fn texts(sketch: Option<&Vec<u8>>) -> u64 {
    let mut distinct = Distinct::new().unwrap();
    if let Some(bytes) = sketch {
        distinct.merge_bytes(bytes).unwrap();
    }
    distinct.estimate()
}

#[test]
fn each_part_of_input_and_output_is_summed_by_itself() {
    let told = |id| ChargeRow {
        cache_write_tokens: Some(10),
        cache_write_1h_tokens: Some(4),
        audio_input_tokens: Some(5),
        image_input_tokens: Some(6),
        audio_output_tokens: Some(7),
        image_output_tokens: Some(8),
        ..call(id, 0)
    };
    let found = folded(&[told("1"), told("2"), call("3", 0)], &Minutes::all());
    let row = &found[0];
    let parts = [
        row.cache_write_tokens,
        row.cache_write_1h_tokens,
        row.audio_input_tokens,
        row.image_input_tokens,
        row.audio_output_tokens,
        row.image_output_tokens,
    ];
    assert_eq!(parts, [20, 8, 10, 12, 14, 16].map(Some));
}

#[test]
fn the_columns_that_are_read_exist() {
    for column in COLUMNS {
        assert!(ChargeRow::schema().index_of(column).is_ok(), "{column}");
    }
}

/// Two calls in the first minute, of which one was first read otherwise and taken back; one in the second.
#[test]
fn a_minute_by_hand() {
    let first_reading = ChargeRow {
        duration_ns: Some(9_000_000_000),
        user_id: Some("bob".into()),
        ..call("2", 59)
    };
    let failed = ChargeRow {
        error_type: Some("timeout".into()),
        input_tokens: None,
        duration_ns: Some(4_000_000_000),
        ..call("2b", 59)
    };
    let rows = [
        call("1", 0),
        reversal(&first_reading),
        first_reading,
        failed,
        call("3", 60),
    ];
    let found = folded(&rows, &Minutes::all());
    assert_eq!(found.len(), 2);
    let row = &found[0];
    assert_eq!(
        (row.minute, row.date),
        (Micros(NOON), Date::of_micros(NOON))
    );
    assert_eq!(
        (row.entries, row.calls, row.decisions, row.errors),
        (4, 2, 2, 1)
    );
    assert_eq!((row.timed, row.duration_ns), (2, Some(6_000_000_000)));
    assert_eq!(row.input_tokens, Some(100));
    assert_eq!(row.output_tokens, None, "nobody said, and that is not zero");
    assert_eq!(row.cost_usd, Some(Total(10_000_000_000)));
    assert_eq!((row.queued, row.queue_wait_ms), (0, None));
    assert_eq!(row.log_position, 59);
    let durations = Quantiles::from_bytes(row.durations.as_ref().unwrap()).unwrap();
    assert_eq!((durations.count(), durations.quantile(1.0)), (2, Some(4e9)));
    assert_eq!(texts(row.users.as_ref()), 1, "bob was taken back");
    assert_eq!(
        (texts(row.executions.as_ref()), row.sessions.as_ref()),
        (1, None)
    );
    assert_eq!(found[1].minute, Micros(NOON + 60_000_000));
    assert_eq!(folded(&rows, &Minutes::between(NOON, NOON)), found[..1]);
}

#[test]
fn executions_say_when_they_ended_and_calls_do_not() {
    let execution = |id: &str, end: Option<i64>| ChargeRow {
        kind: "execution".into(),
        end_time: end.map(|second| Micros(NOON + second * 1_000_000)),
        duration_ns: end.map(|second| second * 1_000_000_000),
        termination: end.map(|_| "escalation".into()),
        escalated: end.map(|_| true),
        cost_usd: None,
        ..call(id, 0)
    };
    let rows = [
        execution("a", Some(30)),
        execution("b", Some(200)),
        execution("c", None),
    ];
    let found = folded(&rows, &Minutes::all());
    let ends: Vec<_> = found
        .iter()
        .map(|row| {
            (
                row.ended_minute.map(|end| (end.0 - NOON) / 1_000_000),
                row.escalations,
                row.timed,
            )
        })
        .collect();
    assert_eq!(ends, [(None, 0, 0), (Some(0), 1, 1), (Some(180), 1, 1)]);
    assert!(found.iter().all(|row| !row.priced && row.minute.0 == NOON));
}

#[test]
fn sums_past_64_bits_are_rows_of_their_own() {
    let rows = [0, 1, 2].map(|second| ChargeRow {
        input_tokens: Some(i64::MAX),
        ..call(&format!("c{second}"), second)
    });
    let found = folded(&rows, &Minutes::all());
    let tokens: i128 = found
        .iter()
        .filter_map(|row| row.input_tokens)
        .map(i128::from)
        .sum();
    assert_eq!((found.len(), tokens), (3, 3 * i128::from(i64::MAX)));
    assert_eq!(found.iter().map(|row| row.calls).sum::<i64>(), 3);
    let timed = found.iter().filter_map(|row| row.durations.as_ref());
    assert_eq!(timed.count(), 1, "the sketch has them all");
}

fn journal() -> impl Strategy<Value = Vec<ChargeRow>> {
    let row = (0_i64..400, 0_usize..4, 0_usize..3, 0_u8..10, any::<u16>());
    proptest::collection::vec(row, 1..60).prop_map(|rows| {
        let mut journal = Vec::new();
        for (at, (second, agent, tenant, fate, size)) in rows.into_iter().enumerate() {
            let row = ChargeRow {
                agent_name: [Some("a"), Some("b"), Some(""), None][agent].map(str::to_owned),
                tenant: [Some("t"), Some("u"), None][tenant].map(str::to_owned),
                duration_ns: (fate != 1).then_some(i64::from(size)),
                cost_usd: (fate != 2).then(|| Decimal::new(i64::from(size), 12)),
                execution_id: format!("e{}", size % 7),
                ..call(&format!("c{at}"), second)
            };
            if fate == 3 {
                journal.push(reversal(&row));
            }
            journal.push(row);
        }
        journal
    })
}

/// Everything of a row but the bytes of its sketches, and what these say.
fn told(row: &RollupRow) -> (RollupRow, Vec<Option<f64>>, [u64; 2]) {
    let quantiles = row
        .durations
        .as_ref()
        .map(|bytes| Quantiles::from_bytes(bytes).unwrap());
    let ranks = [0.0, 0.5, 0.95, 1.0].map(|rank| quantiles.as_ref()?.quantile(rank));
    let ids = [texts(row.executions.as_ref()), texts(row.users.as_ref())];
    let plain = RollupRow {
        durations: None,
        executions: None,
        sessions: None,
        users: None,
        ..row.clone()
    };
    (plain, ranks.to_vec(), ids)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn minutes_are_independent_and_order_does_not_matter(
        rows in journal(), cut in 0_i64..8, seed in any::<u64>(),
    ) {
        let whole = folded(&rows, &Minutes::all());
        let mut shuffled = rows.clone();
        shuffled.sort_by_key(|row| (row.charge_id.len() as u64 ^ seed.wrapping_mul(row.log_position as u64 + 1)).wrapping_mul(seed | 1));
        let (mut early, mut late) = (Minutes::default(), Minutes::default());
        early.add(i64::MIN..NOON / MINUTE_MICROS + cut);
        late.add(NOON / MINUTE_MICROS + cut..i64::MAX);
        let mut parts = folded(&shuffled, &early);
        parts.extend(folded(&shuffled, &late));
        let tell = |rows: &[RollupRow]| rows.iter().map(told).collect::<Vec<_>>();
        prop_assert_eq!(tell(&parts), tell(&whole));
        // The second way to sum: straight over the journal.
        let calls: i64 = rows.iter().map(|row| row.calls).sum();
        let cost: Decimal = rows.iter().filter_map(|row| row.cost_usd).sum();
        prop_assert_eq!(whole.iter().map(|row| row.calls).sum::<i64>(), calls);
        prop_assert_eq!(whole.iter().filter_map(|row| row.cost_usd).map(|cost| cost.0).sum::<i128>(), Total::from(cost).0);
        prop_assert_eq!(whole.iter().map(|row| row.entries).sum::<i64>(), rows.len() as i64);
    }
}
