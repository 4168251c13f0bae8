//! Scalars of OTLP/JSON, each read as leniently as a real exporter needs and no more.

use std::fmt;
use std::marker::PhantomData;

use opentelemetry_proto::tonic::logs::v1::SeverityNumber;
use opentelemetry_proto::tonic::metrics::v1::AggregationTemporality;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use serde::de::{Deserialize, Deserializer, Error, Unexpected, Visitor};
use serde_json::value::RawValue;

use super::value::{Budget, Read};

/// Declares a value that is read from a scalar of some kinds.
macro_rules! scalar {
    ($(#[$doc:meta])* $name:ident, $value:ty, $how:ident, $expects:expr, { $($visit:tt)* }) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub(super) struct $name;

        impl Read for $name {
            type Value = $value;

            fn read<'de, D: Deserializer<'de>>(deserializer: D, budget: &Budget) -> Result<Self::Value, D::Error> {
                struct Scalar<'b>(#[allow(dead_code, reason = "most scalars cost nothing beyond their field")] &'b Budget);

                impl<'de> Visitor<'de> for Scalar<'_> {
                    type Value = $value;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($expects)
                    }

                    $($visit)*
                }

                deserializer.$how(Scalar(budget))
            }
        }
    };
}

scalar!(
    /// A text. Read as bytes, since half a surrogate pair (`"\ud83d"`, what is left when a program cuts
    /// a text in the middle of an emoji) is not a string; it becomes U+FFFD. The body as a whole has been
    /// checked to be UTF-8.
    Text, String, deserialize_bytes, "a string", {
        fn visit_bytes<E: Error>(self, text: &[u8]) -> Result<String, E> {
            // For texts in lists; one in a field is counted twice, which does not matter.
            self.0.spend(size_of::<String>())?;
            Ok(String::from_utf8_lossy(text).into_owned())
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<String, E> {
            self.visit_bytes(text.as_bytes())
        }
    }
);

scalar!(
    /// A truth value.
    Truth, bool, deserialize_any, "true or false", {
        fn visit_bool<E>(self, truth: bool) -> Result<bool, E> {
            Ok(truth)
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<bool, E> {
            text.parse().map_err(|_| E::invalid_value(Unexpected::Str(text), &self))
        }
    }
);

/// A floating point number, or its name where JSON has none. Read from its digits by the standard
/// library: the JSON parser's own shortcut may miss the nearest double by one step, and then the same
/// span would cost something else as JSON than as protobuf.
#[derive(Debug)]
pub(super) struct Double;

impl Read for Double {
    type Value = f64;

    fn read<'de, D: Deserializer<'de>>(deserializer: D, _: &Budget) -> Result<f64, D::Error> {
        let json = <&'de RawValue>::deserialize(deserializer)?.get();
        let digits = json
            .strip_prefix('"')
            .and_then(|json| json.strip_suffix('"'))
            .unwrap_or(json);
        digits.parse().map_err(|_| {
            let start: String = json.chars().take(40).collect();
            D::Error::invalid_value(
                Unexpected::Other(&start),
                &"a number, \"NaN\", \"Infinity\" or \"-Infinity\"",
            )
        })
    }
}

scalar!(
    /// Bytes in Base64, standard or URL-safe, padded or not.
    Base64, Vec<u8>, deserialize_str, "a Base64 string", {
        fn visit_str<E: Error>(self, text: &str) -> Result<Vec<u8>, E> {
            base64(text).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
        }
    }
);

/// An enum of the protocol that some exporters send by name.
pub(super) trait Names {
    /// What is accepted, for messages.
    const EXPECTS: &'static str;

    /// The number behind a name.
    fn number(name: &str) -> Option<i32>;
}

impl Names for SpanKind {
    const EXPECTS: &'static str = "a span kind: 0 to 5, or a name such as \"SPAN_KIND_CLIENT\"";

    fn number(name: &str) -> Option<i32> {
        Self::from_str_name(name).map(|kind| kind as i32)
    }
}

impl Names for StatusCode {
    const EXPECTS: &'static str = "a status code: 0 to 2, or a name such as \"STATUS_CODE_ERROR\"";

    fn number(name: &str) -> Option<i32> {
        Self::from_str_name(name).map(|code| code as i32)
    }
}

impl Names for SeverityNumber {
    const EXPECTS: &'static str = "a severity: 0 to 24, or a name such as \"SEVERITY_NUMBER_INFO\"";

    fn number(name: &str) -> Option<i32> {
        Self::from_str_name(name).map(|severity| severity as i32)
    }
}

impl Names for AggregationTemporality {
    const EXPECTS: &'static str =
        "a temporality: 0 to 2, or a name such as \"AGGREGATION_TEMPORALITY_DELTA\"";

    fn number(name: &str) -> Option<i32> {
        Self::from_str_name(name).map(|temporality| temporality as i32)
    }
}

/// An enum: any number (newer protocols have more), or its name.
#[derive(Debug)]
pub(super) struct Enum<E>(PhantomData<E>);

impl<N: Names> Read for Enum<N> {
    type Value = i32;

    fn read<'de, D: Deserializer<'de>>(deserializer: D, _: &Budget) -> Result<i32, D::Error> {
        struct Member<N>(PhantomData<N>);

        impl<N: Names> Visitor<'_> for Member<N> {
            type Value = i32;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(N::EXPECTS)
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<i32, E> {
                i32::try_from(number)
                    .map_err(|_| E::invalid_value(Unexpected::Unsigned(number), &self))
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<i32, E> {
                i32::try_from(number)
                    .map_err(|_| E::invalid_value(Unexpected::Signed(number), &self))
            }

            fn visit_str<E: Error>(self, name: &str) -> Result<i32, E> {
                N::number(name)
                    .or_else(|| name.parse().ok())
                    .ok_or_else(|| E::invalid_value(Unexpected::Str(name), &self))
            }
        }

        deserializer.deserialize_any(Member::<N>(PhantomData))
    }
}

/// An integer: a number, a whole float, or digits in a string.
#[derive(Debug)]
pub(super) struct Number<N>(PhantomData<N>);

impl<N: TryFrom<i128>> Read for Number<N> {
    type Value = N;

    fn read<'de, D: Deserializer<'de>>(deserializer: D, _: &Budget) -> Result<N, D::Error> {
        struct Integer<N>(PhantomData<N>);

        impl<N: TryFrom<i128>> Visitor<'_> for Integer<N> {
            type Value = N;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(
                    f,
                    "an integer ({}), as a number or a string",
                    std::any::type_name::<N>()
                )
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<N, E> {
                N::try_from(i128::from(number))
                    .map_err(|_| E::invalid_value(Unexpected::Unsigned(number), &self))
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<N, E> {
                N::try_from(i128::from(number))
                    .map_err(|_| E::invalid_value(Unexpected::Signed(number), &self))
            }

            fn visit_f64<E: Error>(self, number: f64) -> Result<N, E> {
                // Past 2^63 a cast would saturate at i128's bounds, which no N holds.
                (number.fract() == 0.0)
                    .then(|| N::try_from(number as i128).ok())
                    .flatten()
                    .ok_or_else(|| E::invalid_value(Unexpected::Float(number), &self))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<N, E> {
                (text.parse::<i128>().ok())
                    .and_then(|number| N::try_from(number).ok())
                    .ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
            }
        }

        deserializer.deserialize_any(Integer::<N>(PhantomData))
    }
}

/// A trace or span id of `N` bytes in hex. One that is not hex costs only its span: it is kept as the
/// bytes of its text, with a length that can't be taken for an id, and refused later with that span.
#[derive(Debug)]
pub(super) struct HexId<const N: usize>;

impl<const N: usize> Read for HexId<N> {
    type Value = Vec<u8>;

    fn read<'de, D: Deserializer<'de>>(
        deserializer: D,
        _: &Budget,
    ) -> Result<Self::Value, D::Error> {
        struct Digits<const N: usize>;

        impl<const N: usize> Visitor<'_> for Digits<N> {
            type Value = Vec<u8>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "an id: a string of {} hex digits", 2 * N)
            }

            fn visit_str<E>(self, text: &str) -> Result<Vec<u8>, E> {
                Ok(hex::decode(text).unwrap_or_else(|_| {
                    let mut raw = text.as_bytes().to_vec();
                    if raw.len() == N {
                        raw.push(0);
                    }
                    raw
                }))
            }
        }

        deserializer.deserialize_str(Digits::<N>)
    }
}

