//! Flyball's own figures for Prometheus, as tables: one line a figure.

use std::fmt::Write as _;

use flyball_alerts::books::{BOUNDS_MS, Books, RuleBooks, Times};
use flyball_alerts::notify::Figures;
use flyball_ingest::door::Count;
use flyball_ingest::redact::Policy;
use flyball_ingest::resolver::Counts;
use flyball_store::{Durability, LATENCY_BUCKETS_MS, ObjectOperation, Stats};

/// How a figure behaves: `gauge` goes up and down, `counter` only grows from the start of the process.
type Kind = &'static str;

/// Name, kind, meaning, and where it is read from.
type Figure<T> = (&'static str, Kind, &'static str, fn(&T) -> u64);

#[rustfmt::skip]
const STORE: &[Figure<Stats>] = &[
    ("flyball_log_bytes", "gauge", "Bytes in the write-ahead log.", |s| s.log_bytes),
    ("flyball_log_segments", "gauge", "Segments of the write-ahead log.", |s| s.log_segments),
    ("flyball_log_poisoned", "gauge", "1 when the log cannot be written: nothing more is acknowledged.", |s| s.log_poisoned.into()),
    ("flyball_log_stalled_seconds", "gauge", "How long the bucket has not taken the log; 0 while it does.", |s| s.log_stalled.map_or(0, |stalled| stalled.as_secs().max(1))),
    ("flyball_log_syncs_total", "counter", "Times the log was synced.", |s| s.log_syncs),
    ("flyball_requests_appended_total", "counter", "Requests written to the log.", |s| s.appended),
    ("flyball_requests_duplicate_total", "counter", "Requests that were in already.", |s| s.duplicates),
    ("flyball_requests_refused_total", "counter", "Requests refused for want of room.", |s| s.refused),
    ("flyball_buffered_bytes", "gauge", "Bytes that wait to be flushed.", |s| s.buffered_bytes),
    ("flyball_buffered_bytes_peak", "gauge", "The most bytes that ever waited in memory, the replay of the log included.", |s| s.buffered_peak),
    ("flyball_spilled_bytes", "gauge", "Bytes of rows that left memory for the local disk until the object store takes them.", |s| s.spilled_bytes),
    ("flyball_object_store_down_seconds", "gauge", "How long the object store has not answered; 0 while it does.", |s| s.outage.map_or(0, |outage| outage.as_secs().max(1))),
    ("flyball_queued_events", "gauge", "Events that the resolver, the alerts and other listeners have not dealt with.", |s| s.queued_events),
    ("flyball_queued_bytes", "gauge", "Bytes that those events keep in memory, about.", |s| s.queued_bytes),
    ("flyball_flushes_total", "counter", "Delta commits made by flushes.", |s| s.flushes),
    ("flyball_flush_failures_total", "counter", "Flushes that failed and are tried again.", |s| s.flush_failures),
    ("flyball_flushed_files_total", "counter", "Parquet files written by flushes.", |s| s.files_written),
    ("flyball_flushed_file_bytes_total", "counter", "Their bytes.", |s| s.file_bytes_written),
    ("flyball_compactions_total", "counter", "Times that files of a table were merged or rewritten.", |s| s.maintained.compactions),
    ("flyball_compacted_files_in_total", "counter", "Files that this took off the tables.", |s| s.maintained.files_in),
    ("flyball_compacted_files_out_total", "counter", "Files that it put in their place.", |s| s.maintained.files_out),
    ("flyball_compacted_bytes_in_total", "counter", "Bytes of the files taken off.", |s| s.maintained.bytes_in),
    ("flyball_compacted_bytes_out_total", "counter", "Bytes of the files put in their place.", |s| s.maintained.bytes_out),
    ("flyball_duplicate_rows_removed_total", "counter", "Rows left out since their span was told again later.", |s| s.maintained.duplicates),
    ("flyball_retained_files_removed_total", "counter", "Files taken off the tables since their day is past its retention.", |s| s.maintained.files_expired),
    ("flyball_vacuumed_files_total", "counter", "Files deleted since no table lists them.", |s| s.maintained.files_vacuumed),
    ("flyball_vacuumed_bytes_total", "counter", "Their bytes.", |s| s.maintained.bytes_vacuumed),
    ("flyball_delta_log_entries_deleted_total", "counter", "Entries of Delta logs deleted behind a checkpoint.", |s| s.maintained.log_entries_deleted),
    ("flyball_maintenance_failures_total", "counter", "Jobs of maintenance that failed and are tried again.", |s| s.maintained.failures),
    ("flyball_spans_superseded", "gauge", "Spans told again whose earlier telling is still on disk.", |s| s.tables.iter().map(|t| t.superseded).sum()),
    ("flyball_last_compaction_timestamp_seconds", "gauge", "When files were last merged or rewritten; 0 when not since the start.", |s| s.tables.iter().filter_map(|t| t.compacted).map(|at| at.timestamp().max(0) as u64).max().unwrap_or(0)),
    ("flyball_rollup_minutes_total", "counter", "Minutes summed for the rollup.", |s| s.rolled_minutes),
    ("flyball_rollup_rows_total", "counter", "Rows that the rollup got for them.", |s| s.rolled_rows),
    ("flyball_rollup_commits_total", "counter", "Delta commits made to the rollup.", |s| s.rollup_commits),
    ("flyball_rollup_failures_total", "counter", "Runs of the rollup that failed and are tried again.", |s| s.rollup_failures),
    ("flyball_rollup_stale_minutes", "gauge", "Minutes on disk that are read from the journal until they are summed.", |s| s.stale_minutes),
    ("flyball_rollup_lag_seconds", "gauge", "How long the minute that waits longest to be summed has waited.", |s| s.oldest_stale.map_or(0, |wait| wait.as_secs())),
];

