//! Which spans tell of the same model call, and which of them bills it.

use flyball_store::hashed::HashMap;
use flyball_store::rows::Usage;

use super::fact::{Class, Detail, Fact};
use super::tree::Tree;
use super::words::Sym;

mod siblings;

/// One model call: the span that bills, and those that tell of the same call.
#[derive(Debug)]
pub(super) struct Call {
    /// Index of the fact that bills.
    pub(super) bills: usize,
    /// What the call is known by: the billing span's telling, its gaps filled from the others.
    pub(super) told: Detail,
    /// Indexes of the facts that tell of it besides, best first.
    pub(super) others: Vec<usize>,
}

/// The model calls of a trace, each once.
///
/// Same call: the same response id; or a log record and the span it was sent in; or one span within the other, of the
/// same model, with equal tokens or with tokens on one of them only; or an outer span whose tokens are the sum of
/// several inner ones; or two spans side by side, of two instrumentations, one within the other's time (see
/// [`siblings`]).
/// Different response ids are different calls whatever else agrees.
pub(super) fn calls(facts: &[Fact], tree: &Tree) -> Vec<Call> {
    let told: Vec<usize> = tree
        .order
        .iter()
        .copied()
        .filter(|span| matches!(facts[*span].class, Class::Model(_)))
        .collect();
    if told.is_empty() {
        return Vec::new();
    }
    let mut groups = Groups::of(facts.len());
    by_response_id(facts, &told, &mut groups);
    let spans = Spans { facts, tree };
    by_record(&spans, &told, &mut groups);
    let inner = spans.inner(&told);
    by_tokens(&spans, &told, &inner, &mut groups);
    by_silence(&spans, &told, &inner, &mut groups);
    siblings::join(&spans, &told, &mut groups);
    elect(&spans, &told, &mut groups)
}

/// Sets of spans that tell of the same call.
struct Groups(Vec<usize>);

impl Groups {
    fn of(count: usize) -> Self {
        Self((0..count).collect())
    }

    fn find(&mut self, span: usize) -> usize {
        let mut root = span;
        while self.0[root] != root {
            root = self.0[root];
        }
        let mut at = span;
        while self.0[at] != root {
            at = std::mem::replace(&mut self.0[at], root);
        }
        root
    }

    fn join(&mut self, one: usize, other: usize) {
        let (one, other) = (self.find(one), self.find(other));
        self.0[one.max(other)] = one.min(other);
    }
}

fn by_response_id(facts: &[Fact], told: &[usize], groups: &mut Groups) {
    let mut first: HashMap<(Class, Sym), usize> = HashMap::default();
    for &span in told {
        if let Some(id) = facts[span].detail().response_id {
            let same = *first.entry((facts[span].class, id)).or_insert(span);
            groups.join(same, span);
        }
    }
}

/// A record that was sent in a model call tells of that call.
fn by_record(spans: &Spans<'_>, told: &[usize], groups: &mut Groups) {
    for &record in told.iter().filter(|span| spans.facts[**span].recorded) {
        if let Some(within) = spans.tree.parent[record]
            && spans.may_be_one(within, record)
        {
            groups.join(within, record);
        }
    }
}

/// Facts, and how they lie within each other.
struct Spans<'a> {
    facts: &'a [Fact],
    tree: &'a Tree,
}

