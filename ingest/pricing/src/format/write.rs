//! A book as a file.

use chrono::{DateTime, SecondsFormat};
use rust_decimal::Decimal;
use serde_json::value::RawValue;

use super::{EntryText, FORMAT, PriceText, ToolText};
use crate::{Book, Entry, Price, ToolPrice, Week, decimal};

type Written<T> = std::result::Result<T, serde_json::Error>;

/// A book's entries and tools as a file that [`super::book`] reads as the same; one entry a line.
///
/// # Errors
/// When an amount cannot be written as JSON, which no decimal is known to cause.
pub(crate) fn write(name: &str, book: &Book) -> Written<String> {
    let mut lines = Vec::new();
    for entry in book.entries() {
        lines.push(serde_json::to_string(&entry_text(name, entry)?)?);
    }
    let mut tools = Vec::new();
    for tool in book.tools() {
        tools.push(serde_json::to_string(&tool_text(tool)?)?);
    }
    let list = |lines: &[String]| {
        lines
            .iter()
            .map(|line| format!("\n  {line}"))
            .collect::<Vec<_>>()
            .join(",")
    };
    Ok(format!(
        "{{\"format\": \"{FORMAT}\", \"name\": {}, \"currency\": \"USD\",\n \"entries\": [{}\n ],\n \"tools\": [{}\n ]}}\n",
        serde_json::to_string(name)?,
        list(&lines),
        list(&tools)
    ))
}

fn entry_text(name: &str, entry: &Entry) -> Written<EntryText> {
    let prices = entry.prices.iter().map(price_text);
    Ok(EntryText {
        book: (entry.book != name).then(|| entry.book.clone()),
        workspace: entry.workspace.clone(),
        provider: entry.provider.clone(),
        elsewhere: entry.elsewhere,
        model: entry.model.clone(),
        aliases: entry.aliases.clone(),
        patterns: entry.patterns.clone(),
        valid_from: entry.from_unix_nano.map(text_of),
        valid_to: entry.until_unix_nano.map(text_of),
        known_at: entry.known_unix_nano.map(text_of),
        source: entry.source.clone(),
        source_date: entry.source_date.clone(),
        quarantined: entry.quarantined.clone(),
        prices: prices.collect::<Written<_>>()?,
    })
}

fn price_text(price: &Price) -> Written<PriceText> {
    let a_million = |amount: Option<Decimal>| quoted(amount.map(decimal::a_million));
    let amounts = &price.amounts;
    Ok(PriceText {
        service_tier: price.when.service_tier.clone(),
        input_above: price.when.input_above,
        input_up_to: price.when.input_up_to,
        hours_utc: price.when.hours.as_ref().map(Week::texts),
        input: a_million(amounts.input)?,
        cache_read: a_million(amounts.cache_read)?,
        cache_write: a_million(amounts.cache_write)?,
        cache_write_1h: a_million(amounts.cache_write_1h)?,
        output: a_million(amounts.output)?,
        reasoning: a_million(amounts.reasoning)?,
        request: quoted(amounts.request.map(|amount| amount.normalize().to_string()))?,
        audio_input: a_million(amounts.audio_input)?,
        image_input: a_million(amounts.image_input)?,
        audio_output: a_million(amounts.audio_output)?,
        image_output: a_million(amounts.image_output)?,
    })
}

fn tool_text(tool: &ToolPrice) -> Written<ToolText> {
    let per_call = format!("\"{}\"", tool.per_call.normalize());
    Ok(ToolText {
        workspace: tool.workspace.clone(),
        tool: tool.tool.clone(),
        per_call: RawValue::from_string(per_call)?,
        valid_from: tool.from_unix_nano.map(text_of),
        valid_to: tool.until_unix_nano.map(text_of),
        known_at: tool.known_unix_nano.map(text_of),
        source: tool.source.clone(),
        source_date: tool.source_date.clone(),
    })
}

fn quoted(number: Option<String>) -> Written<Option<Box<RawValue>>> {
    let text = number.map(|number| RawValue::from_string(format!("\"{number}\"")));
    text.transpose()
}

fn text_of(at_unix_nano: i64) -> String {
    DateTime::from_timestamp_nanos(at_unix_nano).to_rfc3339_opts(SecondsFormat::AutoSi, true)
}
