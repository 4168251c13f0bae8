//! The wiring of `flyball serve`: who is handed what, in which order they start, and in which they stop.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use axum::middleware::from_fn_with_state;
use flyball_alerts::books::Histogram;
use flyball_alerts::notify::Outbox;
use flyball_alerts::{Alerts, Parts, Rule, Settings, memory, ports, rule};
use flyball_dashboards::console::{ConsoleState, FleetData, Hosts, same_origin};
use flyball_ingest::server;
use flyball_listen::{Terms, http1};
use flyball_query::Engine;
use flyball_query::gate::Entrance;
use flyball_query::gauges::Gauges;
use flyball_runtime::control::{self, Control, View};
use flyball_store::Store;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::access::{self, Guard};
use crate::alerts_api;
use crate::backups;
use crate::config::Config;
use crate::core::{Core, WORKSPACE};
use crate::gate::DoorGate;
use crate::http;
use crate::keys_api::{self, Desk};
use crate::ledger::StoreLedger;
use crate::ledger_api;
use crate::notifiers;
use crate::running::Ports;
use crate::tls::Tls;
use crate::trust_api;

/// How long a stop waits for requests under way.
const REQUEST_PATIENCE: Duration = Duration::from_secs(5);
/// How long a stop waits for notices that are being sent.
const NOTICE_PATIENCE: Duration = Duration::from_secs(2);
/// How long a stop waits for the ledger to take what control has decided.
const LEDGER_PATIENCE: Duration = Duration::from_secs(5);

/// Everything of one process, running.
pub(crate) struct Serving {
    core: Core,
    ports: Ports,
    data_dir: std::path::PathBuf,
    control: Arc<Control>,
    alerts: Arc<Alerts>,
    outbox: Arc<Outbox>,
    servers: JoinSet<Result<()>>,
    closing: CancellationToken,
    signals: Signals,
}

