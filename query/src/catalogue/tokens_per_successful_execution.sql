-- name: tokens_per_successful_execution
-- kind: metric
-- by_hour: tokens_per_successful_execution_by_hour
-- summary: How many tokens a success takes: in the executions that succeeded, and, burdened, in all.
-- formula: input and output tokens of the executions that ended in success / their number; burdened_tokens divides the
--   tokens of all executions that ended by the same number
-- unit: tokens; input includes cached ones, output includes reasoning
-- grain: agent
-- by: agent_name
-- shows: tokens_per_success
-- time: end of the execution
-- edges: NULL when none ended in success; an execution with model calls and without any known token is left out and
--   counted in unknown
SELECT
  /*hour,*/
  agent_name,
  count(*) AS executions,
  count(success) AS successes,
  sum(CASE WHEN success = 1 THEN tokens END) AS successful_tokens,
  CAST(sum(CASE WHEN success = 1 THEN tokens END) AS DOUBLE)
    / nullif(count(CASE WHEN success = 1 THEN tokens END), 0) AS tokens_per_success,
  CAST(sum(tokens) AS DOUBLE) / nullif(count(CASE WHEN success = 1 THEN tokens END), 0) AS burdened_tokens_per_success,
  count(*) - count(tokens) AS unknown
FROM (
  SELECT
    date_trunc('hour', end_time) AS hour, agent_name,
    CASE WHEN termination = 'success' THEN 1 END AS success,
    CASE
      WHEN model_calls = 0 THEN coalesce(input_tokens, 0) + coalesce(output_tokens, 0)
      WHEN input_tokens IS NOT NULL OR output_tokens IS NOT NULL
        THEN coalesce(input_tokens, 0) + coalesce(output_tokens, 0)
    END AS tokens
  FROM executions
  WHERE end_time IS NOT NULL
) e
GROUP BY
  /*hour,*/
  agent_name
