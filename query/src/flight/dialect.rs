//! The dialect as Flight SQL describes one: what the server can do (`GetSqlInfo`), and its types (`GetXdbcTypeInfo`).

use arrow::datatypes::DataType;
use arrow_flight::error::FlightError;
use arrow_flight::sql::metadata::{
    SqlInfoData, SqlInfoDataBuilder, XdbcTypeInfo, XdbcTypeInfoData, XdbcTypeInfoDataBuilder,
};
use arrow_flight::sql::{
    Nullable, Searchable, SqlInfo, SqlNullOrdering, SqlSupportedCaseSensitivity,
    SqlSupportedTransaction, XdbcDataType, XdbcDatetimeSubcode,
};

use super::CONNECTIONS_MAX;
use super::prepared::IDLE_MAX;
use super::statement::SQL_MAX;

/// What is so and what is not.
const YES_OR_NO: [(SqlInfo, bool); 32] = [
    (SqlInfo::FlightSqlServerReadOnly, true),
    (SqlInfo::FlightSqlServerSql, true),
    (SqlInfo::FlightSqlServerSubstrait, false),
    (SqlInfo::FlightSqlServerCancel, true),
    (SqlInfo::FlightSqlServerBulkIngestion, false),
    (SqlInfo::FlightSqlServerIngestTransactionsSupported, false),
    (SqlInfo::SqlDdlCatalog, false),
    (SqlInfo::SqlDdlSchema, false),
    (SqlInfo::SqlDdlTable, false),
    (SqlInfo::SqlAllTablesAreSelectable, true),
    (SqlInfo::SqlSupportsColumnAliasing, true),
    (SqlInfo::SqlNullPlusNullIsNull, true),
    (SqlInfo::SqlSupportsTableCorrelationNames, true),
    (SqlInfo::SqlSupportsDifferentTableCorrelationNames, false),
    (SqlInfo::SqlSupportsExpressionsInOrderBy, true),
    (SqlInfo::SqlSupportsOrderByUnrelated, true),
    (SqlInfo::SqlSupportsLikeEscapeClause, true),
    (SqlInfo::SqlSupportsNonNullableColumns, true),
    (SqlInfo::SqlSupportsIntegrityEnhancementFacility, false),
    (SqlInfo::SqlCatalogAtStart, true),
    (SqlInfo::SqlSelectForUpdateSupported, false),
    (SqlInfo::SqlStoredProceduresSupported, false),
    (SqlInfo::SqlCorrelatedSubqueriesSupported, true),
    (SqlInfo::SqlMaxRowSizeIncludesBlobs, true),
    (SqlInfo::SqlTransactionsSupported, false),
    (SqlInfo::SqlDataDefinitionCausesTransactionCommit, false),
    (SqlInfo::SqlDataDefinitionsInTransactionsIgnored, false),
    (SqlInfo::SqlBatchUpdatesSupported, false),
    (SqlInfo::SqlSavepointsSupported, false),
    (SqlInfo::SqlNamedParametersSupported, false),
    (SqlInfo::SqlLocatorsUpdateCopy, false),
    (SqlInfo::SqlStoredFunctionsUsingCallSyntaxSupported, false),
];

const WORDS: [(SqlInfo, &str); 9] = [
    (SqlInfo::FlightSqlServerName, "Flyball"),
    (SqlInfo::FlightSqlServerVersion, env!("CARGO_PKG_VERSION")),
    (SqlInfo::FlightSqlServerArrowVersion, arrow::ARROW_VERSION),
    (SqlInfo::SqlIdentifierQuoteChar, "\""),
    (SqlInfo::SqlSearchStringEscape, "\\"),
    (SqlInfo::SqlExtraNameCharacters, "$"),
    (SqlInfo::SqlSchemaTerm, "schema"),
    (SqlInfo::SqlProcedureTerm, "procedure"),
    (SqlInfo::SqlCatalogTerm, "catalog"),
];