#[rustfmt::skip]
const RESOLVER: &[Figure<Counts>] = &[
    ("flyball_traces_open", "gauge", "Traces that have not settled.", |c| c.traces_open),
    ("flyball_spans_held", "gauge", "Spans of open traces that the resolver keeps in mind.", |c| c.spans_held),
    ("flyball_traces_settled_complete_total", "counter", "Traces that settled because they were complete.", |c| c.settled_complete),
    ("flyball_traces_settled_idle_total", "counter", "Traces that settled because nothing more came.", |c| c.settled_idle),
    ("flyball_traces_settled_aged_total", "counter", "Traces that settled at the age limit.", |c| c.settled_aged),
    ("flyball_traces_settled_for_room_total", "counter", "Traces that settled early, because too many spans were held.", |c| c.settled_for_room),
    ("flyball_traces_settled_on_request_total", "counter", "Traces that settled because an import ended.", |c| c.settled_on_request),
    ("flyball_traces_continued_total", "counter", "Times that a trace outgrew its room and went on without its oldest spans.", |c| c.continued),
    ("flyball_traces_reopened_total", "counter", "Settled traces that a late span opened again.", |c| c.reopened),
    ("flyball_charges_entered_total", "counter", "Entries made in the journal.", |c| c.entered),
    ("flyball_charges_taken_back_total", "counter", "Entries taken back.", |c| c.taken_back),
];

#[rustfmt::skip]
const TEXTS: &[Figure<Policy>] = &[
    ("flyball_texts_redacted_total", "counter", "Texts that a key, a card number or the like was taken out of.", |p| p.redacted()),
    ("flyball_contents_cut_total", "counter", "Contents that were cut to the size that is kept.", |p| p.cut()),
];

#[rustfmt::skip]
const RULES: &[(&str, &str, fn(&RuleBooks) -> u64)] = &[
    ("flyball_rule_actions_total", "Actions in force that a rule ordered.", |r| r.enforced),
    ("flyball_rule_shadow_actions_total", "Actions that a rule in shadow would have ordered.", |r| r.shadow),
    ("flyball_rule_withheld_total", "Actions withheld, since too many agents would have been frozen.", |r| r.withheld),
    ("flyball_rule_false_alarms_total", "Actions in force that a person found to be false alarms.", |r| r.false_alarms),
    ("flyball_rule_shadow_wrong_total", "Actions in shadow that would have stopped successful work, or that a person found wrong.", |r| r.wrong),
    ("flyball_rule_demotions_total", "Times that a rule fell back to shadow.", |r| r.demotions),
    ("flyball_rule_overruns_total", "Times that a hard limit was passed: a rule in force that freezes by what is spent.", |r| r.overruns.passed),
    ("flyball_rule_overruns_unordered_total", "Overruns missed since no order followed: withheld, or not carried out.", |r| r.overruns.unordered),
    ("flyball_rule_overruns_unobeyed_total", "Overruns missed since another paid call began more than a second after the limit was passed.", |r| r.overruns.unobeyed),
];

#[rustfmt::skip]
const OBJECTS: &[Figure<ObjectOperation>] = &[
    ("flyball_object_store_operations_total", "counter", "Operations asked of the object store.", |o| o.count),
    ("flyball_object_store_errors_total", "counter", "Operations that failed.", |o| o.errors),
    ("flyball_object_store_retries_total", "counter", "Operations tried again.", |o| o.retries),
    ("flyball_object_store_bytes_total", "counter", "Bytes written or read.", |o| o.bytes),
];

