//! Where an execution asks control before it goes on: at admission, before each model call, each tool
//! stage, each retry and each commit.
//!
//! Level-triggered: every check reads the view that is in force now, so a freeze that came while nobody
//! looked is seen all the same. The first refusal (or wait, or degradation) because of an action is
//! reported as obeyed, once an action and agent.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::clock::Clock;
use crate::control::{Governor, InForce, Limited, Obeyed, State, Subject, View};

/// How many (action, agent) pairs are remembered before those no longer in force are forgotten.
const REMEMBERED: usize = 4096;

/// An execution must stop here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stop {
    /// The action that froze it.
    pub action_id: String,
    /// Whose freeze, and why.
    pub detail: String,
}

/// What is left to an execution that may go on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Limits {
    /// Use the models of this tier.
    pub tier: Option<String>,
    /// Only read-only tools.
    pub read_only: bool,
    /// At most so many actions from one plan.
    pub plan_depth: Option<u32>,
    /// The most severe action that degrades it.
    pub action_id: Option<String>,
    /// How long it had to wait for its turn.
    pub waited: Duration,
}

/// The gate of one runtime process.
#[derive(Debug)]
pub struct Gate {
    governor: Arc<dyn Governor>,
    clock: Arc<dyn Clock>,
    runtime: String,
    told: Mutex<HashSet<(String, String)>>,
    turns: Mutex<HashMap<(String, String), Instant>>,
    words: mpsc::UnboundedSender<Word>,
    reporter: JoinHandle<()>,
}

enum Word {
    Obeyed(Obeyed),
    Settled(oneshot::Sender<()>),
}

impl Gate {
    /// A gate that obeys `governor`, and reports as `runtime`. Needs a tokio runtime.
    #[must_use]
    pub fn new(
        governor: Arc<dyn Governor>,
        runtime: impl Into<String>,
        clock: Arc<dyn Clock>,
    ) -> Arc<Self> {
        let (words, told) = mpsc::unbounded_channel();
        let reporter = tokio::spawn(report(Arc::clone(&governor), told));
        Arc::new(Self {
            governor,
            clock,
            runtime: runtime.into(),
            told: Mutex::default(),
            turns: Mutex::default(),
            words,
            reporter,
        })
    }

    /// Whether this subject is frozen now. Costs a look at the view.
    #[must_use]
    pub fn stop(&self, who: &Subject<'_>) -> Option<Stop> {
        let view = self.governor.view();
        let entry = view
            .verdict(who)
            .filter(|entry| entry.state == State::Frozen)?;
        self.obey(entry, who.agent, &view);
        Some(stop(entry))
    }

