//! Bringing a foreign price list into a book: what it changes, and what of that a person has to look at first.
//!
//! Nothing is overwritten. What differs is added, as learnt now; what was charged before can be told from what we know
//! since. What the list no longer names stays: old calls may still be priced by it.

use std::collections::{HashMap, HashSet};

use rust_decimal::Decimal;

use crate::price::{COMPONENTS, List};
use crate::when::STANDARD;
use crate::{Book, Entry, Error, Price, Result, format, genai, litellm};

/// A jump by more than this factor, up or down, is not believed.
const JUMP: Decimal = Decimal::from_parts(10, 0, 0, false, 0);

/// The formats that can be brought in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListFormat {
    /// Our own, `flyball-prices/1`.
    Own,
    /// LiteLLM's model prices.
    LiteLlm,
    /// genai-prices' providers.
    GenaiPrices,
}

impl ListFormat {
    /// The format that a text looks like; whether it is, only reading it will tell.
    #[must_use]
    pub fn of(text: &str) -> Self {
        if text.trim_start().starts_with('[') {
            Self::GenaiPrices
        } else if format::is_own(text) {
            Self::Own
        } else {
            Self::LiteLlm
        }
    }
}

/// What a list does to one component of one price.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Who sells it.
    pub provider: Option<String>,
    /// The model.
    pub model: String,
    /// The conditions, in words.
    pub when: String,
    /// The component, as the file format calls it.
    pub component: &'static str,
    /// What the book says, US dollars a token (or a request); `None` when it says nothing: added.
    pub old: Option<Decimal>,
    /// What the list says; `None` when it says nothing: removed.
    pub new: Option<Decimal>,
    /// Why its entry is kept out of force.
    pub quarantined: Option<String>,
}

/// A book with a list brought in, and what that changes.
#[derive(Debug)]
pub struct Import {
    /// The book that was, and what the list adds to it.
    pub book: Book,
    /// What is different, in the order of the list; what the list no longer names, last.
    pub changes: Vec<Change>,
    /// Models of the list of which the book says the same.
    pub unchanged: usize,
}

/// Brings a list into a book. What is new is known as of `at_unix_nano`; a price that the list does not date, of a
/// model that the book knows, holds from then on.
///
/// # Errors
/// When the list is not in its format: names model, field and value.
pub fn import(
    current: &Book,
    list: ListFormat,
    text: &str,
    source: &str,
    at_unix_nano: i64,
) -> Result<Import> {
    let listed = match list {
        ListFormat::Own => format::book(text, source)?.entries().cloned().collect(),
        ListFormat::LiteLlm => litellm::entries(text, source, true)?,
        ListFormat::GenaiPrices => genai::entries(text, source)?,
    };
    let known = Known::of(current);
    let mut import = Importing {
        known: &known,
        at: at_unix_nano,
        open: known.open.clone(),
        entries: current.entries().cloned().collect(),
        changes: Vec::new(),
        unchanged: 0,
    };
    let mut seen = HashSet::new();
    for entry in listed {
        seen.extend(known.of_seller(&entry).map(std::ptr::from_ref));
        import.take(entry);
    }
    let gone = current.entries().filter(|entry| {
        entry.workspace.is_none()
            && entry.quarantined.is_none()
            && entry.in_force(at_unix_nano)
            && !seen.contains(&std::ptr::from_ref(*entry))
    });
    for entry in gone {
        for price in &entry.prices {
            compare(
                entry,
                &price.when.to_string(),
                Some(price),
                None,
                &mut import.changes,
            );
        }
    }
    let tools = current.tools().cloned().collect();
    Ok(Import {
        book: Book::of(source, import.entries, tools)?,
        changes: import.changes,
        unchanged: import.unchanged,
    })
}

/// The entries of a book that hold for everyone, by name.
struct Known<'a> {
    by_name: HashMap<&'a str, Vec<&'a Entry>>,
    /// Names under which an entry holds for other sellers, too, and whose it is.
    open: HashMap<String, Option<String>>,
}

