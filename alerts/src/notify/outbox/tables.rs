//! The outbox's tables. Times are milliseconds since 1970.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::Lost;
use crate::notify::Notice;

pub(super) const SCHEMA: &str = "
-- what one notifier knows of one alert
CREATE TABLE IF NOT EXISTS alert (
    notifier TEXT NOT NULL,
    alert_id TEXT NOT NULL,
    grp TEXT NOT NULL,
    -- when it began, RFC 3339
    since TEXT NOT NULL,
    -- what it says now, JSON
    notice TEXT NOT NULL,
    -- 0: never told; 1: perhaps, a try was begun; 2: told
    told INTEGER NOT NULL DEFAULT 0,
    resolved INTEGER NOT NULL DEFAULT 0,
    -- when it is told again
    repeat_at INTEGER,
    -- how often it was told again
    repeats INTEGER NOT NULL DEFAULT 0,
    -- since when nothing more is to be told of it
    closed_at INTEGER,
    PRIMARY KEY (notifier, alert_id)
) STRICT;
CREATE INDEX IF NOT EXISTS alert_repeat ON alert (notifier, repeat_at);
-- what is to be told, in this order
CREATE TABLE IF NOT EXISTS waiting (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    notifier TEXT NOT NULL,
    alert_id TEXT NOT NULL,
    delivery_id TEXT NOT NULL,
    grp TEXT NOT NULL,
    notice TEXT NOT NULL,
    -- told before, and told again to remind
    repeated INTEGER NOT NULL DEFAULT 0,
    at INTEGER NOT NULL,
    due_at INTEGER NOT NULL,
    -- a silence keeps it back until then
    held_until INTEGER NOT NULL DEFAULT 0,
    tries INTEGER NOT NULL DEFAULT 0,
    -- was refused together with others, and is tried by itself
    alone INTEGER NOT NULL DEFAULT 0,
    UNIQUE (notifier, delivery_id)
) STRICT;
CREATE INDEX IF NOT EXISTS waiting_alert ON waiting (notifier, alert_id, seq);
CREATE INDEX IF NOT EXISTS waiting_order ON waiting (notifier, seq);
-- when a group was told last
CREATE TABLE IF NOT EXISTS grouped (
    notifier TEXT NOT NULL,
    grp TEXT NOT NULL,
    told_at INTEGER NOT NULL,
    PRIMARY KEY (notifier, grp)
) STRICT;
-- what was given up, and why
CREATE TABLE IF NOT EXISTS failed (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    notifier TEXT NOT NULL,
    alert_id TEXT NOT NULL,
    delivery_id TEXT NOT NULL,
    notice TEXT NOT NULL,
    reason TEXT NOT NULL,
    at INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS silence (
    id TEXT PRIMARY KEY,
    silence TEXT NOT NULL
) STRICT;
";

/// Never told, perhaps told, told.
pub(super) const NEVER: i64 = 0;
pub(super) const PERHAPS: i64 = 1;
pub(super) const TOLD: i64 = 2;

/// A row of `alert`.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) grp: String,
    pub(super) since: String,
    pub(super) notice: String,
    pub(super) told: i64,
    pub(super) repeats: i64,
    /// Its end is told, or waits to be.
    pub(super) over: bool,
    /// Nothing more is to be told of it.
    pub(super) closed: bool,
}

/// A row of `waiting`, but for its notice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Waiting {
    pub(super) seq: i64,
    pub(super) alert_id: String,
    pub(super) grp: String,
    pub(super) due_at: i64,
    pub(super) alone: bool,
    pub(super) tries: u32,
}

pub(super) fn known(
    c: &Connection,
    notifier: &str,
    alert_id: &str,
) -> rusqlite::Result<Option<Known>> {
    let read = |row: &Row<'_>| {
        Ok(Known {
            grp: row.get(0)?,
            since: row.get(1)?,
            notice: row.get(2)?,
            told: row.get(3)?,
            repeats: row.get(4)?,
            over: row.get(5)?,
            closed: row.get::<_, Option<i64>>(6)?.is_some(),
        })
    };
    c.prepare_cached(
        "SELECT grp, since, notice, told, repeats, resolved, closed_at FROM alert \
         WHERE notifier = ?1 AND alert_id = ?2",
    )?
    .query_row(params![notifier, alert_id], read)
    .optional()
}

