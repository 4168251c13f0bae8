-- name: incident_recurrence
-- kind: metric
-- summary: How many incidents were of a kind that had been there before.
-- formula: incidents (an alert that began to fire) whose rule and key had one that began in the 30 days before, but not in
--   the last 24 hours / all incidents
-- unit: ratio, 0 to 1, with Wilson's 95 % bounds
-- grain: rule
-- by: rule
-- shows: rate
-- time: when the alert began to fire
-- edges: what fires again within 24 hours is the same incident; NULL without incidents, and while less than 30 days of
--   alerts are kept before the last of them, when nobody can know
SELECT
  rule,
  count(*) AS incidents,
  sum(recurred) AS recurred,
  CASE WHEN max(seen_days) >= 30 THEN CAST(sum(recurred) AS DOUBLE) / count(*) END AS rate,
  CASE WHEN max(seen_days) >= 30 THEN wilson_low(sum(recurred), count(*)) END AS rate_low,
  CASE WHEN max(seen_days) >= 30 THEN wilson_high(sum(recurred), count(*)) END AS rate_high
FROM (
  SELECT
    rule, micros,
    (micros - first_micros) / 86400e6 AS seen_days,
    CASE WHEN (micros - before) / 86400e6 <= 30 THEN 1 ELSE 0 END AS recurred
  FROM (
    SELECT
      rule, micros,
      lag(micros) OVER (PARTITION BY rule, key ORDER BY micros) AS before,
      min(micros) OVER () AS first_micros
    FROM (
      SELECT rule, key, CAST("at" AS BIGINT) AS micros
      FROM alerts
      WHERE state = 'firing' AND previous_state <> 'firing' AND mode <> 'shadow'
    ) events
  ) fired
  WHERE before IS NULL OR (micros - before) / 86400e6 > 1
) incidents
GROUP BY rule