impl<'a> Known<'a> {
    fn of(book: &'a Book) -> Self {
        let mut by_name: HashMap<&str, Vec<&Entry>> = HashMap::new();
        let mut open = HashMap::new();
        for entry in book.entries().filter(|entry| entry.workspace.is_none()) {
            for name in entry.names() {
                by_name.entry(name).or_default().push(entry);
                if entry.elsewhere || entry.provider.is_none() {
                    open.insert(name.to_owned(), entry.provider.clone());
                }
            }
        }
        Self { by_name, open }
    }

    /// Those of an entry's seller that go by its model's name.
    fn of_seller(&self, entry: &Entry) -> impl Iterator<Item = &'a Entry> {
        let named = self.by_name.get(entry.model.as_str()).cloned();
        let provider = entry.provider.clone();
        named
            .into_iter()
            .flatten()
            .filter(move |known| known.provider == provider)
    }
}

struct Importing<'a> {
    known: &'a Known<'a>,
    at: i64,
    open: HashMap<String, Option<String>>,
    entries: Vec<Entry>,
    changes: Vec<Change>,
    unchanged: usize,
}

impl Importing<'_> {
    fn take(&mut self, mut entry: Entry) {
        let dated = entry.from_unix_nano.is_some() || entry.until_unix_nano.is_some();
        // Where the two are held against each other: now, or within the entry's own time.
        let last = entry.until_unix_nano.map(|until| until - 1);
        let probe = entry.from_unix_nano.unwrap_or(i64::MIN).max(self.at);
        let probe = last.map_or(probe, |last| probe.min(last));
        let current = self
            .known
            .of_seller(&entry)
            .filter(|known| known.quarantined.is_none() && known.in_force(probe))
            .max_by_key(|known| known.known_unix_nano);
        let mut changes = differences(&entry, current, probe);
        if changes.is_empty() {
            self.unchanged += 1;
            return;
        }
        let why = changes.iter().find_map(doubtful);
        for change in &mut changes {
            change.quarantined.clone_from(&why);
        }
        self.changes.append(&mut changes);
        let held = |known: &Entry| {
            let same = |(one, other): (&Price, &Price)| {
                one.when == other.when && one.amounts == other.amounts
            };
            known.quarantined.is_some()
                && known.prices.len() == entry.prices.len()
                && known.prices.iter().zip(&entry.prices).all(same)
        };
        if why.is_some() && self.known.of_seller(&entry).any(held) {
            return;
        }
        if !dated && self.known.of_seller(&entry).next().is_some() {
            entry.from_unix_nano = Some(self.at);
        }
        entry.quarantined = why;
        entry.known_unix_nano = Some(self.at);
        let taken = |name: &str| {
            let whose = self.open.get(name);
            whose.is_some_and(|provider| *provider != entry.provider)
        };
        entry.elsewhere = entry.elsewhere && !entry.names().any(taken);
        if entry.elsewhere {
            let provider = entry.provider.clone();
            let names = entry.names().map(str::to_owned);
            self.open.extend(names.map(|name| (name, provider.clone())));
        }
        self.entries.push(entry.identified());
    }
}

/// What the entry's prices say otherwise than the current ones, for calls at both ends of each stretch of lengths.
fn differences(entry: &Entry, current: Option<&Entry>, probe: i64) -> Vec<Change> {
    let mut changes = Vec::new();
    for (price, other) in entry
        .prices
        .iter()
        .flat_map(|price| ends(price).map(move |input| (price, input)))
        .map(|(price, input)| {
            (
                price,
                current.and_then(|c| same_call(c, price, probe, input)),
            )
        })
    {
        let when = price.when.to_string();
        compare(entry, &when, other, Some(price), &mut changes);
    }
    for price in current.into_iter().flat_map(|current| &current.prices) {
        for input in ends(price) {
            if same_call(entry, price, probe, input).is_none() {
                compare(
                    entry,
                    &price.when.to_string(),
                    Some(price),
                    None,
                    &mut changes,
                );
            }
        }
    }
    // Both ends of a stretch mostly say the same.
    let mut told = Vec::new();
    for change in changes {
        if !told.contains(&change) {
            told.push(change);
        }
    }
    told
}