impl Spans<'_> {
    fn told(&self, span: usize) -> Detail {
        self.facts[span].detail()
    }

    fn knows_usage(&self, span: usize) -> bool {
        matches!(self.told(span).usage, Some(Usage::Exact | Usage::Partial))
    }

    /// The model calls directly within each model call, first to start first.
    fn inner(&self, told: &[usize]) -> HashMap<usize, Vec<usize>> {
        let mut inner: HashMap<usize, Vec<usize>> = HashMap::default();
        for &span in told {
            if let Some(outer) = self.outer(span) {
                inner.entry(outer).or_default().push(span);
            }
        }
        for spans in inner.values_mut() {
            spans.sort_unstable_by_key(|span| self.facts[*span].rank());
        }
        inner
    }

    /// The nearest model call around a span. An agent in between starts calls of its own.
    fn outer(&self, span: usize) -> Option<usize> {
        self.tree
            .ancestors(span)
            .take_while(|above| self.facts[*above].class != Class::Agent)
            .find(|above| matches!(self.facts[*above].class, Class::Model(_)))
    }

    /// Nothing says that two tellings are of different calls.
    fn may_be_one(&self, one: usize, other: usize) -> bool {
        let (a, b) = (self.told(one), self.told(other));
        let ids_differ =
            a.response_id.is_some() && b.response_id.is_some() && a.response_id != b.response_id;
        let models = |detail: &Detail| {
            detail
                .plain_models
                .into_iter()
                .flatten()
                .collect::<Vec<_>>()
        };
        let (of_a, of_b) = (models(&a), models(&b));
        let same_model =
            of_a.is_empty() || of_b.is_empty() || of_a.iter().any(|model| of_b.contains(model));
        self.facts[one].class == self.facts[other].class && same_model && !ids_differ
    }

    /// Both sides agree where both are known, and at least one side is known to both.
    fn equal_tokens(&self, one: usize, other: usize) -> bool {
        let (a, b) = (self.told(one).tokens, self.told(other).tokens);
        let sides = [(a.input, b.input), (a.output, b.output)];
        let agree = |(a, b): &(Option<i64>, Option<i64>)| a.is_none() || b.is_none() || a == b;
        sides.iter().all(agree) && sides.iter().any(|(a, b)| a.is_some() && a == b)
    }

    fn sum(&self, spans: &[usize]) -> (i64, i64) {
        spans
            .iter()
            .map(|span| self.told(*span).tokens)
            .fold((0, 0), |(input, output), tokens| {
                (
                    tokens.input.unwrap_or(0).saturating_add(input),
                    tokens.output.unwrap_or(0).saturating_add(output),
                )
            })
    }
}

/// An outer span repeats one inner span's tokens, or the sum of several.
fn by_tokens(
    spans: &Spans<'_>,
    told: &[usize],
    inner: &HashMap<usize, Vec<usize>>,
    groups: &mut Groups,
) {
    for &outer in told.iter().filter(|span| spans.knows_usage(**span)) {
        let below = known_below(spans, outer, inner);
        let equal = below
            .iter()
            .find(|span| spans.may_be_one(outer, **span) && spans.equal_tokens(outer, **span));
        if let Some(equal) = equal {
            groups.join(outer, *equal);
        } else if below.len() > 1 {
            let tokens = spans.told(outer).tokens;
            if (tokens.input.unwrap_or(0), tokens.output.unwrap_or(0)) == spans.sum(&below) {
                groups.join(outer, below[0]);
            }
        }
    }
}

/// The nearest model calls below that know their usage, looking through those that do not.
fn known_below(spans: &Spans<'_>, outer: usize, inner: &HashMap<usize, Vec<usize>>) -> Vec<usize> {
    let mut known = Vec::new();
    let mut open: Vec<usize> = inner.get(&outer).cloned().unwrap_or_default();
    while let Some(span) = open.pop() {
        if spans.knows_usage(span) {
            known.push(span);
        } else if let Some(deeper) = inner.get(&span) {
            open.extend(deeper);
        }
    }
    known.sort_unstable_by_key(|span| spans.facts[*span].rank());
    known
}

/// A span without tokens, around or within one that may be the same call, adds nothing.
fn by_silence(
    spans: &Spans<'_>,
    told: &[usize],
    inner: &HashMap<usize, Vec<usize>>,
    groups: &mut Groups,
) {
    // From below, so that what stands around several silent spans follows the innermost.
    for &span in told.iter().rev().filter(|span| !spans.knows_usage(**span)) {
        let below = inner.get(&span).map_or(&[][..], Vec::as_slice);
        let known = below
            .iter()
            .find(|below| spans.knows_usage(**below) && spans.may_be_one(span, **below));
        let any = || below.iter().find(|below| spans.may_be_one(span, **below));
        if let Some(within) = known.or_else(any) {
            groups.join(span, *within);
            continue;
        }
        let around = std::iter::successors(spans.outer(span), |outer| spans.outer(*outer))
            .find(|outer| spans.knows_usage(*outer));
        if let Some(around) = around
            && spans.may_be_one(span, around)
            // A failed attempt within a call that came through is an attempt of its own.
            && (spans.told(span).error_type.is_none() || spans.told(around).error_type.is_some())
        {
            groups.join(span, around);
        }
    }
}

