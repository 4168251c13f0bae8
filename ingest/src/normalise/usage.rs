//! Token counts: brought to one meaning, and how much of the truth they tell.

use flyball_store::rows::Usage;

use super::columns::Columns;
use crate::conventions::{Column, is_model_call};

/// Tokens as a span tells them. `None` is unknown, not zero.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) input: Option<i64>,
    pub(super) cache_read: Option<i64>,
    pub(super) cache_write: Option<i64>,
    pub(super) cache_write_1h: Option<i64>,
    pub(super) audio_input: Option<i64>,
    pub(super) image_input: Option<i64>,
    pub(super) output: Option<i64>,
    pub(super) reasoning: Option<i64>,
    pub(super) audio_output: Option<i64>,
    pub(super) image_output: Option<i64>,
}

/// Whether what a sender tells of a side leaves out the parts that it tells apart.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Apart {
    /// Cached tokens are not in the input.
    pub(super) input: bool,
    /// Those kept for an hour are not in the cache writes.
    pub(super) cache_write: bool,
    /// Reasoning is not in the output.
    pub(super) output: bool,
}

impl Counts {
    /// The tokens that the columns tell of.
    pub(super) fn of(columns: &Columns<'_>) -> Self {
        Self {
            input: columns.count(Column::InputTokens),
            cache_read: columns.count(Column::CacheReadTokens),
            cache_write: columns.count(Column::CacheWriteTokens),
            cache_write_1h: columns.count(Column::CacheWrite1hTokens),
            audio_input: columns.count(Column::AudioInputTokens),
            image_input: columns.count(Column::ImageInputTokens),
            output: columns.count(Column::OutputTokens),
            reasoning: columns.count(Column::ReasoningTokens),
            audio_output: columns.count(Column::AudioOutputTokens),
            image_output: columns.count(Column::ImageOutputTokens),
        }
    }

    /// Makes them what the columns tell of.
    pub(super) fn put(self, columns: &mut Columns<'_>) {
        columns.set_count(Column::InputTokens, self.input);
        columns.set_count(Column::CacheReadTokens, self.cache_read);
        columns.set_count(Column::CacheWriteTokens, self.cache_write);
        columns.set_count(Column::CacheWrite1hTokens, self.cache_write_1h);
        columns.set_count(Column::AudioInputTokens, self.audio_input);
        columns.set_count(Column::ImageInputTokens, self.image_input);
        columns.set_count(Column::OutputTokens, self.output);
        columns.set_count(Column::ReasoningTokens, self.reasoning);
        columns.set_count(Column::AudioOutputTokens, self.audio_output);
        columns.set_count(Column::ImageOutputTokens, self.image_output);
    }

    /// The same tokens as OpenTelemetry counts them: input is all input, output is all output.
    ///
    /// Where input is known to leave cached tokens out, or output reasoning, they are added. So are cached tokens that
    /// exceed the input, and reasoning that exceeds the output: they cannot have been part of it. The same goes for
    /// cache writes and those of them that are kept for an hour.
    /// No tokens either way is what instrumentations send when they know nothing.
    pub(super) fn as_otel_counts(mut self, apart: Apart) -> Self {
        if let Some(hour) = self.cache_write_1h {
            let written = self.cache_write.unwrap_or(0);
            if apart.cache_write || hour > written {
                self.cache_write = Some(written.saturating_add(hour));
            }
        }
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
            ..Counts::default()
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
                    ..Apart::default()
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
    fn what_is_kept_for_an_hour_is_a_part_of_what_was_written() {
        let hour = |write, hour, apart| {
            let told = Counts {
                cache_write_1h: Some(hour),
                ..counts(2_000, 0, write, 50, 0)
            };
            let apart = Apart {
                cache_write: apart,
                ..Apart::default()
            };
            told.as_otel_counts(apart).cache_write
        };
        assert_eq!(hour(1_000, 400, false), Some(1_000));
        assert_eq!(hour(600, 400, true), Some(1_000));
        assert_eq!(hour(0, 400, false), Some(400), "the total was left out");
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
