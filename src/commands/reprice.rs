//! `flyball reprice`: corrections for what was charged by another price than the book's.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use arrow::array::RecordBatch;
use arrow::compute::cast;
use chrono::NaiveDate;
use flyball_ingest::resolver::reprice;
use flyball_pricing::{Book, name};
use flyball_query::Engine;
use flyball_store::rows::{AuditRow, ChargeRow, Micros, Row as _};
use flyball_store::{JournalUpdate, Moment, Origin, OwnEvent, Store};
use rust_decimal::Decimal;
use serde_json::json;

use super::control::actor;
use super::prices::instant;
use crate::cli::Reprice;
use crate::config::Config;
use crate::core::{WORKSPACE, replay};
use crate::prices::{self, ImportBook};
use crate::running::Server;
use crate::say::say;

/// Which charges, and what they are priced by.
struct Work<'a> {
    engine: Arc<Engine>,
    book: &'a Book,
    /// In SQL.
    window: String,
    /// In the plainest spelling.
    model: Option<String>,
    known: Micros,
}

/// What the charges of a model came to, and come to.
#[derive(Debug, Default)]
struct Sums {
    charges: u64,
    before: Decimal,
    after: Decimal,
}

/// Finds what costs otherwise by the book in use, and enters it so.
///
/// Only what is on disk: what is not yet settled is priced by the book of whoever settles it.
pub(super) async fn run(config: &Config, options: &Reprice) -> Result<()> {
    let data_dir = &config.store.data_dir;
    if Server::find(data_dir).await.is_some() {
        // Its resolver would go on with the book it was started with.
        bail!(
            "a server runs on {}: stop it, reprice, and start it with the new book",
            data_dir.display()
        );
    }
    if ImportBook::left_behind(data_dir)?.is_some() {
        bail!(
            "an import into {} was cut off: run it again, or start the server once, so that it is priced by its own book",
            data_dir.display()
        );
    }
    let since = instant("--since", &options.since)?;
    let until = options.until.as_deref();
    let until = until.map(|text| instant("--until", text)).transpose()?;
    let mut window = format!("start_unix_nano >= {since}");
    if let Some(until) = until {
        window.push_str(&format!(" AND start_unix_nano < {until}"));
    }
    let book = prices::configured(config)?;
    let store = Store::open(config.store.clone(), replay(config)?).await?;
    let done = async {
        let work = Work {
            engine: Engine::new(Arc::clone(&store) as _, config.query.clone()).await?,
            book: &book,
            window,
            model: options.model.as_deref().map(name::plain),
            known: Micros(chrono::Utc::now().timestamp_micros()),
        };
        work.carry_out(&store, options).await
    };
    let done = done.await;
    store.close().await?;
    done
}

