//! Faults in recorded traces of real frameworks: what is a fact is acted on at once, and nobody else is touched.

#[path = "../../benches/faults/mod.rs"]
mod recorded;

use recorded::Fault;
use recorded::life::live;
use recorded::recordings::read;

#[test]
fn a_loop_in_a_recorded_trace_freezes_its_agent_and_no_other() {
    let recordings = read(&recorded::fixtures());
    let rules = recorded::rules(&recordings);
    let came = live(&recordings, &rules, Fault::Loop, 7);
    let words: Vec<_> = came.wrong.iter().map(|wrong| &wrong.words).collect();
    assert!(words.is_empty(), "{words:#?}");
    let tried: Vec<_> = came.suffered.iter().filter(|s| s.lacks.is_none()).collect();
    // One of the five records no inputs of tools.
    assert_eq!(tried.len(), 4);
    for suffering in tried {
        let (at, what) = suffering.acted.as_ref().unwrap();
        assert_eq!(what, "agent frozen by runaway-loop");
        // Eight rounds, and the last of them has to arrive.
        assert!(
            at - suffering.onset < 12 * recorded::SECOND,
            "{suffering:?}"
        );
    }
}
