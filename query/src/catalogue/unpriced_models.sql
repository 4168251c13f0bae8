-- name: unpriced_models
-- kind: view
-- summary: Models that were used and have no price: what the sums of cost leave out. A price for one of them is
--   entered in the price book.
-- grain: one provider, model and service tier
-- edges: A call whose usage is unknown is not in it: there would be nothing to multiply a price with. Tokens are NULL
--   where no call tells of that side.
SELECT
  provider, coalesce(response_model, request_model) AS model, service_tier, kind,
  count(*) AS calls, sum(input_tokens) AS input_tokens, sum(output_tokens) AS output_tokens,
  min(start_time) AS first_seen, max(start_time) AS last_seen
FROM standing_charges
WHERE kind IN ('model_call', 'embedding', 'rerank') AND usage IN ('exact', 'partial') AND cost_usd IS NULL
GROUP BY provider, coalesce(response_model, request_model), service_tier, kind
