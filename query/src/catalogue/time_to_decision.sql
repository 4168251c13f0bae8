-- name: time_to_decision
-- kind: metric
-- by_hour: time_to_decision_by_hour
-- summary: How long an agent takes to decide: to its first decision, and from each to the next.
-- formula: first is the end of an execution's first decision minus the execution's start; next is the end of each further
--   decision minus the end of the one before; percentiles, interpolated
-- unit: milliseconds
-- grain: agent and form (first, next)
-- by: agent_name, form
-- shows: p95_ms
-- time: end of the decision
-- edges: decisions that have not ended, and those of executions that are not known, are left out; time that a person took
--   is not told apart
SELECT
  /*hour,*/
  agent_name, form,
  count(*) AS n,
  percentile_cont(0.5) WITHIN GROUP (ORDER BY ms) AS p50_ms,
  percentile_cont(0.95) WITHIN GROUP (ORDER BY ms) AS p95_ms,
  max(ms) AS max_ms
FROM (
  SELECT
    date_trunc('hour', end_time) AS hour, agent_name,
    CASE WHEN before IS NULL THEN 'first' ELSE 'next' END AS form,
    (ended - coalesce(before, began)) / 1e6 AS ms
  FROM (
    SELECT
      d.end_time, d.agent_name, d.ended, e.start_unix_nano AS began,
      lag(d.ended) OVER (PARTITION BY d.execution_id ORDER BY d.ended) AS before
    FROM (
      SELECT execution_id, agent_name, end_time, start_unix_nano + duration_ns AS ended
      FROM model_calls
      WHERE decision AND duration_ns IS NOT NULL
    ) d
    JOIN standing_executions e ON e.execution_id = d.execution_id
  ) o
) t
GROUP BY
  /*hour,*/
  agent_name, form
