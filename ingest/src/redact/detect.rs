//! What is looked for in texts: keys of services, card numbers, e-mail addresses, and patterns of one's own.

use regex::Regex;

/// Finds one kind of thing, and says what stands in its place.
#[derive(Debug, Clone)]
pub struct Detector {
    /// None finds nothing; ours all compile, which the tests would notice.
    pattern: Option<Regex>,
    /// Whether a match of the pattern is one in truth.
    is_one: fn(&str) -> bool,
    instead: String,
}

/// A pattern that is no regular expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("redaction {name:?}: {pattern:?} is no regular expression: {reason}")]
pub struct BadPattern {
    /// What the pattern is called.
    pub name: String,
    /// The pattern.
    pub pattern: String,
    /// What is wrong with it, and where.
    pub reason: String,
}

/// What keys of services look like. Each begins with letters that its issuer chose so that it can be found.
#[rustfmt::skip]
const KEYS: &[&str] = &[
    r"\bfbk_[0-9a-f]{64}",                            // ours
    r"\bsk-[A-Za-z0-9_-]{20,}",                       // OpenAI, Anthropic, and who followed them
    r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",                 // AWS
    r"\bAIza[0-9A-Za-z_-]{35}",                       // Google
    r"\bgh[pousr]_[A-Za-z0-9]{36,}",                  // GitHub
    r"\bgithub_pat_[A-Za-z0-9_]{22,}",
    r"\bglpat-[A-Za-z0-9_-]{20,}",                    // GitLab
    r"\bxox[abeprs]-[A-Za-z0-9-]{10,}",               // Slack
    r"\b[rs]k_(?:live|test)_[0-9A-Za-z]{16,}",        // Stripe
    r"\bhf_[A-Za-z0-9]{30,}",                         // Hugging Face
    r"\bnpm_[A-Za-z0-9]{36}",
    r"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}", // a JSON web token
    r"(?i)\bbearer [a-z0-9._~+/-]{20,}=*",
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?-----END [A-Z ]*PRIVATE KEY-----",
];

/// Digits of a card, by themselves or in groups.
const CARD: &str = r"\b[2-6]\d{3}(?:[ -]?\d){8,15}\b";

const EMAIL: &str = r"(?i)\b[a-z0-9][a-z0-9._%+-]*@[a-z0-9-]+(?:\.[a-z0-9-]+)*\.[a-z]{2,}\b";

impl Detector {
    /// Keys, tokens and private keys.
    #[must_use]
    pub fn key() -> Self {
        Self::built_in("key", &KEYS.join("|"), |_| true)
    }

    /// Numbers of payment cards: of a known network's form, with the right check digit.
    #[must_use]
    pub fn card() -> Self {
        Self::built_in("card", CARD, is_card)
    }

    /// E-mail addresses.
    #[must_use]
    pub fn email() -> Self {
        Self::built_in("email", EMAIL, |_| true)
    }

    /// The built-in one of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "key" => Some(Self::key()),
            "card" => Some(Self::card()),
            "email" => Some(Self::email()),
            _ => None,
        }
    }

    /// A pattern of one's own, in the syntax of the `regex` crate: time linear in the text, whatever the pattern.
    ///
    /// # Errors
    /// [`BadPattern`] when it is none.
    pub fn pattern(name: &str, pattern: &str) -> Result<Self, BadPattern> {
        let compiled = Regex::new(pattern).map_err(|error| BadPattern {
            name: name.to_owned(),
            pattern: pattern.to_owned(),
            reason: error.to_string(),
        })?;
        Ok(Self::of(name, Some(compiled), |_| true))
    }

    fn built_in(name: &str, pattern: &str, is_one: fn(&str) -> bool) -> Self {
        Self::of(name, Regex::new(pattern).ok(), is_one)
    }

    fn of(name: &str, pattern: Option<Regex>, is_one: fn(&str) -> bool) -> Self {
        Self {
            pattern,
            is_one,
            instead: format!("[{name}]"),
        }
    }

    /// The text with a word in place of what is found; `None` when nothing is.
    #[must_use]
    pub fn replace(&self, text: &str) -> Option<String> {
        let mut found = self
            .pattern
            .as_ref()?
            .find_iter(text)
            .filter(|found| (self.is_one)(found.as_str()))
            .peekable();
        found.peek()?;
        let (mut out, mut from) = (String::with_capacity(text.len()), 0);
        for found in found {
            out.push_str(&text[from..found.start()]);
            out.push_str(&self.instead);
            from = found.end();
        }
        out.push_str(&text[from..]);
        Some(out)
    }
}

/// First digits and lengths of the networks' card numbers (ISO/IEC 7812 and the networks' own tables).
#[rustfmt::skip]
const NETWORKS: &[(u32, u32, &[usize])] = &[
    // From, to (first four digits), lengths.
    (4000, 4999, &[13, 16, 19]),   // Visa
    (5100, 5599, &[16]),           // Mastercard
    (2221, 2720, &[16]),
    (3400, 3499, &[15]),           // American Express
    (3700, 3799, &[15]),
    (6011, 6011, &[16, 19]),       // Discover
    (6440, 6599, &[16, 19]),
    (6200, 6299, &[16, 17, 18, 19]), // UnionPay
    (3528, 3589, &[16]),           // JCB
    (3000, 3059, &[14]),           // Diners
    (3600, 3699, &[14]),
    (3800, 3999, &[14]),
];

fn is_card(text: &str) -> bool {
    let digits: Vec<u32> = text.chars().filter_map(|c| c.to_digit(10)).collect();
    let Some(first) = digits.first_chunk::<4>() else {
        return false;
    };
    let first = first.iter().fold(0, |number, digit| number * 10 + digit);
    let known = NETWORKS.iter().any(|(from, to, lengths)| {
        (*from..=*to).contains(&first) && lengths.contains(&digits.len())
    });
    known && has_check_digit(&digits)
}

/// Luhn's check: every second digit from the right counts double, its digits added.
fn has_check_digit(digits: &[u32]) -> bool {
    let counted = digits.iter().rev().enumerate().map(|(at, digit)| {
        let doubled = if at % 2 == 1 { digit * 2 } else { *digit };
        if doubled > 9 { doubled - 9 } else { doubled }
    });
    counted.sum::<u32>() % 10 == 0
}
