//! Token counts: brought to one meaning, and how much of the truth they tell.

use flyball_store::rows::{SpanRow, Usage};

use crate::conventions::is_model_call;

/// Tokens as a span tells them. `None` is unknown, not zero.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) input: Option<i64>,
    pub(super) cache_read: Option<i64>,
    pub(super) cache_write: Option<i64>,
    pub(super) output: Option<i64>,
    pub(super) reasoning: Option<i64>,
}

/// Whether what a sender tells of a side leaves out the parts that it tells apart.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Apart {
    /// Cached tokens are not in the input.
    pub(super) input: bool,
    /// Reasoning is not in the output.
    pub(super) output: bool,
}

impl Counts {
    /// The tokens that a row tells of.
    pub(super) fn of(row: &SpanRow) -> Self {
        Self {
            input: row.input_tokens,
            cache_read: row.cache_read_tokens,
            cache_write: row.cache_write_tokens,
            output: row.output_tokens,
            reasoning: row.reasoning_tokens,
        }
    }

    /// The same tokens as OpenTelemetry counts them: input is all input, output is all output.
    ///
    /// Where input is known to leave cached tokens out, or output reasoning, they are added. So are cached tokens that
    /// exceed the input, and reasoning that exceeds the output: they cannot have been part of it.
    /// No tokens either way is what instrumentations send when they know nothing.
    pub(super) fn as_otel_counts(mut self, apart: Apart) -> Self {
        if self.input.unwrap_or(0) == 0 && self.output.unwrap_or(0) == 0 && self.cached() == 0 {
            return Self::default();
        }
        if let Some(input) = self.input
            && (apart.input || self.cached() > input)
        {
            self.input = Some(input.saturating_add(self.cached()));
        }
        if let (Some(output), Some(reasoning)) = (self.output, self.reasoning)
            && (apart.output || reasoning > output)
        {
            self.output = Some(output.saturating_add(reasoning));
        }
        self
    }

    fn cached(&self) -> i64 {
        self.cache_read
            .unwrap_or(0)
            .saturating_add(self.cache_write.unwrap_or(0))
    }

    /// How much of the truth they tell. A finished call that knows both sides is exact (an embedding or a
    /// reranking has but one); one side, or any usage of a call that broke off, is a lower bound. `None`
    /// for a span that is no model call and carries no usage.
    pub(super) fn usage(&self, operation: Option<&str>, broke_off: bool) -> Option<Usage> {
        let one_sided = matches!(operation, Some("embeddings" | "rerank"));
        match (self.input, self.output) {
            (None, None) => operation
                .is_some_and(is_model_call)
                .then_some(Usage::Unknown),
            _ if broke_off => Some(Usage::Partial),
            (Some(_), Some(_)) => Some(Usage::Exact),
            (Some(_), None) if one_sided => Some(Usage::Exact),
            _ => Some(Usage::Partial),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(input: i64, read: i64, write: i64, output: i64, reasoning: i64) -> Counts {
        Counts {
            input: Some(input),
            cache_read: Some(read),
            cache_write: Some(write),
            output: Some(output),
            reasoning: Some(reasoning),
        }
    }

    #[test]
    fn input_that_left_the_cached_tokens_out_gets_them_back() {
        let raw = counts(21, 1_000, 300, 50, 0);
        assert_eq!(raw.as_otel_counts(Apart::default()).input, Some(1_321));
        let total = counts(1_321, 1_000, 300, 50, 0);
        assert_eq!(total.as_otel_counts(Apart::default()), total);
        let seems_total = counts(2_000, 1_000, 300, 50, 0);
        assert_eq!(seems_total.as_otel_counts(Apart::default()), seems_total);
        assert_eq!(
            seems_total
                .as_otel_counts(Apart {
                    input: true,
                    output: false
                })
                .input,
            Some(3_300)
        );
    }

    #[test]
    fn output_that_left_reasoning_out_gets_it_back() {
        assert_eq!(
            counts(9, 0, 0, 10, 300)
                .as_otel_counts(Apart::default())
                .output,
            Some(310)
        );
        assert_eq!(
            counts(9, 0, 0, 310, 300)
                .as_otel_counts(Apart::default())
                .output,
            Some(310)
        );
    }

    #[test]
    fn no_tokens_at_all_is_unknown() {
        let nothing = counts(0, 0, 0, 0, 0).as_otel_counts(Apart::default());
        assert_eq!(nothing, Counts::default());
        assert_eq!(nothing.usage(Some("chat"), false), Some(Usage::Unknown));
        assert_eq!(nothing.usage(Some("invoke_agent"), false), None);
        assert_eq!(nothing.usage(None, true), None);
    }

    #[test]
    fn what_broke_off_or_tells_one_side_is_partial() {
        let both = counts(5, 0, 0, 1, 0);
        let input = Counts {
            input: Some(5),
            ..Counts::default()
        };
        let output = Counts {
            output: Some(5),
            ..Counts::default()
        };
        assert_eq!(both.usage(Some("chat"), false), Some(Usage::Exact));
        assert_eq!(both.usage(Some("chat"), true), Some(Usage::Partial));
        assert_eq!(input.usage(Some("chat"), false), Some(Usage::Partial));
        assert_eq!(input.usage(Some("embeddings"), false), Some(Usage::Exact));
        assert_eq!(
            output.usage(Some("embeddings"), false),
            Some(Usage::Partial)
        );
        assert_eq!(both.usage(Some("invoke_agent"), false), Some(Usage::Exact));
    }
}
