-- name: confidence_drift
-- kind: function
-- summary: confidence_drift(baseline_start, baseline_end, window_start, window_end): how far the confidence
--   of each agent's decisions in the window has moved from the baseline. Ends are exclusive.
-- formula: population stability index, sum (p - q) ln(p / q) over the baseline's deciles, shares no less
--   than 0.0001; psi_expected is its mean without drift, (bins - 1)(1/n + 1/m), and z how many standard
--   deviations it lies above that; verdict is drift when psi >= 0.1 and z >= 2.326, else no drift
-- unit: index without unit; below 0.1 little, above 0.25 much, where both sides have 1000 values or more
-- grain: agent
-- time: start of the decision
-- edges: decisions without a confidence are left out; psi is NULL when either side is empty, verdict when
--   either has fewer than 200 values
SELECT
  agent_name, n_baseline, n_window,
  get_field(d, 'psi') AS psi,
  get_field(d, 'expected') AS psi_expected,
  get_field(d, 'z') AS z,
  CASE
    WHEN n_baseline < 200 OR n_window < 200 THEN NULL
    WHEN get_field(d, 'psi') >= 0.1 AND get_field(d, 'z') >= 2.326 THEN 'drift'
    ELSE 'no drift'
  END AS verdict
FROM (
  SELECT
    agent_name,
    sum(CASE WHEN in_baseline THEN 1 ELSE 0 END) AS n_baseline,
    sum(CASE WHEN in_window THEN 1 ELSE 0 END) AS n_window,
    psi_drift(confidence, in_baseline, in_window) AS d
  FROM (
    SELECT
      agent_name, confidence,
      start_time >= $1 AND start_time < $2 AS in_baseline,
      start_time >= $3 AND start_time < $4 AS in_window
    FROM model_calls
    WHERE decision AND confidence IS NOT NULL
  ) c
  WHERE in_baseline OR in_window
  GROUP BY agent_name
) a
