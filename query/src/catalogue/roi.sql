-- name: roi
-- kind: metric
-- by_hour: roi_by_hour
-- summary: What an agent's executions were worth, against what its models and tools cost.
-- formula: (value_usd - cost_usd) / cost_usd, over the executions that tell a value
-- unit: ratio; 0 is break-even, 1 is one dollar gained for each spent
-- grain: agent
-- by: agent_name
-- shows: roi
-- time: end of the execution
-- edges: NULL where no execution tells a value, and where the cost is unknown or zero; people's time, infrastructure and
--   what the agent cost to build are not in it; without_value counts the executions that tell none, whose cost is shown
--   apart
SELECT
  /*hour,*/
  agent_name,
  count(value_usd) AS executions,
  CAST(sum(value_usd) AS DECIMAL(38, 12)) AS value_usd,
  CAST(sum(CASE WHEN value_usd IS NOT NULL THEN cost_usd END) AS DECIMAL(38, 12)) AS cost_usd,
  CAST(sum(value_usd) - sum(CASE WHEN value_usd IS NOT NULL THEN cost_usd END) AS DOUBLE)
    / nullif(CAST(sum(CASE WHEN value_usd IS NOT NULL THEN cost_usd END) AS DOUBLE), 0) AS roi,
  count(*) - count(value_usd) AS without_value,
  CAST(sum(CASE WHEN value_usd IS NULL THEN cost_usd END) AS DECIMAL(38, 12)) AS cost_without_value_usd
FROM (
  SELECT date_trunc('hour', end_time) AS hour, agent_name, value_usd, cost_usd
  FROM executions
  WHERE end_time IS NOT NULL
) e
GROUP BY
  /*hour,*/
  agent_name
