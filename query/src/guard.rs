//! Only what reads may pass, judged on the logical plan and not on the text: the same judgement for
//! every port.

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::datasource::listing::ListingTable;
use datafusion::datasource::source_as_provider;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{LogicalPlan, Statement};

use crate::reading::READ;
use crate::{Error, Result};

/// Options that a session may set for itself: how plans are shown and made, the time zone, and the moment it
/// reads. Memory, disk and file options belong to the engine.
const SETTABLE: [&str; 4] = [
    READ,
    "datafusion.explain.",
    "datafusion.optimizer.",
    "datafusion.execution.time_zone",
];

/// First words of statements that read, or are about the session.
const READING: [&str; 10] = [
    "SELECT", "WITH", "VALUES", "TABLE", "FROM", "EXPLAIN", "SHOW", "DESCRIBE", "DESC", "SET",
];

/// Passes a plan that reads and nothing else.
///
/// # Errors
/// [`Error::ReadOnly`] names what was refused, [`Error::Setting`] the option.
pub(crate) fn read_only(plan: &LogicalPlan) -> Result<()> {
    match plan {
        LogicalPlan::Statement(Statement::SetVariable(set)) => return settable(&set.variable),
        LogicalPlan::Statement(Statement::ResetVariable(reset)) => {
            return settable(&reset.variable);
        }
        _ => {}
    }
    let mut refused = None;
    plan.apply_with_subqueries(|node| {
        refused = refusal(node);
        Ok(if refused.is_some() {
            TreeNodeRecursion::Stop
        } else {
            TreeNodeRecursion::Continue
        })
    })
    .map_err(Error::invalid)?;
    refused.map_or(Ok(()), |statement| Err(Error::ReadOnly { statement }))
}

/// An error of planning a statement, which for one that is not about reading says just that, and not
/// which of its details happens to be unknown here.
pub(crate) fn not_planned(statement: &str, error: DataFusionError) -> Error {
    let verb: String = statement
        .trim_start()
        .chars()
        .take_while(char::is_ascii_alphabetic)
        .collect();
    let verb = verb.to_ascii_uppercase();
    if READING.contains(&verb.as_str()) || verb.is_empty() {
        Error::invalid(error)
    } else {
        Error::ReadOnly { statement: verb }
    }
}

/// Passes the name of an option that a session may set.
pub(crate) fn settable(option: &str) -> Result<()> {
    let name = option.to_ascii_lowercase();
    let known = SETTABLE
        .iter()
        .any(|allowed| match allowed.strip_suffix('.') {
            Some(_) => name.starts_with(allowed),
            None => name == *allowed,
        });
    if known {
        Ok(())
    } else {
        Err(Error::Setting {
            option: option.to_owned(),
        })
    }
}

/// What a node asks for that is not reading. Nodes that read are listed, so that a kind of node that
/// a later version brings is refused until somebody has looked at it.
fn refusal(node: &LogicalPlan) -> Option<String> {
    match node {
        LogicalPlan::TableScan(scan) => {
            let file = source_as_provider(&scan.source).is_ok_and(|p| p.is::<ListingTable>());
            file.then(|| format!("reading the file {}", scan.table_name))
        }
        LogicalPlan::Projection(_)
        | LogicalPlan::Filter(_)
        | LogicalPlan::Window(_)
        | LogicalPlan::Aggregate(_)
        | LogicalPlan::Sort(_)
        | LogicalPlan::Join(_)
        | LogicalPlan::Repartition(_)
        | LogicalPlan::Union(_)
        | LogicalPlan::EmptyRelation(_)
        | LogicalPlan::Subquery(_)
        | LogicalPlan::SubqueryAlias(_)
        | LogicalPlan::Limit(_)
        | LogicalPlan::Values(_)
        | LogicalPlan::Explain(_)
        | LogicalPlan::Analyze(_)
        | LogicalPlan::Distinct(_)
        | LogicalPlan::DescribeTable(_)
        | LogicalPlan::Unnest(_)
        | LogicalPlan::RecursiveQuery(_) => None,
        LogicalPlan::Ddl(ddl) => Some(as_sql(ddl.name())),
        LogicalPlan::Dml(dml) => Some(as_sql(dml.op.name())),
        LogicalPlan::Copy(_) => Some("COPY".to_owned()),
        LogicalPlan::Statement(statement) => Some(as_sql(statement.name())),
        other => Some(other.display().to_string()),
    }
}

/// The name of a node as a person writes it: `DropTable` is DROP TABLE.
fn as_sql(name: &str) -> String {
    let mut words = String::with_capacity(name.len() + 4);
    let mut lower_before = false;
    for letter in name.chars() {
        if lower_before && letter.is_ascii_uppercase() {
            words.push(' ');
        }
        lower_before = letter.is_ascii_lowercase();
        words.push(letter.to_ascii_uppercase());
    }
    words
}

#[cfg(test)]
mod tests {
    use super::{as_sql, not_planned, settable};
    use datafusion::error::DataFusionError;

    #[test]
    fn names_are_written_as_in_sql() {
        assert_eq!(as_sql("DropTable"), "DROP TABLE");
        assert_eq!(as_sql("CreateExternalTable"), "CREATE EXTERNAL TABLE");
        assert_eq!(as_sql("Insert Into"), "INSERT INTO");
    }

    #[test]
    fn what_does_not_plan_is_refused_unless_it_reads() {
        let told = |sql: &str| {
            let error = DataFusionError::Plan("no such thing".to_owned());
            not_planned(sql, error).to_string()
        };
        assert!(told("grant all on x to y").starts_with("GRANT is refused"));
        assert!(told("COPY x TO '/y'").starts_with("COPY is refused"));
        assert!(told("SELECT x").contains("no such thing"));
        assert!(told("(SELECT x)").contains("no such thing"));
    }

    #[test]
    fn only_listed_options_can_be_set() {
        for allowed in [
            "datafusion.explain.format",
            "DataFusion.Optimizer.Max_Passes",
            "datafusion.execution.time_zone",
            "flyball.read",
        ] {
            assert!(settable(allowed).is_ok(), "{allowed}");
        }
        for refused in [
            "datafusion.runtime.memory_limit",
            "datafusion.catalog.location",
            "datafusion.execution.time_zone_x",
            "datafusion.execution.target_partitions",
            "datafusion.explained.x",
            "flyball.reader",
            "x",
            "",
        ] {
            assert!(settable(refused).is_err(), "{refused}");
        }
    }
}
