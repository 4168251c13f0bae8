//! What the tests of the resolver have in common: feeding it, and adding up its journal.

use std::collections::HashSet;
use std::path::Path;

use flyball_ingest::resolver::{Post, Resolver, Told};
use flyball_ingest::{Limits, normalise, otlp};
use flyball_store::rows::{ChargeRow, Row, SpanRow};
use flyball_store::{Encoding, Origin};
use rust_decimal::Decimal;

/// A second, in nanoseconds.
pub(crate) const SECOND: i64 = 1_000_000_000;

/// Everything that was posted.
#[derive(Debug, Default, Clone)]
pub(crate) struct Journal {
    pub(crate) rows: Vec<ChargeRow>,
    pub(crate) settled: Vec<String>,
    pub(crate) resolved_to: u64,
}

/// The entries of an update.
pub(crate) fn rows(post: &Post) -> Vec<ChargeRow> {
    let read = |batch| ChargeRow::read(batch).unwrap();
    post.update.post.iter().flat_map(read).collect()
}

impl Journal {
    pub(crate) fn take(&mut self, posts: Vec<Post>) {
        for post in posts {
            self.rows.extend(rows(&post));
            self.settled.extend(post.update.settled);
            assert!(
                post.update.resolved_to >= self.resolved_to,
                "it never goes back"
            );
            self.resolved_to = post.update.resolved_to;
        }
    }

    /// The charges that no reversal names.
    pub(crate) fn standing(&self) -> Vec<ChargeRow> {
        let reversed: HashSet<&str> = self
            .rows
            .iter()
            .filter(|row| row.entry == "reversal")
            .map(|row| row.charge_id.as_str())
            .collect();
        let stands =
            |row: &&ChargeRow| row.entry == "charge" && !reversed.contains(row.charge_id.as_str());
        self.rows.iter().filter(stands).cloned().collect()
    }
}

/// Sums.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) calls: i64,
    pub(crate) input: i64,
    pub(crate) cache_read: i64,
    pub(crate) cache_write: i64,
    pub(crate) output: i64,
    pub(crate) reasoning: i64,
    pub(crate) cost: Decimal,
}

impl Totals {
    pub(crate) fn with_calls(self, calls: i64) -> Self {
        Self { calls, ..self }
    }
}

pub(crate) fn totals<'a>(rows: impl IntoIterator<Item = &'a ChargeRow>) -> Totals {
    let mut totals = Totals::default();
    for row in rows {
        totals.calls += row.calls;
        totals.input += row.input_tokens.unwrap_or(0);
        totals.cache_read += row.cache_read_tokens.unwrap_or(0);
        totals.cache_write += row.cache_write_tokens.unwrap_or(0);
        totals.output += row.output_tokens.unwrap_or(0);
        totals.reasoning += row.reasoning_tokens.unwrap_or(0);
        totals.cost += row.cost_usd.unwrap_or_default();
    }
    totals.cost = totals.cost.normalize();
    totals
}

/// Spans as the store publishes them: in a batch, with their position.
pub(crate) fn told(rows: &[SpanRow], position: u64) -> Told {
    let mut rows = rows.to_vec();
    for row in &mut rows {
        row.log_position = position as i64;
    }
    Told {
        batch: SpanRow::batch(&rows).unwrap(),
        position,
        origin: Origin::Live,
    }
}

/// Feeds requests one by one, then settles.
pub(crate) fn resolve(resolver: &mut Resolver, requests: &[Vec<SpanRow>]) -> Journal {
    let mut journal = Journal::default();
    for (at, rows) in requests.iter().enumerate() {
        let position = at as u64 + 1;
        journal.take(
            resolver
                .spans(&[told(rows, position)], position as i64)
                .unwrap(),
        );
    }
    journal.take(resolver.settle_all(SECOND).unwrap());
    assert_eq!(journal.resolved_to, requests.len() as u64);
    journal
}

/// A line on how a folder of the full corpus comes out.
pub(crate) fn report(folder: &Path, resolver: &mut Resolver) -> String {
    let json = |file: &str| -> serde_json::Value {
        serde_json::from_slice(&std::fs::read(folder.join(file)).unwrap()).unwrap()
    };
    let mut requests = Vec::new();
    for request in json("meta.json")["requests"].as_array().unwrap() {
        let path = request["path"].as_str().unwrap();
        if path == "/v1/metrics" {
            continue;
        }
        let file = request["file"].as_str().unwrap();
        let mut body = std::fs::read(folder.join(file)).unwrap();
        if file.ends_with(".gz") {
            let packed = std::mem::take(&mut body);
            std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&packed[..]), &mut body)
                .unwrap();
        }
        let encoding = if file.contains(".json") {
            Encoding::Json
        } else {
            Encoding::Protobuf
        };
        let normalised = if path == "/v1/logs" {
            otlp::logs(&body, encoding, Limits::NONE, |request| {
                normalise::logs(request, SECOND, &[])
            })
        } else {
            otlp::traces(&body, encoding, Limits::NONE, |request| {
                normalise::spans(request, SECOND, &[])
            })
        };
        let normalised = normalised.unwrap();
        requests.push(SpanRow::read(&normalised.spans).unwrap());
    }
    let expected = json("expected.json");
    let truth = &expected["recoverable"]["with_the_details_that_spans_show"];
    let number = |field: &str| truth[field].as_i64().unwrap();
    let want = Totals {
        calls: number("calls"),
        input: number("input_total_tokens"),
        cache_read: number("cache_read_tokens"),
        cache_write: number("cache_write_tokens"),
        output: number("output_total_tokens"),
        reasoning: number("reasoning_tokens"),
        cost: truth["cost_usd"]
            .as_str()
            .unwrap()
            .parse::<Decimal>()
            .unwrap()
            .normalize(),
    };
    let standing = resolve(resolver, &requests).standing();
    let calls: Vec<&ChargeRow> = standing
        .iter()
        .filter(|row| row.kind == "model_call")
        .collect();
    let usage = |word: &str| {
        calls
            .iter()
            .filter(|row| row.usage.as_deref() == Some(word))
            .copied()
            .collect::<Vec<_>>()
    };
    let got = totals(usage("exact"));
    let count = |kind: &str| standing.iter().filter(|row| row.kind == kind).count();
    let name = folder.file_name().unwrap().to_string_lossy();
    let verdict = if got == want {
        "equal".to_owned()
    } else {
        format!("DIFFERS\n    got  {got:?}\n    want {want:?}")
    };
    format!(
        "{name}: {verdict}; partial {} (told {}), unknown {}, tool calls {} (told {}), runs {} (told {})",
        usage("partial").len(),
        expected["recoverable"]["partial_usage"]
            .as_array()
            .map_or(0, Vec::len),
        usage("unknown").len(),
        count("tool_call"),
        expected["tool_calls"]["executed"],
        count("execution"),
        expected["agent_runs"]["total"],
    )
}