#[rustfmt::skip]
const NOTIFIERS: &[Figure<Figures>] = &[
    ("flyball_notifier_sent_total", "counter", "Notices that the receiver took.", |f| f.sent),
    ("flyball_notifier_failed_total", "counter", "Notices that the receiver refused for good, or that were given up.", |f| f.failed),
    ("flyball_notifier_dropped_total", "counter", "Notices that were never told, for want of room.", |f| f.dropped),
    ("flyball_notifier_cancelled_total", "counter", "Notices that were over before they were told, and so were not.", |f| f.cancelled),
    ("flyball_notifier_waiting", "gauge", "Notices that wait to be told.", |f| f.waiting),
    ("flyball_notifier_silenced", "gauge", "Notices that a silence holds back.", |f| f.silenced),
    ("flyball_notifier_oldest_waiting_seconds", "gauge", "How long the oldest of those that wait has waited.", |f| f.oldest_waiting_s),
];

/// All figures in Prometheus' text format (version 0.0.4).
pub(crate) fn text(stats: &Stats, counts: &Counts) -> String {
    let mut text = String::new();
    write(&mut text, STORE, stats);
    write(&mut text, RESOLVER, counts);
    text
}

/// What was taken out of texts.
pub(crate) fn texts(policy: &Policy) -> String {
    let mut text = String::new();
    write(&mut text, TEXTS, policy);
    text
}

fn write<T>(text: &mut String, figures: &[Figure<T>], of: &T) {
    for (name, kind, meaning, read) in figures {
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "# HELP {name} {meaning}\n# TYPE {name} {kind}\n{name} {}",
            read(of)
        );
    }
}

/// How each notifier stands: nothing when there is none.
pub(crate) fn notifiers(figures: &[Figures]) -> String {
    let mut text = String::new();
    for (name, kind, meaning, read) in NOTIFIERS.iter().filter(|_| !figures.is_empty()) {
        // Writing to a String cannot fail.
        let _ = write!(text, "# HELP {name} {meaning}\n# TYPE {name} {kind}\n");
        for of in figures {
            // No name has a quote or a backslash in it.
            let _ = writeln!(text, "{name}{{notifier=\"{}\"}} {}", of.name, read(of));
        }
    }
    text
}

/// What an acknowledgement promises, as a label.
pub(crate) fn durability(mode: Durability) -> String {
    let name = "flyball_durability";
    format!(
        "# HELP {name} When a request is acknowledged.\n# TYPE {name} gauge\n{name}{{mode=\"{mode}\"}} 1\n"
    )
}

/// What became of requests at the door, by the name of their key: empty when there was none that we know.
pub(crate) fn keys(counts: &[Count]) -> String {
    let name = "flyball_key_requests_total";
    let mut text = format!(
        "# HELP {name} Requests by API key and what became of them at the door, on all ports.\n# TYPE {name} counter\n"
    );
    for Count {
        key,
        outcome,
        requests,
    } in counts
    {
        let outcome = outcome.as_str();
        // No name has a quote or a backslash in it. Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "{name}{{key=\"{key}\",outcome=\"{outcome}\"}} {requests}"
        );
    }
    text
}

/// What was asked of the object store, by kind of operation.
pub(crate) fn objects(operations: &[ObjectOperation]) -> String {
    let mut text = String::new();
    for (name, kind, meaning, read) in OBJECTS {
        let _ = write!(text, "# HELP {name} {meaning}\n# TYPE {name} {kind}\n");
        for of in operations {
            let _ = writeln!(text, "{name}{{operation=\"{}\"}} {}", of.name, read(of));
        }
    }
    let name = "flyball_object_store_seconds";
    let _ = write!(
        text,
        "# HELP {name} Time an operation took.\n# TYPE {name} histogram\n"
    );
    for of in operations {
        let operation = of.name;
        let most = LATENCY_BUCKETS_MS.map(|most| (most as f64 / 1e3).to_string());
        let within = of.within.iter().zip(&most);
        for (within, most) in within.chain([(&of.count, &"+Inf".to_owned())]) {
            let _ = writeln!(
                text,
                "{name}_bucket{{operation=\"{operation}\",le=\"{most}\"}} {within}"
            );
        }
        let (count, seconds) = (of.count, of.micros as f64 / 1e6);
        let _ = write!(
            text,
            "{name}_sum{{operation=\"{operation}\"}} {seconds}\n{name}_count{{operation=\"{operation}\"}} {count}\n"
        );
    }
    text
}

