-- name: cost_per_cycle
-- kind: metric
-- by_hour: cost_per_cycle_by_hour
-- summary: What one turn of an agent's reasoning costs: plan, act, observe.
-- formula: sum of cost_usd over executions that number their steps / sum of their different steps
-- unit: US dollars, DECIMAL(38,12)
-- grain: agent
-- by: agent_name
-- shows: cost_per_cycle_usd
-- time: start of the execution
-- edges: executions whose calls tell no step are left out and counted in without_steps; NULL when none tells any, or no
--   call of those that do has a price
SELECT
  /*hour,*/
  agent_name,
  count(cycles) AS executions,
  sum(cycles) AS cycles,
  CAST(sum(CASE WHEN cycles IS NOT NULL THEN cost_usd END) AS DECIMAL(38, 12)) AS cost_usd,
  CAST(CAST(sum(CASE WHEN cycles IS NOT NULL THEN cost_usd END) AS DECIMAL(38, 12))
    / CAST(nullif(sum(CASE WHEN cost_usd IS NOT NULL THEN cycles END), 0) AS DECIMAL(20, 0)) AS DECIMAL(38, 12))
    AS cost_per_cycle_usd,
  count(*) - count(cycles) AS without_steps
FROM (
  SELECT date_trunc('hour', e.start_time) AS hour, e.agent_name, e.cost_usd, s.cycles
  FROM executions e
  LEFT JOIN (
    SELECT execution_id, count(DISTINCT step) AS cycles
    FROM standing_charges
    WHERE kind <> 'execution' AND step IS NOT NULL
    GROUP BY execution_id
  ) s ON s.execution_id = e.execution_id
) c
GROUP BY
  /*hour,*/
  agent_name
