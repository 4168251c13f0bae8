//! What is due to a notifier, in order: a later notice of an alert never goes before an earlier one.

use std::collections::HashSet;

use rusqlite::{Connection, OptionalExtension, params};

use super::tables::{self, PERHAPS, TOLD, Waiting};
use crate::notify::channel::{Bundle, Channel};
use crate::notify::silence::Silence;
use crate::notify::{About, Telling};

/// Rows that are looked at.
const LOOK: u32 = 1_000;
/// Notices of one request.
const MOST: usize = 200;

/// What a worker does next.
#[derive(Debug)]
pub(in crate::notify) enum Next {
    /// Send these.
    Send(Batch),
    /// Nothing is due before this (milliseconds since 1970), if ever.
    Wait(Option<i64>),
}

/// Notices that go together.
#[derive(Debug, Clone)]
pub(in crate::notify) struct Batch {
    pub(in crate::notify) seqs: Vec<i64>,
    pub(in crate::notify) tellings: Vec<Telling>,
    /// Tries of the first so far.
    pub(in crate::notify) tries: u32,
}

/// Which of the rows (in order) go together now.
pub(super) fn choose(rows: &[Waiting], bundle: Bundle, now: i64) -> Vec<usize> {
    let mut blocked: HashSet<&str> = HashSet::new();
    let mut chosen: Vec<usize> = Vec::new();
    for (at, row) in rows.iter().enumerate() {
        let alert = row.alert_id.as_str();
        if blocked.contains(alert) {
            continue;
        }
        let first = chosen.first().map(|first| &rows[*first]);
        let fits = first.is_none_or(|first| match bundle {
            _ if row.alone || first.alone => false,
            Bundle::Each => false,
            Bundle::Group => row.grp == first.grp,
            Bundle::Heads | Bundle::All => true,
        });
        if row.due_at > now || !fits {
            // Neither may what comes after it.
            blocked.insert(alert);
            continue;
        }
        chosen.push(at);
        if bundle == Bundle::Heads {
            blocked.insert(alert);
        }
        if chosen.len() == MOST {
            break;
        }
    }
    chosen
}

/// Takes what is due, and notes that it is about to be told.
pub(super) fn next(
    c: &Connection,
    channel: &Channel,
    silences: &[Silence],
    now: i64,
) -> rusqlite::Result<(Next, u64)> {
    let mut cancelled = 0;
    remind(c, channel, now)?;
    loop {
        let rows = tables::queue(c, &channel.name, now, LOOK)?;
        let chosen = choose(&rows, channel.bundle(), now);
        let Some(first) = chosen.first() else {
            return Ok((Next::Wait(wake(c, &channel.name, now)?), cancelled));
        };
        let tries = rows[*first].tries;
        let mut batch = Batch {
            seqs: Vec::new(),
            tellings: Vec::new(),
            tries,
        };
        for at in chosen {
            let row = &rows[at];
            match telling(c, channel, row, silences, now)? {
                Told::Now(telling) => {
                    batch.seqs.push(row.seq);
                    batch.tellings.push(*telling);
                }
                Told::Held { until } => cancelled += hold(c, &channel.name, row, until, now)?,
                Told::Withdrawn => {}
                Told::Unreadable => tables::fail(c, row.seq, "it cannot be read", now)?,
            }
        }
        if batch.seqs.is_empty() {
            continue;
        }
        for row in rows.iter().filter(|row| batch.seqs.contains(&row.seq)) {
            c.prepare_cached(
                "UPDATE alert SET told = max(told, ?3) WHERE notifier = ?1 AND alert_id = ?2",
            )?
            .execute(params![channel.name, row.alert_id, PERHAPS])?;
        }
        return Ok((Next::Send(batch), cancelled));
    }
}

enum Told {
    Now(Box<Telling>),
    Held {
        until: i64,
    },
    /// With an earlier one of its alert.
    Withdrawn,
    Unreadable,
}

