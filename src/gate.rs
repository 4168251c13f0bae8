//! The door, as the ports for SQL ask at it.

use std::sync::Arc;

use flyball_ingest::Error;
use flyball_ingest::door::{Caller, Door};
use flyball_query::gate::{Gate, Reader, Refused, Verifier};

use crate::access::ASKERS;

/// What stands for a key's id where somebody has the secret of this run. No key is called so.
const LOCAL: &str = "local";

/// Lets in whom the door lets in to ask.
#[derive(Debug)]
pub(crate) struct DoorGate(pub(crate) Arc<Door>);

impl Gate for DoorGate {
    fn is_locked(&self) -> bool {
        self.0.is_locked()
    }

    fn with_secret(&self, secret: &str) -> Result<Reader, Refused> {
        let caller = self.0.admit_secret(secret, ASKERS);
        caller.map(reader).map_err(refused)
    }

    fn verifier(&self, key_id: &str) -> Option<Verifier> {
        let scram = self.0.scram(key_id)?;
        Some(Verifier {
            salt: scram.salt,
            iterations: scram.iterations.get(),
            stored_key: scram.stored_key,
            server_key: scram.server_key,
        })
    }

    fn proven(&self, key_id: &str) -> Result<Reader, Refused> {
        let caller = self.0.admit_proven(key_id, ASKERS);
        caller.map(reader).map_err(refused)
    }

    fn still(&self, who: &Reader) -> Result<(), Refused> {
        match who.key_id.as_deref() {
            Some(LOCAL) => Ok(()),
            Some(id) => self.proven(id).map(drop),
            // Who came before the first key was made.
            None => self.0.still_admits(&Caller::Anyone).map_err(refused),
        }
    }
}

fn reader(caller: Caller) -> Reader {
    match caller {
        Caller::Anyone => Reader::default(),
        Caller::Local => Reader {
            key_id: Some(LOCAL.to_owned()),
            workspace: None,
        },
        Caller::Key(key) => Reader {
            key_id: Some(key.id.clone()),
            workspace: Some(key.workspace.clone()),
        },
    }
}

fn refused(error: Error) -> Refused {
    let reason = error.to_string();
    match error.retry_after() {
        Some(retry_after) => Refused::TooFast {
            reason,
            retry_after,
        },
        None if matches!(error, Error::Forbidden { .. }) => Refused::Forbidden(reason),
        None => Refused::Unauthenticated(reason),
    }
}
