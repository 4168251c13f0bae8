//! Which span bills, what it costs, and who pays: one worked example each.

use flyball_store::rows::SpanRow;
use rust_decimal::Decimal;

use crate::journal::{Journal, SECOND, told};
use crate::scene::{agent, call, duplicates, ids, of, resolver, settled, some, span, tool};

#[test]
fn a_call_is_priced_by_component_and_told_with_every_dimension() {
    let root = SpanRow {
        session_id: some("s"),
        user_id: some("u"),
        team: some("t"),
        ..agent(1, 0, "triage")
    };
    let call = SpanRow {
        cache_read_tokens: Some(400),
        ..call(2, 1, 1_000, 100)
    };
    let rows = settled(&[root, call]);
    let call = of(&rows, "model_call")[0].clone();
    // gpt-4o: 2.50 a million in, 1.25 from cache, 10 out.
    assert_eq!(call.cost_input_usd, Some(Decimal::new(15, 4)));
    assert_eq!(call.cost_cache_read_usd, Some(Decimal::new(5, 4)));
    assert_eq!(call.cost_output_usd, Some(Decimal::new(1, 3)));
    assert_eq!(call.cost_usd, Some(Decimal::new(3, 3)));
    assert_eq!(
        (call.agent_name, call.session_id, call.user_id, call.team),
        (some("triage"), some("s"), some("u"), some("t"))
    );
    assert_eq!(
        (call.execution_id.as_str(), call.task_id.as_str()),
        ("0000000000000001", "0000000000000001")
    );
    assert_eq!(
        (call.billed_by, call.decision, call.decisions, call.calls),
        (some("call"), Some(true), 1, 1)
    );
}

#[test]
fn identity_is_own_then_the_nearest_ancestors_then_the_traces_then_the_service() {
    let service = |row: SpanRow| SpanRow {
        service_name: some("svc"),
        ..row
    };
    let spans = [
        SpanRow {
            agent_id: some("a-1"),
            session_id: some("s"),
            ..agent(1, 0, "outer")
        },
        agent(2, 1, "inner"),
        call(3, 2, 10, 1),
        call(4, 1, 20, 1),
        // Its parent was never sent.
        service(call(5, 99, 30, 1)),
    ];
    let rows = settled(&spans);
    let who = |id: u64| {
        let row = rows
            .iter()
            .find(|row| row.kind == "model_call" && row.span_id == format!("{id:016x}"))
            .unwrap();
        (
            row.agent_name.clone(),
            row.agent_id.clone(),
            row.session_id.clone(),
        )
    };
    assert_eq!(
        who(3),
        (some("inner"), None, some("s")),
        "another agent's id is not its own"
    );
    assert_eq!(who(4), (some("outer"), some("a-1"), some("s")));
    assert_eq!(who(5), (some("outer"), some("a-1"), some("s")));
    let alone = settled(&[service(call(1, 0, 10, 1))]);
    assert_eq!(of(&alone, "model_call")[0].agent_name, some("svc"));
}

#[test]
fn nested_spans_with_equal_tokens_are_one_call_and_the_innermost_bills() {
    let spans = [
        agent(1, 0, "a"),
        call(2, 1, 10, 1),
        call(3, 2, 10, 1),
        call(4, 1, 10, 1),
    ];
    assert_eq!(ids(&of(&settled(&spans), "model_call")), [3, 4]);
    assert_eq!(duplicates(&spans), [(2, 3)]);
}

#[test]
fn the_same_response_id_is_one_call_wherever_it_stands() {
    let told = |id, parent, scope: &str| SpanRow {
        response_id: some("resp-12345"),
        scope_name: some(scope),
        provider: some("anthropic"),
        ..call(id, parent, 10, 1)
    };
    let wrapper = SpanRow {
        cache_read_tokens: Some(4),
        ..told(3, 1, "openinference.instrumentation.anthropic")
    };
    let spans = [
        agent(1, 0, "a"),
        told(2, 1, "com.anthropic.sdk.python"),
        wrapper,
    ];
    let rows = settled(&spans);
    assert_eq!(
        ids(&of(&rows, "model_call")),
        [2],
        "the provider's own scope bills"
    );
    assert_eq!(
        of(&rows, "model_call")[0].cache_read_tokens,
        Some(4),
        "what only the other knows is kept"
    );
    let different = [
        agent(1, 0, "a"),
        call(2, 1, 10, 1),
        SpanRow {
            response_id: some("resp-a"),
            ..call(3, 2, 10, 1)
        },
    ];
    let different = different.map(|row| SpanRow {
        response_id: row.response_id.or(some("resp-b")),
        ..row
    });
    assert_eq!(
        of(&settled(&different), "model_call").len(),
        2,
        "different responses are different calls"
    );
}

