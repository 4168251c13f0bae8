//! The loop, timed beside something else that the server has to do.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use flyball_runtime::control::client::{self, RemoteConfig};
use tokio::task::JoinHandle;

use crate::figures::{Ordered, Times, metrics, orders, sum};
use crate::sender::{Pace, send};
use crate::server::{Server, read, rows};
use crate::traffic::Traffic;
use crate::trials::{self, Trial};

/// What the server is promised to keep, milliseconds.
const TARGET_MS: f64 = 250.0;
/// A bound of the server's histograms to hold beside the stopwatch: seconds, as it is printed, and milliseconds.
const BOUND: (&str, f64) = ("0.05", 50.0);

/// What is going on meanwhile.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Beside {
    /// Spans a second of healthy agents.
    pub(crate) spans_a_second: Option<f64>,
    /// Heavy queries at once.
    pub(crate) readers: usize,
}

/// Healthy agents that send in the background.
struct Load {
    tasks: Vec<JoinHandle<Vec<Duration>>>,
    sent: Arc<AtomicUsize>,
    began: Instant,
}

impl Load {
    fn start(grpc: &str, traffic: &Arc<Traffic>, senders: usize, spans_a_second: f64) -> Self {
        let sent = Arc::<AtomicUsize>::default();
        let tasks = (0..senders).map(|sender| {
            let count = Arc::clone(&sent);
            let numbers = (traffic.round() + sender..).step_by(senders);
            let numbers = numbers.inspect(move |_| {
                count.fetch_add(1, Ordering::Relaxed);
            });
            let pace = Pace::of(sender, senders, traffic.spans(), spans_a_second);
            tokio::spawn(send(
                grpc.to_owned(),
                Arc::clone(traffic),
                numbers,
                Some(pace),
            ))
        });
        Self {
            tasks: tasks.collect(),
            sent,
            began: Instant::now(),
        }
    }

    /// Ends it; how many requests a second were sent.
    fn stop(self) -> f64 {
        for task in &self.tasks {
            task.abort();
        }
        self.sent.load(Ordering::Relaxed) as f64 / self.began.elapsed().as_secs_f64()
    }
}

/// Runs the trials and prints what they showed; whether the target was met and nobody healthy was touched.
pub(crate) async fn measure(
    name: &str,
    traffic: &Arc<Traffic>,
    beside: Beside,
    (agents, every): (u32, Duration),
) -> bool {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), None);
    let (grpc, http) = (server.grpc(), server.http());
    // Everybody is known before anybody goes wrong.
    let known = 0..traffic.round();
    send(grpc.clone(), Arc::clone(traffic), known, None).await;
    drained(&http).await;
    let rate = beside.spans_a_second;
    let load = rate.map(|rate| Load::start(&grpc, traffic, 4, rate));
    let readers: Vec<_> = (0..beside.readers)
        .map(|_| tokio::spawn(read(http.clone())))
        .collect();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let trials = trials::run(&grpc, &http, agents, every).await;
    let rate = load.map(Load::stop);
    for reader in readers {
        reader.abort();
    }
    drained(&http).await;
    written(&http, &trials).await;
    let names: HashMap<String, String> = trials
        .iter()
        .map(|trial| (trial.agent.execution(), trial.agent.name.clone()))
        .collect();
    let orders = orders(&http, |execution| names.get(execution).cloned()).await;
    println!("\n### {name}\n");
    if let Some(rate) = rate {
        println!(
            "{:.0} spans a second came in beside it.\n",
            rate * traffic.spans() as f64
        );
    }
    let met = stages(&trials, &orders);
    books(&orders, &metrics(&http).await);
    let innocent = innocent(&http, &trials).await;
    server.stop();
    met && innocent
}

