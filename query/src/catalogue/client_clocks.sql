-- name: client_clocks
-- kind: view
-- summary: How far each client's clock is from ours, by what its spans of the last hour say: a span cannot end after
--   we received it, and some span of an hour is sent at once. Windows that act go by our clock, whatever this says.
-- formula: lag = received_at - end_time; the smallest lag of the hour is what the clock is behind (positive) or ahead
--   (negative), give or take the exporter's shortest wait
-- unit: milliseconds
-- grain: client (service.name)
-- edges: An import is received long after it ended and reads as a clock that is behind; spans that log records told
--   are left out.
SELECT
  service_name,
  count(*) AS spans,
  CAST(min(arrow_cast(received_at, 'Int64') - arrow_cast(end_time, 'Int64')) AS DOUBLE) / 1000 AS behind_ms,
  CAST(max(arrow_cast(received_at, 'Int64') - arrow_cast(end_time, 'Int64')) AS DOUBLE) / 1000 AS longest_lag_ms,
  max(received_at) AS last_seen
FROM spans
WHERE received_at >= now() - INTERVAL '1 hour' AND signal IS NULL
GROUP BY service_name
