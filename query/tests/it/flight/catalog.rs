//! What clients ask about catalogs, tables, types and the server.

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{DataType, Schema, UInt32Type};
use arrow_flight::sql::{
    CommandGetCrossReference, CommandGetDbSchemas, CommandGetExportedKeys, CommandGetImportedKeys,
    CommandGetPrimaryKeys, CommandGetTables, CommandGetXdbcTypeInfo, SqlInfo,
};
use arrow_flight::{FlightDescriptor, FlightInfo, IpcMessage};
use flyball_query::catalogue::Kind;

use super::{Client, connect, fetch};
use crate::fixture::{engine, whole_world};

async fn rows(
    client: &mut Client,
    info: Result<FlightInfo, arrow_flight::error::FlightError>,
) -> RecordBatch {
    let batches = fetch(client, info.unwrap()).await.unwrap();
    arrow::compute::concat_batches(&batches[0].schema(), &batches).unwrap()
}

fn texts(batch: &RecordBatch, column: &str) -> Vec<String> {
    let column = batch.column_by_name(column).unwrap().as_string::<i32>();
    column.iter().flatten().map(str::to_owned).collect()
}

async fn tables(client: &mut Client, asked: CommandGetTables) -> RecordBatch {
    let info = client.get_tables(asked).await;
    rows(client, info).await
}

#[tokio::test]
async fn there_is_one_catalog_with_one_schema() {
    let mut client = connect(engine(whole_world()).await).await;
    let info = client.get_catalogs().await;
    assert_eq!(
        texts(&rows(&mut client, info).await, "catalog_name"),
        ["flyball"]
    );
    for (catalog, pattern, found) in [
        (None, None, 1),
        (Some("flyball"), Some("pub%"), 1),
        (Some("flyball"), Some("x%"), 0),
        (Some("other"), None, 0),
    ] {
        let asked = CommandGetDbSchemas {
            catalog: catalog.map(str::to_owned),
            db_schema_filter_pattern: pattern.map(str::to_owned),
        };
        let info = client.get_db_schemas(asked).await;
        let schemas = rows(&mut client, info).await;
        assert_eq!(schemas.num_rows(), found, "{catalog:?} {pattern:?}");
        if found > 0 {
            assert_eq!(texts(&schemas, "db_schema_name"), ["public"]);
        }
    }
    let info = client.get_table_types().await;
    assert_eq!(
        texts(&rows(&mut client, info).await, "table_type"),
        ["TABLE", "VIEW"]
    );
}

#[tokio::test]
async fn tables_and_views_are_listed_and_filtered() {
    let mut client = connect(engine(whole_world()).await).await;
    let all = tables(&mut client, CommandGetTables::default()).await;
    let views = flyball_query::catalogue::all();
    let views = views
        .iter()
        .filter(|entry| entry.kind != Kind::Function)
        .count();
    // Of one table three parts have names of their own.
    assert_eq!(all.num_rows(), flyball_store::Table::ALL.len() + 3 + views);
    let of_type = |name: &str| CommandGetTables {
        table_types: vec![name.to_owned()],
        ..CommandGetTables::default()
    };
    assert_eq!(tables(&mut client, of_type("VIEW")).await.num_rows(), views);
    assert!(
        texts(&tables(&mut client, of_type("TABLE")).await, "table_name")
            .contains(&"charges".to_owned())
    );
    assert_eq!(
        tables(&mut client, of_type("SYSTEM TABLE"))
            .await
            .num_rows(),
        0
    );
    let named = CommandGetTables {
        catalog: Some("flyball".to_owned()),
        db_schema_filter_pattern: Some("public".to_owned()),
        table_name_filter_pattern: Some("model\\_ca%".to_owned()),
        ..CommandGetTables::default()
    };
    let found = tables(&mut client, named).await;
    assert_eq!(texts(&found, "table_name"), ["model_calls"]);
    assert_eq!(texts(&found, "table_type"), ["VIEW"]);
    assert!(found.column_by_name("table_schema").is_none());
}

