//! Habits of statements about the catalog that DataFusion has other views of.
//!
//! A value that is looked up, `(SELECT relkind = 'c' FROM pg_class WHERE oid = typrelid)`, is of one row by what it asks
//! for, and a planner cannot know that: its largest is the same. And columns without names may be many, where DataFusion
//! wants each to be called differently. And a function that a column names, `typinput = 'array_in'::regproc`, is
//! compared by its number, where the column has the name. What `pg_class` would say of storage and of rights is NULL, as
//! where nobody has set any.

use std::collections::HashSet;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList, FunctionArguments,
    GroupByExpr, Ident, ObjectName, ObjectNamePart, Query, Select, SelectItem, SetExpr, Statement,
    TableFactor, Value, VisitMut, VisitorMut,
};

/// Columns of `pg_class` that the library has not.
const UNSET: [&str; 2] = ["relacl", "reloptions"];

/// Puts them in words that are understood.
pub(super) fn named(mut statement: Statement) -> Statement {
    let _ = VisitMut::visit(&mut statement, &mut Habits);
    statement
}

struct Habits;

impl VisitorMut for Habits {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        if let SetExpr::Select(select) = query.body.as_mut() {
            for item in &mut select.projection {
                if let SelectItem::UnnamedExpr(expr) = item
                    && let Some(alias) = unset(expr).cloned()
                {
                    let expr = Expr::value(Value::Null);
                    *item = SelectItem::ExprWithAlias { expr, alias };
                }
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if unset(expr).is_some() {
            *expr = Expr::value(Value::Null);
        }
        if let Expr::BinaryOp { left, right, .. } = expr
            && names_a_function(left)
            && let Some(name) = function_named(right)
        {
            **right = name;
        }
        if let Expr::Subquery(query) = expr
            && let Some(looked_up) = looked_up(query)
        {
            let bare = std::mem::replace(looked_up, Expr::value(Value::Null));
            *looked_up = largest(bare);
        }
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        if let SetExpr::Select(select) = query.body.as_mut() {
            told_apart(select);
        }
        ControlFlow::Continue(())
    }
}

fn unset(expr: &Expr) -> Option<&Ident> {
    column(expr).filter(|name| UNSET.contains(&name.value.as_str()))
}

fn names_a_function(expr: &Expr) -> bool {
    column(expr).is_some_and(|name| ["typinput", "typoutput"].contains(&name.value.as_str()))
}

fn column(expr: &Expr) -> Option<&Ident> {
    match expr {
        Expr::Identifier(name) => Some(name),
        Expr::CompoundIdentifier(names) => names.last(),
        _ => None,
    }
}

/// The name, where a number is looked up by one.
fn function_named(expr: &Expr) -> Option<Expr> {
    let Expr::Subquery(query) = expr else {
        return None;
    };
    let SetExpr::Select(select) = query.body.as_ref() else {
        return None;
    };
    match select.selection.as_ref() {
        Some(Expr::BinaryOp { left, right, .. }) if left.to_string() == "proname" => {
            match right.as_ref() {
                Expr::Value(value) => match &value.value {
                    // Without its schema: there is one of functions.
                    Value::SingleQuotedString(name) => {
                        let name = name.rsplit('.').next().unwrap_or(name).to_owned();
                        Some(Expr::value(Value::SingleQuotedString(name)))
                    }
                    _ => None,
                },
                _ => None,
            }
        }
        _ => None,
    }
}

/// What is looked up in one table of the catalog.
fn looked_up(query: &mut Query) -> Option<&mut Expr> {
    if query.with.is_some() || query.limit_clause.is_some() || query.fetch.is_some() {
        return None;
    }
    let SetExpr::Select(select) = query.body.as_mut() else {
        return None;
    };
    let plain = select.distinct.is_none()
        && select.having.is_none()
        && matches!(&select.group_by, GroupByExpr::Expressions(keys, _) if keys.is_empty());
    if !plain || !of_the_catalog(select) {
        return None;
    }
    match select.projection.as_mut_slice() {
        [SelectItem::UnnamedExpr(expr)] | [SelectItem::ExprWithAlias { expr, .. }] => {
            // A function may be an aggregate already.
            (!matches!(expr, Expr::Function(_))).then_some(expr)
        }
        _ => None,
    }
}

fn of_the_catalog(select: &Select) -> bool {
    let [only] = select.from.as_slice() else {
        return false;
    };
    let TableFactor::Table {
        name, args: None, ..
    } = &only.relation
    else {
        return false;
    };
    let table = name.0.last().and_then(ObjectNamePart::as_ident);
    only.joins.is_empty() && table.is_some_and(|table| table.value.starts_with("pg_"))
}

fn largest(expr: Expr) -> Expr {
    Expr::Function(Function {
        name: ObjectName::from(vec![Ident::new("max")]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList {
            duplicate_treatment: None,
            args: vec![FunctionArg::Unnamed(FunctionArgExpr::Expr(expr))],
            clauses: Vec::new(),
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}

fn told_apart(select: &mut Select) {
    let mut seen = HashSet::new();
    for (at, item) in select.projection.iter_mut().enumerate() {
        let SelectItem::UnnamedExpr(expr) = item else {
            continue;
        };
        // A column has a name, and asking for it twice is told to whoever does.
        let named = matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_));
        if !named && !seen.insert(expr.to_string()) {
            *item = SelectItem::ExprWithAlias {
                expr: std::mem::replace(expr, Expr::value(Value::Null)),
                alias: Ident::with_quote('"', format!("?column?_{at}")),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::named;
    use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
    use datafusion::sql::sqlparser::parser::Parser;

    fn told(sql: &str) -> String {
        let mut parsed = Parser::parse_sql(&PostgreSqlDialect {}, sql).unwrap();
        named(parsed.pop().unwrap()).to_string()
    }

    #[test]
    fn what_is_looked_up_is_the_largest() {
        assert_eq!(
            told(
                "SELECT (SELECT c.relkind = 'c' FROM pg_catalog.pg_class c WHERE c.oid = t.typrelid) FROM pg_type t"
            ),
            "SELECT (SELECT max(c.relkind = 'c') FROM pg_catalog.pg_class c WHERE c.oid = t.typrelid) FROM pg_type t"
        );
        for sql in [
            "SELECT (SELECT x FROM mine)",
            "SELECT (SELECT count(*) FROM pg_class)",
            "SELECT (SELECT oid FROM pg_class LIMIT 1)",
            "SELECT (SELECT oid FROM pg_class GROUP BY oid)",
        ] {
            assert_eq!(told(sql), sql);
        }
    }

    #[test]
    fn a_function_is_compared_by_name() {
        assert_eq!(
            told(
                "SELECT t.typinput = (SELECT oid FROM pg_catalog.pg_proc WHERE proname = 'pg_catalog.array_in') FROM pg_type t"
            ),
            "SELECT t.typinput = 'array_in' FROM pg_type t"
        );
    }

    #[test]
    fn what_nobody_has_set_is_null() {
        assert_eq!(
            told("SELECT c.reloptions, coalesce(c.relacl, 'x') AS acl FROM pg_catalog.pg_class c"),
            "SELECT NULL AS reloptions, coalesce(NULL, 'x') AS acl FROM pg_catalog.pg_class c"
        );
    }

    #[test]
    fn columns_without_names_are_told_apart() {
        assert_eq!(
            told("SELECT NULL, a, NULL, 1 + 1, a, NULL AS b FROM t"),
            "SELECT NULL, a, NULL AS \"?column?_2\", 1 + 1, a, NULL AS b FROM t"
        );
    }
}