/// Puts a notice at the end of the queue; one that waits there already stays where it is.
pub(super) fn wait(
    c: &Connection,
    notifier: &str,
    (alert_id, grp): (&str, &str),
    (delivery_id, notice): (&str, &str),
    (at, due_at): (i64, i64),
    repeated: bool,
) -> rusqlite::Result<bool> {
    let added = c
        .prepare_cached(
            "INSERT OR IGNORE INTO waiting (notifier, alert_id, delivery_id, grp, notice, repeated, at, due_at) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?
        .execute(params![notifier, alert_id, delivery_id, grp, notice, repeated, at, due_at])?;
    Ok(added > 0)
}

/// The head of the queue, without what a silence holds back.
pub(super) fn queue(
    c: &Connection,
    notifier: &str,
    now: i64,
    most: u32,
) -> rusqlite::Result<Vec<Waiting>> {
    let read = |row: &Row<'_>| {
        Ok(Waiting {
            seq: row.get(0)?,
            alert_id: row.get(1)?,
            grp: row.get(2)?,
            due_at: row.get(3)?,
            alone: row.get(4)?,
            tries: row.get(5)?,
        })
    };
    c.prepare_cached(
        "SELECT seq, alert_id, grp, due_at, alone, tries FROM waiting \
         WHERE notifier = ?1 AND held_until <= ?2 ORDER BY seq LIMIT ?3",
    )?
    .query_map(params![notifier, now, most], read)?
    .collect()
}

/// Takes an alert's notices out of the queue; says how many there were.
pub(super) fn withdraw(c: &Connection, notifier: &str, alert_id: &str) -> rusqlite::Result<usize> {
    c.prepare_cached("DELETE FROM waiting WHERE notifier = ?1 AND alert_id = ?2")?
        .execute(params![notifier, alert_id])
}

/// How many wait for one notifier.
pub(super) fn count(c: &Connection, notifier: &str) -> rusqlite::Result<usize> {
    let count: i64 = c
        .prepare_cached("SELECT count(*) FROM waiting WHERE notifier = ?1")?
        .query_row([notifier], |row| row.get(0))?;
    Ok(usize::try_from(count).unwrap_or_default())
}

/// As if it had never been heard of.
pub(super) fn forget(c: &Connection, notifier: &str, alert_id: &str) -> rusqlite::Result<()> {
    c.prepare_cached("DELETE FROM alert WHERE notifier = ?1 AND alert_id = ?2")?
        .execute(params![notifier, alert_id])?;
    Ok(())
}

/// Nothing more is to be told of it.
pub(super) fn close(
    c: &Connection,
    notifier: &str,
    alert_id: &str,
    now: i64,
) -> rusqlite::Result<()> {
    c.prepare_cached(
        "UPDATE alert SET closed_at = ?3, repeat_at = NULL, resolved = 1 WHERE notifier = ?1 AND alert_id = ?2",
    )?
    .execute(params![notifier, alert_id, now])?;
    Ok(())
}

/// Keeps a notice that was given up; so many of each notifier, the newest.
pub(super) fn fail(c: &Connection, seq: i64, reason: &str, now: i64) -> rusqlite::Result<()> {
    const KEPT: i64 = 1_000;
    c.prepare_cached(
        "INSERT INTO failed (notifier, alert_id, delivery_id, notice, reason, at) \
         SELECT notifier, alert_id, delivery_id, notice, ?2, ?3 FROM waiting WHERE seq = ?1",
    )?
    .execute(params![seq, reason, now])?;
    c.prepare_cached("DELETE FROM failed WHERE seq <= (SELECT max(seq) FROM failed) - ?1")?
        .execute([KEPT])?;
    c.prepare_cached("DELETE FROM waiting WHERE seq = ?1")?
        .execute([seq])?;
    Ok(())
}

pub(super) fn lost(c: &Connection) -> rusqlite::Result<Vec<Lost>> {
    let read = |row: &Row<'_>| {
        Ok(Lost {
            notifier: row.get(0)?,
            alert_id: row.get(1)?,
            delivery_id: row.get(2)?,
            at_unix_ms: row.get(3)?,
            reason: row.get(4)?,
        })
    };
    c.prepare_cached(
        "SELECT notifier, alert_id, delivery_id, at, reason FROM failed ORDER BY seq DESC LIMIT 100",
    )?
    .query_map([], read)?
    .collect()
}

/// A notice as it is kept.
pub(super) fn text(notice: &Notice) -> String {
    // It holds nothing that JSON has no form for.
    serde_json::to_string(notice).unwrap_or_default()
}

/// One that was kept; none when another version wrote it in another form.
pub(super) fn notice(text: &str) -> Option<Notice> {
    serde_json::from_str(text).ok()
}
