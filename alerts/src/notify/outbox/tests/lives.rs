//! Whatever happens, in whatever order: what a receiver knows in the end.

use std::collections::HashSet;

use proptest::prelude::*;

use super::{Bench, down, webhook};
use crate::notify::outbox::settle::Outcome;
use crate::notify::outbox::take::Batch;
use crate::notify::{About, Telling};

#[derive(Debug, Clone)]
enum Step {
    Fire(u8),
    Resolve(u8),
    Try(u8),
    Crash,
    Pass(u8),
}

/// What a receiver has heard.
#[derive(Default)]
struct Heard {
    drops_doubles: bool,
    ids: HashSet<String>,
    notices: Vec<(String, About)>,
}

impl Heard {
    fn take(&mut self, batch: &Batch) {
        for Telling {
            delivery_id,
            notice,
            ..
        } in &batch.tellings
        {
            if self.ids.insert(delivery_id.clone()) || !self.drops_doubles {
                self.notices.push((notice.alert_id.clone(), notice.status));
            }
        }
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (0u8..4).prop_map(Step::Fire),
        (0u8..4).prop_map(Step::Resolve),
        (0u8..4).prop_map(Step::Try),
        Just(Step::Crash),
        (1u8..20).prop_map(Step::Pass),
    ];
    prop::collection::vec(step, 0..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// However alerts come and go, requests fail and the process is killed: a receiver that drops doubles hears of each
    /// alert a firing before its end and none after it, and knows in the end what stands. Without groups that holds with
    /// the doubles, too.
    #[test]
    fn the_receiver_knows_in_the_end(steps in steps(), grouped in any::<bool>()) {
        let mut bench = if grouped { Bench::grouped(3, 7) } else { Bench::new(webhook()) };
        let mut generation = [0u32; 4];
        let mut open = [false; 4];
        let mut heard = Heard { drops_doubles: grouped, ..Heard::default() };
        let name = |agent: u8, generation: u32| format!("{agent}-{generation}");
        let all: Vec<Step> = steps;
        for step in all {
            match step {
                Step::Fire(agent) => {
                    let at = usize::from(agent);
                    if !open[at] {
                        generation[at] += 1;
                        open[at] = true;
                        bench.tell(&name(agent, generation[at]), About::Firing);
                    }
                }
                Step::Resolve(agent) => {
                    let at = usize::from(agent);
                    if open[at] {
                        open[at] = false;
                        bench.pass(1);
                        bench.tell(&name(agent, generation[at]), About::Resolved);
                    }
                }
                Step::Try(how) => {
                    if let Some(batch) = bench.next() {
                        let outcome = match how {
                            0 | 1 => Outcome::Sent,
                            2 => down(),
                            _ => Outcome::Later { reason: "500".into(), wait: Some(2_000) },
                        };
                        if outcome == Outcome::Sent {
                            heard.take(&batch);
                        }
                        bench.settle(&batch, &outcome);
                    }
                }
                // It was sent, and killed before that was written down.
                Step::Crash => {
                    if let Some(batch) = bench.next() {
                        heard.take(&batch);
                    }
                }
                Step::Pass(seconds) => bench.pass(seconds.into()),
            }
        }
        for _ in 0..20 {
            bench.pass(10);
            while let Some(batch) = bench.next() {
                heard.take(&batch);
                bench.settle(&batch, &Outcome::Sent);
            }
        }
        prop_assert_eq!(bench.waiting(), 0);
        for agent in 0..4u8 {
            for generation_no in 1..=generation[usize::from(agent)] {
                let id = name(agent, generation_no);
                let of: Vec<About> = heard.notices.iter().filter(|(a, _)| *a == id).map(|(_, s)| *s).collect();
                let stands = open[usize::from(agent)] && generation_no == generation[usize::from(agent)];
                if stands {
                    prop_assert!(!of.is_empty() && of.iter().all(|s| *s == About::Firing), "{id}: {of:?}");
                } else if let Some(end) = of.iter().position(|s| *s == About::Resolved) {
                    prop_assert!(end > 0 && of[..end].iter().all(|s| *s == About::Firing), "{id}: {of:?}");
                    prop_assert!(of[end..].iter().all(|s| *s == About::Resolved), "{id}: {of:?}");
                } else {
                    prop_assert!(of.is_empty(), "{id} is over, and only its beginning was told: {of:?}");
                }
            }
        }
    }
}
