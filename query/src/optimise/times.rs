//! `date_trunc('hour', t) >= x`, as every view by hour is asked, says the same as a comparison of `t` with the next full
//! hour; and a comparison of `coalesce(a, b)` is one of `a` where there is one, else of `b`. Put so, minima and maxima of
//! files and row groups rule most of them out.

use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::logical_expr::expr::{Case, ScalarFunction};
use datafusion::logical_expr::{BinaryExpr, Expr, LogicalPlan, Operator, lit};
use datafusion::optimizer::optimizer::ApplyOrder;
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};
use datafusion::scalar::ScalarValue;

use super::with_conditions;

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;

/// The rule.
#[derive(Debug)]
pub(super) struct ComparedTimes;

impl OptimizerRule for ComparedTimes {
    fn name(&self) -> &'static str {
        "compared_times"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::BottomUp)
    }

    fn rewrite(
        &self,
        plan: LogicalPlan,
        _config: &dyn OptimizerConfig,
    ) -> Result<Transformed<LogicalPlan>> {
        with_conditions(plan, |terms| {
            let mut transformed = false;
            let mut told = Vec::with_capacity(terms.len());
            for term in terms {
                let term = term.clone().transform_up(|e| Ok(plainly(e)))?;
                transformed |= term.transformed;
                told.push(term.data);
            }
            Ok(transformed.then_some(told))
        })
    }
}

fn plainly(expr: Expr) -> Transformed<Expr> {
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = &expr else {
        return Transformed::no(expr);
    };
    let Expr::Literal(ScalarValue::TimestampMicrosecond(Some(at), zone), _) = right.as_ref() else {
        return Transformed::no(expr);
    };
    if zone.as_deref().is_some_and(|zone| zone != "UTC") {
        return Transformed::no(expr);
    }
    let instant = |at| ScalarValue::TimestampMicrosecond(Some(at), zone.clone());
    let told = match left.as_ref() {
        Expr::ScalarFunction(call) => {
            truncated(call).and_then(|(length, time)| untruncated(time, *op, *at, length, &instant))
        }
        time if either(time).is_some() => Some(compared(time, *op, instant(*at))),
        _ => None,
    };
    told.map_or_else(|| Transformed::no(expr), Transformed::yes)
}

/// The length of time, microseconds, to whose beginnings a call cuts, and what it cuts.
fn truncated(call: &ScalarFunction) -> Option<(Unit, &Expr)> {
    let (name, [unit, time]) = (call.name(), call.args.as_slice()) else {
        return None;
    };
    let Expr::Literal(unit, _) = unit else {
        return None;
    };
    let unit = unit.try_as_str().flatten()?.to_ascii_lowercase();
    let unit = match unit.as_str() {
        "second" => Unit(SECOND, 0),
        "minute" => Unit(60 * SECOND, 0),
        "hour" => Unit(3_600 * SECOND, 0),
        "day" => Unit(DAY, 0),
        // 1970-01-01 was a Thursday, and weeks begin on Mondays.
        "week" => Unit(7 * DAY, 4 * DAY),
        _ => return None,
    };
    (name == "date_trunc").then_some((unit, time))
}

/// How long, and where the first one after 1970 begins, microseconds.
#[derive(Clone, Copy)]
struct Unit(i64, i64);

impl Unit {
    fn begin_of(self, at: i64) -> Option<i64> {
        let Self(length, first) = self;
        at.checked_sub(at.checked_sub(first)?.rem_euclid(length))
    }

    fn after(self, begin: i64) -> Option<i64> {
        begin.checked_add(self.0)
    }
}

fn untruncated(
    time: &Expr,
    op: Operator,
    at: i64,
    unit: Unit,
    instant: &impl Fn(i64) -> ScalarValue,
) -> Option<Expr> {
    let begin = unit.begin_of(at)?;
    let next = unit.after(begin)?;
    let not_before = if begin == at { begin } else { next };
    Some(match op {
        Operator::GtEq => compared(time, Operator::GtEq, instant(not_before)),
        Operator::Gt => compared(time, Operator::GtEq, instant(next)),
        Operator::Lt => compared(time, Operator::Lt, instant(not_before)),
        Operator::LtEq => compared(time, Operator::Lt, instant(next)),
        Operator::Eq if begin == at => compared(time, Operator::GtEq, instant(begin))
            .and(compared(time, Operator::Lt, instant(next))),
        _ => return None,
    })
}

