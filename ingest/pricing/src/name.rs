//! Names of models, what to strip of them and in what order; and names of providers.
//!
//! A dated or prefixed name can have a price of its own, so nothing is stripped before the name as it
//! stands has been tried. What is stripped ends at a boundary: `gpt-4` never catches `gpt-4o`.

use std::borrow::Cow;

/// The spellings under which to look a model up, from the name as sent to its plain family name:
/// path (`openai/`, `models/`), region and vendor (`us.anthropic.`), options (`[1m]`, `@20250929`, `-v1:0`), date.
///
/// ```
/// use flyball_pricing::name::spellings;
/// assert_eq!(spellings("us.anthropic.claude-sonnet-4-5-20250929-v1:0"), [
///     "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
///     "anthropic.claude-sonnet-4-5-20250929-v1:0",
///     "claude-sonnet-4-5-20250929-v1:0",
///     "claude-sonnet-4-5-20250929",
///     "claude-sonnet-4-5",
/// ]);
/// ```
#[must_use]
pub fn spellings(name: &str) -> Vec<String> {
    let mut spellings = vec![name.trim().to_owned()];
    let mut name = name.trim().to_lowercase();
    let mut push = |name: &str| {
        if !name.is_empty() && spellings.last().is_none_or(|last| last != name) {
            spellings.push(name.to_owned());
        }
    };
    push(&name);
    for strip in [path, region, vendor, options, date] {
        if let Some(rest) = strip(&name).filter(|rest| !rest.is_empty()) {
            name = rest.to_owned();
            push(&name);
        }
    }
    spellings
}

/// Spellings of providers, in lower case, and the canonical name.
#[rustfmt::skip]
const PROVIDERS: &[(&str, &str)] = &[
    ("vertex_ai", "gcp.vertex_ai"),
    ("vertexai", "gcp.vertex_ai"),
    ("gemini", "gcp.gemini"),
    ("google", "gcp.gemini"),
    ("google_genai", "gcp.gemini"),
    ("google-gla", "gcp.gemini"),
    ("google-vertex", "gcp.vertex_ai"),
    ("az.ai.inference", "azure.ai.inference"),
    ("az.ai.openai", "azure.ai.openai"),
    ("azure", "azure.ai.openai"),
    ("azure_openai", "azure.ai.openai"),
    ("aws", "aws.bedrock"),
    ("bedrock", "aws.bedrock"),
    ("xai", "x_ai"),
    ("x-ai", "x_ai"),
    ("mistralai", "mistral_ai"),
    ("mistral", "mistral_ai"),
    ("moonshot", "moonshot_ai"),
    ("moonshotai", "moonshot_ai"),
    ("bedrock_converse", "aws.bedrock"),
    ("watsonx", "ibm.watsonx.ai"),
];

/// The canonical name of a provider: its word in lower case, or what that word is a spelling of.
#[must_use]
pub fn provider(word: &str) -> String {
    canonical_provider(word).into_owned()
}

/// The same; nothing is copied of a word that is canonical already.
#[must_use]
pub fn canonical_provider(word: &str) -> Cow<'_, str> {
    let word = word.trim();
    let changes = |byte: u8| byte.is_ascii_uppercase() || !byte.is_ascii();
    let word = if word.bytes().any(changes) {
        Cow::Owned(word.to_lowercase())
    } else {
        Cow::Borrowed(word)
    };
    let canonical = PROVIDERS.iter().find(|(spelling, _)| *spelling == word);
    canonical.map_or(word, |(_, name)| Cow::Borrowed(*name))
}

/// The plainest spelling: two names of one model have it in common.
#[must_use]
pub fn plain(name: &str) -> String {
    spellings(name).pop().unwrap_or_default()
}

fn path(name: &str) -> Option<&str> {
    name.rsplit_once('/').map(|(_, model)| model)
}

fn region(name: &str) -> Option<&str> {
    [
        "us.", "eu.", "apac.", "global.", "us-gov.", "jp.", "au.", "ca.",
    ]
    .iter()
    .find_map(|region| name.strip_prefix(region))
}

fn vendor(name: &str) -> Option<&str> {
    [
        "anthropic.",
        "openai.",
        "google.",
        "meta.",
        "mistral.",
        "cohere.",
        "deepseek.",
    ]
    .iter()
    .find_map(|vendor| name.strip_prefix(vendor))
}

fn options(name: &str) -> Option<&str> {
    let name = name.split_once('[').map_or(name, |(model, _)| model);
    let name = name.split_once('@').map_or(name, |(model, _)| model);
    Some(match name.rsplit_once("-v") {
        Some((model, version)) if is_bedrock_version(version) => model,
        _ => name,
    })
}

/// `1:0`, as Bedrock writes it; a bare `2` is part of a name.
fn is_bedrock_version(version: &str) -> bool {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    version
        .split_once(':')
        .is_some_and(|(major, minor)| digits(major) && digits(minor))
}

/// Strips `-20250929` and `-2025-09-29`, nothing shorter: a date is eight digits of this century.
fn date(name: &str) -> Option<&str> {
    let bytes = name.as_bytes();
    for (length, pattern) in [(9, "-20dddddd"), (11, "-20dd-dd-dd")] {
        let Some(start) = bytes.len().checked_sub(length) else {
            continue;
        };
        let fits = bytes[start..]
            .iter()
            .zip(pattern.bytes())
            .all(|(byte, want)| match want {
                b'd' => byte.is_ascii_digit(),
                other => *byte == other,
            });
        if fits {
            return name.get(..start);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spellings_seen_in_telemetry_come_down_to_their_family() {
        for (name, family) in [
            ("gpt-4o-2024-08-06", "gpt-4o"),
            ("claude-sonnet-4-5-20250929", "claude-sonnet-4-5"),
            ("claude-sonnet-4-5@20250929", "claude-sonnet-4-5"),
            ("openai/gpt-4o", "gpt-4o"),
            ("models/gemini-2.5-pro", "gemini-2.5-pro"),
            ("accounts/fireworks/models/x", "x"),
            ("claude-opus-5[1m]", "claude-opus-5"),
            (
                "us.anthropic.claude-haiku-4-5-20251001-v1:0",
                "claude-haiku-4-5",
            ),
            ("GPT-4o", "gpt-4o"),
        ] {
            assert_eq!(plain(name), family, "{name}");
        }
    }

    #[test]
    fn what_is_part_of_the_name_stays() {
        for name in [
            "gpt-4",
            "gpt-4o",
            "opus-4-6",
            "amazon.nova-pro-v1",
            "model:free",
            "o3",
            "gemini-3.5-flash-lite",
            "imagen-2000",
        ] {
            assert_eq!(plain(name), name);
        }
    }

    #[test]
    fn names_that_are_nothing_but_prefix_or_not_ascii_do_no_harm() {
        for name in [
            "",
            "/",
            "us.",
            "@",
            "[",
            "-20250101",
            "é-2025-01-01",
            "模型-20250101",
            "-v1:0",
        ] {
            assert!(!spellings(name).is_empty(), "{name}");
        }
    }
}
