//! The token columns of a row as the price book wants them, and back.

use flyball_pricing::Tokens;
use flyball_store::rows::{ChargeColumns, ChargeRow, SpanView};

/// Columns, and the counts that they hold: one list for every row that has them.
macro_rules! columns {
    ($($column:ident: $count:ident,)*) => {
        /// What a span told.
        pub(super) fn of_span(row: &SpanView<'_>) -> Tokens {
            Tokens { $($count: row.$column),* }
        }

        /// What an entry of the journal says.
        pub(super) fn of_charge(row: &ChargeRow) -> Tokens {
            Tokens { $($count: row.$column),* }
        }

        /// Makes them what an entry says.
        pub(super) fn put(tokens: &Tokens, row: &mut ChargeRow) {
            $( row.$column = tokens.$count; )*
        }

        /// What an entry on its way says.
        pub(super) fn set(tokens: &Tokens, columns: &mut ChargeColumns, row: usize) {
            $( columns.$column.set(row, tokens.$count); )*
        }

        /// Each count as another.
        pub(super) fn map(tokens: &Tokens, as_another: impl Fn(Option<i64>) -> Option<i64>) -> Tokens {
            Tokens { $($count: as_another(tokens.$count)),* }
        }

        /// In the order of the columns.
        pub(super) fn list(tokens: &Tokens) -> [Option<i64>; 10] {
            [$(tokens.$count),*]
        }
    };
}

columns! {
    input_tokens: input,
    cache_read_tokens: cache_read,
    cache_write_tokens: cache_write,
    cache_write_1h_tokens: cache_write_1h,
    audio_input_tokens: audio_input,
    image_input_tokens: image_input,
    output_tokens: output,
    reasoning_tokens: reasoning,
    audio_output_tokens: audio_output,
    image_output_tokens: image_output,
}
