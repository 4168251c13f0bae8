//! Reading one attribute value the way a rule says.

use std::borrow::Cow;

use flyball_otlp::common::Value;
use rust_decimal::{Decimal, RoundingStrategy};

use crate::conventions::{Read, lower, sources};

/// A value as read. Text that stands as it was sent is borrowed.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Found<'a> {
    Text(Cow<'a, str>),
    Count(i64),
    Number(f64),
    Money(Decimal),
    Flag(bool),
}

impl Found<'_> {
    /// The same, with nothing copied.
    pub(super) fn by_reference(&self) -> Found<'_> {
        match self {
            Self::Text(text) => Found::Text(Cow::Borrowed(text)),
            Self::Count(count) => Found::Count(*count),
            Self::Number(number) => Found::Number(*number),
            Self::Money(money) => Found::Money(*money),
            Self::Flag(flag) => Found::Flag(*flag),
        }
    }

    fn into_owned(self) -> Found<'static> {
        match self {
            Self::Text(text) => Found::Text(Cow::Owned(text.into_owned())),
            Self::Count(count) => Found::Count(count),
            Self::Number(number) => Found::Number(number),
            Self::Money(money) => Found::Money(money),
            Self::Flag(flag) => Found::Flag(flag),
        }
    }
}

/// What a money column can hold, exclusive.
const MONEY_LIMIT: i64 = 1_000_000;

/// Reads a value; `None` when there is nothing of that kind in it.
pub(super) fn read<'a>(value: &Value<'a>, how: Read) -> Option<Found<'a>> {
    match how {
        Read::Text => text(value).map(Found::Text),
        Read::Word => text(value).map(word),
        Read::FirstWord => first(value).map(word),
        Read::Provider => provider(text(value)?).map(Found::Text),
        Read::Count => count(value).map(Found::Count),
        Read::Number => number(value).map(Found::Number),
        Read::Share => number(value)
            .filter(|share| (0.0..=1.0).contains(share))
            .map(Found::Number),
        Read::Money => money(value).map(Found::Money),
        Read::Estimate => money(value)
            .filter(|money| !money.is_zero())
            .map(Found::Money),
        Read::Flag => flag(value).map(Found::Flag),
    }
}

