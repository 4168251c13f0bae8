//! Patterns of model names: text in which `*` stands for any text, anchored at both ends.

/// Whether a pattern matches a name. Both are compared as they are; books keep them in lower case.
pub(crate) fn matches(pattern: &str, name: &str) -> bool {
    let start = pattern.split('*').next().unwrap_or_default();
    name.starts_with(start) && meet(pattern.as_bytes(), name.as_bytes(), false)
}

/// Whether a name exists that both patterns match.
pub(crate) fn overlap(one: &str, other: &str) -> bool {
    let start = one.split('*').next().unwrap_or_default();
    let other_start = other.split('*').next().unwrap_or_default();
    // What most pairs differ in already; the rest is looked at letter by letter.
    if !start.starts_with(other_start) && !other_start.starts_with(start) {
        return false;
    }
    meet(one.as_bytes(), other.as_bytes(), true)
}

/// Walks both at once: row by row over `a`, keeping which ends of `b` can be reached.
fn meet(a: &[u8], b: &[u8], wild_b: bool) -> bool {
    let star = |byte: u8| byte == b'*';
    let wild = |byte: u8| wild_b && star(byte);
    let mut row = vec![false; b.len() + 1];
    row[0] = true;
    for (at, byte) in b.iter().enumerate() {
        row[at + 1] = row[at] && wild(*byte);
    }
    for byte in a {
        let mut next = vec![false; b.len() + 1];
        next[0] = row[0] && star(*byte);
        for (at, other) in b.iter().enumerate() {
            let letters = !star(*byte) && !wild(*other);
            // A star ends here, or goes on over the other's last letter.
            next[at + 1] = if letters {
                row[at] && byte == other
            } else {
                row[at + 1] || next[at]
            };
        }
        row = next;
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_star_is_any_text_and_all_else_is_itself() {
        for (pattern, name, fits) in [
            ("gpt-4o", "gpt-4o", true),
            ("gpt-4", "gpt-4o", false),
            ("gpt-4*", "gpt-4", true),
            (
                "us.anthropic.*",
                "us.anthropic.claude-sonnet-5-5-v1:0",
                true,
            ),
            ("us.*-5-5*", "us.anthropic.claude-sonnet-5-5-v1:0", true),
            ("us.*-5-5", "us.anthropic.claude-sonnet-5-5-v1:0", false),
            ("*", "", true),
            ("a*b*c", "abc", true),
            ("a*b*c", "acb", false),
            ("a", "*", false),
        ] {
            assert_eq!(matches(pattern, name), fits, "{pattern} {name}");
        }
    }

    #[test]
    fn patterns_overlap_when_a_name_fits_both() {
        for (one, other, meet) in [
            ("gpt-4*", "gpt-4o*", true),
            ("gpt-4*", "gpt-5*", false),
            ("*-mini", "gpt-*", true),
            ("a*b", "b*a", false),
            ("a*", "*a", true),
            ("a", "a", true),
            ("", "*", true),
            ("ab", "a", false),
        ] {
            assert_eq!(overlap(one, other), meet, "{one} {other}");
            assert_eq!(overlap(other, one), meet, "{other} {one}");
        }
    }

    fn fits_slowly(pattern: &[u8], name: &[u8]) -> bool {
        match pattern.split_first() {
            None => name.is_empty(),
            Some((b'*', rest)) => (0..=name.len()).any(|at| fits_slowly(rest, &name[at..])),
            Some((byte, rest)) => name.first() == Some(byte) && fits_slowly(rest, &name[1..]),
        }
    }

    proptest! {
        #[test]
        fn as_the_definition_says(pattern in "[ab*]{0,6}", name in "[ab]{0,6}") {
            prop_assert_eq!(matches(&pattern, &name), fits_slowly(pattern.as_bytes(), name.as_bytes()));
        }

        /// Two patterns of n and m letters that meet, meet in a name of at most n + m letters.
        #[test]
        fn an_overlap_has_a_witness_and_a_witness_an_overlap(one in "[ab*]{0,4}", other in "[ab*]{0,4}") {
            let names = (0..=8usize).flat_map(|length| (0..1u32 << length).map(move |bits| {
                (0..length).map(|at| if bits >> at & 1 == 0 { 'a' } else { 'b' }).collect::<String>()
            }));
            let witness = names.into_iter().any(|name| matches(&one, &name) && matches(&other, &name));
            prop_assert_eq!(overlap(&one, &other), witness);
        }
    }
}
