#![allow(clippy::unwrap_used)]
//! The queue without its thread: one notifier, a clock of our own, and what it would tell.

mod lives;

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use rusqlite::Connection;

use super::enter::{self, Entered};
use super::keeper::utc;
use super::settle::{self, Outcome, Settled};
use super::take::{self, Batch, Next};
use super::{Options, tables};
use crate::notify::{
    About, Alertmanager, Channel, Deed, Group, GroupBy, Kind, Notice, Otlp, Silence, SilenceOrder,
    Webhook,
};
use crate::rule::Severity;

/// Millisecond 0 of every test.
const START: i64 = 1_800_000_000_000;

struct Bench {
    c: Connection,
    channel: Channel,
    silences: Vec<Silence>,
    now: i64,
    options: Options,
    cancelled: u64,
}

fn webhook() -> Kind {
    Kind::Webhook(Webhook {
        url: "http://127.0.0.1:1".parse().unwrap(),
        secret: None,
    })
}

fn alertmanager() -> Kind {
    Kind::Alertmanager(Alertmanager {
        url: "http://127.0.0.1:1".parse().unwrap(),
        secret: None,
    })
}

impl Bench {
    fn new(kind: Kind) -> Self {
        let c = Connection::open_in_memory().unwrap();
        c.execute_batch(tables::SCHEMA).unwrap();
        Self {
            c,
            channel: Channel::new("n", kind),
            silences: Vec::new(),
            now: START,
            options: Options::default(),
            cancelled: 0,
        }
    }

    fn grouped(wait: u64, interval: u64) -> Self {
        let mut bench = Self::new(webhook());
        bench.channel.group = Some(Group {
            by: vec![GroupBy::Rule],
            wait: Duration::from_secs(wait),
            interval: Duration::from_secs(interval),
        });
        bench
    }

    fn notice(&self, id: &str, status: About) -> Notice {
        Notice {
            status,
            alert_id: id.into(),
            rule: "spend".into(),
            description: String::new(),
            key: format!("agent={id}"),
            severity: Severity::Warning,
            workspace: "default".into(),
            summary: format!("{id} spends"),
            value: None,
            threshold: "5".into(),
            at: utc(self.now).to_rfc3339(),
            action: None,
            evidence: None,
        }
    }

    fn enter(&mut self, notice: &Notice) -> Entered {
        let entered = enter::notice(&self.c, &self.channel, notice, self.now).unwrap();
        self.cancelled += entered.cancelled;
        entered
    }

    fn tell(&mut self, id: &str, status: About) {
        let notice = self.notice(id, status);
        self.enter(&notice);
    }

    /// What is alive, by roll call.
    fn stand(&mut self, ids: &[&str]) {
        let standing: Vec<_> = ids
            .iter()
            .map(|id| Arc::new(self.notice(id, About::Firing)))
            .collect();
        let (most, now) = (self.options.waiting, self.now);
        let done = enter::standing(&self.c, &self.channel, &standing, most, now).unwrap();
        self.cancelled += done.cancelled;
    }

    fn pass(&mut self, seconds: i64) {
        self.now += seconds * 1_000;
    }

    fn next(&mut self) -> Option<Batch> {
        let (next, cancelled) =
            take::next(&self.c, &self.channel, &self.silences, self.now).unwrap();
        self.cancelled += cancelled;
        match next {
            Next::Send(batch) => Some(batch),
            Next::Wait(_) => None,
        }
    }

    fn wakes_at(&mut self) -> Option<i64> {
        match take::next(&self.c, &self.channel, &self.silences, self.now).unwrap() {
            (Next::Wait(until), _) => until,
            (Next::Send(batch), _) => panic!("{batch:?} is due"),
        }
    }

    fn settle(&mut self, batch: &Batch, outcome: &Outcome) -> Settled {
        settle::settle(
            &self.c,
            &self.channel,
            batch,
            outcome,
            &self.options,
            self.now,
        )
        .unwrap()
    }

    /// Sends what is due, until nothing is: `a:firing`, by request.
    fn sent(&mut self) -> Vec<String> {
        let mut sent = Vec::new();
        while let Some(batch) = self.next() {
            sent.push(words(&batch));
            self.settle(&batch, &Outcome::Sent);
        }
        sent
    }

    fn fail(&mut self, outcome: &Outcome) -> (String, Settled) {
        let batch = self.next().unwrap();
        let settled = self.settle(&batch, outcome);
        (words(&batch), settled)
    }

