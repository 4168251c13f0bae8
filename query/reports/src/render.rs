//! A report for people (a table), for spreadsheets (CSV) and for programs (Arrow).

use std::sync::Arc;

use arrow::array::{ArrayRef, Decimal128Array, RecordBatch, StringArray};
use arrow::csv::WriterBuilder;
use comfy_table::{CellAlignment, Table, presets};

use crate::{Error, Line, Report, Result, Usd, frame, money};

/// What stands where a dimension is NULL.
const NONE: &str = "(none)";
/// What stands where a figure is NULL.
const UNKNOWN: &str = "-";

impl Report {
    /// For people: a table whose last line is the total. Costs are exact; all have as many digits as the longest needs.
    #[must_use]
    pub fn table(&self) -> String {
        let digits = self
            .lines
            .iter()
            .chain([&self.total])
            .filter_map(|line| line.cost_usd)
            .map(Usd::digits)
            .fold(2, usize::max);
        let mut table = Table::new();
        table.load_preset(presets::UTF8_BORDERS_ONLY);
        let mut header: Vec<&str> = self.by.iter().map(|dimension| dimension.name()).collect();
        header.extend([
            "calls",
            "decisions",
            "input",
            "cache read",
            "cache write",
            "output",
            "tool calls",
            "unpriced",
            "cost USD",
            "share %",
        ]);
        table.set_header(header);
        for line in &self.lines {
            let mut cells: Vec<String> = line
                .key
                .iter()
                .map(|key| printable(key.as_deref()))
                .collect();
            cells.extend(figures(line, digits));
            table.add_row(cells);
        }
        let mut total = vec![String::new(); self.by.len()];
        total[0] = "total".to_owned();
        total.extend(figures(&self.total, digits));
        table.add_row(total);
        for column in table.column_iter_mut().skip(self.by.len()) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        let mut text = format!("{table}\n");
        if self.total.unpriced_calls != 0 {
            text.push_str(&format!(
                "{} calls have no price; what they cost is not in these figures.\n",
                self.total.unpriced_calls
            ));
        }
        text
    }

    /// For spreadsheets: the columns of [`Report::batch`] with a header. A name that a spreadsheet would take
    /// for a formula is preceded by an apostrophe, since names come from whoever sends spans.
    ///
    /// # Errors
    /// When Arrow cannot write it.
    pub fn csv(&self) -> Result<String> {
        let mut bytes = Vec::new();
        WriterBuilder::new()
            .with_header(true)
            .build(&mut bytes)
            .write(&self.columns(|key| inert(key.unwrap_or(NONE)))?)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// For programs: one row a line. Column `line` is `group`, or `total` in the last row (whose dimensions are
    /// NULL); then the dimensions as text, quantities as `DECIMAL(38,0)`, `cost_usd` as `DECIMAL(38,12)` and
    /// `share_percent` as `DECIMAL(38,2)`. A NULL dimension is `(none)`.
    ///
    /// # Errors
    /// When a figure has more digits than its column.
    pub fn batch(&self) -> Result<RecordBatch> {
        self.columns(|key| key.unwrap_or(NONE).to_owned())
    }

    fn columns(&self, written: impl Fn(Option<&str>) -> String) -> Result<RecordBatch> {
        let lines = || self.lines.iter().chain([&self.total]);
        let mut columns: Vec<(&str, ArrayRef)> = Vec::new();
        let word = std::iter::repeat_n("group", self.lines.len()).chain(["total"]);
        columns.push(("line", Arc::new(StringArray::from_iter_values(word))));
        for (at, dimension) in self.by.iter().enumerate() {
            let values = lines().map(|line| line.key.get(at).map(|key| written(key.as_deref())));
            columns.push((dimension.name(), Arc::new(StringArray::from_iter(values))));
        }
        let whole: [(&str, fn(&Line) -> i128); 8] = [
            ("calls", |line| line.calls),
            ("decisions", |line| line.decisions),
            ("input_tokens", |line| line.input_tokens),
            ("cache_read_tokens", |line| line.cache_read_tokens),
            ("cache_write_tokens", |line| line.cache_write_tokens),
            ("output_tokens", |line| line.output_tokens),
            ("tool_calls", |line| line.tool_calls),
            ("unpriced_calls", |line| line.unpriced_calls),
        ];
        for (name, of) in whole {
            columns.push((name, decimals(lines().map(|line| Some(of(line))), 0)?));
        }
        let cost = lines().map(|line| line.cost_usd.map(Usd::trillionths));
        columns.push(("cost_usd", decimals(cost, money::SCALE)?));
        let share = lines().map(|line| line.share.map(|share| share.hundredths()));
        columns.push(("share_percent", decimals(share, 2)?));
        RecordBatch::try_from_iter_with_nullable(
            columns
                .into_iter()
                .map(|(name, values)| (name, values, name != "line")),
        )
        .map_err(Error::from)
    }
}

fn decimals(values: impl Iterator<Item = Option<i128>>, scale: i8) -> Result<ArrayRef> {
    let values =
        Decimal128Array::from_iter(values).with_precision_and_scale(frame::PRECISION, scale)?;
    Ok(Arc::new(values))
}

fn figures(line: &Line, digits: usize) -> [String; 10] {
    [
        line.calls.to_string(),
        line.decisions.to_string(),
        line.input_tokens.to_string(),
        line.cache_read_tokens.to_string(),
        line.cache_write_tokens.to_string(),
        line.output_tokens.to_string(),
        line.tool_calls.to_string(),
        line.unpriced_calls.to_string(),
        line.cost_usd
            .map_or(UNKNOWN.to_owned(), |cost| cost.with_digits(digits)),
        line.share
            .map_or(UNKNOWN.to_owned(), |share| share.to_string()),
    ]
}

/// For a terminal: control characters are shown, not obeyed.
fn printable(key: Option<&str>) -> String {
    key.unwrap_or(NONE)
        .chars()
        .map(|c| {
            if c.is_control() {
                c.escape_unicode().to_string()
            } else {
                c.to_string()
            }
        })
        .collect()
}

/// For a spreadsheet: what starts like a formula is marked as text.
fn inert(key: &str) -> String {
    if key.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        format!("'{key}")
    } else {
        key.to_owned()
    }
}
