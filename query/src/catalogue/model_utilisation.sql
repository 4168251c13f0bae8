-- name: model_utilisation
-- kind: metric
-- by_hour: model_utilisation_by_hour
-- summary: Which models, at which service tier, an agent's calls go to, and what part of its tokens and money.
-- formula: calls, tokens and cost_usd of the model over those of all models of the agent; usd_per_1k_tokens is cost_usd
--   over a thousandth of the tokens
-- unit: ratio, 0 to 1; US dollars
-- grain: agent, provider, model that answered and service tier
-- by: agent_name, provider, model, service_tier
-- shows: share_of_cost
-- time: start of the call
-- edges: a share is NULL where the agent has none of that quantity; calls of unknown usage have no tokens, and calls
--   without a price no cost; a call that fell back counts for the model that answered
SELECT
  /*hour,*/
  agent_name, provider, model, service_tier, calls,
  CAST(calls AS DOUBLE) / nullif(sum(calls) OVER (PARTITION BY /*hour,*/ agent_name), 0) AS share_of_calls,
  tokens,
  CAST(tokens AS DOUBLE) / nullif(sum(tokens) OVER (PARTITION BY /*hour,*/ agent_name), 0) AS share_of_tokens,
  cost_usd,
  CAST(cost_usd AS DOUBLE) / nullif(CAST(sum(cost_usd) OVER (PARTITION BY /*hour,*/ agent_name) AS DOUBLE), 0)
    AS share_of_cost,
  CAST(cost_usd AS DOUBLE) * 1000 / nullif(tokens, 0) AS usd_per_1k_tokens,
  unpriced_calls
FROM (
  SELECT
    /*hour,*/
    agent_name, provider, model, service_tier,
    sum(calls) AS calls,
    sum(coalesce(input_tokens, 0) + coalesce(output_tokens, 0)) AS tokens,
    CASE WHEN sum(CASE WHEN priced THEN calls ELSE 0 END) > 0 THEN CAST(sum(cost_usd) AS DECIMAL(38, 12)) END AS cost_usd,
    sum(CASE WHEN priced THEN 0 ELSE calls END) AS unpriced_calls
  FROM (
    SELECT
      date_trunc('hour', minute) AS hour,
      agent_name, provider, coalesce(response_model, request_model) AS model, service_tier,
      calls, input_tokens, output_tokens, cost_usd, priced
    FROM minutes
    WHERE kind = 'model_call'
  ) m
  GROUP BY
    /*hour,*/
    agent_name, provider, model, service_tier
  HAVING sum(calls) <> 0
) s
