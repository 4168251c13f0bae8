-- name: reranks
-- kind: view
-- summary: Each reranking request, once, with what it used and cost.
-- grain: one request
SELECT
  date, start_time, end_time, start_unix_nano, duration_ns, duration_ns / 1e6 AS duration_ms, received_at,
  trace_id, span_id, execution_id, task_id, task_type,
  agent_name, agent_id, agent_version, agent_role, session_id, user_id, tenant, team, environment, workflow,
  operation, provider, coalesce(response_model, request_model) AS model, request_model, response_model,
  error_type, usage, input_tokens, cost_usd, cost_input_usd, cost_request_usd, price_id, client_cost_usd,
  known_at, charge_id, log_position
FROM standing_charges
WHERE kind = 'rerank'