/// A comparison of a time, of each of the two that it may be.
fn compared(time: &Expr, op: Operator, at: ScalarValue) -> Expr {
    let compare = |time: &Expr, at| {
        Expr::BinaryExpr(BinaryExpr::new(
            Box::new(time.clone()),
            op,
            Box::new(lit(at)),
        ))
    };
    match either(time) {
        Some((first, second)) => {
            let there = first.clone().is_not_null().and(compare(first, at.clone()));
            let not = first.clone().is_null().and(compare(second, at));
            there.or(not)
        }
        None => compare(time, at),
    }
}

/// `coalesce(a, b)`, also as the CASE that it is made into.
fn either(time: &Expr) -> Option<(&Expr, &Expr)> {
    match time {
        Expr::ScalarFunction(call) if call.name() == "coalesce" => match call.args.as_slice() {
            [first, second] => Some((first, second)),
            _ => None,
        },
        Expr::Case(Case {
            expr: None,
            when_then_expr,
            else_expr: Some(second),
        }) => match when_then_expr.as_slice() {
            [(when, then)] => match when.as_ref() {
                Expr::IsNotNull(tested) if tested == then => Some((then, second)),
                _ => None,
            },
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use datafusion::functions::expr_fn::{coalesce, date_trunc};
    use datafusion::prelude::col;

    const HOUR: i64 = 3_600 * SECOND;

    fn instant(at: i64) -> Expr {
        lit(ScalarValue::TimestampMicrosecond(
            Some(at),
            Some("UTC".into()),
        ))
    }

    fn told(left: Expr, op: Operator, at: i64) -> Option<String> {
        let compared = Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(instant(at))));
        let told = plainly(compared);
        told.transformed.then(|| told.data.to_string())
    }

    #[test]
    fn a_cut_time_compares_as_the_time_itself_does() {
        use Operator::{Eq, Gt, GtEq, Lt, LtEq, NotEq};
        let moments = [-HOUR - 1, -HOUR, -1, 0, 1, HOUR - 1, HOUR, HOUR + 1];
        for op in [GtEq, Gt, Lt, LtEq, Eq] {
            for at in moments {
                let Some(told) = untruncated(&col("t"), op, at, Unit(HOUR, 0), &|at| {
                    ScalarValue::Int64(Some(at))
                }) else {
                    assert!(op == Eq && at % HOUR != 0);
                    continue;
                };
                for time in moments {
                    let cut = time - time.rem_euclid(HOUR);
                    let expected = match op {
                        GtEq => cut >= at,
                        Gt => cut > at,
                        Lt => cut < at,
                        LtEq => cut <= at,
                        _ => cut == at,
                    };
                    assert_eq!(holds(&told, time), expected, "{told} at {time}");
                }
            }
        }
        let hour = || date_trunc(lit("hour"), col("t"));
        assert!(told(hour(), NotEq, 0).is_none());
        assert!(told(date_trunc(lit("month"), col("t")), GtEq, 0).is_none());
    }

    /// Whether a conjunction of comparisons with numbers holds of `t`.
    fn holds(expr: &Expr, t: i64) -> bool {
        let Expr::BinaryExpr(BinaryExpr { left, op, right }) = expr else {
            panic!("{expr}");
        };
        match (op, right.as_ref()) {
            (Operator::And, right) => holds(left, t) && holds(right, t),
            (op, Expr::Literal(ScalarValue::Int64(Some(at)), _)) => match op {
                Operator::GtEq => t >= *at,
                Operator::Lt => t < *at,
                _ => panic!("{op}"),
            },
            _ => panic!("{expr}"),
        }
    }

    #[test]
    fn weeks_begin_on_mondays() {
        // 2026-11-23 is a Monday.
        let monday = 1_795_392_000 * SECOND;
        assert_eq!(
            Unit(7 * DAY, 4 * DAY).begin_of(monday + 6 * DAY),
            Some(monday)
        );
        assert_eq!(Unit(7 * DAY, 4 * DAY).begin_of(monday), Some(monday));
        assert_eq!(Unit(7 * DAY, 4 * DAY).begin_of(i64::MIN), None);
    }

    #[test]
    fn either_of_two_times_is_compared() {
        let cut = date_trunc(lit("hour"), coalesce(vec![col("a"), col("b")]));
        let told = told(cut, Operator::Lt, HOUR).unwrap();
        assert!(
            told.starts_with("a IS NOT NULL AND a < ") && told.contains(" OR a IS NULL AND b < "),
            "{told}"
        );
    }
}
