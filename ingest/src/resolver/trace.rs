//! One open trace: its spans, and what was posted of it.

mod continuation;

use std::collections::BTreeMap;

use flyball_pricing::{Call, Cost};
use flyball_store::Origin;
use flyball_store::hashed::{HashMap, HashSet};
use flyball_store::rows::{ChargeRow, Kind, SpanView, Usage};

use self::continuation::outdoes;
use super::charge::{Charge, Priced};
use super::entries::{Entries, Stamp};
use super::fact::{Fact, Own};
use super::prices::Prices;
use super::resolve::{Open, Resolved};
use super::stored;
use super::tellings::Elsewhere;
use super::words::{Sym, Words};

/// What there is at most one standing entry of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Key {
    Span(u64),
    Execution(Sym),
}

/// What stands in the journal under a key, and how many entries have stood there.
#[derive(Debug, Default)]
struct Slot {
    /// Boxed: a map has room for more slots than it holds.
    stands: Option<Box<Posted>>,
    revision: u32,
}

#[derive(Debug)]
struct Posted {
    charge: Charge,
    priced: Option<Box<Priced>>,
    charge_id: Box<str>,
    received: i64,
}

/// What every trace of a workspace is resolved with.
#[derive(Debug, Clone)]
pub(super) struct Rules {
    pub(super) workspace: String,
    pub(super) prices: std::sync::Arc<Prices>,
    pub(super) escalation_tools: HashSet<String>,
}

/// Times at which a trace may settle, nanoseconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    pub(super) after_root: i64,
    pub(super) idle: i64,
    pub(super) age: i64,
}

/// Why a trace settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Settles {
    /// Its root has ended and every parent it names has been seen.
    Complete,
    /// Nothing more came.
    Idle,
    /// It was open for as long as any may be.
    Aged,
}

/// One open trace.
#[derive(Debug)]
pub(super) struct Trace {
    id: String,
    words: Words,
    facts: Vec<Fact>,
    index: HashMap<u64, usize>,
    owns: Vec<Own>,
    own_index: HashMap<Own, u32>,
    /// Parents that spans name and that have not been seen.
    missing: HashSet<u64>,
    has_root: bool,
    slots: BTreeMap<Key, Slot>,
    /// Ids of spans that were [let go](Trace::let_go): their first telling stands.
    gone: HashSet<u64>,
    /// What was posted before that: most of it is not judged again.
    fixed: HashSet<Key>,
    /// Calls of its records that a span of another trace tells too: their span here, and the one that bills.
    elsewhere: HashMap<u64, u64>,
    /// When it was, where none of its spans is held yet to tell (nanoseconds since 1970).
    hint: Option<i64>,
    /// How its latest news came: what it causes is journalled as that.
    pub(super) origin: Origin,
    first_seen: i64,
    last_seen: i64,
    last_position: u64,
    /// It has settled once: what is found now is a correction.
    corrected: bool,
    /// What was resolved last stands, and settling would add nothing to it.
    decided: bool,
    /// It has settled before, and what was known of it is yet to be read from the store.
    pub(super) waits: bool,
}

impl Trace {
    pub(super) fn new(id: &str, origin: Origin, now: i64) -> Self {
        Self {
            id: id.to_owned(),
            words: Words::default(),
            facts: Vec::new(),
            index: HashMap::default(),
            owns: Vec::new(),
            own_index: HashMap::default(),
            missing: HashSet::default(),
            has_root: false,
            slots: BTreeMap::new(),
            gone: HashSet::default(),
            fixed: HashSet::default(),
            elsewhere: HashMap::default(),
            hint: None,
            origin,
            first_seen: now,
            last_seen: now,
            last_position: 0,
            corrected: false,
            decided: false,
            waits: false,
        }
    }

