//! One notifier's worker: takes what is due, sends it, notes what came of it. It waits for its receiver, and nobody
//! waits for it.

use std::sync::Arc;
use std::time::Duration;

use reqwest::Client;
use tokio_util::sync::CancellationToken;

use super::channel::{Kind, Letter};
use super::http::{self, Reply};
use super::outbox::{Batch, Desk, Next, Options, Outcome, Post, millis, utc};
use crate::guard::digest;
use crate::ports::Clock;

/// Looks again even when nobody calls.
const IDLE: Duration = Duration::from_secs(60);
/// Wait when the outbox itself fails.
const TROUBLE: Duration = Duration::from_secs(2);

pub(super) struct Worker {
    pub(super) at: usize,
    pub(super) post: Arc<Post>,
    pub(super) desk: Desk,
    pub(super) client: Client,
    pub(super) options: Options,
    pub(super) clock: Clock,
    pub(super) closing: CancellationToken,
}

impl Worker {
    pub(super) async fn run(self) {
        // Failures in a row: none of the receiver's answers was a word on what it was sent.
        let mut failures = 0;
        while !self.closing.is_cancelled() {
            let at = self.at;
            match self.desk.ask(move |keeper| keeper.next(at)).await {
                Ok(Next::Send(batch)) => {
                    let reply = discreet(self.send(&batch).await, &self.post.channel.kind);
                    let pause = self.weigh(&reply, &batch, &mut failures);
                    self.note(batch, reply).await;
                    self.sleep(pause).await;
                }
                Ok(Next::Wait(until)) => self.idle(until).await,
                Err(error) => {
                    tracing::error!(notifier = self.post.channel.name, "{error}");
                    self.sleep(TROUBLE).await;
                }
            }
        }
    }

    async fn send(&self, batch: &Batch) -> Reply {
        let channel = &self.post.channel;
        let now = utc(millis(&self.clock));
        let grouped = channel.group.is_some();
        let letter = channel
            .kind
            .letter(&batch.tellings, now, channel.repeat, grouped);
        match (letter, &channel.kind) {
            (Ok(Letter::Http(request)), kind) => match http::post(&self.client, request).await {
                Ok(answer) => kind.reply(&answer),
                Err(reason) => Reply::Later {
                    reason,
                    wait: None,
                    unreached: true,
                },
            },
            (Ok(Letter::Mail(mail)), Kind::Email(email)) => {
                email.send(*mail, self.options.timeout).await
            }
            (Ok(Letter::Mail(_)), _) => refused("a letter for another kind".to_owned()),
            (Err(reason), _) => refused(reason),
        }
    }

    /// How long to leave the receiver alone.
    fn weigh(&self, reply: &Reply, batch: &Batch, failures: &mut u32) -> Duration {
        let trouble = match reply {
            Reply::Sent => None,
            Reply::Later { reason, .. } | Reply::Refused { reason, .. } => Some(reason.clone()),
        };
        let mut before = self.post.counts.trouble.lock();
        // Said once, not at every try of a long outage; the figures show it meanwhile.
        if let Some(reason) = trouble.as_ref().filter(|_| *before != trouble) {
            tracing::warn!(
                notifier = self.post.channel.name,
                notices = batch.seqs.len(),
                reason,
                "not told"
            );
        }
        *before = trouble;
        drop(before);
        let Reply::Later { wait, .. } = reply else {
            *failures = 0;
            return Duration::ZERO;
        };
        *failures += 1;
        let seed = batch
            .tellings
            .first()
            .map_or("", |t| t.delivery_id.as_str());
        let pause = backoff(&self.options, *failures, seed);
        wait.map_or(pause, |wait| wait.max(pause))
    }

