//! What `/metrics` shows of the catalogue.

use std::time::Duration;

use flyball_query::gauges;

use super::{Error, Settings, list};

impl Settings {
    /// Typed. Whether the names are known is the catalogue's to say.
    pub(super) fn gauges(&self) -> Result<gauges::Config, Error> {
        let positive = |key| {
            let number = self.number(key).ok().filter(|number| *number > 0);
            number.ok_or_else(|| self.wrong(key, "a whole number from 1"))
        };
        let rows_max = positive("metrics.catalogue_rows_max")?;
        Ok(gauges::Config {
            names: list(self.text("metrics.catalogue")),
            rows: self.text("metrics.catalogue_rows").parse().map_err(|()| {
                self.wrong("metrics.catalogue_rows", "last_hour, this_hour or all")
            })?,
            every: Duration::from_secs(positive("metrics.catalogue_every_s")?),
            time_limit: Duration::from_secs(positive("metrics.catalogue_time_limit_s")?),
            rows_max: usize::try_from(rows_max).unwrap_or(usize::MAX),
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// The query crate has defaults of its own as well.
    #[test]
    fn gauges_that_nobody_set_are_what_the_catalogue_would_do_without() {
        let settings = Settings::load(None, |_| None, &[]).unwrap();
        let gauges = settings.gauges().unwrap();
        let bare = flyball_query::gauges::Config::default();
        assert_eq!(format!("{gauges:?}"), format!("{bare:?}"));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let set = |name: &'static str, value: &str| {
            let flags = [(name, Some(value.to_owned()))];
            let settings = Settings::load(None, |_| None, &flags).unwrap();
            settings.gauges().unwrap_err().to_string()
        };
        let wrong = set("metrics.catalogue_rows", "today");
        assert!(
            wrong.contains("metrics.catalogue_rows = \"today\"") && wrong.contains("this_hour"),
            "{wrong}"
        );
        let wrong = set("metrics.catalogue_every_s", "0");
        assert!(wrong.contains("a whole number from 1"), "{wrong}");
    }
}