    fn silence(&mut self, matcher: &str, seconds: i64) {
        let order = SilenceOrder {
            matchers: vec![matcher.into()],
            from: None,
            until: utc(self.now) + TimeDelta::seconds(seconds),
            why: "a test".into(),
        };
        let silence = Silence::new(&order, "cli:ada", utc(self.now)).unwrap();
        self.silences.push(silence);
    }

    fn waiting(&self) -> usize {
        tables::count(&self.c, "n").unwrap()
    }
}

fn words(batch: &Batch) -> String {
    let words = batch
        .tellings
        .iter()
        .map(|t| format!("{}:{}", t.notice.alert_id, t.notice.status.as_str()));
    words.collect::<Vec<_>>().join(" ")
}

fn down() -> Outcome {
    Outcome::Later {
        reason: "nobody is there".into(),
        wait: None,
    }
}

fn refused() -> Outcome {
    Outcome::Refused {
        reason: "400".into(),
        apart: true,
    }
}

#[test]
fn each_is_told_once_and_in_order() {
    let mut bench = Bench::new(webhook());
    bench.tell("a", About::Firing);
    let again = bench.notice("a", About::Firing);
    bench.enter(&again);
    assert_eq!(bench.sent(), ["a:firing"]);
    bench.enter(&again);
    bench.pass(1);
    bench.tell("b", About::Firing);
    bench.tell("a", About::Resolved);
    bench.tell("a", About::Resolved);
    assert_eq!(bench.sent(), ["b:firing", "a:resolved"]);
    bench.tell("a", About::Resolved);
    assert!(bench.sent().is_empty());
}

#[test]
fn what_is_over_before_anybody_knew_is_not_told_unless_somebody_was_touched() {
    let mut bench = Bench::grouped(10, 60);
    bench.tell("a", About::Firing);
    bench.pass(1);
    bench.tell("a", About::Resolved);
    let mut frozen = bench.notice("b", About::Firing);
    frozen.action = Some(Deed {
        action: "freeze".into(),
        target: "agent b".into(),
        action_id: Some("f".into()),
        outcome: "ordered".into(),
    });
    bench.enter(&frozen);
    bench.pass(1);
    bench.tell("b", About::Resolved);
    bench.pass(10);
    assert_eq!(bench.sent(), ["b:firing b:resolved"]);
    assert_eq!(bench.cancelled, 2);
    // A log is told everything.
    let mut log = Bench::new(Kind::Otlp(Otlp {
        url: "http://127.0.0.1:1".parse().unwrap(),
        secret: None,
    }));
    log.tell("a", About::Firing);
    log.pass(1);
    log.tell("a", About::Resolved);
    assert_eq!(log.sent(), ["a:firing a:resolved"]);
}

#[test]
fn what_may_have_been_told_is_taken_back() {
    let mut bench = Bench::new(webhook());
    bench.tell("a", About::Firing);
    // A try was begun, and nobody knows how it ended: the process was killed.
    bench.next().unwrap();
    bench.pass(1);
    bench.tell("a", About::Resolved);
    assert_eq!(bench.sent(), ["a:firing", "a:resolved"]);
}

#[test]
fn a_group_goes_together_and_not_too_often() {
    let mut bench = Bench::grouped(10, 60);
    bench.tell("a", About::Firing);
    bench.pass(5);
    bench.tell("b", About::Firing);
    let mut other = bench.notice("c", About::Firing);
    other.rule = "errors".into();
    bench.enter(&other);
    assert_eq!(bench.wakes_at(), Some(START + 10_000));
    bench.pass(5);
    assert_eq!(bench.sent(), ["a:firing b:firing"]);
    bench.pass(5);
    assert_eq!(bench.sent(), ["c:firing"]);
    bench.tell("d", About::Firing);
    bench.tell("a", About::Resolved);
    bench.pass(50);
    assert!(bench.sent().is_empty());
    bench.pass(5);
    assert_eq!(bench.sent(), ["d:firing a:resolved"]);
    // What comes while a message is under way waits for the next.
    bench.pass(600);
    bench.tell("e", About::Firing);
    bench.pass(10);
    let under_way = bench.next().unwrap();
    bench.tell("f", About::Firing);
    bench.settle(&under_way, &Outcome::Sent);
    assert!(bench.sent().is_empty());
    bench.pass(60);
    assert_eq!(bench.sent(), ["f:firing"]);
}

