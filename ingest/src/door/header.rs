//! The key that a request shows: `authorization: Bearer KEY`, or `x-api-key: KEY`.

use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, HeaderName, HeaderValue};

const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const SCHEME: &str = "Bearer";

/// What stands in the headers.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Presented<'a> {
    /// No key.
    Nothing,
    /// Something that may be one.
    One(&'a str),
    /// More than one header: whose request it is would be a matter of which we looked at.
    Several,
    /// Credentials of another scheme.
    NotBearer,
    /// Bytes that are no text.
    NoText,
}

/// Reads it. Schemes are compared without regard to case (RFC 9110, 11.1).
pub(super) fn presented(headers: &HeaderMap) -> Presented<'_> {
    let sent = |name: HeaderName, bearer: bool| {
        let values = headers.get_all(name).into_iter();
        values.map(move |value| (bearer, value))
    };
    let mut sent = sent(AUTHORIZATION, true).chain(sent(API_KEY, false));
    match (sent.next(), sent.next()) {
        (None, _) => Presented::Nothing,
        (Some(_), Some(_)) => Presented::Several,
        (Some((bearer, value)), None) => one(bearer, value),
    }
}

fn one(bearer: bool, value: &HeaderValue) -> Presented<'_> {
    let Ok(text) = value.to_str() else {
        return Presented::NoText;
    };
    if !bearer {
        return Presented::One(text);
    }
    match text.split_once(' ') {
        Some((scheme, key)) if scheme.eq_ignore_ascii_case(SCHEME) => {
            Presented::One(key.trim_start_matches(' '))
        }
        _ => Presented::NotBearer,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn one_key_is_read_and_whatever_else_is_told_apart() {
        let long = "x".repeat(100_000);
        let bearer_long = format!("bearer {long}");
        for (headers, wanted) in [
            (vec![], Presented::Nothing),
            (vec![("authorization", "Bearer k")], Presented::One("k")),
            (vec![("authorization", "bEARER   k")], Presented::One("k")),
            (vec![("x-api-key", "k")], Presented::One("k")),
            (vec![("x-api-key", "Bearer k")], Presented::One("Bearer k")),
            (vec![("x-api-key", "")], Presented::One("")),
            (
                vec![("authorization", bearer_long.as_str())],
                Presented::One(&long),
            ),
            (
                vec![("authorization", "Bearer k, Bearer l")],
                Presented::One("k, Bearer l"),
            ),
            (
                vec![("authorization", "Basic a2V5Og==")],
                Presented::NotBearer,
            ),
            (vec![("authorization", "Bearer")], Presented::NotBearer),
            (vec![("authorization", "Bearer\tk")], Presented::NotBearer),
            (vec![("authorization", "")], Presented::NotBearer),
            (vec![("authorization", "Bearer \u{fc}")], Presented::NoText),
            (vec![("x-api-key", "fbk_\u{e9}")], Presented::NoText),
            (
                vec![("authorization", "Bearer k"), ("authorization", "Bearer k")],
                Presented::Several,
            ),
            (
                vec![("x-api-key", "k"), ("x-api-key", "l")],
                Presented::Several,
            ),
            (
                vec![("authorization", "Basic a2V5Og=="), ("x-api-key", "k")],
                Presented::Several,
            ),
        ] {
            let mut map = HeaderMap::new();
            for (name, value) in &headers {
                let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
                map.append(*name, value);
            }
            assert_eq!(presented(&map), wanted, "{headers:.100?}");
        }
    }
}