/// The shortest and the longest input for which a price holds, as far as it has a longest.
fn ends(price: &Price) -> impl Iterator<Item = i64> + use<> {
    let shortest = price
        .when
        .input_above
        .map_or(1, |above| above.saturating_add(1));
    let longest = price.when.input_up_to.filter(|longest| *longest > shortest);
    std::iter::once(shortest).chain(longest)
}

fn same_call<'a>(entry: &'a Entry, price: &Price, probe: i64, input: i64) -> Option<&'a Price> {
    let tier = price.when.service_tier.as_deref().unwrap_or(STANDARD);
    let hour = price
        .when
        .hours
        .as_ref()
        .map_or(probe, |hours| hours.start());
    entry.price(tier, hour, Some(input))
}

fn compare(
    entry: &Entry,
    when: &str,
    old: Option<&Price>,
    new: Option<&Price>,
    changes: &mut Vec<Change>,
) {
    let list = |price: Option<&Price>| price.map_or(List::default(), |price| price.amounts.list());
    let both = list(old).into_iter().zip(list(new));
    for (component, (old, new)) in COMPONENTS.into_iter().zip(both) {
        if old != new {
            changes.push(Change {
                provider: entry.provider.clone(),
                model: entry.model.clone(),
                when: when.to_owned(),
                component,
                old,
                new,
                quarantined: None,
            });
        }
    }
}

/// Why a change is not believed.
fn doubtful(change: &Change) -> Option<String> {
    let new = change.new?;
    if new.is_sign_negative() && !new.is_zero() {
        return Some(format!("{} is negative", change.component));
    }
    let old = change.old?;
    let times = |amount: Decimal| amount.checked_mul(JUMP).unwrap_or(Decimal::MAX);
    (new > times(old) || old > times(new))
        .then(|| format!("{} jumps more than tenfold", change.component))
}

impl Book {
    /// The book with a quarantined entry in force, known as of `at_unix_nano`.
    ///
    /// # Errors
    /// When no quarantined entry has the id; when one of its amounts is negative; when it would hold beside another.
    pub fn accept(&self, id: &str, at_unix_nano: i64) -> Result<Self> {
        let mut entries: Vec<Entry> = self.entries().cloned().collect();
        let held = |entry: &&mut Entry| entry.quarantined.is_some() && entry.id() == id;
        let Some(entry) = entries.iter_mut().find(held) else {
            return Err(Error::NotQuarantined { id: id.to_owned() });
        };
        for price in &entry.prices {
            for (component, amount) in COMPONENTS.iter().zip(price.amounts.list()) {
                if let Some(amount) = amount.filter(|amount| amount.is_sign_negative()) {
                    let value = amount.to_string();
                    let expected = crate::error::AMOUNT;
                    return Err(Error::field("accept", id, component, &value, expected));
                }
            }
        }
        entry.quarantined = None;
        entry.known_unix_nano = Some(at_unix_nano);
        let entries = entries.into_iter().map(Entry::identified).collect();
        Self::of("accept", entries, self.tools().cloned().collect())
    }

    /// The book as a file in our own format, which reads as the same book; `name` is what it calls itself.
    ///
    /// # Errors
    /// When an amount cannot be written, which no decimal is known to cause.
    pub fn text(&self, name: &str) -> Result<String> {
        format::write(name, self).map_err(|e| Error::NotABook {
            book: name.to_owned(),
            problem: e.to_string(),
            expected: "amounts that can be written as JSON",
        })
    }
}

#[cfg(test)]
#[path = "change/tests.rs"]
mod tests;
