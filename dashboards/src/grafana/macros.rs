//! Grafana's macros, expanded as its PostgreSQL data source does.

use chrono::{DateTime, SecondsFormat};

use crate::{Error, Result};

/// The time picked in a dashboard, and how fine it is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeRange {
    /// Begin, in milliseconds since 1970.
    pub from: i64,
    /// End, in milliseconds since 1970.
    pub to: i64,
    /// `$__interval`: how much time one point stands for, in milliseconds.
    pub interval: i64,
}

impl TimeRange {
    /// The last so many hours before `now` (milliseconds since 1970), a point a minute and hour.
    #[must_use]
    pub fn last_hours(now: i64, hours: i64) -> Self {
        Self {
            from: now.saturating_sub(hours.saturating_mul(3_600_000)),
            to: now,
            interval: hours.max(1).saturating_mul(60_000),
        }
    }
}

/// The SQL with every macro expanded.
pub(super) fn expand(panel: &str, sql: &str, range: &TimeRange) -> Result<String> {
    // Grafana's page puts these in before the data source sees the rest.
    let sql = sql
        .replace("$__interval_ms", &range.interval.to_string())
        .replace("$__interval", &duration(range.interval));
    let mut expanded = String::new();
    let mut rest = sql.as_str();
    while let Some(at) = rest.find('$') {
        expanded.push_str(&rest[..at]);
        let call = &rest[at..];
        let wrong = |found: &str, reason| Error::Macro {
            panel: panel.to_owned(),
            found: found.to_owned(),
            reason,
        };
        let open = call
            .find('(')
            .ok_or_else(|| wrong(call, "no variable or macro of this form is known here"))?;
        // Its pattern ends at the first closing parenthesis, so arguments hold none.
        let close = call[open..]
            .find(')')
            .ok_or_else(|| wrong(call, "the parenthesis is not closed"))?
            + open;
        let (name, arguments) = (&call[..open], &call[open + 1..close]);
        let whole = &call[..=close];
        if arguments.contains('(') {
            return Err(wrong(
                whole,
                "Grafana takes no parentheses inside a macro's arguments",
            ));
        }
        let arguments: Vec<&str> = arguments.split(',').map(str::trim).collect();
        expanded.push_str(&one(name, &arguments, range).map_err(|reason| wrong(whole, reason))?);
        rest = &call[close + 1..];
    }
    expanded.push_str(rest);
    Ok(expanded)
}

fn one(
    name: &str,
    arguments: &[&str],
    range: &TimeRange,
) -> std::result::Result<String, &'static str> {
    let column = || match arguments {
        [column, ..] if !column.is_empty() => Ok(*column),
        _ => Err("the column is missing"),
    };
    let (from, to) = (range.from, range.to);
    let seconds = |ms: i64| ms.div_euclid(1_000);
    Ok(match name {
        "$__time" => format!("{} AS \"time\"", column()?),
        "$__timeEpoch" => format!("extract(epoch from {}) as \"time\"", column()?),
        "$__timeFilter" => format!(
            "{} BETWEEN '{}' AND '{}'",
            column()?,
            instant(from)?,
            instant(to)?
        ),
        "$__timeFrom" => format!("'{}'", instant(from)?),
        "$__timeTo" => format!("'{}'", instant(to)?),
        "$__timeGroup" => {
            let every = every(arguments)?;
            format!("floor(extract(epoch from {})/{every})*{every}", column()?)
        }
        "$__timeGroupAlias" => format!("{} AS \"time\"", one("$__timeGroup", arguments, range)?),
        "$__unixEpochFilter" => format!(
            "{0} >= {1} AND {0} <= {2}",
            column()?,
            seconds(from),
            seconds(to)
        ),
        "$__unixEpochFrom" => seconds(from).to_string(),
        "$__unixEpochTo" => seconds(to).to_string(),
        "$__unixEpochNanoFilter" => {
            format!("{0} >= {1}000000 AND {0} <= {2}000000", column()?, from, to)
        }
        "$__unixEpochNanoFrom" => format!("{from}000000"),
        "$__unixEpochNanoTo" => format!("{to}000000"),
        "$__unixEpochGroup" => {
            let every = every(arguments)?;
            format!("floor(({})/{every})*{every}", column()?)
        }
        "$__unixEpochGroupAlias" => format!(
            "{} AS \"time\"",
            one("$__unixEpochGroup", arguments, range)?
        ),
        _ => return Err("Grafana knows no macro of this name"),
    })
}

