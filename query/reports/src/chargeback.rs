//! Chargeback: who used what, and what it cost.

use polars::prelude::{Column, DataFrame, Expr, IntoLazy, LazyFrame, PolarsResult, col, lit};

use crate::{Dimension, Error, Percent, Result, Usd, frame};

/// Nanoseconds of a minute.
const MINUTE_NANOS: i64 = 60_000_000_000;

/// A chargeback report to be made: by what, and over which time.
///
/// ```
/// use flyball_reports::{Chargeback, Dimension};
/// let chargeback = Chargeback::by(Dimension::parse_list("team,agent")?)?;
/// assert!(chargeback.sql(None, None).contains("agent_name"));
/// # Ok::<(), flyball_reports::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chargeback {
    by: Vec<Dimension>,
}

/// One line of a report: a combination of dimensions, or the total.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Line {
    /// The value of each dimension, in the report's order; `None` where the rows said nothing. Empty in the total.
    pub key: Vec<Option<String>>,
    /// Model calls, embeddings and reranking requests.
    pub calls: i128,
    /// Of the model calls: those in which the agent decided what to do next.
    pub decisions: i128,
    /// All input tokens.
    pub input_tokens: i128,
    /// Of input: read from a cache.
    pub cache_read_tokens: i128,
    /// Of input: written to a cache.
    pub cache_write_tokens: i128,
    /// All output tokens.
    pub output_tokens: i128,
    /// Tool calls, priced or not.
    pub tool_calls: i128,
    /// Of `calls`: those without a price. What they cost is not in `cost_usd`.
    pub unpriced_calls: i128,
    /// What the calls that have a price cost together; `None` when none has.
    pub cost_usd: Option<Usd>,
    /// Of the report's total cost; `None` when there is no cost or the total is zero.
    pub share: Option<Percent>,
}

/// A chargeback report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The dimensions, in the order asked for.
    pub by: Vec<Dimension>,
    /// The dearest first; without cost last; then by key.
    pub lines: Vec<Line>,
    /// The sum of all lines.
    pub total: Line,
}

impl Chargeback {
    /// A report by these dimensions.
    ///
    /// # Errors
    /// When there is none, or one stands twice.
    pub fn by(by: Vec<Dimension>) -> Result<Self> {
        Dimension::check(&by)?;
        Ok(Self { by })
    }

    /// The SQL for what it needs of the journal: calls that started in `[since, until)`, both in nanoseconds
    /// since 1970, summed by dimension, kind and whether there is a price, so that the answer has as many
    /// rows as the report and not as the journal. All entries are summed, reversals too, so that the sums
    /// are right. Sums are DECIMAL(38,s): whole numbers of 64 bits would wrap. Unless the report is by user or session,
    /// or a bound lies within a minute, what is summed is `minutes`, which knows most of the sums already.
    #[must_use]
    pub fn sql(&self, since: Option<i64>, until: Option<i64>) -> String {
        let mut keys = vec!["kind"];
        keys.extend(self.by.iter().flat_map(|dimension| dimension.columns()));
        let keys = keys.join(", ");
        let bounds = [(">=", since), ("<", until)];
        let (journal, priced, mut conditions) = if self.by_minute(since, until) {
            let bound = |(how, nanos): (_, i64)| {
                let micros = nanos / 1_000;
                format!(
                    "minute {how} arrow_cast({micros}, 'Timestamp(Microsecond, Some(\"UTC\"))')"
                )
            };
            ("minutes", "priced", conditions(bounds, bound))
        } else {
            let bound = |(how, nanos): (_, i64)| format!("start_unix_nano {how} {nanos}");
            ("charges", "cost_usd IS NULL", conditions(bounds, bound))
        };
        conditions.insert(0, "kind <> 'execution'".to_owned());
        let sums = frame::MEASURES
            .map(|(name, scale)| format!("sum(CAST({name} AS DECIMAL(28,{scale}))) AS {name}"));
        format!(
            "SELECT {keys}, {} FROM {journal} WHERE {} GROUP BY {keys}, {priced}",
            sums.join(", "),
            conditions.join(" AND ")
        )
    }

    /// Whether sums by minute are enough to answer.
    fn by_minute(&self, since: Option<i64>, until: Option<i64>) -> bool {
        let told_apart = [Dimension::User, Dimension::Session];
        let whole = |bound: Option<i64>| bound.is_none_or(|nanos| nanos % MINUTE_NANOS == 0);
        !self
            .by
            .iter()
            .any(|dimension| told_apart.contains(dimension))
            && whole(since)
            && whole(until)
    }

