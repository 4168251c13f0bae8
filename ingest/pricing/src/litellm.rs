//! LiteLLM's format: one JSON object, a model a key, prices in US dollars a token, conditions in the names of
//! the fields (`input_cost_per_token_above_272k_tokens_batches`).

use std::collections::{BTreeMap, BTreeSet, HashSet};

use rust_decimal::Decimal;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::error::AMOUNT;
use crate::price::{COMPONENTS, List};
use crate::when::STANDARD;
use crate::{Amounts, Book, Entry, Error, Price, Result, Week, When, decimal, name, service_tier};

/// LiteLLM's own explanation of its format stands among the models under this name.
const EXPLANATION: &str = "sample_spec";
const EXPECTED: &str = "a JSON object of model names, each with an object of prices";
const HOUR: &str = "_above_1hr";

/// Fields, and the components that they price. Of two for one component, the first counts.
#[rustfmt::skip]
const FIELDS: &[(&str, &str)] = &[
    ("input_cost_per_token", "input"),
    ("cache_read_input_token_cost", "cache_read"),
    ("cache_creation_input_token_cost", "cache_write"),
    ("output_cost_per_token", "output"),
    ("output_cost_per_reasoning_token", "reasoning"),
    ("input_cost_per_request", "request"),
    ("input_cost_per_audio_token", "audio_input"),
    ("input_cost_per_image_token", "image_input"),
    ("output_cost_per_audio_token", "audio_output"),
    ("output_cost_per_image_token", "image_output"),
];
/// What `cache_read_input_token_cost` was called before.
const CACHE_HIT: &str = "input_cost_per_token_cache_hit";
/// Ends of fields that price a service tier.
const TIERS: &[&str] = &["batches", "flex", "priority", "balanced", "ultrafast"];

type Fields<'a> = BTreeMap<String, &'a RawValue>;
/// Amounts by service tier and by the length above which they hold.
type Stated = BTreeMap<(String, Option<i64>), List>;

/// The book that a text in LiteLLM's format is.
pub(crate) fn book(text: &str, source: &str) -> Result<Book> {
    let entries = entries(text, source, false)?;
    Book::of(source, entries, Vec::new())
}

/// Its entries; `signed` lets negative amounts pass, for an import to show them.
pub(crate) fn entries(text: &str, source: &str, signed: bool) -> Result<Vec<Entry>> {
    let not_a_book = |problem: String| Error::NotABook {
        book: source.to_owned(),
        problem,
        expected: EXPECTED,
    };
    let models: BTreeMap<String, &RawValue> =
        serde_json::from_str(text).map_err(|e| not_a_book(e.to_string()))?;
    let mut entries = Vec::new();
    for (model, raw) in &models {
        if model == EXPLANATION {
            continue;
        }
        let fields: Fields<'_> = serde_json::from_str(raw.get())
            .map_err(|e| not_a_book(format!("model {model}: {e}")))?;
        let prices = Model {
            source,
            model,
            fields: &fields,
            signed,
        }
        .prices()?;
        // Images, seconds of audio and the like: nothing that a token count could be held against.
        if prices.is_empty() {
            continue;
        }
        let seller: Option<String> = fields
            .get("litellm_provider")
            .and_then(|raw| serde_json::from_str(raw.get()).ok());
        entries.push(Entry {
            book: "litellm".to_owned(),
            provider: seller.as_deref().map(name::provider),
            elsewhere: true,
            model: model.clone(),
            source: source.to_owned(),
            prices,
            ..Entry::default()
        });
    }
    let own = under_own_names(&entries);
    entries.extend(own);
    Ok(entries.into_iter().map(Entry::identified).collect())
}

/// `xai/grok-4.7` is xAI's `grok-4.7`: the key without its seller, for calls that name the seller.
fn under_own_names(entries: &[Entry]) -> Vec<Entry> {
    let mut taken: HashSet<(Option<&str>, &str)> = entries
        .iter()
        .map(|entry| (entry.provider.as_deref(), entry.model.as_str()))
        .collect();
    let mut own = Vec::new();
    for entry in entries {
        let Some((seller, model)) = entry.model.split_once('/') else {
            continue;
        };
        let provider = entry.provider.as_deref();
        if provider == Some(name::provider(seller).as_str()) && taken.insert((provider, model)) {
            own.push(Entry {
                model: model.to_owned(),
                elsewhere: false,
                ..entry.clone()
            });
        }
    }
    own
}

/// One model's fields.
struct Model<'a> {
    source: &'a str,
    model: &'a str,
    fields: &'a Fields<'a>,
    signed: bool,
}

