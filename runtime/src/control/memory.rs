//! What a runtime remembers for a control plane that has forgotten: its file was restored from an older
//! copy, or another took its place.
//!
//! What was in force stays in force beside what the control plane says now, so that the runtime is
//! never held less than by either. A remembered entry goes when the control plane answers for it again.

use super::{InForce, State, View};

/// What was told last, and what was forgotten.
#[derive(Debug)]
pub(super) struct Memory {
    told: View,
    forgotten: Vec<Forgotten>,
}

/// Entries of a control plane at the moment before it was lost.
#[derive(Debug)]
struct Forgotten {
    plane: String,
    /// When it says this epoch or a later one, it is back, and answers for its entries itself. None
    /// when it has come back with an earlier one: from then on its epochs are of another history.
    back_at: Option<u64>,
    entries: Vec<InForce>,
}

impl Memory {
    pub(super) fn new(first: View) -> Self {
        Self {
            told: first,
            forgotten: Vec::new(),
        }
    }

    /// What the control plane said last.
    pub(super) fn told(&self) -> &View {
        &self.told
    }

    /// Takes in what the control plane says now; answers whether it is another, or an earlier self.
    pub(super) fn learn(&mut self, view: View) -> bool {
        let before = std::mem::replace(&mut self.told, view);
        let now = &self.told;
        let another = before.plane != now.plane;
        let forgot = another || now.epoch < before.epoch;
        for lost in &mut self.forgotten {
            if lost.plane != now.plane {
                continue;
            }
            match lost.back_at {
                Some(epoch) if now.epoch >= epoch => lost.entries.clear(),
                _ => lost.back_at = None,
            }
        }
        if forgot {
            self.forgotten.push(Forgotten {
                plane: before.plane,
                back_at: another.then_some(before.epoch),
                entries: before.entries,
            });
        }
        for lost in &mut self.forgotten {
            lost.entries.retain(|entry| !answers_for(now, entry));
        }
        self.forgotten.retain(|lost| !lost.entries.is_empty());
        forgot
    }

    /// How many entries are remembered that the control plane does not know.
    pub(super) fn remembered(&self) -> usize {
        self.forgotten.iter().map(|lost| lost.entries.len()).sum()
    }

    /// What is to be obeyed: what was told, and what was forgotten.
    pub(super) fn view(&self) -> View {
        let mut view = self.told.clone();
        for entry in self.forgotten.iter().flat_map(|lost| &lost.entries) {
            if view.entries.iter().all(|e| e.action_id != entry.action_id) {
                view.entries.push(entry.clone());
            }
        }
        view.sorted()
    }
}

/// Whether a view makes an entry superfluous: it knows the action; or it has one on that very scope
/// that is no looser, and whose release would have released the entry, too.
fn answers_for(view: &View, entry: &InForce) -> bool {
    view.entries.iter().any(|known| {
        let covers = known.scope == entry.scope
            && (known.state == State::Frozen || known.state == entry.state)
            && (!known.actor.starts_with("rule:") || known.actor == entry.actor);
        known.action_id == entry.action_id || covers
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::{Scope, Subject};
    use super::*;

    fn entry(id: &str, agent: &str, state: State, actor: &str) -> InForce {
        InForce {
            action_id: id.into(),
            scope: Scope::Agent(agent.into()),
            state,
            actor: actor.into(),
            reason: "because".into(),
            decided_at_unix_nano: 1,
        }
    }

    fn view(plane: &str, epoch: u64, entries: &[InForce]) -> View {
        View {
            plane: plane.into(),
            epoch,
            entries: entries.to_vec(),
        }
    }

    fn holds(memory: &Memory, agent: &str) -> Option<String> {
        let subject = Subject {
            agent,
            ..Subject::default()
        };
        memory
            .view()
            .verdict(&subject)
            .map(|entry| entry.action_id.clone())
    }

    #[test]
    fn another_plane_adds_to_what_held_and_takes_nothing_away() {
        let old = entry("old", "a", State::Frozen, "ann");
        let mut memory = Memory::new(view("p", 40, std::slice::from_ref(&old)));
        assert!(memory.learn(view("q", 0, &[])));
        assert_eq!(holds(&memory, "a").as_deref(), Some("old"));
        let new = entry("new", "b", State::Frozen, "bob");
        assert!(!memory.learn(view("q", 1, std::slice::from_ref(&new))));
        assert_eq!(holds(&memory, "a").as_deref(), Some("old"));
        assert_eq!(holds(&memory, "b").as_deref(), Some("new"));
        // what the new plane set, it may release
        memory.learn(view("q", 2, &[]));
        assert_eq!(holds(&memory, "b"), None);
        // the old one is back where it was: it answers for its entries, and the new one's are none
        assert!(memory.learn(view("p", 41, &[])));
        assert_eq!((holds(&memory, "a"), memory.remembered()), (None, 0));
    }

    #[test]
    fn a_looser_word_or_a_rules_word_on_that_scope_does_not_lift_it() {
        let throttled = State::Throttled {
            calls_per_minute: 5,
        };
        let old = entry("old", "a", State::Frozen, "ann");
        let mut memory = Memory::new(view("p", 40, &[old]));
        memory.learn(view("q", 1, &[entry("1", "a", throttled, "bob")]));
        assert_eq!(holds(&memory, "a").as_deref(), Some("old"));
        memory.learn(view("q", 2, &[entry("2", "a", State::Frozen, "rule:r")]));
        memory.learn(view("q", 3, &[]));
        assert_eq!(holds(&memory, "a").as_deref(), Some("old"));
        // a person freezes that scope there, and releases it: that is a release of both
        memory.learn(view("q", 4, &[entry("4", "a", State::Frozen, "bob")]));
        assert_eq!(holds(&memory, "a").as_deref(), Some("4"));
        memory.learn(view("q", 5, &[]));
        assert_eq!(holds(&memory, "a"), None);
    }

    #[test]
    fn an_older_copy_of_the_same_file_is_never_believed_to_have_caught_up() {
        let [a, b] = ["a", "b"].map(|name| entry(name, name, State::Frozen, "ann"));
        let mut memory = Memory::new(view("p", 40, &[a.clone(), b]));
        assert!(memory.learn(view("p", 20, std::slice::from_ref(&a))));
        assert_eq!(memory.remembered(), 1, "the copy knows a");
        memory.learn(view("p", 99, &[]));
        assert_eq!(holds(&memory, "a"), None, "released there");
        assert_eq!(holds(&memory, "b").as_deref(), Some("b"));
        // another in between does not make it believed either
        let mut memory = Memory::new(view("p", 40, std::slice::from_ref(&a)));
        memory.learn(view("q", 1, &[]));
        memory.learn(view("p", 20, &[]));
        memory.learn(view("p", 60, &[]));
        assert_eq!(holds(&memory, "a").as_deref(), Some("a"));
    }

    #[test]
    fn planes_that_take_turns_do_not_make_memory_grow() {
        let [a, b] = ["a", "b"].map(|name| entry(name, name, State::Frozen, "ann"));
        let mut memory = Memory::new(view("p", 1, std::slice::from_ref(&a)));
        for _ in 0..100 {
            memory.learn(view("q", 5, std::slice::from_ref(&b)));
            memory.learn(view("p", 1, std::slice::from_ref(&a)));
        }
        assert_eq!(memory.remembered(), 1);
        assert_eq!(memory.view().entries.len(), 2);
    }
}
