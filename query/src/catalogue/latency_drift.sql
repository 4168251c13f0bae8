-- name: latency_drift
-- kind: function
-- summary: latency_drift(baseline_start, baseline_end, window_start, window_end): whether calls take longer, shorter or
--   otherwise in the window than in the baseline. Ends are exclusive.
-- formula: distance_ms is Wasserstein's distance, effect the same in standard deviations of an even mixture of both sides,
--   p_distance its probability under chance by permutation; d is Kolmogorov and Smirnov's distance, p_d its probability;
--   verdict is drift when effect or d is 0.1 or more with a p below 0.005, so that chance alone says drift in no more than
--   one of a hundred
-- unit: milliseconds; effect in standard deviations; d from 0 (the same) to 1 (nothing in common)
-- grain: agent, operation, model and tool
-- time: start of the call
-- edges: failed calls are in, calls without an end are not; NULL when either side is empty, the verdict also where either
--   has fewer than 50; rounding is the share by which a duration may be off where there are more than 4096 different ones;
--   p_distance is no less than 0.001
SELECT
  agent_name, operation, model, tool_name,
  get_field(d, 'n_baseline') AS n_baseline,
  get_field(d, 'n_window') AS n_window,
  mean_baseline_ms, mean_window_ms,
  get_field(w, 'distance') AS distance_ms,
  get_field(w, 'effect') AS effect,
  get_field(w, 'p') AS p_distance,
  get_field(d, 'd') AS d,
  get_field(d, 'p') AS p_d,
  get_field(d, 'rounding') AS rounding,
  CASE
    WHEN get_field(d, 'n_baseline') < 50 OR get_field(d, 'n_window') < 50 THEN NULL
    WHEN get_field(w, 'effect') >= 0.1 AND get_field(w, 'p') < 0.005 THEN 'drift'
    WHEN get_field(d, 'd') >= 0.1 AND get_field(d, 'p') < 0.005 THEN 'drift'
    ELSE 'no drift'
  END AS verdict
FROM (
  SELECT
    agent_name, operation, model, tool_name,
    avg(CASE WHEN in_baseline THEN ms END) AS mean_baseline_ms,
    avg(CASE WHEN in_window THEN ms END) AS mean_window_ms,
    wasserstein_drift(ms, in_baseline, in_window) AS w,
    ks_drift(ms, in_baseline, in_window) AS d
  FROM (
    SELECT
      agent_name, coalesce(operation, kind) AS operation,
      coalesce(response_model, request_model) AS model, tool_name,
      duration_ns / 1e6 AS ms,
      start_time >= $1 AND start_time < $2 AS in_baseline,
      start_time >= $3 AND start_time < $4 AS in_window
    FROM standing_charges
    WHERE kind <> 'execution' AND duration_ns IS NOT NULL
  ) c
  WHERE in_baseline OR in_window
  GROUP BY agent_name, operation, model, tool_name
) g
