//! The engine: reads the store's events, judges at once, and carries out what follows.
//!
//! `core` is pure: events and time in, effects out. This file and `deliver` give it its surroundings.
//! An order never waits for a row to be kept or a notice to be sent: each goes its own way.

mod core;
mod deliver;
mod entry;
mod history;
mod judge;
mod rehearsal;
mod replay;
mod status;
#[cfg(test)]
mod tests;
mod trusted;
mod watch;
mod words;

pub use rehearsal::{Happening, Rehearsal};
pub use status::{KeyStatus, RuleStatus, Status, Traffic};

pub(crate) use replay::{Replay, Step};
pub(crate) use words::rfc3339;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use arrow::array::RecordBatch;
use flyball_runtime::control::{Order, View};
use flyball_store::rows::AlertRow;
use flyball_store::{Event, Origin};
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot, watch as channel};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::core::Core;
use self::deliver::{Deliver, Outcome};
use crate::books::Books;
use crate::fact::{COLUMNS, EntryViews};
use crate::guard::BlastRadius;
use crate::knowledge::KEPT_EVERY;
use crate::memory::{Memory, Saved};
use crate::notify::{Notice, Notifier};
use crate::ports::{Ask, Clock, Orders, Records};
use crate::rule::Rule;
use crate::trust::{FalseAlarm, Standing};
use crate::{Error, Result};

/// How often time passes for rules on which nothing arrives.
const TICK: Duration = Duration::from_secs(1);
/// How often notifiers are told of all alerts that stand: what was lost on the way to them is made up for.
const ROLL_CALL: Duration = Duration::from_secs(30);
/// How often what was learnt is kept.
const KEEPS: Duration = Duration::from_nanos(KEPT_EVERY.unsigned_abs());
/// How long filling the windows again may take.
const WARM_UP: Duration = Duration::from_secs(5);

/// What follows from an event, in the order in which it must happen.
#[derive(Debug)]
enum Effect {
    Order {
        order: Box<Order>,
        key: String,
    },
    Alert(Box<AlertRow>),
    Notice {
        to: Option<Vec<String>>,
        notice: Box<Notice>,
    },
    Ask {
        rule: String,
        sql: String,
        every: i64,
    },
}

/// What can be set.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The workspace that is watched.
    pub workspace: String,
    /// Most keys of one rule; beyond, idle ones make room, and that is counted.
    pub keys: usize,
    /// How much automatic freezes may touch.
    pub blast_radius: BlastRadius,
}

impl Default for Settings {
    /// Workspace `default`, 10,000 keys a rule, the default blast radius.
    fn default() -> Self {
        Self {
            workspace: "default".to_owned(),
            keys: 10_000,
            blast_radius: BlastRadius::default(),
        }
    }
}

/// What the engine works with.
#[derive(Debug)]
pub struct Parts {
    /// The store's events: `store.subscribe()`. Subscribe before the resolver resumes.
    pub events: mpsc::UnboundedReceiver<Event>,
    /// The control plane.
    pub orders: Arc<dyn Orders>,
    /// Where alerts are kept.
    pub records: Arc<dyn Records>,
    /// Answers the queries of rules.
    pub ask: Arc<dyn Ask>,
    /// Who tells people.
    pub notifiers: Vec<Arc<dyn Notifier>>,
    /// What survives a restart.
    pub memory: Arc<dyn Memory>,
    /// What time it is.
    pub clock: Clock,
    /// What can be set.
    pub settings: Settings,
}

/// Alerting at work. Dropping it ends it; [`Alerts::stop`] also saves where it stood.
#[derive(Debug)]
pub struct Alerts {
    core: Arc<Mutex<Core>>,
    said: mpsc::UnboundedSender<Said>,
    end: CancellationToken,
    task: Mutex<Option<JoinHandle<()>>>,
}

/// What people say of rules and of what they did.
#[derive(Debug)]
enum Said {
    Promote {
        rule: String,
        anyway: bool,
        answer: oneshot::Sender<Result<Standing>>,
    },
    FalseAlarm {
        action_id: String,
        answer: oneshot::Sender<Result<FalseAlarm>>,
    },
}

