//! Actions: preparing and closing statements, ending what runs, the options of a session; and those that would write.

use std::collections::BTreeMap;

use arrow::datatypes::Schema;
use arrow::error::ArrowError;
use arrow::ipc::writer::IpcWriteOptions;
use arrow_flight::sql::{
    ActionCancelQueryRequest, ActionClosePreparedStatementRequest,
    ActionCreatePreparedStatementRequest, ActionCreatePreparedStatementResult, Command,
    ProstMessageExt,
};
use arrow_flight::{Action, IpcMessage, SchemaAsIpc};
use tonic::Status;

use super::batches;
use super::caller::{self, Caller};
use super::parameters;
use super::service::{Port, command, no_transaction};
use super::statement::{self, Statement};
use super::wire::{self, Message, Value};
use crate::engine::{CATALOG, SCHEMA};
use crate::reading::READ;
use crate::{Error, guard};

/// Their names, and what each takes and gives.
pub(super) const ALL: [(&str, &str); 7] = [
    (
        "CreatePreparedStatement",
        "ActionCreatePreparedStatementRequest -> ActionCreatePreparedStatementResult",
    ),
    (
        "ClosePreparedStatement",
        "ActionClosePreparedStatementRequest -> nothing",
    ),
    (
        "CancelFlightInfo",
        "CancelFlightInfoRequest -> CancelFlightInfoResult",
    ),
    (
        "CancelQuery",
        "ActionCancelQueryRequest -> ActionCancelQueryResult",
    ),
    (
        "SetSessionOptions",
        "SetSessionOptionsRequest -> SetSessionOptionsResult",
    ),
    (
        "GetSessionOptions",
        "GetSessionOptionsRequest -> GetSessionOptionsResult",
    ),
    ("CloseSession", "CloseSessionRequest -> CloseSessionResult"),
];

pub(super) fn no_transactions() -> Status {
    Status::unimplemented(
        "there are no transactions: this surface only reads, and each statement sees all tables at one moment",
    )
}

/// Carries one out; the bodies of its results.
pub(super) async fn carry_out(
    port: &Port,
    caller: &Caller,
    action: &Action,
) -> Result<Vec<Vec<u8>>, Status> {
    let body = &action.body;
    Ok(match action.r#type.as_str() {
        "CreatePreparedStatement" => vec![prepare(port, caller, unpack(body)?).await?],
        "ClosePreparedStatement" => {
            let asked: ActionClosePreparedStatementRequest = unpack(body)?;
            port.prepared
                .close(caller, &asked.prepared_statement_handle);
            Vec::new()
        }
        "CancelFlightInfo" => {
            // CancelFlightInfoRequest.info; CancelFlightInfoResult.status.
            let ended = cancel(port, caller, wire::bytes(body, 1))?;
            vec![Message::default().varint(1, ended).done()]
        }
        "CancelQuery" => {
            let asked: ActionCancelQueryRequest = unpack(body)?;
            let result = arrow_flight::sql::ActionCancelQueryResult {
                result: cancel(port, caller, Some(&asked.info))? as i32,
            };
            vec![wire::packed(&result.as_any())]
        }
        "SetSessionOptions" => vec![set_options(port, caller, body).await?],
        "GetSessionOptions" => vec![get_options(caller)],
        "CloseSession" => {
            port.door.close(caller);
            // CloseSessionResult.CLOSED.
            vec![Message::default().varint(1, 1).done()]
        }
        "BeginTransaction" | "EndTransaction" | "BeginSavepoint" | "EndSavepoint" => {
            return Err(no_transactions());
        }
        other => {
            let known: Vec<_> = ALL.iter().map(|(name, _)| *name).collect();
            return Err(Status::unimplemented(format!(
                "no action is called {other:?}: there are {}",
                known.join(", ")
            )));
        }
    })
}

fn unpack<M: ProstMessageExt>(body: &[u8]) -> Result<M, Status> {
    let any = wire::unpacked(body);
    let message = any.and_then(|any| any.unpack().ok().flatten());
    message.ok_or_else(|| {
        Status::invalid_argument(format!("the body of this action is no {}", M::type_url()))
    })
}

async fn prepare(
    port: &Port,
    caller: &Caller,
    asked: ActionCreatePreparedStatementRequest,
) -> Result<Vec<u8>, Status> {
    no_transaction(asked.transaction_id)?;
    let session = caller.session(&port.engine).await?;
    let plan = statement::plan(&session, &asked.query).await?;
    let parameters = parameters::schema(&parameters::types(&plan)?);
    let result = ActionCreatePreparedStatementResult {
        prepared_statement_handle: port
            .prepared
            .create(caller, &asked.query)?
            .into_bytes()
            .into(),
        dataset_schema: ipc(&batches::sent(plan.schema().as_arrow()))?.into(),
        parameter_schema: ipc(&parameters)?.into(),
    };
    Ok(wire::packed(&result.as_any()))
}

