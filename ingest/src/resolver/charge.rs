//! An entry of the journal, in the numbers of its trace: what is compared, entered and taken back.

use flyball_pricing::{Cost, Tokens};
use flyball_store::rows::{ChargeRow, Entry, Kind, Usage};
use rust_decimal::Decimal;
use sha2::{Digest, Sha256};

use super::fact::{Detail, Who};
use super::tokens;
use super::words::{Sym, Word, Words};

/// What the trace resolves to, for one call or execution. Two are the same entry when they are equal;
/// the price is not part of it, so that a later book changes nothing that was charged.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Charge {
    pub(super) kind: Kind,
    /// The span that bills in its place.
    pub(super) duplicate_of: Option<u64>,
    /// An agent or step that bills for what it hides.
    pub(super) by_container: bool,
    pub(super) span_id: u64,
    /// Nanoseconds since 1970.
    pub(super) start: i64,
    /// Nanoseconds; `None` while it runs.
    pub(super) duration: Option<i64>,
    pub(super) who: Who,
    pub(super) execution: Sym,
    pub(super) told: Detail,
    pub(super) decision: Option<bool>,
}

/// What it costs, and by which price.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Priced {
    pub(super) price_id: Sym,
    pub(super) cost: Cost,
}

impl Charge {
    /// Without what no row of the kind carries: so that an entry read back equals the one that was made.
    pub(super) fn trimmed(mut self) -> Self {
        let told = &mut self.told;
        told.plain_models = [None; 2];
        (told.scope, told.closeness) = (None, 0);
        told.decision = None;
        told.output_has_tool_call = None;
        if self.kind != Kind::Execution {
            (
                told.termination,
                told.termination_reason,
                told.escalated,
                told.value,
            ) = (None, None, None, None);
        }
        if matches!(self.kind, Kind::Execution | Kind::ToolCall) {
            (told.usage, told.tokens, told.client_cost) = (None, Tokens::default(), None);
        }
        if self.duplicate_of.is_some() {
            (told.tokens, told.client_cost, self.decision) = (Tokens::default(), None, None);
        }
        self.who.task_id = self.who.task_id.filter(|task| *task != self.execution);
        self
    }

    /// Deterministic over what it says, and over how often it was said before (`revision`): a replay makes
    /// the same ids, and what is entered, taken back and entered again has two.
    pub(super) fn id(
        &self,
        workspace: &str,
        trace_id: &str,
        revision: u32,
        words: &Words,
    ) -> String {
        // Hashed in one go: what is said is many small pieces.
        let mut said = Vec::with_capacity(1_024);
        let mut text = |text: Option<&str>| match text {
            Some(text) => {
                said.extend((text.len() as u64 + 1).to_le_bytes());
                said.extend(text.as_bytes());
            }
            None => said.extend(0u64.to_le_bytes()),
        };
        for part in [workspace, trace_id, self.kind.as_str()] {
            text(Some(part));
        }
        text(self.told.usage.map(Usage::as_str));
        for word in self.words() {
            text(words.text(word));
        }
        for number in self.numbers() {
            match number {
                Some(number) => {
                    said.push(1);
                    said.extend(number.to_le_bytes());
                }
                None => said.push(0),
            }
        }
        for money in [self.told.client_cost, self.told.value] {
            said.extend(money.map_or_else(Vec::new, |money| money.normalize().to_string().into()));
            said.push(0);
        }
        // Younger columns: what lacks them keeps the id that it had before there were any.
        let told = &self.told;
        let younger = [
            told.tool_target,
            told.injection_markers,
            told.argument_markers,
        ];
        for (at, word) in (0u8..).zip(younger) {
            if let Some(text) = words.text(word) {
                said.push(at);
                said.extend((text.len() as u64).to_le_bytes());
                said.extend(text.as_bytes());
            }
        }
        format!("{}-{revision}", hex::encode(&Sha256::digest(&said)[..16]))
    }

    /// The revision that an id was made with.
    pub(super) fn revision(id: &str) -> u32 {
        id.rsplit_once('-')
            .and_then(|(_, revision)| revision.parse().ok())
            .unwrap_or_default()
    }

    fn words(&self) -> [Word; 30] {
        let (who, told) = (&self.who, &self.told);
        [
            Some(self.execution),
            who.agent_name,
            who.agent_id,
            who.agent_version,
            who.agent_role,
            who.session_id,
            who.user_id,
            who.tenant,
            who.team,
            who.environment,
            who.workflow,
            who.task_id,
            who.task_type,
            told.operation,
            told.provider,
            told.request_model,
            told.response_model,
            told.service_tier,
            told.response_id,
            told.finish_reason,
            told.tool_name,
            told.tool_call_id,
            told.tool_effect,
            told.tool_input_hash,
            told.error_type,
            told.state,
            told.termination,
            told.termination_reason,
            told.policy_verdict,
            told.version_set,
        ]
    }

    fn numbers(&self) -> impl Iterator<Item = Option<i64>> {
        let told = &self.told;
        let own = [
            Some(self.span_id.cast_signed()),
            self.duplicate_of.map(u64::cast_signed),
            Some(i64::from(self.by_container)),
            Some(self.start),
            self.duration,
            self.decision.map(i64::from),
            told.step,
            told.confidence.map(|share| share.to_bits().cast_signed()),
            told.progress
                .map(|progress| progress.to_bits().cast_signed()),
            told.queue_wait_ms,
            told.escalated.map(i64::from),
        ];
        own.into_iter().chain(tokens::list(&told.tokens))
    }
}

/// A row that takes another back: the same in all but its sign.
pub(super) fn reversal(mut row: ChargeRow) -> ChargeRow {
    let negated = |money: Option<Decimal>| money.map(|money| -money);
    row.entry = Entry::Reversal.as_str().to_owned();
    row.calls = -row.calls;
    row.decisions = -row.decisions;
    let tokens = tokens::of_charge(&row);
    tokens::put(
        &tokens::map(&tokens, |count| count.map(|count| -count)),
        &mut row,
    );
    row.cost_usd = negated(row.cost_usd);
    row.cost_input_usd = negated(row.cost_input_usd);
    row.cost_cache_read_usd = negated(row.cost_cache_read_usd);
    row.cost_cache_write_usd = negated(row.cost_cache_write_usd);
    row.cost_output_usd = negated(row.cost_output_usd);
    row.cost_request_usd = negated(row.cost_request_usd);
    row.client_cost_usd = negated(row.client_cost_usd);
    row.value_usd = negated(row.value_usd);
    row
}