/// Waits until the resolver and the rules have dealt with everything.
pub(crate) async fn drained(http: &str) {
    let deadline = Instant::now() + Duration::from_secs(120);
    while sum(&metrics(http).await, "flyball_queued_events") > 0.0 {
        assert!(Instant::now() < deadline, "the queue does not empty");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Waits until the tables have what control has: the ledger is written after the order is in force, at its own pace.
async fn written(http: &str, trials: &[Trial]) {
    const WORDS: &str = "SELECT count(DISTINCT CASE WHEN obeyed_at IS NOT NULL THEN action_id END) AS n FROM actions";
    const FIRED: &str = "SELECT count(DISTINCT rule || key) AS n FROM alerts WHERE state = 'firing' AND mode = 'enforce'";
    let stopped = trials.iter().filter(|trial| trial.obeyed.is_some()).count();
    let deadline = Instant::now() + Duration::from_secs(60);
    while Instant::now() < deadline {
        let orders = sum(&metrics(http).await, "flyball_rule_actions_total") as usize;
        if rows(http, WORDS).await >= stopped && rows(http, FIRED).await >= orders {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Prints how long each stage took, of the orders that the trials were to cause.
fn stages(trials: &[Trial], orders: &[Ordered]) -> bool {
    let wanted: HashMap<_, _> = trials
        .iter()
        .map(|trial| ((&*trial.agent.name, trial.agent.misdeed.rule()), trial))
        .collect();
    let caused: Vec<(&Trial, &Ordered, i64)> = orders
        .iter()
        .filter_map(|order| {
            let trial = wanted.get(&(&*order.agent, &*order.rule))?;
            (order.state == trial.agent.misdeed.state()).then_some(())?;
            Some((*trial, order, order.obeyed?))
        })
        .collect();
    let stopped = trials.iter().filter(|trial| trial.obeyed.is_some());
    println!(
        "{} agents went wrong, {} were stopped or slowed, {} by the rule that was to do it and with its word on it.\n",
        trials.len(),
        stopped.count(),
        caused.len()
    );
    let micros = |nanos: u64| (nanos / 1_000) as i64;
    let of = |took: &dyn Fn(&Trial, &Ordered, i64) -> i64| {
        Times::of_micros(caused.iter().map(|(t, o, obeyed)| took(t, o, *obeyed)))
    };
    let received_to_obeyed = of(&|_, o, obeyed| obeyed - o.received);
    let stopwatch = |trial: &Trial| Some(micros(trial.obeyed?) - micros(trial.sent));
    let rows = [
        (
            "sent to acknowledged",
            of(&|t, _, _| micros(t.acknowledged) - micros(t.sent)),
        ),
        (
            "sent to received",
            of(&|t, o, _| o.received - micros(t.sent)),
        ),
        ("received to judged", of(&|_, o, _| o.judged - o.received)),
        ("judged to decided", of(&|_, o, _| o.decided - o.judged)),
        ("decided to obeyed", of(&|_, o, obeyed| obeyed - o.decided)),
        ("received to obeyed", received_to_obeyed.clone()),
        (
            "sent to obeyed",
            Times::of_micros(trials.iter().filter_map(stopwatch)),
        ),
    ];
    println!("| stage | n | p50 ms | p99 ms | max ms |");
    println!("|---|---|---|---|---|");
    for (name, times) in &rows {
        println!(
            "| {name} | {} | {:.1} | {:.1} | {:.1} |",
            times.count(),
            times.percentile(50),
            times.percentile(99),
            times.percentile(100)
        );
    }
    let p99 = received_to_obeyed.percentile(99);
    let met = p99 < TARGET_MS && caused.len() == trials.len();
    println!(
        "\nReceived to obeyed, p99: {p99:.1} ms of {TARGET_MS:.0}: {}.",
        if met { "met" } else { "MISSED" }
    );
    met
}

/// Prints what the server's own histograms have of the same orders.
fn books(orders: &[Ordered], metrics: &HashMap<String, f64>) {
    let all = |took: fn(&Ordered) -> Option<i64>| Times::of_micros(orders.iter().filter_map(took));
    let rows = [
        (
            "ended_to_received",
            all(|o| Some((o.received - o.ended).max(0))),
        ),
        ("received_to_judged", all(|o| Some(o.judged - o.received))),
        ("ordered_to_obeyed", all(|o| Some(o.obeyed? - o.decided))),
    ];
    println!(
        "\n| `flyball_loop_seconds` | orders, by the tables and by the books | mean ms | within {:.0} ms |",
        BOUND.1
    );
    println!("|---|---|---|---|");
    let get = |name: String| metrics.get(&name).copied().unwrap_or(f64::NAN);
    for (stage, times) in rows {
        let figure = |kind: &str| get(format!("flyball_loop_seconds_{kind}{{stage=\"{stage}\"}}"));
        let within = format!(
            "flyball_loop_seconds_bucket{{stage=\"{stage}\",le=\"{}\"}}",
            BOUND.0
        );
        println!(
            "| {stage} | {} / {} | {:.2} / {:.2} | {} / {} |",
            times.count(),
            figure("count"),
            times.mean(),
            figure("sum") / figure("count") * 1e3,
            times.within(BOUND.1),
            get(within),
        );
    }
    let figure = |kind: &str| {
        get(format!(
            "flyball_loop_seconds_{kind}{{stage=\"judged_to_ordered\"}}"
        ))
    };
    println!(
        "| judged_to_ordered (to the end of control's commit) | {} | {:.2} | - |",
        figure("count"),
        figure("sum") / figure("count") * 1e3
    );
}

/// Prints who is held back that did nothing wrong; whether that is nobody.
async fn innocent(http: &str, trials: &[Trial]) -> bool {
    let view = client::view(http, &RemoteConfig::default()).await.unwrap();
    let guilty: HashSet<&str> = trials.iter().map(|t| t.agent.name.as_str()).collect();
    let touched = view.entries.iter().map(|entry| entry.scope.target());
    let wronged: Vec<&str> = touched.filter(|target| !guilty.contains(target)).collect();
    let status = reqwest::get(format!("{http}/api/v1/alerts/status"))
        .await
        .unwrap();
    let status: serde_json::Value = serde_json::from_str(&status.text().await.unwrap()).unwrap();
    let known = status["known_agents"].as_u64().unwrap() as usize;
    println!(
        "\n{} healthy agents; of them frozen or throttled: {}{}.",
        known - trials.len(),
        wronged.len(),
        wronged
            .first()
            .map(|name| format!(", {name} among them"))
            .unwrap_or_default(),
    );
    wronged.is_empty()
}
