-- name: cost_per_task
-- kind: metric
-- by_hour: cost_per_task_by_hour
-- summary: What an agent's tasks cost, every attempt at them included.
-- formula: sum of cost_usd over all executions of the tasks whose last attempt ended / number of those tasks; percentiles
--   of the tasks' costs, interpolated
-- unit: US dollars; sums and the average DECIMAL(38,12), percentiles DOUBLE
-- grain: agent
-- by: agent_name
-- shows: cost_per_task_usd
-- time: end of the last attempt
-- edges: NULL when no task has ended, or none of them has a known cost; a task with an attempt whose calls have no price
--   counts with what is known of it, and one of which nothing is known is counted in unknown alone
SELECT
  /*hour,*/
  agent_name,
  count(*) AS tasks,
  CAST(sum(known_usd) AS DECIMAL(38, 12)) AS cost_usd,
  CAST(CAST(sum(known_usd) AS DECIMAL(38, 12)) / CAST(nullif(count(known_usd), 0) AS DECIMAL(20, 0)) AS DECIMAL(38, 12))
    AS cost_per_task_usd,
  percentile_cont(0.5) WITHIN GROUP (ORDER BY CAST(known_usd AS DOUBLE)) AS p50_usd,
  percentile_cont(0.95) WITHIN GROUP (ORDER BY CAST(known_usd AS DOUBLE)) AS p95_usd,
  sum(attempts) AS executions,
  count(*) - count(known_usd) AS unknown
FROM (
  SELECT
    date_trunc('hour', max(CASE WHEN latest = 1 THEN end_time END)) AS hour,
    agent_name, task_id,
    count(*) AS attempts,
    sum(coalesce(cost_usd, CASE WHEN unpriced_calls = 0 THEN CAST(0 AS DECIMAL(38, 12)) END)) AS known_usd
  FROM (
    SELECT
      *,
      row_number() OVER (PARTITION BY task_id, agent_name ORDER BY start_time DESC, execution_id DESC) AS latest
    FROM executions
  ) attempts
  GROUP BY agent_name, task_id
  HAVING max(CASE WHEN latest = 1 THEN end_time END) IS NOT NULL
) t
GROUP BY
  /*hour,*/
  agent_name
