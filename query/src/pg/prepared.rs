//! Statements on their way from text to a plan over names.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::DataType;
use async_trait::async_trait;
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::parser::Statement as Planned;
use datafusion::sql::sqlparser::ast::{Ident, Set, Statement};
use datafusion_pg_catalog::sql::PostgresCompatibilityParser;
use datafusion_postgres::arrow_pg::datatypes::{arrow_schema_to_pg_fields, into_pg_type};
use datafusion_postgres::pgwire::api::portal::Format;
use datafusion_postgres::pgwire::api::results::FieldInfo;
use datafusion_postgres::pgwire::api::stmt::QueryParser;
use datafusion_postgres::pgwire::api::{ClientInfo, Type};
use datafusion_postgres::pgwire::error::PgWireResult;

use super::absent;
use super::errors;
use super::lookups;
use super::search_path;
use super::settings;
use super::startup::{Seat, seated};
use crate::Error;
use crate::guard;

/// One statement.
#[derive(Debug, Clone)]
pub(super) enum Prepared {
    /// Planned over names: to be run.
    Query(Arc<LogicalPlan>),
    /// About the session or its transaction (SET, SHOW, BEGIN, ...), with the columns it answers.
    Session(Box<Statement>),
    /// Tidying up that there is nothing to do for (DISCARD, DEALLOCATE, ...), with its command tag.
    Nothing(&'static str),
}

/// Parses PostgreSQL's dialect and plans it in a session.
#[derive(Debug)]
pub(super) struct Parser {
    seat: Seat,
    dialect: Arc<PostgresCompatibilityParser>,
}

impl Parser {
    pub(super) fn new(seat: Seat, dialect: Arc<PostgresCompatibilityParser>) -> Self {
        Self { seat, dialect }
    }

    /// The statements of a text, not planned yet: each is planned when the one before has run.
    pub(super) async fn statements(&self, sql: &str) -> PgWireResult<Vec<Statement>> {
        let (sql, dialect) = (sql.to_owned(), Arc::clone(&self.dialect));
        // Where the stack is deep enough for it.
        let parsed = async move {
            guard::walkable(&sql)?;
            Ok(dialect.parse(&sql).map_err(|error| error.to_string()))
        };
        let parsed = seated(&self.seat)?.session.executor().run(parsed).await?;
        let statements = parsed.map_err(|error| errors::state("42601", error))?;
        let told = statements.into_iter().map(search_path::named);
        let told = told.map(settings::named).map(absent::put_in_short);
        Ok(told.map(lookups::named).collect())
    }

    /// One statement, planned and judged.
    pub(super) async fn prepare(&self, statement: Statement) -> PgWireResult<Prepared> {
        Ok(match statement {
            Statement::Set(Set::SingleAssignment { ref variable, .. })
                if is_ours(&variable.to_string()) =>
            {
                self.plan(statement).await?
            }
            Statement::ShowVariable { ref variable } if names_ours(variable) => {
                self.plan(statement).await?
            }
            // Nothing is ever written: there is nothing to come back to.
            Statement::Savepoint { .. } => Prepared::Nothing("SAVEPOINT"),
            Statement::ReleaseSavepoint { .. } => Prepared::Nothing("RELEASE"),
            Statement::Rollback {
                savepoint: Some(_), ..
            } => Prepared::Nothing("ROLLBACK"),
            Statement::Set(_)
            | Statement::ShowVariable { .. }
            | Statement::StartTransaction { .. }
            | Statement::Commit { .. }
            | Statement::Rollback { .. } => Prepared::Session(Box::new(statement)),
            Statement::Discard { .. } => Prepared::Nothing("DISCARD ALL"),
            Statement::Deallocate { .. } => Prepared::Nothing("DEALLOCATE"),
            Statement::Reset(_) => Prepared::Nothing("RESET"),
            Statement::UNLISTEN { .. } => Prepared::Nothing("UNLISTEN"),
            Statement::Close { .. } => Prepared::Nothing("CLOSE CURSOR"),
            other => self.plan(other).await?,
        })
    }

    async fn plan(&self, statement: Statement) -> PgWireResult<Prepared> {
        let statement = Planned::Statement(Box::new(statement));
        let plan = seated(&self.seat)?
            .session
            .plan_statement(statement)
            .await?;
        Ok(Prepared::Query(Arc::new(plan)))
    }
}

#[async_trait]
impl QueryParser for Parser {
    type Statement = Prepared;

    async fn parse_sql<C>(
        &self,
        _client: &C,
        sql: &str,
        _types: &[Option<Type>],
    ) -> PgWireResult<Option<Prepared>>
    where
        C: ClientInfo + Unpin + Send + Sync,
    {
        let mut statements = self.statements(sql).await?;
        match (statements.pop(), statements.len()) {
            (Some(only), 0) => self.prepare(only).await.map(Some),
            (Some(_), more) => Err(Error::Statements { found: more + 1 }.into()),
            (None, _) => Ok(None),
        }
    }

    fn get_parameter_types(&self, statement: &Prepared) -> PgWireResult<Vec<Type>> {
        match statement {
            Prepared::Query(plan) => Ok(parameters(plan)?.into_iter().map(|p| p.wire).collect()),
            _ => Ok(Vec::new()),
        }
    }

    fn get_result_schema(
        &self,
        statement: &Prepared,
        format: Option<&Format>,
    ) -> PgWireResult<Vec<FieldInfo>> {
        let format = format.unwrap_or(&Format::UnifiedText);
        match statement {
            Prepared::Query(plan) => {
                arrow_schema_to_pg_fields(plan.schema().as_arrow(), format, None)
            }
            Prepared::Session(statement)
                if matches!(**statement, Statement::ShowVariable { .. }) =>
            {
                let (name, shown) = ("setting".to_owned(), format.format_for(0));
                Ok(vec![FieldInfo::new(name, None, None, Type::VARCHAR, shown)])
            }
            _ => Ok(Vec::new()),
        }
    }
}

/// Whether an option is the engine's and not PostgreSQL's.
fn is_ours(option: &str) -> bool {
    let option = option.to_ascii_lowercase();
    option.contains("datafusion.") || option.contains("flyball.")
}

/// Whether SHOW asks for an option of ours: those of PostgreSQL have no dot in their names.
fn names_ours(variable: &[Ident]) -> bool {
    let words: Vec<_> = variable.iter().map(|word| word.value.as_str()).collect();
    words.len() > 1 && is_ours(&words.join("."))
}

/// A parameter of a plan: its type in Arrow, where it could be inferred, and on the wire.
pub(super) struct Parameter {
    pub(super) arrow: Option<DataType>,
    pub(super) wire: Type,
}

/// `$1`, `$2`, ... of a plan, in order.
pub(super) fn parameters(plan: &LogicalPlan) -> PgWireResult<Vec<Parameter>> {
    let found: HashMap<String, Option<DataType>> =
        plan.get_parameter_types().map_err(Error::invalid)?;
    let mut numbered: Vec<(u32, Option<DataType>)> = found
        .into_iter()
        .map(|(name, data_type)| {
            (
                name.trim_start_matches('$').parse().unwrap_or(u32::MAX),
                data_type,
            )
        })
        .collect();
    numbered.sort_by_key(|(number, _)| *number);
    numbered
        .into_iter()
        .map(|(_, arrow)| {
            let wire = arrow.as_ref().map_or(Ok(Type::UNKNOWN), into_pg_type)?;
            Ok(Parameter { arrow, wire })
        })
        .collect()
}
