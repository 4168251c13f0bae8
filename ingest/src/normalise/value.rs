//! Reading one attribute value the way a rule says.

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use rust_decimal::{Decimal, RoundingStrategy};

use crate::conventions::{Read, sources};

/// A value as read.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Found {
    Text(String),
    Count(i64),
    Number(f64),
    Money(Decimal),
    Flag(bool),
}

/// What a money column can hold, exclusive.
const MONEY_LIMIT: i64 = 1_000_000;

/// Reads a value; `None` when there is nothing of that kind in it.
pub(super) fn read(value: &Value, how: Read) -> Option<Found> {
    match how {
        Read::Text => text(value).map(Found::Text),
        Read::Word => text(value).map(|text| Found::Text(text.to_lowercase())),
        Read::FirstWord => first(value).map(|text| Found::Text(text.to_lowercase())),
        Read::Provider => text(value)
            .and_then(|text| sources::provider(&text))
            .map(Found::Text),
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

/// What stands in JSON in a string (or in Python's text of a dict): what a rule's [`field`](crate::conventions::Rule)
/// names of it, or all of it when it names nothing.
pub(super) fn within(sent: &Value, field: &str) -> Option<Value> {
    let Value::StringValue(text) = sent else {
        return None;
    };
    let json = serde_json::from_str(text).ok().or_else(|| dict(text))?;
    if field.contains(['+', '*']) {
        return sum(&json, field).map(Value::IntValue);
    }
    let mut found = &json;
    for part in field.split('.').filter(|part| !part.is_empty()) {
        found = found.get(part)?;
    }
    match found {
        serde_json::Value::String(text) => Some(Value::StringValue(text.clone())),
        serde_json::Value::Bool(flag) => Some(Value::BoolValue(*flag)),
        serde_json::Value::Number(number) => match number.as_i64() {
            Some(number) => Some(Value::IntValue(number)),
            None => number.as_f64().map(Value::DoubleValue),
        },
        _ => None,
    }
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
pub(super) fn is_exactly(sent: &Value, found: &Found) -> bool {
    match (sent, found) {
        (Value::StringValue(sent), Found::Text(found)) => sent == found,
        (Value::IntValue(sent), Found::Count(found)) => sent == found,
        (Value::DoubleValue(sent), Found::Number(found)) => sent.to_bits() == found.to_bits(),
        (Value::BoolValue(sent), Found::Flag(found)) => sent == found,
        _ => false,
    }
}

/// Text, trimmed; numbers and booleans written out. Blank text and redaction's leavings are absent.
pub(super) fn text(value: &Value) -> Option<String> {
    match value {
        Value::StringValue(text) => meant(text).map(str::to_owned),
        Value::IntValue(number) => Some(number.to_string()),
        Value::DoubleValue(number) => Some(number.to_string()),
        Value::BoolValue(flag) => Some(flag.to_string()),
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

fn first(value: &Value) -> Option<String> {
    match value {
        Value::ArrayValue(array) => array
            .values
            .iter()
            .find_map(|item| text(item.value.as_ref()?)),
        Value::StringValue(json) if json.trim_start().starts_with('[') => {
            let items: Vec<serde_json::Value> = serde_json::from_str(json).ok()?;
            items
                .iter()
                .find_map(|item| meant(item.as_str()?).map(str::to_owned))
        }
        other => text(other),
    }
}

fn count(value: &Value) -> Option<i64> {
    let count = match value {
        Value::IntValue(count) => *count,
        Value::DoubleValue(count) => whole(*count)?,
        Value::StringValue(text) => {
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
pub(super) fn number(value: &Value) -> Option<f64> {
    let number = match value {
        Value::DoubleValue(number) => *number,
        Value::IntValue(number) => *number as f64,
        Value::StringValue(text) => text.trim().parse().ok()?,
        _ => return None,
    };
    number.is_finite().then_some(number)
}

fn money(value: &Value) -> Option<Decimal> {
    let money = match value {
        // The shortest text that reads back as this double is what the sender meant.
        Value::DoubleValue(number) => decimal(&number.to_string())?,
        Value::IntValue(number) => Decimal::from(*number),
        Value::StringValue(text) => decimal(text.trim())?,
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

fn flag(value: &Value) -> Option<bool> {
    match value {
        Value::BoolValue(flag) => Some(*flag),
        Value::StringValue(text) => match text.trim().to_lowercase().as_str() {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue};

    use super::*;

    fn string(text: &str) -> Value {
        Value::StringValue(text.into())
    }

    #[test]
    fn counts_may_come_as_strings_or_doubles_but_not_as_nonsense() {
        for value in [
            Value::IntValue(7),
            string("7"),
            string(" 7.0 "),
            Value::DoubleValue(7.0),
        ] {
            assert_eq!(read(&value, Read::Count), Some(Found::Count(7)));
        }
        for value in [
            Value::IntValue(-7),
            string(""),
            string("seven"),
            Value::DoubleValue(f64::NAN),
            Value::DoubleValue(7.5),
            Value::DoubleValue(1e300),
            Value::BoolValue(true),
        ] {
            assert_eq!(read(&value, Read::Count), None, "{value:?}");
        }
    }

    #[test]
    fn fields_are_found_in_json_and_in_pythons_dicts_and_added_up() {
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
            assert_eq!(within(&json, field), found.map(Value::IntValue), "{field}");
        }
        let dict = string("{'cache_read': 8, 'audio': None, 'deep': {'is': True}}");
        assert_eq!(within(&dict, "cache_read"), Some(Value::IntValue(8)));
        assert_eq!(within(&dict, "audio"), None);
        for broken in ["{'a': \"it's\"}", "{'a'", "a", "", "['a']"] {
            assert_eq!(within(&string(broken), "a"), None, "{broken}");
        }
        let huge = string(&format!(
            r#"{{"input": {}, "input_2": {}}}"#,
            i64::MAX,
            i64::MAX
        ));
        assert_eq!(within(&huge, "input*"), Some(Value::IntValue(i64::MAX)));
    }

    #[test]
    fn the_first_word_comes_out_of_arrays_json_and_bare_text() {
        let item = |text: &str| AnyValue {
            value: Some(string(text)),
        };
        let array = Value::ArrayValue(ArrayValue {
            values: vec![AnyValue { value: None }, item("Stop"), item("length")],
        });
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
            Value::ArrayValue(ArrayValue { values: Vec::new() }),
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
            read(&Value::IntValue(42), Read::Text),
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
        assert_eq!(money(Value::DoubleValue(0.1 + 0.2)).as_deref(), Some("0.3"));
        assert_eq!(money(Value::IntValue(3)).as_deref(), Some("3"));
        for value in [
            string("1e6"),
            string("free"),
            Value::DoubleValue(f64::INFINITY),
            Value::IntValue(i64::MAX),
        ] {
            assert_eq!(money(value), None);
        }
        assert_eq!(read(&Value::DoubleValue(0.0), Read::Estimate), None);
    }

    #[test]
    fn a_share_lies_between_nought_and_one() {
        assert_eq!(
            read(&Value::DoubleValue(0.25), Read::Share),
            Some(Found::Number(0.25))
        );
        assert_eq!(read(&Value::DoubleValue(1.25), Read::Share), None);
    }
}
