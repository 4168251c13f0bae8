-- name: minute_sketches
-- kind: view
-- summary: How long calls and executions took and how many executions, sessions and users they had, as sketches
--   to be merged: kll_merge(durations), then kll_quantile(sketch, 0.95) in nanoseconds; hll_merge(users), then
--   hll_count(sketch). It comes from where minutes does, and knows only what stands: nothing taken back is in it.
-- grain: one minute and combination of dimensions; of minutes not rolled up, one call or execution
SELECT
  date, minute, ended_minute, kind,
  agent_name, agent_role, tenant, team, environment, task_type, workflow, operation, provider,
  request_model, response_model, service_tier, tool_name, usage, termination,
  durations, executions, sessions, users
FROM rollup_1m
UNION ALL
SELECT
  c.date,
  date_trunc('minute', c.start_time) AS minute,
  CASE WHEN c.kind = 'execution' THEN date_trunc('minute', c.end_time) END AS ended_minute,
  c.kind,
  c.agent_name, c.agent_role, c.tenant, c.team, c.environment, c.task_type, c.workflow, c.operation, c.provider,
  c.request_model, c.response_model, c.service_tier, c.tool_name, c.usage, c.termination,
  kll_value(c.duration_ns) AS durations,
  hll_value(c.execution_id) AS executions,
  hll_value(c.session_id) AS sessions,
  hll_value(c.user_id) AS users
FROM charges_unrolled c
LEFT ANTI JOIN (SELECT charge_id FROM charges_unrolled WHERE entry = 'reversal') r ON c.charge_id = r.charge_id
WHERE c.entry = 'charge'
