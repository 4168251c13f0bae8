//! A table function whose body is a plan with parameters.

use std::sync::Arc;

use datafusion::catalog::view::ViewTable;
use datafusion::catalog::{TableFunctionArgs, TableFunctionImpl, TableProvider};
use datafusion::common::ParamValues;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::scalar::ScalarValue;

/// A call puts its arguments, which must be constants, in the place of `$1`, `$2`, ...
#[derive(Debug)]
pub(super) struct Parametrised {
    name: String,
    plan: LogicalPlan,
}

impl Parametrised {
    pub(super) fn new(name: &str, plan: LogicalPlan) -> Self {
        Self {
            name: name.to_owned(),
            plan,
        }
    }

    fn argument(&self, at: usize, given: Option<&Expr>) -> Result<ScalarValue> {
        let wrong = |what: &str| {
            Err(DataFusionError::Plan(format!(
                "{}: argument {at} {what}: give a constant, such as '2026-03-01T00:00:00Z'",
                self.name
            )))
        };
        let Some(Expr::Literal(value, _)) = given else {
            return wrong("is not a constant");
        };
        if value.is_null() {
            return wrong("is NULL");
        }
        match self.plan.get_parameter_types()?.get(&format!("${at}")) {
            Some(Some(wanted)) => match value.cast_to(wanted) {
                Ok(value) => Ok(value),
                Err(error) => wrong(&format!("({value}) is not a {wanted} ({error})")),
            },
            _ => Ok(value.clone()),
        }
    }
}

impl TableFunctionImpl for Parametrised {
    fn call_with_args(
        &self,
        arguments: TableFunctionArgs<'_, '_>,
    ) -> Result<Arc<dyn TableProvider>> {
        let (given, wanted) = (arguments.exprs(), self.plan.get_parameter_names()?.len());
        if given.len() != wanted {
            return Err(DataFusionError::Plan(format!(
                "{} takes {wanted} arguments, not {}",
                self.name,
                given.len()
            )));
        }
        let values = (1..=wanted)
            .map(|at| self.argument(at, given.get(at - 1)))
            .collect::<Result<Vec<_>>>()?;
        let plan = self
            .plan
            .clone()
            .replace_params_with_values(&ParamValues::from(values))?;
        Ok(Arc::new(ViewTable::new(plan, None)))
    }
}
