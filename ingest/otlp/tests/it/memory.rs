//! A small body can't ask for much memory.

use flyball_otlp::common::{KeyValue, Value};
use flyball_otlp::trace::{ResourceSpans, ScopeSpans, Span};
use flyball_otlp::{ExportTraceServiceRequest, Problem};

fn wrap(number: u8, inside: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    prost::encoding::encode_varint(inside.len() as u64, &mut out);
    out.extend(inside);
    out
}

/// Bodies that are nothing but empty messages, two bytes each.
fn floods(count: usize) -> [Vec<u8>; 5] {
    let spans = [0x12, 0x00].repeat(count);
    let attributes = [0x4a, 0x00].repeat(count);
    let events = [0x5a, 0x00].repeat(count);
    let items = [0x0a, 0x00].repeat(count);
    // An attribute, then an event, and so on: no two of a kind stand together.
    let scattered = [0x4a, 0x00, 0x5a, 0x00].repeat(count / 2);
    let span = |span: &[u8]| wrap(1, &wrap(2, &wrap(2, span)));
    [
        wrap(1, &wrap(2, &spans)),
        span(&attributes),
        span(&events),
        span(&wrap(9, &wrap(2, &wrap(5, &items)))),
        span(&scattered),
    ]
}

fn value_bytes(value: &Option<Value<'_>>) -> usize {
    match value {
        Some(Value::Array(items)) => {
            items.capacity() * size_of::<Option<Value<'_>>>()
                + items.iter().map(value_bytes).sum::<usize>()
        }
        Some(Value::KeyValues(pairs)) => attribute_bytes(pairs),
        _ => 0,
    }
}

fn attribute_bytes(attributes: &Vec<KeyValue<'_>>) -> usize {
    let inside = attributes.iter().map(|kv| value_bytes(&kv.value));
    attributes.capacity() * size_of::<KeyValue<'_>>() + inside.sum::<usize>()
}

fn span_bytes(span: &Span<'_>) -> usize {
    let events = span
        .events
        .iter()
        .map(|event| attribute_bytes(&event.attributes));
    let links = span
        .links
        .iter()
        .map(|link| attribute_bytes(&link.attributes));
    attribute_bytes(&span.attributes)
        + size_of_val(&span.events[..]) / span.events.len().max(1) * span.events.capacity()
        + size_of_val(&span.links[..]) / span.links.len().max(1) * span.links.capacity()
        + events.chain(links).sum::<usize>()
}

/// What the lists of a request hold, and could hold.
fn heap_bytes(request: &ExportTraceServiceRequest<'_>) -> usize {
    let groups = request.resource_spans.capacity() * size_of::<ResourceSpans<'_>>();
    let scoped = request.resource_spans.iter().flat_map(|group| {
        let own = group.scope_spans.capacity() * size_of::<ScopeSpans<'_>>();
        let spans = group.scope_spans.iter().map(|scoped| {
            let inside = scoped.spans.iter().map(span_bytes);
            scoped.spans.capacity() * size_of::<Span<'_>>() + inside.sum::<usize>()
        });
        std::iter::once(own).chain(spans)
    });
    groups + scoped.sum::<usize>()
}

#[test]
fn a_flood_of_empty_messages_stops_at_the_limit() {
    for body in floods(100_000) {
        let error = ExportTraceServiceRequest::decode(&body, 8 * body.len()).unwrap_err();
        assert_eq!(
            error.problem(),
            &Problem::TooLarge {
                limit: 8 * body.len()
            }
        );
        let request = ExportTraceServiceRequest::decode(&body, usize::MAX).unwrap();
        assert!(heap_bytes(&request) <= 160 * body.len());
    }
}

#[test]
fn no_more_than_twice_the_limit_is_held() {
    for body in floods(1_000) {
        // The least limit that is enough.
        let (mut low, mut high) = (0, 1 << 20);
        while low + 1 < high {
            let middle = usize::midpoint(low, high);
            match ExportTraceServiceRequest::decode(&body, middle) {
                Ok(_) => high = middle,
                Err(_) => low = middle,
            }
        }
        let request = ExportTraceServiceRequest::decode(&body, high).unwrap();
        let held = heap_bytes(&request);
        assert!(held <= 2 * high, "{held} bytes held with a limit of {high}");
    }
}

#[test]
fn the_largest_message_of_a_list_is_what_the_bound_says() {
    // Two bytes on the wire make one of these, and a list that grows holds at most two for one.
    assert!(size_of::<Span<'_>>() <= 320, "{}", size_of::<Span<'_>>());
}
