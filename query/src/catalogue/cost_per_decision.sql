-- name: cost_per_decision
-- kind: metric
-- by_hour: cost_per_decision_by_hour
-- summary: What an agent's decisions cost on average, everything it called included.
-- formula: sum of cost_usd over all calls / number of decisions
-- unit: US dollars, DECIMAL(38,12), rounded half away from zero in the 12th digit
-- grain: agent
-- by: agent_name
-- shows: cost_per_decision_usd
-- time: start of the call
-- edges: NULL without decisions, and where no call has a price; unpriced_calls says how many model
--   calls, embeddings and rerankings the cost leaves out; calls without an agent have agent_name NULL
SELECT
  /*hour,*/
  agent_name,
  sum(decisions) AS decisions,
  CASE WHEN sum(priced) > 0 THEN CAST(sum(cost_usd) AS DECIMAL(38, 12)) END AS cost_usd,
  CASE WHEN sum(priced) > 0 THEN
    CAST(CAST(sum(cost_usd) AS DECIMAL(38, 12)) / CAST(nullif(sum(decisions), 0) AS DECIMAL(20, 0)) AS DECIMAL(38, 12))
  END AS cost_per_decision_usd,
  sum(calls) AS calls,
  sum(unpriced) AS unpriced_calls
FROM (
  SELECT
    date_trunc('hour', minute) AS hour, agent_name, decisions, calls, cost_usd,
    CASE WHEN priced THEN calls ELSE 0 END AS priced,
    CASE WHEN NOT priced AND kind <> 'tool_call' THEN calls ELSE 0 END AS unpriced
  FROM minutes
  WHERE kind <> 'execution'
) c
GROUP BY
  /*hour,*/
  agent_name
HAVING sum(calls) <> 0
