//! A backtest as people see it: its sums, a line for each firing, a line for each key over time.

use std::fmt::Write as _;
use std::io::IsTerminal as _;

use chrono::DateTime;
use flyball_alerts::backtest::{Act, Backtest, Firing, Lane, Mark, Sums, Timing};
use rust_decimal::Decimal;

/// Width of what is printed where nobody says how wide it may be.
const WIDTH: usize = 100;
/// Of a key's name on the timeline.
const NAME: usize = 32;
/// The timeline's narrowest and widest.
const PARTS: (usize, usize) = (20, 240);
/// Firings and keys that are printed.
const LINES: usize = 40;

/// Parts that the timeline has room for.
pub(super) fn parts() -> usize {
    let wide = std::io::stdout()
        .is_terminal()
        .then(rustyline::DefaultEditor::new)
        .and_then(|editor| editor.ok()?.dimensions())
        .map_or(WIDTH, |(columns, _)| usize::from(columns));
    wide.saturating_sub(NAME + 2).clamp(PARTS.0, PARTS.1)
}

/// All of it. Writing to a String cannot fail.
pub(super) fn draw(backtest: &Backtest) -> String {
    let mut text = String::new();
    head(&mut text, backtest);
    sums(&mut text, backtest);
    if !backtest.firings.is_empty() {
        let _ = writeln!(text, "\n{}", firings(backtest));
        if backtest.firings.len() > LINES {
            let more = backtest.firings.len() - LINES;
            let _ = writeln!(text, "and {more} more firings (--format csv has them all)");
        }
        wrongs(&mut text, backtest);
        timeline(&mut text, backtest);
    }
    text.push('\n');
    text
}

fn head(text: &mut String, backtest: &Backtest) {
    let Backtest {
        rule, condition, ..
    } = backtest;
    let _ = writeln!(text, "{rule}: {condition}; {}", action(backtest));
    let clock = match backtest.timing {
        Timing::Known => "when we knew of them",
        Timing::Ended => "when they ended",
    };
    let _ = writeln!(
        text,
        "{} to {} UTC, {} calls and executions in the order {clock}",
        minute(backtest.since_unix_nano),
        minute(backtest.until_unix_nano),
        backtest.counted,
    );
    if backtest.history > 0 {
        let _ = writeln!(
            text,
            "{} more were imported or came over a minute late: no rule judges those (--clock ended does)",
            backtest.history
        );
    }
}

fn action(backtest: &Backtest) -> String {
    let action = serde_json::to_value(&backtest.action).unwrap_or_default();
    let name = |value: &serde_json::Value| value.as_str().map(str::to_owned);
    let verb = name(&action).or_else(|| action.as_object()?.keys().next().cloned());
    match verb.as_deref() {
        None | Some("notify") => "it only tells".to_owned(),
        Some(verb) => format!("then {verb}"),
    }
}

fn sums(text: &mut String, backtest: &Backtest) {
    let Sums {
        firings,
        keys,
        orders,
        withheld,
        ..
    } = &backtest.sums;
    let _ = writeln!(
        text,
        "\nfirings: {firings} on {keys} keys; orders: {orders}; withheld: {withheld}; near, and did not fire: {}",
        backtest.only_pending
    );
    let of = &backtest.sums;
    if of.orders > 0 {
        let _ = writeln!(
            text,
            "spent in {} calls while an order would have stood: {} USD",
            of.calls,
            usd(of.spent_usd)
        );
    }
    if of.stopped > 0 {
        let _ = writeln!(
            text,
            "saved at least {} USD on executions that came to nothing; {} USD on ones nobody knows the end of",
            usd(of.saved_usd),
            usd(of.unknown_usd)
        );
        let _ = writeln!(
            text,
            "wrongly stopped: {} of {} executions ended in success, {} USD of successful work lost",
            of.wrong,
            of.stopped,
            usd(of.lost_usd)
        );
    }
    if backtest.firings_left_out > 0 {
        let _ = writeln!(
            text,
            "the sums are of the first {} firings",
            backtest.firings.len()
        );
    }
}

fn firings(backtest: &Backtest) -> comfy_table::Table {
    let mut table = comfy_table::Table::new();
    table
        .load_preset(comfy_table::presets::NOTHING)
        .set_header([
            "fired",
            "key",
            "value",
            "limit",
            "pending",
            "lasted",
            "order",
            "calls",
            "spent USD",
            "saved USD",
            "stopped",
            "wrong",
        ]);
    for firing in backtest.firings.iter().take(LINES) {
        for row in rows(firing) {
            table.add_row(row);
        }
    }
    table
}

