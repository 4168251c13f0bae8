-- name: decisions
-- kind: view
-- summary: Each model call in which the agent chose what to do next, with the reasoning log. action is the
--   tools that the same agent called in the same execution before its next decision, or answer; result
--   is what the first of them returned, or the answer itself. What log records said of a span stands in for content
--   that the span itself does not carry: each record's object on a line of its own.
-- grain: one decision
WITH made AS (
  SELECT *, lead(start_unix_nano) OVER (PARTITION BY execution_id, agent_name ORDER BY start_unix_nano) AS until
  FROM model_calls
  WHERE decision
),
recorded AS (
  SELECT
    trace_id,
    of_span_id AS span_id,
    arrow_cast(string_agg(input, chr(10) ORDER BY start_time, span_id), 'Utf8') AS input,
    arrow_cast(string_agg(output, chr(10) ORDER BY start_time, span_id), 'Utf8') AS output
  FROM contents
  WHERE of_span_id IS NOT NULL
  GROUP BY trace_id, of_span_id
),
did AS (
  SELECT
    m.charge_id,
    arrow_cast(string_agg(t.tool_name, ', ' ORDER BY t.start_unix_nano), 'Utf8') AS action,
    first_value(coalesce(c.output, r.output) ORDER BY t.start_unix_nano) AS result
  FROM made m
  JOIN tool_calls t
    ON t.execution_id = m.execution_id
   AND coalesce(t.agent_name, '') = coalesce(m.agent_name, '')
   AND t.start_unix_nano >= m.start_unix_nano
   AND (m.until IS NULL OR t.start_unix_nano < m.until)
  LEFT JOIN contents c ON c.trace_id = t.trace_id AND c.span_id = t.span_id
  LEFT JOIN recorded r ON r.trace_id = t.trace_id AND r.span_id = t.span_id
  GROUP BY m.charge_id
)
SELECT
  m.date, m.start_time, m.end_time, m.duration_ms, m.trace_id, m.span_id, m.execution_id, m.task_id, m.task_type,
  m.agent_name, m.agent_id, m.agent_version, m.agent_role, m.session_id, m.user_id, m.tenant, m.team, m.environment,
  m.step, m.state, m.model, m.finish_reason, m.error_type,
  coalesce(c.input, r.input) AS input,
  coalesce(json_text(c.reasoning, 'flyball.summary'), json_text(c.reasoning, 'summary')) AS summary,
  CASE WHEN did.charge_id IS NOT NULL THEN did.action WHEN m.error_type IS NULL THEN 'answer' END AS action,
  CASE WHEN did.charge_id IS NOT NULL THEN did.result ELSE coalesce(c.output, r.output) END AS result,
  m.confidence, m.progress, m.policy_verdict,
  m.input_tokens, m.output_tokens, m.cost_usd, m.version_set, m.charge_id, m.log_position
FROM made m
LEFT JOIN did ON did.charge_id = m.charge_id
LEFT JOIN contents c ON c.trace_id = m.trace_id AND c.span_id = m.span_id
LEFT JOIN recorded r ON r.trace_id = m.trace_id AND r.span_id = m.span_id
