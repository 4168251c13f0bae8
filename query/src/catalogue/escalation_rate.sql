-- name: escalation_rate
-- kind: metric
-- by_hour: escalation_rate_by_hour
-- summary: How often an agent's executions hand control to a person.
-- formula: executions that ended escalated / executions that ended with a known termination
-- unit: ratio, 0 to 1, with Wilson's 95 % bounds
-- grain: agent
-- by: agent_name
-- shows: rate
-- time: end of the execution; one that has not ended counts under open in the hour it started
-- edges: NULL when none has ended; executions without a known termination are not in the ratio and are
--   shown as open
SELECT
  /*hour,*/
  agent_name,
  count(termination) AS executions,
  count(escalation) AS escalations,
  CAST(count(escalation) AS DOUBLE) / nullif(count(termination), 0) AS rate,
  wilson_low(count(escalation), count(termination)) AS rate_low,
  wilson_high(count(escalation), count(termination)) AS rate_high,
  count(*) - count(termination) AS open
FROM (
  SELECT
    date_trunc('hour', coalesce(end_time, start_time)) AS hour, agent_name, termination,
    CASE WHEN termination = 'escalation' OR (termination IS NOT NULL AND escalated) THEN 1 END AS escalation
  FROM standing_executions
) e
GROUP BY
  /*hour,*/
  agent_name
