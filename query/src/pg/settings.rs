//! `pg_settings`: what `current_setting` says, as a table. The library's has one row and cannot be replaced.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Ident, ObjectNamePart, Query, Statement, TableAlias, TableFactor, VisitMut, VisitorMut,
};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;

use crate::functions::settings::SETTINGS;

const TABLE: &str = "pg_settings";

/// Puts our settings where the table is named.
pub(super) fn named(mut statement: Statement) -> Statement {
    let _ = VisitMut::visit(&mut statement, &mut Tables);
    statement
}

struct Tables;

impl VisitorMut for Tables {
    type Break = ();

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        if let TableFactor::Table {
            name,
            alias,
            args: None,
            ..
        } = factor
            && name
                .0
                .last()
                .and_then(ObjectNamePart::as_ident)
                .is_some_and(|n| n.value == TABLE)
            && let Some(subquery) = settings()
        {
            let named = || TableAlias {
                explicit: true,
                name: Ident::new(TABLE),
                columns: Vec::new(),
                at: None,
            };
            *factor = TableFactor::Derived {
                lateral: false,
                subquery: Box::new(subquery),
                alias: Some(alias.take().unwrap_or_else(named)),
                sample: None,
            };
        }
        ControlFlow::Continue(())
    }
}

fn settings() -> Option<Query> {
    let rows: Vec<String> = SETTINGS
        .iter()
        .map(|(name, setting)| format!("('{name}', '{setting}')"))
        .collect();
    let text = format!(
        "SELECT name, setting, NULL AS unit, NULL AS category, NULL AS short_desc, NULL AS extra_desc, \
         'internal' AS context, 'string' AS vartype, 'default' AS source, setting AS boot_val, setting AS reset_val \
         FROM (VALUES {}) AS v(name, setting)",
        rows.join(", ")
    );
    match Parser::parse_sql(&PostgreSqlDialect {}, &text)
        .ok()?
        .pop()?
    {
        Statement::Query(query) => Some(*query),
        _ => None,
    }
}
