-- name: intervention_frequency
-- kind: metric
-- summary: How often people stop, slow down or release an agent.
-- formula: actions on the agent that a person decided or ended / executions of the agent that ended
-- unit: interventions per execution
-- grain: agent
-- by: agent_name
-- shows: per_execution
-- time: everything that is kept
-- edges: NULL without executions; what a rule decided and a rule ended is no intervention; actions on tenants, tools or
--   everything are not counted for an agent; looking on is no intervention
SELECT
  coalesce(a.agent_name, e.agent_name) AS agent_name,
  coalesce(a.interventions, 0) AS interventions,
  coalesce(e.executions, 0) AS executions,
  CAST(coalesce(a.interventions, 0) AS DOUBLE) / nullif(e.executions, 0) AS per_execution
FROM (
  SELECT
    target AS agent_name,
    sum(CASE WHEN actor NOT LIKE 'rule:%' THEN 1 ELSE 0 END)
      + sum(CASE WHEN released_by IS NOT NULL AND released_by NOT LIKE 'rule:%' THEN 1 ELSE 0 END) AS interventions
  FROM actions
  WHERE scope = 'agent' AND mode <> 'shadow'
  GROUP BY target
) a
FULL JOIN (
  SELECT agent_name, count(*) AS executions
  FROM standing_executions
  WHERE end_time IS NOT NULL
  GROUP BY agent_name
) e ON e.agent_name = a.agent_name