    /// Resolves as soon as this subject is frozen. Cancel-safe.
    pub async fn frozen(&self, who: &Subject<'_>) -> Stop {
        let mut changes = self.governor.watch();
        loop {
            changes.borrow_and_update();
            if let Some(stop) = self.stop(who) {
                return stop;
            }
            if changes.changed().await.is_err() {
                // The governor is gone and can't freeze anybody any more: its last view holds.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Waits for this subject's turn, when it is throttled, and says what is left to it. Model calls
    /// wait for any throttle, tool calls (`who.tool`) only for one on the tool. Everything that
    /// matches limits it: a degradation does not end a throttle, nor one degradation another.
    ///
    /// # Errors
    /// When it is frozen, now or while it waits.
    pub async fn turn(&self, who: &Subject<'_>) -> Result<Limits, Stop> {
        let began = Instant::now();
        let mut changes = self.governor.watch();
        let mut slots: Vec<(String, Instant)> = Vec::new();
        loop {
            let view = Arc::clone(&changes.borrow_and_update());
            if let Some(entry) = view
                .verdict(who)
                .filter(|entry| entry.state == State::Frozen)
            {
                self.obey(entry, who.agent, &view);
                return Err(stop(entry));
            }
            let limited = view.limits(who);
            self.line_up(&mut slots, &limited, who.agent);
            let now = Instant::now();
            let waits = |action_id: &str| {
                let mine =
                    |(action, until): &(String, Instant)| action == action_id && *until > now;
                slots.iter().any(mine)
            };
            for entry in &limited.throttles {
                if waits(&entry.action_id) {
                    self.obey(entry, who.agent, &view);
                }
            }
            let latest = slots.iter().map(|(_, until)| *until).max();
            let Some(until) = latest.filter(|until| *until > now) else {
                for entry in &limited.degrades {
                    self.obey(entry, who.agent, &view);
                }
                return Ok(Limits {
                    tier: limited.tier().map(str::to_owned),
                    read_only: limited.read_only(),
                    plan_depth: limited.plan_depth(),
                    action_id: limited
                        .degrades
                        .first()
                        .map(|entry| entry.action_id.clone()),
                    waited: began.elapsed(),
                });
            };
            tokio::select! {
                () = tokio::time::sleep_until(until) => {}
                changed = changes.changed() => if changed.is_err() {
                    tokio::time::sleep_until(until).await;
                }
            }
        }
    }

    /// Whether control can't be reached, and what is obeyed may be out of date.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        self.governor.is_stale()
    }

    /// Waits until every report so far is delivered, at most this long; says whether it is.
    pub async fn settle(&self, at_most: Duration) -> bool {
        let (done, settled) = oneshot::channel();
        self.words.send(Word::Settled(done)).is_ok()
            && matches!(tokio::time::timeout(at_most, settled).await, Ok(Ok(())))
    }

    /// Takes a slot under each throttle where it has none yet, and forgets those that were lifted.
    fn line_up(&self, slots: &mut Vec<(String, Instant)>, limited: &Limited<'_>, agent: &str) {
        slots.retain(|(action, _)| {
            let throttles = &mut limited.throttles.iter();
            throttles.any(|entry| entry.action_id == *action)
        });
        for entry in &limited.throttles {
            if let State::Throttled { calls_per_minute } = entry.state
                && slots.iter().all(|(action, _)| *action != entry.action_id)
            {
                let until = self.take_turn(entry, agent, calls_per_minute);
                slots.push((entry.action_id.clone(), until));
            }
        }
    }

    /// The next free moment for this agent under this throttle, and takes it.
    fn take_turn(&self, entry: &InForce, agent: &str, calls_per_minute: u32) -> Instant {
        let gap = Duration::from_secs(60) / calls_per_minute.max(1);
        let now = Instant::now();
        let mut turns = lock(&self.turns);
        if turns.len() > REMEMBERED {
            turns.retain(|_, next| *next > now);
        }
        let next = turns
            .entry((entry.action_id.clone(), agent.to_owned()))
            .or_insert(now);
        let mine = (*next).max(now);
        *next = mine + gap;
        mine
    }

    /// Reports obedience, once an action and agent.
    fn obey(&self, entry: &InForce, agent: &str, view: &View) {
        let mut told = lock(&self.told);
        if told.len() > REMEMBERED {
            told.retain(|(action, _)| view.entries.iter().any(|entry| entry.action_id == *action));
        }
        if !told.insert((entry.action_id.clone(), agent.to_owned())) {
            return;
        }
        let word = Obeyed {
            action_id: entry.action_id.clone(),
            by: format!("{}/{agent}", self.runtime),
            obeyed_at_unix_nano: self.clock.unix_nano(),
        };
        let _ = self.words.send(Word::Obeyed(word));
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.reporter.abort();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn stop(entry: &InForce) -> Stop {
    let target = entry.scope.target();
    let whom = if target.is_empty() {
        entry.scope.name().to_owned()
    } else {
        format!("{} {target}", entry.scope.name())
    };
    let detail = format!(
        "{whom} frozen by {}: {} (action {})",
        entry.actor, entry.reason, entry.action_id
    );
    Stop {
        action_id: entry.action_id.clone(),
        detail,
    }
}

async fn report(governor: Arc<dyn Governor>, mut words: mpsc::UnboundedReceiver<Word>) {
    while let Some(word) = words.recv().await {
        match word {
            Word::Settled(done) => {
                let _ = done.send(());
            }
            Word::Obeyed(obeyed) => deliver(governor.as_ref(), obeyed).await,
        }
    }
}

async fn deliver(governor: &dyn Governor, obeyed: Obeyed) {
    let mut pause = Duration::from_millis(20);
    for _ in 0..12 {
        match governor.obeyed(obeyed.clone()).await {
            Ok(()) => return,
            Err(error) if error.is_callers() => {
                tracing::warn!(%error, "obedience was not accepted");
                return;
            }
            Err(error) => {
                tracing::debug!(%error, "obedience could not be reported yet");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_secs(5));
            }
        }
    }
    tracing::warn!(action = obeyed.action_id, "obedience could not be reported");
}
