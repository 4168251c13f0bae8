-- name: tool_calls
-- kind: view
-- summary: Each tool call, once. Its cost is NULL unless the tool has a price.
-- grain: one tool call
SELECT
  date, start_time, end_time, start_unix_nano, duration_ns, duration_ns / 1e6 AS duration_ms, received_at,
  trace_id, span_id, execution_id, task_id, task_type,
  agent_name, agent_id, agent_version, agent_role, session_id, user_id, tenant, team, environment, workflow,
  operation, tool_name, tool_call_id, tool_effect, tool_input_hash, tool_target,
  injection_markers, argument_markers, error_type,
  cost_usd, price_id, step, state, progress, policy_verdict, queue_wait_ms, version_set,
  known_at, charge_id, log_position
FROM standing_charges
WHERE kind = 'tool_call'