fn word(text: Cow<'_, str>) -> Found<'_> {
    Found::Text(match text {
        Cow::Borrowed(text) => lower(text),
        Cow::Owned(text) => Cow::Owned(text.to_lowercase()),
    })
}

fn provider(text: Cow<'_, str>) -> Option<Cow<'_, str>> {
    match text {
        Cow::Borrowed(text) => sources::provider(text),
        Cow::Owned(text) => sources::provider(&text).map(|name| Cow::Owned(name.into_owned())),
    }
}

/// Reads what stands in JSON in a string (or in Python's text of a dict): what a rule's
/// [`field`](crate::conventions::Rule) names of it, or all of it when it names nothing.
pub(super) fn read_within(sent: &Value<'_>, field: &str, how: Read) -> Option<Found<'static>> {
    let Value::String(text) = sent else {
        return None;
    };
    let json = serde_json::from_str(text).ok().or_else(|| dict(text))?;
    if field.contains(['+', '*']) {
        return read(&Value::Int(sum(&json, field)?), how).map(Found::into_owned);
    }
    let mut found = &json;
    for part in field.split('.').filter(|part| !part.is_empty()) {
        found = found.get(part)?;
    }
    let value = match found {
        serde_json::Value::String(text) => Value::String(text),
        serde_json::Value::Bool(flag) => Value::Bool(*flag),
        serde_json::Value::Number(number) => match number.as_i64() {
            Some(number) => Value::Int(number),
            None => Value::Double(number.as_f64()?),
        },
        _ => return None,
    };
    read(&value, how).map(Found::into_owned)
}

/// A dict of Python's as JSON, where its texts hold no quotes of their own.
fn dict(text: &str) -> Option<serde_json::Value> {
    let text = text.trim();
    if !text.starts_with('{') || text.contains('"') {
        return None;
    }
    let json = text
        .replace('\'', "\"")
        .replace("None", "null")
        .replace("True", "true")
        .replace("False", "false");
    serde_json::from_str(&json).ok()
}

/// The sum of an object's counts under the names that `+` joins, with `*` for any end; `None` when there is none.
fn sum(object: &serde_json::Value, names: &str) -> Option<i64> {
    let is_named = |key: &str| {
        names.split('+').any(|name| match name.strip_suffix('*') {
            Some(start) => key.starts_with(start),
            None => key == name,
        })
    };
    object
        .as_object()?
        .iter()
        .filter(|(key, _)| is_named(key))
        .filter_map(|(_, value)| value.as_i64().filter(|count| *count >= 0))
        .reduce(i64::saturating_add)
}

/// Whether what was read is all that was sent, to the type.
pub(super) fn is_exactly(sent: &Value<'_>, found: &Found<'_>) -> bool {
    match (sent, found) {
        (Value::String(sent), Found::Text(found)) => sent == found,
        (Value::Int(sent), Found::Count(found)) => sent == found,
        (Value::Double(sent), Found::Number(found)) => sent.to_bits() == found.to_bits(),
        (Value::Bool(sent), Found::Flag(found)) => sent == found,
        _ => false,
    }
}

/// Text, trimmed; numbers and booleans written out. Blank text and redaction's leavings are absent.
pub(super) fn text<'a>(value: &Value<'a>) -> Option<Cow<'a, str>> {
    match value {
        Value::String(text) => meant(text).map(Cow::Borrowed),
        Value::Int(number) => Some(Cow::Owned(number.to_string())),
        Value::Double(number) => Some(Cow::Owned(number.to_string())),
        Value::Bool(flag) => Some(Cow::Borrowed(if *flag { "true" } else { "false" })),
        _ => None,
    }
}

/// Trimmed text that somebody meant to send.
fn meant(text: &str) -> Option<&str> {
    let text = text.trim();
    let redacted = text.starts_with("[Scrubbed")
        || text.eq_ignore_ascii_case("__redacted__")
        || text.eq_ignore_ascii_case("[redacted]")
        || text.eq_ignore_ascii_case("<redacted>")
        || text.bytes().all(|byte| byte == b'*');
    (!redacted).then_some(text)
}

fn first<'a>(value: &Value<'a>) -> Option<Cow<'a, str>> {
    match value {
        Value::Array(items) => items.iter().flatten().find_map(text),
        Value::String(json) if json.trim_start().starts_with('[') => {
            let items: Vec<serde_json::Value> = serde_json::from_str(json).ok()?;
            let texts = items.iter().filter_map(serde_json::Value::as_str);
            texts
                .filter_map(meant)
                .next()
                .map(|text| Cow::Owned(text.to_owned()))
        }
        other => text(other),
    }
}

fn count(value: &Value<'_>) -> Option<i64> {
    let count = match value {
        Value::Int(count) => *count,
        Value::Double(count) => whole(*count)?,
        Value::String(text) => {
            let text = text.trim();
            text.parse().ok().or_else(|| whole(text.parse().ok()?))?
        }
        _ => return None,
    };
    (count >= 0).then_some(count)
}

/// A double that is an integer which doubles can tell from its neighbours.
fn whole(number: f64) -> Option<i64> {
    (number.fract() == 0.0 && number.abs() <= 9_007_199_254_740_992.0).then_some(number as i64)
}

/// A finite number, or the text of one.
pub(super) fn number(value: &Value<'_>) -> Option<f64> {
    let number = match value {
        Value::Double(number) => *number,
        Value::Int(number) => *number as f64,
        Value::String(text) => text.trim().parse().ok()?,
        _ => return None,
    };
    number.is_finite().then_some(number)
}

fn money(value: &Value<'_>) -> Option<Decimal> {
    let money = match value {
        // The shortest text that reads back as this double is what the sender meant.
        Value::Double(number) => decimal(&number.to_string())?,
        Value::Int(number) => Decimal::from(*number),
        Value::String(text) => decimal(text.trim())?,
        _ => return None,
    };
    let money = money
        .round_dp_with_strategy(12, RoundingStrategy::MidpointNearestEven)
        .normalize();
    (money.abs() < Decimal::from(MONEY_LIMIT)).then_some(money)
}

fn decimal(text: &str) -> Option<Decimal> {
    text.parse()
        .ok()
        .or_else(|| Decimal::from_scientific(text).ok())
}

