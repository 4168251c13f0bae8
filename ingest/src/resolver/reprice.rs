//! Pricing again what was charged already.

use flyball_pricing::{Book, Call, Cost};
use flyball_store::rows::{ChargeRow, Entry, Kind, Micros, Usage};

use super::charge::{Charge, reversal};
use super::tokens;

/// The entries that make a standing charge cost what the book says: it taken back, and it entered anew with the next
/// revision of its id, both for the reason `reprice` and known as of `known`.
///
/// `None` when it costs that already, when its usage is unknown, and when the book has no price for it: what was
/// charged is not made unknown by a book that says less.
#[must_use]
pub fn reprice(
    row: &ChargeRow,
    workspace: &str,
    book: &Book,
    known: Micros,
) -> Option<[ChargeRow; 2]> {
    let (price_id, cost) = priced(row, workspace, book)?;
    let same = [
        (row.cost_usd, cost.total),
        (row.cost_input_usd, cost.input),
        (row.cost_cache_read_usd, cost.cache_read),
        (row.cost_cache_write_usd, cost.cache_write),
        (row.cost_output_usd, cost.output),
        (row.cost_request_usd, cost.request),
    ]
    .iter()
    .all(|(old, new)| *old == Some(*new));
    if same {
        return None;
    }
    let because = |mut row: ChargeRow| {
        row.reason = Some("reprice".to_owned());
        row.known_at = known;
        row
    };
    let (id, _) = row.charge_id.rsplit_once('-')?;
    let revision = Charge::revision(&row.charge_id) + 1;
    let anew = ChargeRow {
        charge_id: format!("{id}-{revision}"),
        cost_usd: Some(cost.total),
        cost_input_usd: Some(cost.input),
        cost_cache_read_usd: Some(cost.cache_read),
        cost_cache_write_usd: Some(cost.cache_write),
        cost_output_usd: Some(cost.output),
        cost_request_usd: Some(cost.request),
        price_id: Some(price_id),
        ..row.clone()
    };
    Some([because(reversal(row.clone())), because(anew)])
}

fn priced(row: &ChargeRow, workspace: &str, book: &Book) -> Option<(String, Cost)> {
    let is = |kind: Kind| row.kind == kind.as_str();
    if row.entry != Entry::Charge.as_str() || is(Kind::Execution) {
        return None;
    }
    if is(Kind::ToolCall) {
        let tool = row.tool_name.as_deref()?;
        let price = book.tool(Some(workspace), tool, row.start_unix_nano, None)?;
        return Some((price.id.clone(), price.cost()));
    }
    let usage = row.usage.as_deref().map(Usage::parse);
    if !matches!(usage, Some(Usage::Exact | Usage::Partial)) {
        return None;
    }
    let call = Call {
        workspace: Some(workspace),
        provider: row.provider.as_deref(),
        response_model: row.response_model.as_deref(),
        request_model: row.request_model.as_deref(),
        service_tier: row.service_tier.as_deref(),
        start_unix_nano: row.start_unix_nano,
        known_unix_nano: None,
    };
    let (price, cost) = book.charge(&call, &tokens::of_charge(row))?;
    Some((price.id.clone(), cost))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use rust_decimal::Decimal;

    use super::*;

    fn book(input: &str) -> Book {
        let text = format!(
            r#"{{"format": "flyball-prices/1", "entries": [{{"model": "m", "prices": [{{"input": {input}, "output": 10}}]}}]}}"#
        );
        Book::parse(&text, "test").unwrap()
    }

    fn row() -> ChargeRow {
        ChargeRow {
            charge_id: "abc-3".to_owned(),
            entry: "charge".to_owned(),
            kind: "model_call".to_owned(),
            usage: Some("exact".to_owned()),
            request_model: Some("m".to_owned()),
            calls: 1,
            input_tokens: Some(1_000),
            output_tokens: Some(100),
            ..ChargeRow::default()
        }
    }

    #[test]
    fn what_was_unpriced_is_taken_back_and_entered_with_its_price_and_once() {
        let [back, anew] = reprice(&row(), "w", &book("2"), Micros(7)).unwrap();
        assert_eq!((back.calls, back.cost_usd), (-1, None));
        assert_eq!(
            (back.charge_id.as_str(), back.entry.as_str()),
            ("abc-3", "reversal")
        );
        assert_eq!(
            (anew.charge_id.as_str(), anew.entry.as_str()),
            ("abc-4", "charge")
        );
        // 1,000 x 2 + 100 x 10, a millionth of it.
        assert_eq!(anew.cost_usd, Some(Decimal::new(3, 3)));
        for row in [&back, &anew] {
            assert_eq!(
                (row.reason.as_deref(), row.known_at),
                (Some("reprice"), Micros(7))
            );
        }
        assert!(reprice(&anew, "w", &book("2"), Micros(8)).is_none());
        let [back, again] = reprice(&anew, "w", &book("3"), Micros(9)).unwrap();
        assert_eq!(back.cost_usd, Some(Decimal::new(-3, 3)));
        assert_eq!(
            (again.charge_id.as_str(), again.cost_usd),
            ("abc-5", Some(Decimal::new(4, 3)))
        );
    }

    #[test]
    fn what_the_book_does_not_price_is_left_as_it_is() {
        let mut other = row();
        other.request_model = Some("n".to_owned());
        other.cost_usd = Some(Decimal::ONE);
        let mut unknown = row();
        unknown.usage = Some("unknown".to_owned());
        let mut duplicate = row();
        duplicate.entry = "duplicate".to_owned();
        for row in [other, unknown, duplicate] {
            assert!(reprice(&row, "w", &book("2"), Micros(7)).is_none());
        }
    }
}
