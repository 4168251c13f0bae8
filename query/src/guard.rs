//! Only what reads may pass, judged on the logical plan and not on the text: the same judgement for
//! every port. Of the text itself only this is judged, that a parser and a planner can walk it.

use std::collections::HashMap;
use std::ops::ControlFlow;

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::datasource::listing::ListingTable;
use datafusion::datasource::source_as_provider;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{LogicalPlan, Statement};
use datafusion::sql::parser::Statement as Parsed;
use datafusion::sql::sqlparser::ast::{Query, Visit, Visitor, visit_relations};
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
/// The most brackets within brackets: short of the depth at which the parser gives up, and tries every other reading first.
const BRACKETS_MAX: usize = 24;
/// The most SELECTs within SELECTs, each of which the optimiser takes apart several times.
const SELECTS_MAX: usize = 12;
/// The most times that tables are read, when what `WITH` names is written out wherever it is named.
const RELATIONS_MAX: u64 = 1000;
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
    // What is no SQL the parser will say, and better.
    let Ok(tokens) = Tokenizer::new(&PostgreSqlDialect {}, sql).tokenize() else {
        return Ok(());
    };
    let (mut levels, mut behind_literal) = (0, false);
    // For each bracket that is open, whether it holds a SELECT.
    let mut open: Vec<bool> = Vec::new();
    let (mut brackets, mut selects, mut holding) = (0, 0, 0);
    for token in tokens {
        let literal = matches!(
            token,
            Token::Number(..) | Token::SingleQuotedString(_) | Token::Placeholder(_)
        );
        levels += usize::from(match &token {
            Token::Whitespace(_) => continue,
            Token::Word(word) => joins(word),
            Token::Comma => !behind_literal,
            Token::Period | Token::RParen | Token::RBracket | Token::SemiColon => false,
            _ => !literal,
        });
        match &token {
            Token::LParen | Token::LBracket => open.push(false),
            Token::RParen | Token::RBracket => {
                holding -= usize::from(open.pop() == Some(true));
            }
            Token::Word(word) if is(word, "SELECT") => {
                if let Some(holds) = open.last_mut() {
                    holding += usize::from(!std::mem::replace(holds, true));
                }
            }
            _ => {}
        }
        // Counted along: a text may be a mebibyte of brackets.
        brackets = brackets.max(open.len());
        selects = selects.max(holding);
        behind_literal = literal;
    }
    for (found, what, limit) in [
        (levels, "operators, clauses and list items", LEVELS_MAX),
        (brackets, "brackets within brackets", BRACKETS_MAX),
        (selects, "SELECTs within SELECTs", SELECTS_MAX),
    ] {
        if found > limit {
            let found = format!("{found} {what}");
            return Err(Error::TooLong { found, limit });
        }
    }
    Ok(())
}

/// Passes a statement that the planner can write out: what `WITH` names stands in the plan as often as it is named, and
/// each name can double the one before.
///
/// # Errors
/// [`Error::TooLong`].
pub(crate) fn expandable(statement: &Parsed) -> Result<()> {
    let statement = match statement {
        Parsed::Statement(statement) => statement,
        Parsed::Explain(explained) => return expandable(&explained.statement),
        _ => return Ok(()),
    };
    let found = Expansion::default().of(statement.as_ref());
    if found > RELATIONS_MAX {
        return Err(Error::TooLong {
            found: format!("{found} tables to read, with what WITH names written out"),
            limit: RELATIONS_MAX as usize,
        });
    }
    Ok(())
}

/// What each name stands for, in tables to read. Where two are called the same, the larger.
#[derive(Default)]
struct Expansion(HashMap<String, u64>);

impl Expansion {
    fn of<V: Visit>(&mut self, part: &V) -> u64 {
        // The names first, those outside before those within.
        let _ = part.visit(self);
        let mut sum = 0_u64;
        let _ = visit_relations(part, |name| {
            let named = name.to_string().to_ascii_lowercase();
            let reads = self.0.get(&named).copied().unwrap_or(1);
            sum = sum.saturating_add(reads);
            ControlFlow::<()>::Continue(())
        });
        sum
    }
}

impl Visitor for Expansion {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        for named in query.with.iter().flat_map(|with| &with.cte_tables) {
            let reads = self.of(named.query.as_ref()).max(1);
            let name = named.alias.name.to_string().to_ascii_lowercase();
            let known = self.0.entry(name).or_default();
            *known = reads.max(*known);
        }
        ControlFlow::Continue(())
    }
}

fn joins(word: &Word) -> bool {
    JOINING.iter().any(|joining| is(word, joining))
}

fn is(word: &Word, keyword: &str) -> bool {
    word.quote_style.is_none() && word.value.eq_ignore_ascii_case(keyword)
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
    #![allow(clippy::unwrap_used)]
    use super::{as_sql, expandable, not_planned, settable, walkable};
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
            format!("SELECT {}1{}", "(".repeat(25), ")".repeat(25)),
            format!("SELECT {}1{}", "ARRAY[".repeat(25), "]".repeat(25)),
            format!("SELECT {}1{}", "(SELECT ".repeat(13), ")".repeat(13)),
            list("SELECT 1", " UNION ALL "),
            " ".repeat(1 << 21),
        ] {
            let told = walkable(&sql).err().map(|error| error.to_string());
            let told = told.unwrap_or_default();
            let limits = ["have 1000:", "have 24:", "have 12:", "1048576"];
            assert!(limits.iter().any(|limit| told.contains(limit)), "{told}");
        }
    }

    #[test]
    fn names_that_double_the_one_before_are_written_out_before_the_planner_does() {
        let reads = |sql: &str| {
            let parsed = datafusion::sql::parser::DFParser::parse_sql(sql);
            expandable(&parsed.unwrap()[0])
        };
        let doubling = |names: usize| {
            let more: Vec<String> = (1..names)
                .map(|n| format!("t{n} AS (SELECT a.x FROM t{0} a, t{0} b)", n - 1))
                .collect();
            format!(
                "WITH t0 AS (SELECT 1 AS x), {} SELECT * FROM t{}",
                more.join(", "),
                names - 1
            )
        };
        assert!(reads(&doubling(9)).is_ok());
        assert!(reads(&doubling(12)).is_err());
        assert!(reads(&format!("EXPLAIN {}", doubling(40))).is_err());
        assert!(reads(&format!("SELECT * FROM ({}) AS within", doubling(40))).is_err());
        assert!(
            reads(
                "WITH RECURSIVE t AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM t) SELECT n FROM t"
            )
            .is_ok()
        );
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
