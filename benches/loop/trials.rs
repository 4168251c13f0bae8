//! Many agents go wrong, one every so often whatever became of those before, and a runtime obeys what is ordered.
//!
//! The runtime is the product's own: a [`Remote`] that keeps a copy of control's view, and a [`Gate`] that every call
//! passes. It is in this process, and so is everything that sends: on another machine its network comes on top.

use std::sync::Arc;
use std::time::Duration;

use flyball_runtime::clock::SystemClock;
use flyball_runtime::control::client::Remote;
use flyball_runtime::control::{Governor, Scope, State, Subject};
use flyball_runtime::gate::Gate;
use tokio::task::JoinSet;
use tonic::transport::Channel;

use crate::misdeeds::{Agent, Misdeed};
use crate::sender::{connect, offer};
use crate::traffic::nanos;

/// Between an agent's healthy spans and the bad one.
const WELL_FOR: Duration = Duration::from_millis(200);
/// Whoever has not stopped by then goes on for ever.
const PATIENCE: Duration = Duration::from_secs(10);
/// Connections that agents share.
const CONNECTIONS: usize = 8;

/// What one agent's stopwatch showed: nanoseconds since 1970.
#[derive(Debug, Clone)]
pub(crate) struct Trial {
    pub(crate) agent: Agent,
    /// Its bad request was about to be sent.
    pub(crate) sent: u64,
    /// And was acknowledged.
    pub(crate) acknowledged: u64,
    /// It was stopped, or made to wait.
    pub(crate) obeyed: Option<u64>,
}

/// Lets so many agents go wrong, one every `every`.
pub(crate) async fn run(grpc: &str, http: &str, agents: u32, every: Duration) -> Vec<Trial> {
    let governor: Arc<dyn Governor> = Remote::connect(http).await.unwrap();
    let gate = Gate::new(Arc::clone(&governor), "bench", Arc::new(SystemClock));
    let mut channels = Vec::new();
    for _ in 0..CONNECTIONS {
        channels.push(connect(grpc).await);
    }
    let (mut trials, mut begins) = (JoinSet::new(), tokio::time::interval(every));
    for number in 0..agents {
        begins.tick().await;
        let channel = channels[number as usize % CONNECTIONS].clone();
        let (gate, governor) = (Arc::clone(&gate), Arc::clone(&governor));
        trials.spawn(trial(Agent::new(number), channel, gate, governor));
    }
    let trials = trials.join_all().await;
    assert!(
        gate.settle(PATIENCE).await,
        "every word of obedience is told"
    );
    trials
}

async fn trial(
    agent: Agent,
    channel: Channel,
    gate: Arc<Gate>,
    governor: Arc<dyn Governor>,
) -> Trial {
    // Acknowledged or not yet taken: what is refused is sent again.
    while offer(&channel, agent.well()).await.is_err() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    tokio::time::sleep(WELL_FOR).await;
    let stopped = tokio::spawn(stopped(agent.clone(), gate, governor));
    let sent = nanos();
    while offer(&channel, agent.bad()).await.is_err() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let acknowledged = nanos();
    let stopped = tokio::time::timeout(PATIENCE, stopped).await;
    Trial {
        agent,
        sent,
        acknowledged,
        obeyed: stopped.ok().map(Result::unwrap),
    }
}

/// When the agent may not go on as it did.
async fn stopped(agent: Agent, gate: Arc<Gate>, governor: Arc<dyn Governor>) -> u64 {
    let who = subject(&agent);
    match agent.misdeed {
        // As a call in flight is cut.
        Misdeed::Overrun | Misdeed::Loop => {
            gate.frozen(&who).await;
            nanos()
        }
        // As calls wait in line: the first goes at once, the second has to wait, and that is what obeying is.
        Misdeed::Haste => {
            let scope = Scope::Agent(agent.name.clone());
            let slowed = |view: &Arc<_>| slowed(view, &scope);
            let mut changes = governor.watch();
            let _ = changes.wait_for(slowed).await.unwrap();
            let _first = gate.turn(&who).await;
            let at = nanos();
            let _second = tokio::time::timeout(Duration::from_millis(1), gate.turn(&who)).await;
            at
        }
    }
}

fn slowed(view: &flyball_runtime::control::View, scope: &Scope) -> bool {
    *view.state_of(scope) != State::Running
}

fn subject(agent: &Agent) -> Subject<'_> {
    Subject {
        workspace: "default",
        tenant: None,
        agent: &agent.name,
        tool: None,
        execution: None,
    }
}