impl Alerts {
    /// Starts to watch. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// When a rule names a notifier that is not there, or the saved state cannot be read.
    pub fn start(rules: Vec<Rule>, parts: Parts) -> Result<Arc<Self>> {
        check_notifiers(&rules, &parts.notifiers)?;
        let now = parts.clock.now();
        let view = parts.orders.watch();
        let mut core = Core::new(rules, &parts.settings, now);
        let current = Arc::clone(&view.borrow());
        core.restore(parts.memory.load()?.unwrap_or_default(), current, now);
        let learners = core.learners();
        parts.memory.forget(&learners);
        for rule in learners {
            // What cannot be read is learnt anew; that is no reason not to watch.
            match parts.memory.knowledge(&rule) {
                Ok(None) => {}
                Ok(Some(known)) => {
                    if !core.know(&rule, known, now) {
                        tracing::info!(rule, "it had learnt of something else, and learns anew");
                    }
                }
                Err(e) => {
                    tracing::warn!(rule, "what it had learnt is not used, it learns anew: {e}");
                }
            }
        }
        let core = Arc::new(Mutex::new(core));
        let end = CancellationToken::new();
        let task = Task {
            core: Arc::clone(&core),
            clock: parts.clock.clone(),
            memory: Arc::clone(&parts.memory),
        };
        let (said, heard) = mpsc::unbounded_channel();
        let task = tokio::spawn(task.run(parts, view, heard, end.clone()));
        Ok(Arc::new(Self {
            core,
            said,
            end,
            task: Mutex::new(Some(task)),
        }))
    }

    /// How every rule and key stands.
    #[must_use]
    pub fn status(&self) -> Status {
        self.core.lock().status()
    }

    /// Puts a rule in force that is in shadow, whatever its file says, until the file changes. What its file asks for
    /// must have been shown, unless it shall be `anyway`. It is kept when this returns.
    ///
    /// # Errors
    /// [`Error::RuleUnknown`]; [`Error::NotPromoted`], which says what is lacking; [`Error::Ended`].
    pub async fn promote(&self, rule: &str, anyway: bool) -> Result<Standing> {
        let (answer, answered) = oneshot::channel();
        let rule = rule.to_owned();
        self.tell(Said::Promote {
            rule,
            anyway,
            answer,
        })?;
        answered.await.map_err(|_| Error::Ended)?
    }

    /// A person found an action wrong, be it in force or in shadow. A rule in force of which that is said too often
    /// falls back to shadow. It is kept when this returns.
    ///
    /// # Errors
    /// [`Error::ActionUnknown`]; [`Error::Ended`].
    pub async fn false_alarm(&self, action_id: &str) -> Result<FalseAlarm> {
        let (answer, answered) = oneshot::channel();
        let action_id = action_id.to_owned();
        self.tell(Said::FalseAlarm { action_id, answer })?;
        answered.await.map_err(|_| Error::Ended)?
    }

    fn tell(&self, said: Said) -> Result<()> {
        self.said.send(said).map_err(|_| Error::Ended)
    }

    /// How long its stages took since the start, and what became of what rules wished.
    #[must_use]
    pub fn books(&self) -> Books {
        let core = self.core.lock();
        let stages = core.stages();
        Books {
            received: stages.received.times(),
            judged: stages.judged.times(),
            ordered: stages.ordered.times(),
            failed: stages.failed.load(Ordering::Relaxed),
            rules: core.rule_books(),
        }
    }

    /// Ends it: what was decided is still delivered (for a few seconds at most), and the state is saved.
    pub async fn stop(&self) {
        self.end.cancel();
        let task = self.task.lock().take();
        if let Some(task) = task
            && let Err(e) = task.await
        {
            tracing::error!("alerting ended badly: {e}");
        }
    }
}

impl Drop for Alerts {
    fn drop(&mut self) {
        self.end.cancel();
    }
}

