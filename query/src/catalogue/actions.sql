-- name: actions
-- kind: view
-- summary: Each action on an agent, from decision to release. The times run: the causing span ended, it was
--   received, the action was decided, a runtime first refused to go on because of it.
-- grain: one action
WITH folded AS (
  SELECT
    action_id,
    coalesce(max(CASE WHEN event = 'decided' THEN state END), max(state)) AS state,
    max(CASE WHEN event = 'decided' THEN previous_state END) AS previous_state,
    coalesce(max(CASE WHEN event = 'decided' THEN scope END), max(scope)) AS scope,
    coalesce(max(CASE WHEN event = 'decided' THEN target END), max(target)) AS target,
    max(CASE WHEN event = 'decided' THEN parameters END) AS parameters,
    coalesce(max(CASE WHEN event = 'decided' THEN reason END), max(reason)) AS reason,
    coalesce(max(CASE WHEN event = 'decided' THEN actor END), max(actor)) AS actor,
    coalesce(max(CASE WHEN event = 'decided' THEN mode END), max(mode)) AS mode,
    max(rule) AS rule,
    max(cause_trace_id) AS cause_trace_id,
    max(cause_span_id) AS cause_span_id,
    min(cause_ended_at) AS cause_ended_at,
    min(cause_received_at) AS cause_received_at,
    coalesce(min(decided_at), min(CASE WHEN event = 'decided' THEN "at" END)) AS decided_at,
    coalesce(min(obeyed_at), min(CASE WHEN event = 'obeyed' THEN "at" END)) AS obeyed_at,
    min(obeyed_by) AS obeyed_by,
    max(CASE WHEN event = 'released' THEN "at" END) AS released_at,
    max(CASE WHEN event = 'released' THEN actor END) AS released_by,
    max(CASE WHEN event = 'released' THEN reason END) AS release_reason,
    max(evidence) AS evidence,
    max(log_position) AS log_position
  FROM action_events
  GROUP BY action_id
)
SELECT
  action_id, state, previous_state, scope, target, parameters, reason, actor, rule, mode,
  cause_trace_id, cause_span_id, cause_ended_at, cause_received_at, decided_at, obeyed_at, obeyed_by,
  released_at, released_by, release_reason,
  (CAST(cause_received_at AS BIGINT) - CAST(cause_ended_at AS BIGINT)) / 1e3 AS ended_to_received_ms,
  (CAST(decided_at AS BIGINT) - CAST(cause_received_at AS BIGINT)) / 1e3 AS received_to_decided_ms,
  (CAST(obeyed_at AS BIGINT) - CAST(decided_at AS BIGINT)) / 1e3 AS decided_to_obeyed_ms,
  (CAST(obeyed_at AS BIGINT) - CAST(cause_ended_at AS BIGINT)) / 1e3 AS ended_to_obeyed_ms,
  evidence, log_position
FROM folded
