//! What the resolver reads back: whole traces, from table and buffer.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch};

use crate::error::Result;
use crate::log::LogPosition;
use crate::snapshot::{Snapshot, TableSnapshot};
use crate::store::Store;
use crate::table::Table;
use crate::tables::{self, Wanted, Window};

/// What the resolver needs to go on after a restart.
#[derive(Debug, Default)]
pub struct Resume {
    /// All spans (table and buffer) of every trace that has a span past the resolved position. A span that
    /// was told twice is here once, in its later telling.
    pub spans: Vec<RecordBatch>,
    /// Journal rows on disk of those traces.
    pub charges: Vec<RecordBatch>,
    /// The resolved position that was flushed with the last charges.
    pub resolved_to: LogPosition,
}

impl Store {
    /// What the resolver needs after a restart: the traces that have spans past the resolved position, with
    /// all their spans and what was charged for them already. The buffer holds no charges then.
    ///
    /// # Errors
    /// What reading the tables says.
    pub async fn resume(&self, workspace: &str) -> Result<Resume> {
        let (snapshot, resolved_to) = self.moment(workspace);
        let past = Wanted::Past(resolved_to);
        let mut traces = HashSet::new();
        for batch in rows(&snapshot, Table::Spans, &past).await? {
            if let Some(ids) = batch
                .column_by_name("trace_id")
                .and_then(ArrayRef::as_string_opt::<i32>)
            {
                traces.extend(ids.iter().flatten().map(str::to_owned));
            }
        }
        whole_traces(&snapshot, traces, None, resolved_to).await
    }

    /// Spans (table and buffer) and journal rows (table and buffer) of these traces, whenever they were. Every
    /// file of both tables is opened: where the time is known, [`Store::traces_between`] is far cheaper.
    ///
    /// # Errors
    /// What reading the tables says.
    pub async fn traces(&self, workspace: &str, trace_ids: &[String]) -> Result<Resume> {
        let (snapshot, resolved_to) = self.moment(workspace);
        let traces = trace_ids.iter().cloned().collect();
        whole_traces(&snapshot, traces, None, resolved_to).await
    }

    /// The same for traces of which all spans start between two moments (nanoseconds since 1970), give or take
    /// a day. A file whose rows all start earlier or later is not opened, so what these traces have in it is
    /// missing from the answer.
    ///
    /// # Errors
    /// What reading the tables says.
    pub async fn traces_between(
        &self,
        workspace: &str,
        trace_ids: &[String],
        from_unix_nano: i64,
        to_unix_nano: i64,
    ) -> Result<Resume> {
        let (snapshot, resolved_to) = self.moment(workspace);
        let traces = trace_ids.iter().cloned().collect();
        let window = Window::around(from_unix_nano, to_unix_nano);
        whole_traces(&snapshot, traces, Some(window), resolved_to).await
    }

    fn moment(&self, workspace: &str) -> (Snapshot, LogPosition) {
        let state = self.state.lock();
        let committed = state
            .workspaces
            .get(workspace)
            .map_or(0, |workspace| workspace.charges.committed);
        (state.snapshot(workspace), committed)
    }
}

async fn whole_traces(
    snapshot: &Snapshot,
    traces: HashSet<String>,
    window: Option<Window>,
    resolved_to: LogPosition,
) -> Result<Resume> {
    if traces.is_empty() {
        return Ok(Resume {
            resolved_to,
            ..Resume::default()
        });
    }
    let wanted = Wanted::Traces(Arc::new(traces), window);
    let spans = rows(snapshot, Table::Spans, &wanted).await?;
    let spans = tokio::task::spawn_blocking(move || tables::latest_tellings(Table::Spans, &spans))
        .await??;
    let charges = rows(snapshot, Table::Charges, &wanted).await?;
    Ok(Resume {
        spans,
        charges,
        resolved_to,
    })
}

/// Rows of a table at the snapshot's moment, on disk first.
async fn rows(snapshot: &Snapshot, table: Table, wanted: &Wanted) -> Result<Vec<RecordBatch>> {
    let Some(TableSnapshot {
        delta,
        spilled,
        buffered,
        ..
    }) = snapshot.tables.get(&table)
    else {
        return Ok(Vec::new());
    };
    let mut found = match delta {
        Some(delta) => tables::read(delta, &snapshot.workspace, table, wanted).await?,
        None => Vec::new(),
    };
    found.extend(tables::read_spilled(spilled, table, wanted).await?);
    for batch in buffered {
        found.push(wanted.filter(batch)?);
    }
    found.retain(|batch| batch.num_rows() > 0);
    Ok(found)
}