fn check_notifiers(rules: &[Rule], notifiers: &[Arc<dyn Notifier>]) -> Result<()> {
    for rule in rules {
        for name in rule.notify.iter().flatten() {
            if !notifiers.iter().any(|notifier| notifier.name() == name) {
                let known: Vec<_> = notifiers.iter().map(|n| n.name()).collect();
                let known = if known.is_empty() {
                    "none".to_owned()
                } else {
                    known.join(", ")
                };
                return Err(Error::NotifierUnknown {
                    rule: rule.name.clone(),
                    name: name.clone(),
                    known,
                });
            }
        }
    }
    Ok(())
}

struct Task {
    core: Arc<Mutex<Core>>,
    clock: Clock,
    memory: Arc<dyn Memory>,
}

impl Task {
    async fn run(
        self,
        parts: Parts,
        mut view: channel::Receiver<Arc<View>>,
        mut heard: mpsc::UnboundedReceiver<Said>,
        end: CancellationToken,
    ) {
        let mut events = parts.events;
        let (mut deliver, mut outcomes) = Deliver::start(
            parts.settings.workspace,
            parts.orders,
            parts.records,
            parts.ask,
            parts.notifiers,
            Arc::clone(self.core.lock().stages()),
        );
        self.warm_up(&deliver);
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut calls = tokio::time::interval(ROLL_CALL);
        calls.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut keeps = tokio::time::interval_at(Instant::now() + KEEPS, KEEPS);
        keeps.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut saving = None;
        let mut keeping: Option<JoinHandle<()>> = None;
        let mut dirty = false;
        loop {
            let effects = tokio::select! {
                biased;
                () = end.cancelled() => break,
                _ = ticks.tick() => {
                    dirty |= self.core.lock().learnt();
                    if dirty && saving.as_ref().is_none_or(JoinHandle::is_finished) {
                        saving = Some(self.save());
                        dirty = false;
                    }
                    self.with(Core::tick)
                }
                _ = calls.tick() => {
                    let standing = self.core.lock().standing();
                    if let Some(standing) = standing {
                        deliver.standing(standing);
                    }
                    Vec::new()
                }
                _ = keeps.tick() => {
                    if keeping.as_ref().is_none_or(JoinHandle::is_finished) {
                        keeping = Some(self.keep());
                    }
                    Vec::new()
                }
                changed = view.changed() => {
                    if changed.is_err() {
                        break;
                    }
                    let view = Arc::clone(&view.borrow_and_update());
                    dirty = true;
                    self.with(|core, now| { core.viewed(view, now); Vec::new() })
                }
                Some(outcome) = outcomes.recv() => self.came_of(outcome),
                Some(said) = heard.recv() => self.hear(said).await,
                event = events.recv() => match event {
                    Some(event) => self.event(&event),
                    // The store has closed.
                    None => break,
                },
            };
            dirty |= !effects.is_empty();
            for effect in effects {
                deliver.effect(effect);
            }
        }
        deliver.stop().await;
        // What failed meanwhile must not be saved as done.
        while let Ok(outcome) = outcomes.try_recv() {
            if matches!(outcome, Outcome::Failed { .. }) {
                drop(self.came_of(outcome));
            }
        }
        if let Some(saving) = saving {
            let _ = saving.await;
        }
        let _ = self.save().await;
        if let Some(keeping) = keeping {
            let _ = keeping.await;
        }
        let _ = self.keep().await;
    }

    /// Does what somebody says, and keeps it before it says so.
    async fn hear(&self, said: Said) -> Vec<Effect> {
        let now = self.clock.now();
        match said {
            Said::Promote {
                rule,
                anyway,
                answer,
            } => {
                let done = self.core.lock().promote(&rule, anyway, now);
                self.answer(done, answer).await
            }
            Said::FalseAlarm { action_id, answer } => {
                let done = self.core.lock().false_alarm(&action_id, now);
                self.answer(done, answer).await
            }
        }
    }

