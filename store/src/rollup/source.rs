//! The journal's rows of some minutes, in portions of which each is one commit.

use std::sync::Arc;

use arrow::array::RecordBatch;
use deltalake::DeltaTable;
use futures::stream::BoxStream;

use super::Minutes;
use crate::error::Result;
use crate::table::Table;
use crate::tables::{self, Listed, Slice};

/// Rows of a portion, about: what a failure has summed in vain.
const PORTION_ROWS: u64 = 200_000;
/// Minutes that are weighed together.
const PIECE: i64 = 60;

/// One version of the journal on disk.
#[derive(Debug)]
pub(super) struct Source<'a> {
    charges: &'a DeltaTable,
    files: Vec<(Listed, Minutes)>,
}

impl<'a> Source<'a> {
    /// As far as it may have rows of these minutes.
    pub(super) fn of(charges: &'a DeltaTable, workspace: &str, minutes: &Minutes) -> Result<Self> {
        let files = tables::files(charges, workspace, Table::Charges)?;
        let timed = files.into_iter().map(|file| {
            let spanned = file.minutes("start_time");
            (file, spanned)
        });
        Ok(Self {
            charges,
            files: timed
                .filter(|(_, spanned)| spanned.meets(minutes))
                .collect(),
        })
    }

    /// The minutes, oldest first, cut so that each portion has about [`PORTION_ROWS`] rows, if its minutes let it.
    pub(super) fn portions(&self, minutes: &Minutes) -> Vec<Minutes> {
        let (mut portions, mut portion, mut weight) = (Vec::new(), Minutes::default(), 0);
        for piece in self.pieces(minutes) {
            let rows = self.weigh(&piece);
            if weight > 0 && weight + rows > PORTION_ROWS {
                portions.push(std::mem::take(&mut portion));
                weight = 0;
            }
            portion.extend(&piece);
            weight += rows;
        }
        if !portion.is_empty() {
            portions.push(portion);
        }
        portions
    }

    /// Hours, or what of them is to be summed; where there are no rows, whatever lies between.
    fn pieces(&self, minutes: &Minutes) -> Vec<Minutes> {
        let mut edges: Vec<i64> = Vec::new();
        for (_, spanned) in &self.files {
            for range in spanned.ranges() {
                let hours =
                    range.start.div_euclid(PIECE)..=range.end.saturating_sub(1).div_euclid(PIECE);
                // A file that spans more than a day says nothing of its hours.
                if hours.end() - hours.start() <= 24 {
                    edges.extend(hours.flat_map(|hour| [hour * PIECE, (hour + 1) * PIECE]));
                } else {
                    edges.extend([range.start, range.end]);
                }
            }
        }
        edges.sort_unstable();
        edges.dedup();
        let bounds = std::iter::once(i64::MIN).chain(edges.iter().copied());
        let ends = edges.iter().copied().chain([i64::MAX]);
        let pieces = bounds
            .zip(ends)
            .map(|(start, end)| minutes.within(&(start..end)));
        pieces.filter(|piece| !piece.is_empty()).collect()
    }

    /// About how many rows these minutes have.
    fn weigh(&self, piece: &Minutes) -> u64 {
        let share = |(file, spanned): &(Listed, Minutes)| {
            let common: u64 = piece
                .ranges()
                .iter()
                .map(|range| spanned.within(range).count())
                .sum();
            match spanned.count() {
                0 => 0,
                all => u64::try_from(u128::from(file.rows) * u128::from(common) / u128::from(all))
                    .unwrap_or(u64::MAX)
                    .max(u64::from(common > 0)),
            }
        };
        self.files.iter().map(share).sum()
    }

    /// The rows that start in these minutes, with these columns, and with this text in that column where one is given.
    pub(super) fn rows(
        &self,
        minutes: &Arc<Minutes>,
        columns: &'static [&'static str],
        only: Option<(&'static str, &'static str)>,
    ) -> BoxStream<'static, Result<RecordBatch>> {
        let files: Vec<Listed> = self
            .files
            .iter()
            .filter(|(_, spanned)| spanned.meets(minutes))
            .map(|(file, _)| file.clone())
            .collect();
        let slice = Slice {
            time: "start_time",
            columns,
            minutes: Arc::clone(minutes),
            inside: true,
            only,
        };
        tables::read_minutes(self.charges, &files, &slice)
    }
}
