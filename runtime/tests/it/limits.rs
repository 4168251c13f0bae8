//! Limits add up: no order lifts what another has set, be it more severe or of a wider scope.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use flyball_runtime::Error;
use flyball_runtime::clock::SystemClock;
use flyball_runtime::control::*;
use flyball_runtime::gate::Gate;
use proptest::prelude::*;
use tokio::sync::watch;

/// A governor with a view of its own, which notes who obeyed.
#[derive(Debug)]
struct Fixed {
    view: watch::Sender<Arc<View>>,
    obeyed: Mutex<Vec<String>>,
}

#[async_trait::async_trait]
impl Governor for Fixed {
    fn view(&self) -> Arc<View> {
        Arc::clone(&self.view.borrow())
    }

    fn watch(&self) -> watch::Receiver<Arc<View>> {
        self.view.subscribe()
    }

    async fn obeyed(&self, obeyed: Obeyed) -> Result<(), Error> {
        self.obeyed.lock().unwrap().push(obeyed.action_id);
        Ok(())
    }
}

fn view(entries: &[(Scope, State)]) -> View {
    let entry = |(n, (scope, state)): (usize, &(Scope, State))| InForce {
        action_id: n.to_string(),
        scope: scope.clone(),
        state: state.clone(),
        actor: "ann".into(),
        reason: "because".into(),
        decided_at_unix_nano: 1,
    };
    View {
        entries: entries.iter().enumerate().map(entry).collect(),
        ..View::default()
    }
}

fn gate(entries: &[(Scope, State)]) -> (Arc<Gate>, Arc<Fixed>) {
    let governor = Arc::new(Fixed {
        view: watch::Sender::new(Arc::new(view(entries))),
        obeyed: Mutex::default(),
    });
    let governed: Arc<dyn Governor> = Arc::<Fixed>::clone(&governor);
    (Gate::new(governed, "test", Arc::new(SystemClock)), governor)
}

fn throttled(calls_per_minute: u32) -> State {
    State::Throttled { calls_per_minute }
}

fn degraded(tier: Option<&str>, read_only: bool, plan_depth: Option<u32>) -> State {
    State::Degraded {
        tier: tier.map(Into::into),
        read_only,
        plan_depth,
    }
}

fn agent() -> Scope {
    Scope::Agent("a".into())
}

fn who(tool: Option<&str>) -> Subject<'_> {
    Subject {
        workspace: "default",
        agent: "a",
        tool,
        execution: Some("e"),
        ..Subject::default()
    }
}

/// How long three turns take, one after the other.
async fn three_turns(gate: &Gate, tool: Option<&str>) -> Duration {
    let began = Instant::now();
    for _ in 0..3 {
        gate.turn(&who(tool)).await.unwrap();
    }
    began.elapsed()
}

/// 600 a minute: the third turn comes 200 ms after the first.
#[tokio::test]
async fn a_degradation_does_not_end_a_throttle() {
    for degraded_scope in [agent(), Scope::Global] {
        let economy = degraded(Some("economy"), false, None);
        let entries = [(agent(), throttled(600)), (degraded_scope, economy)];
        let (gate, governor) = gate(&entries);
        let took = three_turns(&gate, None).await;
        assert!(took >= Duration::from_millis(195), "{took:?}");
        let limits = gate.turn(&who(None)).await.unwrap();
        assert_eq!(
            (limits.tier.as_deref(), limits.action_id.as_deref()),
            (Some("economy"), Some("1"))
        );
        assert!(gate.settle(Duration::from_secs(5)).await);
        let mut obeyed = governor.obeyed.lock().unwrap().clone();
        obeyed.sort();
        assert_eq!(obeyed, ["0", "1"], "each is obeyed, and once");
    }
}

