//! Backtests: what a rule would have done to the past, had it been in force, and what that would have been worth.
//!
//! [`run`] reads the journal in the order in which it became known (`history`), a slice at a time, and drives the
//! engine's own core with it: the same windows, state machine, cool-downs and blast radius, by the clock of the data
//! (`crate::engine::Replay`). Nothing is ordered, and history goes on as it went, so what follows an order is what was
//! really spent: `account` keeps the bill while the order would have stood, which is until its alert is over (a person
//! may release later, and then save more). `verdict` holds the bill against how those executions ended; `timeline`
//! draws the states of each key. Printing is left to the caller.

mod account;
mod history;
mod timeline;
mod verdict;

pub use history::Timing;
pub use timeline::{Lane, Mark};
pub use verdict::{Sums, Wrong};

use std::collections::{BTreeMap, BTreeSet};

use flyball_store::Origin;
use serde::Serialize;

use self::account::{Account, Bill};
use self::history::{History, unreadable};
use self::timeline::Timeline;
use crate::engine::{Replay, Settings, Step, rfc3339};
use crate::fact::{EntryView, EntryViews, Fact};
use crate::ports::Ask;
use crate::rule::{Action, Rule, When};
use crate::state::State;
use crate::{Error, Result};

/// Firings that are told one by one; further ones are counted.
const FIRINGS: usize = 10_000;

/// What is replayed.
#[derive(Debug, Clone)]
pub struct Stretch {
    /// From then on rules judge, nanoseconds since 1970.
    pub since: i64,
    /// Before then.
    pub until: i64,
    /// By which clock.
    pub timing: Timing,
    /// Parts into which the timeline is cut.
    pub parts: usize,
}

/// What a rule would have done. Times in nanoseconds since 1970.
#[derive(Debug, Clone, Serialize)]
pub struct Backtest {
    /// The rule.
    pub rule: String,
    /// Its version.
    pub version: String,
    /// When it fires, in words.
    pub condition: String,
    /// What it does.
    pub action: Action,
    /// Replayed from.
    pub since_unix_nano: i64,
    /// Replayed until.
    pub until_unix_nano: i64,
    /// By which clock.
    pub timing: Timing,
    /// Entries of the journal that windows counted.
    pub counted: u64,
    /// Entries that were imported or came late: history, which no rule judges.
    pub history: u64,
    /// Alerts that were about to fire and did not.
    pub only_pending: u64,
    /// What it comes to.
    pub sums: Sums,
    /// Every firing, the first first; at most 10,000.
    pub firings: Vec<Firing>,
    /// Firings beyond those: they are counted, but not on the bill.
    pub firings_left_out: u64,
    /// The states of each key over time; at most 1,000 keys.
    #[serde(skip)]
    pub lanes: Vec<Lane>,
}

/// One alert that would have fired.
#[derive(Debug, Clone, Serialize)]
pub struct Firing {
    /// Such as `agent=triage`.
    pub key: String,
    /// Since when it was pending; none when it fired at once.
    pub pending_since_unix_nano: Option<i64>,
    /// When it fired.
    pub fired_at_unix_nano: i64,
    /// The value then, as a decimal number.
    pub value: Option<String>,
    /// What it was held against.
    pub threshold: String,
    /// When it was over; none when it still fired at the end.
    pub over_at_unix_nano: Option<i64>,
    /// What it would have done, or why not.
    pub acts: Vec<Act>,
}

/// What an alert would have done.
#[derive(Debug, Clone, Serialize)]
pub struct Act {
    /// When, nanoseconds since 1970.
    pub at_unix_nano: i64,
    /// throttle, degrade or freeze.
    pub action: String,
    /// About whom, such as `agent triage`.
    pub target: String,
    /// The action's id; none when it would not have been ordered.
    pub action_id: Option<String>,
    /// In words: ordered, or why not.
    pub outcome: String,
    /// What went on while it would have stood.
    pub sums: Sums,
    /// Executions that it would have stopped, and that ended in success.
    pub wrongly_stopped: Vec<Wrong>,
}

