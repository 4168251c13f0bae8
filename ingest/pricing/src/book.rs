//! The book: which price holds for a call.

use std::collections::HashMap;
use std::path::Path;

use crate::{
    Cost, Entry, Error, Price, Result, Tokens, ToolPrice, builtin, cost, format, glob, litellm,
    name, overlap, service_tier,
};

/// Prices by model name, seller, conditions and time.
#[derive(Debug, Clone, Default)]
pub struct Book {
    /// The first that has an entry for a call decides.
    layers: Vec<Layer>,
}

/// Entries of which at most one holds for any call.
#[derive(Debug, Clone, Default)]
struct Layer {
    entries: Vec<Entry>,
    tools: Vec<ToolPrice>,
    by_name: HashMap<String, Vec<usize>>,
    patterned: Vec<usize>,
}

/// What a call tells of the price it should have.
#[derive(Debug, Clone, Copy, Default)]
pub struct Call<'a> {
    /// The workspace that pays: what was negotiated for it comes first.
    pub workspace: Option<&'a str>,
    /// Who sold it, in any [spelling](name::provider).
    pub provider: Option<&'a str>,
    /// Model used: looked up first, in every spelling.
    pub response_model: Option<&'a str>,
    /// Model asked for: an alias may move in time, so it comes second.
    pub request_model: Option<&'a str>,
    /// The tier it was served in, in any [spelling](service_tier).
    pub service_tier: Option<&'a str>,
    /// Start of the call, nanoseconds since 1970.
    pub start_unix_nano: i64,
    /// What was known at this instant (nanoseconds since 1970) decides; all that is known, when absent.
    pub known_unix_nano: Option<i64>,
}

/// What a [book](Book) lists for calls of one seller and model (see [`Book::listed`]).
#[derive(Debug, Clone)]
pub struct Listed {
    provider: Option<String>,
    /// For each layer: under each name, from the name as it stands to the plainest, entries by name and then by pattern.
    layers: Vec<Vec<Vec<usize>>>,
}

impl Book {
    /// A book of these entries and tools; `name` is what errors call it.
    ///
    /// # Errors
    /// When two could hold for one call: names both.
    pub fn of(name: &str, entries: Vec<Entry>, tools: Vec<ToolPrice>) -> Result<Self> {
        overlap::refuse(name, &entries)?;
        overlap::refuse_tools(name, &tools)?;
        let mut layer = Layer {
            entries,
            tools,
            ..Layer::default()
        };
        for (index, entry) in layer.entries.iter().enumerate() {
            if entry.quarantined.is_some() {
                continue;
            }
            for name in entry.names() {
                let rows = layer.by_name.entry(name.to_owned()).or_default();
                if rows.last() != Some(&index) {
                    rows.push(index);
                }
            }
            if !entry.patterns.is_empty() {
                layer.patterned.push(index);
            }
        }
        Ok(Self {
            layers: vec![layer],
        })
    }

    /// This book under another, whose entries win: what an entry there speaks for, it speaks for whole.
    #[must_use]
    pub fn under(mut self, mut overlay: Self) -> Self {
        overlay.layers.append(&mut self.layers);
        overlay
    }

    /// The book that comes with Flyball.
    ///
    /// # Errors
    /// When the list in this crate is broken, which its tests rule out.
    pub fn builtin() -> Result<Self> {
        builtin::book()
    }

    /// A book in LiteLLM's format (a JSON object by model name), valid for all time. Numbers are read as
    /// exact decimals; unknown fields, entries without a price a token, and `sample_spec` are passed over.
    ///
    /// # Errors
    /// When the text is no such object, or a price is not a non-negative decimal: names the model, the
    /// field and the value.
    pub fn litellm(text: &str, source: &str) -> Result<Self> {
        litellm::book(text, source)
    }

    /// A book in our own format (see docs/prices.md), or in LiteLLM's: the text says which.
    ///
    /// # Errors
    /// When the text is neither, or something in it is not as it must be: names entry, field and value.
    pub fn parse(text: &str, source: &str) -> Result<Self> {
        if format::is_own(text) {
            format::book(text, source)
        } else {
            litellm::book(text, source)
        }
    }

