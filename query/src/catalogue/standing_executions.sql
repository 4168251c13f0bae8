-- name: standing_executions
-- kind: view
-- summary: Each execution once, whatever the number of traces it left: the journal has one entry for each
--   of them. It lasts from the first start to the last end. Who ran it is what the first trace to start
--   says that names an agent; how it ended, what the last to end says; escalated is true when any was;
--   value_usd is their sum.
-- grain: one execution
-- Nearly all left one entry, which says it all and was never taken back: a reversal is an entry of the same execution. Only
-- those of several are put together.
SELECT
  execution_id, task_id, task_type, agent_name, agent_id, agent_version, agent_role, session_id, user_id, tenant, team,
  environment, workflow, trace_id, span_id, date, start_time, end_time, start_unix_nano, duration_ns, received_at,
  termination, termination_reason, escalated, error_type, CAST(value_usd AS DECIMAL(38, 12)) AS value_usd,
  version_set, known_at, charge_id, log_position
FROM executions_alone
WHERE entry = 'charge'
UNION ALL
SELECT
  execution_id, task_id, task_type, agent_name, agent_id, agent_version, agent_role, session_id, user_id, tenant, team,
  environment, workflow, trace_id, span_id,
  first_date AS date, first_start AS start_time, last_end AS end_time, first_unix_nano AS start_unix_nano,
  last_unix_nano - first_unix_nano AS duration_ns, last_received AS received_at,
  ended_as AS termination, ended_why AS termination_reason, any_escalated AS escalated, ended_error AS error_type,
  CAST(values_usd AS DECIMAL(38, 12)) AS value_usd,
  version_set, last_known AS known_at, charge_id, last_position AS log_position
FROM (
  SELECT
    *,
    row_number() OVER (PARTITION BY execution_id ORDER BY agent_name IS NULL, start_unix_nano, charge_id) AS part,
    min(date) OVER (PARTITION BY execution_id) AS first_date,
    min(start_time) OVER (PARTITION BY execution_id) AS first_start,
    min(start_unix_nano) OVER (PARTITION BY execution_id) AS first_unix_nano,
    max(end_time) OVER (PARTITION BY execution_id) AS last_end,
    max(start_unix_nano + duration_ns) OVER (PARTITION BY execution_id) AS last_unix_nano,
    max(received_at) OVER (PARTITION BY execution_id) AS last_received,
    max(known_at) OVER (PARTITION BY execution_id) AS last_known,
    max(log_position) OVER (PARTITION BY execution_id) AS last_position,
    sum(value_usd) OVER (PARTITION BY execution_id) AS values_usd,
    max(CASE WHEN escalated THEN 1 WHEN NOT escalated THEN 0 END) OVER (PARTITION BY execution_id) = 1 AS any_escalated,
    first_value(termination) OVER (
      PARTITION BY execution_id ORDER BY termination IS NULL, coalesce(end_time, start_time) DESC, charge_id
    ) AS ended_as,
    first_value(termination_reason) OVER (
      PARTITION BY execution_id ORDER BY termination IS NULL, coalesce(end_time, start_time) DESC, charge_id
    ) AS ended_why,
    first_value(error_type) OVER (
      PARTITION BY execution_id ORDER BY termination IS NULL, coalesce(end_time, start_time) DESC, charge_id
    ) AS ended_error
  FROM (
    SELECT
      execution_id, task_id, task_type, agent_name, agent_id, agent_version, agent_role, session_id, user_id, tenant, team,
      environment, workflow, trace_id, span_id, date, start_time, end_time, start_unix_nano, duration_ns, received_at,
      termination, termination_reason, escalated, error_type, CAST(value_usd AS DECIMAL(38, 12)) AS value_usd,
      version_set, known_at, charge_id, log_position
    FROM executions_shared c
    LEFT ANTI JOIN (SELECT charge_id AS reversed FROM executions_shared WHERE entry = 'reversal') r ON c.charge_id = r.reversed
    WHERE c.entry = 'charge'
  ) e
) parts
WHERE part = 1
