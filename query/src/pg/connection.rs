//! One connection: startup, the simple and the extended protocol, cancel.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::SessionContext;
use datafusion::sql::sqlparser::ast::Statement;
use datafusion_pg_catalog::sql::PostgresCompatibilityParser;
use datafusion_postgres::QueryHook;
use datafusion_postgres::arrow_pg::datatypes::df::deserialize_parameters_with_server_types;
use datafusion_postgres::arrow_pg::datatypes::{arrow_schema_to_pg_fields, encode_recordbatch};
use datafusion_postgres::hooks::HookClient;
use datafusion_postgres::hooks::set_show::SetShowHook;
use datafusion_postgres::hooks::transactions::TransactionStatementHook;
use datafusion_postgres::pgwire::api::auth::StartupHandler;
use datafusion_postgres::pgwire::api::cancel::CancelHandler;
use datafusion_postgres::pgwire::api::portal::{Format, Portal};
use datafusion_postgres::pgwire::api::query::{ExtendedQueryHandler, SimpleQueryHandler};
use datafusion_postgres::pgwire::api::results::{FieldInfo, QueryResponse, Response, Tag};
use datafusion_postgres::pgwire::api::store::PortalStore;
use datafusion_postgres::pgwire::api::{ClientInfo, ClientPortalStore, PgWireServerHandlers};
use datafusion_postgres::pgwire::error::{PgWireError, PgWireResult};
use datafusion_postgres::pgwire::messages::PgWireBackendMessage;
use datafusion_postgres::pgwire::messages::data::DataRow;
use datafusion_postgres::pgwire::types::format::FormatOptions;
use futures::{Sink, StreamExt};
use parking_lot::Mutex;
use ring::rand::{SecureRandom as _, SystemRandom};

use super::cancel::{Connections, Signal};
use super::errors;
use super::prepared::{Parser, Prepared, parameters};
use super::startup::{Seat, Startup, refused, seated};
use crate::executor::Executor;
use crate::gate::{Entrance, Gate};
use crate::{Engine, Error, Result, Session};

/// The client's `statement_timeout` as the SET hook keeps it, milliseconds.
const TIMEOUT_KEY: &str = "statement_timeout_ms";

/// What the connections of a port have in common.
pub(super) struct Port {
    engine: Arc<Engine>,
    entrance: Entrance,
    seed: [u8; 32],
    connections: Arc<Connections>,
    dialect: Arc<PostgresCompatibilityParser>,
    /// What a SET that only PostgreSQL knows is carried out on: nothing of ours.
    nowhere: SessionContext,
}

impl Port {
    /// # Errors
    /// [`Error::Write`] when the machine has no random numbers.
    pub(super) fn new(engine: Arc<Engine>, entrance: Entrance) -> Result<Self> {
        let mut seed = [0; 32];
        SystemRandom::new()
            .fill(&mut seed)
            .map_err(|_| std::io::Error::other("no random numbers are to be had"))?;
        Ok(Self {
            engine,
            entrance,
            seed,
            connections: Arc::default(),
            dialect: Arc::new(PostgresCompatibilityParser::new()),
            nowhere: SessionContext::new(),
        })
    }

    /// The handlers of a new connection.
    pub(super) fn open(&self) -> Connection {
        let signal = Signal::default();
        let seat = Seat::default();
        Connection {
            service: Arc::new(Service {
                parser: Arc::new(Parser::new(Arc::clone(&seat), Arc::clone(&self.dialect))),
                gate: Arc::clone(&self.entrance.gate),
                seat: Arc::clone(&seat),
                hooks: [Arc::new(SetShowHook), Arc::new(TransactionStatementHook)],
                nowhere: self.nowhere.clone(),
                signal: signal.clone(),
            }),
            startup: Arc::new(Startup {
                engine: Arc::clone(&self.engine),
                entrance: self.entrance.clone(),
                connections: Arc::clone(&self.connections),
                signal,
                seat,
                seed: self.seed,
                exchange: Mutex::default(),
            }),
            connections: Arc::clone(&self.connections),
        }
    }
}

/// The handlers of one connection, all on one session.
pub(super) struct Connection {
    service: Arc<Service>,
    startup: Arc<Startup>,
    connections: Arc<Connections>,
}

impl PgWireServerHandlers for Connection {
    fn simple_query_handler(&self) -> Arc<impl SimpleQueryHandler> {
        Arc::clone(&self.service)
    }

    fn extended_query_handler(&self) -> Arc<impl ExtendedQueryHandler> {
        Arc::clone(&self.service)
    }

    fn startup_handler(&self) -> Arc<impl StartupHandler> {
        Arc::clone(&self.startup)
    }

    fn cancel_handler(&self) -> Arc<impl CancelHandler> {
        Arc::clone(&self.connections)
    }
}

/// Runs statements.
struct Service {
    gate: Arc<dyn Gate>,
    seat: Seat,
    parser: Arc<Parser>,
    hooks: [Arc<dyn QueryHook>; 2],
    nowhere: SessionContext,
    signal: Signal,
}

