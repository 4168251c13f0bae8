-- name: cost_per_execution
-- kind: metric
-- by_hour: cost_per_execution_by_hour
-- summary: What an agent's executions cost, those that failed included.
-- formula: sum of cost_usd over the executions that ended / their number; percentiles of their costs, interpolated
-- unit: US dollars; sums and the average DECIMAL(38,12), percentiles DOUBLE
-- grain: agent
-- by: agent_name
-- shows: cost_per_execution_usd
-- time: end of the execution
-- edges: NULL when none has ended, or none of them has a known cost; one without calls costs zero, and one whose calls
--   have no price is left out of the average and counted in unknown; calls without a price in the others are counted in
--   unpriced_calls
SELECT
  /*hour,*/
  agent_name,
  count(*) AS executions,
  CAST(sum(known_usd) AS DECIMAL(38, 12)) AS cost_usd,
  CAST(CAST(sum(known_usd) AS DECIMAL(38, 12)) / CAST(nullif(count(known_usd), 0) AS DECIMAL(20, 0)) AS DECIMAL(38, 12))
    AS cost_per_execution_usd,
  percentile_cont(0.5) WITHIN GROUP (ORDER BY CAST(known_usd AS DOUBLE)) AS p50_usd,
  percentile_cont(0.95) WITHIN GROUP (ORDER BY CAST(known_usd AS DOUBLE)) AS p95_usd,
  count(*) - count(known_usd) AS unknown,
  sum(unpriced_calls) AS unpriced_calls
FROM (
  SELECT
    date_trunc('hour', end_time) AS hour, agent_name, unpriced_calls,
    coalesce(cost_usd, CASE WHEN unpriced_calls = 0 THEN CAST(0 AS DECIMAL(38, 12)) END) AS known_usd
  FROM executions
  WHERE end_time IS NOT NULL
) e
GROUP BY
  /*hour,*/
  agent_name
