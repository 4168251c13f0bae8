//! Carries effects out, each on its own way, so that none waits for another: an order is on its way before
//! anything is written down or told.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use flyball_runtime::control::Order;
use flyball_store::rows::AlertRow;
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};

use super::Effect;
use crate::books::Stages;
use crate::notify::{Notice, Notifier};
use crate::ports::{Ask, Orders, Records};

/// Waits between the tries of an order. Should all fail, the next span of the runaway tries anew.
const ORDER_WAITS: [Duration; 3] = [
    Duration::from_millis(50),
    Duration::from_millis(200),
    Duration::from_millis(1_000),
];
/// How long one try of an order may take.
const ORDER: Duration = Duration::from_secs(2);
/// A row that was refused this often is lost, and said to be.
const RECORD_TRIES: u32 = 12;
const RECORD_WAIT_MAX: Duration = Duration::from_secs(5);
/// How long stopping waits for orders that are under way, and then for rows that are still to be kept.
const STOP: Duration = Duration::from_secs(5);
/// The longest a query may take, however seldom it is asked.
const ASK: Duration = Duration::from_secs(30);

/// What came of something.
#[derive(Debug)]
pub(super) enum Outcome {
    Answer {
        rule: String,
        answer: Result<Vec<RecordBatch>, String>,
    },
    Warm(Result<Vec<RecordBatch>, String>),
    Failed {
        order: Box<Order>,
        key: String,
    },
}

/// The ways out.
#[derive(Debug)]
pub(super) struct Deliver {
    workspace: Arc<str>,
    orders: Arc<dyn Orders>,
    ask: Arc<dyn Ask>,
    notifiers: Vec<Arc<dyn Notifier>>,
    /// Orders that are under way.
    under_way: JoinSet<()>,
    rows: Option<mpsc::UnboundedSender<AlertRow>>,
    scribe: JoinHandle<()>,
    outcomes: mpsc::UnboundedSender<Outcome>,
    stages: Arc<Stages>,
}

impl Deliver {
    pub(super) fn start(
        workspace: String,
        orders: Arc<dyn Orders>,
        records: Arc<dyn Records>,
        ask: Arc<dyn Ask>,
        notifiers: Vec<Arc<dyn Notifier>>,
        stages: Arc<Stages>,
    ) -> (Self, mpsc::UnboundedReceiver<Outcome>) {
        let workspace: Arc<str> = workspace.into();
        // As many rows as keys can change state: bounded by the rules' keys and cool-downs.
        let (rows, waiting) = mpsc::unbounded_channel();
        let scribe = tokio::spawn(keep(Arc::clone(&workspace), records, waiting));
        let (outcomes, came) = mpsc::unbounded_channel();
        (
            Self {
                workspace,
                orders,
                ask,
                notifiers,
                under_way: JoinSet::new(),
                rows: Some(rows),
                scribe,
                outcomes,
                stages,
            },
            came,
        )
    }

    pub(super) fn effect(&mut self, effect: Effect) {
        match effect {
            Effect::Order { order, key } => self.order(order, key),
            Effect::Alert(row) => {
                if let Some(rows) = &self.rows
                    && rows.send(*row).is_err()
                {
                    tracing::error!("alerts are no longer kept");
                }
            }
            Effect::Notice { to, notice } => {
                let notice = Arc::new(*notice);
                for notifier in &self.notifiers {
                    if wanted(&to, &**notifier) {
                        notifier.notify(Arc::clone(&notice));
                    }
                }
            }
            Effect::Ask { rule, sql, every } => {
                let limit = Duration::from_nanos(every.unsigned_abs()).min(ASK);
                self.query(sql, limit, |answer| Outcome::Answer { rule, answer });
            }
        }
    }