#[test]
fn an_outage_changes_neither_order_nor_content() {
    let mut bench = Bench::new(webhook());
    for id in ["a", "b"] {
        bench.tell(id, About::Firing);
    }
    for _ in 0..20 {
        assert_eq!(bench.fail(&down()).0, "a:firing");
    }
    bench.pass(60);
    bench.tell("a", About::Resolved);
    assert_eq!(bench.sent(), ["a:firing", "b:firing", "a:resolved"]);
}

#[test]
fn one_that_the_receiver_cannot_take_holds_up_nobody_else() {
    let mut bench = Bench::new(webhook());
    bench.tell("poison", About::Firing);
    bench.tell("b", About::Firing);
    let busy = Outcome::Later {
        reason: "500".into(),
        wait: Some(5_000),
    };
    assert_eq!(bench.fail(&busy).0, "poison:firing");
    bench.pass(1);
    bench.tell("poison", About::Resolved);
    assert_eq!(bench.sent(), ["b:firing"]);
    bench.pass(4);
    assert_eq!(bench.sent(), ["poison:firing", "poison:resolved"]);
    // Not for ever, either.
    bench.tell("c", About::Firing);
    bench.pass(3 * 86_400);
    let (_, settled) = bench.fail(&busy);
    assert_eq!((settled.failed, bench.waiting()), (1, 0));
    let lost = tables::lost(&bench.c).unwrap();
    assert_eq!(
        (lost[0].alert_id.as_str(), lost[0].reason.as_str()),
        ("c", "given up: 500")
    );
}

#[test]
fn a_refusal_is_kept_with_its_reason_and_tried_apart_from_others() {
    let mut bench = Bench::grouped(10, 60);
    for id in ["a", "b", "c"] {
        bench.tell(id, About::Firing);
    }
    bench.pass(10);
    let (together, settled) = bench.fail(&refused());
    assert_eq!(
        (together.as_str(), settled.failed),
        ("a:firing b:firing c:firing", 0)
    );
    assert_eq!(bench.fail(&refused()).0, "a:firing");
    assert_eq!(bench.sent(), ["b:firing", "c:firing"]);
    let lost = tables::lost(&bench.c).unwrap();
    assert_eq!(
        (
            lost.len(),
            lost[0].alert_id.as_str(),
            lost[0].reason.as_str()
        ),
        (1, "a", "400")
    );
    // Nobody knows of it: its end is no news.
    bench.pass(1);
    bench.tell("a", About::Resolved);
    bench.pass(600);
    assert!(bench.sent().is_empty());
}

#[test]
fn an_alertmanager_hears_of_it_again_and_again_and_a_few_times_that_it_is_over() {
    let mut bench = Bench::new(alertmanager());
    bench.tell("a", About::Firing);
    bench.tell("b", About::Firing);
    assert_eq!(bench.sent(), ["a:firing b:firing"]);
    for _ in 0..5 {
        bench.pass(59);
        assert!(bench.sent().is_empty());
        bench.pass(1);
        assert_eq!(bench.sent(), ["a:firing b:firing"]);
    }
    bench.tell("b", About::Resolved);
    let mut heard = bench.sent();
    for _ in 0..6 {
        bench.pass(60);
        heard.extend(bench.sent());
    }
    let ends = heard.iter().filter(|sent| sent.contains("b:resolved"));
    assert_eq!(ends.count(), 4);
    assert!(!heard.iter().any(|sent| sent.contains("b:firing")));
    assert_eq!(
        heard
            .iter()
            .filter(|sent| sent.contains("a:firing"))
            .count(),
        6
    );
    // Two notices of one alert are never in one request.
    bench.tell("c", About::Firing);
    bench.next().unwrap();
    bench.tell("c", About::Resolved);
    assert_eq!(bench.sent(), ["c:firing", "c:resolved"]);
}

#[test]
fn what_stands_is_told_again_after_a_while_if_that_is_wanted() {
    let mut bench = Bench::new(webhook());
    bench.channel.repeat = Some(Duration::from_secs(3_600));
    bench.tell("a", About::Firing);
    assert_eq!(bench.sent(), ["a:firing"]);
    assert_eq!(bench.wakes_at(), Some(START + 3_600_000));
    bench.pass(3_600);
    let reminder = bench.next().unwrap();
    let first = bench.notice("a", About::Firing).delivery_id();
    assert_ne!(reminder.tellings[0].delivery_id, first);
    bench.settle(&reminder, &Outcome::Sent);
    bench.tell("a", About::Resolved);
    assert_eq!(bench.sent(), ["a:resolved"]);
    bench.pass(36_000);
    assert!(bench.sent().is_empty());
}

