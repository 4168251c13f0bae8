-- name: model_calls
-- kind: view
-- summary: Each inference request to a model, once, with what it used and cost. model is the model that
--   answered, else the one asked for. Embeddings and reranking are not among them.
-- grain: one model call
SELECT
  date, start_time, end_time, start_unix_nano, duration_ns, duration_ns / 1e6 AS duration_ms, received_at,
  trace_id, span_id, execution_id, task_id, task_type,
  agent_name, agent_id, agent_version, agent_role, session_id, user_id, tenant, team, environment, workflow,
  operation, provider, coalesce(response_model, request_model) AS model, request_model, response_model,
  service_tier, response_id, finish_reason, injection_markers, error_type, decision,
  usage, input_tokens, cache_read_tokens, cache_write_tokens, cache_write_1h_tokens, audio_input_tokens, image_input_tokens,
  output_tokens, reasoning_tokens, audio_output_tokens, image_output_tokens,
  cost_usd, cost_input_usd, cost_cache_read_usd, cost_cache_write_usd, cost_output_usd, cost_request_usd,
  price_id, client_cost_usd,
  step, state, confidence, progress, policy_verdict, queue_wait_ms, value_usd, version_set,
  billed_by, known_at, charge_id, log_position
FROM standing_charges
WHERE kind = 'model_call'
