//! How they act: incidents and tickets come in at a steady pace, each handled by executions of its own.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use super::stage::Stage;
use super::{AgentReport, FleetConfig, FleetReport, RUNAWAY, RunawayReport, cast, props, scenes};
use crate::Error;
use crate::budget::{BookPrices, Budgets};
use crate::clock::SystemClock;
use crate::control::client::{Remote, RemoteConfig};
use crate::engine::{Engine, Outcome, Parts};
use crate::gate::Gate;
use crate::machine::{SqliteJournal, Termination};
use crate::model::Script;
use crate::policy::Policy;
use crate::spec::{AgentSpec, Task};
use crate::telemetry::{ExporterConfig, Telemetry};

const INCIDENT_EVERY: Duration = Duration::from_millis(900);
const TICKET_EVERY: Duration = Duration::from_millis(600);
/// How long the others go on after the runaway was frozen.
const AFTERWARDS: Duration = Duration::from_secs(5);
/// How long before the end nothing new is taken on.
const WINDING_DOWN: Duration = Duration::from_secs(6);

/// The fleet at work.
struct Play {
    engine: Engine,
    stage: Arc<Stage>,
    outcomes: Mutex<Vec<(String, Outcome)>>,
    /// When nothing new is taken on any more.
    curtain: watch::Sender<Instant>,
    ends: Instant,
    seed: u64,
}

pub(super) async fn play(config: FleetConfig) -> Result<FleetReport, Error> {
    let began = Instant::now();
    let ends = began + config.duration;
    let telemetry = Telemetry::start(ExporterConfig {
        key: config.key.clone(),
        ..ExporterConfig::to(config.otlp_endpoint.clone())
    })?;
    let control = Remote::connect_with(
        &config.control_url,
        RemoteConfig {
            key: config.key,
            ..RemoteConfig::default()
        },
    )
    .await?;
    let clock = Arc::new(SystemClock);
    let gate = Gate::new(
        control,
        format!("fleet-{}", std::process::id()),
        Arc::<SystemClock>::clone(&clock),
    );
    let stage = Arc::new(Stage::default());
    let book = flyball_pricing::Book::builtin()
        .map_err(|error| Error::invalid("price book", "builtin", error.to_string()))?;
    let engine = Engine::new(Parts {
        journal: Arc::new(SqliteJournal::in_memory()?),
        provider: Arc::<Stage>::clone(&stage),
        tools: Arc::new(props::toolbox()?),
        policy: Policy::builtin()?,
        gate: Arc::clone(&gate),
        budgets: Budgets::none(Arc::<SystemClock>::clone(&clock))?,
        prices: Arc::new(BookPrices(Arc::new(book))),
        telemetry: telemetry.clone(),
        clock,
        service: "flyball-fleet".to_owned(),
        content: true,
    });
    let curtain = watch::Sender::new(
        ends.checked_sub(WINDING_DOWN)
            .unwrap_or(began)
            .max(began + config.duration / 3),
    );
    let play = Arc::new(Play {
        engine,
        stage,
        outcomes: Mutex::default(),
        curtain,
        ends,
        seed: config.seed,
    });

    let mut scenes = JoinSet::new();
    scenes.spawn(Arc::clone(&play).incidents());
    scenes.spawn(Arc::clone(&play).tickets());
    let mut runaway = None;
    if config.runaway {
        let after = (config.duration / 4).min(Duration::from_secs(7));
        runaway = Some(tokio::spawn(Arc::clone(&play).run_away(began + after)));
    }
    while scenes.join_next().await.is_some() {}
    let runaway = match runaway {
        Some(task) => task.await.ok().flatten(),
        None => None,
    };
    gate.settle(Duration::from_secs(5)).await;
    telemetry.flush(Duration::from_secs(5)).await;
    let sent = telemetry.sent();
    let mut report = play.report(runaway);
    (report.spans_accepted, report.spans_dropped) = (sent.accepted, sent.dropped);
    report.took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    Ok(report)
}

impl Play {
    /// Runs one execution to its end, within what is left of the evening.
    async fn act(&self, mut spec: AgentSpec, task: &Task, script: Script) -> Option<Outcome> {
        let left = self.ends.saturating_duration_since(Instant::now());
        spec.bounds.max_wall_ms = u64::try_from(left.as_millis()).unwrap_or(u64::MAX).max(1);
        let id = uuid::Uuid::now_v7().to_string();
        self.stage.hand_out(&id, script);
        let outcome = self.engine.run_as(&id, &spec, task).await;
        self.stage.take_back(&id);
        match outcome {
            Ok(outcome) => {
                let mut outcomes = self.outcomes.lock().unwrap_or_else(PoisonError::into_inner);
                outcomes.push((spec.agent, outcome.clone()));
                Some(outcome)
            }
            Err(error) => {
                tracing::error!(%error, agent = spec.agent, "an execution was lost");
                None
            }
        }
    }