/// A schema as a message; nothing when it has no columns, which is how clients tell.
fn ipc(schema: &Schema) -> Result<Vec<u8>, Status> {
    if schema.fields().is_empty() {
        return Ok(Vec::new());
    }
    let options = IpcWriteOptions::default();
    let message: Result<IpcMessage, ArrowError> = SchemaAsIpc::new(schema, &options).try_into();
    Ok(message.map_err(Error::Encode)?.0.to_vec())
}

/// `CancelStatus`: cancelled, or not cancellable since nothing of it runs.
const CANCELLED: u64 = 1;
const NOT_CANCELLABLE: u64 = 3;

/// Ends what the tickets of a `FlightInfo` started.
fn cancel(port: &Port, caller: &Caller, info: Option<&[u8]>) -> Result<u64, Status> {
    let unreadable =
        || Status::invalid_argument("no FlightInfo of this server's is in the request");
    let fields = info.and_then(wire::fields).ok_or_else(unreadable)?;
    let mut ended = NOT_CANCELLABLE;
    for (number, value) in fields {
        // FlightInfo.endpoint, FlightEndpoint.ticket, Ticket.ticket.
        if let (3, Value::Bytes(endpoint)) = (number, value) {
            let ticket = wire::bytes(endpoint, 1).and_then(|ticket| wire::bytes(ticket, 1));
            if let Command::TicketStatementQuery(ticket) = command(ticket.ok_or_else(unreadable)?)?
            {
                let (_, name) = Statement::of_ticket(&ticket)?;
                if port.running.end(&name, &caller.reader) {
                    ended = CANCELLED;
                }
            }
        }
    }
    Ok(ended)
}

/// The errors of `SetSessionOptionsResult`.
const INVALID_NAME: u64 = 1;
const INVALID_VALUE: u64 = 2;

/// Sets options: `catalog` and `schema`, of which there is one each, and those that SET knows. What is wrong is told
/// by name, and the others are set.
async fn set_options(port: &Port, caller: &Caller, body: &[u8]) -> Result<Vec<u8>, Status> {
    let unreadable =
        || Status::invalid_argument("the body of this action is no SetSessionOptionsRequest");
    let mut result = Message::default();
    for (_, entry) in wire::fields(body).ok_or_else(unreadable)? {
        let Value::Bytes(entry) = entry else {
            return Err(unreadable());
        };
        let name = wire::text(entry, 1).ok_or_else(unreadable)?;
        let value = option_value(wire::bytes(entry, 2).unwrap_or_default());
        let outcome = match value.ok_or_else(unreadable)? {
            Some(value) => set_option(port, caller, name, value).await,
            None => Err(INVALID_VALUE),
        };
        if let Err(error) = outcome {
            let error = Message::default().varint(1, error);
            let entry = Message::default()
                .bytes(1, name.as_bytes())
                .bytes(2, &error.done());
            result = result.bytes(1, &entry.done());
        }
    }
    Ok(result.done())
}

async fn set_option(port: &Port, caller: &Caller, name: &str, value: String) -> Result<(), u64> {
    let only = |known: &str| {
        if value == known {
            Ok(())
        } else {
            Err(INVALID_VALUE)
        }
    };
    match name {
        "catalog" => return only(CATALOG),
        "schema" => return only(SCHEMA),
        _ => guard::settable(name).map_err(|_| INVALID_NAME)?,
    }
    let session = caller
        .session(&port.engine)
        .await
        .map_err(|_| INVALID_VALUE)?;
    let set = caller::set(name.to_owned(), value);
    let done = caller.settings.carry_out(&session, set).await;
    done.map_err(|_| INVALID_VALUE)
}

/// A `SessionOptionValue` as SET takes it: the outer None when it is not readable, the inner when it has no such form.
fn option_value(value: &[u8]) -> Option<Option<String>> {
    Some(match wire::fields(value)?.last() {
        Some((1, Value::Bytes(text))) => Some(std::str::from_utf8(text).ok()?.to_owned()),
        Some((2, Value::Varint(yes))) => Some((*yes != 0).to_string()),
        Some((3, Value::Fixed64(number))) => Some(i64::from_le_bytes(*number).to_string()),
        Some((4, Value::Fixed64(number))) => Some(f64::from_le_bytes(*number).to_string()),
        // No value, or a list of texts.
        _ => None,
    })
}

/// What holds in the caller's session, as `GetSessionOptionsResult`.
fn get_options(caller: &Caller) -> Vec<u8> {
    let mut options = BTreeMap::from(
        [("catalog", CATALOG), ("schema", SCHEMA), (READ, "latest")]
            .map(|(name, value)| (name.to_owned(), value.to_owned())),
    );
    options.extend(caller.settings.all());
    let options = options
        .iter()
        .fold(Message::default(), |result, (name, value)| {
            let value = Message::default().bytes(1, value.as_bytes());
            let entry = Message::default()
                .bytes(1, name.as_bytes())
                .bytes(2, &value.done());
            result.bytes(1, &entry.done())
        });
    options.done()
}