/// Bit masks, by the bits that `FlightSql.proto` gives each choice, and ordinals of its enumerations.
const CHOICES: [(SqlInfo, i32); 16] = [
    (
        SqlInfo::FlightSqlServerTransaction,
        SqlSupportedTransaction::None as i32,
    ),
    // Milliseconds that a prepared statement is kept unused.
    (
        SqlInfo::FlightSqlServerStatementTimeout,
        IDLE_MAX.as_millis() as i32,
    ),
    (SqlInfo::FlightSqlServerTransactionTimeout, 0),
    (
        SqlInfo::SqlIdentifierCase,
        SqlSupportedCaseSensitivity::SqlCaseSensitivityLowercase as i32,
    ),
    // None of the choices is "as it is written".
    (
        SqlInfo::SqlQuotedIdentifierCase,
        SqlSupportedCaseSensitivity::SqlCaseSensitivityUnknown as i32,
    ),
    (
        SqlInfo::SqlNullOrdering,
        SqlNullOrdering::SqlNullsSortedHigh as i32,
    ),
    // By columns that are not selected, and by more than those.
    (SqlInfo::SqlSupportedGroupBy, 0b11),
    // Minimum and core.
    (SqlInfo::SqlSupportedGrammar, 0b11),
    // Entry level.
    (SqlInfo::SqlAnsi92SupportedLevel, 0b1),
    // Full.
    (SqlInfo::SqlOuterJoinsSupportLevel, 2),
    (SqlInfo::SqlSchemasSupportedActions, 0),
    (SqlInfo::SqlCatalogsSupportedActions, 0),
    (SqlInfo::SqlSupportedPositionedCommands, 0),
    // In comparisons, EXISTS and IN.
    (SqlInfo::SqlSupportedSubqueries, 0b111),
    // UNION and UNION ALL.
    (SqlInfo::SqlSupportedUnions, 0b11),
    (SqlInfo::SqlSupportedTransactionsIsolationLevels, 0),
];

const LIMITS: [(SqlInfo, i64); 2] = [
    (SqlInfo::SqlMaxConnections, CONNECTIONS_MAX as i64),
    (SqlInfo::SqlMaxStatementLength, SQL_MAX as i64),
];

/// The answer to `GetSqlInfo`.
pub(super) fn info() -> Result<SqlInfoData, FlightError> {
    let mut info = SqlInfoDataBuilder::new();
    for (name, value) in YES_OR_NO {
        info.append(name, value);
    }
    for (name, value) in WORDS {
        info.append(name, value);
    }
    for (name, value) in CHOICES {
        info.append(name, value);
    }
    for (name, value) in LIMITS {
        info.append(name, value);
    }
    info.build()
}

/// A type: its name in SQL, its number, the digits or characters it has at most, and how a literal is quoted.
struct Type {
    name: &'static str,
    number: XdbcDataType,
    size: i32,
    quoted: bool,
    /// Of a moment, a finer number.
    moment: Option<XdbcDatetimeSubcode>,
}

const fn number(name: &'static str, number: XdbcDataType, size: i32) -> Type {
    Type {
        name,
        number,
        size,
        quoted: false,
        moment: None,
    }
}

const fn quoted(name: &'static str, number: XdbcDataType, size: i32) -> Type {
    Type {
        name,
        number,
        size,
        quoted: true,
        moment: None,
    }
}

const fn moment(
    name: &'static str,
    number: XdbcDataType,
    size: i32,
    of: XdbcDatetimeSubcode,
) -> Type {
    Type {
        name,
        number,
        size,
        quoted: true,
        moment: Some(of),
    }
}

/// Every type that a column may have, as SQL names it.
const TYPES: [Type; 13] = [
    number("boolean", XdbcDataType::XdbcBit, 1),
    number("smallint", XdbcDataType::XdbcSmallint, 5),
    number("integer", XdbcDataType::XdbcInteger, 10),
    number("bigint", XdbcDataType::XdbcBigint, 19),
    number("real", XdbcDataType::XdbcReal, 7),
    number("double precision", XdbcDataType::XdbcDouble, 15),
    number("numeric", XdbcDataType::XdbcDecimal, 38),
    quoted("text", XdbcDataType::XdbcVarchar, i32::MAX),
    quoted("bytea", XdbcDataType::XdbcVarbinary, i32::MAX),
    quoted("interval", XdbcDataType::XdbcInterval, 49),
    quoted("date", XdbcDataType::XdbcDate, 10),
    moment(
        "timestamp without time zone",
        XdbcDataType::XdbcTimestamp,
        26,
        XdbcDatetimeSubcode::XdbcSubcodeTimestamp,
    ),
    moment(
        "timestamp with time zone",
        XdbcDataType::XdbcTimestamp,
        32,
        XdbcDatetimeSubcode::XdbcSubcodeTimestampWithTimezone,
    ),
];

