-- name: policy_violations
-- kind: metric
-- by_hour: policy_violations_by_hour
-- summary: How often policy said no to what an agent was about to do, and how often it was done all the same.
-- formula: calls with policy_verdict deny; blocked are those that failed, executed those that did not; per 1,000 decisions
-- unit: count; violations per 1,000 decisions
-- grain: agent
-- by: agent_name
-- shows: violations
-- time: start of the call
-- edges: per_1000_decisions is NULL without decisions; calls that policy was not asked about (or let pass) are no
--   violations; attempts at an irreversible tool that policy did not allow are counted in unsafe_attempts as well
SELECT
  /*hour,*/
  agent_name,
  sum(denied) AS violations,
  sum(CASE WHEN failed THEN denied ELSE 0 END) AS blocked,
  sum(CASE WHEN failed THEN 0 ELSE denied END) AS executed,
  sum(unsafe) AS unsafe_attempts,
  CAST(sum(CASE WHEN failed THEN unsafe ELSE 0 END) AS DOUBLE) / nullif(sum(unsafe), 0) AS unsafe_blocked,
  sum(decisions) AS decisions,
  CAST(sum(denied) AS DOUBLE) * 1000 / nullif(sum(decisions), 0) AS per_1000_decisions
FROM (
  SELECT
    date_trunc('hour', start_time) AS hour, agent_name,
    error_type IS NOT NULL AS failed,
    CASE WHEN policy_verdict = 'deny' THEN 1 ELSE 0 END AS denied,
    CASE WHEN tool_effect = 'irreversible' AND policy_verdict <> 'allow' THEN 1 ELSE 0 END AS unsafe,
    CASE WHEN decision THEN 1 ELSE 0 END AS decisions
  FROM standing_charges
  WHERE kind <> 'execution'
) c
GROUP BY
  /*hour,*/
  agent_name
