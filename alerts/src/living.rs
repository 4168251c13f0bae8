//! Who is alive: the last live span of each key that may need a cause, and which agents there are.

use std::collections::BTreeSet;

use flyball_runtime::control::Scope;
use flyball_store::hashed::{HashMap, HashSet};

use crate::fact::{FRESH, Fact, Sighting};
use crate::rule::{Key, SECOND};

/// An agent is known for this long after it was last seen.
const KNOWN: i64 = 3_600 * SECOND;
/// Most agents, and most keys, that are kept.
const LIMIT: usize = 100_000;
/// Most tools and tenants that are kept for one agent.
const TIES: usize = 256;

#[derive(Debug, Default)]
struct Agent {
    seen: i64,
    tools: HashSet<Box<str>>,
    tenants: HashSet<Box<str>>,
}

/// Who is alive.
#[derive(Debug)]
pub(crate) struct Living {
    agents: HashMap<Box<str>, Agent>,
    /// The last live span of every key that somebody will ask for.
    last: Vec<(Key, HashMap<Box<str>, Sighting>)>,
}

impl Living {
    pub(crate) fn new(wanted: Vec<Key>) -> Self {
        Self {
            agents: HashMap::default(),
            last: wanted
                .into_iter()
                .map(|key| (key, HashMap::default()))
                .collect(),
        }
    }

    pub(crate) fn see(&mut self, fact: &Fact<'_>, workspace: &str) {
        let agent = fact.key(Key::Agent, workspace);
        if let Some(name) = agent {
            if !self.agents.contains_key(name) && self.agents.len() < LIMIT {
                self.agents.insert(name.into(), Agent::default());
            }
            if let Some(agent) = self.agents.get_mut(name) {
                agent.seen = agent.seen.max(fact.received);
                tie(&mut agent.tools, fact.key(Key::Tool, workspace));
                tie(&mut agent.tenants, fact.key(Key::Tenant, workspace));
            }
        }
        let Some(sighting) = fact.sighting() else {
            return;
        };
        for (key, last) in &mut self.last {
            let Some(name) = fact.key(*key, workspace) else {
                continue;
            };
            if let Some(known) = last.get_mut(name) {
                *known = sighting;
            } else if last.len() < LIMIT {
                last.insert(name.into(), sighting);
            }
        }
    }

    /// The last live span of that key.
    pub(crate) fn last(&self, key: Key, name: &str) -> Option<Sighting> {
        let (_, last) = self.last.iter().find(|(wanted, _)| *wanted == key)?;
        last.get(name).copied()
    }

    /// How many agents were seen in the last hour.
    pub(crate) fn known(&self) -> usize {
        self.agents.len()
    }

    /// The agents that a state of this scope touches; `agent` is the one that the cause names.
    pub(crate) fn under(&self, scope: &Scope, agent: Option<&str>) -> BTreeSet<String> {
        let those = |tied: &dyn Fn(&Agent) -> bool| {
            self.agents
                .iter()
                .filter(|(_, a)| tied(a))
                .map(|(name, _)| name.to_string())
                .collect()
        };
        let mut touched: BTreeSet<String> = match scope {
            Scope::Global | Scope::Workspace(_) => those(&|_| true),
            Scope::Tenant(name) => those(&|a| a.tenants.contains(name.as_str())),
            Scope::Tool(name) => those(&|a| a.tools.contains(name.as_str())),
            Scope::Agent(name) => BTreeSet::from([name.clone()]),
            Scope::Execution(_) => BTreeSet::new(),
        };
        if touched.is_empty() {
            // Somebody is touched, even if nobody knows who.
            touched.insert(agent.unwrap_or(scope.target()).to_owned());
        }
        touched
    }

    /// Forgets who was not seen for long.
    pub(crate) fn expire(&mut self, now: i64) {
        self.agents.retain(|_, agent| now - agent.seen <= KNOWN);
        for (_, last) in &mut self.last {
            last.retain(|_, sighting| now - sighting.received <= FRESH);
        }
    }
}

fn tie(ties: &mut HashSet<Box<str>>, name: Option<&str>) {
    if let Some(name) = name
        && ties.len() < TIES
        && !ties.contains(name)
    {
        ties.insert(name.into());
    }
}
