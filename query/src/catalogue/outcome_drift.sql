-- name: outcome_drift
-- kind: function
-- summary: outcome_drift(baseline_start, baseline_end, window_start, window_end): whether an agent's executions end
--   otherwise in the window than in the baseline. Ends are exclusive.
-- formula: Jensen-Shannon distance between the shares of terminations, base 2; p is the probability that chance alone gets
--   as far, by permutation; verdict is drift when the distance is 0.1 or more and p below 0.01
-- unit: distance, 0 (the same) to 1 (nothing in common)
-- grain: agent
-- time: end of the execution
-- edges: executions that end with no known termination are a class of their own; NULL when either side is empty, the
--   verdict also where either has fewer than 50; p is no less than 0.001
SELECT
  agent_name,
  get_field(d, 'n_baseline') AS n_baseline,
  get_field(d, 'n_window') AS n_window,
  get_field(d, 'distance') AS distance,
  get_field(d, 'p') AS p,
  CASE
    WHEN get_field(d, 'n_baseline') < 50 OR get_field(d, 'n_window') < 50 THEN NULL
    WHEN get_field(d, 'distance') >= 0.1 AND get_field(d, 'p') < 0.01 THEN 'drift'
    ELSE 'no drift'
  END AS verdict
FROM (
  SELECT agent_name, js_drift(coalesce(termination, 'unknown'), in_baseline, in_window) AS d
  FROM (
    SELECT
      agent_name, termination,
      end_time >= $1 AND end_time < $2 AS in_baseline,
      end_time >= $3 AND end_time < $4 AS in_window
    FROM standing_executions
  ) e
  WHERE in_baseline OR in_window
  GROUP BY agent_name
) a
