//! A small fleet, some days, the rules that ship for a start: the short form of `benches/fleet`.

#[path = "../../benches/fleet/mod.rs"]
mod generated;

use flyball_alerts::rule::default_rules;

use self::generated::fault::Kind;
use self::generated::{Plan, rules};

/// Two days of twenty agents that do a tenth of the usual work, with a fault of each kind on the second.
fn plan() -> Plan {
    Plan {
        volume: 0.1,
        ..Plan::new(7, 2, 20, 1)
    }
}

#[test]
fn facts_are_acted_on_and_no_healthy_agent_is_touched() {
    let report = plan().run(&rules());
    let wrong: Vec<&str> = report.wrong.iter().map(|w| w.words.as_str()).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    for kind in [Kind::Loop, Kind::RetryStorm, Kind::UnknownTool] {
        let fault = report.shown().find(|fault| fault.nature.kind == kind);
        let fault = fault.unwrap_or_else(|| panic!("no {kind:?} began"));
        let acted = fault.acted.as_ref().map(|(at, _)| *at);
        let delay = acted.zip(fault.begun).map(|(acted, begun)| acted - begun);
        let soon = delay.is_some_and(|delay| (0..3 * generated::MINUTE).contains(&delay));
        assert!(soon, "{fault:#?}");
    }
}

#[test]
fn the_same_seed_is_the_same_fleet() {
    let plan = Plan {
        closed: false,
        ..plan()
    };
    let (one, other) = (plan.run(&[]), plan.run(&[]));
    assert_eq!((one.charges, one.spent), (other.charges, other.spent));
    let next = Plan { seed: 8, ..plan };
    assert_ne!(one.spent, next.run(&[]).spent);
}

/// What is in both files is the same in both, but for what the starter tunes.
#[test]
fn the_starter_does_not_stray_from_the_default_rules() {
    let text = include_str!("../../rules/starter.yaml");
    let starter = flyball_alerts::rule::parse("starter.yaml", text).unwrap();
    let tuned = ["spend-unusual", "escalation-surge"];
    let mut shared = 0;
    for rule in default_rules().unwrap() {
        let same = starter.iter().find(|other| other.name == rule.name);
        if let Some(same) = same.filter(|_| !tuned.contains(&rule.name.as_str())) {
            assert_eq!(same.version(), rule.version(), "{}", rule.name);
            shared += 1;
        }
    }
    assert!(shared >= 8, "{shared}");
}
