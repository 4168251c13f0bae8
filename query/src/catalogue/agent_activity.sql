-- name: agent_activity
-- kind: metric
-- by_hour: agent_activity_by_hour
-- summary: How many executions, sessions and users an agent had to do with.
-- formula: different ids on calls and executions that stand, counted by a HyperLogLog sketch
-- unit: count; exact for a handful, for many with a standard deviation of 1.6 %
-- grain: agent
-- by: agent_name
-- shows: executions
-- time: start of the call or execution; one that goes on for two hours counts in both
-- edges: calls that name no session (or user) add none; an agent nobody named has agent_name NULL
SELECT
  /*hour,*/
  agent_name,
  coalesce(hll_count(executions), 0) AS executions,
  coalesce(hll_count(sessions), 0) AS sessions,
  coalesce(hll_count(users), 0) AS users
FROM (
  SELECT
    /*hour,*/
    agent_name,
    hll_merge(executions) AS executions, hll_merge(sessions) AS sessions, hll_merge(users) AS users
  FROM (
    SELECT date_trunc('hour', minute) AS hour, agent_name, executions, sessions, users
    FROM minute_sketches
    WHERE executions IS NOT NULL OR sessions IS NOT NULL OR users IS NOT NULL
  ) m
  GROUP BY
    /*hour,*/
    agent_name
) d
