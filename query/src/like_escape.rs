//! `LIKE ... ESCAPE 'x'`. What compares texts here knows one escape, the backslash: a pattern with another is put into
//! words of that one, by a function that stands around it and folds away where the pattern is a literal.

use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, StringArray};
use arrow::datatypes::DataType;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{ColumnarValue, ScalarUDF, Volatility, create_udf};
use datafusion::sql::parser::Statement as Parsed;
use datafusion::sql::sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList, FunctionArguments, Ident,
    ObjectName, Value, ValueWithSpan, visit_expressions_mut,
};

/// The function's name in plans.
const NAME: &str = "like_pattern";

/// Takes the escape of every LIKE and ILIKE into its pattern. A backslash stays: it is the one that is known.
pub(crate) fn take_in(statement: &mut Parsed) {
    let statement = match statement {
        Parsed::Statement(statement) => statement,
        Parsed::Explain(explained) => return take_in(&mut explained.statement),
        _ => return,
    };
    let _ = visit_expressions_mut(statement.as_mut(), |expr| {
        if let Expr::Like {
            pattern,
            escape_char,
            ..
        }
        | Expr::ILike {
            pattern,
            escape_char,
            ..
        } = expr
            && let Some(escape) = other_than_backslash(escape_char)
        {
            let bare = std::mem::replace(pattern.as_mut(), Expr::value(Value::Null));
            **pattern = call(bare, escape);
        }
        ControlFlow::<()>::Continue(())
    });
}

fn other_than_backslash(escape: &mut Option<ValueWithSpan>) -> Option<ValueWithSpan> {
    let other = matches!(escape, Some(escape)
        if !matches!(&escape.value, Value::SingleQuotedString(text) if text == "\\"));
    if other { escape.take() } else { None }
}

fn call(pattern: Expr, escape: ValueWithSpan) -> Expr {
    let argument = |expr| FunctionArg::Unnamed(FunctionArgExpr::Expr(expr));
    Expr::Function(Function {
        name: ObjectName::from(vec![Ident::new(NAME)]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList {
            duplicate_treatment: None,
            args: vec![argument(pattern), argument(Expr::Value(escape))],
            clauses: Vec::new(),
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}

/// `like_pattern(pattern, escape)`: the same pattern with a backslash for its escape.
pub(crate) fn like_pattern() -> ScalarUDF {
    create_udf(
        NAME,
        vec![DataType::Utf8, DataType::Utf8],
        DataType::Utf8,
        Volatility::Immutable,
        Arc::new(|arguments: &[ColumnarValue]| {
            let arrays = ColumnarValue::values_to_arrays(arguments)?;
            let (patterns, escapes) = (arrays[0].as_string::<i32>(), arrays[1].as_string::<i32>());
            let told: Result<StringArray> = patterns
                .iter()
                .zip(escapes.iter())
                .map(|pair| match pair {
                    (Some(pattern), Some(escape)) => backslashed(pattern, escape).map(Some),
                    _ => Ok(None),
                })
                .collect();
            Ok(ColumnarValue::Array(Arc::new(told?) as ArrayRef))
        }),
    )
}

/// As PostgreSQL reads ESCAPE: one character, or none at all for no escape.
fn backslashed(pattern: &str, escape: &str) -> Result<String> {
    let mut characters = escape.chars();
    let (escape, more) = (characters.next(), characters.next());
    if more.is_some() {
        return refused("ESCAPE takes one character or an empty text");
    }
    let mut told = String::with_capacity(pattern.len() + 4);
    let mut rest = pattern.chars();
    while let Some(character) = rest.next() {
        let literal = if Some(character) == escape {
            match rest.next() {
                Some(next) => Some(next),
                None => return refused("a LIKE pattern must not end with its escape character"),
            }
        } else {
            (character == '\\').then_some(character)
        };
        match literal {
            Some(literal) => {
                if matches!(literal, '%' | '_' | '\\') {
                    told.push('\\');
                }
                told.push(literal);
            }
            None => told.push(character),
        }
    }
    Ok(told)
}

fn refused<T>(reason: &str) -> Result<T> {
    Err(DataFusionError::Execution(reason.to_owned()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::{backslashed, take_in};
    use datafusion::sql::parser::DFParser;

    #[test]
    fn a_pattern_means_the_same_with_a_backslash() {
        for (pattern, escape, told) in [
            ("pg/_%", "/", r"pg\_%"),
            ("a//b/%", "/", r"a/b\%"),
            ("/x", "/", "x"),
            (r"c:\_", "/", r"c:\\_"),
            (r"a\b_", "", r"a\\b_"),
            ("%%%_", "%", r"\%\_"),
            ("plain", "!", "plain"),
        ] {
            assert_eq!(backslashed(pattern, escape).unwrap(), told, "{pattern}");
        }
        assert!(backslashed("x/", "/").is_err());
        assert!(backslashed("x", "ab").is_err());
    }

    #[test]
    fn only_what_is_no_backslash_is_taken_in() {
        let told = |sql: &str| {
            let mut parsed = DFParser::parse_sql(sql).unwrap().pop_front().unwrap();
            take_in(&mut parsed);
            parsed.to_string()
        };
        assert_eq!(
            told("SELECT a NOT LIKE 'x/_' ESCAPE '/', b ILIKE c ESCAPE '!'"),
            "SELECT a NOT LIKE like_pattern('x/_', '/'), b ILIKE like_pattern(c, '!')"
        );
        assert!(told("EXPLAIN SELECT a LIKE b ESCAPE '/'").contains("like_pattern(b, '/')"));
        assert_eq!(
            told(r"SELECT a LIKE b ESCAPE '\'"),
            r"SELECT a LIKE b ESCAPE '\'"
        );
    }
}
