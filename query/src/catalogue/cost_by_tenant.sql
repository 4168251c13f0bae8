-- name: cost_by_tenant
-- kind: metric
-- by_hour: cost_by_tenant_by_hour
-- summary: What each tenant and team costs.
-- formula: sum of cost_usd over all calls
-- unit: US dollars, DECIMAL(38,12)
-- grain: tenant and team
-- by: tenant, team
-- shows: cost_usd
-- time: start of the call
-- edges: NULL where no call has a price; unpriced_calls says how many model calls, embeddings and rerankings the cost
--   leaves out; calls that name no tenant (or team) have NULL there
SELECT
  /*hour,*/
  tenant, team,
  sum(calls) AS calls,
  sum(coalesce(input_tokens, 0) + coalesce(output_tokens, 0)) AS tokens,
  CASE WHEN sum(CASE WHEN priced THEN calls ELSE 0 END) > 0 THEN CAST(sum(cost_usd) AS DECIMAL(38, 12)) END AS cost_usd,
  sum(CASE WHEN NOT priced AND kind <> 'tool_call' THEN calls ELSE 0 END) AS unpriced_calls
FROM (
  SELECT
    date_trunc('hour', minute) AS hour,
    tenant, team, kind, calls, input_tokens, output_tokens, priced, cost_usd
  FROM minutes
  WHERE kind <> 'execution'
) m
GROUP BY
  /*hour,*/
  tenant, team
HAVING sum(calls) <> 0
