//! What was sent, what was answered, and so what the store must hold.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use arrow::array::RecordBatch;
use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::dice::Dice;
use crate::append::{Append, Decoder, OwnEvent};
use crate::log::{Encoding, FrameKind, Header, LogPosition, Origin, Signal};
use crate::rows::{
    ActionRow, AlertRow, AuditRow, ChargeRow, ContentRow, Date, Entry, Micros, Row, SpanRow,
};
use crate::table::Table;

const START_MICROS: i64 = 1_790_000_000_000_000;
const DAY_MICROS: i64 = 86_400_000_000;

/// One telling of one span. No two tellings have the same number.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Told {
    pub(super) trace: u64,
    pub(super) span: u64,
    pub(super) telling: u64,
}

impl Told {
    pub(super) fn id(&self) -> (String, String) {
        (
            format!("{:032x}", self.trace),
            format!("{:016x}", self.span),
        )
    }

    fn start(&self) -> i64 {
        START_MICROS + (self.trace % 3) as i64 * DAY_MICROS + self.span as i64
    }

    fn span_row(&self) -> SpanRow {
        let (trace_id, span_id) = self.id();
        SpanRow {
            date: Date::of_micros(self.start()),
            start_time: Micros(self.start()),
            start_unix_nano: self.start() * 1_000,
            trace_id,
            span_id,
            name: self.telling.to_string(),
            agent_name: Some(format!("agent-{}", self.trace % 3)),
            ..SpanRow::default()
        }
    }

    fn content_row(&self) -> ContentRow {
        let (trace_id, span_id) = self.id();
        ContentRow {
            date: Date::of_micros(self.start()),
            start_time: Micros(self.start()),
            trace_id,
            span_id,
            input: Some(self.telling.to_string()),
            ..ContentRow::default()
        }
    }
}

/// Bodies are JSON lists of [`Told`]; every span has content.
#[derive(Debug)]
pub(super) struct Json;

impl Decoder for Json {
    fn decode(&self, _: &Header, body: &Bytes) -> Result<Vec<(Table, RecordBatch)>, String> {
        let told: Vec<Told> = serde_json::from_slice(body).map_err(|error| error.to_string())?;
        let spans: Vec<_> = told.iter().map(Told::span_row).collect();
        let contents: Vec<_> = told.iter().map(Told::content_row).collect();
        let spans = SpanRow::batch(&spans).map_err(|error| error.to_string())?;
        let contents = ContentRow::batch(&contents).map_err(|error| error.to_string())?;
        Ok(vec![(Table::Spans, spans), (Table::Contents, contents)])
    }
}

/// What the sender knows of what it sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It was acknowledged, and stands there.
    Kept(LogPosition),
    /// No answer came: it may be there, or not.
    Unknown,
    /// It was refused, or was found missing: it is not there.
    Missing,
}

/// A request, and the trace that is its own: its span 0 is never told again, so it tells whether the request is in.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) told: Vec<Told>,
    pub(super) origin: Origin,
    pub(super) fate: Fate,
}

impl Request {
    pub(super) fn append(&self) -> Append {
        let body = Bytes::from(serde_json::to_vec(&self.told).unwrap());
        let header = Header {
            kind: FrameKind::Otlp,
            origin: self.origin,
            received_at_unix_nano: 1_000_000_000_000,
            workspace: "default".into(),
            key: None,
            signal: Signal::Traces,
            encoding: Encoding::Json,
            rejected: Vec::new(),
            digest: Sha256::digest(&body).into(),
        };
        let batches = Json.decode(&header, &body).unwrap();
        Append {
            header,
            body,
            batches,
        }
    }
}

/// A charge: one for each request that was acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Charged {
    /// Its trace may get more spans.
    Open,
    /// The next flush takes it.
    Settled,
    /// A flush that succeeded took it.
    Flushed,
}

/// Everything that was sent so far.
#[derive(Debug)]
pub(super) struct Model {
    pub(super) dice: Dice,
    pub(super) requests: Vec<Request>,
    /// Events of ours by their table and number.
    pub(super) events: BTreeMap<(Table, u64), Fate>,
    pub(super) charges: BTreeMap<u64, Charged>,
    tellings: u64,
    /// Whether events of ours come, too: every table makes a life longer.
    pub(super) has_events: bool,
}

impl Model {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            dice: Dice::new(seed),
            requests: Vec::new(),
            events: BTreeMap::new(),
            charges: BTreeMap::new(),
            tellings: 0,
            has_events: seed.is_multiple_of(3),
        }
    }

    /// A new request: its own trace, and perhaps spans of earlier ones told again. Its number is its trace's.
    pub(super) fn ask(&mut self) -> usize {
        let trace = self.requests.len() as u64;
        let mut ids: BTreeSet<_> = (0..=self.dice.roll(3)).map(|span| (trace, span)).collect();
        for _ in 0..self.dice.roll(3) {
            let earlier = self.dice.roll(trace + 1);
            ids.insert((earlier, 1 + self.dice.roll(2)));
        }
        let told = |(trace, span)| {
            self.tellings += 1;
            Told {
                trace,
                span,
                telling: self.tellings,
            }
        };
        let told = ids.into_iter().map(told).collect();
        let origin = if self.dice.once_in(4) {
            Origin::Import
        } else {
            Origin::Live
        };
        self.requests.push(Request {
            told,
            origin,
            fate: Fate::Unknown,
        });
        trace as usize
    }

    /// A new event of ours.
    pub(super) fn event(&mut self) -> (Table, u64) {
        let table =
            [Table::Alerts, Table::Actions, Table::Audit, Table::Audit][self.dice.roll(4) as usize];
        let event = (table, self.events.len() as u64);
        self.events.insert(event, Fate::Unknown);
        event
    }

    /// Of each span the latest telling that must be there, and where.
    pub(super) fn latest(&self) -> HashMap<(String, String), (LogPosition, u64)> {
        let mut latest = HashMap::new();
        for request in &self.requests {
            let Fate::Kept(position) = request.fate else {
                continue;
            };
            for told in &request.told {
                let newest = latest.entry(told.id()).or_insert((position, told.telling));
                *newest = (*newest).max((position, told.telling));
            }
        }
        latest
    }
}

/// An event as it is sent.
pub(super) fn own_event((table, number): (Table, u64)) -> OwnEvent {
    let at = Micros(START_MICROS + number as i64);
    match table {
        Table::Alerts => OwnEvent::Alert(AlertRow {
            at,
            alert_id: number.to_string(),
            ..AlertRow::default()
        }),
        Table::Actions => OwnEvent::Action(ActionRow {
            at,
            action_id: number.to_string(),
            ..ActionRow::default()
        }),
        _ => OwnEvent::Audit(AuditRow {
            at,
            subject: number.to_string(),
            event: "tried".into(),
            ..AuditRow::default()
        }),
    }
}

/// The charge of a request.
pub(super) fn charge(trace: u64) -> ChargeRow {
    let told = Told {
        trace,
        span: 0,
        telling: 0,
    };
    ChargeRow {
        date: Date::of_micros(told.start()),
        charge_id: format!("charge-{trace}"),
        entry: Entry::Charge.as_str().into(),
        trace_id: told.id().0,
        calls: 1,
        ..ChargeRow::default()
    }
}
