//! The format of our own, `flyball-prices/1`: see docs/prices.md.

mod write;

use chrono::{DateTime, NaiveDate, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

pub(crate) use self::write::write;
use crate::error::AMOUNT;
use crate::price::fnv;
use crate::{
    Amounts, Book, Entry, Error, Price, Result, ToolPrice, Week, When, decimal, name, service_tier,
};

/// What the `format` field says.
pub(crate) const FORMAT: &str = "flyball-prices/1";
const EXPECTED: &str = "a JSON object with \"format\": \"flyball-prices/1\" and entries, each with a model and its prices (docs/prices.md)";
const INSTANT: &str = "a UTC day such as 2026-11-21, or an instant such as 2026-11-21T16:00:00Z";
const COUNT: &str = "a number of tokens, 0 or more";
const NAME: &str = "a text that is not empty";

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    format: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(default = "usd")]
    currency: String,
    entries: Vec<EntryText>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    tools: Vec<ToolText>,
}

fn usd() -> String {
    "USD".to_owned()
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct EntryText {
    #[serde(skip_serializing_if = "Option::is_none")]
    book: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    workspace: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    provider: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    elsewhere: bool,
    model: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    aliases: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    patterns: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    valid_from: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    valid_to: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    known_at: Option<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    source: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    source_date: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    quarantined: Option<String>,
    prices: Vec<PriceText>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct PriceText {
    #[serde(skip_serializing_if = "Option::is_none")]
    service_tier: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    input_above: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    input_up_to: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hours_utc: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    input: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_read: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_write: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_write_1h: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    audio_input: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    image_input: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    audio_output: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    image_output: Option<Box<RawValue>>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ToolText {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    workspace: Option<String>,
    tool: String,
    per_call: Box<RawValue>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    valid_from: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    valid_to: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    known_at: Option<String>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    source: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    source_date: String,
}

/// Whether a text says that it is in this format, whatever else is wrong with it.
pub(crate) fn is_own(text: &str) -> bool {
    #[derive(Deserialize)]
    struct Probe<'a> {
        #[serde(borrow)]
        format: Option<&'a RawValue>,
    }
    serde_json::from_str::<Probe<'_>>(text)
        .is_ok_and(|probe| probe.format.is_some_and(|raw| raw.get().starts_with('"')))
}

/// The book that a text is.
pub(crate) fn book(text: &str, source: &str) -> Result<Book> {
    let (entries, tools) = parts(text, source)?;
    Book::of(source, entries, tools)
}

fn parts(text: &str, source: &str) -> Result<(Vec<Entry>, Vec<ToolPrice>)> {
    let file: File = serde_json::from_str(text).map_err(|e| Error::NotABook {
        book: source.to_owned(),
        problem: e.to_string(),
        expected: EXPECTED,
    })?;
    let header =
        |field, value, expected| Err(Error::field(source, "header", field, value, expected));
    if file.format != FORMAT {
        return header("format", &file.format, "flyball-prices/1");
    }
    if file.currency != "USD" {
        return header("currency", &file.currency, "USD");
    }
    let own = file.name.as_deref().unwrap_or("book");
    let entries = file.entries.iter().enumerate();
    let entries = entries.map(|(at, entry)| {
        let label = format!("entry {} (model {})", at + 1, entry.model);
        Reader { source, label }.entry(own, entry)
    });
    let tools = file.tools.iter().enumerate().map(|(at, tool)| {
        let label = format!("tool {} ({})", at + 1, tool.tool);
        Reader { source, label }.tool(own, tool)
    });
    Ok((
        entries.collect::<Result<_>>()?,
        tools.collect::<Result<_>>()?,
    ))
}

/// Reads one entry's fields, and names it when one is wrong.
struct Reader<'a> {
    source: &'a str,
    label: String,
}

impl Reader<'_> {
    fn wrong(&self, field: &str, value: &str, expected: &'static str) -> Error {
        Error::field(self.source, &self.label, field, value, expected)
    }

    fn entry(&self, own: &str, text: &EntryText) -> Result<Entry> {
        let names = text.aliases.iter().chain(&text.patterns);
        if names
            .chain([&text.model])
            .any(|name| name.trim().is_empty())
        {
            return Err(self.wrong("model, aliases or patterns", "\"\"", NAME));
        }
        if text.prices.is_empty() {
            return Err(self.wrong("prices", "[]", "at least one price"));
        }
        let signed = text.quarantined.is_some();
        let prices = text.prices.iter().map(|price| self.price(price, signed));
        let entry = Entry {
            book: text.book.clone().unwrap_or_else(|| own.to_owned()),
            workspace: text.workspace.clone(),
            provider: text.provider.as_deref().map(name::provider),
            elsewhere: text.elsewhere,
            model: text.model.clone(),
            aliases: text.aliases.clone(),
            patterns: text.patterns.iter().map(|p| p.to_lowercase()).collect(),
            from_unix_nano: self.instant("valid_from", text.valid_from.as_deref())?,
            until_unix_nano: self.instant("valid_to", text.valid_to.as_deref())?,
            known_unix_nano: self.instant("known_at", text.known_at.as_deref())?,
            source: text.source.clone(),
            source_date: text.source_date.clone(),
            quarantined: text.quarantined.clone(),
            prices: prices.collect::<Result<_>>()?,
        };
        self.ordered(
            entry.from_unix_nano,
            entry.until_unix_nano,
            text.valid_to.as_deref(),
        )?;
        Ok(entry.identified())
    }

    fn price(&self, text: &PriceText, signed: bool) -> Result<Price> {
        for (field, limit) in [
            ("input_above", text.input_above),
            ("input_up_to", text.input_up_to),
        ] {
            if let Some(limit) = limit.filter(|limit| *limit < 0) {
                return Err(self.wrong(field, &limit.to_string(), COUNT));
            }
        }
        if let (Some(above), Some(up_to)) = (text.input_above, text.input_up_to)
            && above >= up_to
        {
            let limit = up_to.to_string();
            return Err(self.wrong("input_up_to", &limit, "more tokens than input_above"));
        }
        let hours = text.hours_utc.as_ref().map(|hours| {
            let expected =
                "hours of the day such as 01:00-04:00, or of days such as mon-fri 01:00-04:00";
            Week::parse(hours)
                .ok_or_else(|| self.wrong("hours_utc", &format!("{hours:?}"), expected))
        });
        let when = When {
            service_tier: text
                .service_tier
                .as_deref()
                .map(|tier| service_tier(Some(tier)).into_owned()),
            input_above: text.input_above,
            input_up_to: text.input_up_to,
            hours: hours.transpose()?,
        };
        let a_million = |field, raw: &Option<Box<RawValue>>| {
            self.amount(field, raw.as_deref(), signed, decimal::millionth)
        };
        let amounts = Amounts {
            input: a_million("input", &text.input)?,
            cache_read: a_million("cache_read", &text.cache_read)?,
            cache_write: a_million("cache_write", &text.cache_write)?,
            cache_write_1h: a_million("cache_write_1h", &text.cache_write_1h)?,
            output: a_million("output", &text.output)?,
            reasoning: a_million("reasoning", &text.reasoning)?,
            request: self.amount("request", text.request.as_deref(), signed, decimal::exact)?,
            audio_input: a_million("audio_input", &text.audio_input)?,
            image_input: a_million("image_input", &text.image_input)?,
            audio_output: a_million("audio_output", &text.audio_output)?,
            image_output: a_million("image_output", &text.image_output)?,
        };
        if !amounts.says_something() {
            return Err(self.wrong("prices", "{}", "input, output or request"));
        }
        Ok(Price {
            when,
            amounts,
            ..Price::default()
        })
    }

    fn tool(&self, own: &str, text: &ToolText) -> Result<ToolPrice> {
        if text.tool.trim().is_empty() {
            return Err(self.wrong("tool", "\"\"", NAME));
        }
        let per_call = self
            .amount("per_call", Some(&text.per_call), false, decimal::exact)?
            .unwrap_or_default();
        let price = ToolPrice {
            id: String::new(),
            workspace: text.workspace.clone(),
            tool: text.tool.clone(),
            per_call,
            from_unix_nano: self.instant("valid_from", text.valid_from.as_deref())?,
            until_unix_nano: self.instant("valid_to", text.valid_to.as_deref())?,
            known_unix_nano: self.instant("known_at", text.known_at.as_deref())?,
            source: text.source.clone(),
            source_date: text.source_date.clone(),
        };
        self.ordered(
            price.from_unix_nano,
            price.until_unix_nano,
            text.valid_to.as_deref(),
        )?;
        let told = fnv(&format!("{price:?}"));
        let id = format!("{own}:tool/{}:{told:08x}", text.tool);
        Ok(ToolPrice { id, ..price })
    }

    fn ordered(&self, from: Option<i64>, until: Option<i64>, text: Option<&str>) -> Result<()> {
        if from.zip(until).is_some_and(|(from, until)| until <= from) {
            let text = text.unwrap_or_default();
            return Err(self.wrong("valid_to", text, "an instant after valid_from"));
        }
        Ok(())
    }

    fn amount(
        &self,
        field: &str,
        raw: Option<&RawValue>,
        signed: bool,
        read: fn(&str) -> Option<Decimal>,
    ) -> Result<Option<Decimal>> {
        let Some(raw) = raw.map(RawValue::get).filter(|raw| *raw != "null") else {
            return Ok(None);
        };
        match read(raw.trim_matches('"')) {
            Some(amount) if signed || !amount.is_sign_negative() => Ok(Some(amount)),
            _ => Err(self.wrong(field, raw, AMOUNT)),
        }
    }

    fn instant(&self, field: &str, text: Option<&str>) -> Result<Option<i64>> {
        let read = |text: &str| instant(text).ok_or_else(|| self.wrong(field, text, INSTANT));
        text.map(read).transpose()
    }
}

/// Nanoseconds since 1970 of a UTC day (its midnight) or an instant, as price files write them; `None` when it is
/// neither, or before 1677 or after 2262.
#[must_use]
pub fn instant(text: &str) -> Option<i64> {
    if let Ok(day) = text.parse::<NaiveDate>() {
        return day.and_hms_opt(0, 0, 0)?.and_utc().timestamp_nanos_opt();
    }
    text.parse::<DateTime<Utc>>().ok()?.timestamp_nanos_opt()
}

#[cfg(test)]
#[path = "format/tests.rs"]
mod tests;
