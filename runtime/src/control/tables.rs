//! Control's tables in SQLite, and the statements on them. All of them run inside a transaction of
//! [`Database`](crate::sqlite::Database).

use rusqlite::{Connection, OptionalExtension, params};

use super::{ControlEvent, Decision, InForce, Scope, State, View};
use crate::Error;

pub(super) const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS control_epoch (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    epoch INTEGER NOT NULL
) STRICT;
INSERT OR IGNORE INTO control_epoch VALUES (1, 0);
-- whose epoch it is: by this a runtime tells that another file has taken this one's place
CREATE TABLE IF NOT EXISTS control_plane (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    plane TEXT NOT NULL
) STRICT;
INSERT OR IGNORE INTO control_plane VALUES (1, lower(hex(randomblob(16))));
-- what is in force
CREATE TABLE IF NOT EXISTS control_entry (
    action_id TEXT PRIMARY KEY,
    scope TEXT NOT NULL,
    target TEXT NOT NULL,
    actor TEXT NOT NULL,
    entry TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS control_entry_scope ON control_entry (scope, target);
-- every order ever answered, so that the same id twice changes nothing
CREATE TABLE IF NOT EXISTS control_answer (
    kind TEXT NOT NULL CHECK (kind IN ('set', 'release')),
    action_id TEXT NOT NULL,
    decision TEXT NOT NULL,
    PRIMARY KEY (kind, action_id)
) STRICT;
-- the first word of each action that was obeyed
CREATE TABLE IF NOT EXISTS control_obeyed (
    action_id TEXT PRIMARY KEY,
    obeyed_by TEXT NOT NULL,
    obeyed_at_unix_nano INTEGER NOT NULL
) STRICT;
-- events on their way to the ledger
CREATE TABLE IF NOT EXISTS control_outbox (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    event TEXT NOT NULL
) STRICT;
";

fn corrupt(what: &'static str) -> impl Fn(serde_json::Error) -> Error {
    move |source| Error::Corrupt { what, source }
}

fn text<T: serde::Serialize>(value: &T, what: &'static str) -> Result<String, Error> {
    serde_json::to_string(value).map_err(corrupt(what))
}

pub(super) fn view(c: &Connection) -> Result<View, Error> {
    let epoch: i64 = c
        .prepare_cached("SELECT epoch FROM control_epoch")?
        .query_row([], |row| row.get(0))?;
    let plane = c
        .prepare_cached("SELECT plane FROM control_plane")?
        .query_row([], |row| row.get(0))?;
    let mut statement = c.prepare_cached("SELECT entry FROM control_entry")?;
    let mut rows = statement.query([])?;
    let mut entries = Vec::new();
    while let Some(row) = rows.next()? {
        entries.push(read_entry(&row.get::<_, String>(0)?)?);
    }
    Ok(View {
        epoch: epoch.unsigned_abs(),
        plane,
        entries,
    }
    .sorted())
}

fn read_entry(json: &str) -> Result<InForce, Error> {
    serde_json::from_str(json).map_err(corrupt("control_entry.entry"))
}

pub(super) fn bump_epoch(c: &Connection) -> Result<u64, Error> {
    let epoch: i64 = c
        .prepare_cached("UPDATE control_epoch SET epoch = epoch + 1 RETURNING epoch")?
        .query_row([], |row| row.get(0))?;
    Ok(epoch.unsigned_abs())
}

/// The entries of this very scope, the most severe first.
pub(super) fn entries_of(c: &Connection, scope: &Scope) -> Result<Vec<InForce>, Error> {
    let mut statement =
        c.prepare_cached("SELECT entry FROM control_entry WHERE scope = ?1 AND target = ?2")?;
    let mut rows = statement.query(params![scope.name(), scope.target()])?;
    let mut entries = Vec::new();
    while let Some(row) = rows.next()? {
        entries.push(read_entry(&row.get::<_, String>(0)?)?);
    }
    let view = View {
        entries,
        ..View::default()
    };
    Ok(view.sorted().entries)
}

pub(super) fn insert_entry(c: &Connection, entry: &InForce) -> Result<(), Error> {
    let json = text(entry, "control_entry.entry")?;
    c.prepare_cached("INSERT INTO control_entry VALUES (?1, ?2, ?3, ?4, ?5)")?
        .execute(params![
            entry.action_id,
            entry.scope.name(),
            entry.scope.target(),
            entry.actor,
            json
        ])?;
    Ok(())
}

pub(super) fn delete_entry(c: &Connection, action_id: &str) -> Result<(), Error> {
    c.prepare_cached("DELETE FROM control_entry WHERE action_id = ?1")?
        .execute([action_id])?;
    Ok(())
}

fn kind(state: &State) -> &'static str {
    if *state == State::Running {
        "release"
    } else {
        "set"
    }
}

/// What was answered to an order of this id that wished for this kind of state.
pub(super) fn answer(
    c: &Connection,
    action_id: &str,
    state: &State,
) -> Result<Option<Decision>, Error> {
    c.prepare_cached("SELECT decision FROM control_answer WHERE kind = ?1 AND action_id = ?2")?
        .query_row([kind(state), action_id], |row| row.get::<_, String>(0))
        .optional()?
        .map(|json| serde_json::from_str(&json).map_err(corrupt("control_answer.decision")))
        .transpose()
}

pub(super) fn keep_answer(
    c: &Connection,
    action_id: &str,
    decision: &Decision,
) -> Result<(), Error> {
    let json = text(decision, "control_answer.decision")?;
    c.prepare_cached("INSERT INTO control_answer VALUES (?1, ?2, ?3)")?
        .execute([kind(&decision.state), action_id, &json])?;
    Ok(())
}

pub(super) fn is_known(c: &Connection, action_id: &str) -> Result<bool, Error> {
    Ok(
        c.prepare_cached("SELECT 1 FROM control_answer WHERE kind = 'set' AND action_id = ?1")?
            .exists([action_id])?,
    )
}

/// Keeps the first word; says whether this was it.
pub(super) fn insert_obeyed(c: &Connection, obeyed: &super::Obeyed) -> Result<bool, Error> {
    let inserted = c
        .prepare_cached("INSERT OR IGNORE INTO control_obeyed VALUES (?1, ?2, ?3)")?
        .execute(params![
            obeyed.action_id,
            obeyed.by,
            obeyed.obeyed_at_unix_nano
        ])?;
    Ok(inserted == 1)
}

pub(super) fn put_out(c: &Connection, event: &ControlEvent) -> Result<(), Error> {
    let json = text(event, "control_outbox.event")?;
    c.prepare_cached("INSERT INTO control_outbox (event) VALUES (?1)")?
        .execute([json])?;
    Ok(())
}

/// The oldest events that the ledger has not kept yet, with their numbers.
pub(super) fn outbox(c: &Connection, limit: u32) -> Result<Vec<(i64, ControlEvent)>, Error> {
    let mut statement =
        c.prepare_cached("SELECT seq, event FROM control_outbox ORDER BY seq LIMIT ?1")?;
    let mut rows = statement.query([limit])?;
    let mut events = Vec::new();
    while let Some(row) = rows.next()? {
        let event = serde_json::from_str(&row.get::<_, String>(1)?)
            .map_err(corrupt("control_outbox.event"))?;
        events.push((row.get(0)?, event));
    }
    Ok(events)
}

pub(super) fn delete_outbox(c: &Connection, up_to: i64) -> Result<(), Error> {
    c.prepare_cached("DELETE FROM control_outbox WHERE seq <= ?1")?
        .execute([up_to])?;
    Ok(())
}