impl Serving {
    /// Starts it all; returns when every port answers.
    pub(crate) async fn start(config: &Config) -> Result<Self> {
        let data_dir = config.store.data_dir.clone();
        let tls = config.tls.as_ref().map(Tls::load).transpose()?;
        let core = Core::open(config).await?;
        let gauges = Gauges::new(Arc::clone(&core.engine), WORKSPACE, config.gauges.clone())
            .await
            .context("metrics.catalogue")?;
        let ledger = Arc::new(StoreLedger::new(Arc::clone(&core.store), WORKSPACE));
        let obeyed = ledger.obeyed();
        let control = Control::open(&data_dir.join("control.db"), ledger).await?;
        let outbox = notifiers::open(config)?;
        let alerts = start_alerts(config, &core, &control, &outbox)?;
        let closing = CancellationToken::new();
        let mut servers = JoinSet::new();
        let (grpc, otlp_http) = (bind(config.otlp_grpc).await?, bind(config.otlp_http).await?);
        let (postgres, http) = (bind(config.postgres).await?, bind(config.http).await?);
        let flight_sql = bind(config.flight_sql).await?;
        // The settings were checked for this; here it does not depend on who checked them.
        let open = [&grpc, &otlp_http, &postgres, &flight_sql, &http];
        let locked = core.ingest.door().is_locked();
        for listener in open {
            let address = listener.local_addr()?;
            anyhow::ensure!(
                locked || address.ip().is_loopback(),
                "{address} is open to other machines, and there is no API key: `flyball keys add` makes one"
            );
            if tls.is_none() && !address.ip().is_loopback() {
                tracing::warn!(target: "flyball", "{address} is open to other machines without TLS, and keys can be read on the way: \
                     set tls.certificate and tls.key, unless a proxy ends TLS in front of it");
            }
        }
        let ports = Ports {
            instance: uuid::Uuid::new_v4().to_string(),
            pid: std::process::id(),
            otlp_grpc: grpc.local_addr()?,
            otlp_http: otlp_http.local_addr()?,
            postgres: postgres.local_addr()?,
            flight_sql: flight_sql.local_addr()?,
            http: http.local_addr()?,
        };
        let closed = || closing.clone().cancelled_owned();
        // Each port says itself which protocol it speaks inside.
        let acceptor = || tls.as_ref().map(|tls| tls.acceptor(&[])).transpose();
        let (ingest, at, done) = (Arc::clone(&core.ingest), acceptor()?, closed());
        servers.spawn(async move { Ok(server::grpc::serve(grpc, at, ingest, done).await?) });
        let (ingest, at, done) = (Arc::clone(&core.ingest), acceptor()?, closed());
        servers.spawn(async move {
            server::http::serve(otlp_http, at, ingest, done).await;
            Ok(())
        });
        if let Some(tls) = &tls {
            let (renewed, done) = (Arc::clone(tls).renew(), closed());
            servers.spawn(async move {
                tokio::select! {
                    () = renewed => Ok(()),
                    () = done => Ok(()),
                }
            });
        }
        let entrance = |protocol| entrance(&core, tls.as_ref(), protocol);
        let (engine, at, done) = (Arc::clone(&core.engine), entrance("postgresql")?, closed());
        servers.spawn(async move {
            tokio::select! {
                served = flyball_query::pg::serve(engine, at, postgres) => Ok(served?),
                () = done => Ok(()),
            }
        });
        let (engine, at, done) = (Arc::clone(&core.engine), entrance("h2")?, closed());
        servers.spawn(async move {
            tokio::select! {
                served = flyball_query::flight::serve(engine, at, flight_sql) => Ok(served?),
                () = done => Ok(()),
            }
        });
        let hosts = Hosts::with(config.names.iter().cloned());
        let (asked, done) = (Arc::clone(&gauges), closed());
        servers.spawn(async move {
            tokio::select! {
                () = asked.run() => {}
                () = done => {}
            }
            Ok(())
        });
        let parts = (&control, &alerts, &outbox, &gauges, obeyed);
        let router = router(&core, parts, &ports.instance, &data_dir, hosts);
        let (at, done) = (acceptor()?, closed());
        servers.spawn(async move {
            // Long polls are cut rather than waited for: their clients come back on their own.
            let (_open, incoming) = flyball_listen::open(http, Terms::http1(at));
            let for_ever = std::future::pending();
            tokio::select! {
                () = http1::serve(incoming, router, http1::HEAD_MAX, for_ever) => {}
                () = done => {}
            }
            Ok(())
        });
        // Before anybody can know whom to tell: a TERM right after the start must end in a flush too.
        let signals = Signals::catch()?;
        ports.publish(&data_dir, &core.local_secret)?;
        Ok(Self {
            core,
            ports,
            data_dir,
            control,
            alerts,
            outbox,
            servers,
            closing,
            signals,
        })
    }

    /// The ports in use.
    #[must_use]
    pub(crate) fn ports(&self) -> &Ports {
        &self.ports
    }

    /// What is kept.
    #[must_use]
    pub(crate) fn store(&self) -> &Arc<Store> {
        &self.core.store
    }

    /// Serves until Ctrl-C or a TERM signal, or until a port fails; then stops in order.
    pub(crate) async fn until_told_to_stop(mut self) -> Result<()> {
        let resolver_ended = self.core.resolver_ended();
        let failed = tokio::select! {
            () = self.signals.told_to_stop() => None,
            ended = self.servers.join_next() => ended,
            // What made it end comes out of its stop, below.
            () = resolver_ended => None,
        };
        self.stop().await?;
        match failed {
            Some(ended) => ended.context("a server was lost")?,
            None => Ok(()),
        }
    }

    /// Nothing new comes in; what is on its way is finished, kept and flushed.
    pub(crate) async fn stop(mut self) -> Result<()> {
        Ports::withdraw(&self.data_dir);
        self.closing.cancel();
        let finished = async { while self.servers.join_next().await.is_some() {} };
        if tokio::time::timeout(REQUEST_PATIENCE, finished)
            .await
            .is_err()
        {
            // A client that stalls in the middle of a request has not been acknowledged anything.
            tracing::warn!(target: "flyball", "some requests did not end; they are cut");
            self.servers.abort_all();
        }
        self.alerts.stop().await;
        self.outbox.stop(NOTICE_PATIENCE).await;
        if !self.control.drained(LEDGER_PATIENCE).await? {
            tracing::warn!(target: "flyball", "the ledger has not taken every control event yet; it will at the next start");
        }
        self.core.close().await
    }
}

