//! What came of a try, written down.

use rusqlite::{Connection, OptionalExtension, params};

use super::enter::span;
use super::tables::{self, NEVER, PERHAPS, TOLD};
use super::{Batch, Options};
use crate::notify::channel::Channel;

/// How often an end is told again to who may forget it.
const FAREWELLS: i64 = 3;

/// What came of a try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::notify) enum Outcome {
    /// The receiver took it.
    Sent,
    /// Not now. If somebody was reached, it may be about what was sent: that waits for so long, in milliseconds,
    /// and lets others pass.
    Later { reason: String, wait: Option<i64> },
    /// Never, as it is.
    Refused { reason: String, apart: bool },
}

/// What settling has done, for the figures.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Settled {
    pub(super) sent: u64,
    pub(super) failed: u64,
}

pub(super) fn settle(
    c: &Connection,
    channel: &Channel,
    batch: &Batch,
    outcome: &Outcome,
    options: &Options,
    now: i64,
) -> rusqlite::Result<Settled> {
    let mut done = Settled::default();
    for seq in &batch.seqs {
        // It may have been dropped for want of room.
        let Some(row) = row(c, *seq)? else {
            continue;
        };
        match outcome {
            Outcome::Sent => {
                sent(c, channel, *seq, &row, now)?;
                done.sent += 1;
            }
            Outcome::Later { reason, .. } if now - row.at >= span(options.give_up) => {
                give_up(c, channel, *seq, &row, &format!("given up: {reason}"), now)?;
                done.failed += 1;
            }
            Outcome::Later { wait: None, .. } => {}
            Outcome::Later {
                wait: Some(wait), ..
            } => {
                c.prepare_cached(
                    "UPDATE waiting SET tries = tries + 1, due_at = ?2 WHERE seq = ?1",
                )?
                .execute([*seq, now + wait])?;
            }
            Outcome::Refused { apart: true, .. } if batch.seqs.len() > 1 => {
                // One of them may be what is refused.
                c.prepare_cached("UPDATE waiting SET alone = 1 WHERE seq = ?1")?
                    .execute([*seq])?;
            }
            Outcome::Refused { reason, .. } => {
                give_up(c, channel, *seq, &row, reason, now)?;
                done.failed += 1;
            }
        }
    }
    Ok(done)
}

struct Row {
    alert_id: String,
    grp: String,
    repeated: bool,
    at: i64,
    resolved: bool,
}

fn row(c: &Connection, seq: i64) -> rusqlite::Result<Option<Row>> {
    c.prepare_cached(
        "SELECT alert_id, grp, repeated, at, json_extract(notice, '$.status') = 'resolved' FROM waiting WHERE seq = ?1",
    )?
    .query_row([seq], |row| {
        Ok(Row {
            alert_id: row.get(0)?,
            grp: row.get(1)?,
            repeated: row.get(2)?,
            at: row.get(3)?,
            resolved: row.get::<_, Option<bool>>(4)?.unwrap_or_default(),
        })
    })
    .optional()
}

fn sent(c: &Connection, channel: &Channel, seq: i64, row: &Row, now: i64) -> rusqlite::Result<()> {
    let (name, alert) = (channel.name.as_str(), row.alert_id.as_str());
    c.prepare_cached("DELETE FROM waiting WHERE seq = ?1")?
        .execute([seq])?;
    if let Some(group) = &channel.group {
        c.prepare_cached(
            "INSERT INTO grouped VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET told_at = excluded.told_at",
        )?
        .execute(params![name, row.grp, now])?;
        // What came while this was under way has its time, too.
        c.prepare_cached(
            "UPDATE waiting SET due_at = max(due_at, ?3) WHERE notifier = ?1 AND grp = ?2 AND tries = 0 AND alone = 0 \
             AND seq > ?4",
        )?
        .execute(params![name, row.grp, now + span(group.interval), seq])?;
    }
    if !row.resolved {
        let repeat = channel.repeat.map(|every| now + span(every));
        // When it is over already, its end waits to be told.
        c.prepare_cached(
            "UPDATE alert SET told = ?3, repeat_at = CASE resolved WHEN 0 THEN ?4 END \
             WHERE notifier = ?1 AND alert_id = ?2",
        )?
        .execute(params![name, alert, TOLD, repeat])?;
        return Ok(());
    }
    let repeats = tables::known(c, name, alert)?.map_or(0, |known| known.repeats);
    match channel.repeat {
        Some(every) if channel.forgets() && repeats < FAREWELLS => {
            c.prepare_cached(
                "UPDATE alert SET told = ?3, repeat_at = ?4 WHERE notifier = ?1 AND alert_id = ?2",
            )?
            .execute(params![name, alert, TOLD, now + span(every)])?;
            Ok(())
        }
        _ => tables::close(c, name, alert, now),
    }
}

fn give_up(
    c: &Connection,
    channel: &Channel,
    seq: i64,
    row: &Row,
    reason: &str,
    now: i64,
) -> rusqlite::Result<()> {
    tables::fail(c, seq, reason, now)?;
    let (name, alert) = (channel.name.as_str(), row.alert_id.as_str());
    if row.resolved {
        return tables::close(c, name, alert, now);
    }
    // Nobody knows of it; a reminder is due all the same, when it is for somebody who forgets.
    let repeat = channel.repeat.filter(|_| row.repeated || channel.forgets());
    c.prepare_cached(
        "UPDATE alert SET told = CASE told WHEN ?3 THEN ?4 ELSE told END, \
         repeat_at = CASE resolved WHEN 0 THEN ?5 END WHERE notifier = ?1 AND alert_id = ?2",
    )?
    .execute(params![
        name,
        alert,
        PERHAPS,
        NEVER,
        repeat.map(|every| now + span(every))
    ])?;
    Ok(())
}