    /// How many spans are held.
    pub(super) fn len(&self) -> usize {
        self.facts.len()
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// When its spans start, first and last, nanoseconds since 1970; of live ones, also when they came: a
    /// sender whose clock is wrong may have had a right one before.
    pub(super) fn window(&self) -> (i64, i64) {
        let live = self.origin == Origin::Live;
        let times = |fact: &Fact| {
            let came = live.then(|| fact.received.saturating_mul(1_000));
            std::iter::once(fact.start).chain(came)
        };
        let (mut from, mut to) = (i64::MAX, i64::MIN);
        for time in self.facts.iter().flat_map(times).chain(self.hint) {
            (from, to) = (from.min(time), to.max(time));
        }
        (from, to)
    }

    /// When the last of its spans ended, nanoseconds since 1970.
    pub(super) fn ended(&self) -> i64 {
        self.facts.iter().map(Fact::end).max().unwrap_or_default()
    }

    /// Takes in a span. Of two tellings the later stands. Says whether one more is held.
    pub(super) fn tell(&mut self, row: &SpanView<'_>, now: i64) -> bool {
        self.decided = false;
        let (owns, own_index) = (&mut self.owns, &mut self.own_index);
        let own = |own: Own| {
            *own_index.entry(own).or_insert_with(|| {
                owns.push(own);
                u32::try_from(owns.len() - 1).unwrap_or(u32::MAX)
            })
        };
        let Some(fact) = Fact::of(row, &mut self.words, own) else {
            return false;
        };
        self.last_seen = self.last_seen.max(now);
        self.last_position = self.last_position.max(fact.position);
        if self.gone.contains(&fact.span_id) {
            return false;
        }
        if let Some(&at) = self.index.get(&fact.span_id) {
            if fact.position >= self.facts[at].position {
                let moved = self.facts[at].parent_id != fact.parent_id;
                self.facts[at] = fact;
                if moved {
                    self.look_for_parents();
                }
            }
            return false;
        }
        self.missing.remove(&fact.span_id);
        self.has_root |= fact.parent_id == 0;
        if fact.parent_id != 0
            && fact.parent_id != fact.span_id
            && !self.index.contains_key(&fact.parent_id)
            && !self.gone.contains(&fact.parent_id)
        {
            self.missing.insert(fact.parent_id);
        }
        self.index.insert(fact.span_id, self.facts.len());
        self.facts.push(fact);
        true
    }

    /// A span of another trace bills for the call of one of its records, which started at this time.
    pub(super) fn outdone(&mut self, found: &Elsewhere) {
        self.decided = false;
        self.elsewhere.insert(found.span, found.better);
        self.hint = Some(found.start);
    }

    fn look_for_parents(&mut self) {
        let had_root = self.has_root && !self.gone.is_empty();
        self.has_root = had_root || self.facts.iter().any(|fact| fact.parent_id == 0);
        let parents = self.facts.iter().map(|fact| fact.parent_id);
        self.missing = parents
            .filter(|parent| *parent != 0 && !self.knows(*parent))
            .collect();
    }

    /// Whether a span is one of its own, held or let go.
    fn knows(&self, span_id: u64) -> bool {
        self.index.contains_key(&span_id) || self.gone.contains(&span_id)
    }

    /// Takes in what the journal holds of it already. What the journal has, has settled once.
    pub(super) fn recall(&mut self, rows: &[ChargeRow]) {
        self.decided = false;
        let reversed: HashSet<&str> = rows
            .iter()
            .filter(|row| stored::is_reversal(row))
            .map(|row| row.charge_id.as_str())
            .collect();
        for row in rows.iter().filter(|row| !stored::is_reversal(row)) {
            let Some((charge, priced)) = stored::read(row, &mut self.words) else {
                continue;
            };
            if let Some(bills) = charge.duplicate_of.filter(|bills| !self.knows(*bills)) {
                self.elsewhere.insert(charge.span_id, bills);
            }
            let slot = self.slots.entry(key(&charge)).or_default();
            slot.revision = slot.revision.max(Charge::revision(&row.charge_id) + 1);
            if !reversed.contains(row.charge_id.as_str()) {
                slot.stands = Some(Box::new(Posted {
                    charge,
                    priced: priced.map(Box::new),
                    charge_id: row.charge_id.as_str().into(),
                    received: row.received_at.0,
                }));
            }
            self.corrected = true;
        }
        self.waits = false;
    }

    /// Whether it may settle now, and why.
    pub(super) fn settles(&self, patience: &Patience, now: i64) -> Option<Settles> {
        let complete = self.has_root && self.missing.is_empty();
        if self.waits {
            None
        } else if complete && now - self.last_seen >= patience.after_root {
            Some(Settles::Complete)
        } else if now - self.last_seen >= patience.idle {
            Some(Settles::Idle)
        } else if now - self.first_seen >= patience.age {
            Some(Settles::Aged)
        } else {
            None
        }
    }

    /// The entries that make the journal say what the trace resolves to now: what no longer holds is taken
    /// back, what is new is entered, what stands is left alone.
    pub(super) fn reconcile(&mut self, rules: &Rules, settled: bool, entries: &mut Entries) {
        if self.waits {
            return;
        }
        if settled && self.decided {
            debug_assert!(self.settles_as_it_is(rules), "{} was not decided", self.id);
        } else {
            self.resolve(rules, settled, entries);
        }
        if settled {
            self.corrected = true;
        }
    }

    /// Whether settling enters nothing: what `decided` says, by doing it.
    fn settles_as_it_is(&mut self, rules: &Rules) -> bool {
        let mut entries = Entries::at(0);
        self.resolve(rules, true, &mut entries);
        entries.is_empty()
    }

    fn resolve(&mut self, rules: &Rules, settled: bool, entries: &mut Entries) {
        let open = Open {
            trace_id: &self.id,
            facts: &self.facts,
            index: &self.index,
            owns: &self.owns,
            escalation_tools: &rules.escalation_tools,
            settled: settled || self.corrected,
            continued: !self.gone.is_empty(),
        };
        let mut resolved = open.resolve(&mut self.words);
        self.decided = open.settled || says_all(&self.facts, &resolved);
        leave_to_others(&mut resolved, &self.elsewhere);
        let kept: HashSet<Key> = resolved
            .iter()
            .map(|resolved| key(&resolved.charge))
            .collect();
        let gone: Vec<Key> = self
            .slots
            .keys()
            .filter(|key| !kept.contains(key) && !self.fixed.contains(key))
            .copied()
            .collect();
        for key in gone {
            self.take_back(key, self.reason(false), entries);
        }
        for resolved in resolved {
            let key = key(&resolved.charge);
            let before = self.slots.get(&key).and_then(|slot| slot.stands.as_deref());
            if before.is_some_and(|posted| posted.charge == resolved.charge) {
                continue;
            }
            let outdoes = |posted: &Posted| outdoes(&resolved.charge, &posted.charge);
            if self.fixed.contains(&key) && before.is_some_and(|posted| !outdoes(posted)) {
                continue;
            }
            let turned = before
                .is_some_and(|posted| posted.charge.duplicate_of != resolved.charge.duplicate_of);
            let reason = self
                .reason(turned)
                .filter(|_| before.is_some() || self.corrected);
            let priced = self.price(&resolved.charge, before, rules);
            self.take_back(key, reason, entries);
            self.enter(key, &resolved, priced, reason, rules, entries);
        }
    }

    /// Why a correction is made, in the words of the journal.
    fn reason(&self, turned_duplicate: bool) -> Option<&'static str> {
        if turned_duplicate {
            Some("duplicate")
        } else {
            self.corrected.then_some("late_span")
        }
    }

