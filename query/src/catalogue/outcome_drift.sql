-- name: outcome_drift
-- kind: function
-- summary: outcome_drift(baseline_start, baseline_end, window_start, window_end): whether an agent's executions end
--   otherwise in the window than in the baseline. Ends are exclusive.
-- formula: Jensen-Shannon distance between the shares of terminations, base 2; g is the likelihood ratio statistic of the
--   same table, which without drift is about chi-squared with (terminations - 1) degrees of freedom, and z how many
--   standard deviations it lies above that; verdict is drift when the distance is 0.1 or more and z is 2.326 or more
-- unit: distance, 0 (the same) to 1 (nothing in common)
-- grain: agent
-- time: end of the execution
-- edges: executions that end with no known termination are a class of their own; NULL when either side is empty, the
--   verdict also where either has fewer than 50
WITH ended AS (
  SELECT
    agent_name, coalesce(termination, 'unknown') AS class,
    sum(CASE WHEN end_time >= $1 AND end_time < $2 THEN 1 ELSE 0 END) AS a,
    sum(CASE WHEN end_time >= $3 AND end_time < $4 THEN 1 ELSE 0 END) AS b
  FROM standing_executions
  WHERE (end_time >= $1 AND end_time < $2) OR (end_time >= $3 AND end_time < $4)
  GROUP BY agent_name, coalesce(termination, 'unknown')
),
shares AS (
  SELECT
    agent_name, a, b,
    CAST(sum(a) OVER (PARTITION BY agent_name) AS DOUBLE) AS n,
    CAST(sum(b) OVER (PARTITION BY agent_name) AS DOUBLE) AS m
  FROM ended
)
SELECT
  agent_name, n_baseline, n_window,
  CASE WHEN n_baseline > 0 AND n_window > 0 THEN sqrt(greatest(js, 0)) END AS distance,
  CASE WHEN n_baseline > 0 AND n_window > 0 THEN g END AS g,
  CASE WHEN n_baseline > 0 AND n_window > 0 AND classes > 1 THEN (g - (classes - 1)) / sqrt(2.0 * (classes - 1)) END AS z,
  CASE
    WHEN n_baseline < 50 OR n_window < 50 THEN NULL
    WHEN classes > 1 AND sqrt(greatest(js, 0)) >= 0.1 AND (g - (classes - 1)) / sqrt(2.0 * (classes - 1)) >= 2.326
      THEN 'drift'
    ELSE 'no drift'
  END AS verdict
FROM (
  SELECT
    agent_name,
    CAST(max(n) AS BIGINT) AS n_baseline,
    CAST(max(m) AS BIGINT) AS n_window,
    count(*) AS classes,
    sum(
      CASE WHEN a > 0 THEN a / n * log2((a / n) / ((a / n + b / m) / 2)) ELSE 0 END
      + CASE WHEN b > 0 THEN b / m * log2((b / m) / ((a / n + b / m) / 2)) ELSE 0 END
    ) / 2 AS js,
    2 * sum(
      CASE WHEN a > 0 THEN a * ln(a / (n * (a + b) / (n + m))) ELSE 0 END
      + CASE WHEN b > 0 THEN b * ln(b / (m * (a + b) / (n + m))) ELSE 0 END
    ) AS g
  FROM shares
  WHERE n > 0 AND m > 0
  GROUP BY agent_name
) d
