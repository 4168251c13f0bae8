//! What policy and people decided about an agent's actions, for the ledger: every verdict but `allow`, and every
//! intervention, that a live request tells of. The request is acknowledged only when the ledger has it.

use std::collections::BTreeMap;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use flyball_store::rows::{AuditRow, Micros, Row, SpanRow};
use serde_json::json;

/// The event of the ledger's record.
const EVENT: &str = "policy.decided";
/// The verdict that is not news: what agents did anyway is in their spans.
const ALLOWED: &str = "allow";
/// So many decisions of one agent in one request are named one by one; all are counted.
const NAMED: usize = 50;
/// Agents of one request that get a record of their own: names are the sender's, and records are for ever.
const AGENTS: usize = 100;
/// Whose record tells of the others.
const OTHERS: &str = "(other)";

/// One record for each agent of which the request tells a decision, with the key that sent it. Told again by a retry, it is
/// the same record.
pub(super) fn records(spans: &RecordBatch, key: Option<&str>) -> Vec<AuditRow> {
    let Some(wanted) = decided(spans) else {
        return Vec::new();
    };
    let rows = filter_record_batch(spans, &wanted).and_then(|rows| SpanRow::read(&rows));
    let mut agents: BTreeMap<String, Vec<SpanRow>> = BTreeMap::new();
    // The batch was made by us, so it can be read; were it not, the spans themselves still tell.
    for row in rows.unwrap_or_default() {
        let mut agent = row.agent_name.clone().unwrap_or_default();
        if agents.len() >= AGENTS && !agents.contains_key(&agent) {
            agent = OTHERS.to_owned();
        }
        agents.entry(agent).or_default().push(row);
    }
    agents.into_iter().map(|told| record(told, key)).collect()
}

/// Rows that tell of a decision; None when there are none, as there mostly are.
fn decided(spans: &RecordBatch) -> Option<BooleanArray> {
    let text = |name: &str| {
        spans
            .column_by_name(name)
            .and_then(ArrayRef::as_string_opt::<i32>)
    };
    let (verdicts, interventions) = (text("policy_verdict")?, text("intervention")?);
    if verdicts.null_count() == verdicts.len() && interventions.null_count() == interventions.len()
    {
        return None;
    }
    let of = |row: usize| {
        let verdict = verdicts.is_valid(row) && verdicts.value(row) != ALLOWED;
        verdict || interventions.is_valid(row)
    };
    let found: BooleanArray = (0..spans.num_rows()).map(|row| Some(of(row))).collect();
    (found.true_count() > 0).then_some(found)
}

fn record((agent, rows): (String, Vec<SpanRow>), key: Option<&str>) -> AuditRow {
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for row in &rows {
        for word in [&row.policy_verdict, &row.intervention]
            .into_iter()
            .flatten()
        {
            *counts.entry(word).or_default() += 1;
        }
    }
    let named = rows.iter().take(NAMED).map(|row| {
        json!({
            "trace_id": row.trace_id,
            "span_id": row.span_id,
            "verdict": row.policy_verdict,
            "rule": row.policy_rule,
            "intervention": row.intervention,
            "tool": row.tool_name,
            "version_set": row.version_set,
        })
    });
    let last = rows.iter().map(|row| row.end_time.0);
    AuditRow {
        at: Micros(last.max().unwrap_or_default()),
        event: EVENT.to_owned(),
        actor: format!("agent:{agent}"),
        subject: format!("agent:{agent}"),
        record: json!({
            "sent_by": key,
            "count": rows.len(),
            "by_decision": counts,
            "decisions": named.collect::<Vec<_>>(),
        })
        .to_string(),
        ..AuditRow::default()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn span(agent: &str, span: u32, verdict: Option<&str>) -> SpanRow {
        SpanRow {
            trace_id: "t".into(),
            span_id: format!("{span}"),
            agent_name: Some(agent.into()),
            end_time: Micros(i64::from(span)),
            policy_verdict: verdict.map(Into::into),
            policy_rule: verdict.map(|_| "zones/red".into()),
            ..SpanRow::default()
        }
    }

    fn records_of(rows: &[SpanRow]) -> Vec<AuditRow> {
        records(&SpanRow::batch(rows).unwrap(), Some("key-1"))
    }

    #[test]
    fn what_was_allowed_or_never_asked_is_no_news() {
        let rows = [span("a", 1, None), span("a", 2, Some("allow"))];
        assert_eq!(records_of(&rows), Vec::new());
    }

    #[test]
    fn denials_and_interventions_are_told_by_agent() {
        let approved = SpanRow {
            intervention: Some("approve".into()),
            ..span("b", 3, Some("allow"))
        };
        let rows = [
            span("a", 1, Some("deny")),
            approved,
            span("a", 2, Some("needs_approval")),
        ];
        let found = records_of(&rows);
        assert_eq!(found, records_of(&rows), "the same when it is told again");
        let told: Vec<_> = found
            .iter()
            .map(|row| (row.subject.as_str(), row.at.0))
            .collect();
        assert_eq!(told, [("agent:a", 2), ("agent:b", 3)]);
        let record: serde_json::Value = serde_json::from_str(&found[0].record).unwrap();
        assert_eq!(
            record["by_decision"],
            json!({"deny": 1, "needs_approval": 1})
        );
        assert_eq!(record["decisions"][0]["rule"], "zones/red");
        assert!(found[1].record.contains(r#""intervention":"approve""#));
    }

    #[test]
    fn a_flood_is_counted_and_not_listed() {
        let rows: Vec<_> = (0..5_000).map(|at| span("a", at, Some("deny"))).collect();
        let [record] = &records_of(&rows)[..] else {
            panic!()
        };
        assert!(record.record.len() < 20_000 && record.record.contains(r#""count":5000"#));
    }

    #[test]
    fn a_flood_of_names_makes_no_flood_of_records() {
        let rows: Vec<_> = (0..5_000)
            .map(|at| span(&format!("a{at}"), at, Some("deny")))
            .collect();
        let found = records_of(&rows);
        assert_eq!(found.len(), AGENTS + 1);
        let others = found.iter().find(|row| row.subject == "agent:(other)");
        let record = &others.unwrap().record;
        assert!(record.contains(r#""count":4900"#) && record.contains(r#""sent_by":"key-1""#));
    }
}
