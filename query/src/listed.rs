//! `agent_name = ANY($1)`: the place takes a list of what it is compared with, and nothing says so to whoever plans.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field};
use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan};

/// What says whether a list (first) has a value (second).
const HAS: [&str; 4] = ["array_contains", "array_has", "list_contains", "list_has"];

/// Gives places for lists their type, by the value that is looked for.
pub(crate) fn typed(plan: LogicalPlan) -> Result<LogicalPlan> {
    plan.transform_up_with_subqueries(|node| {
        let schema = merge_schema(&node.inputs());
        node.map_expressions(|expr| {
            expr.transform_up(|expr| match expr {
                Expr::ScalarFunction(call) => place(call, |value| value.get_type(&schema)),
                other => Ok(Transformed::no(other)),
            })
        })
    })
    .map(|told| told.data)
}

fn place(
    mut call: ScalarFunction,
    type_of: impl Fn(&Expr) -> Result<DataType>,
) -> Result<Transformed<Expr>> {
    let mut typed = false;
    if HAS.contains(&call.name())
        && let [Expr::Placeholder(place), value] = call.args.as_mut_slice()
        && place.field.is_none()
        && let Ok(item) = type_of(value)
        && item != DataType::Null
    {
        let list = DataType::List(Arc::new(Field::new_list_field(item, true)));
        place.field = Some(Arc::new(Field::new("", list, true)));
        typed = true;
    }
    Ok(Transformed::new_transformed(
        Expr::ScalarFunction(call),
        typed,
    ))
}