    /// Writes down what came of it, however long that takes: else it would be told again.
    async fn note(&self, batch: Batch, reply: Reply) {
        let seed = batch
            .tellings
            .first()
            .map_or("", |t| t.delivery_id.as_str());
        let outcome = match reply {
            Reply::Sent => Outcome::Sent,
            Reply::Refused { reason, apart } => Outcome::Refused { reason, apart },
            Reply::Later {
                reason, unreached, ..
            } => {
                let wait = backoff(&self.options, batch.tries + 1, seed).as_millis();
                Outcome::Later {
                    reason,
                    wait: (!unreached).then(|| i64::try_from(wait).unwrap_or(i64::MAX / 4)),
                }
            }
        };
        let (at, told) = (self.at, Arc::new((batch, outcome)));
        loop {
            let told = Arc::clone(&told);
            let noted = self
                .desk
                .ask(move |keeper| keeper.settle(at, &told.0, &told.1));
            let Err(error) = noted.await else {
                return;
            };
            tracing::error!(notifier = self.post.channel.name, "{error}");
            if self.closing.is_cancelled() {
                return;
            }
            self.sleep(TROUBLE).await;
        }
    }

    async fn idle(&self, until: Option<i64>) {
        let now = millis(&self.clock);
        let left = until.map_or(IDLE, |until| {
            Duration::from_millis(until.saturating_sub(now).unsigned_abs())
        });
        let left = if until.is_some_and(|until| until <= now) {
            Duration::ZERO
        } else {
            left
        };
        tokio::select! {
            () = self.post.wake.notified() => {}
            () = tokio::time::sleep(left.min(IDLE)) => {}
            () = self.closing.cancelled() => {}
        }
    }

    async fn sleep(&self, pause: Duration) {
        if pause.is_zero() {
            return;
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = self.closing.cancelled() => {}
        }
    }
}

/// The same without the secret, should the receiver have repeated it.
fn discreet(mut reply: Reply, kind: &Kind) -> Reply {
    if let Reply::Later { reason, .. } | Reply::Refused { reason, .. } = &mut reply
        && let Some(secret) = kind.secret()
    {
        *reason = reason.replace(secret.expose(), "(secret)");
    }
    reply
}

fn refused(reason: String) -> Reply {
    Reply::Refused {
        reason,
        apart: true,
    }
}

/// The wait after so many failures: doubled each time up to the most, give or take a quarter, so that those who failed
/// together do not come back together.
fn backoff(options: &Options, failures: u32, seed: &str) -> Duration {
    let doubled = options
        .backoff
        .saturating_mul(1 << failures.saturating_sub(1).min(20));
    let whole = doubled.min(options.backoff_max);
    let dice = digest(&[seed, &failures.to_string()]);
    let dice = u32::from_str_radix(&dice[..4], 16).unwrap_or_default();
    // From 0.75 to 1.25.
    whole.mul_f64(0.75 + f64::from(dice) / f64::from(0xffff_u32) / 2.0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::{PagerDuty, Secret};
    use super::*;

    #[test]
    fn a_secret_that_a_receiver_repeats_is_not_repeated_by_us() {
        let kind = Kind::PagerDuty(PagerDuty {
            url: "http://127.0.0.1:1".parse().unwrap(),
            routing_key: Secret::new("s3cret"),
        });
        let Reply::Refused { reason, .. } = discreet(refused("no key s3cret here".into()), &kind)
        else {
            panic!("it stays a refusal");
        };
        assert_eq!(reason, "no key (secret) here");
    }

    #[test]
    fn waits_double_up_to_the_most_give_or_take_a_quarter() {
        let options = Options::default();
        for (failures, seconds) in [
            (1, 1.0),
            (2, 2.0),
            (3, 4.0),
            (5, 16.0),
            (6, 30.0),
            (60, 30.0),
        ] {
            let waits: Vec<f64> = (0..100)
                .map(|seed| backoff(&options, failures, &seed.to_string()).as_secs_f64() / seconds)
                .collect();
            assert!(
                waits.iter().all(|wait| (0.75..=1.25).contains(wait)),
                "{waits:?}"
            );
            let least = waits.iter().copied().fold(f64::MAX, f64::min);
            let most = waits.iter().copied().fold(0.0, f64::max);
            assert!(most - least > 0.3, "they spread: {least} to {most}");
            assert_eq!(
                backoff(&options, failures, "same"),
                backoff(&options, failures, "same")
            );
        }
    }
}
