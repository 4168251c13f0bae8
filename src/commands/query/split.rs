//! Where a statement ends: at a semicolon that stands in no quotes and no comment, by PostgreSQL's rules.

/// Takes the first statement out of a text, without its semicolon; None while it has not ended. Empty ones count.
pub(super) fn first(text: &mut String) -> Option<String> {
    let at = end(text)?;
    let rest = text.split_off(at + 1);
    let mut statement = std::mem::replace(text, rest);
    statement.truncate(at);
    Some(statement.trim().to_owned())
}

/// Whether there is nothing to run in it.
pub(super) fn is_blank(text: &str) -> bool {
    let mut rest = text.trim_start();
    loop {
        let after = skip_comment(rest.as_bytes(), 0).map(|after| &rest[after.min(rest.len())..]);
        match after {
            Some(after) => rest = after.trim_start(),
            None => return rest.is_empty(),
        }
    }
}

/// Place of the semicolon that ends the first statement.
fn end(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at] == b';' {
            return Some(at);
        }
        at = skip_comment(bytes, at)
            .or_else(|| skip_quoted(bytes, at))
            .or_else(|| skip_dollars(text, at))
            .unwrap_or(at + 1);
    }
    None
}

/// Behind a comment that begins here.
fn skip_comment(bytes: &[u8], from: usize) -> Option<usize> {
    let rest = bytes.get(from..)?;
    if rest.starts_with(b"--") {
        let line = rest.iter().position(|byte| *byte == b'\n');
        return Some(line.map_or(bytes.len(), |line| from + line + 1));
    }
    if !rest.starts_with(b"/*") {
        return None;
    }
    // They nest.
    let (mut depth, mut at) = (1, 2);
    while depth > 0 && at < rest.len() {
        (depth, at) = match &rest[at..] {
            [b'*', b'/', ..] => (depth - 1, at + 2),
            [b'/', b'*', ..] => (depth + 1, at + 2),
            _ => (depth, at + 1),
        };
    }
    Some(if depth > 0 { bytes.len() } else { from + at })
}

/// Behind a string or a quoted name that begins here. A doubled quote ends one and begins the next.
fn skip_quoted(bytes: &[u8], from: usize) -> Option<usize> {
    let quote = *bytes
        .get(from)
        .filter(|byte| matches!(byte, b'\'' | b'"'))?;
    let before = |back: usize| from.checked_sub(back).map(|at| bytes[at]);
    // E'...' knows backslashes.
    let escapes = quote == b'\''
        && matches!(before(1), Some(b'e' | b'E'))
        && !before(2).is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let mut at = from + 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' if escapes => at += 2,
            byte if byte == quote => return Some(at + 1),
            _ => at += 1,
        }
    }
    Some(bytes.len())
}

/// Behind `$tag$ ... $tag$` that begins here.
fn skip_dollars(text: &str, from: usize) -> Option<usize> {
    let rest = text.get(from..).filter(|rest| rest.starts_with('$'))?;
    let tag = rest[1..].find('$')? + 2;
    let name = &rest[1..tag - 1];
    let named = name.chars().all(|c| c.is_alphanumeric() || c == '_');
    // `$1` is a parameter.
    if !named || name.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let closing = rest[tag..].find(&rest[..tag]);
    Some(closing.map_or(text.len(), |closing| from + tag + closing + tag))
}

#[cfg(test)]
mod tests {
    use super::{first, is_blank};

    fn all(text: &str) -> (Vec<String>, String) {
        let mut rest = text.to_owned();
        let mut found = Vec::new();
        while let Some(statement) = first(&mut rest) {
            found.push(statement);
        }
        (found, rest)
    }

    #[test]
    fn statements_end_at_semicolons_that_mean_it() {
        for (text, statements, rest) in [
            ("SELECT 1", vec![], "SELECT 1"),
            ("SELECT 1; SELECT 2;\n", vec!["SELECT 1", "SELECT 2"], "\n"),
            (";;", vec!["", ""], ""),
            (
                "SELECT ';', 'it''s; so';",
                vec!["SELECT ';', 'it''s; so'"],
                "",
            ),
            (
                "SELECT \"a;b\" FROM t; x",
                vec!["SELECT \"a;b\" FROM t"],
                " x",
            ),
            ("SELECT 1 -- one; two\n;", vec!["SELECT 1 -- one; two"], ""),
            (
                "SELECT /* a; /* b; */ c; */ 1;",
                vec!["SELECT /* a; /* b; */ c; */ 1"],
                "",
            ),
            (
                "SELECT $$a;b$$, $x$ $$; $x$;",
                vec!["SELECT $$a;b$$, $x$ $$; $x$"],
                "",
            ),
            ("SELECT $1, $2; y", vec!["SELECT $1, $2"], " y"),
            ("SELECT E'a\\';b';", vec!["SELECT E'a\\';b'"], ""),
            ("SELECT 'a\\'; x", vec!["SELECT 'a\\'"], " x"),
            ("SELECT nameE'\\'; x", vec!["SELECT nameE'\\'"], " x"),
            ("SELECT 'open; ", vec![], "SELECT 'open; "),
            ("SELECT /* open; ", vec![], "SELECT /* open; "),
            (
                "SELECT 'grün;', $ä$;$ä$; z",
                vec!["SELECT 'grün;', $ä$;$ä$"],
                " z",
            ),
        ] {
            let (found, left) = all(text);
            assert_eq!(found, statements, "{text}");
            assert_eq!(left, rest, "{text}");
        }
    }

    #[test]
    fn comments_are_nothing_to_run() {
        for (text, blank) in [
            ("", true),
            (" \n", true),
            ("-- a", true),
            ("/* a */ -- b\n ", true),
            ("/* a */ SELECT 1", false),
            ("SELECT 1 -- a", false),
        ] {
            assert_eq!(is_blank(text), blank, "{text}");
        }
    }
}
