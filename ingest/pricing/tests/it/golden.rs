//! 33 requests, priced by another program from another book: equal to the last digit.

use std::collections::HashMap;

use flyball_pricing::{Book, Call, Tokens, instant};
use rust_decimal::Decimal;

const GOLDEN: &str = include_str!("../fixtures/golden-costs-2026-11-21.csv");

/// What a web search costs at Anthropic and OpenAI, 10 dollars a thousand. The shipped book has no prices of tools: what
/// is a vendor's search, and what somebody's own tool of that name, only the operator knows.
const SEARCH: &str = r#"{"format": "flyball-prices/1", "entries": [], "tools": [{"tool": "web_search", "per_call": "0.01"}]}"#;

/// The row that says of itself that it is wrong, and what is right: the row of the same request off peak.
const KNOWN_WRONG: (&str, &str) = ("17", "16");

type Request = HashMap<&'static str, &'static str>;

fn requests() -> Vec<Request> {
    let mut lines = GOLDEN.lines();
    let names: Vec<&str> = lines.next().unwrap().split(',').collect();
    let request = |line: &'static str| {
        let values: Vec<&str> = line.split(',').collect();
        assert_eq!(values.len(), names.len(), "{line}");
        names.iter().copied().zip(values).collect()
    };
    lines.map(request).collect()
}

/// US dollars for input, for output and in all; `None` where there is no price.
fn amounts(book: &Book, request: &Request) -> Option<[Decimal; 3]> {
    let count = |name: &str| Some(request[name]).filter(|text| !text.is_empty());
    let count = |name: &str| count(name).map(|text| text.parse::<i64>().unwrap());
    let tier = request["option"].split_once('=').map(|(_, tier)| tier);
    let call = Call {
        provider: Some(request["provider"]),
        response_model: Some(request["model"]),
        service_tier: tier,
        start_unix_nano: instant(request["at_utc"]).unwrap(),
        ..Call::default()
    };
    let tokens = Tokens {
        input: count("input_tokens"),
        cache_read: count("cache_read_tokens"),
        cache_write: count("cache_write_tokens"),
        cache_write_1h: count("cache_write_1h_tokens"),
        output: count("output_tokens"),
        reasoning: count("output_reasoning_tokens"),
        ..Tokens::default()
    };
    let (_, cost) = book.charge(&call, &tokens)?;
    let input = cost.input + cost.cache_read + cost.cache_write;
    let searches = count("web_searches").unwrap_or(0);
    let fee = book
        .tool(None, "web_search", call.start_unix_nano, None)?
        .per_call;
    let total = cost.total + Decimal::from(searches) * fee;
    Some([input, cost.output, total])
}

fn expected(request: &Request) -> Option<[Decimal; 3]> {
    let amount = |name: &str| request[name].parse().unwrap();
    request["error"]
        .is_empty()
        .then(|| ["input_usd", "output_usd", "total_usd"].map(amount))
}

#[test]
fn golden_costs_come_out_to_the_last_digit_and_the_wrong_one_rightly() {
    let search = Book::parse(SEARCH, "search").unwrap();
    let book = Book::builtin().unwrap().under(search);
    let requests = requests();
    assert_eq!(requests.len(), 33);
    let by_case = |case: &str| requests.iter().find(|request| request["case"] == case);
    for request in &requests {
        let (wrong, right) = KNOWN_WRONG;
        let right = if request["case"] == wrong {
            assert!(request["why"].contains("KNOWN WRONG"));
            by_case(right).unwrap()
        } else {
            request
        };
        assert_eq!(amounts(&book, request), expected(right), "{request:?}");
    }
}
