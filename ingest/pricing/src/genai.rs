//! The format of genai-prices: a list of providers, each with its models and their prices, US dollars a million
//! tokens, with dates, hours, lengths and service tiers.
//!
//! A model is taken under its id and the names that its `match` states whole (`equals`, `starts_with`: dates at the end
//! of a name are stripped by every book); what it matches by substring or expression is passed over.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use rust_decimal::Decimal;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::error::AMOUNT;
use crate::price::COMPONENTS;
use crate::when::STANDARD;
use crate::{
    Amounts, Entry, Error, Price, Result, Week, When, decimal, format, name, service_tier,
};

const EXPECTED: &str = "a JSON list of providers, each with an id and models with an id and prices";
const DATE: &str = "a UTC day such as 2026-11-21";
const HOURS: &str = "start_time and end_time in UTC, such as 01:00:00+00:00";

/// Units, and the components that they price.
#[rustfmt::skip]
const UNITS: &[(&str, &str)] = &[
    ("input_mtok", "input"),
    ("cache_read_mtok", "cache_read"),
    ("cache_write_mtok", "cache_write"),
    ("cache_write_1h_mtok", "cache_write_1h"),
    ("output_mtok", "output"),
    ("output_reasoning_mtok", "reasoning"),
    ("requests_kcount", "request"),
    ("input_audio_mtok", "audio_input"),
    ("input_image_mtok", "image_input"),
    ("output_audio_mtok", "audio_output"),
    ("output_image_mtok", "image_output"),
];

type Units<'a> = BTreeMap<String, &'a RawValue>;

#[derive(Deserialize)]
struct Provider<'a> {
    id: String,
    model_match: Option<Match>,
    #[serde(borrow, default)]
    models: Vec<Model<'a>>,
}

#[derive(Deserialize)]
struct Model<'a> {
    id: String,
    #[serde(rename = "match")]
    matches: Option<Match>,
    #[serde(borrow)]
    prices: &'a RawValue,
    #[serde(borrow, default)]
    price_variants: Vec<Conditional<'a>>,
}

#[derive(Deserialize)]
struct Conditional<'a> {
    #[serde(default)]
    when: BTreeMap<String, String>,
    #[serde(default)]
    constraint: Option<Constraint>,
    #[serde(borrow)]
    prices: Units<'a>,
}

#[derive(Deserialize, Default)]
struct Constraint {
    start_date: Option<String>,
    start_time: Option<String>,
    end_time: Option<String>,
}

#[derive(Deserialize, Default)]
struct Match {
    equals: Option<String>,
    starts_with: Option<String>,
    contains: Option<String>,
    #[serde(default)]
    or: Vec<Match>,
}

impl Match {
    fn names(&self) -> Vec<String> {
        let own = self.equals.iter().chain(&self.starts_with).cloned();
        own.chain(self.or.iter().flat_map(Self::names)).collect()
    }

    /// Whether a name is one that the provider is known by, when nobody says who sold it.
    fn fits(&self, name: &str) -> bool {
        self.equals.as_deref() == Some(name)
            || self
                .starts_with
                .as_deref()
                .is_some_and(|start| name.starts_with(start))
            || self
                .contains
                .as_deref()
                .is_some_and(|part| name.contains(part))
            || self.or.iter().any(|one| one.fits(name))
    }
}

/// Prices by component, with the lengths above which they change.
type Steps = [Vec<(i64, Decimal)>; COMPONENTS.len()];

/// Its entries, negative amounts and all.
pub(crate) fn entries(text: &str, source: &str) -> Result<Vec<Entry>> {
    let providers: Vec<Provider<'_>> = serde_json::from_str(text).map_err(|e| Error::NotABook {
        book: source.to_owned(),
        problem: e.to_string(),
        expected: EXPECTED,
    })?;
    let mut entries = Vec::new();
    let (mut sold, mut open) = (HashSet::new(), HashSet::new());
    for provider in &providers {
        let seller = name::provider(&provider.id);
        for model in &provider.models {
            let label = format!("{} {}", provider.id, model.id);
            let mut names = vec![model.id.clone()];
            names.extend(model.matches.iter().flat_map(Match::names));
            // The first to match has it, as in their own look-up.
            names.retain(|name| !name.is_empty() && sold.insert((seller.clone(), name.clone())));
            let Some((first, aliases)) = names.split_first() else {
                continue;
            };
            let known = provider.model_match.as_ref();
            let elsewhere = known.is_some_and(|known| names.iter().all(|name| known.fits(name)))
                && !names.iter().any(|name| open.contains(name));
            if elsewhere {
                open.extend(names.iter().cloned());
            }
            let entry = Entry {
                book: "genai-prices".to_owned(),
                provider: Some(seller.clone()),
                elsewhere,
                model: first.clone(),
                aliases: aliases.to_vec(),
                source: source.to_owned(),
                ..Entry::default()
            };
            Reader { source, label }.dated(&entry, model, &mut entries)?;
        }
    }
    Ok(entries.into_iter().map(Entry::identified).collect())
}