    /// What a call cost before it still costs, when only its dimensions have changed.
    fn price(
        &self,
        charge: &Charge,
        before: Option<&Posted>,
        rules: &Rules,
    ) -> Option<(String, Cost)> {
        let countable = match charge.kind {
            Kind::Execution => false,
            Kind::ToolCall => true,
            _ => matches!(charge.told.usage, Some(Usage::Exact | Usage::Partial)),
        };
        if charge.duplicate_of.is_some() || !countable {
            return None;
        }
        let amounts = |charge: &Charge| {
            let told = &charge.told;
            (
                (told.tokens, told.tool_name, told.provider),
                (told.request_model, told.response_model, told.service_tier),
                charge.start,
            )
        };
        if let Some(posted) = before.filter(|posted| amounts(&posted.charge) == amounts(charge))
            && let Some(priced) = posted.priced.as_deref()
        {
            return Some((self.words.get(priced.price_id).to_owned(), priced.cost));
        }
        if charge.kind == Kind::ToolCall {
            let tool = self.words.text(charge.told.tool_name)?;
            let price =
                rules
                    .prices
                    .book()
                    .tool(Some(&rules.workspace), tool, charge.start, None)?;
            return Some((price.id.clone(), price.cost()));
        }
        let call = Call {
            workspace: Some(&rules.workspace),
            provider: self.words.text(charge.told.provider),
            response_model: self.words.text(charge.told.response_model),
            request_model: self.words.text(charge.told.request_model),
            service_tier: self.words.text(charge.told.service_tier),
            start_unix_nano: charge.start,
            known_unix_nano: None,
        };
        let (price, cost) = rules.prices.charge(&call, &charge.told.tokens)?;
        Some((price.id.clone(), cost))
    }

