-- name: cost_by_user
-- kind: metric
-- by_hour: cost_by_user_by_hour
-- summary: What each user costs, and how many sessions and executions that was.
-- formula: sum of cost_usd over all calls that stand
-- unit: US dollars, DECIMAL(38,12)
-- grain: user
-- by: user_id
-- shows: cost_usd
-- time: start of the call
-- edges: NULL where no call has a price; calls that name no user have NULL there; it reads every charge, so ask for a
--   stretch of time
SELECT
  /*hour,*/
  user_id,
  count(*) AS calls,
  count(DISTINCT session_id) AS sessions,
  count(DISTINCT execution_id) AS executions,
  CAST(sum(cost_usd) AS DECIMAL(38, 12)) AS cost_usd,
  sum(CASE WHEN cost_usd IS NULL AND kind <> 'tool_call' THEN 1 ELSE 0 END) AS unpriced_calls
FROM (
  SELECT date_trunc('hour', start_time) AS hour, user_id, session_id, execution_id, kind, cost_usd
  FROM standing_charges
  WHERE kind <> 'execution'
) c
GROUP BY
  /*hour,*/
  user_id
