-- name: tool_failure_containment
-- kind: metric
-- by_hour: tool_failure_containment_by_hour
-- summary: How often an agent gets over a tool that fails.
-- formula: episodes of failure (same execution, tool and step) in executions that ended in success without a person /
--   all episodes of failure
-- unit: ratio, 0 to 1, with Wilson's 95 % bounds
-- grain: agent and tool
-- by: agent_name, tool_name
-- shows: rate
-- time: start of the episode's first failure
-- edges: NULL without failures; an execution whose end is not known has not contained its failures; episodes of one that
--   is still running are counted in open alone
SELECT
  /*hour,*/
  agent_name, tool_name,
  count(*) - sum(open) AS episodes,
  sum(contained) AS contained,
  CAST(sum(contained) AS DOUBLE) / nullif(count(*) - sum(open), 0) AS rate,
  wilson_low(sum(contained), count(*) - sum(open)) AS rate_low,
  wilson_high(sum(contained), count(*) - sum(open)) AS rate_high,
  sum(failures) AS failures,
  sum(open) AS open
FROM (
  SELECT
    date_trunc('hour', f.began) AS hour, f.agent_name, f.tool_name, f.failures,
    CASE WHEN e.termination = 'success' AND NOT coalesce(e.escalated, false) THEN 1 ELSE 0 END AS contained,
    CASE WHEN e.execution_id IS NOT NULL AND e.end_time IS NULL THEN 1 ELSE 0 END AS open
  FROM (
    SELECT execution_id, agent_name, tool_name, step, min(start_time) AS began, count(*) AS failures
    FROM tool_calls
    WHERE error_type IS NOT NULL
    GROUP BY execution_id, agent_name, tool_name, step
  ) f
  LEFT JOIN standing_executions e ON e.execution_id = f.execution_id
) t
GROUP BY
  /*hour,*/
  agent_name, tool_name
