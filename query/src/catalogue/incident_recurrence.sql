-- name: incident_recurrence
-- kind: metric
-- summary: How many incidents were of a kind that had been there before.
-- formula: incidents (an alert that began to fire) whose rule and key had one that began in the 30 days before, but not in
--   the last 24 hours / all incidents
-- unit: ratio, 0 to 1, with Wilson's 95 % bounds
-- grain: rule
-- time: when the alert began to fire
-- edges: what fires again within 24 hours is the same incident; NULL without incidents, and while less than 30 days of
--   alerts are kept before the last of them, when nobody can know
SELECT
  rule,
  count(*) AS incidents,
  sum(recurred) AS recurred,
  CASE WHEN max("at") - min(first_at) >= INTERVAL '30 days' THEN CAST(sum(recurred) AS DOUBLE) / count(*) END AS rate,
  CASE WHEN max("at") - min(first_at) >= INTERVAL '30 days' THEN wilson_low(sum(recurred), count(*)) END AS rate_low,
  CASE WHEN max("at") - min(first_at) >= INTERVAL '30 days' THEN wilson_high(sum(recurred), count(*)) END AS rate_high
FROM (
  SELECT
    rule, "at", first_at,
    CASE WHEN before IS NOT NULL AND "at" - before <= INTERVAL '30 days' THEN 1 ELSE 0 END AS recurred
  FROM (
    SELECT
      rule, "at",
      lag("at") OVER (PARTITION BY rule, key ORDER BY "at") AS before,
      min("at") OVER () AS first_at
    FROM alerts
    WHERE state = 'firing' AND previous_state <> 'firing' AND mode <> 'shadow'
  ) fired
  WHERE before IS NULL OR "at" - before > INTERVAL '1 day'
) incidents
GROUP BY rule
