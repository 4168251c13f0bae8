//! Whether a rule may act: what its shadow actions have shown, who promoted it, and when it lost that trust again.
//!
//! A rule in shadow gathers evidence: each action that it would have taken is a `trial`, judged by how the executions
//! ended that it would have stopped (success makes it wrong), or by a person. On that evidence somebody promotes it:
//! from then on it is in force, whatever its file says, until the file changes. People who release what it did say
//! when it was a false alarm; too many of those within a while, and it falls back to shadow on its own, to earn its
//! trust anew.

mod trial;

use std::collections::{BTreeMap, VecDeque};

use flyball_runtime::control::{Mode, Order, State as Control};
use serde::{Deserialize, Serialize};

use self::trial::Trial;
use crate::books::RuleBooks;
use crate::fact::Fact;
use crate::rule::{Demote, Promote, Rule, SECOND, spoken};
use crate::{Error, Result};

/// Actions of one rule that can still be judged; of further ones, the oldest are no longer known.
const TRIALS: usize = 200;
/// How long the endings of executions are waited for, nanoseconds.
const WATCHED: i64 = 86_400 * SECOND;
/// False alarms that are remembered with their time.
const ALARMS: usize = 1_000;

/// Where a rule's mode comes from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// Its file.
    #[default]
    File,
    /// Somebody promoted it.
    Promoted,
    /// It gave too many false alarms.
    Demoted,
}

impl Origin {
    /// The word in what is printed.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Promoted => "promoted",
            Self::Demoted => "demoted",
        }
    }
}

/// What a rule has shown so far.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// Since when it is gathered, nanoseconds since 1970.
    pub since_unix_nano: i64,
    /// Actions that it would have taken.
    pub actions: u64,
    /// Of those, which would have stopped only what came to nothing.
    pub right: u64,
    /// Of those, which would have stopped what ended in success, or which a person found wrong.
    pub wrong: u64,
    /// Actions in force that a person found to be false alarms, within the time that its demotion looks at.
    pub false_alarms: u64,
}

/// How a rule stands with people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Standing {
    /// The rule.
    pub rule: String,
    /// Shadow or enforce.
    pub mode: Mode,
    /// Where that comes from.
    pub origin: Origin,
    /// What it has shown.
    pub evidence: Evidence,
    /// What it lacks for a promotion, in words; none when nothing.
    pub lacks: Option<String>,
}

/// Somebody's word that an action was wrong, and what followed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FalseAlarm {
    /// The action.
    pub action_id: String,
    /// The rule that took it.
    pub rule: String,
    /// Whether it was in shadow.
    pub mode: Mode,
    /// Why the rule was demoted for it, if it was.
    pub demoted: Option<String>,
}

/// What is kept of one rule over a restart.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Trust {
    /// The rule as its file says it: in another version it is another rule.
    version: String,
    pub(crate) origin: Origin,
    evidence: Evidence,
    trials: VecDeque<Trial>,
    /// When actions in force were found wrong.
    alarms: VecDeque<i64>,
    /// The alert that says that it was demoted.
    pub(crate) alert_id: Option<String>,
    /// Trials that are watched.
    watching: usize,
    /// Whether an action was judged since this was last asked.
    #[serde(skip)]
    learnt: bool,
    /// Since the start.
    #[serde(skip)]
    books: RuleBooks,
}

/// What is kept of all of them.
pub(crate) type Kept = BTreeMap<String, Trust>;

impl Trust {
    pub(crate) fn new(rule: &Rule, now: i64) -> Self {
        Self {
            version: rule.version(),
            evidence: Evidence {
                since_unix_nano: now,
                ..Evidence::default()
            },
            ..Self::default()
        }
    }

    /// Takes over what was kept, if it is about this very rule. Answers the mode that the rule has by it, and the
    /// alert that said that it was demoted, if that is over with its old version.
    pub(crate) fn restore(&mut self, kept: Self, rule: &Rule) -> (Mode, Option<String>) {
        let mut over = None;
        if kept.version == self.version {
            *self = kept;
        } else {
            over = kept.alert_id;
        }
        let mode = match self.origin {
            Origin::File => rule.mode,
            Origin::Promoted => Mode::Enforce,
            Origin::Demoted => Mode::Shadow,
        };
        (mode, over)
    }

    /// The rule's version, and whether its mode is its file's: what is ordered in one mode is not what was ordered in
    /// the other.
    pub(crate) fn version(&self) -> String {
        match self.origin {
            Origin::File => self.version.clone(),
            origin => format!("{}+{}", self.version, origin.as_str()),
        }
    }

    /// The rule has ordered something.
    pub(crate) fn ordered(&mut self, order: &Order, key: &str, now: i64) {
        let Some(id) = &order.action_id else {
            return;
        };
        if self.trials.iter().any(|trial| trial.action_id == *id) {
            return;
        }
        if self.trials.len() == TRIALS {
            self.trials.pop_front();
        }
        let shadow = order.mode == Mode::Shadow;
        self.books.shadow += u64::from(shadow);
        self.books.enforced += u64::from(!shadow);
        self.evidence.actions += u64::from(shadow);
        // What is only slowed says nothing by how it ends.
        let watches = shadow && order.state == Control::Frozen;
        self.trials
            .push_back(Trial::new(order, id, key, now, watches));
        self.count();
    }