/// RFC 4648, either alphabet; padding may be left out, but must be right where it stands.
fn base64(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=');
    let padding = text.len() - digits.len();
    if padding > 2 || (padding > 0 && !text.len().is_multiple_of(4)) || digits.len() % 4 == 1 {
        return None;
    }
    let mut bytes = Vec::with_capacity(digits.len() * 3 / 4);
    let (mut bits, mut have) = (0_u32, 0_u32);
    for digit in digits.bytes() {
        let six = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        bits = (bits << 6) | u32::from(six);
        have += 6;
        if have >= 8 {
            have -= 8;
            bytes.push((bits >> have) as u8);
            bits &= (1 << have) - 1;
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::base64;

    #[test]
    fn base64_reads_the_examples_of_its_rfc() {
        for (text, bytes) in [
            ("", ""),
            ("Zg==", "f"),
            ("Zm8=", "fo"),
            ("Zm9v", "foo"),
            ("Zm9vYg==", "foob"),
            ("Zm9vYmE=", "fooba"),
            ("Zm9vYmFy", "foobar"),
            ("Zm8", "fo"),
        ] {
            assert_eq!(base64(text).as_deref(), Some(bytes.as_bytes()), "{text}");
        }
        assert_eq!(base64("-_-_"), base64("+/+/"));
        for wrong in ["Z", "Zg=", "Zg===", "Z g=", "Zm9vY"] {
            assert_eq!(base64(wrong), None, "{wrong}");
        }
    }
}
