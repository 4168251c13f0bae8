-- name: slo
-- kind: function
-- summary: slo(objective, window_start, window_end): how well each agent kept an objective for the share of its executions
--   that succeed, such as 0.95. The end is exclusive.
-- formula: attainment is good / n; burn_rate is the share of failures over what the objective allows, 1 - objective: at 1
--   the whole budget is spent when the window is over; budget_left is 1 - burn_rate
-- unit: ratio, attainment with Wilson's 95 % bounds
-- grain: agent
-- time: end of the execution
-- edges: executions that ended with no known termination are not in n and are shown as unknown; NULL without executions;
--   verdict is NULL while the bounds lie on both sides of the objective
SELECT
  agent_name, n, good, attainment, attainment_low, attainment_high,
  (1 - attainment) / nullif(1 - objective, 0) AS burn_rate,
  1 - (1 - attainment) / nullif(1 - objective, 0) AS budget_left,
  CASE WHEN attainment_low >= objective THEN 'kept' WHEN attainment_high < objective THEN 'missed' END AS verdict,
  unknown
FROM (
  SELECT
    agent_name, objective,
    count(termination) AS n,
    count(good) AS good,
    CAST(count(good) AS DOUBLE) / nullif(count(termination), 0) AS attainment,
    wilson_low(count(good), count(termination)) AS attainment_low,
    wilson_high(count(good), count(termination)) AS attainment_high,
    count(*) - count(termination) AS unknown
  FROM (
    SELECT
      agent_name, termination, CAST($1 AS DOUBLE) AS objective,
      CASE WHEN termination = 'success' THEN 1 END AS good
    FROM standing_executions
    WHERE end_time >= $2 AND end_time < $3
  ) e
  GROUP BY agent_name, objective
) s
