//! A stand-in for the store as the resolver sees it: spans, a journal of which only settled traces reach
//! the disk, and crashes that lose the rest.

use std::collections::HashSet;

use flyball_ingest::resolver::{Post, Resolver};
use flyball_store::Resume;
use flyball_store::rows::{ChargeRow, Row, SpanRow};

use crate::journal::{rows, told};

#[derive(Debug, Default)]
pub(crate) struct Shelf {
    spans: Vec<SpanRow>,
    buffered: Vec<ChargeRow>,
    disk: Vec<ChargeRow>,
    resolved_to: u64,
    positions: u64,
}

impl Shelf {
    /// Appends a request and lets the resolver know.
    pub(crate) fn append(&mut self, resolver: &mut Resolver, rows: &[SpanRow], now: i64) {
        self.positions += 1;
        let told = told(rows, self.positions);
        self.spans.extend(SpanRow::read(&told.batch).unwrap());
        let posts = resolver.spans(&[told], now).unwrap();
        self.journal(posts);
        self.serve(resolver, now);
    }

    /// Gives the resolver what it wants of settled traces.
    fn serve(&mut self, resolver: &mut Resolver, now: i64) {
        let wanted = resolver.wanted();
        if !wanted.is_empty() {
            let held = self.of(&wanted.iter().cloned().collect());
            let posts = resolver.reopen(&wanted, &held, now).unwrap();
            self.journal(posts);
        }
    }

    /// Takes what was posted; of settled traces, an entry and its reversal that meet cancel out, and the
    /// rest goes to disk.
    pub(crate) fn journal(&mut self, posts: Vec<Post>) {
        for post in posts {
            self.buffered.extend(rows(&post));
            let settled: HashSet<String> = post.update.settled.into_iter().collect();
            let (done, open): (Vec<_>, Vec<_>) = self
                .buffered
                .drain(..)
                .partition(|row| settled.contains(&row.trace_id));
            self.buffered = open;
            let ids = |reversals: bool| -> HashSet<String> {
                let rows = done
                    .iter()
                    .filter(|row| (row.entry == "reversal") == reversals);
                rows.map(|row| row.charge_id.clone()).collect()
            };
            let met: HashSet<String> = ids(true).intersection(&ids(false)).cloned().collect();
            self.disk
                .extend(done.into_iter().filter(|row| !met.contains(&row.charge_id)));
            self.resolved_to = post.update.resolved_to;
        }
    }

    fn of(&self, traces: &HashSet<String>) -> Resume {
        let spans: Vec<SpanRow> = self
            .spans
            .iter()
            .filter(|row| traces.contains(&row.trace_id))
            .cloned()
            .collect();
        let journal = self.disk.iter().chain(&self.buffered);
        let charges: Vec<ChargeRow> = journal
            .filter(|row| traces.contains(&row.trace_id))
            .cloned()
            .collect();
        Resume {
            spans: vec![SpanRow::batch(&spans).unwrap()],
            charges: vec![ChargeRow::batch(&charges).unwrap()],
            resolved_to: self.resolved_to,
        }
    }

    /// A crash and a restart: what was not on disk is gone, and a new resolver goes on.
    pub(crate) fn restart(&mut self, mut fresh: Resolver, now: i64) -> Resolver {
        self.buffered.clear();
        let open = self
            .spans
            .iter()
            .filter(|row| row.log_position as u64 > self.resolved_to);
        let resume = self.of(&open.map(|row| row.trace_id.clone()).collect());
        let posts = fresh.resume(&resume, now).unwrap();
        self.journal(posts);
        fresh
    }

    /// The whole journal, disk and buffer.
    pub(crate) fn rows(&self) -> Vec<ChargeRow> {
        self.disk.iter().chain(&self.buffered).cloned().collect()
    }
}