/// The answer to `GetXdbcTypeInfo`.
pub(super) fn types() -> Result<XdbcTypeInfoData, FlightError> {
    let mut types = XdbcTypeInfoDataBuilder::new();
    for one in TYPES {
        let quote = one.quoted.then(|| "'".to_owned());
        let decimal = one.number == XdbcDataType::XdbcDecimal;
        let is_text = one.number == XdbcDataType::XdbcVarchar;
        types.append(XdbcTypeInfo {
            type_name: one.name.to_owned(),
            data_type: one.number,
            column_size: Some(one.size),
            literal_prefix: quote.clone(),
            literal_suffix: quote,
            create_params: decimal.then(|| vec!["precision".to_owned(), "scale".to_owned()]),
            nullable: Nullable::NullabilityNullable,
            case_sensitive: is_text,
            searchable: if is_text {
                Searchable::Full
            } else {
                Searchable::Basic
            },
            unsigned_attribute: (!one.quoted).then_some(false),
            fixed_prec_scale: false,
            auto_increment: None,
            local_type_name: Some(one.name.to_owned()),
            minimum_scale: decimal.then_some(0),
            maximum_scale: decimal.then_some(38),
            sql_data_type: one.number,
            datetime_subcode: one.moment,
            num_prec_radix: (!one.quoted).then_some(10),
            interval_precision: None,
        });
    }
    types.build()
}

/// What SQL calls the type of a column.
pub(super) fn name(data_type: &DataType) -> &'static str {
    match data_type {
        DataType::Boolean => "boolean",
        DataType::Int8 | DataType::UInt8 | DataType::Int16 => "smallint",
        DataType::UInt16 | DataType::Int32 => "integer",
        DataType::UInt32 | DataType::Int64 => "bigint",
        DataType::Float16 | DataType::Float32 => "real",
        DataType::Float64 => "double precision",
        DataType::UInt64 | DataType::Decimal128(..) | DataType::Decimal256(..) => "numeric",
        DataType::Binary | DataType::LargeBinary | DataType::FixedSizeBinary(_) => "bytea",
        DataType::Date32 | DataType::Date64 => "date",
        DataType::Timestamp(_, None) => "timestamp without time zone",
        DataType::Timestamp(_, Some(_)) => "timestamp with time zone",
        DataType::Duration(_) | DataType::Interval(_) => "interval",
        _ => "text",
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use arrow::array::AsArray;
    use arrow::datatypes::{Int32Type, UInt32Type};

    use super::*;

    #[test]
    fn nothing_is_said_twice() {
        let all = info().unwrap().record_batch([]).unwrap();
        let names = all.column(0).as_primitive::<UInt32Type>().values().to_vec();
        let mut once = names.clone();
        once.dedup();
        assert_eq!(names, once);
        let said = YES_OR_NO.len() + WORDS.len() + CHOICES.len() + LIMITS.len();
        assert_eq!(names.len(), said);
    }

    /// JDBC looks types up by number.
    #[test]
    fn types_are_found_by_number() {
        let types = types().unwrap();
        let names = |number: i32| {
            let found = types.record_batch(number).unwrap();
            let names: Vec<_> = found
                .column(0)
                .as_string::<i32>()
                .iter()
                .flatten()
                .map(str::to_owned)
                .collect();
            assert!(
                found
                    .column(1)
                    .as_primitive::<Int32Type>()
                    .values()
                    .iter()
                    .all(|n| *n == number)
            );
            names
        };
        assert_eq!(names(3), ["numeric"]);
        assert_eq!(names(93).len(), 2);
        assert!(names(12345).is_empty());
        for one in TYPES {
            assert!(names(one.number as i32).contains(&one.name.to_owned()));
        }
    }
}
