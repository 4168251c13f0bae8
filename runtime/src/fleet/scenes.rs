//! What they say: one script an execution, drawn by seed.

use serde_json::{Value, json};

use crate::model::scripted::{Failure, Line, Rule, ScriptedCall};
use crate::model::{Judgement, Script, Usage};
use crate::spec::Task;

use super::props::HOPELESS;

/// Numbers that look random and follow from the seed (SplitMix64).
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// The dice of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Below `sides`.
    pub fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % sides.max(1)
    }

    fn pick<'a>(&mut self, of: &[&'a str]) -> &'a str {
        let index = usize::try_from(self.roll(of.len() as u64)).unwrap_or(0);
        of.get(index).copied().unwrap_or("")
    }

    fn confidence(&mut self, from: u64, to: u64) -> f64 {
        let hundredths = u32::try_from(from + self.roll(to - from + 1)).unwrap_or(50);
        f64::from(hundredths) / 100.0
    }
}

/// An incident in a pipeline, and how it goes.
#[derive(Debug, Clone)]
pub struct Incident {
    /// What is asked of each of the four agents.
    pub task: Task,
    /// The pipeline.
    pub pipeline: &'static str,
    /// What the agents say: monitor, diagnose, remediate, supervise.
    pub scripts: [Script; 4],
}

const PIPELINES: [&str; 5] = [
    "billing_daily",
    "clickstream_hourly",
    "inventory_sync",
    "payments_settle",
    "users_cdc",
];
const TENANTS: [&str; 3] = ["acme", "globex", "initech"];

fn tokens(input: u64, cached: u64, output: u64) -> Usage {
    Usage {
        input_tokens: input,
        cache_read_tokens: cached,
        output_tokens: output,
        ..Usage::default()
    }
}

fn line(usage: Usage, latency_ms: u64, confidence: f64, summary: &str) -> Line {
    Line {
        usage,
        latency_ms,
        spread_percent: 25,
        judgement: Judgement {
            confidence: Some(confidence),
            summary: Some(summary.to_owned()),
            ..Judgement::default()
        },
        ..Line::default()
    }
}

fn calling(line: Line, calls: &[(&str, Value)]) -> Line {
    let call = |(name, arguments): &(&str, Value)| ScriptedCall {
        name: (*name).to_owned(),
        arguments: arguments.clone(),
    };
    Line {
        tool_calls: calls.iter().map(call).collect(),
        ..line
    }
}

fn saying(line: Line, content: &str) -> Line {
    Line {
        content: content.to_owned(),
        ..line
    }
}

fn script(seed: u64, replies: Vec<Line>) -> Script {
    Script {
        provider: "flyball".to_owned(),
        seed,
        replies,
        ..Script::default()
    }
}

/// Now and then the provider is overloaded, and the call has to be made again.
fn sometimes_overloaded(dice: &mut Dice, script: Script) -> Script {
    if dice.roll(12) > 0 {
        return script;
    }
    let reply = Line {
        latency_ms: 120,
        error: Some(Failure::Overloaded),
        ..Line::default()
    };
    Script {
        rules: vec![Rule {
            turn: Some(1),
            attempt: Some(0),
            reply,
            ..Rule::default()
        }],
        ..script
    }
}

/// The incident of this number.
#[must_use]
pub fn incident(number: u64, seed: u64) -> Incident {
    let mut dice = Dice::new(seed ^ (number << 20));
    let pipeline = dice.pick(&PIPELINES);
    let task = Task {
        value_usd: None,
        parent: None,
        goal: format!(
            "Ingestion of {pipeline} is late and short of rows. Find out why, mend it, judge the change."
        ),
        id: Some(format!("incident-{number:04}")),
        kind: Some("incident".to_owned()),
        tenant: Some(dice.pick(&TENANTS).to_owned()),
        user: None,
        session: Some(format!("incident-{number:04}")),
    };
    let scripts = [
        monitor(&mut dice, pipeline),
        diagnose(&mut dice, pipeline),
        remediate(&mut dice, pipeline),
        supervise(&mut dice, pipeline),
    ];
    Incident {
        task,
        pipeline,
        scripts,
    }
}

