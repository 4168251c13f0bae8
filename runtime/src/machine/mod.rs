//! The state machine of an execution: one table, and nothing moves but by it.
//!
//! ```text
//! INIT -> PLAN -> ACT -> EVAL -> PERSIST -> (ACT | PLAN | END)
//!           `------------^                   any of them -> ESCALATE | ABORT
//! ```
//!
//! [`Record`] is one execution's durable state, [`Journal`] where it is kept: each transition is
//! written before it takes effect, with its counters, so that a restart neither loses a step nor
//! resets a bound.

mod journal;
mod record;

pub use journal::{Journal, SqliteJournal};
pub use record::{Action, Counters, Ended, InFlight, Observation, Record, Ruled, Transition};

/// Where an execution stands.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum State {
    /// Asked for, not admitted yet.
    Init,
    /// The model is asked what to do next.
    Plan,
    /// The next action of the plan is carried out.
    Act,
    /// Its result, or the answer, is judged.
    Eval,
    /// What was learned is kept, and the next turn decided.
    Persist,
    /// Ended by itself: success or failure.
    End,
    /// Handed to a person.
    Escalate,
    /// Stopped.
    Abort,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 8] = [
        Self::Init,
        Self::Plan,
        Self::Act,
        Self::Eval,
        Self::Persist,
        Self::End,
        Self::Escalate,
        Self::Abort,
    ];

    /// As it is written in telemetry and in SQLite.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Init => "INIT",
            Self::Plan => "PLAN",
            Self::Act => "ACT",
            Self::Eval => "EVAL",
            Self::Persist => "PERSIST",
            Self::End => "END",
            Self::Escalate => "ESCALATE",
            Self::Abort => "ABORT",
        }
    }

    /// Whether the execution has ended.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::End | Self::Escalate | Self::Abort)
    }
}

/// What moves an execution on.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// Admission passed.
    Admitted,
    /// The model chose actions.
    Chose,
    /// The model gave a final answer.
    Answered,
    /// An action was carried out.
    Acted,
    /// An action failed or was refused; the model will see why.
    ActionFailed,
    /// The result was judged.
    Evaluated,
    /// The plan has another action.
    NextAction,
    /// The plan is used up: plan anew.
    Replanned,
    /// The goal is reached.
    Succeeded,
    /// The agent says that it can't reach the goal.
    GaveUp,
    /// A person is needed: approval, or the agent asked for one.
    Asked,
    /// A bound was reached.
    Bounded,
    /// An action was in flight when the process died, and nobody knows whether it happened.
    Unresolved,
    /// Control froze it.
    Frozen,
    /// The budget can't pay for the next call.
    Exhausted,
    /// The model can't be reached, or what it says can't be used.
    Broken,
}

impl Event {
    /// Every event.
    pub const ALL: [Self; 16] = [
        Self::Admitted,
        Self::Chose,
        Self::Answered,
        Self::Acted,
        Self::ActionFailed,
        Self::Evaluated,
        Self::NextAction,
        Self::Replanned,
        Self::Succeeded,
        Self::GaveUp,
        Self::Asked,
        Self::Bounded,
        Self::Unresolved,
        Self::Frozen,
        Self::Exhausted,
        Self::Broken,
    ];

    /// How the execution terminates by this event, if it does.
    #[must_use]
    pub fn termination(self) -> Option<Termination> {
        match self {
            Self::Succeeded => Some(Termination::Success),
            Self::GaveUp => Some(Termination::Failure),
            Self::Asked | Self::Bounded | Self::Unresolved => Some(Termination::Escalation),
            Self::Frozen | Self::Exhausted | Self::Broken => Some(Termination::Abort),
            _ => None,
        }
    }
}

/// How an execution ended.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum Termination {
    Success,
    Failure,
    Escalation,
    Abort,
}

impl Termination {
    /// As it is written in telemetry.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Escalation => "escalation",
            Self::Abort => "abort",
        }
    }
}

/// Every transition there is.
pub const TABLE: &[(State, Event, State)] = &[
    (State::Init, Event::Admitted, State::Plan),
    (State::Plan, Event::Chose, State::Act),
    (State::Plan, Event::Answered, State::Eval),
    (State::Act, Event::Acted, State::Eval),
    (State::Act, Event::ActionFailed, State::Eval),
    (State::Eval, Event::Evaluated, State::Persist),
    (State::Persist, Event::NextAction, State::Act),
    (State::Persist, Event::Replanned, State::Plan),
    (State::Persist, Event::Succeeded, State::End),
    (State::Persist, Event::GaveUp, State::End),
    (State::Plan, Event::Asked, State::Escalate),
    (State::Act, Event::Asked, State::Escalate),
    (State::Act, Event::Unresolved, State::Escalate),
    (State::Init, Event::Bounded, State::Escalate),
    (State::Plan, Event::Bounded, State::Escalate),
    (State::Act, Event::Bounded, State::Escalate),
    (State::Eval, Event::Bounded, State::Escalate),
    (State::Persist, Event::Bounded, State::Escalate),
    (State::Init, Event::Frozen, State::Abort),
    (State::Plan, Event::Frozen, State::Abort),
    (State::Act, Event::Frozen, State::Abort),
    (State::Eval, Event::Frozen, State::Abort),
    (State::Persist, Event::Frozen, State::Abort),
    (State::Plan, Event::Exhausted, State::Abort),
    (State::Act, Event::Exhausted, State::Abort),
    (State::Plan, Event::Broken, State::Abort),
];

/// Where `event` leads from `state`; none when the table has no such edge.
#[must_use]
pub fn next(state: State, event: Event) -> Option<State> {
    TABLE
        .iter()
        .find(|(from, by, _)| *from == state && *by == event)
        .map(|(_, _, to)| *to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_a_function_and_ends_are_ends() {
        for (index, (from, event, to)) in TABLE.iter().enumerate() {
            assert!(!from.is_terminal(), "{from:?} goes on");
            assert_eq!(
                to.is_terminal(),
                event.termination().is_some(),
                "{from:?} {event:?}"
            );
            let twice = TABLE[index + 1..]
                .iter()
                .any(|(f, e, _)| f == from && e == event);
            assert!(!twice, "{from:?} {event:?} is there twice");
        }
    }

    #[test]
    fn an_event_always_ends_the_same_way() {
        for event in Event::ALL {
            let Some(termination) = event.termination() else {
                continue;
            };
            for (_, _, to) in TABLE.iter().filter(|(_, e, _)| *e == event) {
                let expected = match termination {
                    Termination::Success | Termination::Failure => State::End,
                    Termination::Escalation => State::Escalate,
                    Termination::Abort => State::Abort,
                };
                assert_eq!(*to, expected);
            }
        }
    }

    #[test]
    fn every_state_is_reached_and_every_live_one_can_end() {
        let mut reached = vec![State::Init];
        while let Some((_, _, to)) = TABLE
            .iter()
            .find(|(f, _, t)| reached.contains(f) && !reached.contains(t))
        {
            reached.push(*to);
        }
        assert_eq!(reached.len(), State::ALL.len());
        for state in State::ALL.into_iter().filter(|state| !state.is_terminal()) {
            assert_eq!(
                next(state, Event::Frozen),
                Some(State::Abort),
                "{state:?} can be frozen"
            );
            assert_eq!(
                next(state, Event::Bounded),
                Some(State::Escalate),
                "{state:?} is bounded"
            );
        }
    }
}
