-- name: latency_p95
-- kind: metric
-- by_hour: latency_p95_by_hour
-- summary: How long calls and executions take: the median, and what 95 of 100 stay under.
-- formula: percentiles of end minus start, interpolated between neighbours
-- unit: milliseconds
-- grain: agent and operation
-- time: start of a call, end of an execution
-- edges: what still runs is left out; failed calls are in; n says how many values there are, and with
--   fewer than 20 the p95 is close to the maximum
SELECT
  /*hour,*/
  agent_name,
  operation,
  count(*) AS n,
  percentile_cont(0.5) WITHIN GROUP (ORDER BY ms) AS p50_ms,
  percentile_cont(0.95) WITHIN GROUP (ORDER BY ms) AS p95_ms,
  max(ms) AS max_ms
FROM (
  SELECT
    date_trunc('hour', CASE WHEN kind = 'execution' THEN end_time ELSE start_time END) AS hour,
    agent_name, coalesce(operation, kind) AS operation, duration_ns / 1e6 AS ms
  FROM standing_charges
  WHERE duration_ns IS NOT NULL
) c
GROUP BY
  /*hour,*/
  agent_name, operation
