//! The calls of Arrow Flight, and what each Flight SQL command in them comes to.

use std::pin::Pin;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::ipc::writer::IpcWriteOptions;
use arrow_flight::decode::FlightRecordBatchStream;
use arrow_flight::error::FlightError;
use arrow_flight::flight_service_server::FlightService;
use arrow_flight::sql::{
    Any, Command, DoPutPreparedStatementResult, DoPutUpdateResult, ProstMessageExt,
};
use arrow_flight::{
    Action, ActionType, Criteria, Empty, FlightData, FlightDescriptor, FlightEndpoint, FlightInfo,
    HandshakeRequest, HandshakeResponse, PollInfo, PutResult, SchemaAsIpc, SchemaResult, Ticket,
};
use futures::{Stream, StreamExt, TryStreamExt};
use tonic::metadata::AsciiMetadataValue;
use tonic::{Request, Response, Status, Streaming};

use super::actions;
use super::batches;
use super::caller::{Caller, Door};
use super::catalog::Facts;
use super::parameters;
use super::prepared::Prepared;
use super::statement::{Name, Planned, Running, Statement};
use super::wire;
use crate::{Engine, Error};

/// What the calls of a port have in common.
#[derive(Debug)]
pub(super) struct Port {
    pub(super) engine: Arc<Engine>,
    pub(super) door: Arc<Door>,
    pub(super) prepared: Prepared,
    pub(super) running: Arc<Running>,
    pub(super) facts: Facts,
}

/// What a command will be answered: its columns, the ticket to fetch them with, and the plan, if it is a statement.
struct Offer {
    schema: SchemaRef,
    ticket: Vec<u8>,
    planned: Option<Planned>,
}

type Reply<T> = Result<Response<T>, Status>;
type Messages<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// The command in a descriptor, a ticket or an action.
pub(super) fn command(packed: &[u8]) -> Result<Command, Status> {
    let unreadable = || Status::invalid_argument("this is no Flight SQL command");
    let any: Any = wire::unpacked(packed).ok_or_else(unreadable)?;
    match Command::try_from(any).map_err(|_| unreadable())? {
        Command::Unknown(any) => Err(Status::invalid_argument(format!(
            "{:?} is no Flight SQL command",
            any.type_url
        ))),
        command => Ok(command),
    }
}

/// Statements stand for themselves here.
pub(super) fn no_transaction<T>(id: Option<T>) -> Result<(), Status> {
    match id {
        None => Ok(()),
        Some(_) => Err(actions::no_transactions()),
    }
}

fn elsewhere(command: &Command, call: &str) -> Status {
    Status::invalid_argument(format!(
        "{} does not belong into {call}",
        command.type_url()
    ))
}

fn read_only(statement: String) -> Status {
    Error::ReadOnly { statement }.into()
}

fn no_substrait() -> Status {
    Status::unimplemented("Substrait plans are not read: send SQL")
}

impl Port {
    /// Looks at a command, plans it if it is a statement, and runs nothing.
    async fn offer(&self, caller: &Caller, descriptor: &FlightDescriptor) -> Result<Offer, Status> {
        let statement = match command(&descriptor.cmd)? {
            Command::CommandStatementQuery(asked) => {
                no_transaction(asked.transaction_id)?;
                Statement {
                    sql: asked.query,
                    row: None,
                }
            }
            Command::CommandPreparedStatementQuery(asked) => self
                .prepared
                .get(caller, &asked.prepared_statement_handle)?,
            Command::CommandStatementSubstraitPlan(_) => return Err(no_substrait()),
            other => {
                let refused = elsewhere(&other, "GetFlightInfo");
                let answer = self.facts.answer(&self.engine, other).await?;
                return Ok(Offer {
                    schema: answer.ok_or(refused)?.schema(),
                    // The command itself will do.
                    ticket: descriptor.cmd.to_vec(),
                    planned: None,
                });
            }
        };
        let planned = statement.plan(&self.engine, caller).await?;
        Ok(Offer {
            schema: Arc::clone(&planned.schema),
            ticket: statement.ticket()?,
            planned: Some(planned),
        })
    }

