//! Questions about what there is none of here: keys, indexes, constraints, sequences, triggers, enumerations. Tools ask
//! them of every table, in statements that reach deep into PostgreSQL's own functions. What joins a table that has no rows
//! has none either, whatever else the statement says: such a query is put in short, as one of the same columns without rows,
//! and a value that is looked up in such a table is NULL.

use std::collections::HashSet;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, GroupByExpr, Ident, JoinOperator, ObjectName, ObjectNamePart, Query,
    Select, SelectItem, SetExpr, SetOperator, Statement, TableFactor, TableWithJoins, Value, Visit,
    VisitMut, Visitor, VisitorMut,
};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;

/// Tables of PostgreSQL's catalogs in which nothing is of ours, by their last name. (What the library has in some of them is
/// about PostgreSQL's own catalogs, which it does not list either.)
const EMPTY: [&str; 32] = [
    "check_constraints",
    "constraint_column_usage",
    "constraint_table_usage",
    "key_column_usage",
    "pg_attrdef",
    "pg_auth_members",
    "pg_collation",
    "pg_constraint",
    "pg_enum",
    "pg_event_trigger",
    "pg_extension",
    "pg_foreign_data_wrapper",
    "pg_foreign_server",
    "pg_foreign_table",
    "pg_index",
    "pg_indexes",
    "pg_inherits",
    "pg_matviews",
    "pg_partitioned_table",
    "pg_policy",
    "pg_publication",
    "pg_publication_rel",
    "pg_rewrite",
    "pg_sequence",
    "pg_sequences",
    "pg_statistic_ext",
    "pg_subscription",
    "pg_trigger",
    "pg_user_mapping",
    "referential_constraints",
    "table_constraints",
    "triggers",
];

/// Functions that make one row of none.
const AGGREGATES: [&str; 16] = [
    "array_agg",
    "avg",
    "bit_and",
    "bit_or",
    "bool_and",
    "bool_or",
    "count",
    "every",
    "json_agg",
    "json_object_agg",
    "jsonb_agg",
    "max",
    "min",
    "string_agg",
    "sum",
    "xmlagg",
];

/// Puts every query in short that can have no rows.
pub(super) fn put_in_short(mut statement: Statement) -> Statement {
    let queries = &mut Queries { depth: 0 };
    let _ = VisitMut::visit(&mut statement, queries);
    statement
}

/// Walks queries from the innermost outwards.
struct Queries {
    depth: usize,
}

impl VisitorMut for Queries {
    type Break = ();

    fn pre_visit_query(&mut self, _query: &mut Query) -> ControlFlow<()> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        self.depth -= 1;
        if rowless(query)
            && let Some(columns) = columns(query)
            && let Some(short) = without_rows(&columns, &placeholders(query), self.depth == 0)
        {
            *query = short;
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::Subquery(query) = expr
            && rowless(query)
            && placeholders(query).is_empty()
        {
            *expr = Expr::value(Value::Null);
        }
        ControlFlow::Continue(())
    }
}

fn rowless(query: &Query) -> bool {
    let named: HashSet<String> = query
        .with
        .iter()
        .flat_map(|with| &with.cte_tables)
        .map(|table| table.alias.name.value.to_ascii_lowercase())
        .collect();
    body_rowless(&query.body, &named)
}

fn body_rowless(body: &SetExpr, named: &HashSet<String>) -> bool {
    match body {
        SetExpr::Select(select) => select_rowless(select, named),
        SetExpr::Query(query) => rowless(query),
        SetExpr::SetOperation {
            op, left, right, ..
        } => {
            let (left, right) = (body_rowless(left, named), body_rowless(right, named));
            match op {
                SetOperator::Union => left && right,
                SetOperator::Intersect => left || right,
                SetOperator::Except | SetOperator::Minus => left,
            }
        }
        _ => false,
    }
}

fn select_rowless(select: &Select, named: &HashSet<String>) -> bool {
    let grouped = matches!(&select.group_by, GroupByExpr::Expressions(keys, _) if !keys.is_empty());
    (no_row_of(select, named) || put_already(select)) && (grouped || !aggregates(select))
}

fn no_row_of(select: &Select, named: &HashSet<String>) -> bool {
    select
        .from
        .iter()
        .any(|joined| joined_rowless(joined, named))
}

/// What [`without_rows`] leaves.
fn put_already(select: &Select) -> bool {
    select.from.is_empty() && select.selection.as_ref().is_some_and(is_false)
}

