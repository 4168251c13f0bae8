//! By what a report can be made.

use std::fmt;
use std::str::FromStr;

use crate::{Error, Result};

/// By what charges can be grouped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Dimension {
    /// `charges.team`.
    Team,
    /// `charges.agent_name`.
    Agent,
    /// `charges.tenant`.
    Tenant,
    /// `charges.environment`.
    Environment,
    /// `charges.user_id`.
    User,
    /// `charges.session_id`.
    Session,
    /// The model used (`charges.response_model`), else the one asked for (`charges.request_model`).
    Model,
    /// `charges.provider`.
    Provider,
    /// `charges.tool_name`.
    Tool,
    /// The UTC day on which the call started (`charges.date`), as `YYYY-MM-DD`.
    Day,
}

impl Dimension {
    /// Every dimension, in the order in which they are offered.
    pub const ALL: [Self; 10] = [
        Self::Team,
        Self::Agent,
        Self::Tenant,
        Self::Environment,
        Self::User,
        Self::Session,
        Self::Model,
        Self::Provider,
        Self::Tool,
        Self::Day,
    ];

    /// Its name, as given to `--by` and as the report's column.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Team => "team",
            Self::Agent => "agent",
            Self::Tenant => "tenant",
            Self::Environment => "environment",
            Self::User => "user",
            Self::Session => "session",
            Self::Model => "model",
            Self::Provider => "provider",
            Self::Tool => "tool",
            Self::Day => "day",
        }
    }

    /// The columns of `charges` it is read from: the first that is not NULL counts.
    #[must_use]
    pub fn columns(self) -> &'static [&'static str] {
        match self {
            Self::Team => &["team"],
            Self::Agent => &["agent_name"],
            Self::Tenant => &["tenant"],
            Self::Environment => &["environment"],
            Self::User => &["user_id"],
            Self::Session => &["session_id"],
            Self::Model => &["response_model", "request_model"],
            Self::Provider => &["provider"],
            Self::Tool => &["tool_name"],
            Self::Day => &["date"],
        }
    }

    /// Reads a list such as `team,agent`; spaces around names do not matter.
    ///
    /// # Errors
    /// When a name is unknown or stands twice, or the list is empty.
    pub fn parse_list(list: &str) -> Result<Vec<Self>> {
        let by = list
            .split(',')
            .map(str::trim)
            .filter(|name| !name.is_empty())
            .map(str::parse)
            .collect::<Result<Vec<Self>>>()?;
        Self::check(&by)?;
        Ok(by)
    }

    /// Each dimension at most once, and at least one of them.
    pub(crate) fn check(by: &[Self]) -> Result<()> {
        if by.is_empty() {
            return Err(Error::NoDimension);
        }
        for (at, dimension) in by.iter().enumerate() {
            if by[..at].contains(dimension) {
                return Err(Error::RepeatedDimension {
                    name: dimension.name(),
                });
            }
        }
        Ok(())
    }

    /// The accepted names, for messages.
    pub(crate) fn accepted() -> String {
        Self::ALL.map(Self::name).join(", ")
    }
}

impl FromStr for Dimension {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::ALL
            .into_iter()
            .find(|dimension| dimension.name() == name)
            .ok_or_else(|| Error::UnknownDimension {
                name: name.to_owned(),
            })
    }
}

impl fmt::Display for Dimension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_name_reads_back() {
        for dimension in Dimension::ALL {
            assert_eq!(dimension.name().parse::<Dimension>().unwrap(), dimension);
        }
    }

    #[test]
    fn lists_keep_their_order() {
        assert_eq!(
            Dimension::parse_list(" day, team ,model").unwrap(),
            [Dimension::Day, Dimension::Team, Dimension::Model]
        );
    }

    #[test]
    fn an_unknown_name_is_named_with_the_accepted_ones() {
        let message = Dimension::parse_list("team,tema").unwrap_err().to_string();
        assert!(message.contains("`tema`"), "{message}");
        for dimension in Dimension::ALL {
            assert!(message.contains(dimension.name()), "{message}");
        }
    }

    #[test]
    fn empty_and_repeated_lists_are_refused() {
        assert!(matches!(
            Dimension::parse_list(" , "),
            Err(Error::NoDimension)
        ));
        assert!(matches!(
            Dimension::parse_list("team,agent,team"),
            Err(Error::RepeatedDimension { name: "team" })
        ));
    }
}
