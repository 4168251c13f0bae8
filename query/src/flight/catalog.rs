//! What clients ask a server about itself: its catalogs, schemas, tables and types, and what it can do.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema};
use arrow_flight::error::FlightError;
use arrow_flight::sql::metadata::{SqlInfoData, XdbcTypeInfoData};
use arrow_flight::sql::{Command, CommandGetTables};
use datafusion::datasource::TableType;
use tonic::Status;

use super::batches::plain;
use super::dialect;
use crate::Engine;
use crate::engine::{CATALOG, SCHEMA};

/// Table types, as they are called here.
const TYPES: [(TableType, &str); 2] = [(TableType::Base, "TABLE"), (TableType::View, "VIEW")];

/// What does not change while the port is open.
pub(super) struct Facts {
    info: SqlInfoData,
    types: XdbcTypeInfoData,
}

impl std::fmt::Debug for Facts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Facts").finish_non_exhaustive()
    }
}

impl Facts {
    pub(super) fn new() -> Result<Self, FlightError> {
        Ok(Self {
            info: dialect::info()?,
            types: dialect::types()?,
        })
    }

    /// The answer to a command about the catalog; None when it is another command.
    pub(super) async fn answer(
        &self,
        engine: &Engine,
        command: Command,
    ) -> Result<Option<RecordBatch>, Status> {
        Ok(Some(match command {
            Command::CommandGetCatalogs(asked) => {
                let mut rows = asked.into_builder();
                rows.append(CATALOG);
                rows.build()?
            }
            Command::CommandGetDbSchemas(asked) => {
                let mut rows = asked.into_builder();
                rows.append(CATALOG, SCHEMA);
                rows.build()?
            }
            Command::CommandGetTables(asked) => tables(engine, asked).await?,
            Command::CommandGetTableTypes(asked) => {
                let mut rows = asked.into_builder();
                for (_, name) in TYPES {
                    rows.append(name);
                }
                rows.build()?
            }
            Command::CommandGetSqlInfo(asked) => asked.into_builder(&self.info).build()?,
            Command::CommandGetXdbcTypeInfo(asked) => asked.into_builder(&self.types).build()?,
            // Tables of events have no keys.
            Command::CommandGetPrimaryKeys(_) => RecordBatch::new_empty(Arc::new(primary_keys())),
            Command::CommandGetExportedKeys(_)
            | Command::CommandGetImportedKeys(_)
            | Command::CommandGetCrossReference(_) => {
                RecordBatch::new_empty(Arc::new(foreign_keys()))
            }
            _ => return Ok(None),
        }))
    }
}

async fn tables(engine: &Engine, asked: CommandGetTables) -> Result<RecordBatch, Status> {
    let mut rows = asked.into_builder();
    for (name, table_type, schema) in engine.tables().await? {
        let of_type = TYPES.iter().find(|(known, _)| *known == table_type);
        let table_type = of_type.map_or("TABLE", |(_, name)| name);
        rows.append(CATALOG, SCHEMA, &name, table_type, &columns(&name, &schema))?;
    }
    Ok(rows.build()?)
}

/// A table's columns in the types they are sent in, with what Flight SQL lets be said of a column.
fn columns(table: &str, schema: &Schema) -> Schema {
    let fields = schema.fields().iter().map(|field| {
        let data_type = plain(field.data_type());
        let told = [
            ("CATALOG_NAME", CATALOG.to_owned()),
            ("SCHEMA_NAME", SCHEMA.to_owned()),
            ("TABLE_NAME", table.to_owned()),
            ("TYPE_NAME", dialect::name(&data_type).to_owned()),
            ("IS_READ_ONLY", "1".to_owned()),
        ];
        let digits = match data_type {
            DataType::Decimal128(precision, scale) => vec![
                ("PRECISION", precision.to_string()),
                ("SCALE", scale.to_string()),
            ],
            _ => Vec::new(),
        };
        let told = told.into_iter().chain(digits);
        let told = told.map(|(key, value)| (format!("ARROW:FLIGHT:SQL:{key}"), value));
        Field::new(field.name(), data_type, field.is_nullable()).with_metadata(told.collect())
    });
    Schema::new(fields.collect::<Vec<_>>())
}

const TEXT: DataType = DataType::Utf8;
const NULLABLE: bool = true;

fn schema(fields: &[(&str, DataType, bool)]) -> Schema {
    let fields = fields.iter();
    let fields = fields.map(|(name, data_type, null)| Field::new(*name, data_type.clone(), *null));
    Schema::new(fields.collect::<Vec<_>>())
}

/// As `CommandGetPrimaryKeys` describes its answer.
fn primary_keys() -> Schema {
    schema(&[
        ("catalog_name", TEXT, NULLABLE),
        ("db_schema_name", TEXT, NULLABLE),
        ("table_name", TEXT, false),
        ("column_name", TEXT, false),
        ("key_name", TEXT, NULLABLE),
        ("key_sequence", DataType::Int32, false),
    ])
}

/// As `CommandGetImportedKeys` and its kin describe theirs.
fn foreign_keys() -> Schema {
    schema(&[
        ("pk_catalog_name", TEXT, NULLABLE),
        ("pk_db_schema_name", TEXT, NULLABLE),
        ("pk_table_name", TEXT, false),
        ("pk_column_name", TEXT, false),
        ("fk_catalog_name", TEXT, NULLABLE),
        ("fk_db_schema_name", TEXT, NULLABLE),
        ("fk_table_name", TEXT, false),
        ("fk_column_name", TEXT, false),
        ("key_sequence", DataType::Int32, false),
        ("fk_key_name", TEXT, NULLABLE),
        ("pk_key_name", TEXT, NULLABLE),
        ("update_rule", DataType::UInt8, false),
        ("delete_rule", DataType::UInt8, false),
    ])
}
