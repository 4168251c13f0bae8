//! Who calls: every call is let in by its own header, or not at all, before anything of it is read.
//!
//! `Bearer` with an API key, `Basic` with any user name and the key as the password, or `Bearer` with the token that
//! a handshake gave for one of these; or the key alone as `x-api-key`. What is set for a session is kept with the token, else with the connection.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue};
use datafusion::logical_expr::{LogicalPlan, SetVariable, Statement};
use parking_lot::Mutex;
use tonic::metadata::MetadataMap;
use tonic::{Request, Status};

use super::kept::Kept;
use crate::gate::{Entrance, Reader};
use crate::{Engine, Result, Session};

/// How our tokens begin, so that they are not taken for keys.
const TOKEN: &str = "fbs_";
/// The most handshakes of one key that are kept at a time.
const TOKENS_MAX: usize = 1024;
/// How long a token lives that nobody uses. Whether its key is still in force is asked at each call.
const TOKEN_IDLE_MAX: Duration = Duration::from_secs(24 * 3600);
/// The most keys whose settings one connection keeps: a proxy may carry the calls of many clients over one.
const KEYS_MAX: usize = 64;
/// The longest value of a setting, bytes.
const VALUE_MAX: usize = 1024;

const HOW: &str = "send `authorization: Bearer KEY`, or a user name with the key as the password";

/// Lets calls in.
#[derive(Debug)]
pub(super) struct Door {
    entrance: Entrance,
    /// Whether only this machine can reach the port.
    loopback: bool,
    tokens: Kept<Token>,
}

/// What a handshake came to.
#[derive(Debug, Clone)]
struct Token {
    settings: Arc<Settings>,
    /// Whether a key was asked for.
    locked: bool,
}

/// One connection: the settings of whoever made no handshake on it, by reader.
#[derive(Debug, Default)]
pub(super) struct Connection(Mutex<Vec<(Reader, Arc<Settings>)>>);

/// Who makes a call, and in which session.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    pub(super) reader: Reader,
    pub(super) settings: Arc<Settings>,
    workspace: Arc<str>,
    /// Whether a key was asked for.
    locked: bool,
    /// The token it came with.
    token: Option<String>,
}

/// Options that were set in a session, by name. They hold for its later statements.
#[derive(Debug, Default)]
pub(super) struct Settings(Mutex<BTreeMap<String, String>>);

/// What an `authorization` header says.
enum Shown {
    Nothing,
    Token(String),
    Secret(String),
}

impl Door {
    pub(super) fn new(entrance: Entrance, loopback: bool) -> Self {
        Self {
            entrance,
            loopback,
            tokens: Kept::new(TOKENS_MAX, TOKEN_IDLE_MAX),
        }
    }

    /// Lets a call in, or says why not. Who called goes along with the call.
    pub(super) fn admit(&self, mut call: Request<()>) -> std::result::Result<Request<()>, Status> {
        let connection = call.extensions().get::<Arc<Connection>>().cloned();
        let caller = self.caller(call.metadata(), &connection.unwrap_or_default())?;
        call.extensions_mut().insert(caller);
        Ok(call)
    }

    fn caller(
        &self,
        metadata: &MetadataMap,
        connection: &Connection,
    ) -> std::result::Result<Caller, Status> {
        let gate = &self.entrance.gate;
        let locked = gate.is_locked();
        if !locked && !self.loopback {
            return Err(Status::unauthenticated(
                "there is no API key any more: until there is one, this port serves nobody",
            ));
        }
        let shown = shown(metadata)?;
        if let Shown::Token(token) = &shown
            && let Some((reader, kept)) = self.tokens.get(token)
            // Who came in while nobody was asked for a key has shown none.
            && (kept.locked || !locked)
        {
            gate.still(&reader)?;
            return Ok(self.call(reader, kept.settings, locked, Some(token.clone())));
        }
        let reader = match shown {
            _ if !locked => Reader::default(),
            Shown::Secret(secret) => gate.with_secret(&secret)?,
            Shown::Token(_) => {
                return Err(Status::unauthenticated(format!(
                    "the token of this session is not known or has expired: connect again ({HOW})"
                )));
            }
            Shown::Nothing => {
                return Err(Status::unauthenticated(format!("no API key: {HOW}")));
            }
        };
        let settings = connection.settings(&reader)?;
        Ok(self.call(reader, settings, locked, None))
    }

    fn call(
        &self,
        reader: Reader,
        settings: Arc<Settings>,
        locked: bool,
        token: Option<String>,
    ) -> Caller {
        let workspace = match &reader.workspace {
            Some(workspace) => workspace.as_str().into(),
            None => Arc::clone(&self.entrance.workspace),
        };
        Caller {
            reader,
            settings,
            workspace,
            locked,
            token,
        }
    }

    /// Begins a session; the token that names it from now on.
    pub(super) fn handshake(&self, caller: &Caller) -> std::result::Result<String, Status> {
        let token = Token {
            settings: Arc::default(),
            locked: caller.locked,
        };
        let name = self.tokens.keep(&caller.reader, token)?;
        Ok(format!("{TOKEN}{name}"))
    }

    /// Ends the caller's session: what was set is forgotten, and its token.
    pub(super) fn close(&self, caller: &Caller) {
        caller.settings.0.lock().clear();
        if let Some(token) = &caller.token {
            self.tokens.forget(token);
        }
    }
}

impl Connection {
    fn settings(&self, reader: &Reader) -> std::result::Result<Arc<Settings>, Status> {
        let mut known = self.0.lock();
        if let Some((_, settings)) = known.iter().find(|(other, _)| other == reader) {
            return Ok(Arc::clone(settings));
        }
        if known.len() >= KEYS_MAX {
            return Err(Status::resource_exhausted(format!(
                "more than {KEYS_MAX} keys on one connection: make a handshake for each session"
            )));
        }
        let settings = Arc::<Settings>::default();
        known.push((reader.clone(), Arc::clone(&settings)));
        Ok(settings)
    }
}