    /// What a ticket stands for.
    async fn rows(&self, caller: &Caller, ticket: &Ticket) -> Result<Messages<FlightData>, Status> {
        let (statement, name): (_, Name) = match command(&ticket.ticket)? {
            Command::TicketStatementQuery(ticket) => Statement::of_ticket(&ticket)?,
            Command::CommandPreparedStatementQuery(asked) => {
                let statement = self
                    .prepared
                    .get(caller, &asked.prepared_statement_handle)?;
                (statement, Name::default())
            }
            other => {
                let refused = elsewhere(&other, "a ticket");
                let answer = self.facts.answer(&self.engine, other).await?;
                return Ok(batches::once(answer.ok_or(refused)?)?);
            }
        };
        let planned = statement.plan(&self.engine, caller).await?;
        let schema = Arc::clone(&planned.schema);
        let rows = planned.rows().await?;
        Ok(batches::stream(
            schema,
            self.running.watch(name, caller, rows),
        ))
    }

    /// What is put is parameters, or a statement that a client takes for an update.
    async fn put(
        &self,
        caller: &Caller,
        first: FlightData,
        rest: Streaming<FlightData>,
    ) -> Result<PutResult, Status> {
        let named = first.flight_descriptor.as_ref();
        let named =
            named.ok_or_else(|| Status::invalid_argument("the first message has no descriptor"))?;
        let statement = match command(&named.cmd)? {
            Command::CommandPreparedStatementQuery(asked) => {
                let handle = asked.prepared_statement_handle;
                let messages = parameters::bounded(futures::stream::iter([Ok(first)]).chain(rest));
                let messages = messages.map_err(|status| FlightError::Tonic(Box::new(status)));
                let batches: Vec<_> = FlightRecordBatchStream::new_from_flight_data(messages)
                    .try_collect()
                    .await
                    .map_err(not_rows)?;
                if batches.iter().any(|batch| batch.num_columns() > 0) {
                    self.prepared
                        .bind(caller, &handle, &parameters::one_row(&batches)?)?;
                }
                return Ok(put_result(&DoPutPreparedStatementResult {
                    prepared_statement_handle: Some(handle),
                }));
            }
            Command::CommandStatementUpdate(asked) => {
                no_transaction(asked.transaction_id)?;
                Statement {
                    sql: asked.query,
                    row: None,
                }
            }
            Command::CommandPreparedStatementUpdate(asked) => self
                .prepared
                .get(caller, &asked.prepared_statement_handle)?,
            Command::CommandStatementIngest(asked) => {
                return Err(read_only(format!("bulk ingestion into {}", asked.table)));
            }
            Command::CommandStatementSubstraitPlan(_) => return Err(no_substrait()),
            other => return Err(elsewhere(&other, "DoPut")),
        };
        let record_count = statement.update(&self.engine, caller).await?;
        Ok(put_result(&DoPutUpdateResult { record_count }))
    }
}

/// What a client sent as rows and is none is the client's fault.
fn not_rows(error: FlightError) -> Status {
    match error {
        FlightError::Tonic(status) => *status,
        other => Status::invalid_argument(format!("the parameters are not readable: {other}")),
    }
}

fn put_result(message: &impl ProstMessageExt) -> PutResult {
    PutResult {
        app_metadata: message.as_any().value,
    }
}

#[tonic::async_trait]
impl FlightService for Port {
    type HandshakeStream = Messages<HandshakeResponse>;
    type ListFlightsStream = Messages<FlightInfo>;
    type DoGetStream = Messages<FlightData>;
    type DoPutStream = Messages<PutResult>;
    type DoActionStream = Messages<arrow_flight::Result>;
    type ListActionsStream = Messages<ActionType>;
    type DoExchangeStream = Messages<FlightData>;

