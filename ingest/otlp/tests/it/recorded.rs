//! Bodies that instrumentations really sent, one a signal: whole, cut, with every byte changed, rearranged.

use std::path::Path;

use crate::oracle::{logs_agree, metrics_agree, traces_agree};
use crate::rewrite::{Dice, damage, rewrite};

/// Each with what reads it.
fn recorded() -> [(Vec<u8>, fn(&[u8]) -> bool); 3] {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/otlp/openai_v2");
    let read = |file: &str| std::fs::read(folder.join(file)).unwrap();
    [
        (read("0001.pb"), metrics_agree),
        (read("0002.pb"), traces_agree),
        (read("0011.pb"), logs_agree),
    ]
}

#[test]
fn recorded_bodies_are_read_as_prost_reads_them() {
    for (body, agree) in recorded() {
        assert!(agree(&body));
    }
}

#[test]
fn a_recorded_body_cut_or_changed_anywhere_is_read_as_prost_reads_it() {
    for (body, agree) in recorded() {
        let mut changed = body.clone();
        for at in 0..body.len() {
            agree(&body[..at]);
            for change in [0x01, 0x80, 0xff] {
                changed[at] ^= change;
                agree(&changed);
                changed[at] = body[at];
            }
        }
    }
}

#[test]
fn recorded_bodies_rearranged_and_damaged_are_read_as_prost_reads_them() {
    let bodies = recorded();
    let mut dice = Dice(7);
    for (body, agree) in &bodies {
        let mut read = 0;
        for _ in 0..100 {
            let rewritten = rewrite(body, &mut dice);
            read += usize::from(agree(&rewritten));
            agree(&damage(&rewritten, &bodies[0].0, &mut dice));
        }
        assert!(read > 10, "some are still requests: {read}");
    }
}
