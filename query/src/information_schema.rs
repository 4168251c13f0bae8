//! `information_schema` as PostgreSQL's clients know it: DataFusion's, with the columns' types under their names in SQL
//! and counted from one. A picker that does not know `Timestamp(µs, "UTC")` would offer no time column.

use std::sync::Arc;

use datafusion::catalog::SchemaProvider;
use datafusion::catalog::information_schema::{INFORMATION_SCHEMA, InformationSchemaProvider};
use datafusion::catalog::view::ViewTable;
use datafusion::catalog::{CatalogProvider, CatalogProviderList};
use datafusion::prelude::SessionContext;

use crate::schema::FixedSchema;
use crate::{Error, Result};

/// Its columns: those of the standard that somebody asks for. `%` stands for any details of a type.
const COLUMNS: &str = "
SELECT
  table_catalog, table_schema, table_name, column_name,
  CAST(ordinal_position + 1 AS INT) AS ordinal_position,
  column_default, is_nullable,
  CASE kind WHEN 'text' THEN 'text' WHEN 'int8' THEN 'bigint' WHEN 'int4' THEN 'integer' WHEN 'int2' THEN 'smallint'
    WHEN 'numeric' THEN 'numeric' WHEN 'float8' THEN 'double precision' WHEN 'float4' THEN 'real'
    WHEN 'bool' THEN 'boolean' WHEN 'date' THEN 'date' WHEN 'timestamptz' THEN 'timestamp with time zone'
    WHEN 'timestamp' THEN 'timestamp without time zone' WHEN 'time' THEN 'time without time zone'
    WHEN 'interval' THEN 'interval' WHEN 'bytea' THEN 'bytea' WHEN '_any' THEN 'ARRAY' ELSE 'USER-DEFINED' END
    AS data_type,
  CAST(character_maximum_length AS INT) AS character_maximum_length,
  CAST(character_octet_length AS INT) AS character_octet_length,
  CAST(numeric_precision AS INT) AS numeric_precision,
  CAST(numeric_precision_radix AS INT) AS numeric_precision_radix,
  CAST(numeric_scale AS INT) AS numeric_scale,
  CAST(datetime_precision AS INT) AS datetime_precision,
  interval_type,
  table_catalog AS udt_catalog, 'pg_catalog' AS udt_schema, kind AS udt_name,
  'NO' AS is_identity, 'NEVER' AS is_generated, 'NO' AS is_updatable
FROM (
  SELECT *,
    CASE
      WHEN data_type IN ('Utf8', 'LargeUtf8', 'Utf8View') OR data_type LIKE 'Dictionary(%Utf8%' THEN 'text'
      WHEN data_type IN ('Int64', 'UInt32') THEN 'int8'
      WHEN data_type IN ('Int32', 'UInt16') THEN 'int4'
      WHEN data_type IN ('Int16', 'Int8', 'UInt8') THEN 'int2'
      WHEN data_type = 'UInt64' OR data_type LIKE 'Decimal%' THEN 'numeric'
      WHEN data_type = 'Float64' THEN 'float8'
      WHEN data_type IN ('Float32', 'Float16') THEN 'float4'
      WHEN data_type = 'Boolean' THEN 'bool'
      WHEN data_type IN ('Date32', 'Date64') THEN 'date'
      WHEN data_type LIKE 'Timestamp(%\"%' THEN 'timestamptz'
      WHEN data_type LIKE 'Timestamp(%' THEN 'timestamp'
      WHEN data_type LIKE 'Time%' THEN 'time'
      WHEN data_type LIKE 'Interval%' OR data_type LIKE 'Duration%' THEN 'interval'
      WHEN data_type LIKE '%Binary%' THEN 'bytea'
      WHEN data_type LIKE '%List(%' THEN '_any'
      ELSE 'record'
    END AS kind
  FROM information_schema.columns
) c";

/// Puts it in the place of DataFusion's own, which the context must still have.
pub(crate) async fn publish(
    context: &SessionContext,
    catalogs: &Arc<dyn CatalogProviderList>,
    catalog: &dyn CatalogProvider,
) -> Result<()> {
    let plan = context.state().create_logical_plan(COLUMNS).await;
    let plan = plan.map_err(Error::failed)?;
    let theirs = InformationSchemaProvider::new(Arc::clone(catalogs));
    let mut ours = FixedSchema::default();
    for name in theirs.table_names() {
        if let Some(table) = theirs.table(&name).await.map_err(Error::failed)? {
            ours.insert(&name, table);
        }
    }
    ours.insert("columns", Arc::new(ViewTable::new(plan, None)));
    let state = context.state_ref();
    let mut state = state.write();
    state.config_mut().options_mut().catalog.information_schema = false;
    let registered = catalog.register_schema(INFORMATION_SCHEMA, Arc::new(ours));
    registered.map(drop).map_err(Error::failed)
}