fn is_false(condition: &Expr) -> bool {
    match condition {
        Expr::Value(value) => value.value == Value::Boolean(false),
        Expr::BinaryOp {
            left,
            op: BinaryOperator::And,
            ..
        } => is_false(left),
        _ => false,
    }
}

fn joined_rowless(joined: &TableWithJoins, named: &HashSet<String>) -> bool {
    let first = factor_rowless(&joined.relation, named);
    joined.joins.iter().fold(first, |left, join| {
        let right = factor_rowless(&join.relation, named);
        match &join.join_operator {
            JoinOperator::Join(_) | JoinOperator::Inner(_) | JoinOperator::CrossJoin(_) => {
                left || right
            }
            JoinOperator::Left(_) | JoinOperator::LeftOuter(_) => left,
            JoinOperator::Right(_) | JoinOperator::RightOuter(_) => right,
            _ => left && right,
        }
    })
}

fn factor_rowless(factor: &TableFactor, named: &HashSet<String>) -> bool {
    match factor {
        TableFactor::Table {
            name, args: None, ..
        } => empty_table(name, named),
        TableFactor::Derived { subquery, .. } => rowless(subquery),
        TableFactor::NestedJoin {
            table_with_joins, ..
        } => joined_rowless(table_with_joins, named),
        _ => false,
    }
}

fn empty_table(name: &ObjectName, named: &HashSet<String>) -> bool {
    let words: Vec<String> = name
        .0
        .iter()
        .filter_map(ObjectNamePart::as_ident)
        .map(|word| word.value.to_ascii_lowercase())
        .collect();
    let [schema @ .., table] = words.as_slice() else {
        return false;
    };
    let known = EMPTY.binary_search(&table.as_str()).is_ok();
    match schema.last().map(String::as_str) {
        // Of these names, only those of `pg_catalog` are found without it.
        None => known && table.starts_with("pg_") && !named.contains(table),
        Some("pg_catalog" | "information_schema") => known,
        Some(_) => false,
    }
}

fn aggregates(select: &Select) -> bool {
    struct Aggregates;
    impl Visitor for Aggregates {
        type Break = ();
        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            match expr {
                Expr::Function(function) => {
                    let name = function.name.0.last().and_then(ObjectNamePart::as_ident);
                    let name = name.map(|name| name.value.to_ascii_lowercase());
                    match name {
                        Some(name) if AGGREGATES.contains(&name.as_str()) => ControlFlow::Break(()),
                        _ => ControlFlow::Continue(()),
                    }
                }
                _ => ControlFlow::Continue(()),
            }
        }
    }
    select.projection.visit(&mut Aggregates).is_break()
        || select.having.visit(&mut Aggregates).is_break()
}

/// The names of a query's columns, where they can be told from its text.
fn columns(query: &Query) -> Option<Vec<Ident>> {
    match query.body.as_ref() {
        SetExpr::Select(select) => {
            let items = select.projection.iter().map(|item| match item {
                SelectItem::ExprWithAlias { alias, .. } => Some(vec![alias.clone()]),
                SelectItem::UnnamedExpr(expr) => Some(vec![name(expr)]),
                _ => wildcard(select),
            });
            items
                .collect::<Option<Vec<_>>>()
                .map(|names| names.concat())
        }
        SetExpr::Query(query) => columns(query),
        _ => None,
    }
}

/// What `*` stands for where there is one thing to choose from, and that is a query.
fn wildcard(select: &Select) -> Option<Vec<Ident>> {
    match select.from.as_slice() {
        [TableWithJoins { relation, joins }] if joins.is_empty() => match relation {
            TableFactor::Derived {
                subquery, alias, ..
            } if alias.as_ref().is_none_or(|alias| alias.columns.is_empty()) => columns(subquery),
            _ => None,
        },
        _ => None,
    }
}

/// As PostgreSQL names a column without an alias.
fn name(expr: &Expr) -> Ident {
    let last = |name: &ObjectName| name.0.last().and_then(ObjectNamePart::as_ident).cloned();
    match expr {
        Expr::Identifier(name) => Some(name.clone()),
        Expr::CompoundIdentifier(names) => names.last().cloned(),
        Expr::Function(function) => last(&function.name),
        Expr::Cast { expr, .. } | Expr::Nested(expr) => Some(name(expr)),
        _ => None,
    }
    .unwrap_or_else(|| Ident::with_quote('"', "?column?"))
}

