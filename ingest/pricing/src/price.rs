//! One price: what tokens cost under one set of conditions; and the entry that holds a model's prices together.

use rust_decimal::Decimal;

use crate::When;

/// US dollars a token, or a request. What is absent is not known: a call that used it has no price.
///
/// Reasoning, audio and images without a price of their own are charged as the input or output they are part of;
/// everything else that was used needs its price here, cached input too, since no discount can be told from another
/// price.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Amounts {
    /// A token of uncached input.
    pub input: Option<Decimal>,
    /// A token of input read from a cache.
    pub cache_read: Option<Decimal>,
    /// A token of input written to a cache, for minutes.
    pub cache_write: Option<Decimal>,
    /// A token of input written to a cache for an hour.
    pub cache_write_1h: Option<Decimal>,
    /// A token of output.
    pub output: Option<Decimal>,
    /// A token of reasoning, where it differs from output.
    pub reasoning: Option<Decimal>,
    /// A request, whatever its length.
    pub request: Option<Decimal>,
    /// A token of audio input, where it differs from input.
    pub audio_input: Option<Decimal>,
    /// A token of image input, where it differs from input.
    pub image_input: Option<Decimal>,
    /// A token of audio output, where it differs from output.
    pub audio_output: Option<Decimal>,
    /// A token of image output, where it differs from output.
    pub image_output: Option<Decimal>,
}

/// One amount, or none, for each component.
pub(crate) type List = [Option<Decimal>; COMPONENTS.len()];

/// The components of a price, by the names of the file format.
pub(crate) const COMPONENTS: [&str; 11] = [
    "input",
    "cache_read",
    "cache_write",
    "cache_write_1h",
    "output",
    "reasoning",
    "request",
    "audio_input",
    "image_input",
    "audio_output",
    "image_output",
];
/// So many of them enter the id of a price whether they are there or not; the others only where they are.
const IN_EVERY_ID: usize = 7;

impl Amounts {
    /// In the order of [`COMPONENTS`].
    pub(crate) fn list(&self) -> List {
        [
            self.input,
            self.cache_read,
            self.cache_write,
            self.cache_write_1h,
            self.output,
            self.reasoning,
            self.request,
            self.audio_input,
            self.image_input,
            self.audio_output,
            self.image_output,
        ]
    }

    /// From [`Amounts::list`].
    pub(crate) fn of(list: List) -> Self {
        let [
            input,
            cache_read,
            cache_write,
            cache_write_1h,
            output,
            reasoning,
            request,
            audio_input,
            image_input,
            audio_output,
            image_output,
        ] = list;
        Self {
            input,
            cache_read,
            cache_write,
            cache_write_1h,
            output,
            reasoning,
            request,
            audio_input,
            image_input,
            audio_output,
            image_output,
        }
    }

    /// Whether it prices anything at all.
    pub(crate) fn says_something(&self) -> bool {
        self.input.is_some() || self.output.is_some() || self.request.is_some()
    }

    /// With every cache price that is missing filled in with the input's: what formats mean that know of no
    /// cache price other than a discount.
    pub(crate) fn cached_as_input(mut self) -> Self {
        self.cache_read = self.cache_read.or(self.input);
        self.cache_write = self.cache_write.or(self.input);
        self
    }
}

/// What a model's tokens cost under one set of conditions, whole: no part of it is taken from another price.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Price {
    /// Stable: the same price of the same book has the same id in every run. `BOOK:MODEL:HASH`.
    pub id: String,
    /// The model's name, as the book spells it.
    pub model: String,
    /// When it holds.
    pub when: When,
    /// What it says.
    pub amounts: Amounts,
}

/// The prices of one model from one seller over one stretch of time: what a book is made of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entry {
    /// The book it comes from: `builtin`, `litellm`, or the name a file gives itself.
    pub book: String,
    /// The workspace it was negotiated for; everyone's, when absent. It wins over everyone's.
    pub workspace: Option<String>,
    /// Who sells it, canonical (`openai`, `aws.bedrock`); anyone, when absent.
    pub provider: Option<String>,
    /// Whether it holds, too, where another seller, or none, is named that has no entry of its own for the name.
    pub elsewhere: bool,
    /// The model's name.
    pub model: String,
    /// Other names of it.
    pub aliases: Vec<String>,
    /// Patterns of names (`*` is any text), tried after all names.
    pub patterns: Vec<String>,
    /// In force from this instant (nanoseconds since 1970), inclusive; always, when absent.
    pub from_unix_nano: Option<i64>,
    /// In force until this instant (nanoseconds since 1970), exclusive; for ever, when absent.
    pub until_unix_nano: Option<i64>,
    /// When we learnt of it (nanoseconds since 1970). Of two that hold for one call, the later learnt stands.
    pub known_unix_nano: Option<i64>,
    /// Where it is taken from.
    pub source: String,
    /// The day (`2026-11-21`) on which it stood there; empty when the source does not say.
    pub source_date: String,
    /// Why it is kept out of force until a person accepts it.
    pub quarantined: Option<String>,
    /// Its prices, of which at most one holds for any call.
    pub prices: Vec<Price>,
}