/// Replays a stretch of a workspace's journal through rules, each by itself; `progress` is told how many of how many
/// entries are done.
///
/// # Errors
/// [`Error::NotReplayable`] for a rule in SQL; [`Error::Stretch`]; [`Error::History`] when the journal cannot be read.
pub async fn run(
    rules: &[Rule],
    stretch: &Stretch,
    settings: &Settings,
    ask: &dyn Ask,
    progress: &(dyn Fn(u64, u64) + Sync),
) -> Result<Vec<Backtest>> {
    rules.iter().try_for_each(replayable)?;
    if stretch.since >= stretch.until {
        return Err(Error::Stretch {
            since: rfc3339(stretch.since),
            until: rfc3339(stretch.until),
        });
    }
    let history = History {
        ask,
        workspace: &settings.workspace,
        timing: stretch.timing,
    };
    let mut runs: Vec<Run<'_>> = rules
        .iter()
        .map(|rule| Run::new(rule, stretch, settings))
        .collect();
    let reach = runs.iter().map(|run| run.replay.reach()).max().unwrap_or(0);
    let slices = history.slices(stretch.since - reach, stretch.until).await?;
    let total: i64 = slices.iter().map(|slice| slice.rows).sum();
    let mut done = 0;
    for slice in slices {
        if let Some((batch, moments)) = history.entries(slice).await? {
            let mut from = 0;
            for group in moments.chunk_by(|one, other| one == other) {
                let entries =
                    EntryViews::of(&batch.slice(from, group.len())).map_err(unreadable)?;
                for run in &mut runs {
                    run.see(&entries, group[0]);
                }
                from += group.len();
            }
        }
        done += slice.rows;
        progress(done.unsigned_abs(), total.unsigned_abs());
    }
    let mut backtests = Vec::new();
    for run in runs {
        backtests.push(run.end(&history).await?);
    }
    Ok(backtests)
}

/// Whether history can be replayed through a rule.
///
/// # Errors
/// [`Error::NotReplayable`] for a rule in SQL.
pub fn replayable(rule: &Rule) -> Result<()> {
    let When::Sql { .. } = rule.when else {
        return Ok(());
    };
    Err(Error::NotReplayable {
        rule: rule.name.clone(),
        reason: "it asks a query, and a query asked today does not answer as it would have then: now() is today, views \
                 and rollups hold what was learnt since, and old table versions are not kept for ever. Accepted are \
                 rules that judge the stream; a query rule is tried in shadow"
            .to_owned(),
    })
}

/// One rule's way through history.
#[derive(Debug)]
struct Run<'a> {
    rule: &'a Rule,
    stretch: &'a Stretch,
    replay: Replay,
    begun: bool,
    account: Account,
    timeline: Timeline,
    firings: Vec<Firing>,
    left_out: u64,
    only_pending: u64,
    /// Alerts that are not over: since when pending, and which firing.
    open: BTreeMap<String, Open>,
    /// Where an order is told: firing and act.
    told: BTreeMap<String, (usize, usize)>,
    bills: Vec<((usize, usize), Bill)>,
}

#[derive(Debug, Default)]
struct Open {
    key: String,
    pending: Option<i64>,
    /// None when it has not fired, or is not told.
    firing: Option<usize>,
    fired: bool,
}

impl<'a> Run<'a> {
    fn new(rule: &'a Rule, stretch: &'a Stretch, settings: &Settings) -> Self {
        Self {
            rule,
            stretch,
            replay: Replay::new(rule, settings, stretch.since),
            begun: false,
            account: Account::new(rule.scope),
            timeline: Timeline::new(stretch.since, stretch.until, stretch.parts),
            firings: Vec::new(),
            left_out: 0,
            only_pending: 0,
            open: BTreeMap::new(),
            told: BTreeMap::new(),
            bills: Vec::new(),
        }
    }

    /// Entries that were known at `now`.
    fn see(&mut self, entries: &EntryViews, now: i64) {
        if now < self.stretch.since {
            return self.replay.warm_up(entries, now);
        }
        self.begin();
        let passed = self.replay.pass(now);
        self.note(passed);
        let rows: Vec<EntryView<'_>> = entries.iter().collect();
        for row in &rows {
            self.account.enter(&Fact::new(row, Origin::Live));
        }
        let steps = self.replay.entries(entries, now);
        self.note(steps);
    }

    fn begin(&mut self) {
        if !self.begun {
            self.begun = true;
            let steps = self.replay.begin(self.stretch.since);
            self.note(steps);
        }
    }

