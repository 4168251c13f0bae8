//! What has to be known about a sender beyond its keys: which names are no provider's, and what it counts
//! as input.

use std::borrow::Cow;

/// Names of frameworks that stand where a provider's name should: they tell nothing of the provider.
const FRAMEWORKS: &[&str] = &[
    "langchain",
    "langgraph",
    "llamaindex",
    "llama_index",
    "crewai",
    "autogen",
    "agno",
    "smolagents",
    "pydantic-ai",
    "gcp.vertex.agent",
    "strands",
    "strands-agents",
    "openai_agents",
    "litellm",
    "mcp",
];

/// Starts of model names that are one maker's own, for spans that name no provider.
const MAKERS: &[(&str, &str)] = &[
    ("gpt-", "openai"),
    ("o1", "openai"),
    ("o3", "openai"),
    ("o4", "openai"),
    ("text-embedding-3", "openai"),
    ("claude-", "anthropic"),
    ("gemini-", "gcp.gemini"),
];

/// Starts of model names as Amazon Bedrock spells them, after the region (`us.`, `global.`) if there is one.
const BEDROCK: &[&str] = &[
    "anthropic.",
    "amazon.",
    "meta.",
    "mistral.",
    "cohere.",
    "deepseek.",
    "openai.",
    "qwen.",
];
/// The regions, or groups of them, that Bedrock puts before a model's name.
const BEDROCK_REGIONS: &[&str] = &[
    "us.", "eu.", "apac.", "global.", "us-gov.", "jp.", "au.", "ca.",
];

/// Scopes whose agent spans tell all that the agent object has used since it was made, not what this run used.
const LIFETIME_TOTALS: &[&str] = &["strands.telemetry.tracer"];

/// Scopes that count input without what came from, or went to, a cache.
const EXCLUSIVE_INPUT: &[&str] = &["openlit.instrumentation.anthropic"];

/// What Vercel's words say beyond the provider, the API: `openai.responses`.
const APIS: &[&str] = &[
    ".responses",
    ".chat",
    ".completion",
    ".messages",
    ".embedding",
    ".generative-ai",
];

/// The canonical name of a provider; `None` when the word names a framework.
#[must_use]
pub fn provider(word: &str) -> Option<Cow<'_, str>> {
    let name = flyball_pricing::name::canonical_provider(word);
    let vendor = APIS.iter().find_map(|api| name.strip_suffix(api));
    let name = match vendor {
        Some(vendor) => Cow::Owned(flyball_pricing::name::provider(vendor)),
        None => name,
    };
    (!name.is_empty() && !FRAMEWORKS.contains(&name.as_ref())).then_some(name)
}

/// The maker of a model, by the start of its plain name, or Bedrock, by its spelling; `None` when several sell under it,
/// or nobody known.
#[must_use]
pub fn maker(model: &str) -> Option<&'static str> {
    let spelling = BEDROCK_REGIONS
        .iter()
        .find_map(|region| model.strip_prefix(region))
        .unwrap_or(model);
    if BEDROCK.iter().any(|start| spelling.starts_with(start)) {
        return Some("aws.bedrock");
    }
    let plain = flyball_pricing::name::plain(model);
    MAKERS
        .iter()
        .find(|(start, _)| plain.starts_with(start))
        .map(|(_, maker)| *maker)
}

/// Whether what a scope's agent spans tell of usage says nothing of the run they tell of.
#[must_use]
pub fn tells_lifetime_totals(scope: &str) -> bool {
    LIFETIME_TOTALS.contains(&scope)
}

/// Whether a scope's input tokens leave out those read from and written to a cache.
#[must_use]
pub fn excludes_cached_input(scope: &str) -> bool {
    EXCLUSIVE_INPUT.contains(&scope)
}

/// How close a scope stands to the provider: 2 for the provider's own SDK, 1 for an instrumentation of
/// its client, 0 for anything else. Of two tellings of one call, the closer is believed.
#[must_use]
pub fn closeness(scope: &str, provider: Option<&str>) -> u8 {
    let scope = scope.to_lowercase();
    // `gcp.gemini` is instrumented as `google_genai`; the other names come back in the scope.
    let names: &[&str] = match provider {
        Some("gcp.gemini" | "gcp.vertex_ai" | "gcp.gen_ai") => &["google", "gemini", "vertexai"],
        Some("aws.bedrock") => &["bedrock", "botocore"],
        Some("azure.ai.openai") => &["openai"],
        Some("mistral_ai") => &["mistral"],
        Some(name) => &[name],
        None => &[
            "openai",
            "anthropic",
            "google",
            "bedrock",
            "mistral",
            "cohere",
            "groq",
        ],
    };
    let words: Vec<&str> = scope
        .split(['.', '/', '-'])
        .map(|word| word.trim_end_matches("_v2"))
        .collect();
    let names_it = |word: &&str| {
        names
            .iter()
            .any(|name| word == name || word.strip_prefix(name) == Some("_genai"))
    };
    if !words.iter().any(names_it) || scope.contains("agents") {
        return 0;
    }
    if scope.contains("instrument") { 1 } else { 2 }
}