impl Entry {
    /// Whether it is in force at an instant, nanoseconds since 1970.
    #[must_use]
    pub fn in_force(&self, at_unix_nano: i64) -> bool {
        self.from_unix_nano.is_none_or(|from| from <= at_unix_nano)
            && self
                .until_unix_nano
                .is_none_or(|until| at_unix_nano < until)
    }

    /// Whether it was known at an instant; everything is, when none is given.
    #[must_use]
    pub fn known(&self, as_of_unix_nano: Option<i64>) -> bool {
        match (self.known_unix_nano, as_of_unix_nano) {
            (Some(known), Some(as_of)) => known <= as_of,
            _ => true,
        }
    }

    /// The price that holds for a call; see [`When::holds`].
    #[must_use]
    pub fn price(&self, tier: &str, start_unix_nano: i64, input: Option<i64>) -> Option<&Price> {
        self.prices
            .iter()
            .find(|price| price.when.holds(tier, start_unix_nano, input))
    }

    /// The same in every run for the same entry: `BOOK:MODEL:HASH`.
    #[must_use]
    pub fn id(&self) -> String {
        let prices: Vec<&str> = self.prices.iter().map(|price| price.id.as_str()).collect();
        let told = format!("{} {:?}", prices.join(" "), self.known_unix_nano);
        format!("{}:{}:{:08x}", self.book, self.model, fnv(&told))
    }

    /// Every name of its model.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.model.as_str()).chain(self.aliases.iter().map(String::as_str))
    }

    /// Whether both are in force at one instant.
    pub(crate) fn meets(&self, other: &Self) -> bool {
        let ends = |until: Option<i64>, from: Option<i64>| {
            until.zip(from).is_some_and(|(until, from)| until <= from)
        };
        !ends(self.until_unix_nano, other.from_unix_nano)
            && !ends(other.until_unix_nano, self.from_unix_nano)
    }

    /// With the ids of its prices filled in, from what they say.
    pub(crate) fn identified(mut self) -> Self {
        let whose = format!(
            "{:?} {:?} {:?} {:?}",
            self.workspace, self.provider, self.from_unix_nano, self.until_unix_nano
        );
        for price in &mut self.prices {
            let mut told = format!("{whose} {}", price.when);
            let list = price.amounts.list();
            let (always, others) = list.split_at(IN_EVERY_ID);
            for amount in always {
                told.push(' ');
                if let Some(amount) = amount {
                    told.push_str(&amount.normalize().to_string());
                }
            }
            for (component, amount) in COMPONENTS.iter().skip(IN_EVERY_ID).zip(others) {
                if let Some(amount) = amount {
                    told.push_str(&format!(" {component} {}", amount.normalize()));
                }
            }
            price.model.clone_from(&self.model);
            price.id = format!("{}:{}:{:08x}", self.book, self.model, fnv(&told));
        }
        self
    }
}

/// FNV-1a: short, and the same in every build. It tells apart the prices of one model, no more.
pub(crate) fn fnv(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_instant_is_in_and_the_last_is_out() {
        let entry = Entry {
            from_unix_nano: Some(10),
            until_unix_nano: Some(20),
            ..Entry::default()
        };
        assert_eq!(
            [9, 10, 19, 20].map(|at| entry.in_force(at)),
            [false, true, true, false]
        );
        assert!(Entry::default().in_force(i64::MIN));
    }

    #[test]
    fn components_that_came_later_leave_the_ids_of_prices_without_them_alone() {
        let amounts = Amounts {
            input: Some(Decimal::new(2, 6)),
            output: Some(Decimal::new(10, 6)),
            ..Amounts::default()
        };
        let id = |amounts| {
            let price = Price {
                amounts,
                ..Price::default()
            };
            let entry = Entry {
                book: "b".into(),
                model: "m".into(),
                prices: vec![price],
                ..Entry::default()
            };
            entry.identified().prices[0].id.clone()
        };
        // Seven components, as they were told when there were no others.
        let told = "None None None None always 0.000002    0.00001  ";
        assert_eq!(id(amounts), format!("b:m:{:08x}", fnv(told)));
        let heard = Amounts {
            audio_input: Some(Decimal::new(2, 6)),
            ..amounts
        };
        assert_ne!(id(heard), id(amounts));
    }

    #[test]
    fn an_id_tells_prices_of_one_model_apart_and_nothing_else() {
        let id = |input| {
            let amounts = Amounts {
                input: Some(input),
                ..Amounts::default()
            };
            let price = Price {
                amounts,
                ..Price::default()
            };
            let entry = Entry {
                model: "m".into(),
                prices: vec![price],
                ..Entry::default()
            };
            entry.identified().prices[0].id.clone()
        };
        assert_eq!(id(Decimal::new(250, 6)), id(Decimal::new(250, 6)));
        assert_ne!(id(Decimal::new(250, 6)), id(Decimal::new(251, 6)));
        assert_eq!(id(Decimal::new(250, 6)), id(Decimal::new(2500, 7)));
    }
}