/// How a port for SQL is entered, that speaks this protocol inside TLS.
fn entrance(core: &Core, tls: Option<&Arc<Tls>>, protocol: &str) -> Result<Entrance> {
    Ok(Entrance {
        gate: Arc::new(DoorGate(Arc::clone(core.ingest.door()))),
        tls: tls.map(|tls| tls.acceptor(&[protocol])).transpose()?,
        workspace: WORKSPACE.into(),
    })
}

async fn bind(address: std::net::SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address}"))
}

/// Ctrl-C and TERM, caught from the moment this is made.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn catch() -> Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn told_to_stop(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

fn start_alerts(
    config: &Config,
    core: &Core,
    control: &Arc<Control>,
    outbox: &Outbox,
) -> Result<Arc<Alerts>> {
    let rules: Vec<Rule> = match &config.rules {
        Some(path) => rule::load(path)?,
        None => rule::default_rules()?,
    };
    Ok(Alerts::start(
        rules,
        Parts {
            events: core.store.subscribe_to(&[], true),
            orders: Arc::clone(control) as _,
            records: Arc::clone(&core.store) as _,
            ask: Arc::clone(&core.engine) as _,
            notifiers: outbox.notifiers(),
            memory: memory_of(&config.store.data_dir),
            clock: ports::Clock::default(),
            settings: Settings {
                workspace: WORKSPACE.to_owned(),
                ..Settings::default()
            },
        },
    )?)
}

fn memory_of(data_dir: &Path) -> Arc<dyn memory::Memory> {
    Arc::new(memory::FileMemory::new(data_dir.join("alerts.json")))
}

/// Port 8080: console, REST API, metrics, health.
fn router(
    core: &Core,
    (control, alerts, outbox, gauges, obeyed): (
        &Arc<Control>,
        &Arc<Alerts>,
        &Arc<Outbox>,
        &Arc<Gauges>,
        Arc<Histogram>,
    ),
    instance: &str,
    data_dir: &Path,
    hosts: Hosts,
) -> axum::Router {
    let data = Arc::new(Fleet {
        engine: Arc::clone(&core.engine),
        control: Arc::clone(control),
    });
    let now = Arc::new(|| chrono::Utc::now().timestamp_nanos_opt().unwrap_or(i64::MAX));
    let console = ConsoleState::new(data, WORKSPACE, hosts.clone(), now);
    let guard = Guard {
        door: Arc::clone(core.ingest.door()),
        ingest: Arc::clone(&core.ingest),
    };
    flyball_query::http::router(Arc::clone(&core.engine), WORKSPACE)
        .merge(crate::openapi::router())
        .merge(control::api::router(Arc::clone(control)))
        .merge(flyball_dashboards::console::router(console))
        .merge(backups::router(Arc::clone(&core.store), data_dir))
        .merge(trust_api::router(
            Arc::clone(alerts),
            Arc::clone(&core.store),
        ))
        .merge(ledger_api::router(Arc::clone(&core.store)))
        .merge(alerts_api::router(
            Arc::clone(outbox),
            Arc::clone(&core.store),
        ))
        .merge(keys_api::router(Desk {
            store: Arc::clone(&core.store),
            keys: Arc::clone(&core.keys),
        }))
        .merge(http::router(
            Arc::clone(&core.store),
            core.asker(),
            Arc::clone(&core.ingest),
            (Arc::clone(alerts), Arc::clone(outbox), obeyed),
            Arc::clone(gauges),
            instance,
        ))
        .layer(from_fn_with_state(guard, access::guard))
        .layer(from_fn_with_state(hosts, same_origin))
}

/// The console's figures, from the engine and the control plane.
#[derive(Debug)]
struct Fleet {
    engine: Arc<Engine>,
    control: Arc<Control>,
}

#[async_trait::async_trait]
impl FleetData for Fleet {
    async fn query(&self, sql: &str) -> Result<Vec<arrow::array::RecordBatch>, String> {
        self.engine
            .query(WORKSPACE, sql)
            .await
            .map_err(|e| e.to_string())
    }

    fn control_view(&self) -> Arc<View> {
        self.control.view()
    }
}
