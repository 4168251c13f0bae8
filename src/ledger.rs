//! The control plane's ledger, kept by the store: every control event becomes a row of `actions` and a record of `audit`.

use std::collections::VecDeque;
use std::sync::Arc;

use async_trait::async_trait;
use flyball_alerts::books::Histogram;
use flyball_runtime::control::{ControlEvent, Decision, Ledger, Mode, Obeyed, Scope, State};
use flyball_store::rows::{ActionRow, AuditRow, Date, Micros};
use flyball_store::{OwnEvent, Store};
use parking_lot::Mutex;

/// Actions whose obeying is waited for.
const TIMED: usize = 1_000;

/// Keeps control events in a store, under one workspace.
#[derive(Debug)]
pub(crate) struct StoreLedger {
    store: Arc<Store>,
    workspace: String,
    /// Actions that nobody has obeyed yet, and when each was decided.
    decided: Mutex<VecDeque<(String, i64)>>,
    obeyed: Arc<Histogram>,
}

impl StoreLedger {
    /// A ledger over this store.
    #[must_use]
    pub(crate) fn new(store: Arc<Store>, workspace: impl Into<String>) -> Self {
        Self {
            store,
            workspace: workspace.into(),
            decided: Mutex::default(),
            obeyed: Arc::default(),
        }
    }

    /// How long actions took from being decided to being obeyed, since the start.
    pub(crate) fn obeyed(&self) -> Arc<Histogram> {
        Arc::clone(&self.obeyed)
    }

    /// Keeps time. An event that is told again, since the store did not take it, counts once.
    fn time(&self, event: &ControlEvent) {
        let mut decided = self.decided.lock();
        match event {
            ControlEvent::Decided(decision) if decision.mode == Mode::Enforce => {
                decided.retain(|(id, _)| *id != decision.action_id);
                if decided.len() == TIMED {
                    decided.pop_front();
                }
                decided.push_back((decision.action_id.clone(), decision.decided_at_unix_nano));
            }
            ControlEvent::Obeyed(obeyed) => {
                let place = decided.iter().position(|(id, _)| *id == obeyed.action_id);
                if let Some((_, at)) = place.and_then(|place| decided.remove(place)) {
                    self.obeyed.add_nanos(obeyed.obeyed_at_unix_nano - at);
                }
            }
            ControlEvent::Decided(_) | ControlEvent::Released(_) => {}
        }
    }
}

#[async_trait]
impl Ledger for StoreLedger {
    async fn record(&self, event: &ControlEvent) -> Result<(), String> {
        self.time(event);
        let (action, actor, subject) = match event {
            ControlEvent::Decided(decision) => decided(decision, "decided"),
            ControlEvent::Released(decision) => decided(decision, "released"),
            ControlEvent::Obeyed(obeyed) => obeyed_row(obeyed),
        };
        let audit = AuditRow {
            date: action.date,
            at: action.at,
            event: format!("control.{}", action.event),
            actor,
            subject,
            record: serde_json::to_string(event).map_err(|e| e.to_string())?,
            ..AuditRow::default()
        };
        self.store
            .record(&self.workspace, OwnEvent::Action(action))
            .await
            .map_err(|e| e.to_string())?;
        self.store
            .record(&self.workspace, OwnEvent::Audit(audit))
            .await
            .map_err(|e| e.to_string())?;
        Ok(())
    }
}

fn decided(decision: &Decision, event: &str) -> (ActionRow, String, String) {
    let at = Micros::of_nanos(decision.decided_at_unix_nano);
    let (scope, target) = scope_words(&decision.scope);
    let (state, parameters) = state_words(&decision.state);
    let cause = decision.cause.as_ref();
    let row = ActionRow {
        date: Date::of_micros(at.0),
        at,
        action_id: decision.action_id.clone(),
        event: event.to_owned(),
        state: state.to_owned(),
        previous_state: Some(state_words(&decision.previous).0.to_owned()),
        scope: scope.to_owned(),
        target: target.to_owned(),
        parameters,
        actor: decision.actor.clone(),
        reason: decision.reason.clone(),
        mode: match decision.mode {
            Mode::Shadow => "shadow",
            Mode::Enforce => "enforce",
        }
        .to_owned(),
        rule: decision.rule.clone(),
        cause_trace_id: cause.map(|c| c.trace_id.clone()),
        cause_span_id: cause.map(|c| c.span_id.clone()),
        cause_ended_at: cause.map(|c| Micros::of_nanos(c.ended_at_unix_nano)),
        cause_received_at: cause.map(|c| Micros::of_nanos(c.received_at_unix_nano)),
        decided_at: Some(at),
        evidence: decision.evidence.as_ref().map(ToString::to_string),
        ..ActionRow::default()
    };
    (row, decision.actor.clone(), format!("{scope}:{target}"))
}

