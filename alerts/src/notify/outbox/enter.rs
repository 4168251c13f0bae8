//! What is told goes into the queue: once, in order, and not at all when it is over before anybody knew.

use std::collections::HashSet;
use std::sync::Arc;

use chrono::SecondsFormat;
use rusqlite::{Connection, OptionalExtension, params};

use super::keeper::utc;
use super::tables::{self, Known, NEVER};
use crate::notify::channel::Channel;
use crate::notify::{About, Notice};

/// What entering has done, for the figures.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entered {
    pub(super) cancelled: u64,
    pub(super) dropped: u64,
}

/// One notice, for one notifier.
pub(super) fn notice(
    c: &Connection,
    channel: &Channel,
    notice: &Notice,
    now: i64,
) -> rusqlite::Result<Entered> {
    let known = tables::known(c, &channel.name, &notice.alert_id)?;
    match (known, notice.status) {
        (_, About::Pending) => Ok(Entered::default()),
        // Nobody was told that it began, or it is over already.
        (None, About::Resolved) => Ok(Entered::default()),
        (Some(known), About::Resolved) if known.over => Ok(Entered::default()),
        (Some(known), About::Resolved) => resolve(c, channel, &known, notice, now),
        (Some(known), _) if known.closed => {
            tables::forget(c, &channel.name, &notice.alert_id)?;
            begin(c, channel, None, notice, now)
        }
        (known, _) => begin(c, channel, known.as_ref(), notice, now),
    }
}

fn begin(
    c: &Connection,
    channel: &Channel,
    known: Option<&Known>,
    notice: &Notice,
    now: i64,
) -> rusqlite::Result<Entered> {
    let (name, id) = (channel.name.as_str(), notice.alert_id.as_str());
    let (text, delivery) = (tables::text(notice), notice.delivery_id());
    let last = known.and_then(|known| tables::notice(&known.notice));
    if last.is_some_and(|last| last.delivery_id() == delivery) {
        return Ok(Entered::default());
    }
    let grp = known.map_or_else(|| channel.group_of(notice), |known| known.grp.clone());
    c.prepare_cached(
        "INSERT INTO alert (notifier, alert_id, grp, since, notice) VALUES (?1, ?2, ?3, ?4, ?5) \
         ON CONFLICT DO UPDATE SET notice = excluded.notice, resolved = 0",
    )?
    .execute(params![name, id, grp, notice.at, text])?;
    let due = due(c, channel, &grp, now)?;
    tables::wait(c, name, (id, &grp), (&delivery, &text), (now, due), false)?;
    Ok(Entered::default())
}

fn resolve(
    c: &Connection,
    channel: &Channel,
    known: &Known,
    notice: &Notice,
    now: i64,
) -> rusqlite::Result<Entered> {
    let (name, id) = (channel.name.as_str(), notice.alert_id.as_str());
    // What it is called is what it was called when it began, whatever became of its rule since.
    let began = tables::notice(&known.notice);
    let notice = began.map_or_else(|| notice.clone(), |began| named_as(notice, &began));
    let reminders = "DELETE FROM waiting WHERE notifier = ?1 AND alert_id = ?2 AND (repeated OR held_until > ?3)";
    if known.told == NEVER && channel.cancels() && !acted(c, name, id, now)? {
        let cancelled = tables::withdraw(c, name, id)? as u64;
        tables::close(c, name, id, now)?;
        return Ok(Entered {
            cancelled: cancelled + 1,
            dropped: 0,
        });
    }
    // What a silence holds back is over, and needs no reminder.
    c.prepare_cached(reminders)?
        .execute(params![name, id, now])?;
    if !channel.send_resolved {
        tables::close(c, name, id, now)?;
        return Ok(Entered::default());
    }
    let (text, delivery) = (tables::text(&notice), notice.delivery_id());
    c.prepare_cached(
        "UPDATE alert SET notice = ?3, resolved = 1, repeat_at = NULL, repeats = 0 \
         WHERE notifier = ?1 AND alert_id = ?2",
    )?
    .execute(params![name, id, text])?;
    let due = due(c, channel, &known.grp, now)?;
    tables::wait(
        c,
        name,
        (id, &known.grp),
        (&delivery, &text),
        (now, due),
        false,
    )?;
    Ok(Entered::default())
}

fn named_as(notice: &Notice, began: &Notice) -> Notice {
    Notice {
        rule: began.rule.clone(),
        description: began.description.clone(),
        key: began.key.clone(),
        severity: began.severity,
        workspace: began.workspace.clone(),
        ..notice.clone()
    }
}