    /// The report over what [`Chargeback::sql`] answers, or over the journal's rows themselves (further
    /// columns do no harm).
    ///
    /// # Errors
    /// When a column is missing or of a type that cannot be summed exactly, or a sum exceeds 38 digits.
    pub fn report(&self, batches: &[arrow::array::RecordBatch]) -> Result<Report> {
        let rows = frame::journal(batches, &self.by)?;
        let keys: Vec<Expr> = self
            .by
            .iter()
            .map(|dimension| col(dimension.name()))
            .collect();
        let sums = rows
            .lazy()
            .filter(kind("execution").not())
            .group_by(keys)
            .agg(sums());
        let groups = collected(sums)?;
        let mut lines = lines(&groups, &self.by)?;
        let mut total = Line::default();
        for line in &lines {
            total.add(line);
        }
        for line in &mut lines {
            line.share = share(line.cost_usd, total.cost_usd);
        }
        total.share = share(total.cost_usd, total.cost_usd);
        lines.sort_by(|a, b| b.cost_usd.cmp(&a.cost_usd).then_with(|| a.key.cmp(&b.key)));
        Ok(Report {
            by: self.by.clone(),
            lines,
            total,
        })
    }
}

/// The conditions that bounds make, as far as there are any.
fn conditions<'a>(
    bounds: [(&'a str, Option<i64>); 2],
    condition: impl Fn((&'a str, i64)) -> String,
) -> Vec<String> {
    let set = bounds
        .into_iter()
        .filter_map(|(how, bound)| Some((how, bound?)));
    set.map(condition).collect()
}

/// Runs a query on a thread of its own: polars blocks on its own runtime, which panics on a thread
/// of somebody else's single-threaded one.
fn collected(query: LazyFrame) -> Result<DataFrame> {
    let thread = std::thread::spawn(move || query.collect());
    Ok(thread.join().map_err(|_| Error::Interrupted)??)
}

/// Net number of calls, of any kind, behind a group's cost: zero when nothing there has a price.
const PRICED: &str = "priced";

fn kind(word: &'static str) -> Expr {
    col("kind").eq(lit(word))
}

fn sums() -> Vec<Expr> {
    let inference = || kind("model_call").or(kind("embedding")).or(kind("rerank"));
    let calls_where =
        |which: Expr, name: &'static str| col("calls").filter(which).sum().alias(name);
    let mut sums = vec![
        calls_where(inference(), "calls"),
        calls_where(kind("tool_call"), "tool_calls"),
        calls_where(inference().and(col("cost_usd").is_null()), "unpriced_calls"),
        calls_where(col("cost_usd").is_not_null(), PRICED),
    ];
    sums.extend(
        frame::MEASURES
            .iter()
            .skip(1)
            .map(|(name, _)| col(*name).sum()),
    );
    sums
}

fn lines(groups: &DataFrame, by: &[Dimension]) -> Result<Vec<Line>> {
    let keys = by
        .iter()
        .map(|dimension| groups.column(dimension.name())?.str())
        .collect::<PolarsResult<Vec<_>>>()?;
    let read = |name: &str| -> PolarsResult<Vec<i128>> { whole(groups.column(name)?) };
    let (calls, tool_calls) = (read("calls")?, read("tool_calls")?);
    let (unpriced, priced) = (read("unpriced_calls")?, read(PRICED)?);
    let (decisions, cost) = (read("decisions")?, read("cost_usd")?);
    let (input, output) = (read("input_tokens")?, read("output_tokens")?);
    let (cache_read, cache_write) = (read("cache_read_tokens")?, read("cache_write_tokens")?);
    let lines = (0..groups.height()).map(|row| Line {
        key: keys
            .iter()
            .map(|key| key.get(row).map(str::to_owned))
            .collect(),
        calls: calls[row],
        decisions: decisions[row],
        input_tokens: input[row],
        cache_read_tokens: cache_read[row],
        cache_write_tokens: cache_write[row],
        output_tokens: output[row],
        tool_calls: tool_calls[row],
        unpriced_calls: unpriced[row],
        cost_usd: (priced[row] != 0 || cost[row] != 0).then(|| Usd::of_trillionths(cost[row])),
        share: None,
    });
    // What was entered and taken back leaves nothing to charge.
    Ok(lines.filter(|line| !line.is_nothing()).collect())
}

/// The digits of a decimal column, as whole numbers; a sum over no rows is zero.
fn whole(column: &Column) -> PolarsResult<Vec<i128>> {
    let digits = column.decimal()?.physical();
    Ok(digits.iter().map(|value| value.unwrap_or(0)).collect())
}

fn share(part: Option<Usd>, total: Option<Usd>) -> Option<Percent> {
    part?.share_of(total?)
}

impl Line {
    fn is_nothing(&self) -> bool {
        let without_key = Self {
            key: Vec::new(),
            ..self.clone()
        };
        without_key == Self::default()
    }

    /// Adds another line's quantities. The frame's bound on magnitudes keeps every sum in range.
    fn add(&mut self, other: &Self) {
        self.calls += other.calls;
        self.decisions += other.decisions;
        self.input_tokens += other.input_tokens;
        self.cache_read_tokens += other.cache_read_tokens;
        self.cache_write_tokens += other.cache_write_tokens;
        self.output_tokens += other.output_tokens;
        self.tool_calls += other.tool_calls;
        self.unpriced_calls += other.unpriced_calls;
        if let Some(cost) = other.cost_usd {
            let sum = self.cost_usd.unwrap_or_default().trillionths() + cost.trillionths();
            self.cost_usd = Some(Usd::of_trillionths(sum));
        }
    }
}