fn flag(value: &Value<'_>) -> Option<bool> {
    match value {
        Value::Bool(flag) => Some(*flag),
        Value::String(text) => match lower(text.trim()).as_ref() {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn string(text: &str) -> Value<'_> {
        Value::String(text)
    }

    #[test]
    fn counts_may_come_as_strings_or_doubles_but_not_as_nonsense() {
        for value in [
            Value::Int(7),
            string("7"),
            string(" 7.0 "),
            Value::Double(7.0),
        ] {
            assert_eq!(read(&value, Read::Count), Some(Found::Count(7)));
        }
        for value in [
            Value::Int(-7),
            string(""),
            string("seven"),
            Value::Double(f64::NAN),
            Value::Double(7.5),
            Value::Double(1e300),
            Value::Bool(true),
        ] {
            assert_eq!(read(&value, Read::Count), None, "{value:?}");
        }
    }

    #[test]
    fn fields_are_found_in_json_and_in_pythons_dicts_and_added_up() {
        let count = |value: &Value<'_>, field| match read_within(value, field, Read::Count) {
            Some(Found::Count(count)) => Some(count),
            _ => None,
        };
        let json = string(
            r#"{"input": 20, "input_cached": 5, "output": 1, "a": {"b": 7}, "input_x": -3, "n": null}"#,
        );
        for (field, found) in [
            ("input", Some(20)),
            ("input*", Some(25)),
            ("input*+output", Some(26)),
            ("a.b", Some(7)),
            ("a.c", None),
            ("nothing*+none", None),
            ("n", None),
        ] {
            assert_eq!(count(&json, field), found, "{field}");
        }
        let dict = string("{'cache_read': 8, 'audio': None, 'deep': {'is': True}}");
        assert_eq!(count(&dict, "cache_read"), Some(8));
        assert_eq!(count(&dict, "audio"), None);
        for broken in ["{'a': \"it's\"}", "{'a'", "a", "", "['a']"] {
            assert_eq!(count(&string(broken), "a"), None, "{broken}");
        }
        let huge = format!(r#"{{"input": {}, "input_2": {}}}"#, i64::MAX, i64::MAX);
        assert_eq!(count(&string(&huge), "input*"), Some(i64::MAX));
    }

    #[test]
    fn the_first_word_comes_out_of_arrays_json_and_bare_text() {
        let array = Value::Array(vec![None, Some(string("Stop")), Some(string("length"))]);
        for value in [array, string("[\"stop\", \"length\"]"), string("STOP")] {
            assert_eq!(
                read(&value, Read::FirstWord),
                Some(Found::Text("stop".into()))
            );
        }
        for value in [
            string("[]"),
            string("[1, broken"),
            string("  "),
            Value::Array(Vec::new()),
        ] {
            assert_eq!(read(&value, Read::FirstWord), None, "{value:?}");
        }
    }

    #[test]
    fn blanks_and_what_redaction_left_are_absent() {
        for text in [
            "",
            "  ",
            "[Scrubbed due to 'session']",
            "__REDACTED__",
            "[redacted]",
            "****",
        ] {
            assert_eq!(read(&string(text), Read::Text), None, "{text}");
        }
        assert_eq!(
            read(&Value::Int(42), Read::Text),
            Some(Found::Text("42".into()))
        );
    }

    #[test]
    fn money_is_exact_and_fits_its_column() {
        let money = |value| match read(&value, Read::Money) {
            Some(Found::Money(money)) => Some(money.to_string()),
            _ => None,
        };
        assert_eq!(money(string("0.0000004")).as_deref(), Some("0.0000004"));
        assert_eq!(money(string("4E-7")).as_deref(), Some("0.0000004"));
        assert_eq!(money(Value::Double(0.1 + 0.2)).as_deref(), Some("0.3"));
        assert_eq!(money(Value::Int(3)).as_deref(), Some("3"));
        for value in [
            string("1e6"),
            string("free"),
            Value::Double(f64::INFINITY),
            Value::Int(i64::MAX),
        ] {
            assert_eq!(money(value), None);
        }
        assert_eq!(read(&Value::Double(0.0), Read::Estimate), None);
    }

    #[test]
    fn a_share_lies_between_nought_and_one() {
        assert_eq!(
            read(&Value::Double(0.25), Read::Share),
            Some(Found::Number(0.25))
        );
        assert_eq!(read(&Value::Double(1.25), Read::Share), None);
    }
}
