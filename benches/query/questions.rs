//! The questions, in our SQL and in DuckDB's: the same where the dialects let them be.

pub(crate) struct Question {
    pub(crate) name: &'static str,
    pub(crate) flyball: &'static str,
    pub(crate) duckdb: &'static str,
}

const fn same(name: &'static str, sql: &'static str) -> Question {
    Question {
        name,
        flyball: sql,
        duckdb: sql,
    }
}

/// On raw spans and charges.
pub(crate) const QUESTIONS: [Question; 8] = [
    same(
        "cost per decision by agent and hour, a day",
        "SELECT agent_name, date_trunc('hour', start_time) AS hour, sum(decisions) AS n, \
         sum(cost_usd) / nullif(sum(decisions), 0) AS cost_per_decision FROM charges \
         WHERE start_time >= {day} AND start_time < {end} AND kind = 'model_call' GROUP BY 1, 2",
    ),
    Question {
        name: "latency p50, p95, p99 by operation and model in 5 minutes, a day",
        flyball: "SELECT operation, response_model, date_bin(INTERVAL '5 minutes', start_time) AS at, count(*) AS n, \
                  approx_percentile_cont(duration_ns, 0.5) AS p50, approx_percentile_cont(duration_ns, 0.95) AS p95, \
                  approx_percentile_cont(duration_ns, 0.99) AS p99 FROM spans \
                  WHERE start_time >= {day} AND start_time < {end} GROUP BY 1, 2, 3",
        duckdb: "SELECT operation, response_model, time_bucket(INTERVAL '5 minutes', start_time) AS at, count(*) AS n, \
                 approx_quantile(duration_ns, [0.5, 0.95, 0.99]) AS p FROM spans \
                 WHERE start_time >= {day} AND start_time < {end} GROUP BY 1, 2, 3",
    },
    same(
        "twenty dearest executions",
        "SELECT trace_id, sum(cost_usd) AS cost, count(*) AS calls FROM charges \
         WHERE kind = 'model_call' GROUP BY trace_id ORDER BY cost DESC LIMIT 20",
    ),
    same(
        "escalation rate by agent and day",
        "SELECT agent_name, date_trunc('day', start_time) AS day, count(*) AS decisions, \
         sum(CASE WHEN escalated THEN 1 ELSE 0 END) * 1.0 / count(*) AS rate FROM spans WHERE decision GROUP BY 1, 2",
    ),
    same(
        "cost by tenant, team and model, every subtotal (CUBE)",
        "SELECT tenant, team, response_model, sum(cost_usd) AS cost, sum(input_tokens) AS input_tokens, \
         sum(output_tokens) AS output_tokens FROM charges WHERE kind = 'model_call' \
         GROUP BY CUBE (tenant, team, response_model)",
    ),
    Question {
        name: "PSI of confidence between two days, by agent",
        flyball: "SELECT agent_name, psi_drift(confidence, start_time < {day}, start_time >= {day}) AS d FROM spans \
                  WHERE start_time >= {before} AND start_time < {end} AND confidence IS NOT NULL GROUP BY agent_name",
        duckdb: "WITH c AS (SELECT agent_name, confidence, start_time < {day} AS baseline FROM spans \
                 WHERE start_time >= {before} AND start_time < {end} AND confidence IS NOT NULL), \
                 edges AS (SELECT agent_name, quantile_disc(confidence, [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]) AS e \
                 FROM c WHERE baseline GROUP BY agent_name), \
                 binned AS (SELECT agent_name, len(list_filter(e, lambda x: x < confidence)) AS bin, \
                 count(*) FILTER (baseline) AS b, count(*) FILTER (NOT baseline) AS w \
                 FROM c JOIN edges USING (agent_name) GROUP BY 1, 2), \
                 shares AS (SELECT agent_name, greatest(b / sum(b) OVER a, 0.0001) AS p, \
                 greatest(w / sum(w) OVER a, 0.0001) AS q FROM binned WINDOW a AS (PARTITION BY agent_name)) \
                 SELECT agent_name, sum((p - q) * ln(p / q)) AS psi FROM shares GROUP BY agent_name",
    },
    same(
        "one trace by id",
        "SELECT span_id, parent_span_id, name, start_time, duration_ns, agent_name, operation, input_tokens, output_tokens, \
         error_type FROM spans WHERE trace_id = '{trace}' ORDER BY start_time",
    ),
    same(
        "a text filter",
        "SELECT count(*) AS n FROM spans WHERE status_message LIKE '%upstream%exceeded%'",
    ),
];

/// What the rollup can answer: only we have one.
pub(crate) const PANELS: [Question; 4] = [
    same(
        "cost per decision by agent and hour, a day",
        "SELECT hour, agent_name, cost_per_decision_usd FROM cost_per_decision_by_hour WHERE hour >= {day} AND hour < {end}",
    ),
    same(
        "cost by day, a week",
        "SELECT date_trunc('day', minute) AS day, sum(cost_usd) AS cost FROM minutes GROUP BY 1 ORDER BY 1",
    ),
    same(
        "escalation rate by agent and hour, a day",
        "SELECT * FROM escalation_rate_by_hour WHERE hour >= {day} AND hour < {end}",
    ),
    same(
        "latency p95 by model and hour, a day",
        "SELECT * FROM latency_p95_by_hour WHERE hour >= {day} AND hour < {end}",
    ),
];