/// The loop's own books: how long each of its stages took, and what became of what rules wished.
pub(crate) fn alerts(books: &Books, obeyed: &Times) -> String {
    let name = "flyball_loop_seconds";
    let mut text = format!(
        "# HELP {name} Time from one stage of an action of a rule to the next.\n# TYPE {name} histogram\n"
    );
    let stages = [
        ("ended_to_received", &books.received),
        ("received_to_judged", &books.judged),
        ("judged_to_ordered", &books.ordered),
        ("ordered_to_obeyed", obeyed),
    ];
    // Writing to a String cannot fail.
    for (stage, times) in stages {
        for (within, most) in times.within.iter().zip(BOUNDS_MS) {
            let most = most as f64 / 1e3;
            let _ = writeln!(
                text,
                "{name}_bucket{{stage=\"{stage}\",le=\"{most}\"}} {within}"
            );
        }
        let (count, seconds) = (times.count, times.micros as f64 / 1e6);
        let _ = write!(
            text,
            "{name}_bucket{{stage=\"{stage}\",le=\"+Inf\"}} {count}\n\
             {name}_sum{{stage=\"{stage}\"}} {seconds}\n{name}_count{{stage=\"{stage}\"}} {count}\n"
        );
    }
    let name = "flyball_orders_failed_total";
    let _ = writeln!(
        text,
        "# HELP {name} Orders of rules that could not be carried out, in spite of all tries.\n# TYPE {name} counter\n\
         {name} {}",
        books.failed
    );
    for (name, meaning, read) in RULES {
        let _ = write!(text, "# HELP {name} {meaning}\n# TYPE {name} counter\n");
        for of in &books.rules {
            // No rule's name has a quote or a backslash in it.
            let _ = writeln!(text, "{name}{{rule=\"{}\"}} {}", of.rule, read(of));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use flyball_alerts::books::Overruns;

    #[test]
    fn names_say_their_kind_and_come_once() {
        let mut seen = std::collections::BTreeSet::new();
        let named = STORE.iter().map(|(name, kind, ..)| (name, kind));
        let named = named.chain(OBJECTS.iter().map(|(name, kind, ..)| (name, kind)));
        let named = named.chain(NOTIFIERS.iter().map(|(name, kind, ..)| (name, kind)));
        let named = named.chain(TEXTS.iter().map(|(name, kind, ..)| (name, kind)));
        for (name, kind) in named.chain(RESOLVER.iter().map(|(name, kind, ..)| (name, kind))) {
            assert!(seen.insert(name), "{name} twice");
            assert_eq!(name.ends_with("_total"), *kind == "counter", "{name}");
        }
        let stats = Stats {
            log_bytes: 7,
            ..Stats::default()
        };
        let text = text(&stats, &Counts::default());
        assert!(text.contains("# TYPE flyball_log_bytes gauge\nflyball_log_bytes 7\n"));
    }

    #[test]
    fn the_loops_books_are_histograms_and_counters() {
        let took = |within, count, micros| Times {
            within: [within; BOUNDS_MS.len()],
            count,
            micros,
        };
        let books = Books {
            received: took(2, 2, 900),
            judged: took(2, 2, 900),
            ordered: took(1, 2, 31_000_000),
            failed: 3,
            rules: vec![RuleBooks {
                rule: "spend".to_owned(),
                enforced: 5,
                overruns: Overruns {
                    passed: 4,
                    unordered: 2,
                    unobeyed: 1,
                },
                ..RuleBooks::default()
            }],
        };
        let text = alerts(&books, &Times::default());
        for line in [
            "flyball_loop_seconds_bucket{stage=\"received_to_judged\",le=\"0.001\"} 2\n",
            "flyball_loop_seconds_sum{stage=\"judged_to_ordered\"} 31\n",
            "flyball_loop_seconds_bucket{stage=\"judged_to_ordered\",le=\"+Inf\"} 2\n",
            "flyball_loop_seconds_count{stage=\"ordered_to_obeyed\"} 0\n",
            "flyball_orders_failed_total 3\n",
            "flyball_rule_actions_total{rule=\"spend\"} 5\n",
            "flyball_rule_overruns_total{rule=\"spend\"} 4\n",
            "flyball_rule_overruns_unordered_total{rule=\"spend\"} 2\n",
            "flyball_rule_overruns_unobeyed_total{rule=\"spend\"} 1\n",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
    }

    #[test]
    fn a_histogram_ends_in_its_count() {
        let get = ObjectOperation {
            name: "get",
            count: 3,
            errors: 1,
            retries: 0,
            bytes: 10,
            micros: 1_500_000,
            within: [0, 0, 0, 0, 0, 0, 0, 2, 2, 2, 2, 2],
        };
        let text = objects(&[get]);
        let of = "{operation=\"get\"";
        for line in [
            format!("flyball_object_store_errors_total{of}}} 1\n"),
            format!("flyball_object_store_seconds_bucket{of},le=\"0.5\"}} 2\n"),
            format!("flyball_object_store_seconds_bucket{of},le=\"+Inf\"}} 3\n"),
            format!("flyball_object_store_seconds_sum{of}}} 1.5\n"),
        ] {
            assert!(text.contains(&line), "{line} in {text}");
        }
        assert!(durability(Durability::GroupMs(5)).contains("mode=\"group_ms:5\"} 1\n"));
    }
}