#[test]
fn exact_usage_bills_before_partial() {
    let told = |id, usage: &str| SpanRow {
        response_id: some("resp-12345"),
        usage: some(usage),
        ..call(id, 1, 10, 1)
    };
    assert_eq!(
        ids(&of(
            &settled(&[agent(1, 0, "a"), told(2, "exact"), told(3, "partial")]),
            "model_call"
        )),
        [2]
    );
}

#[test]
fn a_wrapper_without_tokens_or_with_the_sum_adds_nothing() {
    let silent = SpanRow {
        request_model: some("gpt-4o-2024-08-06"),
        ..span(2, 1, "chat")
    };
    let spans = [agent(1, 0, "a"), silent, call(3, 2, 10, 1)];
    assert_eq!(ids(&of(&settled(&spans), "model_call")), [3]);
    let spans = [
        agent(1, 0, "a"),
        call(2, 1, 30, 3),
        call(3, 2, 10, 1),
        call(4, 2, 20, 2),
    ];
    assert_eq!(ids(&of(&settled(&spans), "model_call")), [3, 4]);
}

#[test]
fn a_failed_call_is_a_row_with_unknown_usage_and_no_cost() {
    let failed = SpanRow {
        error_type: some("timeout"),
        request_model: some("gpt-4o"),
        ..span(2, 1, "chat")
    };
    let rows = settled(&[agent(1, 0, "a"), failed, call(3, 1, 10, 1)]);
    let failed = of(&rows, "model_call")[0].clone();
    assert_eq!(
        (failed.usage, failed.cost_usd, failed.error_type),
        (some("unknown"), None, some("timeout"))
    );
    assert_eq!(
        (failed.calls, failed.decisions, failed.decision),
        (1, 0, Some(false))
    );
    assert_eq!(
        rows.iter().map(|row| row.decisions).sum::<i64>(),
        1,
        "the repeat is the decision"
    );
}

#[test]
fn a_container_bills_when_settled_and_nothing_below_it_does() {
    let container = |id, parent, input| SpanRow {
        usage: some("exact"),
        input_tokens: Some(input),
        output_tokens: Some(1),
        request_model: some("gpt-4o"),
        ..span(id, parent, "invoke_agent")
    };
    let spans = [
        container(1, 0, 30),
        container(2, 1, 10),
        container(3, 1, 20),
        call(4, 3, 20, 1),
    ];
    let mut resolver = resolver();
    let mut journal = Journal::default();
    journal.take(resolver.spans(&[told(&spans, 1)], 0).unwrap());
    assert_eq!(
        ids(&of(&journal.standing(), "model_call")),
        [4],
        "not before it has settled"
    );
    journal.take(resolver.tick(3 * SECOND).unwrap());
    let rows = journal.standing();
    let calls = of(&rows, "model_call");
    assert_eq!(ids(&calls), [4, 2]);
    assert_eq!(
        (calls[1].billed_by.clone(), calls[1].decision),
        (some("container"), None)
    );
}

#[test]
fn a_poll_for_a_response_bills_nothing() {
    let poll = SpanRow {
        usage: some("exact"),
        input_tokens: Some(10),
        output_tokens: Some(1),
        ..span(2, 1, "fetch_response")
    };
    assert_eq!(
        of(&settled(&[agent(1, 0, "a"), poll]), "model_call").len(),
        0
    );
}

#[test]
fn what_was_read_off_texts_is_told_by_whichever_span_carries_it() {
    let inner = SpanRow {
        tool_target: some("/etc/hosts"),
        injection_markers: some("hidden_text"),
        argument_markers: some("none"),
        ..tool(3, 2, "write")
    };
    let marked = SpanRow {
        injection_markers: some("none"),
        ..call(4, 1, 10, 5)
    };
    let rows = settled(&[agent(1, 0, "a"), tool(2, 1, "write"), inner, marked]);
    let tool = of(&rows, "tool_call")[0];
    assert_eq!(tool.tool_target, some("/etc/hosts"));
    assert_eq!(tool.injection_markers, some("hidden_text"));
    assert_eq!(tool.argument_markers, some("none"));
    let model = of(&rows, "model_call")[0];
    assert_eq!(model.injection_markers, some("none"));
    // Nobody looked: unknown, and not none.
    let run = of(&rows, "execution")[0];
    assert_eq!((&run.injection_markers, &run.tool_target), (&None, &None));
}

