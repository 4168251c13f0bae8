-- name: control_latency
-- kind: metric
-- by_hour: control_latency_by_hour
-- summary: How fast the loop closes: from the end of the span that caused an action to its being obeyed.
-- formula: percentiles of obeyed_at minus cause_ended_at over actions in force
-- unit: milliseconds
-- grain: scope and state
-- by: scope, state
-- shows: p95_ms
-- time: when the action was decided
-- edges: shadow actions and actions without a causing span (a person's) are left out; actions that
--   nobody has obeyed yet are counted in actions and not in n
SELECT
  /*hour,*/
  scope, state,
  count(*) AS actions,
  count(ended_to_obeyed_ms) AS n,
  percentile_cont(0.5) WITHIN GROUP (ORDER BY ended_to_obeyed_ms) AS p50_ms,
  percentile_cont(0.95) WITHIN GROUP (ORDER BY ended_to_obeyed_ms) AS p95_ms,
  max(ended_to_obeyed_ms) AS max_ms
FROM (
  SELECT date_trunc('hour', decided_at) AS hour, scope, state, ended_to_obeyed_ms
  FROM actions
  WHERE mode <> 'shadow' AND cause_ended_at IS NOT NULL
) a
GROUP BY
  /*hour,*/
  scope, state
