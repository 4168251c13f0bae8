//! Entries of the journal on their way into it, column by column.

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use flyball_store::rows::{ChargeColumns, Date, Entry, Kind, Micros, Usage};
use rust_decimal::Decimal;

use super::charge::{Charge, Priced};
use super::tokens;
use super::words::{Sym, Word, Words};

/// For so many entries there is room at first.
const ROOM: usize = 256;

/// When and in what circumstances an entry is made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stamp<'a> {
    pub(super) trace_id: &'a str,
    pub(super) charge_id: &'a str,
    /// Microseconds since 1970.
    pub(super) received: i64,
    pub(super) reason: Option<&'a str>,
    pub(super) log_position: u64,
}

/// What is to be entered.
#[derive(Debug)]
pub(super) struct Entries {
    /// When it became known.
    known: Micros,
    columns: ChargeColumns,
    rows: usize,
    taken_back: u64,
}

impl Entries {
    /// None yet, of a moment (nanoseconds since 1970).
    pub(super) fn at(now: i64) -> Self {
        Self {
            known: Micros::of_nanos(now),
            columns: ChargeColumns::for_rows(ROOM),
            rows: 0,
            taken_back: 0,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// How many enter something.
    pub(super) fn entered(&self) -> u64 {
        self.rows as u64 - self.taken_back
    }

    /// How many take something back.
    pub(super) fn taken_back(&self) -> u64 {
        self.taken_back
    }

    /// Enters a charge, or a duplicate.
    pub(super) fn enter(
        &mut self,
        charge: &Charge,
        priced: Option<&Priced>,
        stamp: &Stamp<'_>,
        words: &Words,
    ) {
        self.write(charge, priced, stamp, words, 1);
    }

    /// Takes back what was entered so: the same in all but its sign.
    pub(super) fn take_back(
        &mut self,
        charge: &Charge,
        priced: Option<&Priced>,
        stamp: &Stamp<'_>,
        words: &Words,
    ) {
        self.write(charge, priced, stamp, words, -1);
        self.taken_back += 1;
    }

    /// The rows, if there are any.
    ///
    /// # Errors
    /// When an amount does not fit its column.
    pub(super) fn batch(self) -> Result<Option<RecordBatch>, ArrowError> {
        match self.rows {
            0 => Ok(None),
            rows => self.columns.batch(rows).map(Some),
        }
    }

    fn write(
        &mut self,
        charge: &Charge,
        priced: Option<&Priced>,
        stamp: &Stamp<'_>,
        words: &Words,
        sign: i64,
    ) {
        let (to, at) = (&mut self.columns, self.rows);
        self.rows += 1;
        let (who, told) = (&charge.who, &charge.told);
        let duplicate = charge.duplicate_of.is_some();
        let signed = |money: Option<Decimal>| match sign {
            -1 => money.map(|money| -money),
            _ => money,
        };
        to.date.set(at, Date::of_nanos(charge.start));
        to.start_time.set(at, Micros::of_nanos(charge.start));
        let end = charge
            .duration
            .map(|long| charge.start.saturating_add(long));
        to.end_time.set(at, end.map(Micros::of_nanos));
        to.start_unix_nano.set(at, charge.start);
        to.duration_ns.set(at, charge.duration);
        to.received_at.set(at, Micros(stamp.received));
        to.known_at.set(at, self.known);
        to.charge_id.set(at, stamp.charge_id);
        let entry = match sign {
            -1 => Entry::Reversal,
            _ if duplicate => Entry::Duplicate,
            _ => Entry::Charge,
        };
        to.entry.set(at, entry.as_str());
        to.reason.set(at, stamp.reason);
        to.kind.set(at, charge.kind.as_str());
        to.trace_id.set(at, stamp.trace_id);
        to.span_id.set(at, hex(charge.span_id).as_str());
        let duplicate_of = charge.duplicate_of.map(hex);
        to.duplicate_of.set(at, duplicate_of.as_deref());
        let billed_by = match charge.kind {
            Kind::Execution => None,
            _ if duplicate => None,
            _ if charge.by_container => Some("container"),
            _ => Some("call"),
        };
        to.billed_by.set(at, billed_by);

        let text = |sym: Sym| words.get(sym);
        let word = |word: Word| words.text(word);
        to.execution_id.set(at, text(charge.execution));
        to.task_id
            .set(at, text(who.task_id.unwrap_or(charge.execution)));
        to.task_type.set(at, word(who.task_type));
        to.agent_name.set(at, word(who.agent_name));
        to.agent_id.set(at, word(who.agent_id));
        to.agent_version.set(at, word(who.agent_version));
        to.agent_role.set(at, word(who.agent_role));
        to.session_id.set(at, word(who.session_id));
        to.user_id.set(at, word(who.user_id));
        to.tenant.set(at, word(who.tenant));
        to.team.set(at, word(who.team));
        to.environment.set(at, word(who.environment));
        to.workflow.set(at, word(who.workflow));
        to.operation.set(at, word(told.operation));
        to.provider.set(at, word(told.provider));
        to.request_model.set(at, word(told.request_model));
        to.response_model.set(at, word(told.response_model));
        to.service_tier.set(at, word(told.service_tier));
        to.response_id.set(at, word(told.response_id));
        to.finish_reason.set(at, word(told.finish_reason));
        to.tool_name.set(at, word(told.tool_name));
        to.tool_call_id.set(at, word(told.tool_call_id));
        to.tool_effect.set(at, word(told.tool_effect));
        to.tool_input_hash.set(at, word(told.tool_input_hash));
        to.tool_target.set(at, word(told.tool_target));
        to.injection_markers.set(at, word(told.injection_markers));
        to.argument_markers.set(at, word(told.argument_markers));
        to.error_type.set(at, word(told.error_type));

        to.calls.set(at, if duplicate { 0 } else { sign });
        to.decisions.set(
            at,
            if charge.decision == Some(true) {
                sign
            } else {
                0
            },
        );
        to.decision.set(at, charge.decision);
        to.usage.set(at, told.usage.map(Usage::as_str));
        let counted = |count: Option<i64>| match duplicate {
            true => Some(0),
            false => count.map(|count| count * sign),
        };
        tokens::set(&tokens::map(&told.tokens, counted), to, at);
        let cost = match (duplicate, priced) {
            (true, _) => Some(flyball_pricing::Cost::default()),
            (false, priced) => priced.map(|priced| priced.cost),
        };
        to.cost_usd.set(at, signed(cost.map(|cost| cost.total)));
        to.cost_input_usd
            .set(at, signed(cost.map(|cost| cost.input)));
        to.cost_cache_read_usd
            .set(at, signed(cost.map(|cost| cost.cache_read)));
        to.cost_cache_write_usd
            .set(at, signed(cost.map(|cost| cost.cache_write)));
        to.cost_output_usd
            .set(at, signed(cost.map(|cost| cost.output)));
        to.cost_request_usd
            .set(at, signed(cost.map(|cost| cost.request)));
        to.price_id
            .set(at, priced.map(|priced| text(priced.price_id)));
        to.client_cost_usd.set(at, signed(told.client_cost));

        to.step.set(at, told.step);
        to.state.set(at, word(told.state));
        to.confidence.set(at, told.confidence);
        to.progress.set(at, told.progress);
        to.termination.set(at, word(told.termination));
        to.termination_reason.set(at, word(told.termination_reason));
        to.escalated.set(at, told.escalated);
        to.policy_verdict.set(at, word(told.policy_verdict));
        to.queue_wait_ms.set(at, told.queue_wait_ms);
        to.value_usd.set(at, signed(told.value));
        to.version_set.set(at, word(told.version_set));
        let position = i64::try_from(stamp.log_position).unwrap_or(i64::MAX);
        to.log_position.set(at, position);
    }
}

fn hex(id: u64) -> String {
    format!("{id:016x}")
}
