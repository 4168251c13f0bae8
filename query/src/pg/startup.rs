//! Who is let in: without keys everybody on this machine; with them whoever proves the secret of the key whose id is
//! the user name, on the workspace that is the database.

use std::fmt::Debug;
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use datafusion_postgres::pgwire::api::auth::{
    DefaultServerParameterProvider, StartupHandler, finish_authentication, protocol_negotiation,
    save_startup_parameters_to_metadata,
};
use datafusion_postgres::pgwire::api::{
    ClientInfo, METADATA_DATABASE, METADATA_USER, PgWireConnectionState, PidSecretKeyGenerator,
    RandomPidSecretKeyGenerator,
};
use datafusion_postgres::pgwire::error::{PgWireError, PgWireResult};
use datafusion_postgres::pgwire::messages::startup::{Authentication, PasswordMessageFamily};
use datafusion_postgres::pgwire::messages::{PgWireBackendMessage, PgWireFrontendMessage};
use futures::{Sink, SinkExt};
use parking_lot::Mutex;

use super::cancel::{Connections, Signal};
use super::errors;
use super::scram::{Exchange, Failed, MECHANISM, nobody};
use crate::engine::CATALOG;
use crate::gate::{Entrance, Reader, Refused};
use crate::{Engine, Session};

/// Somebody who was let in.
#[derive(Debug)]
pub(super) struct Guest {
    pub(super) reader: Reader,
    pub(super) session: Session,
}

/// The place of a connection's guest; empty until one was let in, so that nothing can be asked before.
pub(super) type Seat = Arc<OnceLock<Guest>>;

/// Who was let in.
pub(super) fn seated(seat: &Seat) -> PgWireResult<&Guest> {
    seat.get()
        .ok_or_else(|| errors::fatal("28000", "nobody was let in on this connection".to_owned()))
}

/// The beginning of one connection.
pub(super) struct Startup {
    pub(super) engine: Arc<Engine>,
    pub(super) entrance: Entrance,
    pub(super) connections: Arc<Connections>,
    pub(super) signal: Signal,
    pub(super) seat: Seat,
    /// Of this port: makes up what those are asked whom nobody knows.
    pub(super) seed: [u8; 32],
    pub(super) exchange: Mutex<Option<Exchange>>,
}

impl Drop for Startup {
    fn drop(&mut self) {
        self.connections.closed(&self.signal);
    }
}

/// What is sent while somebody proves a secret.
enum Step {
    Challenge(String),
    Proven(String, Reader),
}

impl Startup {
    fn step(&self, message: PasswordMessageFamily, user: &str) -> PgWireResult<Step> {
        let exchange = self.exchange.lock().take();
        let Some(exchange) = exchange else {
            let first = message.into_sasl_initial_response()?;
            if first.auth_method != MECHANISM {
                let message = format!("{} is not offered: expected {MECHANISM}", first.auth_method);
                return Err(errors::fatal("28000", message));
            }
            let verifier = self.entrance.gate.verifier(user);
            let verifier = verifier.unwrap_or_else(|| nobody(user, &self.seed));
            let exchange = Exchange::begin(&first.data.unwrap_or_default(), verifier);
            let exchange = exchange.map_err(|why| not_proven(why, user))?;
            let challenge = exchange.challenge();
            *self.exchange.lock() = Some(exchange);
            return Ok(Step::Challenge(challenge));
        };
        let last = message.into_sasl_response()?;
        let proof = exchange.finish(&last.data);
        let proof = proof.map_err(|why| not_proven(why, user))?;
        let reader = self.entrance.gate.proven(user).map_err(refused)?;
        Ok(Step::Proven(proof, reader))
    }