impl Model<'_> {
    fn prices(&self) -> Result<Vec<Price>> {
        let stated = self.stated()?;
        let tiers: BTreeSet<&str> = stated.keys().map(|(tier, _)| tier.as_str()).collect();
        let tiered = tiers.iter().any(|tier| *tier != STANDARD);
        let base = stated.get(&(STANDARD.to_owned(), None)).copied();
        let mut prices = Vec::new();
        for tier in tiers {
            let mut limits: Vec<i64> = stated
                .keys()
                .filter(|(of, _)| of == tier || of == STANDARD)
                .filter_map(|(_, limit)| *limit)
                .collect();
            limits.sort_unstable();
            limits.dedup();
            let froms = std::iter::once(None).chain(limits.iter().copied().map(Some));
            for (at, above) in froms.enumerate() {
                let Some(list) = stated.get(&(tier.to_owned(), above)) else {
                    continue;
                };
                let when = When {
                    service_tier: tiered.then(|| tier.to_owned()),
                    input_above: above,
                    input_up_to: limits.get(at).copied(),
                    hours: None,
                };
                prices.push(price(when, completed(*list, tier, base)));
            }
        }
        prices.retain(|price| price.amounts.says_something());
        if let Some(lengths) = self.by_length()? {
            prices.retain(|price| {
                let tier = price.when.service_tier.as_deref();
                tier.is_some_and(|tier| tier != STANDARD)
            });
            let tier = tiered.then(|| STANDARD.to_owned());
            prices.extend(lengths.into_iter().map(|(above, up_to, amounts)| {
                let when = When {
                    service_tier: tier.clone(),
                    input_above: above,
                    input_up_to: up_to,
                    hours: None,
                };
                price(when, amounts)
            }));
            prices.retain(|price| price.amounts.says_something());
        }
        self.off_peak(prices)
    }

    fn stated(&self) -> Result<Stated> {
        let mut stated = Stated::new();
        for (field, raw) in self.fields {
            let Some((component, hour, above, tier)) = meaning(field) else {
                continue;
            };
            let Some(amount) = self.amount(field, raw)? else {
                continue;
            };
            let component = if hour { "cache_write_1h" } else { component };
            put(stated.entry((tier, above)).or_default(), component, amount);
        }
        if let Some(raw) = self.fields.get(CACHE_HIT)
            && let Some(amount) = self.amount(CACHE_HIT, raw)?
        {
            let list = stated.entry((STANDARD.to_owned(), None)).or_default();
            list[1] = list[1].or(Some(amount));
        }
        Ok(stated)
    }

    /// `tiered_pricing`: a price for each range of input lengths, its lower end not in it, its upper end in it.
    fn by_length(&self) -> Result<Option<Vec<(Option<i64>, Option<i64>, Amounts)>>> {
        let Some(raw) = self.fields.get("tiered_pricing") else {
            return Ok(None);
        };
        let Ok(ranges) = serde_json::from_str::<Vec<Fields<'_>>>(raw.get()) else {
            return Err(self.wrong(
                "tiered_pricing",
                raw,
                "a list of objects with range and prices",
            ));
        };
        // Ranges of something else, such as search results, are no token prices.
        if !ranges.iter().any(|fields| fields.contains_key("range")) {
            return Ok(None);
        }
        let mut prices = Vec::new();
        for fields in &ranges {
            let range = fields
                .get("range")
                .and_then(|raw| serde_json::from_str::<[&RawValue; 2]>(raw.get()).ok());
            let limits = range.map(|ends| ends.map(|end| whole(end.get())));
            let Some([Some(low), Some(high)]) = limits else {
                return Err(self.wrong("range", raw, "two numbers of tokens"));
            };
            let mut list = List::default();
            for (field, component) in FIELDS {
                if let Some(raw) = fields.get(*field)
                    && let Some(amount) = self.amount(field, raw)?
                {
                    put(&mut list, component, amount);
                }
            }
            let above = (low > 0).then_some(low);
            prices.push((above, Some(high), Amounts::of(list).cached_as_input()));
        }
        Ok(Some(prices))
    }

    /// `off_peak_pricing`: the fields above are the peak's, and these hold in its windows.
    fn off_peak(&self, mut prices: Vec<Price>) -> Result<Vec<Price>> {
        #[derive(Deserialize)]
        struct Window {
            hours_utc: serde_json::Value,
            weekdays: Option<Vec<u8>>,
        }
        let Some(raw) = self.fields.get("off_peak_pricing") else {
            return Ok(prices);
        };
        let wrong = || {
            self.wrong(
                "off_peak_pricing",
                raw,
                "windows (hours_utc, weekdays) and prices",
            )
        };
        let fields: Fields<'_> = serde_json::from_str(raw.get()).map_err(|_| wrong())?;
        let windows = fields.get("windows").ok_or_else(wrong)?;
        let windows: Vec<Window> = serde_json::from_str(windows.get()).map_err(|_| wrong())?;
        let mut texts = Vec::new();
        for window in &windows {
            let hours: Vec<&str> = match &window.hours_utc {
                serde_json::Value::Array(hours) => {
                    hours.iter().filter_map(|h| h.as_str()).collect()
                }
                hours => hours.as_str().into_iter().collect(),
            };
            let every = vec![1, 2, 3, 4, 5, 6, 7];
            for day in window.weekdays.as_ref().unwrap_or(&every) {
                let names = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
                let day = usize::from(*day)
                    .checked_sub(1)
                    .and_then(|day| names.get(day));
                let day = day.ok_or_else(wrong)?;
                texts.extend(hours.iter().map(|hours| format!("{day} {hours}")));
            }
        }
        let week = Week::parse(&texts).ok_or_else(wrong)?;
        let mut list = List::default();
        for (field, component) in FIELDS {
            if let Some(raw) = fields.get(*field)
                && let Some(amount) = self.amount(field, raw)?
            {
                put(&mut list, component, amount);
            }
        }
        let amounts = Amounts::of(list).cached_as_input();
        let standard = |price: &Price| {
            let tier = price.when.service_tier.as_deref();
            tier.is_none_or(|tier| tier == STANDARD)
        };
        // Above a length, the off-peak price is not told: there is none.
        let short = prices
            .iter()
            .find(|p| standard(p) && p.when.input_above.is_none());
        let Some(mut when) = short.map(|price| price.when.clone()) else {
            return Ok(prices);
        };
        let peak = week.complement();
        prices.retain(|price| !standard(price) || peak.is_some());
        for price in prices.iter_mut().filter(|price| standard(price)) {
            price.when.hours.clone_from(&peak);
        }
        when.hours = Some(week);
        prices.push(price(when, amounts));
        Ok(prices)
    }

    fn amount(&self, field: &str, raw: &RawValue) -> Result<Option<Decimal>> {
        if raw.get() == "null" {
            return Ok(None);
        }
        // A number written as a string is still that number.
        match decimal::exact(raw.get().trim_matches('"')) {
            Some(amount) if self.signed || !amount.is_sign_negative() => Ok(Some(amount)),
            _ => Err(self.wrong(field, raw, AMOUNT)),
        }
    }

    fn wrong(&self, field: &str, raw: &RawValue, expected: &'static str) -> Error {
        let label = format!("model {}", self.model);
        Error::field(self.source, &label, field, raw.get(), expected)
    }
}