impl Work<'_> {
    /// Twice through the days: first to say what changes, then to change it. A day at a time is in memory.
    async fn carry_out(&self, store: &Store, options: &Reprice) -> Result<()> {
        let days = self.days().await?;
        let mut models: BTreeMap<String, Sums> = BTreeMap::new();
        for day in &days {
            for (row, [_, anew]) in self.differing(*day).await? {
                let sums = models.entry(named(&row)).or_default();
                sums.charges += 1;
                sums.before += row.cost_usd.unwrap_or_default();
                sums.after += anew.cost_usd.unwrap_or_default();
            }
        }
        print(&models);
        let charges: u64 = models.values().map(|sums| sums.charges).sum();
        let before: Decimal = models.values().map(|sums| sums.before).sum();
        let after: Decimal = models.values().map(|sums| sums.after).sum();
        let verb = if options.dry_run { "would be" } else { "are" };
        let said =
            format!("{charges} charges {verb} corrected: {before} USD before, {after} USD after");
        if options.dry_run || charges == 0 {
            say!("{said}");
            return Ok(());
        }
        // First who asked, and for what; each flush then says on the ledger what it corrected.
        let record = json!({
            "since": options.since,
            "until": options.until,
            "model": options.model,
            "charges": charges,
            "before_usd": before,
            "after_usd": after,
            "book_sha256": flyball_store::sha256(self.book.text("book")?.as_bytes()),
        });
        let audit = AuditRow {
            at: self.known,
            event: "prices.repriced".to_owned(),
            actor: actor(),
            subject: options
                .model
                .clone()
                .unwrap_or_else(|| "every model".to_owned()),
            record: record.to_string(),
            ..AuditRow::default()
        };
        store.record(WORKSPACE, OwnEvent::Audit(audit)).await?;
        for day in days {
            let differing = self.differing(day).await?;
            let mut post: Vec<ChargeRow> = differing
                .into_iter()
                .flat_map(|(_, entries)| entries)
                .collect();
            post.sort_by(|one, other| one.trace_id.cmp(&other.trace_id));
            let mut settled: Vec<String> = post.iter().map(|row| row.trace_id.clone()).collect();
            settled.dedup();
            let update = JournalUpdate {
                settled,
                ..JournalUpdate::of(&post)?
            };
            store.journal(WORKSPACE, Origin::Import, update)?;
            store.flush().await?;
        }
        store.roll_up().await?;
        say!("{said}");
        Ok(())
    }

    /// Days with charges in the window.
    async fn days(&self) -> Result<Vec<NaiveDate>> {
        let sql = format!(
            "SELECT DISTINCT CAST(date AS VARCHAR) AS day FROM standing_charges WHERE {} ORDER BY day",
            self.window
        );
        let session = self.engine.session(WORKSPACE).at(Moment::Committed);
        let answer = session.answer(&sql, usize::MAX).await?;
        let mut days = Vec::new();
        for batch in &answer.batches {
            let texts = cast(batch.column(0), &arrow::datatypes::DataType::Utf8)?;
            let texts: &arrow::array::StringArray = arrow::array::AsArray::as_string(&texts);
            for text in texts.iter().flatten() {
                days.push(
                    text.parse()
                        .with_context(|| format!("{text:?} is not a day"))?,
                );
            }
        }
        Ok(days)
    }

    /// The charges of a day that cost otherwise, each with what takes it back and what stands in its place.
    async fn differing(&self, day: NaiveDate) -> Result<Vec<(ChargeRow, [ChargeRow; 2])>> {
        let sql = format!(
            "SELECT * FROM standing_charges WHERE kind <> 'execution' AND date = DATE '{day}' AND {}",
            self.window
        );
        let rows = charges(&self.engine, &sql).await?;
        let wanted = |row: &ChargeRow| {
            let of = |model: &String| name::plain(&named(row)) == *model;
            self.model.as_ref().is_none_or(of)
        };
        let again = |row: ChargeRow| {
            let entries = reprice(&row, WORKSPACE, self.book, self.known)?;
            Some((row, entries))
        };
        Ok(rows.into_iter().filter(wanted).filter_map(again).collect())
    }
}

/// What a charge is for: the model, or the tool.
fn named(row: &ChargeRow) -> String {
    let names = [&row.response_model, &row.request_model, &row.tool_name];
    names
        .into_iter()
        .flatten()
        .next()
        .cloned()
        .unwrap_or_default()
}

/// Rows of the journal on disk, whatever types the engine reads their columns as.
async fn charges(engine: &Arc<Engine>, sql: &str) -> Result<Vec<ChargeRow>> {
    let session = engine.session(WORKSPACE).at(Moment::Committed);
    let answer = session.answer(sql, usize::MAX).await?;
    let schema = ChargeRow::schema();
    let mut rows = Vec::new();
    for batch in &answer.batches {
        let columns = schema.fields().iter().map(|field| {
            let column = batch
                .column_by_name(field.name())
                .with_context(|| format!("standing_charges has no column {}", field.name()))?;
            Ok(cast(column, field.data_type())?)
        });
        let columns = columns.collect::<Result<Vec<_>>>()?;
        rows.extend(ChargeRow::read(&RecordBatch::try_new(
            Arc::clone(&schema),
            columns,
        )?)?);
    }
    Ok(rows)
}

fn print(models: &BTreeMap<String, Sums>) {
    if models.is_empty() {
        return;
    }
    let mut table = comfy_table::Table::new();
    table
        .load_preset(comfy_table::presets::NOTHING)
        .set_header(["model", "charges", "before (USD)", "after (USD)"]);
    for (model, sums) in models {
        table.add_row([
            model.clone(),
            sums.charges.to_string(),
            sums.before.normalize().to_string(),
            sums.after.normalize().to_string(),
        ]);
    }
    say!("{table}");
}