    /// Gives the guest its seat: a session on the workspace of its key.
    fn seat(&self, reader: Reader, database: Option<&str>) -> PgWireResult<()> {
        let workspace: Arc<str> = match &reader.workspace {
            None => Arc::clone(&self.entrance.workspace),
            Some(own) => match database {
                Some(asked) if asked != own && asked != CATALOG => {
                    let message =
                        format!("database {asked:?}: expected {own:?}, which this key opens");
                    return Err(errors::fatal("3D000", message));
                }
                _ => own.as_str().into(),
            },
        };
        let session = self.engine.session(&workspace);
        // A connection that was let in is not asked again who it is.
        let _ = self.seat.set(Guest { reader, session });
        Ok(())
    }

    async fn let_in<C>(&self, client: &mut C) -> PgWireResult<()>
    where
        C: ClientInfo + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let (process, secret) = RandomPidSecretKeyGenerator::default().generate(client);
        client.set_pid_and_secret_key(process, secret);
        self.connections
            .opened(client.pid_and_secret_key(), self.signal.clone());
        finish_authentication(client, &DefaultServerParameterProvider::default()).await
    }
}

#[async_trait]
impl StartupHandler for Startup {
    async fn on_startup<C>(
        &self,
        client: &mut C,
        message: PgWireFrontendMessage,
    ) -> PgWireResult<()>
    where
        C: ClientInfo + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        match message {
            PgWireFrontendMessage::Startup(startup) => {
                protocol_negotiation(client, &startup).await?;
                save_startup_parameters_to_metadata(client, &startup);
                self.check_cover(client)?;
                if !self.entrance.gate.is_locked() {
                    self.seat(Reader::default(), None)?;
                    return self.let_in(client).await;
                }
                client.set_state(PgWireConnectionState::AuthenticationInProgress);
                let offer = Authentication::SASL(vec![MECHANISM.to_owned()]);
                client
                    .send(PgWireBackendMessage::Authentication(offer))
                    .await?;
            }
            PgWireFrontendMessage::PasswordMessageFamily(message) => {
                let told = |key| client.metadata().get(key).cloned();
                let (user, database) = (told(METADATA_USER), told(METADATA_DATABASE));
                match self.step(message, user.as_deref().unwrap_or_default())? {
                    Step::Challenge(text) => {
                        let text = Authentication::SASLContinue(text.into());
                        client
                            .send(PgWireBackendMessage::Authentication(text))
                            .await?;
                    }
                    Step::Proven(text, reader) => {
                        self.seat(reader, database.as_deref())?;
                        let text = Authentication::SASLFinal(text.into());
                        client
                            .feed(PgWireBackendMessage::Authentication(text))
                            .await?;
                        self.let_in(client).await?;
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }
}

impl Startup {
    /// Rows do not go over a network in the clear where TLS is spoken.
    fn check_cover(&self, client: &impl ClientInfo) -> PgWireResult<()> {
        if self.entrance.tls.is_some()
            && !client.is_secure()
            && !client.socket_addr().ip().is_loopback()
        {
            let message = "this server speaks TLS: connect with sslmode=require or better";
            return Err(errors::fatal("28000", message.to_owned()));
        }
        Ok(())
    }
}

fn not_proven(why: Failed, user: &str) -> PgWireError {
    match why {
        Failed::Malformed(what) => errors::fatal("08P01", format!("SCRAM: {what}")),
        Failed::Wrong => errors::fatal(
            "28P01",
            format!(
                "no key lets {user:?} in with that password: expected the id of a key as user (`flyball keys list`) and its \
                 secret as password; a key made by an older version has to be made anew"
            ),
        ),
    }
}

/// A refusal of the gate, after which nothing more is answered on this connection.
pub(super) fn refused(why: Refused) -> PgWireError {
    let code = match why {
        Refused::Unauthenticated(_) => "28000",
        Refused::Forbidden(_) => "42501",
        // A client that comes too often may go on when its time has come.
        Refused::TooFast { .. } => return errors::state("53400", why.to_string()),
    };
    errors::fatal(code, why.to_string())
}