#[test]
fn a_silence_mutes_and_what_still_stands_at_its_end_is_told() {
    let mut bench = Bench::new(webhook());
    bench.tell("known", About::Firing);
    assert_eq!(bench.sent(), ["known:firing"]);
    bench.silence("rule=spend", 100);
    bench.pass(1);
    for id in ["a", "b"] {
        bench.tell(id, About::Firing);
    }
    let mut loud = bench.notice("c", About::Firing);
    loud.rule = "errors".into();
    bench.enter(&loud);
    assert_eq!(bench.sent(), ["c:firing"]);
    bench.pass(1);
    // Over without anybody having known; and who knew hears that it is over.
    bench.tell("a", About::Resolved);
    bench.tell("known", About::Resolved);
    assert_eq!(bench.sent(), ["known:resolved"]);
    assert_eq!(bench.wakes_at(), Some(START + 100_000));
    bench.pass(98);
    assert_eq!(bench.sent(), ["b:firing"]);
}

#[test]
fn what_was_over_before_a_silence_was_noticed_is_not_told_half() {
    let mut bench = Bench::grouped(10, 60);
    bench.silence("key=~agent=(a|b)", 100);
    let mut frozen = bench.notice("a", About::Firing);
    frozen.action = Some(Deed {
        action: "freeze".into(),
        target: "agent a".into(),
        action_id: Some("f".into()),
        outcome: "ordered".into(),
    });
    bench.enter(&frozen);
    bench.pass(1);
    bench.tell("a", About::Resolved);
    bench.pass(10);
    assert!(bench.sent().is_empty());
    assert_eq!(bench.waiting(), 0);
}

#[test]
fn an_alertmanager_that_knows_goes_on_hearing_through_a_silence() {
    let mut bench = Bench::new(alertmanager());
    bench.tell("a", About::Firing);
    assert_eq!(bench.sent(), ["a:firing"]);
    bench.silence("rule=spend", 600);
    bench.tell("b", About::Firing);
    bench.pass(60);
    assert_eq!(bench.sent(), ["a:firing"]);
}

#[test]
fn a_roll_call_makes_up_for_what_was_lost() {
    let mut bench = Bench::new(webhook());
    bench.tell("a", About::Firing);
    bench.tell("b", About::Firing);
    bench.sent();
    bench.pass(30);
    // The end of `a` and the beginning of `c` never came.
    bench.stand(&["b", "c"]);
    assert_eq!(bench.sent(), ["a:resolved", "c:firing"]);
    bench.pass(30);
    bench.stand(&["b", "c"]);
    assert!(bench.sent().is_empty());
    // One that may fire is not over, and nobody is told of it.
    let pending = Arc::new(bench.notice("d", About::Pending));
    let b = Arc::new(bench.notice("b", About::Pending));
    let now = bench.now;
    enter::standing(&bench.c, &bench.channel, &[pending, b], 10, now).unwrap();
    assert_eq!(bench.sent(), ["c:resolved"]);
}

#[test]
fn what_is_over_makes_room_first_and_what_stands_comes_back() {
    let mut bench = Bench::new(webhook());
    bench.options.waiting = 4;
    // Perhaps told, and over.
    bench.tell("over", About::Firing);
    bench.next().unwrap();
    bench.pass(1);
    bench.tell("over", About::Resolved);
    for id in ["a", "b", "c", "d", "e"] {
        bench.tell(id, About::Firing);
    }
    let dropped = enter::make_room(&bench.c, "n", 4, bench.now).unwrap();
    assert_eq!((dropped, bench.waiting()), (3, 4));
    assert_eq!(
        bench.sent(),
        ["b:firing", "c:firing", "d:firing", "e:firing"]
    );
    bench.pass(30);
    bench.stand(&["a", "b", "c", "d", "e"]);
    assert_eq!(bench.sent(), ["a:firing"]);
}

#[test]
fn an_end_is_called_what_its_beginning_was() {
    let mut bench = Bench::new(alertmanager());
    bench.tell("a", About::Firing);
    bench.sent();
    bench.pass(1);
    let mut over = bench.notice("a", About::Resolved);
    over.severity = Severity::Info;
    over.rule = "renamed".into();
    bench.enter(&over);
    let told = bench.next().unwrap().tellings.remove(0);
    assert_eq!(
        (told.notice.severity, told.notice.rule.as_str()),
        (Severity::Warning, "spend")
    );
    assert_eq!(told.since, utc(START).to_rfc3339());
}
