//! Membership in the search path, which tools that list tables ask for in SQL: for each row a subquery over
//! `current_setting('search_path')`. The library that reads PostgreSQL's dialect puts an empty text in the place of that
//! subquery. There is one schema on the search path here, and nobody can change that: its name belongs there.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{Expr, Statement, Value, visit_expressions_mut};

use crate::engine::SCHEMA;

/// Where a schema is asked to be one of none, the schemas of the search path stand afterwards.
pub(super) fn named(mut statement: Statement) -> Statement {
    let _ = visit_expressions_mut(&mut statement, |expr| {
        if let Expr::InList { expr, list, .. } = expr
            && let [Expr::Value(only)] = list.as_mut_slice()
            && matches!(&only.value, Value::SingleQuotedString(text) if text.is_empty())
            && expr.to_string().contains("table_schema")
        {
            only.value = Value::SingleQuotedString(SCHEMA.to_owned());
        }
        ControlFlow::<()>::Continue(())
    });
    statement
}
