//! `LIKE '%upstream%exceeded%'` takes a regular expression for every row; to look for `exceeded` alone takes none, and rules
//! out most. The longest piece between wildcards is looked for first, and the pattern only where it is.

use datafusion::common::Result;
use datafusion::common::tree_node::Transformed;
use datafusion::logical_expr::{Expr, Like, LogicalPlan, lit};
use datafusion::optimizer::optimizer::ApplyOrder;
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};
use datafusion::scalar::ScalarValue;

use super::with_conditions;

/// The shortest piece that is worth a look of its own, bytes.
const PIECE_MIN: usize = 3;

/// The rule.
#[derive(Debug)]
pub(super) struct LongestPieceFirst;

impl OptimizerRule for LongestPieceFirst {
    fn name(&self) -> &'static str {
        "longest_piece_first"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::BottomUp)
    }

    fn rewrite(
        &self,
        plan: LogicalPlan,
        _config: &dyn OptimizerConfig,
    ) -> Result<Transformed<LogicalPlan>> {
        with_conditions(plan, |terms| Ok(looked_for_first(terms)))
    }
}

/// The terms with pieces in front of their patterns; None when nothing is to be added.
fn looked_for_first(terms: &[Expr]) -> Option<Vec<Expr>> {
    let mut told = Vec::with_capacity(terms.len() + 1);
    for term in terms {
        if let Some(first) = piece(term)
            && !terms.contains(&first)
            && !told.contains(&first)
        {
            told.push(first);
        }
        told.push(term.clone());
    }
    (told.len() > terms.len()).then_some(told)
}

fn piece(term: &Expr) -> Option<Expr> {
    let Expr::Like(like) = term else {
        return None;
    };
    let Expr::Literal(literal, _) = like.pattern.as_ref() else {
        return None;
    };
    // Both are of one type by now, and stay so.
    let text: fn(Option<String>) -> ScalarValue = match literal {
        ScalarValue::Utf8(_) => ScalarValue::Utf8,
        ScalarValue::Utf8View(_) => ScalarValue::Utf8View,
        ScalarValue::LargeUtf8(_) => ScalarValue::LargeUtf8,
        _ => return None,
    };
    let pattern = literal.try_as_str().flatten()?;
    // A backslash escapes: such a pattern is left alone.
    if like.negated || like.case_insensitive || like.escape_char.is_some() || pattern.contains('\\')
    {
        return None;
    }
    let mut pieces = pattern.split(['%', '_']).filter(|piece| !piece.is_empty());
    let longest = pieces.clone().max_by_key(|piece| piece.len())?;
    let several = pieces.nth(1).is_some() || pattern.contains('_');
    (several && longest.len() >= PIECE_MIN).then(|| {
        Expr::Like(Like::new(
            false,
            like.expr.clone(),
            Box::new(lit(text(Some(format!("%{longest}%"))))),
            None,
            false,
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::looked_for_first;
    use datafusion::logical_expr::Expr;
    use datafusion::prelude::{col, lit};

    fn told(term: Expr) -> Option<Vec<String>> {
        let told = looked_for_first(&[term])?;
        Some(told.iter().map(Expr::to_string).collect())
    }

    #[test]
    fn the_longest_piece_is_looked_for_first_and_once() {
        let pattern = || col("a").like(lit("%up%exceeded_x"));
        let first = told(pattern());
        let expected = [
            r#"a LIKE Utf8("%exceeded%")"#,
            r#"a LIKE Utf8("%up%exceeded_x")"#,
        ];
        assert_eq!(first, Some(expected.map(str::to_owned).to_vec()));
        let both = looked_for_first(&[pattern()]).unwrap_or_default();
        assert_eq!(looked_for_first(&both), None);
    }

    #[test]
    fn what_needs_no_piece_is_left_alone() {
        for term in [
            col("a").like(lit("%exceeded%")),
            col("a").like(lit("exceeded%")),
            col("a").like(lit("%a%b%")),
            col("a").like(lit(r"%100\%exceeded%x%")),
            col("a").not_like(lit("%up%exceeded%")),
            col("a").ilike(lit("%up%exceeded%")),
        ] {
            assert_eq!(told(term), None);
        }
    }
}
