-- name: queue_wait
-- kind: metric
-- by_hour: queue_wait_by_hour
-- summary: How long calls and executions waited before they began.
-- formula: mean and percentiles of queue_wait_ms, interpolated
-- unit: milliseconds
-- grain: agent and kind of call
-- by: agent_name, kind
-- shows: p95_ms
-- time: start of the call
-- edges: what tells no wait is left out; n says how many tell one
SELECT
  /*hour,*/
  agent_name, kind,
  count(*) AS n,
  avg(queue_wait_ms) AS mean_ms,
  percentile_cont(0.5) WITHIN GROUP (ORDER BY CAST(queue_wait_ms AS DOUBLE)) AS p50_ms,
  percentile_cont(0.95) WITHIN GROUP (ORDER BY CAST(queue_wait_ms AS DOUBLE)) AS p95_ms,
  max(queue_wait_ms) AS max_ms
FROM (
  SELECT date_trunc('hour', start_time) AS hour, agent_name, kind, queue_wait_ms
  FROM standing_charges
  WHERE queue_wait_ms IS NOT NULL
) c
GROUP BY
  /*hour,*/
  agent_name, kind