#[tokio::test]
async fn a_tools_throttle_holds_beside_a_more_severe_one_of_the_agent() {
    let tool = Scope::Tool("sql".into());
    let entries = [(agent(), throttled(5)), (tool, throttled(600))];
    let (gate, _) = gate(&entries);
    let took = three_turns(&gate, Some("sql")).await;
    assert!(
        took >= Duration::from_millis(195) && took < Duration::from_secs(5),
        "{took:?}"
    );
    // the agent's own is for its model calls: the second would come in 12 s
    gate.turn(&who(None)).await.unwrap();
    let subject = who(None);
    let second = tokio::time::timeout(Duration::from_millis(300), gate.turn(&subject)).await;
    assert!(second.is_err());
    assert!(three_turns(&gate, Some("mail")).await < Duration::from_millis(150));
}

/// The execution's throttle is the more severe, and each of its calls is one of the agent's, too.
#[tokio::test]
async fn two_throttles_pace_together() {
    let execution = Scope::Execution("e".into());
    let entries = [(agent(), throttled(60)), (execution, throttled(30))];
    let (gate, _) = gate(&entries);
    gate.turn(&who(None)).await.unwrap();
    let other = Subject {
        execution: Some("other"),
        ..who(None)
    };
    let again = tokio::time::timeout(Duration::from_millis(500), gate.turn(&other)).await;
    assert!(again.is_err(), "the agent's second comes a second later");
}

#[tokio::test]
async fn what_degrades_adds_up() {
    let entries = [
        (agent(), degraded(None, true, None)),
        (Scope::Global, degraded(Some("cheap"), false, Some(2))),
        (
            Scope::Workspace("default".into()),
            degraded(Some("economy"), false, Some(5)),
        ),
    ];
    let (gate, _) = gate(&entries);
    let limits = gate.turn(&who(None)).await.unwrap();
    assert_eq!(
        (limits.tier.as_deref(), limits.read_only, limits.plan_depth),
        (Some("cheap"), true, Some(2))
    );
    assert_eq!(limits.action_id.as_deref(), Some("0"), "the most severe");
}

#[tokio::test]
async fn frozen_still_holds_over_everything() {
    let entries = [
        (agent(), throttled(1)),
        (Scope::Global, State::Frozen),
        (agent(), degraded(None, true, None)),
    ];
    let (gate, _) = gate(&entries);
    let stop = gate.turn(&who(None)).await.unwrap_err();
    assert_eq!(stop.action_id, "1");
}

fn any_entry() -> impl Strategy<Value = (Scope, State)> {
    let scope = prop_oneof![
        Just(Scope::Global),
        Just(agent()),
        Just(Scope::Agent("b".into())),
        Just(Scope::Tool("sql".into())),
        Just(Scope::Execution("e".into())),
    ];
    let tier = prop::option::of(prop_oneof![Just("cheap"), Just("economy")]);
    let degradation = (tier, any::<bool>(), prop::option::of(1_u32..5))
        .prop_map(|(tier, read_only, depth)| degraded(tier, read_only, depth));
    let state = prop_oneof![(1_u32..100).prop_map(throttled), degradation];
    (scope, state)
}

/// How many calls a minute are left.
fn pace(limited: &Limited<'_>) -> u32 {
    let rate = |entry: &&InForce| match entry.state {
        State::Throttled { calls_per_minute } => calls_per_minute,
        _ => u32::MAX,
    };
    limited.throttles.iter().map(rate).min().unwrap_or(u32::MAX)
}

proptest! {
    /// Whatever else is set, nobody is ever left more than before.
    #[test]
    fn another_order_never_loosens(
        entries in prop::collection::vec(any_entry(), 0..6),
        more in any_entry(),
        tool in prop::option::of(Just("sql")),
    ) {
        let before = view(&entries);
        let mut all = entries;
        all.push(more);
        let after = view(&all);
        let (before, after) = (before.limits(&who(tool)), after.limits(&who(tool)));
        prop_assert!(pace(&after) <= pace(&before));
        prop_assert!(after.read_only() || !before.read_only());
        prop_assert!(after.tier().is_some() || before.tier().is_none());
        let depth = |limited: &Limited<'_>| limited.plan_depth().unwrap_or(u32::MAX);
        prop_assert!(depth(&after) <= depth(&before));
    }
}