/// The columns that are listed are the columns that come.
#[tokio::test]
async fn listed_columns_are_those_of_the_rows() {
    let mut client = connect(engine(whole_world()).await).await;
    let asked = CommandGetTables {
        include_schema: true,
        ..CommandGetTables::default()
    };
    let all = tables(&mut client, asked).await;
    let schemas = all
        .column_by_name("table_schema")
        .unwrap()
        .as_binary::<i32>()
        .clone();
    for (at, table) in texts(&all, "table_name").into_iter().enumerate() {
        let message = IpcMessage(schemas.value(at).to_vec().into());
        let listed = Schema::try_from(message).unwrap();
        let info = client
            .execute(format!("SELECT * FROM \"{table}\""), None)
            .await
            .unwrap();
        let announced = info.try_decode_schema().unwrap();
        let columns = |schema: &Schema| -> Vec<(String, DataType)> {
            let fields = schema.fields().iter();
            fields
                .map(|f| (f.name().clone(), f.data_type().clone()))
                .collect()
        };
        assert_eq!(columns(&listed), columns(&announced), "{table}");
        if table == "charges" {
            let cost = listed.field_with_name("cost_usd").unwrap().metadata();
            assert_eq!(cost["ARROW:FLIGHT:SQL:TYPE_NAME"], "numeric");
            assert_eq!(cost["ARROW:FLIGHT:SQL:PRECISION"], "18");
            assert_eq!(cost["ARROW:FLIGHT:SQL:SCALE"], "12");
        }
    }
}

#[tokio::test]
async fn the_server_says_what_it_is_and_that_it_only_reads() {
    let mut client = connect(engine(whole_world()).await).await;
    let asked = vec![
        SqlInfo::FlightSqlServerName,
        SqlInfo::FlightSqlServerReadOnly,
        SqlInfo::FlightSqlServerTransaction,
    ];
    let info = client.get_sql_info(asked).await;
    let facts = rows(&mut client, info).await;
    assert_eq!(
        facts
            .column(0)
            .as_primitive::<UInt32Type>()
            .values()
            .to_vec(),
        [0, 3, 8]
    );
    let values = facts.column(1).as_union();
    assert_eq!(values.value(0).as_string::<i32>().value(0), "Flyball");
    assert!(values.value(1).as_boolean().value(0));
    let info = client.get_sql_info(vec![]).await;
    assert!(rows(&mut client, info).await.num_rows() > 50);
}

#[tokio::test]
async fn types_are_described_and_there_are_no_keys() {
    let mut client = connect(engine(whole_world()).await).await;
    let info = client
        .get_xdbc_type_info(CommandGetXdbcTypeInfo { data_type: None })
        .await;
    assert!(texts(&rows(&mut client, info).await, "type_name").contains(&"numeric".to_owned()));
    let info = client
        .get_xdbc_type_info(CommandGetXdbcTypeInfo {
            data_type: Some(12),
        })
        .await;
    assert_eq!(texts(&rows(&mut client, info).await, "type_name"), ["text"]);
    let table = || "charges".to_owned();
    let keys = [
        client
            .get_primary_keys(CommandGetPrimaryKeys {
                table: table(),
                ..Default::default()
            })
            .await,
        client
            .get_exported_keys(CommandGetExportedKeys {
                table: table(),
                ..Default::default()
            })
            .await,
        client
            .get_imported_keys(CommandGetImportedKeys {
                table: table(),
                ..Default::default()
            })
            .await,
        client
            .get_cross_reference(CommandGetCrossReference {
                pk_table: table(),
                fk_table: table(),
                ..Default::default()
            })
            .await,
    ];
    for (info, columns) in keys.into_iter().zip([6, 13, 13, 13]) {
        let keys = rows(&mut client, info).await;
        assert_eq!((keys.num_rows(), keys.num_columns()), (0, columns));
    }
}

#[tokio::test]
async fn a_schema_can_be_asked_for_alone() {
    let mut client = connect(engine(whole_world()).await).await;
    let info = client
        .execute("SELECT charge_id FROM charges".to_owned(), None)
        .await
        .unwrap();
    let descriptor: FlightDescriptor = info.flight_descriptor.clone().unwrap();
    let answer = client.inner_mut().get_schema(descriptor).await.unwrap();
    let schema = Schema::try_from(&answer.into_inner()).unwrap();
    assert_eq!(schema, info.try_decode_schema().unwrap());
}
