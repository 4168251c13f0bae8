-- name: task_success_rate
-- kind: metric
-- by_hour: task_success_rate_by_hour
-- summary: How often an agent brings its tasks to success. The last of an agent's attempts at a task decides.
-- formula: tasks whose last attempt ended in success / tasks whose last attempt ended in success,
--   failure, escalation or abort
-- unit: ratio, 0 to 1, with Wilson's 95 % bounds
-- grain: agent
-- by: agent_name
-- shows: rate
-- time: end of the last attempt; one that has not ended counts under open in the hour it started
-- edges: NULL when no task has ended; tasks whose last attempt has no known termination are not in the
--   ratio and are shown as open; a task that a person finished is an escalation, not a success
SELECT
  /*hour,*/
  agent_name,
  count(termination) AS tasks,
  count(success) AS successes,
  CAST(count(success) AS DOUBLE) / nullif(count(termination), 0) AS rate,
  wilson_low(count(success), count(termination)) AS rate_low,
  wilson_high(count(success), count(termination)) AS rate_high,
  count(*) - count(termination) AS open
FROM (
  SELECT
    date_trunc('hour', coalesce(end_time, start_time)) AS hour, agent_name, termination,
    CASE WHEN termination = 'success' THEN 1 END AS success
  FROM (
    SELECT
      agent_name, start_time, end_time, termination,
      row_number() OVER (PARTITION BY task_id, agent_name ORDER BY start_unix_nano DESC, execution_id DESC) AS latest
    FROM standing_executions
  ) attempts
  WHERE latest = 1
) t
GROUP BY
  /*hour,*/
  agent_name
