//! What an erasure does to the sums by minute: minutes whose charges lost names are summed anew. Where the charges
//! are kept no longer there is nothing to sum, so a tenant's name is taken out of the sums themselves.

use std::collections::HashSet;

use super::find::{Matches, count_named};
use super::list::{Erasure, ErasureList, SubjectKind};
use super::{ErasedTable, noted, redact};
use crate::error::Result;
use crate::maintain::Place;
use crate::store::Store;
use crate::table::Table;
use crate::tables::{self, Listed, Operation};

impl Store {
    /// None when nothing was ever summed.
    pub(super) async fn erase_from_sums(
        &self,
        list: &ErasureList,
        erasure: &Erasure,
    ) -> Result<Option<ErasedTable>> {
        let place: Place = (self.state.lock().name(&erasure.workspace), Table::Rollup1m);
        let Some(before) = self.version(&place) else {
            return Ok(None);
        };
        let names = |files: &[Listed]| -> HashSet<String> {
            let name = |file: &Listed| noted(&place, &file.path);
            files.iter().map(name).collect()
        };
        let old = tables::files(&before, &place.0, place.1)?;
        // All of them, before any goes: which will go is known only when it has.
        let mut going = Vec::from_iter(names(&old));
        let taken_off = tables::taken_off(&before, &place.0, place.1).await?;
        going.extend(taken_off.iter().map(|(path, _)| noted(&place, path)));
        list.note(&erasure.id, &going)?;
        self.roll_up().await?;
        if erasure.kind == SubjectKind::Tenant {
            let matches = Matches::hash(list.key(), erasure.hash.clone());
            self.rename_in_sums(&place, erasure.kind, &matches).await?;
        }
        let after = self.version(&place).unwrap_or_else(|| before.clone());
        let listed = names(&tables::files(&after, &place.0, place.1)?);
        list.purged(&place.0, &listed)?;
        let mut done = ErasedTable {
            table: place.1.name().to_owned(),
            before: before.version().unwrap_or(0),
            after: after.version().unwrap_or(0),
            ..ErasedTable::default()
        };
        let gone = |file: &&Listed| !listed.contains(&noted(&place, &file.path));
        for file in old.iter().filter(gone) {
            done.note(file, file.rows);
        }
        Ok(Some(done))
    }

    async fn rename_in_sums(
        &self,
        place: &Place,
        kind: SubjectKind,
        matches: &Matches,
    ) -> Result<()> {
        let Some(delta) = self.version(place) else {
            return Ok(());
        };
        for file in tables::files(&delta, &place.0, place.1)? {
            let rows = count_named(&delta, &file, kind, matches).await?;
            let Some(day) = file.day.filter(|_| rows > 0) else {
                continue;
            };
            let pass = redact::without_name(kind, matches.clone());
            let operation = Operation::Update { reason: "erasure" };
            self.rewrite_one(place, &delta, (&file, day), pass, operation)
                .await?;
        }
        Ok(())
    }
}