struct Reader<'a> {
    source: &'a str,
    label: String,
}

impl Reader<'_> {
    /// One entry for every stretch of time between two dates on which something changes.
    fn dated(&self, like: &Entry, model: &Model<'_>, entries: &mut Vec<Entry>) -> Result<()> {
        let list = model.prices.get().starts_with('[');
        let prices: Vec<Conditional<'_>> = if list {
            serde_json::from_str(model.prices.get()).map_err(|e| self.no_book(&e))?
        } else {
            let prices = serde_json::from_str(model.prices.get()).map_err(|e| self.no_book(&e))?;
            vec![Conditional {
                when: BTreeMap::new(),
                constraint: None,
                prices,
            }]
        };
        let mut days = BTreeSet::from([None]);
        for conditional in prices.iter().chain(&model.price_variants) {
            days.insert(self.start(conditional)?);
        }
        let days: Vec<Option<i64>> = days.into_iter().collect();
        for (at, from) in days.iter().enumerate() {
            let prices = self.prices(&prices, &model.price_variants, *from)?;
            if !prices.is_empty() {
                entries.push(Entry {
                    from_unix_nano: *from,
                    until_unix_nano: days.get(at + 1).copied().flatten(),
                    prices,
                    ..like.clone()
                });
            }
        }
        Ok(())
    }

    fn prices(
        &self,
        prices: &[Conditional<'_>],
        variants: &[Conditional<'_>],
        from: Option<i64>,
    ) -> Result<Vec<Price>> {
        let mut always = None;
        let mut windows: Vec<(Week, Steps)> = Vec::new();
        for conditional in prices {
            if self.start(conditional)? > from {
                continue;
            }
            let steps = self.steps(&conditional.prices)?;
            match self.hours(conditional)? {
                Some(hours) if windows.iter().all(|(other, _)| !other.overlaps(&hours)) => {
                    windows.push((hours, steps));
                }
                Some(_) => return Err(self.wrong("constraint", "overlapping", HOURS)),
                None => always = Some(steps),
            }
        }
        let Some(base) = always else {
            return Ok(Vec::new());
        };
        let mut tiers: BTreeMap<String, (Option<i64>, Steps)> = BTreeMap::new();
        for variant in variants {
            let Some(tier) = tier(variant) else { continue };
            let start = self.start(variant)?;
            if start > from || tiers.get(&tier).is_some_and(|(other, _)| *other >= start) {
                continue;
            }
            let mut steps = self.steps(&variant.prices)?;
            // What a variant leaves out stays as it is without it.
            for (own, base) in steps.iter_mut().zip(&base) {
                if own.is_empty() {
                    own.clone_from(base);
                }
            }
            tiers.insert(tier, (start, steps));
        }
        // Also before the day from which another tier has a price: until then that tier has none.
        let tiered = variants.iter().any(|variant| tier(variant).is_some());
        let standard = tiered.then(|| STANDARD.to_owned());
        let mut priced = Vec::new();
        let mut rest = Vec::new();
        for (hours, steps) in windows {
            rest.extend(hours.texts());
            put(&mut priced, standard.as_deref(), Some(&hours), &steps);
        }
        let rest = Week::parse(&rest).map(|windows| windows.complement());
        match rest {
            Some(None) => {}
            Some(Some(rest)) => put(&mut priced, standard.as_deref(), Some(&rest), &base),
            None => put(&mut priced, standard.as_deref(), None, &base),
        }
        for (tier, (_, steps)) in &tiers {
            put(&mut priced, Some(tier), None, steps);
        }
        Ok(priced)
    }

    fn steps(&self, units: &Units<'_>) -> Result<Steps> {
        #[derive(Deserialize)]
        struct Tiered<'a> {
            #[serde(borrow)]
            base: &'a RawValue,
            #[serde(borrow)]
            tiers: Vec<Tier<'a>>,
        }
        #[derive(Deserialize)]
        struct Tier<'a> {
            start: i64,
            #[serde(borrow)]
            price: &'a RawValue,
        }
        let mut steps = Steps::default();
        for (unit, component) in UNITS {
            let Some(raw) = units.get(*unit).filter(|raw| raw.get() != "null") else {
                continue;
            };
            let Some(at) = COMPONENTS.iter().position(|known| known == component) else {
                continue;
            };
            let read = |raw: &RawValue| {
                let text = raw.get().trim_matches('"');
                let amount = match *component {
                    "request" => decimal::exact(text).map(|a| a / Decimal::from(1_000)),
                    _ => decimal::millionth(text),
                };
                amount.ok_or_else(|| self.wrong(unit, raw.get(), AMOUNT))
            };
            if !raw.get().starts_with('{') {
                steps[at].push((0, read(raw)?));
                continue;
            }
            let tiered: Tiered<'_> = serde_json::from_str(raw.get())
                .map_err(|_| self.wrong(unit, raw.get(), "base and tiers of start and price"))?;
            steps[at].push((0, read(tiered.base)?));
            for tier in &tiered.tiers {
                if tier.start <= 0 {
                    return Err(self.wrong(unit, &tier.start.to_string(), "a start above 0"));
                }
                steps[at].push((tier.start, read(tier.price)?));
            }
            steps[at].sort_by_key(|(start, _)| *start);
        }
        Ok(steps)
    }

    fn start(&self, conditional: &Conditional<'_>) -> Result<Option<i64>> {
        let day = conditional
            .constraint
            .as_ref()
            .and_then(|c| c.start_date.as_deref());
        let read = |day| format::instant(day).ok_or_else(|| self.wrong("start_date", day, DATE));
        day.map(read).transpose()
    }

    fn hours(&self, conditional: &Conditional<'_>) -> Result<Option<Week>> {
        let Some(constraint) = &conditional.constraint else {
            return Ok(None);
        };
        let (start, end) = match (&constraint.start_time, &constraint.end_time) {
            (None, None) => return Ok(None),
            (start, end) => (
                start.as_deref().unwrap_or_default(),
                end.as_deref().unwrap_or_default(),
            ),
        };
        let minutes =
            |text: &str| Some(text.strip_suffix("+00:00")?.strip_suffix(":00")?.to_owned());
        minutes(start)
            .zip(minutes(end))
            .and_then(|(start, end)| Week::parse(&[format!("{start}-{end}")]))
            .map(Some)
            .ok_or_else(|| self.wrong("constraint", &format!("{start} to {end}"), HOURS))
    }

    fn wrong(&self, field: &str, value: &str, expected: &'static str) -> Error {
        Error::field(self.source, &self.label, field, value, expected)
    }

    fn no_book(&self, problem: &serde_json::Error) -> Error {
        Error::NotABook {
            book: self.source.to_owned(),
            problem: format!("{}: {problem}", self.label),
            expected: EXPECTED,
        }
    }
}

