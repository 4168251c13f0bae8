-- name: latency_by_phase
-- kind: metric
-- by_hour: latency_by_phase_by_hour
-- summary: Where the time of an agent's executions goes: waiting for models, for tools, and the rest.
-- formula: for each execution the length of the union of its calls' intervals, by kind; rest is the execution's length
--   without the union of all of them; then percentiles, interpolated
-- unit: milliseconds
-- grain: agent and phase (model, tool, rest, whole)
-- by: agent_name, phase
-- shows: p95_ms
-- time: end of the execution
-- edges: calls at the same time count once; executions that have not ended are left out, and so is what a call takes
--   beyond its execution's end; n says how many executions have the phase
WITH intervals AS (
  SELECT c.execution_id, c.phase, c.began, least(c.ended, e.ended) AS ended
  FROM (
    SELECT
      execution_id, start_unix_nano AS began, start_unix_nano + duration_ns AS ended,
      CASE WHEN kind = 'tool_call' THEN 'tool' ELSE 'model' END AS phase
    FROM standing_charges
    WHERE kind <> 'execution' AND duration_ns IS NOT NULL
    UNION ALL
    SELECT execution_id, start_unix_nano AS began, start_unix_nano + duration_ns AS ended, 'any' AS phase
    FROM standing_charges
    WHERE kind <> 'execution' AND duration_ns IS NOT NULL
  ) c
  JOIN (
    SELECT execution_id, start_unix_nano + duration_ns AS ended FROM standing_executions WHERE end_time IS NOT NULL
  ) e ON e.execution_id = c.execution_id
),
covered AS (
  SELECT
    execution_id, phase,
    sum(CASE
      WHEN before IS NULL OR began >= before THEN greatest(ended - began, 0)
      WHEN ended > before THEN ended - before
      ELSE 0
    END) AS ns
  FROM (
    SELECT
      *,
      max(ended) OVER (
        PARTITION BY execution_id, phase ORDER BY began, ended ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
      ) AS before
    FROM intervals
  ) i
  GROUP BY execution_id, phase
),
phases AS (
  SELECT e.execution_id, c.phase, c.ns
  FROM standing_executions e
  JOIN covered c ON c.execution_id = e.execution_id
  WHERE c.phase <> 'any'
  UNION ALL
  SELECT execution_id, 'whole' AS phase, duration_ns AS ns FROM standing_executions WHERE end_time IS NOT NULL
  UNION ALL
  SELECT e.execution_id, 'rest' AS phase, e.duration_ns - coalesce(c.ns, 0) AS ns
  FROM standing_executions e
  LEFT JOIN (SELECT execution_id, ns FROM covered WHERE phase = 'any') c ON c.execution_id = e.execution_id
  WHERE e.end_time IS NOT NULL
)
SELECT
  /*hour,*/
  agent_name, phase,
  count(*) AS n,
  percentile_cont(0.5) WITHIN GROUP (ORDER BY ms) AS p50_ms,
  percentile_cont(0.95) WITHIN GROUP (ORDER BY ms) AS p95_ms,
  percentile_cont(0.99) WITHIN GROUP (ORDER BY ms) AS p99_ms,
  sum(ms) AS sum_ms
FROM (
  SELECT date_trunc('hour', e.end_time) AS hour, e.agent_name, p.phase, p.ns / 1e6 AS ms
  FROM phases p
  JOIN standing_executions e ON e.execution_id = p.execution_id
) m
GROUP BY
  /*hour,*/
  agent_name, phase
