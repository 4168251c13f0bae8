-- name: cost_per_successful_decision
-- kind: metric
-- by_hour: cost_per_successful_decision_by_hour
-- summary: What a decision costs that led to something: everything that was spent, over the decisions of the executions
--   that succeeded.
-- formula: sum of cost_usd over all executions that ended / decisions of those that ended in success
-- unit: US dollars, DECIMAL(38,12)
-- grain: agent
-- by: agent_name
-- shows: cost_per_successful_decision_usd
-- time: end of the execution
-- edges: NULL without such a decision, and where no call has a price; executions whose end nobody told count in the cost
--   and not in the decisions; a decision that is undone later is not known as such
SELECT
  /*hour,*/
  agent_name,
  count(*) AS executions,
  sum(decisions) AS decisions,
  sum(CASE WHEN termination = 'success' THEN decisions ELSE 0 END) AS successful_decisions,
  CAST(sum(cost_usd) AS DECIMAL(38, 12)) AS cost_usd,
  CAST(CAST(sum(cost_usd) AS DECIMAL(38, 12))
    / CAST(nullif(sum(CASE WHEN termination = 'success' THEN decisions ELSE 0 END), 0) AS DECIMAL(20, 0)) AS DECIMAL(38, 12))
    AS cost_per_successful_decision_usd,
  sum(unpriced_calls) AS unpriced_calls
FROM (
  SELECT date_trunc('hour', end_time) AS hour, agent_name, termination, decisions, cost_usd, unpriced_calls
  FROM executions
  WHERE end_time IS NOT NULL
) e
GROUP BY
  /*hour,*/
  agent_name
