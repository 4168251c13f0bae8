//! Who they are: five agents, with strictly scoped tools and bounded executions.

use rust_decimal::Decimal;

use crate::spec::{AgentSpec, Bounds, Role};

/// The model for judgement: 3 USD a million tokens in, 15 out.
pub const LARGE: &str = "flyball-demo-large";
/// The model for routine: 0.25 USD a million tokens in, 1 out.
pub const SMALL: &str = "flyball-demo-small";

fn agent(
    name: &str,
    role: Role,
    team: &str,
    model: &str,
    tools: &[&str],
    scopes: &[&str],
    cents: i64,
) -> AgentSpec {
    let texts = |names: &[&str]| names.iter().map(ToString::to_string).collect();
    AgentSpec {
        role,
        version: Some("1.4.0".to_owned()),
        team: Some(team.to_owned()),
        environment: "production".to_owned(),
        tiers: [("economy".to_owned(), SMALL.to_owned())].into(),
        temperature: Some(0.2),
        tools: texts(tools),
        scopes: texts(scopes),
        bounds: Bounds {
            max_steps: 10,
            max_wall_ms: 60_000,
            max_stalls: 3,
            max_tokens: 1024,
            budget_usd: Some(Decimal::new(cents, 2)),
            ..Bounds::default()
        },
        ..AgentSpec::new(name, model)
    }
}

/// Watches ingestion: schema, volume, freshness. Reads only.
#[must_use]
pub fn monitor() -> AgentSpec {
    AgentSpec {
        instructions: "Watch ingestion. Report anomalies with numbers. Change nothing.".to_owned(),
        ..agent(
            "monitor",
            Role::Observer,
            "data-platform",
            SMALL,
            &["read_metrics", "list_runs"],
            &["metrics.read"],
            5,
        )
    }
}

/// Finds the cause. Reads only.
#[must_use]
pub fn diagnose() -> AgentSpec {
    AgentSpec {
        instructions: "Find the root cause. Weigh alternatives. Say how sure you are.".to_owned(),
        ..agent(
            "diagnose",
            Role::Planner,
            "data-platform",
            LARGE,
            &["query_logs", "compare_schema", "trace_lineage", "list_runs"],
            &["metrics.read", "logs.read"],
            50,
        )
    }
}

/// Mends it, with changes that can be undone.
#[must_use]
pub fn remediate() -> AgentSpec {
    AgentSpec {
        instructions:
            "Mend the pipeline with the smallest change that can be undone. Rehearse first."
                .to_owned(),
        ..agent(
            super::RUNAWAY,
            Role::Executor,
            "data-platform",
            LARGE,
            &[
                "rehearse",
                "rerun_pipeline",
                "evolve_schema",
                "check_freshness",
            ],
            &["pipelines.write", "metrics.read"],
            50,
        )
    }
}

/// The same agent after somebody has lifted its bounds.
#[must_use]
pub fn unbounded() -> AgentSpec {
    let mut spec = remediate();
    spec.bounds = Bounds {
        max_steps: u32::MAX,
        max_stalls: u32::MAX,
        budget_usd: Some(Decimal::from(500)),
        ..spec.bounds
    };
    spec
}

/// Judges what was done.
#[must_use]
pub fn supervise() -> AgentSpec {
    AgentSpec {
        instructions: "Judge the change against policy. Hand over to a person when in doubt."
            .to_owned(),
        ..agent(
            "supervise",
            Role::Supervisor,
            "data-platform",
            SMALL,
            &["read_change", "check_freshness"],
            &["metrics.read"],
            5,
        )
    }
}

/// Answers customers. Money goes back only with a person's approval.
#[must_use]
pub fn support() -> AgentSpec {
    AgentSpec {
        instructions: "Help the customer. Promise nothing you can't look up.".to_owned(),
        ..agent(
            "support",
            Role::Executor,
            "customer-care",
            SMALL,
            &["look_up_order", "search_help", "reply", "refund"],
            &["orders.read", "tickets.write", "payments.write"],
            10,
        )
    }
}