fn monitor(dice: &mut Dice, pipeline: &str) -> Script {
    let sure = dice.confidence(80, 97);
    script(
        dice.roll(u64::MAX),
        vec![
            calling(
                line(
                    tokens(2_200, 0, 120),
                    180,
                    sure,
                    "look at volume and freshness first",
                ),
                &[
                    ("read_metrics", json!({"table": pipeline})),
                    ("list_runs", json!({"pipeline": pipeline})),
                ],
            ),
            saying(
                line(
                    tokens(2_900, 2_048, 160),
                    200,
                    sure,
                    "volume is at 57 % of the baseline",
                ),
                "Volume at 57 % of baseline, 190 minutes late.",
            ),
        ],
    )
}

fn diagnose(dice: &mut Dice, pipeline: &str) -> Script {
    let sure = dice.confidence(60, 92);
    let mut first = calling(
        line(
            tokens(5_200, 0, 380),
            420,
            sure,
            "logs and schema before lineage",
        ),
        &[
            (
                "query_logs",
                json!({"pipeline": pipeline, "match": "error"}),
            ),
            ("compare_schema", json!({"table": pipeline})),
        ],
    );
    first.judgement.plan = Some(
        json!({"nodes": ["query_logs", "compare_schema", "trace_lineage"],
        "edges": [["query_logs", "trace_lineage"], ["compare_schema", "trace_lineage"]]}),
    );
    first.judgement.alternatives =
        Some(json!(["upstream outage", "late partition", "schema drift"]));
    let second = calling(
        line(
            tokens(6_400, 4_096, 300),
            380,
            sure,
            "schema drift; how far does it reach",
        ),
        &[("trace_lineage", json!({"table": pipeline}))],
    );
    let mut last = saying(
        line(
            tokens(7_100, 6_144, 420),
            450,
            sure,
            "schema drift upstream",
        ),
        "Root cause: column currency was added upstream.",
    );
    last.judgement.rejected =
        Some(json!([{"option": "upstream outage", "why": "other tables are fresh"}]));
    if dice.roll(10) == 0 {
        last = saying(
            line(
                tokens(7_100, 6_144, 260),
                430,
                0.3,
                "the evidence does not agree",
            ),
            "I can't tell the cause.",
        );
        last.judgement.success = Some(false);
    }
    let script = script(dice.roll(u64::MAX), vec![first, second, last]);
    sometimes_overloaded(dice, script)
}

fn remediate(dice: &mut Dice, pipeline: &str) -> Script {
    // Below 0.5, policy wants a person to approve a change in production.
    let sure = if dice.roll(8) == 0 {
        dice.confidence(30, 48)
    } else {
        dice.confidence(66, 95)
    };
    let day = format!("2026-11-{:02}", 1 + dice.roll(21));
    let mut replies = vec![
        calling(
            line(
                tokens(5_800, 0, 320),
                400,
                sure,
                "rehearse before touching anything",
            ),
            &[("rehearse", json!({"pipeline": pipeline, "day": day}))],
        ),
        calling(
            line(
                tokens(6_500, 5_120, 280),
                360,
                sure,
                "the smallest change: add the column, then rerun",
            ),
            &[
                (
                    "evolve_schema",
                    json!({"table": pipeline, "column": "currency"}),
                ),
                ("rerun_pipeline", json!({"pipeline": pipeline, "day": day})),
            ],
        ),
        calling(
            line(tokens(7_000, 6_144, 150), 260, sure, "verify"),
            &[("check_freshness", json!({"table": pipeline}))],
        ),
        saying(
            line(tokens(7_300, 6_144, 180), 280, sure, "done"),
            "Column added, day rerun, table fresh again.",
        ),
    ];
    if dice.roll(6) == 0 {
        // A mistake that the tool refuses; the next plan mends it.
        let hasty = calling(
            line(tokens(6_100, 5_120, 120), 240, sure, "rerun at once"),
            &[(
                "rerun_pipeline",
                json!({"pipeline": pipeline, "force": true}),
            )],
        );
        replies.insert(1, hasty);
    }
    script(dice.roll(u64::MAX), replies)
}

