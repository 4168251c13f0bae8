//! The tables and what is particular to each: its sort order and the columns files are skipped by.

use arrow::datatypes::SchemaRef;

use crate::rows::{
    ActionRow, AlertRow, AuditRow, ChargeRow, ContentRow, LogRow, MetricRow, RollupRow, Row,
    SpanRow,
};

/// The tables, each a folder `<root>/<workspace>/<name>/`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Table {
    /// What was sent, normalised in form.
    Spans,
    /// The resolver's journal: derived from the spans, and not fed from the log.
    Charges,
    /// Prompts, completions, tool arguments and results.
    Contents,
    /// Log records and events.
    Logs,
    /// Data points of metrics.
    Metrics,
    /// State changes of alerts.
    Alerts,
    /// Control changes.
    Actions,
    /// The ledger.
    Audit,
    /// The journal, summed by minute and dimension: derived from the charges on disk.
    Rollup1m,
}

impl Table {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Spans,
        Self::Charges,
        Self::Contents,
        Self::Logs,
        Self::Metrics,
        Self::Alerts,
        Self::Actions,
        Self::Audit,
        Self::Rollup1m,
    ];

    /// Folder and SQL name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Spans => "spans",
            Self::Charges => "charges",
            Self::Contents => "contents",
            Self::Logs => "logs",
            Self::Metrics => "metrics",
            Self::Alerts => "alerts",
            Self::Actions => "actions",
            Self::Audit => "audit",
            Self::Rollup1m => "rollup_1m",
        }
    }

    /// Arrow schema of its rows.
    #[must_use]
    pub fn schema(self) -> SchemaRef {
        match self {
            Self::Spans => SpanRow::schema(),
            Self::Charges => ChargeRow::schema(),
            Self::Contents => ContentRow::schema(),
            Self::Logs => LogRow::schema(),
            Self::Metrics => MetricRow::schema(),
            Self::Alerts => AlertRow::schema(),
            Self::Actions => ActionRow::schema(),
            Self::Audit => AuditRow::schema(),
            Self::Rollup1m => RollupRow::schema(),
        }
    }

    /// Whether its rows come through the log. The charges are derived from spans, the rollup from charges.
    #[must_use]
    pub fn is_logged(self) -> bool {
        !matches!(self, Self::Charges | Self::Rollup1m)
    }

    /// Columns its files are sorted by, after the partition.
    pub(crate) fn sort_columns(self) -> &'static [&'static str] {
        match self {
            Self::Spans => &["agent_name", "start_time"],
            Self::Charges | Self::Contents => &["start_time"],
            Self::Logs => &["agent_name", "time"],
            Self::Metrics => &["name", "time"],
            Self::Alerts | Self::Actions => &["at"],
            Self::Audit => &["seq"],
            Self::Rollup1m => &["minute", "agent_name"],
        }
    }

    /// Columns whose smallest and largest value stand in the Delta log, so that readers skip files.
    pub(crate) fn stat_columns(self) -> &'static [&'static str] {
        match self {
            Self::Spans => &[
                "start_time",
                "end_time",
                "start_unix_nano",
                "received_at",
                "agent_name",
                "tenant",
                "team",
                "log_position",
            ],
            Self::Charges => &[
                "start_time",
                "end_time",
                "start_unix_nano",
                "known_at",
                "kind",
                "agent_name",
                "tenant",
                "team",
                "log_position",
            ],
            Self::Contents => &["start_time", "log_position"],
            Self::Logs => &[
                "time",
                "received_at",
                "agent_name",
                "event_name",
                "tenant",
                "team",
                "log_position",
            ],
            Self::Metrics => &[
                "time",
                "received_at",
                "name",
                "agent_name",
                "tenant",
                "team",
                "log_position",
            ],
            Self::Alerts | Self::Actions => &["at", "log_position"],
            Self::Audit => &["at", "seq", "log_position"],
            Self::Rollup1m => &[
                "minute",
                "ended_minute",
                "kind",
                "agent_name",
                "tenant",
                "team",
                "log_position",
            ],
        }
    }

    /// Columns of ids: unique, or the same in rows nearby. A dictionary of them would be as long as they are.
    pub(crate) fn id_columns(self) -> &'static [&'static str] {
        match self {
            Self::Spans => &[
                "trace_id",
                "span_id",
                "parent_span_id",
                "session_id",
                "execution_id",
                "response_id",
                "tool_call_id",
            ],
            Self::Charges => &[
                "charge_id",
                "trace_id",
                "span_id",
                "session_id",
                "execution_id",
            ],
            Self::Contents => &["trace_id", "span_id", "of_span_id"],
            Self::Logs => &[
                "trace_id",
                "span_id",
                "record_id",
                "session_id",
                "execution_id",
                "response_id",
                "tool_call_id",
            ],
            Self::Metrics => &["session_id"],
            _ => &[],
        }
    }

    /// Columns that get a bloom filter: people look rows up by them, and sorting does not help.
    pub(crate) fn bloom_columns(self) -> &'static [&'static str] {
        match self {
            Self::Spans | Self::Charges | Self::Contents | Self::Logs => &["trace_id", "span_id"],
            _ => &[],
        }
    }

    /// Columns of long, mostly unique values: no dictionary, no statistics.
    pub(crate) fn text_columns(self) -> &'static [&'static str] {
        match self {
            Self::Spans => &["attributes", "events", "links"],
            Self::Contents => &["input", "output", "reasoning"],
            Self::Logs => &["body", "attributes"],
            Self::Metrics => &["distribution"],
            Self::Alerts | Self::Actions => &["evidence"],
            Self::Audit => &["record", "previous_hash", "hash"],
            Self::Rollup1m => &["durations", "executions", "sessions", "users"],
            Self::Charges => &[],
        }
    }

    /// Tables in which a row is known by `trace_id` and `span_id`, so that of two tellings the later is kept.
    pub(crate) fn is_told_by_span(self) -> bool {
        matches!(self, Self::Spans | Self::Contents)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_named_column_exists() {
        for table in Table::ALL {
            let schema = table.schema();
            let named = [
                table.sort_columns(),
                table.stat_columns(),
                table.id_columns(),
                table.bloom_columns(),
                table.text_columns(),
            ];
            for column in named.into_iter().flatten() {
                assert!(schema.index_of(column).is_ok(), "{table:?}.{column}");
            }
            assert_eq!(schema.field(0).name(), "date");
            assert_eq!(schema.fields().last().unwrap().name(), "log_position");
        }
    }
}
