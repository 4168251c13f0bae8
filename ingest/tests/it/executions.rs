//! Decisions and executions: what counts as one, when it ends and how.

use flyball_ingest::resolver::{Options, Resolver};
use flyball_store::rows::SpanRow;

use crate::journal::{Journal, resolve, told};
use crate::scene::{agent, call, of, resolver, settled, some, tool};
use crate::truth::book;

#[test]
fn decisions_go_by_the_agents_word_then_the_finish_reason_then_the_answer() {
    let decision = |row: SpanRow| of(&settled(&[agent(1, 0, "a"), row]), "model_call")[0].decision;
    let reason = |reason: Option<&str>| SpanRow {
        finish_reason: reason.map(str::to_owned),
        ..call(2, 1, 10, 1)
    };
    assert_eq!(decision(reason(Some("tool_calls"))), Some(true));
    assert_eq!(decision(reason(Some("length"))), Some(false));
    assert_eq!(
        decision(SpanRow {
            output_has_tool_call: Some(true),
            ..reason(Some("length"))
        }),
        Some(true)
    );
    assert_eq!(
        decision(SpanRow {
            output_has_tool_call: Some(false),
            ..reason(None)
        }),
        Some(true)
    );
    assert_eq!(decision(reason(None)), None);
    assert_eq!(
        decision(SpanRow {
            decision: Some(false),
            ..reason(Some("stop"))
        }),
        Some(false)
    );
    assert_eq!(
        decision(SpanRow {
            decision: Some(true),
            ..reason(Some("length"))
        }),
        Some(true)
    );
    let turn = |id, step| SpanRow {
        step: Some(step),
        ..call(id, 1, id as i64, 1)
    };
    let rows = settled(&[agent(1, 0, "a"), turn(2, 1), turn(3, 1), turn(4, 2)]);
    assert_eq!(
        of(&rows, "model_call")
            .iter()
            .map(|row| row.decisions)
            .collect::<Vec<_>>(),
        [1, 0, 1]
    );
}

#[test]
fn an_execution_is_provisional_until_its_agent_has_ended() {
    let mut resolver = resolver();
    let mut journal = Journal::default();
    journal.take(resolver.spans(&[told(&[call(2, 1, 10, 1)], 1)], 0).unwrap());
    let rows = journal.standing();
    let running = of(&rows, "execution")[0];
    assert_eq!(
        (
            running.termination.clone(),
            running.end_time,
            running.duration_ns
        ),
        (None, None, None)
    );
    journal.take(resolver.spans(&[told(&[agent(1, 0, "a")], 2)], 0).unwrap());
    let rows = journal.standing();
    let ended = of(&rows, "execution");
    assert_eq!(ended.len(), 1);
    assert_eq!(
        (ended[0].termination.clone(), ended[0].duration_ns),
        (some("success"), Some(500_000))
    );
    assert_eq!(ended[0].execution_id, "0000000000000001");
}

#[test]
fn an_execution_ends_in_exactly_one_way() {
    let ended = |spans: &[SpanRow]| {
        let rows = settled(spans);
        let execution = of(&rows, "execution")[0];
        (
            execution.termination.clone().unwrap(),
            execution.escalated.unwrap(),
        )
    };
    let failed = |row: SpanRow| SpanRow {
        error_type: some("boom"),
        ..row
    };
    assert_eq!(
        ended(&[failed(agent(1, 0, "a"))]),
        ("failure".into(), false)
    );
    assert_eq!(
        ended(&[agent(1, 0, "a"), tool(2, 1, "escalate_to_human")]),
        ("escalation".into(), true)
    );
    assert_eq!(
        ended(&[agent(1, 0, "a"), failed(tool(2, 1, "escalate_to_human"))]),
        ("success".into(), false)
    );
    let says = |word: &str| SpanRow {
        termination: some(word),
        escalated: Some(true),
        ..agent(1, 0, "a")
    };
    assert_eq!(ended(&[says("abort")]), ("abort".into(), true));
    assert_eq!(
        ended(&[says("gave up")]),
        ("escalation".into(), true),
        "a word of no meaning is not taken"
    );
}

#[test]
fn a_tool_escalates_only_when_configured() {
    let spans = [agent(1, 0, "a"), tool(2, 1, "escalate_to_human")];
    let mut unconfigured = Resolver::new("default", book(), &Options::default());
    let rows = resolve(&mut unconfigured, &[spans.to_vec()]).standing();
    let execution = of(&rows, "execution")[0];
    assert_eq!(execution.termination.as_deref(), Some("success"));
    assert_eq!(execution.escalated, Some(false));
}

#[test]
fn executions_that_name_themselves_are_apart_within_a_trace() {
    let named = |row: SpanRow, id: &str| SpanRow {
        execution_id: some(id),
        ..row
    };
    let spans = [
        named(agent(1, 0, "boss"), "run-1"),
        named(agent(2, 1, "worker"), "run-2"),
        call(3, 2, 10, 1),
    ];
    let rows = settled(&spans);
    let mut executions: Vec<&str> = of(&rows, "execution")
        .iter()
        .map(|row| row.execution_id.as_str())
        .collect();
    executions.sort_unstable();
    assert_eq!(executions, ["run-1", "run-2"]);
    assert_eq!(of(&rows, "model_call")[0].execution_id, "run-2");
}

#[test]
fn a_lone_embedding_is_charged_but_is_no_execution() {
    let embedding = SpanRow {
        operation: some("embeddings"),
        output_tokens: None,
        ..call(1, 0, 6, 0)
    };
    let rows = settled(&[embedding]);
    assert_eq!(
        (of(&rows, "embedding").len(), of(&rows, "execution").len()),
        (1, 0)
    );
}