    /// The door has let the call in; it gets a token to do without its key.
    async fn handshake(
        &self,
        request: Request<Streaming<HandshakeRequest>>,
    ) -> Reply<Self::HandshakeStream> {
        let token = self.door.handshake(&Caller::of(&request)?)?;
        let header = AsciiMetadataValue::try_from(format!("Bearer {token}"))
            .map_err(|_| Status::internal("the token does not fit into a header"))?;
        let answer = HandshakeResponse {
            protocol_version: 0,
            payload: token.into_bytes().into(),
        };
        let mut response = Response::new(futures::stream::iter([Ok(answer)]).boxed());
        response.metadata_mut().insert("authorization", header);
        Ok(response)
    }

    async fn get_flight_info(&self, request: Request<FlightDescriptor>) -> Reply<FlightInfo> {
        let caller = Caller::of(&request)?;
        let descriptor = request.into_inner();
        let offer = self.offer(&caller, &descriptor).await?;
        let endpoint = FlightEndpoint::new().with_ticket(Ticket::new(offer.ticket));
        let info = FlightInfo::new()
            .try_with_schema(&offer.schema)
            .map_err(Error::Encode)?;
        if let Some(planned) = offer.planned {
            planned.begin(&caller).await?;
        }
        Ok(Response::new(
            info.with_endpoint(endpoint).with_descriptor(descriptor),
        ))
    }

    async fn get_schema(&self, request: Request<FlightDescriptor>) -> Reply<SchemaResult> {
        let caller = Caller::of(&request)?;
        let schema = self.offer(&caller, request.get_ref()).await?.schema;
        let options = IpcWriteOptions::default();
        let schema = SchemaAsIpc::new(&schema, &options).try_into();
        Ok(Response::new(schema.map_err(Error::Encode)?))
    }

    async fn do_get(&self, request: Request<Ticket>) -> Reply<Self::DoGetStream> {
        let caller = Caller::of(&request)?;
        Ok(Response::new(self.rows(&caller, request.get_ref()).await?))
    }

    async fn do_put(&self, request: Request<Streaming<FlightData>>) -> Reply<Self::DoPutStream> {
        let caller = Caller::of(&request)?;
        let mut messages = request.into_inner();
        let first = messages.message().await?;
        let first = first.ok_or_else(|| Status::invalid_argument("nothing was put"))?;
        let result = self.put(&caller, first, messages).await?;
        Ok(Response::new(futures::stream::iter([Ok(result)]).boxed()))
    }

    async fn do_action(&self, request: Request<Action>) -> Reply<Self::DoActionStream> {
        let caller = Caller::of(&request)?;
        let results = actions::carry_out(self, &caller, request.get_ref()).await?;
        let results = results
            .into_iter()
            .map(|body| Ok(arrow_flight::Result { body: body.into() }));
        Ok(Response::new(futures::stream::iter(results).boxed()))
    }

    async fn list_actions(&self, request: Request<Empty>) -> Reply<Self::ListActionsStream> {
        Caller::of(&request)?;
        let actions = actions::ALL.map(|(name, description)| {
            Ok(ActionType {
                r#type: name.to_owned(),
                description: description.to_owned(),
            })
        });
        Ok(Response::new(futures::stream::iter(actions).boxed()))
    }

    async fn list_flights(&self, _request: Request<Criteria>) -> Reply<Self::ListFlightsStream> {
        Err(Status::unimplemented(
            "flights are not listed: ask for tables with CommandGetTables",
        ))
    }

    async fn poll_flight_info(&self, _request: Request<FlightDescriptor>) -> Reply<PollInfo> {
        Err(Status::unimplemented(
            "a statement is not polled: GetFlightInfo answers at once, DoGet streams",
        ))
    }

    async fn do_exchange(
        &self,
        _request: Request<Streaming<FlightData>>,
    ) -> Reply<Self::DoExchangeStream> {
        Err(Status::unimplemented(
            "nothing is exchanged here: use GetFlightInfo and DoGet",
        ))
    }
}
