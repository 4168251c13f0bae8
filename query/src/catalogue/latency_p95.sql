-- name: latency_p95
-- kind: metric
-- by_hour: latency_p95_by_hour
-- summary: How long calls and executions take: the median, and what 95 of 100 stay under.
-- formula: percentiles of end minus start, interpolated between neighbours; of up to 400 values exact, of more from
--   a KLL sketch, whose ranks are within 0.7 % with 99 % confidence
-- unit: milliseconds
-- grain: agent and operation
-- by: agent_name, operation
-- shows: p95_ms
-- time: start of a call, end of an execution
-- edges: what still runs is left out; failed calls are in; n says how many values there are, and with
--   fewer than 20 the p95 is close to the maximum, which is always exact
SELECT
  /*hour,*/
  agent_name,
  operation,
  kll_count(durations) AS n,
  kll_quantile(durations, 0.5) / 1e6 AS p50_ms,
  kll_quantile(durations, 0.95) / 1e6 AS p95_ms,
  kll_quantile(durations, 1.0) / 1e6 AS max_ms
FROM (
  SELECT
    /*hour,*/
    agent_name, operation, kll_merge(durations) AS durations
  FROM (
    SELECT
      date_trunc('hour', coalesce(ended_minute, minute)) AS hour,
      agent_name, coalesce(operation, kind) AS operation, durations
    FROM minute_sketches
    WHERE durations IS NOT NULL
  ) m
  GROUP BY
    /*hour,*/
    agent_name, operation
) d