/// The parameters of a query, which it keeps: whoever prepared it sends values for them.
fn placeholders(query: &Query) -> Vec<Expr> {
    struct Placeholders(Vec<Expr>);
    impl Visitor for Placeholders {
        type Break = ();
        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            if let Expr::Value(value) = expr
                && matches!(value.value, Value::Placeholder(_))
                && !self.0.contains(expr)
            {
                self.0.push(expr.clone());
            }
            ControlFlow::Continue(())
        }
    }
    let mut found = Placeholders(Vec::new());
    let _ = query.visit(&mut found);
    found.0
}

/// A query of these columns and no rows; None when it cannot be said.
fn without_rows(columns: &[Ident], placeholders: &[Expr], outermost: bool) -> Option<Query> {
    let mut taken = HashSet::new();
    let items: Vec<String> = columns
        .iter()
        .map(|column| {
            let mut name = column.clone();
            let mut more = 0;
            while !taken.insert(name.value.to_ascii_lowercase()) {
                more += 1;
                name.value = format!("{}_{more}", column.value);
            }
            // Within another query it takes the type that is asked of it.
            let value = if outermost {
                "CAST(NULL AS TEXT)"
            } else {
                "NULL"
            };
            format!("{value} AS {name}")
        })
        .collect();
    let kept: String = placeholders
        .iter()
        .map(|placeholder| format!(" AND {placeholder} IS NULL"))
        .collect();
    let text = format!("SELECT {} WHERE false{kept}", items.join(", "));
    match Parser::parse_sql(&PostgreSqlDialect {}, &text)
        .ok()?
        .pop()?
    {
        Statement::Query(query) => Some(*query),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn told(sql: &str) -> String {
        let mut parsed = Parser::parse_sql(&PostgreSqlDialect {}, sql).unwrap();
        put_in_short(parsed.pop().unwrap()).to_string()
    }

    #[test]
    fn what_joins_an_empty_table_has_no_rows_either() {
        assert_eq!(
            told(
                "SELECT i.indrelid, c.relname AS name, unnest(i.indkey) FROM pg_index i JOIN pg_class c ON true"
            ),
            "SELECT CAST(NULL AS TEXT) AS indrelid, CAST(NULL AS TEXT) AS name, CAST(NULL AS TEXT) AS unnest WHERE false"
        );
        assert_eq!(
            told(
                "SELECT a.x, array_agg(a.y) AS ys FROM (SELECT 1 AS x, f(conkey) AS y FROM pg_catalog.pg_constraint) a \
                  GROUP BY a.x ORDER BY 1"
            ),
            "SELECT CAST(NULL AS TEXT) AS x, CAST(NULL AS TEXT) AS ys WHERE false"
        );
        // A table on the outer side stays, and the empty one is told in short.
        assert_eq!(
            told(
                "SELECT c.relname, x.n FROM pg_class c LEFT JOIN (SELECT nextval(oid) AS n FROM pg_sequence) x ON true"
            ),
            "SELECT c.relname, x.n FROM pg_class c LEFT JOIN (SELECT NULL AS n WHERE false) x ON true"
        );
    }

    #[test]
    fn parameters_and_names_are_kept() {
        assert_eq!(
            told(
                "SELECT x.* FROM (SELECT oid, oid FROM pg_trigger WHERE oid = $2 AND tgrelid = $1) x"
            ),
            "SELECT CAST(NULL AS TEXT) AS oid, CAST(NULL AS TEXT) AS oid_1 WHERE false AND $2 IS NULL AND $1 IS NULL"
        );
    }

    #[test]
    fn a_value_looked_up_in_an_empty_table_is_null() {
        assert_eq!(
            told(
                "SELECT (SELECT pg_get_expr(d.adbin, d.adrelid) FROM pg_attrdef d WHERE d.adrelid = a.attrelid) AS def \
                  FROM pg_attribute a"
            ),
            "SELECT NULL AS def FROM pg_attribute a"
        );
    }

    #[test]
    fn what_may_have_rows_is_left_as_it_is() {
        for sql in [
            "SELECT count(*) FROM pg_index",
            "SELECT relname FROM pg_class",
            "SELECT * FROM pg_index",
            "SELECT x FROM table_constraints",
            "SELECT x FROM mine.pg_index",
            "WITH pg_index AS (SELECT 1 AS x) SELECT x FROM pg_index",
            "SELECT x FROM pg_class FULL JOIN pg_index ON true",
            "SELECT oid FROM pg_class UNION ALL SELECT oid FROM pg_class",
        ] {
            assert_eq!(told(sql), sql);
        }
    }

    #[test]
    fn the_names_are_in_order() {
        assert!(EMPTY.is_sorted());
    }
}