/// A row for each order, or one without.
fn rows(firing: &Firing) -> Vec<Vec<String>> {
    let fired = firing.fired_at_unix_nano;
    let begin = |act: Option<&Act>| {
        vec![
            second(fired),
            firing.key.clone(),
            firing.value.clone().unwrap_or_default(),
            firing.threshold.clone(),
            firing
                .pending_since_unix_nano
                .map_or_else(|| "-".to_owned(), |since| long(fired - since)),
            firing
                .over_at_unix_nano
                .map_or_else(|| "to the end".to_owned(), |over| long(over - fired)),
            act.map_or_else(|| "-".to_owned(), ordered),
        ]
    };
    let dash = || "-".to_owned();
    if firing.acts.is_empty() {
        let mut row = begin(None);
        row.extend(std::iter::repeat_with(dash).take(5));
        return vec![row];
    }
    let row = |act: &Act| {
        let mut row = begin(Some(act));
        let sums = &act.sums;
        let judged = sums.stopped > 0;
        let only = |when: bool, text: String| if when { text } else { dash() };
        let ordered = act.action_id.is_some();
        row.extend([
            only(ordered, sums.calls.to_string()),
            only(ordered, usd(sums.spent_usd)),
            only(judged, usd(sums.saved_usd)),
            only(judged, sums.stopped.to_string()),
            only(judged, sums.wrong.to_string()),
        ]);
        row
    };
    firing.acts.iter().map(row).collect()
}

/// `freeze agent triage`, or why not.
fn ordered(act: &Act) -> String {
    match act.action_id {
        Some(_) => format!("{} {}", act.action, act.target),
        None => {
            let why = act.outcome.split([':', ';']).next().unwrap_or_default();
            format!("{why}: {} {}", act.action, act.target)
        }
    }
}

fn wrongs(text: &mut String, backtest: &Backtest) {
    let acts = backtest.firings.iter().flat_map(|firing| &firing.acts);
    let wrongs: Vec<_> = acts.flat_map(|act| &act.wrongly_stopped).collect();
    if wrongs.is_empty() {
        return;
    }
    let _ = writeln!(text, "\nwrongly stopped, though it ended in success:");
    for wrong in wrongs.iter().take(LINES) {
        let _ = writeln!(text, "  {}  {} USD", wrong.execution_id, usd(wrong.usd));
    }
    if wrongs.len() > LINES {
        let _ = writeln!(text, "  and {} more", wrongs.len() - LINES);
    }
}

fn timeline(text: &mut String, backtest: &Backtest) {
    let parts = backtest.lanes.first().map_or(0, |lane| lane.marks.len());
    let (since, until) = (
        minute(backtest.since_unix_nano),
        minute(backtest.until_unix_nano),
    );
    let gap = parts.saturating_sub(since.len() + until.len());
    let _ = writeln!(text, "\n{:NAME$}  {since}{:gap$}{until}", "", "");
    for Lane { key, marks } in backtest.lanes.iter().take(LINES) {
        let name: String = match key.char_indices().nth(NAME) {
            None => key.clone(),
            Some(_) => key.chars().take(NAME - 1).chain(['~']).collect(),
        };
        let marks: String = marks.iter().copied().map(letter).collect();
        let _ = writeln!(text, "{name:NAME$}  {marks}");
    }
    if backtest.lanes.len() > LINES {
        let _ = writeln!(text, "and {} more keys", backtest.lanes.len() - LINES);
    }
    let _ = writeln!(
        text,
        "{:NAME$}  · well  - pending  # firing  ! would have acted  x withheld  = recovering  ? no data",
        ""
    );
}

fn letter(mark: Mark) -> char {
    match mark {
        Mark::Quiet => '·',
        Mark::Blind => '?',
        Mark::Pending => '-',
        Mark::Recovering => '=',
        Mark::Firing => '#',
        Mark::Withheld => 'x',
        Mark::Ordered => '!',
    }
}

/// Exact, without zeros at its end.
pub(super) fn usd(amount: Decimal) -> String {
    amount.normalize().to_string()
}

fn second(unix_nano: i64) -> String {
    DateTime::from_timestamp_nanos(unix_nano)
        .format("%m-%d %H:%M:%S")
        .to_string()
}

fn minute(unix_nano: i64) -> String {
    DateTime::from_timestamp_nanos(unix_nano)
        .format("%Y-%m-%d %H:%M")
        .to_string()
}

/// A length of time in its two largest units: `2h 5m`.
fn long(nanos: i64) -> String {
    let seconds = nanos / 1_000_000_000;
    match (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60) {
        (0, 0, 0) if seconds < 10 => format!("{:.1}s", nanos as f64 / 1e9),
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, minutes) => format!("{minutes}m {}s", seconds % 60),
        (0, hours, minutes) => format!("{hours}h {minutes}m"),
        (days, hours, _) => format!("{days}d {hours}h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_said_in_two_units() {
        let second = 1_000_000_000;
        for (nanos, want) in [
            (second / 2, "0.5s"),
            (42 * second, "42s"),
            (125 * second, "2m 5s"),
            (7_500 * second, "2h 5m"),
            (100_000 * second, "1d 3h"),
        ] {
            assert_eq!(long(nanos), want);
        }
    }
}
