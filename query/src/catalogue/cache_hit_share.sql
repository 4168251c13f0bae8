-- name: cache_hit_share
-- kind: metric
-- by_hour: cache_hit_share_by_hour
-- summary: What part of the input a model read from its cache.
-- formula: cache_read_tokens / input_tokens, over model calls
-- unit: ratio, 0 to 1
-- grain: agent, provider and model that answered
-- by: agent_name, provider, model
-- shows: share
-- time: start of the call
-- edges: NULL where no input is known; a call that tells its input and no cached tokens counts as having read none
SELECT
  /*hour,*/
  agent_name, provider, model,
  sum(calls) AS calls,
  sum(input_tokens) AS input_tokens,
  sum(cache_read_tokens) AS cache_read_tokens,
  sum(cache_write_tokens) AS cache_write_tokens,
  CAST(coalesce(sum(cache_read_tokens), 0) AS DOUBLE) / nullif(sum(input_tokens), 0) AS share
FROM (
  SELECT
    date_trunc('hour', minute) AS hour,
    agent_name, provider, coalesce(response_model, request_model) AS model,
    calls, input_tokens, cache_read_tokens, cache_write_tokens
  FROM minutes
  WHERE kind = 'model_call'
) m
GROUP BY
  /*hour,*/
  agent_name, provider, model
HAVING sum(calls) <> 0
