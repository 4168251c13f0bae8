-- name: feedback_drift
-- kind: function
-- summary: feedback_drift(baseline_start, baseline_end, window_start, window_end): whether people and evaluations say
--   something else in the window than in the baseline of what policy said the same of. Ends are exclusive.
-- formula: feedback on a span is what a person did about it (flyball.intervention), what was said to a tool call, or the
--   label of an evaluation (in logs, of the same span); distance is the Jensen-Shannon distance, base 2, of these words
--   among the spans with one policy verdict; against counts words that contradict the verdict: reject, amend, override,
--   abort, deny of what it allowed, approve, accept, allow, amend, override of what it denied; p is the probability under
--   chance by permutation; verdict is drift when distance is 0.1 or more and p below 0.01
-- unit: distance, 0 (the same) to 1 (nothing in common); against in words of feedback
-- grain: agent, policy verdict (none where policy was not asked) and kind of feedback (intervention, tool_decision, or the
--   evaluation's name)
-- time: end of the span; of a record in the log, its own
-- edges: the agent is the one the span or record names, else the one its call was charged to; scores without a label are
--   left out, and so are records of no span; against is NULL for needs_approval and none, which nothing can contradict;
--   distance and p are NULL when either side is empty, verdict also where either has fewer than 50; p is no less than 0.001
WITH charged AS (
  SELECT trace_id, span_id, max(agent_name) AS agent_name, max(policy_verdict) AS policy_verdict
  FROM standing_charges
  WHERE kind <> 'execution'
  GROUP BY trace_id, span_id
),
told AS (
  SELECT trace_id, span_id, max(agent_name) AS agent_name, max(policy_verdict) AS policy_verdict
  FROM spans
  WHERE policy_verdict IS NOT NULL
  GROUP BY trace_id, span_id
),
said AS (
  SELECT trace_id, span_id, agent_name, end_time AS moment, 'intervention' AS feedback, intervention AS word
  FROM spans
  WHERE intervention IS NOT NULL
  UNION ALL
  SELECT trace_id, span_id, agent_name, "time", 'tool_decision', tool_decision
  FROM logs
  WHERE tool_decision IS NOT NULL AND span_id IS NOT NULL
  UNION ALL
  SELECT trace_id, span_id, agent_name, "time", coalesce(evaluation_name, 'evaluation'), evaluation_label
  FROM logs
  WHERE evaluation_label IS NOT NULL AND span_id IS NOT NULL
),
sides AS (
  SELECT
    coalesce(f.agent_name, t.agent_name, c.agent_name) AS agent_name,
    coalesce(t.policy_verdict, c.policy_verdict, 'none') AS policy_verdict,
    f.feedback, f.word,
    f.moment >= $1 AND f.moment < $2 AS in_baseline,
    f.moment >= $3 AND f.moment < $4 AS in_window
  FROM said f
  LEFT JOIN told t ON t.trace_id = f.trace_id AND t.span_id = f.span_id
  LEFT JOIN charged c ON c.trace_id = f.trace_id AND c.span_id = f.span_id
),
judged AS (
  SELECT
    *,
    CASE policy_verdict
      WHEN 'allow' THEN CASE WHEN word IN ('reject', 'amend', 'override', 'abort', 'deny') THEN 1 ELSE 0 END
      WHEN 'deny' THEN CASE WHEN word IN ('approve', 'accept', 'allow', 'amend', 'override') THEN 1 ELSE 0 END
    END AS contradicts
  FROM sides
  WHERE in_baseline OR in_window
),
compared AS (
  SELECT
    agent_name, policy_verdict, feedback,
    sum(CASE WHEN in_baseline THEN contradicts END) AS against_baseline,
    sum(CASE WHEN in_window THEN contradicts END) AS against_window,
    js_drift(word, in_baseline, in_window) AS d
  FROM judged
  GROUP BY agent_name, policy_verdict, feedback
)
SELECT
  agent_name, policy_verdict, feedback,
  get_field(d, 'n_baseline') AS n_baseline,
  get_field(d, 'n_window') AS n_window,
  against_baseline, against_window,
  get_field(d, 'distance') AS distance,
  get_field(d, 'p') AS p,
  CASE
    WHEN get_field(d, 'n_baseline') < 50 OR get_field(d, 'n_window') < 50 THEN NULL
    WHEN get_field(d, 'distance') >= 0.1 AND get_field(d, 'p') < 0.01 THEN 'drift'
    ELSE 'no drift'
  END AS verdict
FROM compared