    /// Waits for the next one to come in; false when nothing new is taken on any more.
    async fn next(&self, pace: Duration) -> bool {
        let mut curtain = self.curtain.subscribe();
        let due = Instant::now() + pace;
        loop {
            let falls = *curtain.borrow_and_update();
            tokio::select! {
                () = sleep_until(due.min(falls)) => return due < falls,
                changed = curtain.changed() => if changed.is_err() { return false },
            }
        }
    }

    async fn incidents(self: Arc<Self>) {
        let mut running = JoinSet::new();
        let mut number = 1;
        loop {
            running.spawn(Arc::clone(&self).incident(number));
            number += 1;
            if !self.next(INCIDENT_EVERY).await {
                break;
            }
        }
        while running.join_next().await.is_some() {}
    }

    /// Monitor, diagnose, remediate, supervise, one after the other; when one does not succeed, the
    /// incident is a person's.
    async fn incident(self: Arc<Self>, number: u64) {
        let scenes::Incident { task, scripts, .. } = scenes::incident(number, self.seed);
        let cast = [
            cast::monitor(),
            cast::diagnose(),
            cast::remediate(),
            cast::supervise(),
        ];
        for (spec, script) in cast.into_iter().zip(scripts) {
            let outcome = self.act(spec, &task, script).await;
            if outcome.is_none_or(|outcome| outcome.termination != Termination::Success) {
                break;
            }
        }
    }

    async fn tickets(self: Arc<Self>) {
        let mut running = JoinSet::new();
        let mut number = 1;
        loop {
            let play = Arc::clone(&self);
            running.spawn(async move {
                let (task, script) = scenes::ticket(number, play.seed);
                play.act(cast::support(), &task, script).await;
            });
            number += 1;
            if !self.next(TICKET_EVERY).await {
                break;
            }
        }
        while running.join_next().await.is_some() {}
    }

    async fn run_away(self: Arc<Self>, from: Instant) -> Option<Outcome> {
        sleep_until(from).await;
        let (task, script) = scenes::runaway(self.seed);
        let outcome = self.act(cast::unbounded(), &task, script).await?;
        if outcome.reason == "frozen" {
            // The others go on for a while: only the one that ran away is stopped.
            let soon = Instant::now() + AFTERWARDS;
            self.curtain
                .send_modify(|falls| *falls = (*falls).min(soon));
        }
        // Whatever was in flight elsewhere has its moment to end.
        sleep(Duration::from_millis(50)).await;
        Some(outcome)
    }

    fn report(&self, runaway: Option<Outcome>) -> FleetReport {
        let mut report = FleetReport::default();
        let outcomes = self.outcomes.lock().unwrap_or_else(PoisonError::into_inner);
        for (agent, outcome) in outcomes.iter() {
            count(report.agents.entry(agent.clone()).or_default(), outcome);
        }
        let frozen: Vec<&Outcome> = outcomes
            .iter()
            .filter(|(agent, outcome)| agent == RUNAWAY && outcome.reason == "frozen")
            .map(|(_, outcome)| outcome)
            .collect();
        // The first of them to stop did so after the agent had obeyed, if only by microseconds.
        let obeyed = frozen
            .iter()
            .map(|outcome| outcome.ended_at_unix_nano)
            .min();
        report.runaway = runaway.map(|outcome| RunawayReport {
            agent: RUNAWAY.to_owned(),
            execution_id: outcome.execution_id,
            began_at_unix_nano: outcome.started_at_unix_nano,
            stopped_at_unix_nano: outcome.ended_at_unix_nano,
            reason: outcome.reason,
            model_calls: u64::from(outcome.counters.model_calls),
            spent_usd: outcome.spent_usd,
            calls_after_freeze: obeyed.map_or(0, |at| self.stage.calls_after(RUNAWAY, at)),
            refused_executions: frozen
                .iter()
                .map(|outcome| u64::from(outcome.counters.model_calls == 0))
                .sum(),
        });
        report
    }
}

fn count(report: &mut AgentReport, outcome: &Outcome) {
    report.executions += 1;
    match outcome.termination {
        Termination::Success => report.successes += 1,
        Termination::Failure => report.failures += 1,
        Termination::Escalation => report.escalations += 1,
        Termination::Abort => report.aborts += 1,
    }
    report.frozen += u64::from(outcome.reason == "frozen");
    report.model_calls += u64::from(outcome.counters.model_calls);
    report.tool_calls += u64::from(outcome.counters.tool_calls);
    report.spent_usd += outcome.spent_usd;
}
