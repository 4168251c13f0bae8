-- name: approval_rejection_rate
-- kind: metric
-- by_hour: approval_rejection_rate_by_hour
-- summary: How often people say no to what an agent asks to be allowed.
-- formula: rejected / (approved + rejected), of what people decided about a span: flyball.intervention or
--   flyball.approval.outcome, or a tool decision in logs whose source is a user
-- unit: ratio, 0 to 1, with Wilson's 95 % bounds
-- grain: agent
-- by: agent_name
-- shows: rate
-- time: end of the span; of a record in the log, its own
-- edges: NULL when nothing was approved or rejected; amended and then approved is an approval, and counted in amended as
--   well; what expired, or was overridden or aborted, is in other alone; what a setting or a hook decided is no person's;
--   the agent is the one the span or record names, else the one its call was charged to
SELECT
  /*hour,*/
  agent_name,
  sum(approved) AS approved,
  sum(amended) AS amended,
  sum(rejected) AS rejected,
  sum(1 - approved - rejected) AS other,
  CAST(sum(rejected) AS DOUBLE) / nullif(sum(approved + rejected), 0) AS rate,
  wilson_low(sum(rejected), sum(approved + rejected)) AS rate_low,
  wilson_high(sum(rejected), sum(approved + rejected)) AS rate_high
FROM (
  SELECT
    date_trunc('hour', f.moment) AS hour,
    coalesce(f.agent_name, c.agent_name) AS agent_name,
    CASE WHEN f.word IN ('approve', 'amend', 'accept', 'allow') THEN 1 ELSE 0 END AS approved,
    CASE WHEN f.word = 'amend' THEN 1 ELSE 0 END AS amended,
    CASE WHEN f.word IN ('reject', 'deny') THEN 1 ELSE 0 END AS rejected
  FROM (
    SELECT trace_id, span_id, agent_name, end_time AS moment, intervention AS word
    FROM spans
    WHERE intervention IS NOT NULL
    UNION ALL
    SELECT trace_id, span_id, agent_name, "time", tool_decision
    FROM logs
    WHERE tool_decision IS NOT NULL AND json_text(attributes, 'source') LIKE 'user%'
  ) f
  LEFT JOIN (
    SELECT trace_id, span_id, max(agent_name) AS agent_name
    FROM standing_charges
    WHERE kind <> 'execution'
    GROUP BY trace_id, span_id
  ) c ON c.trace_id = f.trace_id AND c.span_id = f.span_id
) d
GROUP BY
  /*hour,*/
  agent_name