impl Service {
    /// The session of who was let in, if it still would be.
    fn session(&self) -> PgWireResult<&Session> {
        let guest = seated(&self.seat)?;
        self.gate.still(&guest.reader).map_err(refused)?;
        Ok(&guest.session)
    }

    async fn session_statement(
        &self,
        statement: &Statement,
        client: &mut dyn HookClient,
    ) -> PgWireResult<Response> {
        for hook in &self.hooks {
            if let Some(answer) = hook
                .handle_simple_query(statement, &self.nowhere, client)
                .await
            {
                return answer;
            }
        }
        Err(errors::state(
            "0A000",
            format!("{statement} is not supported"),
        ))
    }

    async fn run(
        &self,
        plan: LogicalPlan,
        format: &Format,
        client: &(impl ClientInfo + Sync),
    ) -> PgWireResult<Response> {
        let session = self.session()?;
        if matches!(plan, LogicalPlan::Statement(_)) {
            session.run(plan).await?;
            return Ok(Response::Execution(Tag::new("SET")));
        }
        let options = Arc::new(FormatOptions::from_client_metadata(client.metadata()));
        let rows = self
            .signal
            .watch(session.run_within(plan, limit(client, session.time_limit())))
            .await?;
        let fields = arrow_schema_to_pg_fields(&rows.schema(), format, Some(Arc::clone(&options)))?
            .into_iter()
            .map(|field| field.with_format_options(Arc::clone(&options)))
            .collect();
        let rows = encode(session.executor(), rows, Arc::new(fields)).await?;
        Ok(Response::Query(rows))
    }
}

/// What the client has set as its `statement_timeout`, else what holds for everybody.
fn limit(client: &impl ClientInfo, otherwise: Duration) -> Duration {
    let asked = client
        .metadata()
        .get(TIMEOUT_KEY)
        .and_then(|ms| ms.parse().ok());
    asked.map_or(otherwise, Duration::from_millis)
}

/// Rows as they go over the wire, written where statements run: a large answer takes nothing from those that send.
async fn encode(
    executor: &Executor,
    mut rows: SendableRecordBatchStream,
    fields: Arc<Vec<FieldInfo>>,
) -> Result<QueryResponse> {
    let columns = Arc::clone(&fields);
    let encoding = executor.pipe(|begun, encoded| async move {
        // There is nothing to say before the rows.
        let _ = begun.send(());
        while let Some(batch) = rows.next().await {
            let batch = batch.map_err(Error::from_stream)?;
            let part: Vec<PgWireResult<DataRow>> =
                encode_recordbatch(Arc::clone(&columns), batch).collect();
            if encoded.send(part).await.is_err() {
                break;
            }
        }
        Ok(())
    });
    let ((), encoded) = encoding.await?;
    let encoded = encoded.flat_map(|part| {
        futures::stream::iter(match part {
            Ok(rows) => rows,
            Err(error) => vec![Err(error.into())],
        })
    });
    Ok(QueryResponse::new(fields, encoded))
}

#[async_trait]
impl SimpleQueryHandler for Service {
    async fn do_query<C>(&self, client: &mut C, query: &str) -> PgWireResult<Vec<Response>>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let statements = self.parser.statements(query).await?;
        if statements.is_empty() {
            return Ok(vec![Response::EmptyQuery]);
        }
        let mut answers = Vec::with_capacity(statements.len());
        for statement in statements {
            answers.push(match self.parser.prepare(statement).await? {
                Prepared::Query(plan) => {
                    let plan = Arc::unwrap_or_clone(plan);
                    self.run(plan, &Format::UnifiedText, client).await?
                }
                Prepared::Session(statement) => self.session_statement(&statement, client).await?,
                Prepared::Nothing(tag) => Response::Execution(Tag::new(tag)),
            });
        }
        Ok(answers)
    }
}

#[async_trait]
impl ExtendedQueryHandler for Service {
    type Statement = Prepared;
    type QueryParser = Parser;

    fn query_parser(&self) -> Arc<Parser> {
        Arc::clone(&self.parser)
    }

    async fn do_query<C>(
        &self,
        client: &mut C,
        portal: &Portal<Prepared>,
        _max_rows: usize,
    ) -> PgWireResult<Response>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Prepared>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        match &portal.statement.statement {
            Prepared::Query(plan) => {
                let parameters = parameters(plan)?;
                let arrow: Vec<_> = parameters.iter().map(|p| p.arrow.as_ref()).collect();
                let wire: Vec<_> = parameters.iter().map(|p| Some(&p.wire)).collect();
                let values = deserialize_parameters_with_server_types(portal, &arrow, &wire)?;
                let plan = Arc::clone(plan);
                // A plan is a tree: it is copied where the stack is deep enough.
                let bound = async move {
                    let plan = LogicalPlan::clone(&plan);
                    plan.replace_params_with_values(&values)
                        .map_err(Error::invalid)
                };
                let plan = seated(&self.seat)?.session.executor().run(bound).await?;
                self.run(plan, &portal.result_column_format, client).await
            }
            Prepared::Session(statement) => self.session_statement(statement, client).await,
            Prepared::Nothing(tag) => Ok(Response::Execution(Tag::new(tag))),
        }
    }
}
