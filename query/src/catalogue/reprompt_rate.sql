-- name: reprompt_rate
-- kind: metric
-- by_hour: reprompt_rate_by_hour
-- summary: How often an agent has to ask a model again, because the answer was of no use.
-- formula: model calls that follow, in the same execution, agent and step, one that answered without an error / model calls
--   that tell their step
-- unit: ratio, 0 to 1, with Wilson's 95 % bounds
-- grain: agent
-- by: agent_name
-- shows: rate
-- time: start of the call
-- edges: NULL when no call tells its step; a call after one that failed is a retry and no re-prompt; calls that tell no
--   step are counted in without_step alone
SELECT
  /*hour,*/
  agent_name,
  count(step) AS calls,
  sum(again) AS reprompts,
  CAST(sum(again) AS DOUBLE) / nullif(count(step), 0) AS rate,
  wilson_low(sum(again), count(step)) AS rate_low,
  wilson_high(sum(again), count(step)) AS rate_high,
  count(*) - count(step) AS without_step
FROM (
  SELECT
    date_trunc('hour', start_time) AS hour, agent_name, step,
    CASE
      WHEN step IS NOT NULL
        AND lag(charge_id) OVER turn IS NOT NULL
        AND lag(error_type) OVER turn IS NULL THEN 1
      ELSE 0
    END AS again
  FROM model_calls
  WINDOW turn AS (PARTITION BY execution_id, agent_name, step ORDER BY start_unix_nano, charge_id)
) c
GROUP BY
  /*hour,*/
  agent_name