/// The service tier that a variant is; `None` when it is something else, such as a region's route.
fn tier(variant: &Conditional<'_>) -> Option<String> {
    let mut when = variant.when.iter();
    let (key, value) = when.next()?;
    let known = key == "processing" || key == "service_tier";
    let tier = service_tier(Some(value)).into_owned();
    (known && when.next().is_none() && tier != STANDARD).then_some(tier)
}

/// One price for every stretch of lengths.
fn put(prices: &mut Vec<Price>, tier: Option<&str>, hours: Option<&Week>, steps: &Steps) {
    let starts: BTreeSet<i64> = steps.iter().flatten().map(|(start, _)| *start).collect();
    let starts: Vec<i64> = std::iter::once(0)
        .chain(starts.into_iter().filter(|s| *s > 0))
        .collect();
    for (at, start) in starts.iter().enumerate() {
        let list = steps.each_ref().map(|steps| {
            let reached = steps.iter().rev().find(|(from, _)| from <= start);
            reached.map(|(_, amount)| *amount)
        });
        let amounts = Amounts::of(list).cached_as_input();
        if amounts.says_something() {
            prices.push(Price {
                when: When {
                    service_tier: tier.map(str::to_owned),
                    input_above: (*start > 0).then_some(*start),
                    input_up_to: starts.get(at + 1).copied(),
                    hours: hours.cloned(),
                },
                amounts,
                ..Price::default()
            });
        }
    }
}

#[cfg(test)]
#[path = "genai/tests.rs"]
mod tests;