fn supervise(dice: &mut Dice, pipeline: &str) -> Script {
    let doubts = dice.roll(6) == 0;
    let sure = if doubts {
        dice.confidence(25, 40)
    } else {
        dice.confidence(82, 98)
    };
    let first = calling(
        line(tokens(2_600, 0, 110), 170, sure, "read what was changed"),
        &[("read_change", json!({"pipeline": pipeline}))],
    );
    let mut last = saying(
        line(
            tokens(3_100, 2_048, 140),
            190,
            sure,
            "the change can be undone",
        ),
        "Approved.",
    );
    if doubts {
        last.judgement.escalate = Some("the change reaches 14 downstream tables".to_owned());
    }
    script(dice.roll(u64::MAX), vec![first, last])
}

/// A ticket for the support agent, and how it goes.
#[must_use]
pub fn ticket(number: u64, seed: u64) -> (Task, Script) {
    let mut dice = Dice::new(seed ^ (number << 20) ^ 0x5EED);
    let order = format!("o-{}", 1_000 + dice.roll(9_000));
    let task = Task {
        value_usd: None,
        parent: None,
        goal: format!("Customer asks about order {order}."),
        id: Some(format!("ticket-{number:04}")),
        kind: Some("ticket".to_owned()),
        tenant: Some(dice.pick(&TENANTS).to_owned()),
        user: Some(format!("customer-{}", dice.roll(40))),
        session: Some(format!("ticket-{number:04}")),
    };
    let sure = dice.confidence(62, 96);
    let look = calling(
        line(tokens(1_800, 0, 90), 150, sure, "look the order up"),
        &[
            ("look_up_order", json!({"order": order})),
            ("search_help", json!({"question": "returns"})),
        ],
    );
    let reply = calling(
        line(
            tokens(2_600, 1_536, 240),
            260,
            sure,
            "answer with what was found",
        ),
        &[(
            "reply",
            json!({"text": format!("Your order {order} was delivered.")}),
        )],
    );
    let done = saying(
        line(tokens(2_900, 2_048, 60), 120, sure, "done"),
        "Answered.",
    );
    let replies = match dice.roll(10) {
        // Money back: policy asks a person.
        0 | 1 => vec![
            look,
            calling(
                line(
                    tokens(2_500, 1_536, 160),
                    240,
                    sure,
                    "the customer is owed a refund",
                ),
                &[("refund", json!({"order": order, "cents": 4_990}))],
            ),
        ],
        2 => {
            let mut sorry = saying(
                line(tokens(2_400, 1_536, 120), 200, 0.4, "nothing found"),
                "I can't find the order.",
            );
            sorry.judgement.success = Some(false);
            vec![look, sorry]
        }
        _ => vec![look, reply, done],
    };
    let script = script(dice.roll(u64::MAX), replies);
    let script = sometimes_overloaded(&mut dice, script);
    (task, script)
}

/// The one that runs away: the same call, the same result, again and faster.
#[must_use]
pub fn runaway(seed: u64) -> (Task, Script) {
    let again = |latency_ms: u64, confidence: f64| Line {
        spread_percent: 10,
        ..calling(
            line(
                tokens(7_800, 0, 300),
                latency_ms,
                confidence,
                "it failed; run it again",
            ),
            &[(
                "rerun_pipeline",
                json!({"pipeline": HOPELESS, "day": "2026-11-21"}),
            )],
        )
    };
    let task = Task {
        value_usd: None,
        parent: None,
        goal: format!("Pipeline {HOPELESS} fails. Run it until it succeeds."),
        id: Some("incident-runaway".to_owned()),
        kind: Some("incident".to_owned()),
        tenant: Some("acme".to_owned()),
        user: None,
        session: Some("incident-runaway".to_owned()),
    };
    let rule = |from_turn, reply| Rule {
        from_turn: Some(from_turn),
        reply,
        ..Rule::default()
    };
    let script = Script {
        rules: vec![
            rule(12, again(12, 0.95)),
            rule(5, again(40, 0.9)),
            rule(2, again(90, 0.85)),
            rule(0, again(200, 0.8)),
        ],
        ..script(seed, Vec::new())
    };
    (task, script)
}
