//! What can be set, in one table: key, default, meaning. A value comes from the default, `flyball.toml`,
//! the environment or the command line, the later winning, and remembers which it was.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use flyball_ingest::redact::Policy;
use flyball_store::{Diskless, Durability, LogKey};

mod content;
mod gauges;
mod keys;

pub(crate) use keys::KEYS;
use keys::Key;

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// Nobody set it.
    Default,
    /// This file.
    File(PathBuf),
    /// This environment variable.
    Env(String),
    /// A flag.
    Flag,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => write!(f, "default"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Env(name) => write!(f, "${name}"),
            Self::Flag => write!(f, "command line"),
        }
    }
}

/// What was wrong with a setting.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// A key that does not exist.
    #[error("{from}: no setting is called {key:?}; `flyball config` lists them")]
    UnknownKey {
        /// Where it stood.
        from: String,
        /// The key.
        key: String,
    },
    /// A value of the wrong form.
    #[error("{key} = {value:?} (from {from}): expected {expected}")]
    Value {
        /// The key.
        key: &'static str,
        /// Its value.
        value: String,
        /// Where it came from.
        from: Source,
        /// The accepted form.
        expected: &'static str,
    },
    /// The file could not be read.
    #[error("{path}: {reason}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

/// Every setting's value as text, and where it came from.
#[derive(Debug, Clone)]
pub(crate) struct Settings(BTreeMap<&'static str, (String, Source)>);

impl Settings {
    /// Layers defaults, the file (when given, or `flyball.toml` when it exists), the environment and flags.
    ///
    /// # Errors
    /// When the file can't be read, or names a key that does not exist.
    pub(crate) fn load(
        file: Option<&Path>,
        env: impl Fn(&str) -> Option<String>,
        flags: &[(&'static str, Option<String>)],
    ) -> Result<Self, Error> {
        let mut values: BTreeMap<_, _> = KEYS
            .iter()
            .map(|key| (key.name, (key.default.to_owned(), Source::Default)))
            .collect();
        let path = file.map_or_else(|| PathBuf::from("flyball.toml"), Path::to_path_buf);
        if file.is_some() || path.is_file() {
            for (name, value) in read_file(&path)? {
                let key = KEYS.iter().find(|key| key.name == name);
                let key = key.ok_or_else(|| Error::UnknownKey {
                    from: path.display().to_string(),
                    key: name,
                })?;
                values.insert(key.name, (value, Source::File(path.clone())));
            }
        }
        for key in KEYS {
            let name = env_name(key.name);
            if let Some(value) = env(&name) {
                values.insert(key.name, (value, Source::Env(name)));
            }
        }
        for (name, value) in flags {
            if let Some(value) = value {
                values.insert(name, (value.clone(), Source::Flag));
            }
        }
        Ok(Self(values))
    }

    /// Key, value and source of everything in force. Secrets are masked.
    pub(crate) fn in_force(&self) -> impl Iterator<Item = (&'static Key, String, &Source)> {
        KEYS.iter().filter_map(|key| {
            let (value, source) = self.0.get(key.name)?;
            let secret = ["secret", "storage_options"]
                .iter()
                .any(|word| key.name.contains(word))
                || key.name == "store.log_key";
            let value = if secret && !value.is_empty() {
                "(set)".to_owned()
            } else {
                value.clone()
            };
            Some((key, value, source))
        })
    }

    fn text(&self, key: &'static str) -> &str {
        self.0.get(key).map_or("", |(value, _)| value.as_str())
    }

    fn some(&self, key: &'static str) -> Option<String> {
        Some(self.text(key))
            .filter(|v| !v.is_empty())
            .map(str::to_owned)
    }

    fn wrong(&self, key: &'static str, expected: &'static str) -> Error {
        let (value, from) = self
            .0
            .get(key)
            .cloned()
            .unwrap_or((String::new(), Source::Default));
        Error::Value {
            key,
            value,
            from,
            expected,
        }
    }

    fn number(&self, key: &'static str) -> Result<u64, Error> {
        self.text(key)
            .parse()
            .map_err(|_| self.wrong(key, "a whole number"))
    }

    fn address(&self, key: &'static str) -> Result<SocketAddr, Error> {
        self.text(key)
            .parse()
            .map_err(|_| self.wrong(key, "an address and port, such as 127.0.0.1:4317"))
    }

    /// Both files, or neither.
    fn tls(&self) -> Result<Option<(PathBuf, PathBuf)>, Error> {
        match (self.some("tls.certificate"), self.some("tls.key")) {
            (Some(certificate), Some(key)) => Ok(Some((certificate.into(), key.into()))),
            (None, None) => Ok(None),
            (Some(_), None) => Err(self.wrong("tls.key", "a file, as tls.certificate is set")),
            (None, Some(_)) => Err(self.wrong("tls.certificate", "a file, as tls.key is set")),
        }
    }

    /// Refuses to serve other machines while nobody is asked for a key: anyone who reaches a port may freeze the fleet.
    ///
    /// # Errors
    /// The first address that is open to others, by key.
    pub(crate) fn check_doors(&self, locked: bool) -> Result<(), Error> {
        const EXPECTED: &str = "a loopback address (127.0.0.1 or [::1]) as long as there is no API key; \
             `flyball keys add --name NAME --role admin` makes the first";
        for key in [
            "listen.otlp_grpc",
            "listen.otlp_http",
            "listen.postgres",
            "listen.flight_sql",
            "listen.http",
        ] {
            if !locked && !self.address(key)?.ip().is_loopback() {
                return Err(self.wrong(key, EXPECTED));
            }
        }
        Ok(())
    }

    /// The log in a bucket, if one is configured: then everything it needs has to be.
    fn diskless(&self) -> Result<Option<Diskless>, Error> {
        let Some(log_url) = self.some("store.log_url") else {
            return Ok(None);
        };
        let needed = |key, expected| self.some(key).ok_or_else(|| self.wrong(key, expected));
        let expected =
            "64 hex digits, in store.log_key_file or store.log_key, since store.log_url is set";
        let (key, text) = match self.some("store.log_key_file") {
            Some(path) => {
                let read = std::fs::read_to_string(&path);
                (
                    "store.log_key_file",
                    read.map_err(|_| self.wrong("store.log_key_file", "a file that can be read"))?,
                )
            }
            None => ("store.log_key", self.text("store.log_key").to_owned()),
        };
        let log_key = LogKey::from_hex(&text).ok_or_else(|| match key {
            // What is wrong with a key is nobody's business.
            "store.log_key" if !text.is_empty() => Error::Value {
                key,
                value: "(set)".to_owned(),
                from: self
                    .0
                    .get(key)
                    .map_or(Source::Default, |(_, from)| from.clone()),
                expected,
            },
            key => self.wrong(key, expected),
        })?;
        Ok(Some(Diskless {
            log_url,
            node_id: needed("node.id", "a name for this node, since store.log_url is set")?,
            key: log_key,
            ledger_dir: needed(
                "ledger.dir",
                "a folder that outlives the machine, with ledger.key in it, since store.log_url is set",
            )?
            .into(),
            group_every: Duration::from_millis(self.number("store.log_group_ms")?),
        }))
    }

    /// The typed configuration.
    ///
    /// # Errors
    /// The first value of the wrong form, by key.
    pub(crate) fn config(&self) -> Result<Config, Error> {
        let mut store = flyball_store::Config::local(self.text("data.dir"));
        store.tables_url = self.some("data.tables_url");
        store.storage_options = pairs(self.text("data.storage_options"))
            .ok_or_else(|| self.wrong("data.storage_options", "key=value pairs, comma between"))?;
        store.durability = durability(self.text("store.durability"))
            .ok_or_else(|| self.wrong("store.durability", "durable, group_ms:N or memory"))?;
        store.flush_bytes = self.number("store.flush_bytes")?;
        store.flush_age = Duration::from_secs(self.number("store.flush_age_s")?);
        store.buffer_bytes_max = self.number("store.buffer_bytes_max")?;
        store.log_bytes_max = self.number("store.log_bytes_max")?;
        store.queue_bytes_max = self.number("store.queue_bytes_max")?;
        store.segment_bytes = self.number("store.segment_bytes")?;
        store.diskless = self.diskless()?;
        store.objects_at_once = usize::try_from(self.number("store.objects_at_once")?)
            .ok()
            .filter(|limit| *limit > 0)
            .ok_or_else(|| self.wrong("store.objects_at_once", "a whole number from 1"))?;
        let seconds = |key| self.number(key).map(Duration::from_secs);
        store.rollup_every = seconds("store.rollup_every_s")?;
        store.maintenance = flyball_store::Maintenance {
            every: seconds("store.maintain_every_s")?,
            target_bytes: self.number("store.compact_target_bytes")?.max(1),
            vacuum_after: seconds("store.vacuum_after_s")?,
            erased_after: seconds("store.erased_after_s")?,
            orphan_after: seconds("store.orphan_after_s")?,
            log_after: seconds("store.log_after_s")?,
            retain: list(self.text("store.retain_days"))
                .iter()
                .map(|rule| rule.parse())
                .collect::<Result<_, _>>()
                .map_err(|_| {
                    let expected = "table=days or workspace/table=days, comma between";
                    self.wrong("store.retain_days", expected)
                })?,
            ..flyball_store::Maintenance::default()
        };
        let bytes_max = |key| {
            usize::try_from(self.number(key)?).map_err(|_| self.wrong(key, "bytes of memory"))
        };
        let whole =
            |key| usize::try_from(self.number(key)?).map_err(|_| self.wrong(key, "a whole number"));
        let data_dir = store.data_dir.clone();
        Ok(Config {
            store,
            otlp_grpc: self.address("listen.otlp_grpc")?,
            otlp_http: self.address("listen.otlp_http")?,
            postgres: self.address("listen.postgres")?,
            tls: self.tls()?,
            flight_sql: self.address("listen.flight_sql")?,
            http: self.address("listen.http")?,
            names: list(self.text("listen.names")),
            request_bytes_max: bytes_max("ingest.request_bytes_max")?,
            policy: self.policy()?,
            prices_file: self.some("prices.file").map(PathBuf::from),
            prices_overlay: self.some("prices.overlay").map(PathBuf::from),
            escalation_tools: list(self.text("resolver.escalation_tools")),
            rules: self.some("alerts.rules").map(PathBuf::from),
            notifiers: self.some("alerts.notifiers").map(PathBuf::from),
            webhook_url: self.some("alerts.webhook_url"),
            webhook_secret: self.some("alerts.webhook_secret"),
            gauges: self.gauges()?,
            query: flyball_query::Config {
                memory_bytes: bytes_max("query.memory_bytes")?,
                time_limit: seconds("query.time_limit_s")?,
                http_rows_max: whole("query.http_rows_max")?,
                result_bytes_max: bytes_max("query.result_bytes_max")?,
                partitions: 0,
                threads: whole("query.threads")?,
                statements_max: whole("query.statements_max")?,
                queue_max: whole("query.queue_max")?,
                queue_wait: seconds("query.queue_wait_s")?,
                scan_bytes_max: self.number("query.scan_bytes_max")?,
                spill_dir: Some(data_dir.join("spill")),
                spill_bytes_max: self.number("query.spill_bytes_max")?,
            },
        })
    }
}

/// The configuration, typed.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    /// Of the store.
    pub store: flyball_store::Config,
    /// OTLP/gRPC.
    pub otlp_grpc: SocketAddr,
    /// OTLP/HTTP.
    pub otlp_http: SocketAddr,
    /// PostgreSQL wire.
    pub postgres: SocketAddr,
    /// Arrow Flight SQL.
    pub flight_sql: SocketAddr,
    /// Certificate and private key, if TLS is spoken.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// Console and REST.
    pub http: SocketAddr,
    /// Under which names, besides.
    pub(crate) names: Vec<String>,
    /// Largest request body, decompressed, bytes.
    pub request_bytes_max: usize,
    /// What is done to texts before they are kept.
    pub policy: Policy,
    /// Replaces the built-in price book.
    pub prices_file: Option<PathBuf>,
    /// Wins over it.
    pub prices_overlay: Option<PathBuf>,
    /// Tools whose call is an escalation.
    pub(crate) escalation_tools: Vec<String>,
    /// Replaces the built-in rules.
    pub rules: Option<PathBuf>,
    /// Who is told of alerts.
    pub(crate) notifiers: Option<PathBuf>,
    /// Where alerts go.
    pub webhook_url: Option<String>,
    /// Signs them.
    pub webhook_secret: Option<String>,
    /// Metrics of the catalogue in `/metrics`.
    pub(crate) gauges: flyball_query::gauges::Config,
    /// What queries may use.
    pub(crate) query: flyball_query::Config,
}

fn env_name(key: &str) -> String {
    // `data.dir` is FLYBALL_DATA_DIR.
    format!("FLYBALL_{}", key.replace('.', "_").to_uppercase())
}

fn durability(text: &str) -> Option<Durability> {
    match text.split_once(':') {
        None if text == "durable" => Some(Durability::Durable),
        None if text == "memory" => Some(Durability::Memory),
        Some(("group_ms", ms)) => ms.parse().ok().map(Durability::GroupMs),
        _ => None,
    }
}

/// `key=value` pairs, comma between.
pub(crate) fn pairs(text: &str) -> Option<std::collections::HashMap<String, String>> {
    text.split(',')
        .filter(|pair| !pair.trim().is_empty())
        .map(|pair| {
            pair.split_once('=')
                .map(|(k, v)| (k.trim().to_owned(), v.trim().to_owned()))
        })
        .collect()
}

fn list(text: &str) -> Vec<String> {
    let words = text.split(',').map(str::trim);
    words
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

/// Flattens the TOML file to dotted keys.
fn read_file(path: &Path) -> Result<Vec<(String, String)>, Error> {
    let wrong = |reason: String| Error::File {
        path: path.to_path_buf(),
        reason,
    };
    let text = std::fs::read_to_string(path).map_err(|e| wrong(e.to_string()))?;
    let table: toml::Table = text
        .parse()
        .map_err(|e: toml::de::Error| wrong(e.to_string()))?;
    let mut flat = Vec::new();
    for (section, value) in table {
        match value {
            toml::Value::Table(keys) => {
                for (key, value) in keys {
                    flat.push((format!("{section}.{key}"), scalar(&value)));
                }
            }
            value => flat.push((section, scalar(&value))),
        }
    }
    Ok(flat)
}

fn scalar(value: &toml::Value) -> String {
    match value {
        toml::Value::String(text) => text.clone(),
        toml::Value::Array(items) => items.iter().map(scalar).collect::<Vec<_>>().join(","),
        toml::Value::Table(table) => table
            .iter()
            .map(|(k, v)| format!("{k}={}", scalar(v)))
            .collect::<Vec<_>>()
            .join(","),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn load(text: &str, env: &[(&str, &str)]) -> Result<Settings, Error> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("flyball.toml");
        std::fs::write(&path, text).unwrap();
        let env = |name: &str| {
            env.iter()
                .find(|(k, _)| *k == name)
                .map(|(_, v)| (*v).to_owned())
        };
        Settings::load(
            Some(&path),
            env,
            &[("listen.http", Some("127.0.0.1:0".into()))],
        )
    }

    #[test]
    fn the_later_layer_wins_and_is_named() {
        let settings = load(
            "[data]\ndir = \"a\"\n[store]\nflush_age_s = 5\n",
            &[("FLYBALL_DATA_DIR", "b")],
        )
        .unwrap();
        let config = settings.config().unwrap();
        assert_eq!(config.store.data_dir, PathBuf::from("b"));
        assert_eq!(config.store.flush_age, Duration::from_secs(5));
        assert_eq!(config.http.port(), 0);
        let sources: Vec<_> = settings
            .in_force()
            .map(|(k, _, s)| (k.name, s.clone()))
            .collect();
        assert!(sources.contains(&("data.dir", Source::Env("FLYBALL_DATA_DIR".into()))));
        assert!(sources.contains(&("listen.http", Source::Flag)));
    }

    /// The store has defaults of its own, for who opens one without settings.
    #[test]
    fn a_setting_that_nobody_made_is_what_the_store_would_do_without_it() {
        let store = load("", &[]).unwrap().config().unwrap().store;
        let bare = flyball_store::Config::local(&store.data_dir);
        assert_eq!(format!("{store:?}"), format!("{bare:?}"));
    }

    /// So has the engine; only where it spills to is known here alone.
    #[test]
    fn a_setting_that_nobody_made_is_what_the_engine_would_do_without_it() {
        let query = load("", &[]).unwrap().config().unwrap().query;
        assert!(query.spill_dir.is_some());
        let bare = flyball_query::Config {
            spill_dir: query.spill_dir.clone(),
            ..flyball_query::Config::default()
        };
        assert_eq!(format!("{query:?}"), format!("{bare:?}"));
    }

    #[test]
    fn errors_name_the_key() {
        let unknown = load("[data]\ndri = \"a\"\n", &[]).unwrap_err().to_string();
        assert!(unknown.contains("data.dri"), "{unknown}");
        let wrong = load("[store]\ndurability = \"maybe\"\n", &[])
            .unwrap()
            .config()
            .unwrap_err()
            .to_string();
        assert!(
            wrong.contains("store.durability") && wrong.contains("group_ms:N"),
            "{wrong}"
        );
    }

    #[test]
    fn only_keys_open_a_port_to_other_machines() {
        for key in ["otlp_grpc", "otlp_http", "postgres", "flight_sql", "http"] {
            let settings = load("", &[]).unwrap();
            let name = format!("FLYBALL_LISTEN_{}", key.to_uppercase());
            let open = Settings::load(
                None,
                |asked| (asked == name).then(|| "[::]:0".to_owned()),
                &[],
            );
            let open = open.unwrap();
            open.config().unwrap();
            let refused = open.check_doors(false).unwrap_err().to_string();
            assert!(
                refused.contains(&format!("listen.{key}")) && refused.contains("flyball keys add"),
                "{refused}"
            );
            open.check_doors(true).unwrap();
            settings.check_doors(false).unwrap();
        }
    }

    #[test]
    fn a_log_in_a_bucket_asks_for_all_it_needs_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("log.key");
        std::fs::write(&file, "0f".repeat(32)).unwrap();
        let url = ("FLYBALL_STORE_LOG_URL", "s3://bucket/logs");
        let key = ("FLYBALL_STORE_LOG_KEY_FILE", file.to_str().unwrap());
        let node = "[node]\nid = \"n1\"\n";
        let refused = |text: &str, env: &[(&str, &str)]| {
            let config = load(text, env).unwrap().config();
            config.unwrap_err().to_string()
        };
        assert!(refused(node, &[url]).starts_with("store.log_key "));
        let short = refused("[store]\nlog_key = \"brief\"\n", &[url]);
        assert!(
            short.starts_with("store.log_key ") && !short.contains("brief"),
            "{short}"
        );
        assert!(refused("", &[url, key]).starts_with("node.id "));
        assert!(refused(node, &[url, key]).starts_with("ledger.dir "));
        let whole = format!("{node}[ledger]\ndir = \"/keys\"\n");
        let config = load(&whole, &[url, key]).unwrap().config().unwrap();
        let diskless = config.store.diskless.unwrap();
        assert_eq!(diskless.node_id, "n1");
        assert_eq!(diskless.group_every, Duration::from_millis(250));
        assert!(
            load("", &[])
                .unwrap()
                .config()
                .unwrap()
                .store
                .diskless
                .is_none()
        );
    }

    #[test]
    fn a_secret_is_not_shown() {
        let settings = load("[alerts]\nwebhook_secret = \"hush\"\n", &[]).unwrap();
        assert!(
            settings
                .in_force()
                .all(|(_, value, _)| !value.contains("hush"))
        );
    }
}
