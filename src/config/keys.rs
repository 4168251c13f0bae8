//! The table of settings.

/// One setting: its dotted key in `flyball.toml`, its default and what it means.
/// The environment variable is the key in capitals, dots as underscores, behind `FLYBALL_`.
#[derive(Debug)]
pub(crate) struct Key {
    /// Dotted key.
    pub name: &'static str,
    /// Default, as text; empty means unset.
    pub default: &'static str,
    /// One line for `flyball config`.
    pub doc: &'static str,
}

/// Every setting there is.
pub(crate) const KEYS: &[Key] = &[
    Key {
        name: "data.dir",
        default: "flyball-data",
        doc: "local directory: log, control state, lock, ports in use",
    },
    Key {
        name: "data.tables_url",
        default: "",
        doc: "where the Delta tables live: s3://, gs://, az:// or file://; unset: <data.dir>/tables",
    },
    Key {
        name: "data.storage_options",
        default: "",
        doc: "options of the object store, as key=value, comma between",
    },
    Key {
        name: "store.durability",
        default: "durable",
        doc: "when a request is acknowledged: durable (after fsync), group_ms:N (fsync every N ms), memory",
    },
    Key {
        name: "store.flush_bytes",
        default: "67108864",
        doc: "flush a table when it holds this many bytes in memory",
    },
    Key {
        name: "store.flush_age_s",
        default: "30",
        doc: "... or when its oldest row is this many seconds old",
    },
    Key {
        name: "store.buffer_bytes_max",
        default: "134217728",
        doc: "refuse requests when this many bytes wait to be flushed; from half of it on rows leave memory",
    },
    Key {
        name: "store.log_bytes_max",
        default: "8589934592",
        doc: "refuse requests when log and rows that left memory take this many bytes of the local disk",
    },
    Key {
        name: "store.queue_bytes_max",
        default: "33554432",
        doc: "refuse requests when this many bytes wait for the resolver and the alerts",
    },
    Key {
        name: "store.segment_bytes",
        default: "67108864",
        doc: "size of a log segment",
    },
    Key {
        name: "store.log_url",
        default: "",
        doc: "keep the log in a bucket instead of data.dir: s3://, gs://, az:// or file://; needs node.id, ledger.dir and a key",
    },
    Key {
        name: "store.log_key_file",
        default: "",
        doc: "file with the key that a log in a bucket is encrypted with: 64 hex digits",
    },
    Key {
        name: "store.log_key",
        default: "",
        doc: "the key itself, best given in the environment",
    },
    Key {
        name: "store.log_group_ms",
        default: "250",
        doc: "smallest pause between two groups of a log in a bucket, each of which is one object",
    },
    Key {
        name: "node.id",
        default: "",
        doc: "name of this node in the bucket of the log; never two processes at a time with the same",
    },
    Key {
        name: "ledger.dir",
        default: "",
        doc: "with a log in a bucket: folder that outlives the machine, with ledger.key in it (64 hex digits)",
    },
    Key {
        name: "store.objects_at_once",
        default: "64",
        doc: "operations of the object store that run at the same time, at most",
    },
    Key {
        name: "store.maintain_every_s",
        default: "15",
        doc: "look for maintenance to do every so many seconds; 0: only when asked",
    },
    Key {
        name: "store.compact_target_bytes",
        default: "134217728",
        doc: "compaction makes files of about this size, never across days",
    },
    Key {
        name: "store.vacuum_after_s",
        default: "604800",
        doc: "delete files this long after a table took them off its list; no query runs longer",
    },
    Key {
        name: "store.erased_after_s",
        default: "600",
        doc: "the same for files that held what was erased",
    },
    Key {
        name: "store.orphan_after_s",
        default: "86400",
        doc: "delete files that no table ever listed when they are this old; no flush takes longer",
    },
    Key {
        name: "store.log_after_s",
        default: "604800",
        doc: "delete entries of the Delta logs behind a checkpoint when they are this old",
    },
    Key {
        name: "store.retain_days",
        default: "",
        doc: "days that rows are kept, as table=days or workspace/table=days, comma between; unset: for ever",
    },
    Key {
        name: "store.rollup_every_s",
        default: "60",
        doc: "sum what reached the disk by minute this often, in seconds; 0 for never",
    },
    Key {
        name: "listen.otlp_grpc",
        default: "127.0.0.1:4317",
        doc: "OTLP over gRPC; port 0 picks a free one",
    },
    Key {
        name: "listen.otlp_http",
        default: "127.0.0.1:4318",
        doc: "OTLP over HTTP",
    },
    Key {
        name: "listen.postgres",
        default: "127.0.0.1:5433",
        doc: "SQL over the PostgreSQL protocol",
    },
    Key {
        name: "listen.flight_sql",
        default: "127.0.0.1:8815",
        doc: "SQL over Arrow Flight SQL",
    },
    Key {
        name: "tls.certificate",
        default: "",
        doc: "file with the server's certificate and those that vouch for it, PEM; read again every minute",
    },
    Key {
        name: "tls.key",
        default: "",
        doc: "file with the certificate's private key, PEM",
    },
    Key {
        name: "listen.http",
        default: "127.0.0.1:8080",
        doc: "console, REST API, metrics, health",
    },
    Key {
        name: "listen.names",
        default: "",
        doc: "names that console and REST API are reached by besides IP addresses and localhost, comma between",
    },
    Key {
        name: "metrics.catalogue",
        default: "",
        doc: "metrics of the catalogue that /metrics shows as gauges, by name, comma between (`flyball metrics` lists them)",
    },
    Key {
        name: "metrics.catalogue_rows",
        default: "last_hour",
        doc: "of which rows: last_hour (full, UTC), this_hour or all; always all of a metric that has no view by hour",
    },
    Key {
        name: "metrics.catalogue_every_s",
        default: "60",
        doc: "how often they are asked for, in seconds; a scrape is shown the last answer",
    },
    Key {
        name: "metrics.catalogue_time_limit_s",
        default: "20",
        doc: "the longest one of them may take, in seconds; one that fails keeps its last values",
    },
    Key {
        name: "metrics.catalogue_rows_max",
        default: "200",
        doc: "the most rows of one of them that are shown, in the order of their labels",
    },
    Key {
        name: "ingest.request_bytes_max",
        default: "16777216",
        doc: "largest request body, decompressed",
    },
    Key {
        name: "prices.file",
        default: "",
        doc: "a price file (flyball-prices/1 or LiteLLM's format) that replaces the built-in book",
    },
    Key {
        name: "prices.overlay",
        default: "",
        doc: "a price file whose entries win over the book: custom and negotiated prices",
    },
    Key {
        name: "content.keep",
        default: "true",
        doc: "whether prompts, answers, arguments and results are kept at all (true or false)",
    },
    Key {
        name: "content.bytes_max",
        default: "262144",
        doc: "bytes of content kept of one span; what is longer is cut",
    },
    Key {
        name: "content.attribute_bytes_max",
        default: "65536",
        doc: "bytes kept of one span's other attributes together (of its resource, its events likewise)",
    },
    Key {
        name: "content.redact",
        default: "key,card",
        doc: "what is taken out of texts before they are kept: key, card, email, comma between; none for nothing",
    },
    Key {
        name: "content.patterns",
        default: "",
        doc: "file of more to take out: NAME = REGULAR EXPRESSION, one a line",
    },
    Key {
        name: "resolver.escalation_tools",
        default: "escalate_to_human,transfer_to_human",
        doc: "tools whose call hands control to a person, comma between",
    },
    Key {
        name: "alerts.rules",
        default: "",
        doc: "folder or file of alert rules in YAML; unset: the built-in rules",
    },
    Key {
        name: "alerts.notifiers",
        default: "",
        doc: "file of who is told of alerts, in YAML: Alertmanager, webhooks, Slack, PagerDuty, e-mail, OTLP (docs/notifiers.md)",
    },
    Key {
        name: "alerts.webhook_url",
        default: "",
        doc: "where alerts are sent as JSON: short for a notifier of kind webhook that is called webhook",
    },
    Key {
        name: "alerts.webhook_secret",
        default: "",
        doc: "key of the HMAC-SHA256 signature on each webhook",
    },
    Key {
        name: "query.memory_bytes",
        default: "1073741824",
        doc: "memory that queries may use together; what needs more is spilled to <data.dir>/spill, or ends",
    },
    Key {
        name: "query.spill_bytes_max",
        default: "17179869184",
        doc: "the most bytes of <data.dir>/spill that queries may use together; 0: nothing is spilled",
    },
    Key {
        name: "query.time_limit_s",
        default: "60",
        doc: "a statement ends after so many seconds",
    },
    Key {
        name: "query.threads",
        default: "0",
        doc: "threads that run queries, apart from those that take in; 0: one a core",
    },
    Key {
        name: "query.statements_max",
        default: "0",
        doc: "statements that read tables at the same time; 0: two a core",
    },
    Key {
        name: "query.queue_max",
        default: "64",
        doc: "statements that wait for a place, at most; more are refused",
    },
    Key {
        name: "query.queue_wait_s",
        default: "5",
        doc: "... and for so many seconds, at most",
    },
    Key {
        name: "query.scan_bytes_max",
        default: "68719476736",
        doc: "refuse a statement that is about to read more bytes of files; 0: read anything",
    },
    Key {
        name: "query.http_rows_max",
        default: "1000000",
        doc: "the most rows of one answer over HTTP",
    },
    Key {
        name: "query.result_bytes_max",
        default: "268435456",
        doc: "the most bytes of one answer over HTTP, and of one that is collected in memory",
    },
];