/// Component, whether it is kept for an hour, the length above which, and the tier in which a field holds.
fn meaning(field: &str) -> Option<(&'static str, bool, Option<i64>, String)> {
    let (rest, component) = FIELDS
        .iter()
        .find_map(|(base, component)| Some((field.strip_prefix(base)?, *component)))?;
    let (rest, hour) = match rest.strip_prefix(HOUR) {
        Some(rest) if component == "cache_write" => (rest, true),
        _ => (rest, false),
    };
    let (rest, above) = match rest
        .strip_prefix("_above_")
        .and_then(|r| r.split_once("k_tokens"))
    {
        Some((thousands, rest)) => (
            rest,
            Some(i64::from(thousands.parse::<u32>().ok()?) * 1_000),
        ),
        None => (rest, None),
    };
    let tier = match rest.strip_prefix('_') {
        Some(tier) if TIERS.contains(&tier) => service_tier(Some(tier)).into_owned(),
        None if rest.is_empty() => STANDARD.to_owned(),
        _ => return None,
    };
    Some((component, hour, above, tier))
}

/// A cache price that is left out is the input's, unless the tier leaves out what the standard price has.
fn completed(list: List, tier: &str, base: Option<List>) -> Amounts {
    let mut amounts = Amounts::of(list);
    let base = base.map(Amounts::of).unwrap_or_default();
    if tier == STANDARD {
        amounts.request = base.request;
        return amounts.cached_as_input();
    }
    // What a tier says of text only, it leaves as it is otherwise.
    amounts.audio_input = amounts.audio_input.or(base.audio_input);
    amounts.image_input = amounts.image_input.or(base.image_input);
    amounts.audio_output = amounts.audio_output.or(base.audio_output);
    amounts.image_output = amounts.image_output.or(base.image_output);
    let filled = amounts.cached_as_input();
    if base.cache_read.is_none() {
        amounts.cache_read = filled.cache_read;
    }
    if base.cache_write.is_none() {
        amounts.cache_write = filled.cache_write;
    }
    amounts
}

fn price(when: When, amounts: Amounts) -> Price {
    Price {
        when,
        amounts,
        ..Price::default()
    }
}

fn put(list: &mut List, component: &str, amount: Decimal) {
    if let Some(at) = COMPONENTS.iter().position(|known| *known == component) {
        list[at] = Some(amount);
    }
}

fn whole(text: &str) -> Option<i64> {
    use rust_decimal::prelude::ToPrimitive as _;
    let number = decimal::exact(text)?;
    number
        .is_integer()
        .then(|| number.to_i64())
        .flatten()
        .filter(|n| *n >= 0)
}

#[cfg(test)]
#[path = "litellm/tests.rs"]
mod tests;