/// The second argument, such as `'5m'` or `1h`, in seconds.
fn every(arguments: &[&str]) -> std::result::Result<String, &'static str> {
    const WRONG: &str = "the interval is missing or not of the form 30s, 5m, 1h, 1d";
    let text = arguments.get(1).ok_or(WRONG)?.trim_matches('\'');
    let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or(WRONG)?;
    let unit: i64 = match &text[digits..] {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        "w" => 604_800_000,
        _ => return Err(WRONG),
    };
    let ms = text[..digits]
        .parse::<i64>()
        .ok()
        .and_then(|count| count.checked_mul(unit))
        .filter(|ms| *ms > 0);
    let ms = ms.ok_or(WRONG)?;
    let fraction = format!("{:03}", ms % 1_000);
    let fraction = fraction.trim_end_matches('0');
    Ok(if fraction.is_empty() {
        (ms / 1_000).to_string()
    } else {
        format!("{}.{fraction}", ms / 1_000)
    })
}

/// Milliseconds as Grafana writes `$__interval`.
fn duration(ms: i64) -> String {
    for (size, unit) in [
        (86_400_000, "d"),
        (3_600_000, "h"),
        (60_000, "m"),
        (1_000, "s"),
    ] {
        if ms > 0 && ms % size == 0 {
            return format!("{}{unit}", ms / size);
        }
    }
    format!("{ms}ms")
}

fn instant(ms: i64) -> std::result::Result<String, &'static str> {
    let instant = DateTime::from_timestamp_millis(ms).ok_or("the time range is out of range")?;
    let text = instant.to_rfc3339_opts(SecondsFormat::Millis, true);
    // Go's RFC3339Nano, which Grafana uses, drops zeros at the end.
    let digits = text
        .trim_end_matches('Z')
        .trim_end_matches('0')
        .trim_end_matches('.');
    Ok(if text.contains('.') {
        format!("{digits}Z")
    } else {
        text
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    // 22 November 2026, 10:00 to 11:00.
    const RANGE: TimeRange = TimeRange {
        from: 1_795_341_600_000,
        to: 1_795_345_200_500,
        interval: 60_000,
    };

    fn expanded(sql: &str) -> String {
        expand("p", sql, &RANGE).unwrap()
    }

    #[test]
    fn macros_become_what_grafana_sends() {
        for (before, after) in [
            (
                "$__timeFilter(t)",
                "t BETWEEN '2026-11-22T10:00:00Z' AND '2026-11-22T11:00:00.5Z'",
            ),
            (
                "$__timeFrom() $__timeTo()",
                "'2026-11-22T10:00:00Z' '2026-11-22T11:00:00.5Z'",
            ),
            (
                "$__timeGroup(t, '1m')",
                "floor(extract(epoch from t)/60)*60",
            ),
            (
                "$__timeGroup(t,5m,NULL)",
                "floor(extract(epoch from t)/300)*300",
            ),
            (
                "$__timeGroup(t,'500ms')",
                "floor(extract(epoch from t)/0.5)*0.5",
            ),
            (
                "$__timeGroupAlias(t, $__interval)",
                "floor(extract(epoch from t)/60)*60 AS \"time\"",
            ),
            ("$__time(t)", "t AS \"time\""),
            ("$__timeEpoch(t)", "extract(epoch from t) as \"time\""),
            (
                "$__unixEpochFilter(s)",
                "s >= 1795341600 AND s <= 1795345200",
            ),
            (
                "$__unixEpochNanoFilter(n)",
                "n >= 1795341600000000000 AND n <= 1795345200500000000",
            ),
            (
                "$__unixEpochGroupAlias(s, '1h')",
                "floor((s)/3600)*3600 AS \"time\"",
            ),
            ("x / $__interval_ms", "x / 60000"),
            ("no macro, f(x)", "no macro, f(x)"),
        ] {
            assert_eq!(expanded(before), after, "{before}");
        }
    }

    #[test]
    fn what_grafana_would_refuse_is_refused() {
        for sql in [
            "$__timeFiler(t)",
            "$__timeFilter()",
            "$__timeFilter(coalesce(a, b))",
            "$__timeGroup(t)",
            "$__timeGroup(t, 'soon')",
            "$__timeGroup(t, '0s')",
            "$__timeFilter(t",
            "a = ${agent}",
            "a = $agent",
        ] {
            let message = expand("Spend", sql, &RANGE).unwrap_err().to_string();
            assert!(message.starts_with("panel \"Spend\": macro "), "{message}");
        }
    }
}