    /// Tells every notifier of the alerts that stand and that it is told of.
    pub(super) fn standing(&self, standing: Vec<(Option<Vec<String>>, Notice)>) {
        let standing: Vec<_> = standing
            .into_iter()
            .map(|(to, notice)| (to, Arc::new(notice)))
            .collect();
        for notifier in &self.notifiers {
            let wanted = standing.iter().filter(|(to, _)| wanted(to, &**notifier));
            notifier.standing(wanted.map(|(_, notice)| Arc::clone(notice)).collect());
        }
    }

    fn order(&mut self, order: Box<Order>, key: String) {
        let (orders, outcomes) = (Arc::clone(&self.orders), self.outcomes.clone());
        while self.under_way.try_join_next().is_some() {}
        let (stages, judged) = (Arc::clone(&self.stages), Instant::now());
        self.under_way.spawn(async move {
            let mut waits = ORDER_WAITS.iter();
            loop {
                let tried = tokio::time::timeout(ORDER, orders.order((*order).clone())).await;
                let reason = match tried {
                    Ok(Ok(_)) => return stages.ordered.add(judged.elapsed()),
                    Ok(Err(reason)) => reason,
                    // Should it come through after all, trying again is the same order.
                    Err(_) => format!("no answer within {} ms", ORDER.as_millis()),
                };
                tracing::error!(rule = order.rule, scope = ?order.scope, reason, "order not carried out");
                let Some(wait) = waits.next() else {
                    stages.failed.fetch_add(1, Relaxed);
                    // The engine is gone when nobody hears this, and so is the need to try again.
                    let _ = outcomes.send(Outcome::Failed { order, key });
                    return;
                };
                tokio::time::sleep(*wait).await;
            }
        });
    }

    fn query(
        &self,
        sql: String,
        limit: Duration,
        outcome: impl FnOnce(Result<Vec<RecordBatch>, String>) -> Outcome + Send + 'static,
    ) {
        let (ask, outcomes) = (Arc::clone(&self.ask), self.outcomes.clone());
        let workspace = Arc::clone(&self.workspace);
        tokio::spawn(async move {
            let answer = tokio::time::timeout(limit, ask.ask(&workspace, &sql)).await;
            let answer = answer
                .unwrap_or_else(|_| Err(format!("no answer within {} ms", limit.as_millis())));
            let _ = outcomes.send(outcome(answer));
        });
    }

    /// Asks for the charges that fill the windows again.
    pub(super) fn warm(&self, sql: String, limit: Duration) {
        self.query(sql, limit, Outcome::Warm);
    }

    /// There are no windows to fill.
    pub(super) fn warm_without(&self) {
        let _ = self.outcomes.send(Outcome::Warm(Ok(Vec::new())));
    }

    /// Waits, but not for ever, until the orders have arrived or failed and the rows are kept.
    pub(super) async fn stop(mut self) {
        self.rows = None;
        let arrived = async { while self.under_way.join_next().await.is_some() {} };
        if tokio::time::timeout(STOP, arrived).await.is_err() {
            tracing::error!("stopped before every order was carried out");
        }
        if tokio::time::timeout(STOP, &mut self.scribe).await.is_err() {
            tracing::error!("stopped before every alert was kept");
            self.scribe.abort();
        }
    }
}

/// Whether a rule that names these, or nobody, tells this one.
fn wanted(to: &Option<Vec<String>>, notifier: &dyn Notifier) -> bool {
    to.as_ref()
        .is_none_or(|names| names.iter().any(|name| name == notifier.name()))
}

/// Keeps rows in order; one that is refused is tried again, since a full store empties itself.
async fn keep(
    workspace: Arc<str>,
    records: Arc<dyn Records>,
    mut waiting: mpsc::UnboundedReceiver<AlertRow>,
) {
    while let Some(row) = waiting.recv().await {
        let mut wait = Duration::from_millis(100);
        for tried in 1.. {
            let Err(reason) = records.record(&workspace, row.clone()).await else {
                break;
            };
            if tried == RECORD_TRIES {
                tracing::error!(alert = row.alert_id, rule = row.rule, reason, "alert lost");
                break;
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(RECORD_WAIT_MAX);
        }
    }
}
