-- name: slo_burn
-- kind: function
-- summary: slo_burn(objective, at, long, short, factor): whether each agent spends its error budget too fast, in a long and in
--   a short window that end at the moment given (exclusive). The customary pairs are '1 hour', '5 minutes', 14.4 and
--   '6 hours', '30 minutes', 6 to wake somebody, '3 days', '6 hours', 1 for a ticket: ask for each.
-- formula: burn is the share of executions that did not succeed over what the objective allows, 1 - objective; burn_long_low
--   is that of Wilson's upper bound of attainment, so what is certain at 95 %; verdict is burning when both burns are above
--   the factor, else within
-- unit: multiples of the speed at which the budget lasts exactly as long as the objective's period
-- grain: agent
-- time: end of the execution
-- edges: executions that ended with no known termination are not counted; burns are NULL where none ended with one, and then
--   so is the verdict: not measured is no all-clear; it is out of reach where factor x (1 - objective) is 1 or more, since no
--   share of failures gets there (14.4 at an objective of 0.93 or less), whatever the burns are
SELECT
  agent_name, n_long, burn_long, burn_long_low, n_short, burn_short, factor,
  CASE
    WHEN factor * (1 - objective) >= 1 THEN 'out of reach'
    WHEN burn_long IS NULL OR burn_short IS NULL THEN NULL
    WHEN burn_long > factor AND burn_short > factor THEN 'burning'
    ELSE 'within'
  END AS verdict
FROM (
  SELECT
    agent_name, objective, factor, n_long, n_short,
    CAST(n_long - good_long AS DOUBLE) / nullif(n_long, 0) / nullif(1 - objective, 0) AS burn_long,
    (1 - wilson_high(good_long, n_long)) / nullif(1 - objective, 0) AS burn_long_low,
    CAST(n_short - good_short AS DOUBLE) / nullif(n_short, 0) / nullif(1 - objective, 0) AS burn_short
  FROM (
    SELECT
      agent_name, objective, factor,
      count(termination) AS n_long,
      count(CASE WHEN termination = 'success' THEN 1 END) AS good_long,
      count(CASE WHEN lately THEN termination END) AS n_short,
      count(CASE WHEN lately AND termination = 'success' THEN 1 END) AS good_short
    FROM (
      SELECT
        agent_name, termination,
        CAST($1 AS DOUBLE) AS objective, CAST($5 AS DOUBLE) AS factor,
        end_time >= CAST($2 AS TIMESTAMP) - CAST($4 AS INTERVAL) AS lately
      FROM standing_executions
      WHERE end_time < CAST($2 AS TIMESTAMP) AND end_time >= CAST($2 AS TIMESTAMP) - CAST($3 AS INTERVAL)
    ) e
    GROUP BY agent_name, objective, factor
  ) s
) b