fn telling(
    c: &Connection,
    channel: &Channel,
    row: &Waiting,
    silences: &[Silence],
    now: i64,
) -> rusqlite::Result<Told> {
    let kept: Option<(String, String)> = c
        .prepare_cached("SELECT notice, delivery_id FROM waiting WHERE seq = ?1")?
        .query_row([row.seq], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((text, delivery_id)) = kept else {
        return Ok(Told::Withdrawn);
    };
    let Some(notice) = tables::notice(&text) else {
        return Ok(Told::Unreadable);
    };
    let known = tables::known(c, &channel.name, &row.alert_id)?;
    // Who was told that it began hears that it is over; who would take it for over if he heard no more, hears more.
    let told = known.as_ref().map_or(0, |known| known.told);
    let speaks = notice.status == About::Resolved || (channel.forgets() && told == TOLD);
    if channel.can_be_silenced() && !speaks {
        let at = super::keeper::utc(now);
        let muting = silences.iter().filter(|s| s.holds(at) && s.mutes(&notice));
        if let Some(until) = muting.map(|s| s.until.timestamp_millis()).max() {
            return Ok(Told::Held { until });
        }
    }
    Ok(Told::Now(Box::new(Telling {
        delivery_id,
        since: known.map_or_else(|| notice.at.clone(), |known| known.since),
        notice,
    })))
}

/// A silence keeps it back. When it is over meanwhile, it need not be told any more; says how many are not.
fn hold(
    c: &Connection,
    notifier: &str,
    row: &Waiting,
    until: i64,
    now: i64,
) -> rusqlite::Result<u64> {
    let resolved: Option<(bool, i64)> = c
        .prepare_cached("SELECT resolved, told FROM alert WHERE notifier = ?1 AND alert_id = ?2")?
        .query_row(params![notifier, row.alert_id], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .optional()?;
    match resolved {
        Some((true, tables::NEVER)) | None => {
            let gone = tables::withdraw(c, notifier, &row.alert_id)?;
            tables::close(c, notifier, &row.alert_id, now)?;
            Ok(gone as u64)
        }
        Some((true, _)) => {
            c.prepare_cached("DELETE FROM waiting WHERE seq = ?1")?
                .execute([row.seq])?;
            Ok(1)
        }
        Some((false, _)) => {
            c.prepare_cached("UPDATE waiting SET held_until = ?2 WHERE seq = ?1")?
                .execute([row.seq, until])?;
            Ok(0)
        }
    }
}

/// Puts what is to be told again into the queue, unless something of it waits there.
fn remind(c: &Connection, channel: &Channel, now: i64) -> rusqlite::Result<()> {
    let due: Vec<String> = c
        .prepare_cached(
            "SELECT alert_id FROM alert WHERE notifier = ?1 AND repeat_at <= ?2 AND closed_at IS NULL \
             AND NOT EXISTS (SELECT 1 FROM waiting w WHERE w.notifier = ?1 AND w.alert_id = alert.alert_id)",
        )?
        .query_map(params![channel.name, now], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    for id in due {
        let Some(known) = tables::known(c, &channel.name, &id)? else {
            continue;
        };
        let name = channel.name.as_str();
        let Some(notice) = tables::notice(&known.notice) else {
            tables::close(c, name, &id, now)?;
            continue;
        };
        let delivery = crate::guard::digest(&[&notice.delivery_id(), &known.repeats.to_string()]);
        let words = (delivery.as_str(), known.notice.as_str());
        tables::wait(c, name, (&id, &known.grp), words, (now, now), true)?;
        c.prepare_cached(
            "UPDATE alert SET repeat_at = NULL, repeats = repeats + 1 WHERE notifier = ?1 AND alert_id = ?2",
        )?
        .execute(params![name, id])?;
    }
    Ok(())
}

/// When something may be due next.
fn wake(c: &Connection, notifier: &str, now: i64) -> rusqlite::Result<Option<i64>> {
    c.prepare_cached(
        "SELECT min(at) FROM (\
           SELECT min(max(due_at, held_until)) AS at FROM waiting \
             WHERE notifier = ?1 AND max(due_at, held_until) > ?2 \
           UNION ALL SELECT min(repeat_at) FROM alert \
             WHERE notifier = ?1 AND closed_at IS NULL AND repeat_at > ?2)",
    )?
    .query_row(params![notifier, now], |row| row.get(0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn row(seq: i64, alert: u8, grp: u8, due_at: i64, alone: bool) -> Waiting {
        Waiting {
            seq,
            alert_id: alert.to_string(),
            grp: grp.to_string(),
            due_at,
            alone,
            tries: 0,
        }
    }

    #[test]
    fn what_goes_together_depends_on_the_kind() {
        // Alert, group, due, alone.
        let rows = [
            row(1, 1, 1, 50, false),
            row(2, 2, 2, 0, false),
            row(3, 1, 1, 0, false),
            row(4, 3, 1, 0, false),
            row(5, 2, 2, 0, false),
            row(6, 4, 2, 0, true),
            row(7, 4, 2, 0, false),
            row(8, 5, 2, 0, false),
        ];
        let chosen = |bundle| {
            let chosen = choose(&rows, bundle, 10);
            chosen
                .into_iter()
                .map(|at| rows[at].seq)
                .collect::<Vec<_>>()
        };
        assert_eq!(chosen(Bundle::Each), [2]);
        assert_eq!(chosen(Bundle::Group), [2, 5, 8]);
        assert_eq!(chosen(Bundle::Heads), [2, 4, 8]);
        assert_eq!(chosen(Bundle::All), [2, 4, 5, 8]);
        assert_eq!(choose(&rows[5..], Bundle::All, 10), [0]);
        assert!(choose(&rows[..1], Bundle::All, 10).is_empty());
    }

    fn bundles() -> impl Strategy<Value = Bundle> {
        prop::sample::select(vec![
            Bundle::Each,
            Bundle::Group,
            Bundle::Heads,
            Bundle::All,
        ])
    }

    proptest! {
        /// Whatever waits: no notice is chosen before an earlier one of its alert, and if anything can go, something does.
        #[test]
        fn the_order_of_one_alert_is_kept_and_nobody_starves(
            rows in prop::collection::vec((0u8..5, 0u8..3, 0i64..20, any::<bool>()), 0..40),
            bundle in bundles(),
        ) {
            let rows: Vec<_> = rows.into_iter().zip(1..)
                .map(|((alert, grp, due, alone), seq)| row(seq, alert, grp, due, alone))
                .collect();
            let chosen = choose(&rows, bundle, 10);
            for at in &chosen {
                prop_assert!(rows[*at].due_at <= 10);
                for (before, row) in rows[..*at].iter().enumerate() {
                    prop_assert!(row.alert_id != rows[*at].alert_id || chosen.contains(&before));
                }
            }
            let could = rows.iter().enumerate().any(|(at, row)| {
                row.due_at <= 10 && rows[..at].iter().all(|before| before.alert_id != row.alert_id)
            });
            prop_assert_eq!(could, !chosen.is_empty());
        }
    }
}
