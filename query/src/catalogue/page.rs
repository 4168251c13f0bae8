//! The catalogue for people: the page `docs/metrics.md`, and what `flyball metrics` prints.

use std::fmt::Write as _;

use super::{Definition, Kind, all};
use crate::functions::SIGNATURES;

/// The page, in Markdown: an index, then each metric and function with all that is said of it, then the views.
#[must_use]
pub fn page() -> String {
    let entries = all();
    let mut page = String::from(
        "# Metrics\n\n\
         Printed by `flyball metrics --format markdown` from the files in `query/src/catalogue/`, one for each entry, from which\n\
         the views in SQL come as well. A test fails when this page is not what they say. Each has a worked example in\n\
         `query/tests/metrics/`, small enough to check by hand.\n\n\
         Ratios are quotients of sums and never means of ratios, NULL (and not zero) where the denominator is zero, and `n` or\n\
         its like is always beside them. Entries with a second name `..._by_hour` are there once more with a column `hour` (UTC).\n\n\
         | metric | what it is | unit |\n|---|---|---|\n",
    );
    let measured = || entries.iter().filter(|entry| is_measured(entry));
    for entry in measured() {
        let Definition {
            name,
            summary,
            unit,
            ..
        } = entry;
        put(
            &mut page,
            format_args!("| [{name}](#{name}) | {summary} | {unit} |\n"),
        );
    }
    for entry in measured() {
        put(
            &mut page,
            format_args!("\n## {}\n\n{}\n\n", entry.name, entry.summary),
        );
        let hourly = format!("{}_by_hour", entry.name);
        let by_hour = entries.iter().any(|other| other.name == hourly);
        let facts = [
            ("Formula", entry.formula.as_str()),
            ("Unit", &entry.unit),
            ("One row", &entry.grain),
            ("By hour", if by_hour { &hourly } else { "" }),
            ("Time", &entry.time),
            ("Edges", &entry.edges),
        ];
        for (name, text) in facts.into_iter().filter(|(_, text)| !text.is_empty()) {
            put(&mut page, format_args!("- {name}: {text}\n"));
        }
    }
    page.push_str(
        "\n## In Prometheus\n\n\
         `metrics.catalogue = \"cost_per_decision,escalation_rate\"` in `flyball.toml` puts metrics on `/metrics`: each numeric column \
         as a\ngauge `flyball_<metric>_<column>`, its text columns as labels (cut to 128 characters), NULL as no sample, money as \
         the decimal it\nis. They count the last full UTC hour, unless `metrics.catalogue_rows` says `this_hour` or `all`; those \
         without a view by hour\ncount everything kept. They are asked for every `metrics.catalogue_every_s` in the background, \
         never by a scrape, which is shown\nthe last answer: `flyball_catalogue_age_seconds` says how old it is, \
         `flyball_catalogue_failures_total` how often there was none,\nand `flyball_catalogue_dropped_rows` how many rows lie past \
         `metrics.catalogue_rows_max`, in the order of their labels. Labels of\n`cost_by_user` are people: what Prometheus keeps, \
         `flyball erase` does not forget.\n\n\
         ## Functions\n\n\
         What the metrics are made of, for questions of one's own. A comparison takes a value and says of each row whether it is \
         in the\nbaseline and whether it is in the window, and answers a struct: `get_field(ks_drift(...), 'p')`. It does not \
         depend on the order\nof rows, and takes bounded memory whatever their number.\n\n\
         | function | what it is |\n|---|---|\n",
    );
    for (call, meaning) in SIGNATURES {
        put(&mut page, format_args!("| `{call}` | {meaning} |\n"));
    }
    page.push_str("\n## Views\n\n| view | what it is | one row |\n|---|---|---|\n");
    for entry in entries.iter().filter(|entry| entry.kind == Kind::View) {
        let Definition {
            name,
            summary,
            grain,
            ..
        } = entry;
        put(
            &mut page,
            format_args!("| {name} | {summary} | {grain} |\n"),
        );
    }
    page
}

/// Whether it measures something, and is no variant of another entry.
fn is_measured(entry: &Definition) -> bool {
    entry.kind != Kind::View && !entry.is_by_hour()
}

fn put(page: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a text cannot fail.
    let _ = page.write_fmt(text);
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_page_is_what_the_catalogue_says() {
        let told = include_str!("../../../docs/metrics.md");
        assert!(
            told == super::page(),
            "docs/metrics.md is not up to date: flyball metrics --format markdown > docs/metrics.md"
        );
    }
}