    async fn answer<T: Send>(
        &self,
        done: Result<(T, Vec<Effect>)>,
        answer: oneshot::Sender<Result<T>>,
    ) -> Vec<Effect> {
        let (told, effects) = match done {
            Ok((told, effects)) => (Ok(told), effects),
            Err(error) => (Err(error), Vec::new()),
        };
        if told.is_ok() {
            let _ = self.save().await;
        }
        // Whoever asked may have gone.
        let _ = answer.send(told);
        effects
    }

    fn with(&self, step: impl FnOnce(&mut Core, i64) -> Vec<Effect>) -> Vec<Effect> {
        let now = self.clock.now();
        step(&mut self.core.lock(), now)
    }

    fn event(&self, event: &Event) -> Vec<Effect> {
        self.with(|core, now| match event {
            Event::Charges {
                workspace,
                origin,
                batch,
            } if **workspace == *core.workspace() => match EntryViews::of(batch) {
                Ok(entries) => core.charges(*origin, &entries, now),
                // The store lets no other rows into the journal.
                Err(problem) => {
                    tracing::error!(%problem, "entries of the journal cannot be read: no rule sees them");
                    Vec::new()
                }
            },
            Event::Rows {
                workspace,
                position,
                ..
            } if **workspace == *core.workspace() => {
                core.reached(*position);
                Vec::new()
            }
            _ => Vec::new(),
        })
    }

    fn came_of(&self, outcome: Outcome) -> Vec<Effect> {
        self.with(|core, now| match outcome {
            Outcome::Answer { rule, answer } => core.answered(&rule, answer, now),
            Outcome::Failed { order, key } => {
                core.failed(&order, &key);
                Vec::new()
            }
            Outcome::Warm(answer) => {
                match answer.and_then(|batches| entries(&batches)) {
                    Ok(Some(entries)) => drop(core.charges(Origin::Replay, &entries, now)),
                    Ok(None) => {}
                    Err(reason) => tracing::warn!(
                        reason,
                        "windows start empty: the last charges cannot be read"
                    ),
                }
                core.warmed(now)
            }
        })
    }

    /// Fills the windows again with what is in the tables. What arrives meanwhile is in both, and counts once.
    fn warm_up(&self, deliver: &Deliver) {
        let reach = self.core.lock().reach();
        match reach {
            Some(reach) => {
                let since = (self.clock.now() - reach) / 1_000;
                let sql = format!(
                    "SELECT {COLUMNS} FROM charges WHERE received_at >= to_timestamp_micros({since}) ORDER BY received_at, known_at"
                );
                deliver.warm(sql, WARM_UP);
            }
            None => deliver.warm_without(),
        }
    }

    /// Keeps what rules have learnt, one after the other: rules wait no longer than one of them takes to be taken down.
    fn keep(&self) -> JoinHandle<()> {
        let (core, memory, clock) = (
            Arc::clone(&self.core),
            Arc::clone(&self.memory),
            self.clock.clone(),
        );
        tokio::task::spawn_blocking(move || {
            let learners = core.lock().learners();
            for rule in learners {
                let known = core.lock().knowledge(&rule, clock.now());
                if let Some(Err(e)) = known.map(|known| memory.keep(&rule, &known)) {
                    tracing::error!(rule, "what it has learnt is not kept: {e}");
                }
            }
        })
    }

    fn save(&self) -> JoinHandle<()> {
        let saved: Saved = self.core.lock().save(self.clock.now());
        let memory = Arc::clone(&self.memory);
        tokio::task::spawn_blocking(move || {
            if let Err(e) = memory.save(&saved) {
                tracing::error!("{e}");
            }
        })
    }
}

/// All at once: a correction may stand in two batches.
fn entries(batches: &[RecordBatch]) -> std::result::Result<Option<EntryViews>, String> {
    let Some(first) = batches.first() else {
        return Ok(None);
    };
    let all = arrow::compute::concat_batches(&first.schema(), batches);
    let entries = all.and_then(|all| EntryViews::of(&all));
    entries.map(Some).map_err(|problem| problem.to_string())
}