/// Whether something of it waits to be told that was done to somebody, and no silence holds it back: people must hear
/// of that, over or not.
fn acted(c: &Connection, notifier: &str, alert_id: &str, now: i64) -> rusqlite::Result<bool> {
    let mut waiting = c.prepare_cached(
        "SELECT notice FROM waiting WHERE notifier = ?1 AND alert_id = ?2 AND held_until <= ?3",
    )?;
    let texts = waiting.query_map(params![notifier, alert_id, now], |row| {
        row.get::<_, String>(0)
    })?;
    for text in texts {
        if tables::notice(&text?).is_some_and(|notice| notice.acted()) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// When a notice of this group is to go: with the others that wait, or after the group's time.
fn due(c: &Connection, channel: &Channel, grp: &str, now: i64) -> rusqlite::Result<i64> {
    let Some(group) = &channel.group else {
        return Ok(now);
    };
    let with = c
        .prepare_cached(
            "SELECT min(due_at) FROM waiting WHERE notifier = ?1 AND grp = ?2 AND held_until <= ?3 AND tries = 0",
        )?
        .query_row(params![channel.name, grp, now], |row| row.get::<_, Option<i64>>(0))?;
    if let Some(due) = with {
        return Ok(due);
    }
    let told: Option<i64> = c
        .prepare_cached("SELECT told_at FROM grouped WHERE notifier = ?1 AND grp = ?2")?
        .query_row(params![channel.name, grp], |row| row.get(0))
        .optional()?;
    let wait = now + span(group.wait);
    Ok(told.map_or(wait, |told| wait.max(told + span(group.interval))))
}

/// Milliseconds.
pub(super) fn span(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 4)
}

/// All alerts that stand: one that was never heard of is told, one that is believed to stand and does not is over.
pub(super) fn standing(
    c: &Connection,
    channel: &Channel,
    standing: &[Arc<Notice>],
    most: usize,
    now: i64,
) -> rusqlite::Result<Entered> {
    let mut all = Entered::default();
    let ids: HashSet<&str> = standing
        .iter()
        .map(|notice| notice.alert_id.as_str())
        .collect();
    let open: Vec<(String, String)> = c
        .prepare_cached(
            "SELECT alert_id, notice FROM alert WHERE notifier = ?1 AND resolved = 0 AND closed_at IS NULL",
        )?
        .query_map([&channel.name], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    for (id, text) in open {
        if ids.contains(id.as_str()) {
            continue;
        }
        let Some(began) = tables::notice(&text) else {
            tables::withdraw(c, &channel.name, &id)?;
            tables::close(c, &channel.name, &id, now)?;
            continue;
        };
        let over = Notice {
            status: About::Resolved,
            summary: format!("over: {}", began.summary),
            at: utc(now).to_rfc3339_opts(SecondsFormat::Millis, true),
            action: None,
            ..began
        };
        all.cancelled += notice(c, channel, &over, now)?.cancelled;
    }
    // What found no room is asked for again at the next roll call.
    let room = most.saturating_sub(tables::count(c, &channel.name)?);
    for told in standing.iter().take(room) {
        let unheard = tables::known(c, &channel.name, &told.alert_id)?.is_none();
        if unheard && told.status != About::Pending {
            notice(c, channel, told, now)?;
        }
    }
    Ok(all)
}

/// Makes room when too many wait: what is over goes first, then the oldest.
pub(super) fn make_room(
    c: &Connection,
    notifier: &str,
    most: usize,
    now: i64,
) -> rusqlite::Result<u64> {
    let mut excess = tables::count(c, notifier)?.saturating_sub(most);
    if excess == 0 {
        return Ok(0);
    }
    let mut dropped = 0;
    // Of those that are over, first the ones that nobody was told of.
    let alerts: Vec<(String, bool, i64)> = c
        .prepare_cached(
            "SELECT w.alert_id, coalesce(a.resolved, 1), coalesce(a.told, 0) \
             FROM waiting w LEFT JOIN alert a ON a.notifier = w.notifier AND a.alert_id = w.alert_id \
             WHERE w.notifier = ?1 GROUP BY w.alert_id \
             ORDER BY coalesce(a.resolved, 1) DESC, coalesce(a.told, 0), min(w.seq)",
        )?
        .query_map([notifier], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect::<rusqlite::Result<_>>()?;
    for (alert, resolved, told) in alerts {
        if excess == 0 {
            break;
        }
        let gone = tables::withdraw(c, notifier, &alert)?;
        if resolved {
            tables::close(c, notifier, &alert, now)?;
        } else if told == NEVER {
            // The next roll call that finds room brings it back.
            tables::forget(c, notifier, &alert)?;
        }
        excess = excess.saturating_sub(gone);
        dropped += gone as u64;
    }
    Ok(dropped)
}
