-- name: behaviour_drift
-- kind: function
-- summary: behaviour_drift(baseline_start, baseline_end, window_start, window_end): whether an agent and its models behave
--   otherwise in the window than in the baseline: how much they read and write, why they stop (refusals are among the
--   reasons), which tools they call, what fails, and how many calls an execution takes. Ends are exclusive.
-- formula: of numbers (input_tokens, output_tokens, of model calls; model_calls, tool_calls, of executions) distance is
--   Wasserstein's and effect the same in standard deviations of an even mixture of both sides; of words (finish_reason,
--   error_type, of model calls; tool_name, of tool calls) both are the Jensen-Shannon distance, base 2; p is the probability
--   under chance by permutation; verdict is drift when effect is 0.1 or more and p below 0.01
-- unit: distance in tokens or calls, of words 0 (the same) to 1 (nothing in common); effect without unit
-- grain: agent, model and measure; model is NULL for measures of tool calls and executions
-- time: start of a call, end of an execution
-- edges: unknown usage is left out; no error and no finish reason are words of their own (none, unknown); each measure has
--   its own p, so of a hundred measures without drift about one says drift; NULL when either side is empty, the verdict
--   also where either has fewer than 50; p is no less than 0.001
WITH calls AS (
  SELECT
    agent_name, coalesce(response_model, request_model) AS model, kind, input_tokens, output_tokens, finish_reason,
    error_type, tool_name,
    start_time >= $1 AND start_time < $2 AS in_baseline,
    start_time >= $3 AND start_time < $4 AS in_window
  FROM standing_charges
  WHERE kind IN ('model_call', 'tool_call')
),
ended AS (
  SELECT
    agent_name, model_calls, tool_calls,
    end_time >= $1 AND end_time < $2 AS in_baseline,
    end_time >= $3 AND end_time < $4 AS in_window
  FROM executions
  WHERE end_time IS NOT NULL
),
numbers AS (
  SELECT agent_name, model, 'input_tokens' AS measure, CAST(input_tokens AS DOUBLE) AS value, in_baseline, in_window
  FROM calls WHERE kind = 'model_call' AND (in_baseline OR in_window)
  UNION ALL
  SELECT agent_name, model, 'output_tokens', CAST(output_tokens AS DOUBLE), in_baseline, in_window
  FROM calls WHERE kind = 'model_call' AND (in_baseline OR in_window)
  UNION ALL
  SELECT agent_name, arrow_cast(NULL, 'Utf8'), 'model_calls', CAST(model_calls AS DOUBLE), in_baseline, in_window
  FROM ended WHERE in_baseline OR in_window
  UNION ALL
  SELECT agent_name, arrow_cast(NULL, 'Utf8'), 'tool_calls', CAST(tool_calls AS DOUBLE), in_baseline, in_window
  FROM ended WHERE in_baseline OR in_window
),
words AS (
  SELECT agent_name, model, 'finish_reason' AS measure, coalesce(finish_reason, 'unknown') AS word, in_baseline, in_window
  FROM calls WHERE kind = 'model_call' AND (in_baseline OR in_window)
  UNION ALL
  SELECT agent_name, model, 'error_type', coalesce(error_type, 'none'), in_baseline, in_window
  FROM calls WHERE kind = 'model_call' AND (in_baseline OR in_window)
  UNION ALL
  SELECT agent_name, arrow_cast(NULL, 'Utf8'), 'tool_name', coalesce(tool_name, 'unknown'), in_baseline, in_window
  FROM calls WHERE kind = 'tool_call' AND (in_baseline OR in_window)
),
compared AS (
  SELECT
    agent_name, model, measure,
    avg(CASE WHEN in_baseline THEN value END) AS mean_baseline,
    avg(CASE WHEN in_window THEN value END) AS mean_window,
    get_field(wasserstein_drift(value, in_baseline, in_window), 'n_baseline') AS n_baseline,
    get_field(wasserstein_drift(value, in_baseline, in_window), 'n_window') AS n_window,
    get_field(wasserstein_drift(value, in_baseline, in_window), 'distance') AS distance,
    get_field(wasserstein_drift(value, in_baseline, in_window), 'effect') AS effect,
    get_field(wasserstein_drift(value, in_baseline, in_window), 'p') AS p
  FROM numbers
  WHERE value IS NOT NULL
  GROUP BY agent_name, model, measure
  UNION ALL
  SELECT
    agent_name, model, measure, CAST(NULL AS DOUBLE), CAST(NULL AS DOUBLE),
    get_field(js_drift(word, in_baseline, in_window), 'n_baseline'),
    get_field(js_drift(word, in_baseline, in_window), 'n_window'),
    get_field(js_drift(word, in_baseline, in_window), 'distance'),
    get_field(js_drift(word, in_baseline, in_window), 'distance'),
    get_field(js_drift(word, in_baseline, in_window), 'p')
  FROM words
  GROUP BY agent_name, model, measure
)
SELECT
  agent_name, model, measure, n_baseline, n_window, mean_baseline, mean_window, distance, effect, p,
  CASE
    WHEN n_baseline < 50 OR n_window < 50 THEN NULL
    WHEN effect >= 0.1 AND p < 0.01 THEN 'drift'
    ELSE 'no drift'
  END AS verdict
FROM compared