/// One span of each group bills: exact usage before partial, a span before a log record, the provider's own scope
/// before a wrapper's, the innermost before the outer.
fn elect(spans: &Spans<'_>, told: &[usize], groups: &mut Groups) -> Vec<Call> {
    let mut members: HashMap<usize, Vec<usize>> = HashMap::default();
    for &span in told {
        members.entry(groups.find(span)).or_default().push(span);
    }
    let mut calls: Vec<Call> = members
        .into_values()
        .map(|mut members| {
            members.sort_unstable_by_key(|span| {
                let told = spans.told(*span);
                let (start, span_id) = spans.facts[*span].rank();
                let is_span = !spans.facts[*span].recorded;
                let merit = (told.usage, is_span, told.closeness, spans.tree.depth[*span]);
                (std::cmp::Reverse(merit), start, span_id)
            });
            let bills = members.remove(0);
            let mut told = spans.told(bills);
            for other in &members {
                complete(&mut told, &spans.told(*other));
            }
            Call {
                bills,
                told,
                others: members,
            }
        })
        .collect();
    calls.sort_unstable_by_key(|call| spans.facts[call.bills].rank());
    calls
}

/// Fills what the billing span left open from another telling of the same call.
fn complete(told: &mut Detail, other: &Detail) {
    told.provider = told.provider.or(other.provider);
    told.request_model = told.request_model.or(other.request_model);
    told.response_model = told.response_model.or(other.response_model);
    told.service_tier = told.service_tier.or(other.service_tier);
    told.response_id = told.response_id.or(other.response_id);
    told.finish_reason = told.finish_reason.or(other.finish_reason);
    told.injection_markers = told.injection_markers.or(other.injection_markers);
    told.state = told.state.or(other.state);
    told.policy_verdict = told.policy_verdict.or(other.policy_verdict);
    told.version_set = told.version_set.or(other.version_set);
    told.client_cost = told.client_cost.or(other.client_cost);
    told.step = told.step.or(other.step);
    told.confidence = told.confidence.or(other.confidence);
    told.progress = told.progress.or(other.progress);
    told.queue_wait_ms = told.queue_wait_ms.or(other.queue_wait_ms);
    told.decision = told.decision.or(other.decision);
    told.output_has_tool_call = told.output_has_tool_call.or(other.output_has_tool_call);
    if told.usage != Some(Usage::Exact) {
        // Somebody saw it break off; who saw it come through would have known its usage.
        told.error_type = told.error_type.or(other.error_type);
        told.tokens.input = told.tokens.input.or(other.tokens.input);
        told.tokens.output = told.tokens.output.or(other.tokens.output);
    }
    // A share of something larger is not a share of this.
    let tokens = &mut told.tokens;
    let input = tokens.input.unwrap_or(0);
    let write = tokens.cache_write.or(other.tokens.cache_write);
    let read = tokens.cache_read.or(other.tokens.cache_read);
    if read.unwrap_or(0).saturating_add(write.unwrap_or(0)) <= input {
        (tokens.cache_read, tokens.cache_write) = (read, write);
    }
    let (write, output) = (tokens.cache_write.unwrap_or(0), tokens.output.unwrap_or(0));
    for (part, others, whole) in [
        (
            &mut tokens.cache_write_1h,
            other.tokens.cache_write_1h,
            write,
        ),
        (&mut tokens.audio_input, other.tokens.audio_input, input),
        (&mut tokens.image_input, other.tokens.image_input, input),
        (&mut tokens.reasoning, other.tokens.reasoning, output),
        (&mut tokens.audio_output, other.tokens.audio_output, output),
        (&mut tokens.image_output, other.tokens.image_output, output),
    ] {
        let known = part.or(others);
        if known.unwrap_or(0) <= whole {
            *part = known;
        }
    }
}