    fn note(&mut self, steps: Vec<Step>) {
        for step in steps {
            match step {
                Step::Changed {
                    alert_id,
                    key,
                    to,
                    value,
                    at,
                } => self.changed(alert_id, key, to, value, at),
                Step::Ordered {
                    alert_id,
                    action_id,
                    scope,
                    deed,
                    at,
                } => {
                    self.mark(&alert_id, Mark::Ordered, at);
                    let act = Act {
                        at_unix_nano: at,
                        action: deed.action,
                        target: deed.target,
                        action_id: Some(action_id.clone()),
                        outcome: deed.outcome,
                        sums: Sums::default(),
                        wrongly_stopped: Vec::new(),
                    };
                    if let Some(place) = self.act(&alert_id, act) {
                        self.account.open(&action_id, &scope, at);
                        self.told.insert(action_id, place);
                    }
                }
                Step::Withheld { alert_id, deed, at } => {
                    self.mark(&alert_id, Mark::Withheld, at);
                    let act = Act {
                        at_unix_nano: at,
                        action: deed.action,
                        target: deed.target,
                        action_id: None,
                        outcome: deed.outcome,
                        sums: Sums::default(),
                        wrongly_stopped: Vec::new(),
                    };
                    self.act(&alert_id, act);
                }
                Step::Released { action_id } => {
                    if let Some(place) = self.told.remove(&action_id)
                        && let Some(bill) = self.account.close(&action_id)
                    {
                        self.bills.push((place, bill));
                    }
                }
            }
        }
    }

    fn changed(&mut self, id: String, key: String, to: State, value: Option<String>, at: i64) {
        self.timeline.change(&key, to, at);
        if to == State::Ok {
            let Some(open) = self.open.remove(&id) else {
                return;
            };
            self.only_pending += u64::from(!open.fired);
            if let Some(firing) = open.firing.and_then(|place| self.firings.get_mut(place)) {
                firing.over_at_unix_nano = Some(at);
            }
            return;
        }
        let open = self.open.entry(id).or_insert_with(|| Open {
            key: key.clone(),
            ..Open::default()
        });
        match to {
            State::Pending => open.pending = Some(at),
            // A relapse is the same firing.
            State::Firing if !open.fired => {
                open.fired = true;
                if self.firings.len() == FIRINGS {
                    self.left_out += 1;
                    return;
                }
                open.firing = Some(self.firings.len());
                self.firings.push(Firing {
                    key,
                    pending_since_unix_nano: open.pending,
                    fired_at_unix_nano: at,
                    value,
                    threshold: self.rule.threshold.trigger.normalize().to_string(),
                    over_at_unix_nano: None,
                    acts: Vec::new(),
                });
            }
            _ => {}
        }
    }

    fn mark(&mut self, alert_id: &str, mark: Mark, at: i64) {
        if let Some(open) = self.open.get(alert_id) {
            self.timeline.mark(&open.key, mark, at);
        }
    }

    fn act(&mut self, alert_id: &str, act: Act) -> Option<(usize, usize)> {
        let place = self.open.get(alert_id)?.firing?;
        let acts = &mut self.firings.get_mut(place)?.acts;
        acts.push(act);
        Some((place, acts.len() - 1))
    }

    /// The time after the last entry passes, and the bills are settled.
    async fn end(mut self, history: &History<'_>) -> Result<Backtest> {
        self.begin();
        let passed = self.replay.pass(self.stretch.until);
        self.note(passed);
        let mut bills = self.bills;
        for (action_id, bill) in self.account.left() {
            bills.extend(self.told.remove(&action_id).map(|place| (place, bill)));
        }
        let endings = if self.rule.freezes() {
            let stopped = bills.iter().flat_map(|(_, bill)| bill.executions.keys());
            let stopped: BTreeSet<&str> = stopped.map(|id| &**id).collect();
            let stopped: Vec<&str> = stopped.into_iter().collect();
            history.endings(&stopped).await?
        } else {
            BTreeMap::new()
        };
        for ((firing, act), bill) in bills {
            let act = self
                .firings
                .get_mut(firing)
                .and_then(|f| f.acts.get_mut(act));
            if let Some(act) = act {
                let stops = act.action == Action::Freeze.as_str();
                (act.sums, act.wrongly_stopped) = verdict::of(bill, stops, &endings);
            }
        }
        let traffic = self.replay.traffic();
        let mut sums = verdict::total(&self.firings);
        sums.firings += self.left_out;
        Ok(Backtest {
            rule: self.rule.name.clone(),
            version: self.rule.version(),
            condition: self.rule.condition(),
            action: self.rule.action.clone(),
            since_unix_nano: self.stretch.since,
            until_unix_nano: self.stretch.until,
            timing: self.stretch.timing,
            counted: traffic.counted,
            history: traffic.history,
            only_pending: self.only_pending,
            sums,
            firings: self.firings,
            firings_left_out: self.left_out,
            lanes: self.timeline.end(),
        })
    }
}
