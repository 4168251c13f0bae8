//! The roll call of alerts that stand: what people were told of and is not over, under the ids that they know.

use super::*;
use crate::notify::About;

/// Rule, alert and status of all that stand.
fn standing(bench: &Bench) -> Vec<(String, String, About)> {
    let standing = bench.core.standing().unwrap();
    standing
        .into_iter()
        .map(|(_, notice)| (notice.rule, notice.alert_id, notice.status))
        .collect()
}

#[test]
fn what_fires_stands_under_its_id_until_it_is_over_also_after_a_restart() {
    let mut bench = Bench::new(SPEND);
    assert!(standing(&bench).is_empty());
    let row = bench.model("a", 600);
    bench.live(&[row]);
    let told = bench.notices[0].clone();
    let want = ("spend".to_owned(), told.alert_id.clone(), About::Firing);
    assert_eq!(standing(&bench), std::slice::from_ref(&want));
    // As it was told, so that a notice that was lost on the way and its replacement are one.
    let (_, notice) = bench.core.standing().unwrap().remove(0);
    assert_eq!(notice.delivery_id(), told.delivery_id());
    // It recovers for half a minute, and stands meanwhile.
    bench.pass(61);
    assert_eq!(standing(&bench), std::slice::from_ref(&want));
    bench.restart(SPEND);
    assert!(
        bench.core.standing().is_none(),
        "nobody knows before the windows are full"
    );
    let effects = bench.core.warmed(bench.now);
    bench.take(effects);
    assert_eq!(standing(&bench), [want]);
    bench.pass(120);
    assert_eq!(bench.notices.last().unwrap().status, About::Resolved);
    assert!(standing(&bench).is_empty());
}

#[test]
fn a_rule_in_shadow_stands_for_nobody() {
    let mut bench = Bench::new(&SPEND.replace("enforce", "shadow"));
    let row = bench.model("a", 600);
    bench.live(&[row]);
    assert_eq!(bench.states(), ["firing"]);
    assert!(standing(&bench).is_empty());
}

#[test]
fn a_query_that_fails_stands_under_one_id_also_after_a_restart() {
    const QUERY: &str = "\
rules:
  - name: q
    key: agent
    when:
      sql: { query: SELECT 1, every: 10s, at_least: 1 }
";
    let mut bench = Bench::new(QUERY);
    let failed = |bench: &mut Bench| {
        let effects = bench
            .core
            .answered("q", Err("no such table".into()), bench.now);
        bench.take(effects);
    };
    failed(&mut bench);
    let id = bench.notices[0].alert_id.clone();
    let want = [("q".to_owned(), id.clone(), About::Error)];
    assert_eq!(standing(&bench), want);
    bench.restart(QUERY);
    let effects = bench.core.warmed(bench.now);
    bench.take(effects);
    assert_eq!(standing(&bench), want);
    bench.pass(120);
    let effects = bench.core.answered("q", Ok(Vec::new()), bench.now);
    bench.take(effects);
    let over = bench.notices.last().unwrap();
    assert_eq!((over.status, &over.alert_id), (About::Resolved, &id));
    assert!(standing(&bench).is_empty());
}
