//! Who sends: requests, events, and what the resolver says of them.

use futures::future::join_all;

use super::life::Run;
use super::model::{Charged, Fate, charge, own_event};
use crate::error::Error;
use crate::journal::JournalUpdate;
use crate::log::Origin;
use crate::store::Store;
use crate::table::Table;

impl Run {
    /// A few requests at once: new ones, some sent again, one perhaps twice.
    pub(super) async fn send(&mut self, store: &Store) -> std::result::Result<(), String> {
        let mut sent = Vec::new();
        for _ in 0..=self.model.dice.roll(3) {
            let again = self.model.dice.once_in(4) && !self.model.requests.is_empty();
            let request = match again {
                true => self.model.dice.roll(self.model.requests.len() as u64) as usize,
                false => self.model.ask(),
            };
            sent.push(request);
            if self.model.dice.once_in(8) {
                sent.push(request);
            }
        }
        let answers = sent
            .iter()
            .map(|request| store.append(self.model.requests[*request].append()));
        let mut outcome = Ok(());
        for (request, answer) in sent.iter().zip(join_all(answers).await) {
            let before = self.model.requests[*request].fate;
            let after = match answer {
                Ok(appended) => {
                    if let Fate::Kept(position) = before {
                        assert_eq!(
                            (appended.position, appended.duplicate),
                            (position, true),
                            "request {request}"
                        );
                    }
                    self.model
                        .charges
                        .entry(*request as u64)
                        .or_insert_with(|| {
                            let update = JournalUpdate::of(&[charge(*request as u64)]).unwrap();
                            store.journal("default", Origin::Live, update).unwrap();
                            Charged::Open
                        });
                    Fate::Kept(appended.position)
                }
                Err(error) => match self.refused(before, &error) {
                    Some(fate) => fate,
                    None => {
                        outcome = Err(self.excuse(error));
                        if let Fate::Kept(_) = before {
                            before
                        } else {
                            Fate::Unknown
                        }
                    }
                },
            };
            self.disk.note(&format!("request {request}: {after:?}"));
            self.model.requests[*request].fate = after;
        }
        outcome
    }

    pub(super) async fn tell_events(&mut self, store: &Store) -> std::result::Result<(), String> {
        let known = self.model.events.len() as u64;
        let again = self
            .model
            .events
            .iter()
            .nth(self.model.dice.roll(known + 1) as usize);
        let event = match again.map(|(event, _)| *event) {
            // An alert may come twice, so nobody tells it twice.
            Some(event) if event.0 != Table::Alerts => event,
            _ => self.model.event(),
        };
        let before = self.model.events[&event];
        let after = match store.record("default", own_event(event)).await {
            Ok(position) => {
                if let Fate::Kept(stands) = before {
                    assert_eq!(position, stands, "event {event:?}");
                }
                Fate::Kept(position)
            }
            Err(error) => match self.refused(before, &error) {
                Some(fate) => fate,
                None => {
                    let excuse = self.excuse(error);
                    if !matches!(before, Fate::Kept(_)) {
                        self.model.events.insert(event, Fate::Unknown);
                    }
                    return Err(excuse);
                }
            },
        };
        self.disk.note(&format!("event {event:?}: {after:?}"));
        self.model.events.insert(event, after);
        Ok(())
    }

    /// A polite refusal changes nothing, and comes only when there is no room.
    fn refused(&self, before: Fate, error: &Error) -> Option<Fate> {
        let polite = matches!(error, Error::Full { what: "disk", .. });
        assert!(
            !polite || self.full,
            "refused although there is room: {error}"
        );
        let fate = if before == Fate::Unknown {
            Fate::Missing
        } else {
            before
        };
        polite.then_some(fate)
    }

    pub(super) fn settle(&mut self, store: &Store) {
        let mut settled = Vec::new();
        for (trace, state) in &mut self.model.charges {
            if *state == Charged::Open && self.model.dice.once_in(2) {
                *state = Charged::Settled;
                settled.push(charge(*trace).trace_id);
            }
        }
        let open = self
            .model
            .charges
            .iter()
            .filter(|(_, state)| **state == Charged::Open);
        let kept = |trace: &u64| match self.model.requests[*trace as usize].fate {
            Fate::Kept(position) => position,
            _ => 1,
        };
        let resolved_to = match open.map(|(trace, _)| kept(trace)).min() {
            Some(first) => first - 1,
            None => self.model.charges.keys().map(kept).max().unwrap_or(0),
        };
        let update = JournalUpdate {
            settled,
            resolved_to,
            ..JournalUpdate::default()
        };
        store.journal("default", Origin::Live, update).unwrap();
    }
}