#[test]
fn a_tool_call_is_one_row_however_many_spans_tell_of_it() {
    let with_id = |id, parent, name: &str| SpanRow {
        tool_call_id: some("call-1"),
        ..tool(id, parent, name)
    };
    let nested = [
        agent(1, 0, "a"),
        tool(2, 1, "search"),
        tool(3, 2, "search"),
        tool(4, 2, "fetch"),
    ];
    assert_eq!(ids(&of(&settled(&nested), "tool_call")), [2, 4]);
    let by_id = [
        agent(1, 0, "a"),
        with_id(2, 1, "search"),
        with_id(3, 1, "search"),
        tool(4, 1, "search"),
    ];
    assert_eq!(ids(&of(&settled(&by_id), "tool_call")), [2, 4]);
    // An agent called as a tool may call that tool itself.
    let again = [
        agent(1, 0, "a"),
        tool(2, 1, "ask"),
        agent(3, 2, "b"),
        tool(4, 3, "ask"),
    ];
    assert_eq!(ids(&of(&settled(&again), "tool_call")), [2, 4]);
    assert!(
        of(&settled(&again), "tool_call")
            .iter()
            .all(|row| row.cost_usd.is_none() && row.usage.is_none())
    );
}

fn by(scope: &str, start_us: i64, duration_us: i64, row: SpanRow) -> SpanRow {
    SpanRow {
        scope_name: some(scope),
        start_unix_nano: SECOND + start_us * 1_000,
        duration_ns: duration_us * 1_000,
        ..row
    }
}

fn failed(id: u64, error: &str) -> SpanRow {
    SpanRow {
        request_model: some("claude-sonnet-4-5"),
        error_type: some(error),
        ..span(id, 1, "chat")
    }
}

#[test]
fn a_failed_call_told_side_by_side_by_two_instrumentations_is_one() {
    let spans = [
        agent(1, 0, "a"),
        by("wrapper", 10, 900, failed(2, "InternalServerError")),
        by("sdk", 20, 800, failed(3, "api_error")),
        // The same again: an attempt of its own, told twice as well.
        by("wrapper", 1_000, 900, failed(4, "InternalServerError")),
        by("sdk", 1_010, 800, failed(5, "api_error")),
    ];
    let rows = settled(&spans);
    assert_eq!(of(&rows, "model_call").len(), 2);
    assert_eq!(duplicates(&spans).len(), 2);
}

#[test]
fn siblings_that_could_be_two_calls_stay_two() {
    let other_model = SpanRow {
        request_model: some("gpt-4o"),
        ..failed(3, "api_error")
    };
    let came_through = SpanRow {
        error_type: None,
        ..failed(3, "")
    };
    let cases = [
        ("one instrumentation", "wrapper", 20, failed(3, "api_error")),
        ("not within its time", "sdk", 500, failed(3, "api_error")),
        ("another model", "sdk", 20, other_model),
        ("one came through", "sdk", 20, came_through),
        ("nobody says who told it", "", 20, failed(3, "api_error")),
    ];
    for (why, scope, start, row) in cases {
        let mut row = by(scope, start, 800, row);
        row.scope_name = row.scope_name.filter(|scope| !scope.is_empty());
        let spans = [
            agent(1, 0, "a"),
            by("wrapper", 10, 900, failed(2, "InternalServerError")),
            row,
        ];
        assert_eq!(of(&settled(&spans), "model_call").len(), 2, "{why}");
    }
}

#[test]
fn parallel_calls_told_twice_side_by_side_are_paired_one_to_one() {
    let mut spans = vec![agent(1, 0, "a")];
    for n in 0..5 {
        let at = n as i64 * 10;
        spans.push(by("wrapper", at, 900, failed(10 + n, "E")));
        spans.push(by("sdk", at + 5, 800, failed(20 + n, "e")));
    }
    assert_eq!(of(&settled(&spans), "model_call").len(), 5);
    // Tokens tell parallel calls apart where they are known.
    let known = |id, scope: &str, at, input| by(scope, at, 800, call(id, 1, input, 1));
    let spans = [
        agent(1, 0, "a"),
        known(2, "wrapper", 0, 10),
        known(3, "wrapper", 1, 20),
        by("sdk", 2, 500, call(4, 1, 20, 1)),
        by("sdk", 3, 500, call(5, 1, 10, 1)),
    ];
    let rows = settled(&spans);
    let input: i64 = of(&rows, "model_call")
        .iter()
        .filter_map(|row| row.input_tokens)
        .sum();
    assert_eq!(input, 30);
}
