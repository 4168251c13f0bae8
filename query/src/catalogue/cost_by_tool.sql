-- name: cost_by_tool
-- kind: metric
-- by_hour: cost_by_tool_by_hour
-- summary: How often each tool is called, how often it fails, and what it costs where it has a price.
-- formula: sums over tool calls; error_rate is errors / calls
-- unit: US dollars, DECIMAL(38,12); ratio, 0 to 1, with Wilson's 95 % bounds
-- grain: agent and tool
-- by: agent_name, tool_name
-- shows: cost_usd
-- time: start of the call
-- edges: cost_usd is NULL where the tool has no price; error_rate is NULL without calls
SELECT
  /*hour,*/
  agent_name, tool_name,
  sum(calls) AS calls,
  sum(errors) AS errors,
  CAST(sum(errors) AS DOUBLE) / nullif(sum(calls), 0) AS error_rate,
  wilson_low(sum(errors), sum(calls)) AS error_rate_low,
  wilson_high(sum(errors), sum(calls)) AS error_rate_high,
  CASE WHEN sum(CASE WHEN priced THEN calls ELSE 0 END) > 0 THEN CAST(sum(cost_usd) AS DECIMAL(38, 12)) END AS cost_usd
FROM (
  SELECT date_trunc('hour', minute) AS hour, agent_name, tool_name, calls, errors, priced, cost_usd
  FROM minutes
  WHERE kind = 'tool_call'
) m
GROUP BY
  /*hour,*/
  agent_name, tool_name
HAVING sum(calls) <> 0