    fn enter(
        &mut self,
        key: Key,
        resolved: &Resolved,
        priced: Option<(String, Cost)>,
        reason: Option<&str>,
        rules: &Rules,
        entries: &mut Entries,
    ) {
        let priced = priced.map(|(id, cost)| Priced {
            price_id: self.words.put(&id),
            cost,
        });
        let slot = self.slots.entry(key).or_default();
        let charge_id = resolved
            .charge
            .id(&rules.workspace, &self.id, slot.revision, &self.words);
        let stamp = Stamp {
            trace_id: &self.id,
            charge_id: &charge_id,
            received: resolved.received,
            reason,
            log_position: self.last_position,
        };
        entries.enter(&resolved.charge, priced.as_ref(), &stamp, &self.words);
        slot.revision += 1;
        slot.stands = Some(Box::new(Posted {
            charge: resolved.charge,
            priced: priced.map(Box::new),
            charge_id: charge_id.into(),
            received: resolved.received,
        }));
    }

    /// Takes back what stands under a key, if something does.
    fn take_back(&mut self, key: Key, reason: Option<&str>, entries: &mut Entries) {
        let Some(posted) = self.slots.get_mut(&key).and_then(|slot| slot.stands.take()) else {
            return;
        };
        let stamp = Stamp {
            trace_id: &self.id,
            charge_id: &posted.charge_id,
            received: posted.received,
            reason,
            log_position: self.last_position,
        };
        entries.take_back(
            &posted.charge,
            posted.priced.as_deref(),
            &stamp,
            &self.words,
        );
    }
}

/// Whether nothing waits for the trace to settle: no container may have to bill, and every execution has ended.
fn says_all(facts: &[Fact], resolved: &[Resolved]) -> bool {
    let runs =
        |found: &Resolved| found.charge.kind == Kind::Execution && found.charge.duration.is_none();
    !facts.iter().any(Fact::is_container) && !resolved.iter().any(runs)
}

/// Marks what spans of other traces bill for. A trace of which nothing is left to bill holds no execution either:
/// the other trace does.
fn leave_to_others(resolved: &mut Vec<Resolved>, elsewhere: &HashMap<u64, u64>) {
    if elsewhere.is_empty() {
        return;
    }
    let is_call = |charge: &Charge| charge.kind != Kind::Execution;
    for Resolved { charge, .. } in resolved.iter_mut() {
        if let Some(bills) = elsewhere.get(&charge.span_id)
            && is_call(charge)
        {
            charge.duplicate_of = Some(*bills);
            charge.decision = None;
        }
    }
    let left = |found: &Resolved| is_call(&found.charge) && found.charge.duplicate_of.is_none();
    if !resolved.iter().any(left) {
        resolved.retain(|found| is_call(&found.charge));
    }
}

fn key(charge: &Charge) -> Key {
    match charge.kind {
        Kind::Execution => Key::Execution(charge.execution),
        _ => Key::Span(charge.span_id),
    }
}
