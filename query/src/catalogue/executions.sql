-- name: executions
-- kind: view
-- summary: Each run of an agent towards a goal, with the sums of its calls. termination is NULL while it
--   runs or when nobody said how it ended. cost_usd is NULL when no call of it has a price; unpriced_calls
--   says how many of its model calls, embeddings and rerankings the cost leaves out.
-- grain: one execution
SELECT
  e.execution_id, e.task_id, e.task_type,
  e.agent_name, e.agent_id, e.agent_version, e.agent_role, e.session_id, e.user_id, e.tenant, e.team,
  e.environment, e.workflow, e.trace_id, e.span_id, e.date, e.start_time, e.end_time,
  e.duration_ns, e.duration_ns / 1e6 AS duration_ms, e.received_at,
  e.termination, e.termination_reason, e.escalated, e.error_type, e.value_usd,
  s.cost_usd,
  coalesce(s.model_calls, 0) AS model_calls,
  coalesce(s.tool_calls, 0) AS tool_calls,
  coalesce(s.decisions, 0) AS decisions,
  coalesce(s.errors, 0) AS errors,
  coalesce(s.unpriced_calls, 0) AS unpriced_calls,
  s.input_tokens, s.cache_read_tokens, s.cache_write_tokens, s.cache_write_1h_tokens,
  s.audio_input_tokens, s.image_input_tokens,
  s.output_tokens, s.reasoning_tokens, s.audio_output_tokens, s.image_output_tokens,
  e.version_set, e.known_at, e.charge_id, e.log_position
FROM standing_executions e
LEFT JOIN (
  SELECT
    execution_id,
    CASE WHEN sum(CASE WHEN cost_usd IS NOT NULL THEN calls ELSE 0 END) > 0
         THEN CAST(sum(cost_usd) AS DECIMAL(38, 12)) END AS cost_usd,
    sum(CASE WHEN kind = 'model_call' THEN calls ELSE 0 END) AS model_calls,
    sum(CASE WHEN kind = 'tool_call' THEN calls ELSE 0 END) AS tool_calls,
    sum(decisions) AS decisions,
    sum(CASE WHEN error_type IS NOT NULL THEN calls ELSE 0 END) AS errors,
    sum(CASE WHEN kind <> 'tool_call' AND cost_usd IS NULL THEN calls ELSE 0 END) AS unpriced_calls,
    sum(input_tokens) AS input_tokens,
    sum(cache_read_tokens) AS cache_read_tokens,
    sum(cache_write_tokens) AS cache_write_tokens,
    sum(cache_write_1h_tokens) AS cache_write_1h_tokens,
    sum(audio_input_tokens) AS audio_input_tokens,
    sum(image_input_tokens) AS image_input_tokens,
    sum(output_tokens) AS output_tokens,
    sum(reasoning_tokens) AS reasoning_tokens,
    sum(audio_output_tokens) AS audio_output_tokens,
    sum(image_output_tokens) AS image_output_tokens
  FROM charges
  WHERE kind <> 'execution'
  GROUP BY execution_id
) s ON s.execution_id = e.execution_id
