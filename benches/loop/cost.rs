//! What rules cost the way in: the same ingest without a rule and with twenty over ten thousand keys, in turn.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use crate::cpu;
use crate::sender::send;
use crate::server::Server;
use crate::situation::drained;
use crate::traffic::Traffic;

/// Each kind that streams, some of them twice; none of them fires on healthy agents.
const WHEN: [&str; 20] = [
    "spend_rate: { at_least: 1000, window: 1m }",
    "spend_rate: { at_least: 5000, window: 10m }",
    "budget: { limit: 100000, per: hour }",
    "budget: { limit: 1000000, per: day }",
    "budget: { limit: 10000000, per: month }",
    "repeated_tool_calls: { at_least: 1000, window: 1m }",
    "retry_storm: { at_least: 100, window: 1m }",
    "unknown_tool: { allow: [lookup_order, search_docs, send_email, run_query], window: 1m }",
    "error_rate: { of: tool, at_least: 0.9, window: 5m }",
    "error_rate: { of: model, at_least: 0.9, window: 5m }",
    "escalations: { at_least: 100, window: 5m }",
    "absence: { silent_for: 10m }",
    "rate_of_change: { of: spend, at_least: 100, window: 5m, base: 30m, floor: 1000 }",
    "rate_of_change: { of: calls, at_least: 100, window: 5m, base: 30m, floor: 100000 }",
    "spend_spike: { change: 1000 }",
    "latency_shift: { change: 1000 }",
    "token_growth: { change: 1000000 }",
    "confidence_drift: { change: 0.9 }",
    "slo_burn: { objective: 0.95, of: tool_errors }",
    "slo_burn: { objective: 0.95, of: latency, under: 1h }",
];

/// What a run took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Run {
    /// Spans acknowledged a second.
    pub(crate) spans_a_second: f64,
    /// The same until the rules had seen all.
    judged_a_second: f64,
    /// The server's CPU seconds a million spans, to its end.
    cpu_seconds: f64,
}

/// A file of no rules, and one of twenty.
pub(crate) fn files(dir: &Path) -> [(&'static str, std::path::PathBuf); 2] {
    let rules: String = WHEN
        .iter()
        .enumerate()
        .map(|(i, when)| format!("  - name: r{i}\n    key: agent\n    when:\n      {when}\n"))
        .collect();
    let (none, twenty) = (dir.join("none.yaml"), dir.join("twenty.yaml"));
    std::fs::write(&none, "rules: []\n").unwrap();
    std::fs::write(&twenty, format!("rules:\n{rules}")).unwrap();
    [("no rules", none), ("20 rules", twenty)]
}

/// Takes in so many requests, as fast as it goes, with the built-in rules or those of a file.
pub(crate) async fn run(traffic: &Arc<Traffic>, requests: usize, rules: Option<&Path>) -> Run {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), rules);
    let before = cpu::of_process(server.pid());
    let senders = 4;
    let began = Instant::now();
    let tasks: Vec<_> = (0..senders)
        .map(|sender| {
            let numbers = (sender..requests).step_by(senders);
            tokio::spawn(send(server.grpc(), Arc::clone(traffic), numbers, None))
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let acknowledged = began.elapsed().as_secs_f64();
    drained(&server.http()).await;
    let judged = began.elapsed().as_secs_f64();
    let spans = (requests * traffic.spans()) as f64;
    Run {
        spans_a_second: spans / acknowledged,
        judged_a_second: spans / judged,
        cpu_seconds: (server.stop() - before) / spans * 1e6,
    }
}

/// Prints what twenty rules add, so many times over.
pub(crate) async fn measure(traffic: &Arc<Traffic>, agents: usize, requests: usize, times: usize) {
    let dir = tempfile::tempdir().unwrap();
    let files = files(dir.path());
    println!(
        "\n### What rules cost ingest: {agents} agents, {} spans a run\n",
        requests * traffic.spans()
    );
    println!(
        "| run | spans/s acknowledged | spans/s until the rules have seen all | server's CPU s per million spans in all |"
    );
    println!("|---|---|---|---|");
    let mut runs = [Vec::new(), Vec::new()];
    for _ in 0..times {
        for ((name, rules), runs) in files.iter().zip(&mut runs) {
            let run = run(traffic, requests, Some(rules)).await;
            println!(
                "| {name} | {:.0} | {:.0} | {:.2} |",
                run.spans_a_second, run.judged_a_second, run.cpu_seconds
            );
            runs.push(run);
        }
    }
    let mean =
        |of: fn(&Run) -> f64, runs: &[Run]| runs.iter().map(of).sum::<f64>() / runs.len() as f64;
    let ratio = |of: fn(&Run) -> f64| mean(of, &runs[1]) / mean(of, &runs[0]);
    let spread = |runs: &[Run]| {
        let cpu = runs.iter().map(|run| run.cpu_seconds);
        let (least, most) = cpu.fold((f64::MAX, 0.0_f64), |(l, m), s| (l.min(s), m.max(s)));
        (most / least - 1.0) * 100.0
    };
    println!(
        "\nWith twenty rules, CPU is {:.2} of what it is without (target: less than 1.10), spans/s acknowledged {:.2}, until \
         judged {:.2}; runs of one kind differ by {:.0} % and {:.0} % in CPU.",
        ratio(|run| run.cpu_seconds),
        ratio(|run| run.spans_a_second),
        ratio(|run| run.judged_a_second),
        spread(&runs[0]),
        spread(&runs[1]),
    );
}