impl Caller {
    /// Who made this call: the door let it in.
    pub(super) fn of<T>(call: &Request<T>) -> std::result::Result<Self, Status> {
        let caller = call.extensions().get::<Self>().cloned();
        caller.ok_or_else(|| Status::unauthenticated("this call came past the door"))
    }

    /// A session on the caller's workspace, with what was set before.
    pub(super) async fn session(&self, engine: &Engine) -> Result<Session> {
        let session = engine.session(&self.workspace);
        for (variable, value) in self.settings.all() {
            session.run(set(variable, value)).await?;
        }
        Ok(session)
    }
}

impl Settings {
    /// All there are, by name.
    pub(super) fn all(&self) -> BTreeMap<String, String> {
        self.0.lock().clone()
    }

    /// Carries out a SET or RESET, and remembers it for the session's later statements. Another plan is none.
    ///
    /// # Errors
    /// When the option is not one that a session may set, or does not take the value.
    pub(super) async fn carry_out(&self, session: &Session, plan: LogicalPlan) -> Result<()> {
        if let LogicalPlan::Statement(Statement::SetVariable(SetVariable { variable, value })) =
            &plan
            && value.len() > VALUE_MAX
        {
            return Err(crate::Error::Request {
                message: format!(
                    "{variable} = {} bytes: a value has at most {VALUE_MAX}",
                    value.len()
                ),
            });
        }
        session.run(plan.clone()).await?;
        let mut set = self.0.lock();
        match plan {
            LogicalPlan::Statement(Statement::SetVariable(done)) => {
                set.insert(done.variable.to_ascii_lowercase(), done.value);
            }
            LogicalPlan::Statement(Statement::ResetVariable(done)) => {
                set.remove(&done.variable.to_ascii_lowercase());
            }
            _ => {}
        }
        Ok(())
    }
}

/// SET variable = value.
pub(super) fn set(variable: String, value: String) -> LogicalPlan {
    LogicalPlan::Statement(Statement::SetVariable(SetVariable { variable, value }))
}

fn shown(metadata: &MetadataMap) -> std::result::Result<Shown, Status> {
    let wrong = |what: &str| Status::unauthenticated(format!("{what}: {HOW}"));
    let unreadable = || wrong("the header with the key is not readable");
    let shown = |header| metadata.get_all(header).iter();
    let mut headers = shown("authorization")
        .map(|value| (true, value))
        .chain(shown("x-api-key").map(|value| (false, value)));
    let (scheme, rest) = match (headers.next(), headers.next()) {
        (None, _) => return Ok(Shown::Nothing),
        (Some(_), Some(_)) => return Err(wrong("several keys, of which one can count")),
        (Some((with_scheme, value)), None) => {
            let text = value.to_str().map_err(|_| unreadable())?;
            if with_scheme {
                text.split_once(' ').ok_or_else(unreadable)?
            } else {
                ("bearer", text)
            }
        }
    };
    let rest = rest.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return Ok(match rest.strip_prefix(TOKEN) {
            Some(name) => Shown::Token(name.to_owned()),
            None => Shown::Secret(rest.to_owned()),
        });
    }
    if scheme.eq_ignore_ascii_case("basic") {
        let (_, password) = basic(rest).ok_or_else(unreadable)?;
        return Ok(Shown::Secret(password));
    }
    Err(unreadable())
}

/// User name and password (RFC 7617).
fn basic(encoded: &str) -> Option<(String, String)> {
    // Binary metadata is in the same Base64: so tonic can read it.
    let mut headers = HeaderMap::new();
    headers.insert("basic-bin", HeaderValue::from_str(encoded).ok()?);
    let metadata = MetadataMap::from_headers(headers);
    let decoded = metadata.get_bin("basic-bin")?.to_bytes().ok()?;
    let text = std::str::from_utf8(&decoded).ok()?;
    let (user, password) = text.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// The examples of RFC 7617.
    #[test]
    fn basic_credentials_are_read() {
        let read = |text| basic(text).map(|(user, password)| format!("{user}|{password}"));
        assert_eq!(
            read("QWxhZGRpbjpvcGVuIHNlc2FtZQ==").as_deref(),
            Some("Aladdin|open sesame")
        );
        assert_eq!(read("dGVzdDoxMjPCow==").as_deref(), Some("test|123£"));
        for wrong in ["", "!", "dGVzdA==", "/w=="] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_header_that_says_nothing_is_refused_and_not_passed_over() {
        let refused = |value: &str| {
            let mut metadata = MetadataMap::new();
            metadata.insert("authorization", value.parse().unwrap());
            shown(&metadata).is_err()
        };
        assert!(refused("Bearer"));
        assert!(refused("Digest x"));
        assert!(refused("Basic !"));
        assert!(!refused("bearer fbk_x"));
    }

    #[test]
    fn one_key_is_shown_in_one_header() {
        let mut metadata = MetadataMap::new();
        metadata.insert("x-api-key", "fbk_x".parse().unwrap());
        assert!(matches!(shown(&metadata), Ok(Shown::Secret(secret)) if secret == "fbk_x"));
        metadata.insert("authorization", "Bearer fbk_x".parse().unwrap());
        assert!(shown(&metadata).is_err());
        metadata.remove("x-api-key");
        assert!(shown(&metadata).is_ok());
        metadata.append("authorization", "Bearer fbk_x".parse().unwrap());
        assert!(shown(&metadata).is_err());
    }
}