    /// The alert of a key is over: what it would have stopped is known.
    pub(crate) fn over(&mut self, key: &str) {
        for trial in self.trials.iter_mut().filter(|trial| trial.key == key) {
            trial.over = true;
        }
        self.count();
    }

    /// Whether there is anything to be learnt from a fact.
    pub(crate) fn watches(&self) -> bool {
        self.watching > 0
    }

    /// Forgets to watch for what has not ended for a day.
    pub(crate) fn expire(&mut self, now: i64) {
        for trial in self
            .trials
            .iter_mut()
            .filter(|trial| now - trial.at > WATCHED)
        {
            trial.watches = false;
        }
        self.count();
    }

    /// Looks at a fact: an execution that would have been stopped, or how one ended.
    pub(crate) fn see(&mut self, fact: &Fact<'_>) {
        for trial in self.trials.iter_mut().filter(|trial| trial.watches) {
            trial.see(fact);
        }
        self.count();
    }

    /// Counts what has been judged since.
    fn count(&mut self) {
        for trial in &mut self.trials {
            let judged = trial.judge();
            self.learnt |= judged.is_some();
            match judged {
                Some(true) => self.evidence.right += 1,
                Some(false) => {
                    self.evidence.wrong += 1;
                    self.books.wrong += 1;
                }
                None => {}
            }
        }
        self.watching = self.trials.iter().filter(|trial| trial.watches).count();
    }

    /// Whether an action was judged since this was last asked.
    pub(crate) fn learnt(&mut self) -> bool {
        std::mem::take(&mut self.learnt)
    }

    /// What the rule did since the start.
    pub(crate) fn books(&self) -> RuleBooks {
        self.books.clone()
    }

    /// A person says that this action was wrong. None when it is not one of this rule's last.
    pub(crate) fn false_alarm(&mut self, action_id: &str, now: i64) -> Option<Mode> {
        let trial = self
            .trials
            .iter_mut()
            .find(|trial| trial.action_id == action_id)?;
        let mode = trial.mode;
        // Said twice, it is one.
        if trial.found_wrong {
            return Some(mode);
        }
        match (mode, trial.find_wrong()) {
            (Mode::Shadow, Some(false)) => {}
            (Mode::Shadow, counted) => {
                self.evidence.right -= u64::from(counted == Some(true));
                self.evidence.wrong += 1;
                self.books.wrong += 1;
            }
            (Mode::Enforce, _) => {
                self.books.false_alarms += 1;
                if self.alarms.len() == ALARMS {
                    self.alarms.pop_front();
                }
                self.alarms.push_back(now);
            }
        }
        self.count();
        Some(mode)
    }

    /// Why the rule must not stay in force, if so.
    pub(crate) fn lost(&mut self, demote: &Demote, now: i64) -> Option<String> {
        self.alarms.retain(|at| now - at < demote.within);
        (self.alarms.len() as u64 >= u64::from(demote.wrong)).then(|| {
            format!(
                "{} of its actions were false alarms within {}",
                self.alarms.len(),
                spoken(demote.within)
            )
        })
    }

    /// Since when evidence is gathered, nanoseconds since 1970; of a demoted rule, since then.
    pub(crate) fn since(&self) -> i64 {
        self.evidence.since_unix_nano
    }

    /// Begins anew, in shadow.
    pub(crate) fn demote(&mut self, now: i64) {
        self.origin = Origin::Demoted;
        self.books.demotions += 1;
        self.alarms.clear();
        self.evidence = Evidence {
            since_unix_nano: now,
            ..Evidence::default()
        };
        self.trials.retain(|trial| trial.mode == Mode::Enforce);
    }

    /// From now on in force.
    pub(crate) fn promote(&mut self) {
        self.origin = Origin::Promoted;
        self.alarms.clear();
    }

    /// What the rule has shown.
    pub(crate) fn evidence(&self, demote: &Demote, now: i64) -> Evidence {
        let recent = self.alarms.iter().filter(|at| now - *at < demote.within);
        Evidence {
            false_alarms: recent.count() as u64,
            ..self.evidence.clone()
        }
    }

    /// What it lacks for a promotion, in words.
    pub(crate) fn lacks(&self, promote: &Promote, now: i64) -> Option<String> {
        let Evidence {
            since_unix_nano: since,
            actions,
            wrong,
            ..
        } = self.evidence;
        let mut lacks = Vec::new();
        if now - since < promote.after {
            lacks.push(format!(
                "it is in shadow for {}, and {} are asked for",
                spoken((now - since).max(0) / SECOND * SECOND),
                spoken(promote.after)
            ));
        }
        if actions < u64::from(promote.actions) {
            lacks.push(format!(
                "it would have acted {actions} times, and {} are asked for",
                promote.actions
            ));
        }
        if wrong > u64::from(promote.wrong_at_most) {
            lacks.push(format!(
                "{wrong} of those were wrong, and at most {} may be",
                promote.wrong_at_most
            ));
        }
        (!lacks.is_empty()).then(|| lacks.join("; "))
    }
}

/// Whether a rule can be promoted at all.
pub(crate) fn promotable(rule: &Rule) -> Result<()> {
    let why = match (rule.acts(), rule.mode) {
        (false, _) => "it only tells, and does so already",
        (true, Mode::Enforce) => "it is in force already",
        (true, Mode::Shadow) => return Ok(()),
    };
    Err(Error::NotPromoted {
        rule: rule.name.clone(),
        why: why.to_owned(),
    })
}
