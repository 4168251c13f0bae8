//! Entries of the journal read back from the store, after a restart or when a trace is opened again.

use flyball_pricing::Cost;
use flyball_store::rows::{ChargeRow, Entry, Kind, Usage};

use super::charge::{Charge, Priced};
use super::fact::{Detail, Who};
use super::tokens;
use super::words::Words;

const KINDS: [Kind; 5] = [
    Kind::ModelCall,
    Kind::Embedding,
    Kind::Rerank,
    Kind::ToolCall,
    Kind::Execution,
];

/// The entry that a row made, and its price; `None` for a row that no resolver wrote.
pub(super) fn read(row: &ChargeRow, words: &mut Words) -> Option<(Charge, Option<Priced>)> {
    let kind = KINDS.into_iter().find(|kind| kind.as_str() == row.kind)?;
    let id = |hex: &str| u64::from_str_radix(hex, 16).ok();
    let execution = words.put(&row.execution_id);
    let charge = Charge {
        kind,
        duplicate_of: row.duplicate_of.as_deref().and_then(id),
        by_container: row.billed_by.as_deref() == Some("container"),
        span_id: id(&row.span_id)?,
        start: row.start_unix_nano,
        duration: row.duration_ns,
        who: who(row, words),
        execution,
        told: told(row, words),
        decision: row.decision,
    };
    let priced = row
        .price_id
        .as_deref()
        .zip(row.cost_usd)
        .map(|(price_id, total)| Priced {
            price_id: words.put(price_id),
            cost: Cost {
                input: row.cost_input_usd.unwrap_or_default(),
                cache_read: row.cost_cache_read_usd.unwrap_or_default(),
                cache_write: row.cost_cache_write_usd.unwrap_or_default(),
                output: row.cost_output_usd.unwrap_or_default(),
                request: row.cost_request_usd.unwrap_or_default(),
                total,
            },
        });
    Some((charge.trimmed(), priced))
}

/// Whether the row takes another back.
pub(super) fn is_reversal(row: &ChargeRow) -> bool {
    row.entry == Entry::Reversal.as_str()
}

fn who(row: &ChargeRow, words: &mut Words) -> Who {
    let mut word = |text: &Option<String>| words.word(text.as_deref());
    Who {
        agent_name: word(&row.agent_name),
        agent_id: word(&row.agent_id),
        agent_version: word(&row.agent_version),
        agent_role: word(&row.agent_role),
        session_id: word(&row.session_id),
        user_id: word(&row.user_id),
        tenant: word(&row.tenant),
        team: word(&row.team),
        environment: word(&row.environment),
        workflow: word(&row.workflow),
        task_type: word(&row.task_type),
        task_id: Some(words.put(&row.task_id)),
    }
}

fn told(row: &ChargeRow, words: &mut Words) -> Detail {
    let mut word = |text: &Option<String>| words.word(text.as_deref());
    Detail {
        operation: word(&row.operation),
        provider: word(&row.provider),
        request_model: word(&row.request_model),
        response_model: word(&row.response_model),
        service_tier: word(&row.service_tier),
        response_id: word(&row.response_id),
        finish_reason: word(&row.finish_reason),
        tool_name: word(&row.tool_name),
        tool_call_id: word(&row.tool_call_id),
        tool_effect: word(&row.tool_effect),
        tool_input_hash: word(&row.tool_input_hash),
        tool_target: word(&row.tool_target),
        injection_markers: word(&row.injection_markers),
        argument_markers: word(&row.argument_markers),
        error_type: word(&row.error_type),
        state: word(&row.state),
        termination: word(&row.termination),
        termination_reason: word(&row.termination_reason),
        policy_verdict: word(&row.policy_verdict),
        version_set: word(&row.version_set),
        usage: row.usage.as_deref().map(Usage::parse),
        tokens: tokens::of_charge(row),
        client_cost: row.client_cost_usd,
        value: row.value_usd,
        step: row.step,
        confidence: row.confidence,
        progress: row.progress,
        queue_wait_ms: row.queue_wait_ms,
        escalated: row.escalated,
        ..Detail::default()
    }
}
