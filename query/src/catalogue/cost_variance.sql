-- name: cost_variance
-- kind: metric
-- summary: How much the costs of like executions differ.
-- formula: cv is the standard deviation over the mean; robust_cv is 1.4826 times the median distance from the median, over
--   the median, which single dear executions do not move
-- unit: ratio without unit; variance in US dollars squared
-- grain: agent and task type
-- by: agent_name, task_type
-- shows: cv
-- time: every execution that ended
-- edges: variance, cv and robust_cv are NULL with fewer than 20 executions of known cost, and where the mean (the median)
--   is zero; a change of prices is not told apart from a change of behaviour
WITH costs AS (
  SELECT
    agent_name, task_type,
    CAST(coalesce(cost_usd, CASE WHEN unpriced_calls = 0 THEN CAST(0 AS DECIMAL(38, 12)) END) AS DOUBLE) AS usd
  FROM executions
  WHERE end_time IS NOT NULL
),
middle AS (
  SELECT agent_name, task_type, percentile_cont(0.5) WITHIN GROUP (ORDER BY usd) AS median_usd
  FROM costs
  WHERE usd IS NOT NULL
  GROUP BY agent_name, task_type
)
SELECT
  agent_name, task_type, n, mean_usd,
  CASE WHEN n >= 20 THEN variance END AS variance_usd2,
  CASE WHEN n >= 20 THEN sqrt(variance) / nullif(mean_usd, 0) END AS cv,
  CASE WHEN n >= 20 THEN 1.4826 * distance_usd / nullif(median_usd, 0) END AS robust_cv,
  median_usd AS p50_usd, p95_usd, max_usd
FROM (
  SELECT
    c.agent_name, c.task_type,
    count(*) AS n,
    avg(c.usd) AS mean_usd,
    var_samp(c.usd) AS variance,
    max(m.median_usd) AS median_usd,
    percentile_cont(0.5) WITHIN GROUP (ORDER BY abs(c.usd - m.median_usd)) AS distance_usd,
    percentile_cont(0.95) WITHIN GROUP (ORDER BY c.usd) AS p95_usd,
    max(c.usd) AS max_usd
  FROM costs c
  JOIN middle m
    ON (m.agent_name IS NOT DISTINCT FROM c.agent_name) AND (m.task_type IS NOT DISTINCT FROM c.task_type)
  WHERE c.usd IS NOT NULL
  GROUP BY c.agent_name, c.task_type
) v
