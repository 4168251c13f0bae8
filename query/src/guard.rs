//! Only what reads may pass, judged on the logical plan and not on the text: the same judgement for
//! every port. Of the text itself only this is judged, that a parser and a planner can walk it.

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::datasource::listing::ListingTable;
use datafusion::datasource::source_as_provider;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{LogicalPlan, Statement};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer, Word};

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

/// The longest statement, bytes.
const BYTES_MAX: usize = 1 << 20;
/// The most operators, clauses and list items of one statement: each can be a level of a tree, and trees are walked, and
/// dropped, by recursion; what a level is costs the planner the more, the deeper it lies.
const LEVELS_MAX: usize = 1000;
/// Words that join what is on both sides of them.
const JOINING: [&str; 12] = [
    "AND",
    "OR",
    "NOT",
    "IS",
    "LIKE",
    "ILIKE",
    "BETWEEN",
    "UNION",
    "EXCEPT",
    "INTERSECT",
    "JOIN",
    "WHEN",
];

/// Passes a text that can be parsed without running out of stack. A list of literals may be long: it is flat.
///
/// # Errors
/// [`Error::TooLong`].
pub(crate) fn walkable(sql: &str) -> Result<()> {
    if sql.len() > BYTES_MAX {
        return Err(Error::TooLong {
            found: format!("{} bytes", sql.len()),
            limit: BYTES_MAX,
        });
    }
    if sql.len() < LEVELS_MAX {
        return Ok(());
    }
    // What is no SQL the parser will say, and better.
    let Ok(tokens) = Tokenizer::new(&PostgreSqlDialect {}, sql).tokenize() else {
        return Ok(());
    };
    let (mut levels, mut behind_literal) = (0, false);
    for token in tokens {
        let literal = matches!(
            token,
            Token::Number(..) | Token::SingleQuotedString(_) | Token::Placeholder(_)
        );
        levels += usize::from(match &token {
            Token::Whitespace(_) => continue,
            Token::Word(word) => joins(word),
            Token::Comma => !behind_literal,
            Token::Period | Token::RParen | Token::SemiColon => false,
            _ => !literal,
        });
        behind_literal = literal;
    }
    if levels > LEVELS_MAX {
        return Err(Error::TooLong {
            found: format!("{levels} operators, clauses and list items"),
            limit: LEVELS_MAX,
        });
    }
    Ok(())
}

fn joins(word: &Word) -> bool {
    word.quote_style.is_none()
        && JOINING
            .iter()
            .any(|joining| word.value.eq_ignore_ascii_case(joining))
}

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
    use super::{as_sql, not_planned, settable, walkable};
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
    fn long_lists_of_literals_pass_and_long_chains_do_not() {
        let list = |item: &str, between: &str| vec![item; 10_000].join(between);
        for sql in [
            format!("SELECT 1 WHERE 7 IN ({})", list("1", ", ")),
            format!("SELECT 1 WHERE 'x' IN ({})", list("'a,b'", ",")),
            format!("SELECT '{}'", list("+", " ")),
        ] {
            assert!(walkable(&sql).is_ok());
        }
        for sql in [
            format!("SELECT {}", list("1", "+")),
            format!("SELECT 1 WHERE {}", list("a = 1", " OR ")),
            format!("SELECT {} true", list("NOT", " ")),
            format!("SELECT 1{}", list("::int", "")),
            format!("SELECT 1 FROM {}", list("t", ",")),
            format!("SELECT {}", list("(", "")),
            list("SELECT 1", " UNION ALL "),
            " ".repeat(1 << 21),
        ] {
            let told = walkable(&sql).err().map(|error| error.to_string());
            assert!(
                told.is_some_and(|told| told.contains("have 1000:") || told.contains("1048576"))
            );
        }
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