    /// [`Book::parse`] from a file.
    ///
    /// # Errors
    /// As [`Book::parse`], and when the file cannot be read.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|source| Error::Unreadable {
            path: path.to_owned(),
            source,
        })?;
        Self::parse(&text, &path.display().to_string())
    }

    /// Every entry of the book, quarantined ones included; an overlay's first.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.layers.iter().flat_map(|layer| &layer.entries)
    }

    /// Every price of a tool in the book; an overlay's first.
    pub fn tools(&self) -> impl Iterator<Item = &ToolPrice> {
        self.layers.iter().flat_map(|layer| &layer.tools)
    }

    /// The entry that speaks for a call: what was negotiated for its workspace, then what holds for everyone;
    /// by the response model as it stands, then by its plainer [spellings](name::spellings), then the same by
    /// the request model; under each name first by name, then by pattern, and first its own seller's.
    #[must_use]
    pub fn entry(&self, call: &Call<'_>) -> Option<&Entry> {
        self.entry_among(&self.listed(call), call)
    }

    /// What the book lists for calls of this seller and these models, whenever they are and whoever pays: worked out
    /// once, it serves them all.
    #[must_use]
    pub fn listed(&self, call: &Call<'_>) -> Listed {
        let asked = call
            .request_model
            .filter(|_| call.request_model != call.response_model);
        let names: Vec<String> = [call.response_model, asked]
            .into_iter()
            .flatten()
            .flat_map(name::spellings)
            .collect();
        let layers = self.layers.iter().map(|layer| layer.listed(&names));
        Listed {
            provider: call.provider.map(name::provider),
            layers: layers.collect(),
        }
    }

    fn entry_among(&self, listed: &Listed, call: &Call<'_>) -> Option<&Entry> {
        let provider = listed.provider.as_deref();
        let find = |workspace: Option<&str>| {
            let mut layers = self.layers.iter().zip(&listed.layers);
            layers.find_map(|(layer, listed)| layer.entry(workspace, provider, listed, call))
        };
        let own = call.workspace.and_then(|workspace| find(Some(workspace)));
        own.or_else(|| find(None))
    }

    /// The price that holds for a call with so many input tokens in all, cached ones included.
    ///
    /// `None` when nothing in the book speaks for it, and when what does has no price for its tier, its length
    /// (or has several and the length is unknown) or its hour.
    #[must_use]
    pub fn find(&self, call: &Call<'_>, input: Option<i64>) -> Option<&Price> {
        self.find_among(&self.listed(call), call, input)
    }

    fn find_among(&self, listed: &Listed, call: &Call<'_>, input: Option<i64>) -> Option<&Price> {
        self.entry_among(listed, call)?.price(
            &service_tier(call.service_tier),
            call.start_unix_nano,
            input,
        )
    }

    /// What a call costs, and by which price; `None` when it has none (see [`cost()`]).
    #[must_use]
    pub fn charge(&self, call: &Call<'_>, tokens: &Tokens) -> Option<(&Price, Cost)> {
        self.charge_among(&self.listed(call), call, tokens)
    }

    /// The same, by what [`Book::listed`] has told for a call of the same seller and models.
    #[must_use]
    pub fn charge_among(
        &self,
        listed: &Listed,
        call: &Call<'_>,
        tokens: &Tokens,
    ) -> Option<(&Price, Cost)> {
        let price = self.find_among(listed, call, tokens.input)?;
        cost(&price.amounts, tokens).map(|cost| (price, cost))
    }

    /// What a call of a tool costs: what was negotiated for the workspace, else what holds for everyone.
    #[must_use]
    pub fn tool(
        &self,
        workspace: Option<&str>,
        tool: &str,
        start_unix_nano: i64,
        known_unix_nano: Option<i64>,
    ) -> Option<&ToolPrice> {
        let find = |workspace: Option<&str>| {
            self.layers.iter().find_map(|layer| {
                layer
                    .tools
                    .iter()
                    .filter(|price| {
                        price.tool == tool
                            && price.workspace.as_deref() == workspace
                            && price.holds(start_unix_nano, known_unix_nano)
                    })
                    .max_by_key(|price| price.known_unix_nano)
            })
        };
        let own = workspace.and_then(|workspace| find(Some(workspace)));
        own.or_else(|| find(None))
    }
}

impl Layer {
    fn listed(&self, names: &[String]) -> Vec<Vec<usize>> {
        let named = |name: &String| self.by_name.get(name).cloned().unwrap_or_default();
        let fits = |row: &usize, name: &str| {
            let mut patterns = self.entries[*row].patterns.iter();
            patterns.any(|pattern| glob::matches(pattern, name))
        };
        let patterned = |name: &String| {
            let rows = self.patterned.iter().filter(|row| fits(row, name));
            rows.copied().collect()
        };
        let listed = names.iter().flat_map(|name| [named(name), patterned(name)]);
        listed
            .filter(|rows: &Vec<usize>| !rows.is_empty())
            .collect()
    }

    fn entry(
        &self,
        workspace: Option<&str>,
        provider: Option<&str>,
        listed: &[Vec<usize>],
        call: &Call<'_>,
    ) -> Option<&Entry> {
        let holds = |entry: &&Entry| {
            entry.workspace.as_deref() == workspace
                && entry.in_force(call.start_unix_nano)
                && entry.known(call.known_unix_nano)
        };
        listed.iter().find_map(|rows| {
            let entries = rows.iter().map(|row| &self.entries[*row]);
            standing(entries.filter(holds), provider)
        })
    }
}

/// Of the entries that hold: the seller's own before what holds elsewhere, and the later learnt of each.
fn standing<'a>(
    entries: impl Iterator<Item = &'a Entry>,
    provider: Option<&str>,
) -> Option<&'a Entry> {
    let own = |entry: &Entry| provider.is_some() && entry.provider.as_deref() == provider;
    entries
        .filter(|entry| own(entry) || entry.elsewhere || entry.provider.is_none())
        .max_by_key(|entry| (own(entry), entry.known_unix_nano))
}

#[cfg(test)]
#[path = "book/tests.rs"]
mod tests;