fn obeyed_row(obeyed: &Obeyed) -> (ActionRow, String, String) {
    let at = Micros::of_nanos(obeyed.obeyed_at_unix_nano);
    let row = ActionRow {
        date: Date::of_micros(at.0),
        at,
        action_id: obeyed.action_id.clone(),
        event: "obeyed".to_owned(),
        obeyed_at: Some(at),
        obeyed_by: Some(obeyed.by.clone()),
        ..ActionRow::default()
    };
    (
        row,
        // Not a person: only people's names are sealed.
        format!("runtime:{}", obeyed.by),
        format!("action:{}", obeyed.action_id),
    )
}

fn scope_words(scope: &Scope) -> (&'static str, &str) {
    match scope {
        Scope::Global => ("global", ""),
        Scope::Workspace(name) => ("workspace", name),
        Scope::Tenant(name) => ("tenant", name),
        Scope::Agent(name) => ("agent", name),
        Scope::Tool(name) => ("tool", name),
        Scope::Execution(id) => ("execution", id),
    }
}

fn state_words(state: &State) -> (&'static str, Option<String>) {
    let word = match state {
        State::Running => return ("running", None),
        State::Frozen => return ("frozen", None),
        State::Throttled { .. } => "throttled",
        State::Degraded { .. } => "degraded",
    };
    (word, serde_json::to_string(state).ok())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use flyball_ingest::pipeline::Replay;
    use flyball_store::rows::Row as _;
    use flyball_store::{Config, Table, verify_ledger};

    fn decision(action_id: &str) -> Decision {
        Decision {
            action_id: action_id.to_owned(),
            scope: Scope::Agent("triage".to_owned()),
            state: State::Frozen,
            previous: State::Running,
            actor: "cli:ada".to_owned(),
            reason: "a test".to_owned(),
            rule: None,
            mode: Mode::Enforce,
            cause: None,
            evidence: Some(serde_json::json!({ "cost_usd": 0.1 })),
            decided_at_unix_nano: 1_790_000_000_000_000_123,
            epoch: 1,
        }
    }

    fn buffered(store: &Store, table: Table) -> usize {
        store.snapshot(WORKSPACE).tables[&table]
            .buffered
            .iter()
            .map(|batch| batch.num_rows())
            .sum()
    }

    const WORKSPACE: &str = "default";

    /// Control tells an event again when it could not note that it was kept: also when only half of it was.
    #[tokio::test]
    async fn an_event_that_is_told_again_is_kept_once() {
        let dir = tempfile::tempdir().unwrap();
        let config = Config::local(dir.path());
        let store = Store::open(config.clone(), Arc::new(Replay::default()))
            .await
            .unwrap();
        let ledger = StoreLedger::new(Arc::clone(&store), WORKSPACE);
        let half = decided(&decision("b"), "decided").0;
        store
            .record(WORKSPACE, OwnEvent::Action(half))
            .await
            .unwrap();
        let events = [
            ControlEvent::Decided(decision("a")),
            ControlEvent::Decided(decision("b")),
            ControlEvent::Released(decision("a")),
        ];
        // As the outbox tells them: out of the JSON it keeps, every time.
        for _ in 0..2 {
            for event in &events {
                let event = serde_json::from_str(&serde_json::to_string(event).unwrap()).unwrap();
                ledger.record(&event).await.unwrap();
            }
        }
        assert_eq!(
            (
                buffered(&store, Table::Actions),
                buffered(&store, Table::Audit)
            ),
            (3, 3)
        );
        let rows: Vec<_> = store.snapshot(WORKSPACE).tables[&Table::Audit]
            .buffered
            .iter()
            .flat_map(|batch| AuditRow::read(batch).unwrap())
            .map(|row| (row.seq, row.event))
            .collect();
        let wanted = [
            (1, "control.decided"),
            (2, "control.decided"),
            (3, "control.released"),
        ];
        assert_eq!(rows, wanted.map(|(seq, event)| (seq, event.to_owned())));
        store.close().await.unwrap();
        let report = verify_ledger(&config, WORKSPACE, None).await.unwrap();
        assert_eq!((report.records, report.findings), (4, Vec::new()));
    }
}
