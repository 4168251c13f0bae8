-- name: safe_termination
-- kind: metric
-- by_hour: safe_termination_by_hour
-- summary: How long it takes from the order to stop an agent until it has stopped.
-- formula: of each freeze in force, the later of obeyed_at and the end of the agent's last call that began before it was
--   obeyed, minus decided_at; percentiles, interpolated
-- unit: milliseconds
-- grain: scope
-- by: scope
-- shows: p95_ms
-- time: when the freeze was decided
-- edges: freezes that nobody has obeyed are counted in freezes and not in n; calls that began after the freeze was obeyed
--   and before it was released are counted in calls_after, and are violations; only freezes of agents look at calls
WITH freezes AS (
  SELECT action_id, scope, target, decided_at, obeyed_at, released_at
  FROM actions
  WHERE state = 'frozen' AND mode <> 'shadow'
),
calls AS (
  SELECT
    f.action_id,
    max(CASE WHEN c.start_time <= f.obeyed_at THEN c.end_time END) AS last_end,
    sum(CASE WHEN c.start_time > f.obeyed_at THEN 1 ELSE 0 END) AS calls_after
  FROM freezes f
  JOIN standing_charges c ON c.agent_name = f.target
  WHERE f.scope = 'agent' AND c.kind <> 'execution' AND f.obeyed_at IS NOT NULL
    AND c.end_time > f.decided_at AND (f.released_at IS NULL OR c.start_time < f.released_at)
  GROUP BY f.action_id
)
SELECT
  /*hour,*/
  scope,
  count(*) AS freezes,
  count(ms) AS n,
  avg(ms) AS mean_ms,
  percentile_cont(0.5) WITHIN GROUP (ORDER BY ms) AS p50_ms,
  percentile_cont(0.95) WITHIN GROUP (ORDER BY ms) AS p95_ms,
  max(ms) AS max_ms,
  sum(calls_after) AS calls_after
FROM (
  SELECT
    date_trunc('hour', f.decided_at) AS hour, f.scope,
    (CAST(greatest(f.obeyed_at, coalesce(c.last_end, f.obeyed_at)) AS BIGINT) - CAST(f.decided_at AS BIGINT)) / 1e3 AS ms,
    coalesce(c.calls_after, 0) AS calls_after
  FROM freezes f
  LEFT JOIN calls c ON c.action_id = f.action_id
) t
GROUP BY
  /*hour,*/
  scope
