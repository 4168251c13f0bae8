//! What shadow actions show, and how a rule gains and loses trust by it.

use super::action::burst;
use super::*;
use crate::Error;
use crate::notify::About;
use crate::trust::{Evidence, Origin as From, Standing};

fn shadow() -> String {
    format!(
        "{}    promote: {{ after: 1h, actions: 2, wrong_at_most: 0 }}\n    demote: {{ wrong: 2, within: 1d }}\n",
        SPEND.replace("enforce", "shadow")
    )
}

fn standing(bench: &Bench) -> Standing {
    bench.core.status().rules[0].standing.clone()
}

fn counts(bench: &Bench) -> (u64, u64, u64) {
    let Evidence {
        actions,
        right,
        wrong,
        ..
    } = standing(bench).evidence;
    (actions, right, wrong)
}

/// An agent bursts, goes on a little, and its execution ends.
fn episode(bench: &mut Bench, agent: &str, termination: &str) {
    burst(bench, agent);
    bench.pass(3);
    let more = bench.model(agent, 1);
    let end = ChargeRow {
        termination: Some(termination.into()),
        ..bench.call("execution", agent)
    };
    bench.live(&[more, end]);
}

fn row<'a>(bench: &'a Bench, key: &str) -> Vec<&'a AlertRow> {
    bench.alerts.iter().filter(|row| row.key == key).collect()
}

#[test]
fn what_would_have_stopped_a_success_was_wrong_and_what_came_to_nothing_was_right() {
    let mut bench = Bench::new(&shadow());
    episode(&mut bench, "a", "success");
    assert_eq!(counts(&bench), (1, 0, 1), "known at once");
    episode(&mut bench, "b", "failure");
    assert_eq!(counts(&bench), (2, 0, 1), "others may still be stopped");
    bench.pass(200);
    assert_eq!(counts(&bench), (2, 1, 1));
    // Whoever had ended before it, or ran on after its alert was over, says nothing of it.
    burst(&mut bench, "c");
    bench.pass(200);
    let end = ChargeRow {
        termination: Some("success".into()),
        ..bench.call("execution", "c")
    };
    bench.live(&[end]);
    assert_eq!(counts(&bench), (3, 1, 1));
}

#[test]
fn a_person_finds_an_action_wrong_once() {
    let mut bench = Bench::new(&shadow());
    episode(&mut bench, "a", "failure");
    bench.pass(200);
    assert_eq!(counts(&bench), (1, 1, 0));
    let id = bench.orders[0].action_id.clone().unwrap();
    for _ in 0..2 {
        let (said, effects) = bench.core.false_alarm(&id, bench.now).unwrap();
        assert_eq!((said.rule.as_str(), said.mode), ("spend", Mode::Shadow));
        assert!(said.demoted.is_none() && effects.is_empty());
        assert_eq!(counts(&bench), (1, 0, 1));
    }
    let unknown = bench.core.false_alarm("nobody's", bench.now);
    assert!(matches!(unknown, Err(Error::ActionUnknown { .. })));
}

#[test]
fn a_rule_is_promoted_on_evidence_and_stays_so_until_its_file_changes() {
    let rules = shadow();
    let mut bench = Bench::new(&rules);
    let refused = bench.core.promote("spend", false, bench.now).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "rule spend is not promoted: it is in shadow for 0s, and 1h are asked for; \
         it would have acted 0 times, and 2 are asked for"
    );
    for _ in 0..2 {
        episode(&mut bench, "a", "failure");
        bench.pass(200);
    }
    // What it has shown survives a restart.
    bench.restart(&rules);
    let effects = bench.core.warmed(bench.now);
    bench.take(effects);
    bench.pass(3_600);
    assert_eq!(standing(&bench).lacks, None);
    bench.core.promote("spend", false, bench.now).unwrap();
    bench.restart(&rules);
    let effects = bench.core.warmed(bench.now);
    bench.take(effects);
    let stands = standing(&bench);
    assert_eq!(
        (stands.mode, stands.origin),
        (Mode::Enforce, From::Promoted)
    );
    assert!(bench.frozen().is_empty());
    burst(&mut bench, "a");
    assert_eq!(bench.frozen(), [&agent("a")]);
    let again = bench.core.promote("spend", false, bench.now).unwrap_err();
    assert!(again.to_string().contains("in force already"), "{again}");

    bench.restart(&rules.replace("5.00", "6.00"));
    let stands = standing(&bench);
    assert_eq!((stands.mode, stands.origin), (Mode::Shadow, From::File));
    assert_eq!(stands.evidence.actions, 0);
}

#[test]
fn one_wrong_action_keeps_a_rule_in_shadow_unless_it_is_promoted_anyway() {
    let mut bench = Bench::new(&shadow());
    for end in ["failure", "success"] {
        episode(&mut bench, "a", end);
        bench.pass(2_000);
    }
    let refused = bench.core.promote("spend", false, bench.now).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "rule spend is not promoted: 1 of those were wrong, and at most 0 may be"
    );
    // What fires at that moment was dealt with on paper only.
    burst(&mut bench, "b");
    let on_paper = bench.orders.last().unwrap().action_id.clone();
    let (stands, _) = bench.core.promote("spend", true, bench.now).unwrap();
    assert_eq!(stands.mode, Mode::Enforce);
    burst(&mut bench, "b");
    assert_eq!(bench.frozen(), [&agent("b")]);
    assert_ne!(bench.orders.last().unwrap().action_id, on_paper);
    let unknown = bench.core.promote("spent", true, bench.now).unwrap_err();
    assert!(unknown.to_string().contains("is not in use"), "{unknown}");
}

#[test]
fn false_alarms_send_a_rule_back_to_shadow_and_people_are_told() {
    let rules = shadow().replace("shadow", "enforce");
    let mut bench = Bench::new(&rules);
    for alarms in 1..=2 {
        burst(&mut bench, "a");
        bench.obey();
        bench.pass(2);
        bench.release(&agent("a"));
        let id = bench.orders.last().unwrap().action_id.clone().unwrap();
        for _ in 0..2 {
            let (said, effects) = bench.core.false_alarm(&id, bench.now).unwrap();
            let told = effects.len();
            bench.take(effects);
            assert_eq!(said.demoted.is_some(), alarms == 2 && told == 2);
        }
    }
    let stands = standing(&bench);
    assert_eq!((stands.mode, stands.origin), (Mode::Shadow, From::Demoted));
    let notice = bench.notices.last().unwrap();
    assert_eq!(
        (notice.status, notice.key.as_str()),
        (About::Firing, "trust")
    );
    assert!(
        notice
            .summary
            .contains("2 of its actions were false alarms within 1d"),
        "{}",
        notice.summary
    );
    bench.restart(&rules);
    let effects = bench.core.warmed(bench.now);
    bench.take(effects);
    bench.pass(200);
    let before = bench.frozen().len();
    burst(&mut bench, "a");
    assert_eq!(bench.frozen().len(), before, "it acts no more");
    assert_eq!(bench.orders.last().unwrap().mode, Mode::Shadow);
    let (_, effects) = bench.core.promote("spend", true, bench.now).unwrap();
    bench.take(effects);
    let trust = row(&bench, "trust");
    assert_eq!(
        (trust[0].state.as_str(), trust[1].state.as_str()),
        ("firing", "ok")
    );
    assert_eq!(trust[0].alert_id, trust[1].alert_id);
    assert_eq!(trust.len(), 2);
}
