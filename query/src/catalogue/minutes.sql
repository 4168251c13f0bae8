-- name: minutes
-- kind: view
-- summary: What was called and what it cost, for every sum that does not ask for a user, a session or a single
--   call. It comes from rollup_1m, and for minutes of which that does not speak yet (charges came or were
--   corrected since) from the journal itself, so that sums over it equal sums over charges at every moment.
-- grain: one minute and combination of dimensions; of minutes not rolled up, one entry of the journal
SELECT
  date, minute, ended_minute, kind,
  agent_name, agent_role, tenant, team, environment, task_type, workflow, operation, provider,
  request_model, response_model, service_tier, tool_name, usage, termination, priced,
  entries, calls, decisions, errors, escalations, timed, duration_ns, queued, queue_wait_ms,
  input_tokens, cache_read_tokens, cache_write_tokens, cache_write_1h_tokens, audio_input_tokens, image_input_tokens,
  output_tokens, reasoning_tokens, audio_output_tokens, image_output_tokens,
  cost_usd, cost_input_usd, cost_cache_read_usd, cost_cache_write_usd, cost_output_usd, cost_request_usd,
  client_cost_usd, value_usd, log_position
FROM rollup_1m
UNION ALL
SELECT
  date,
  date_trunc('minute', start_time) AS minute,
  CASE WHEN kind = 'execution' THEN date_trunc('minute', end_time) END AS ended_minute,
  kind,
  agent_name, agent_role, tenant, team, environment, task_type, workflow, operation, provider,
  request_model, response_model, service_tier, tool_name, usage, termination,
  cost_usd IS NOT NULL AS priced,
  CAST(1 AS BIGINT) AS entries, calls, decisions,
  CASE WHEN error_type IS NOT NULL THEN calls ELSE 0 END AS errors,
  CASE WHEN escalated THEN calls ELSE 0 END AS escalations,
  CASE WHEN duration_ns IS NOT NULL THEN calls ELSE 0 END AS timed,
  duration_ns * calls AS duration_ns,
  CASE WHEN queue_wait_ms IS NOT NULL THEN calls ELSE 0 END AS queued,
  queue_wait_ms * calls AS queue_wait_ms,
  input_tokens, cache_read_tokens, cache_write_tokens, cache_write_1h_tokens, audio_input_tokens, image_input_tokens,
  output_tokens, reasoning_tokens, audio_output_tokens, image_output_tokens,
  CAST(cost_usd AS DECIMAL(38, 12)) AS cost_usd,
  CAST(cost_input_usd AS DECIMAL(38, 12)) AS cost_input_usd,
  CAST(cost_cache_read_usd AS DECIMAL(38, 12)) AS cost_cache_read_usd,
  CAST(cost_cache_write_usd AS DECIMAL(38, 12)) AS cost_cache_write_usd,
  CAST(cost_output_usd AS DECIMAL(38, 12)) AS cost_output_usd,
  CAST(cost_request_usd AS DECIMAL(38, 12)) AS cost_request_usd,
  CAST(client_cost_usd AS DECIMAL(38, 12)) AS client_cost_usd,
  CAST(value_usd AS DECIMAL(38, 12)) AS value_usd,
  log_position
FROM charges_unrolled
