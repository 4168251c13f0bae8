//! `flyball prices`: what is in the book, what a foreign list would change, and what a person lets in.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use chrono::{DateTime, Utc};
use flyball_pricing::{Amounts, Book, Change, Entry, ListFormat, import, name};
use rust_decimal::Decimal;

use crate::cli::{PriceList, PricesCommand};
use crate::config::Config;
use crate::prices;
use crate::say::say;

/// Runs one of them.
pub(super) fn run(config: &Config, command: &PricesCommand) -> Result<()> {
    match command {
        PricesCommand::Import {
            file,
            format,
            out,
            book,
        } => bring_in(config, file, *format, out, book.as_deref()),
        PricesCommand::List {
            model,
            at,
            quarantined,
            book,
        } => {
            let book = match book {
                Some(path) => Book::read(path)?,
                None => prices::configured(config)?,
            };
            let at = at.as_deref().map(|at| instant("--at", at)).transpose()?;
            list(&book, model.as_deref(), at, *quarantined);
            Ok(())
        }
        PricesCommand::Accept { id, book } => accept(config, id, book.as_deref()),
    }
}

fn bring_in(
    config: &Config,
    file: &Path,
    format: Option<PriceList>,
    out: &Path,
    book: Option<&Path>,
) -> Result<()> {
    let current = match book.or(config.prices_file.as_deref()) {
        Some(path) => Book::read(path)?,
        None => Book::builtin()?,
    };
    let text = std::fs::read_to_string(file)
        .with_context(|| format!("{}: cannot be read", file.display()))?;
    let format = match format {
        Some(PriceList::Litellm) => ListFormat::LiteLlm,
        Some(PriceList::GenaiPrices) => ListFormat::GenaiPrices,
        Some(PriceList::Flyball) => ListFormat::Own,
        None => ListFormat::of(&text),
    };
    let source = file.display().to_string();
    let imported = import(&current, format, &text, &source, now())?;
    write(out, &imported.book)?;
    print(&imported.changes);
    let quarantined = imported
        .book
        .entries()
        .filter(|entry| entry.quarantined.is_some())
        .count();
    say!(
        "{} changes; {} models as before; {quarantined} entries in quarantine; written to {}",
        imported.changes.len(),
        imported.unchanged,
        out.display()
    );
    Ok(())
}

fn print(changes: &[Change]) {
    let mut table = comfy_table::Table::new();
    table
        .load_preset(comfy_table::presets::NOTHING)
        .set_header([
            "change",
            "provider",
            "model",
            "when",
            "price",
            "old",
            "new",
            "quarantined",
        ]);
    for change in changes {
        let kind = match (change.old, change.new) {
            (None, _) => "added",
            (_, None) => "removed",
            _ => "changed",
        };
        table.add_row([
            kind,
            change.provider.as_deref().unwrap_or("any"),
            &change.model,
            &change.when,
            change.component,
            &amount(change.component, change.old),
            &amount(change.component, change.new),
            change.quarantined.as_deref().unwrap_or_default(),
        ]);
    }
    if !changes.is_empty() {
        say!("{table}");
    }
}

/// As vendors quote it: a million tokens, or one request.
fn amount(component: &str, amount: Option<Decimal>) -> String {
    let Some(amount) = amount else {
        return String::new();
    };
    match component {
        "request" => amount.normalize().to_string(),
        _ => (amount * Decimal::from(1_000_000)).normalize().to_string(),
    }
}

fn list(book: &Book, model: Option<&str>, at: Option<i64>, quarantined: bool) {
    let spellings = model.map(name::spellings);
    let asked = |entry: &&Entry| {
        let named = spellings.as_ref().is_none_or(|spellings| {
            let known = |name: &String| entry.model == *name || entry.aliases.contains(name);
            spellings.iter().any(known)
        });
        named
            && entry.quarantined.is_some() == quarantined
            && at.is_none_or(|at| entry.in_force(at) && entry.known(Some(at)))
    };
    let mut table = comfy_table::Table::new();
    table
        .load_preset(comfy_table::presets::NOTHING)
        .set_header([
            "id",
            "provider",
            "model",
            "when",
            "input",
            "cache read",
            "cache write",
            "1 h",
            "output",
            "reasoning",
            "request",
            "audio, images",
            "from",
            "until",
            "source",
            "quarantined",
        ]);
    for entry in book.entries().filter(asked) {
        let id = entry.id();
        for price in &entry.prices {
            let mut row = vec![
                id.clone(),
                entry.provider.clone().unwrap_or_else(|| "any".to_owned()),
                entry.model.clone(),
                price.when.to_string(),
            ];
            row.extend(columns(&price.amounts));
            row.extend([
                day(entry.from_unix_nano),
                day(entry.until_unix_nano),
                format!("{} {}", entry.source, entry.source_date)
                    .trim()
                    .to_owned(),
                entry.quarantined.clone().unwrap_or_default(),
            ]);
            table.add_row(row);
        }
    }
    say!("{table}");
    say!("US dollars a million tokens; a request's fee, US dollars");
}

fn columns(amounts: &Amounts) -> [String; 8] {
    let apart = [
        ("audio in", amounts.audio_input),
        ("image in", amounts.image_input),
        ("audio out", amounts.audio_output),
        ("image out", amounts.image_output),
    ];
    let apart: Vec<String> = apart
        .into_iter()
        .filter(|(_, price)| price.is_some())
        .map(|(name, price)| format!("{name} {}", amount("", price)))
        .collect();
    let [input, read, write, hour, output, reasoning, request] = [
        ("", amounts.input),
        ("", amounts.cache_read),
        ("", amounts.cache_write),
        ("", amounts.cache_write_1h),
        ("", amounts.output),
        ("", amounts.reasoning),
        ("request", amounts.request),
    ]
    .map(|(component, price)| amount(component, price));
    let apart = apart.join(", ");
    [input, read, write, hour, output, reasoning, request, apart]
}

fn day(at: Option<i64>) -> String {
    at.map_or_else(String::new, |at| {
        let at = DateTime::from_timestamp_nanos(at);
        at.format("%Y-%m-%dT%H:%M:%SZ").to_string()
    })
}

fn accept(config: &Config, id: &str, book: Option<&Path>) -> Result<()> {
    let Some(path) = book.or(config.prices_file.as_deref()) else {
        bail!(
            "the built-in book holds nothing in quarantine: name the file, with --book or prices.file"
        );
    };
    let accepted = Book::read(path)?.accept(id, now())?;
    write(path, &accepted)?;
    say!("{id} is in force in {}", path.display());
    Ok(())
}

/// Writes a book beside its file and moves it there: a reader finds the old one or the new one.
fn write(path: &Path, book: &Book) -> Result<()> {
    let stem = path.file_stem().and_then(|stem| stem.to_str());
    let text = book.text(stem.unwrap_or("book"))?;
    let mut draft = path.as_os_str().to_owned();
    draft.push(".new");
    let draft = PathBuf::from(draft);
    let write = || -> std::io::Result<()> {
        let mut file = std::fs::File::create(&draft)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&draft, path)
    };
    write().with_context(|| format!("{}: cannot be written", path.display()))
}

fn now() -> i64 {
    Utc::now().timestamp_nanos_opt().unwrap_or(i64::MAX)
}

/// A time, as nanoseconds since 1970; an error names the option it was given as.
pub(super) fn instant(option: &str, text: &str) -> Result<i64> {
    flyball_pricing::instant(text).with_context(|| {
        format!("{option} {text:?}: expected a UTC day such as 2026-11-21 or an instant such as 2026-11-21T16:00:00Z")
    })
}
