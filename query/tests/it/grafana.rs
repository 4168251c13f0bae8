//! What Grafana's PostgreSQL data source sends, word for word, and what PostgreSQL would answer: the connection test,
//! the pickers of schemas, tables and columns, the expansions of its macros, and queries of variables.

use tokio_postgres::{Client, SimpleQueryMessage};

use crate::fixture::{engine, whole_world};
use crate::pg::connect;

/// Whether a schema is on the search path.
const ON_SEARCH_PATH: &str = r#"
          quote_ident(table_schema) IN (
          SELECT
            CASE WHEN trim(s[i]) = '"$user"' THEN user ELSE trim(s[i]) END
          FROM
            generate_series(
              array_lower(string_to_array(current_setting('search_path'),','),1),
              array_upper(string_to_array(current_setting('search_path'),','),1)
            ) as i,
            string_to_array(current_setting('search_path'),',') s
          )"#;

/// The rows as texts; NULL is none. The simple and the extended protocol have to agree.
async fn rows(client: &Client, sql: &str) -> Vec<Vec<Option<String>>> {
    let answer = client.simple_query(sql).await;
    let answer = answer.unwrap_or_else(|e| panic!("{sql}\n{e:?}"));
    let mut found = Vec::new();
    for message in &answer {
        if let SimpleQueryMessage::Row(row) = message {
            let cells = 0..row.len();
            found.push(cells.map(|at| row.get(at).map(str::to_owned)).collect());
        }
    }
    let extended = client.query(sql, &[]).await;
    let extended = extended.unwrap_or_else(|e| panic!("extended: {sql}\n{e:?}"));
    assert_eq!(extended.len(), found.len(), "{sql}");
    found
}

/// The first column.
async fn column(client: &Client, sql: &str) -> Vec<String> {
    let rows = rows(client, sql).await;
    rows.into_iter()
        .filter_map(|mut row| row.swap_remove(0))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_connection_test_passes() {
    let client = connect(engine(whole_world()).await).await;
    for ping in [";", "-- ping", "SELECT 1"] {
        client.simple_query(ping).await.unwrap();
    }
    let version = "SELECT current_setting('server_version_num')::int/100 as version";
    assert_eq!(column(&client, version).await, ["1600"]);
    let timescale = "SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'";
    assert!(column(&client, timescale).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn schemas_tables_and_columns_are_offered_as_postgresql_would() {
    let client = connect(engine(whole_world()).await).await;
    let schemas = "SELECT schema_name AS \"name\"
    FROM information_schema.schemata
    WHERE schema_name NOT IN ('information_schema',
                              'pg_catalog',
                              'pg_toast',
                              '_timescaledb_cache',
                              '_timescaledb_catalog',
                              '_timescaledb_internal',
                              '_timescaledb_config',
                              'timescaledb_information',
                              'timescaledb_experimental')
    ORDER BY schema_name";
    assert_eq!(column(&client, schemas).await, ["public"]);

    let picker = format!(
        "SELECT
    CASE WHEN {ON_SEARCH_PATH}
      THEN quote_ident(table_name)
      ELSE quote_ident(table_schema) || '.' || quote_ident(table_name)
    END AS \"table\"
    FROM information_schema.tables
    WHERE quote_ident(table_schema) NOT IN ('information_schema',
                             'pg_catalog',
                             '_timescaledb_cache',
                             '_timescaledb_catalog',
                             '_timescaledb_internal',
                             '_timescaledb_config',
                             'timescaledb_information',
                             'timescaledb_experimental')
    ORDER BY CASE WHEN {ON_SEARCH_PATH} THEN 0 ELSE 1 END, 1"
    );
    let of_schema = "SELECT quote_ident(table_name) AS \"table\"
      FROM information_schema.tables
      WHERE quote_ident(table_schema) = 'public'
      ORDER BY 1";
    let older = format!(
        "select quote_ident(table_name) as \"table\" from information_schema.tables
    where quote_ident(table_schema) not in ('information_schema', 'pg_catalog')
      and {ON_SEARCH_PATH}"
    );
    let tables = column(&client, &picker).await;
    for name in ["spans", "charges", "model_calls", "cost_per_decision"] {
        assert!(
            tables.iter().any(|table| table == name),
            "{name}: {tables:?}"
        );
    }
    assert!(tables.is_sorted() && tables.iter().all(|table| !table.contains('.')));
    assert_eq!(column(&client, of_schema).await, tables);
    let mut older = column(&client, &older).await;
    older.sort();
    assert_eq!(older, tables);

    for (table, known) in [
        ("charges", true),
        ("public.charges", true),
        ("nothing", false),
        ("other.charges", false),
    ] {
        let columns = format!(
            "SELECT quote_ident(column_name) AS \"column\", data_type AS \"type\"
    FROM information_schema.columns
    WHERE
      CASE WHEN array_length(parse_ident('{table}'),1) = 2
        THEN quote_ident(table_schema) = (parse_ident('{table}'))[1]
          AND quote_ident(table_name) = (parse_ident('{table}'))[2]
        ELSE quote_ident(table_name) = '{table}'
          AND {ON_SEARCH_PATH}
      END"
        );
        let found = rows(&client, &columns).await;
        assert_eq!(!found.is_empty(), known, "{table}");
        if known {
            let has = |name: &str, kind: &str| {
                let wanted = vec![Some(name.to_owned()), Some(kind.to_owned())];
                assert!(
                    found.contains(&wanted),
                    "{table}: {name} {kind} in {found:?}"
                );
            };
            has("start_time", "timestamp with time zone");
            has("cost_usd", "numeric");
            has("agent_name", "text");
            has("input_tokens", "bigint");
            has("escalated", "boolean");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn macros_as_they_are_expanded_find_what_they_mean() {
    let client = connect(engine(whole_world()).await).await;
    let all = column(&client, "SELECT count(*) FROM charges").await;
    let in_time = "start_time BETWEEN '2000-01-01T00:00:00Z' AND '2100-01-01T00:00:00.999Z'";
    for filter in [
        in_time,
        "start_unix_nano >= 946684800000000000 AND start_unix_nano <= 4102444800000000000",
        "start_unix_nano/1000000000 >= 946684800 AND start_unix_nano/1000000000 <= 4102444800",
    ] {
        let sql = format!("SELECT count(*) FROM charges WHERE {filter}");
        assert_eq!(column(&client, &sql).await, all, "{filter}");
    }
    let none = "SELECT count(*) FROM model_calls WHERE start_time BETWEEN '2000-01-01T00:00:00Z' AND '2000-01-02T00:00:00Z'";
    assert_eq!(column(&client, none).await, ["0"]);
    for group in [
        "floor(extract(epoch from start_time)/60)*60",
        "floor((start_unix_nano/1000000000)/60)*60",
    ] {
        let sql = format!(
            "SELECT {group} AS \"time\", agent_name AS metric, sum(calls) AS \"value\" FROM charges \
             WHERE {in_time} GROUP BY 1, 2 ORDER BY 1"
        );
        for row in rows(&client, &sql).await {
            let at: f64 = row[0].as_deref().unwrap().parse().unwrap();
            assert_eq!(at % 60.0, 0.0, "{group}");
        }
    }
    let epoch = "SELECT extract(epoch from start_time) as \"time\", cost_usd FROM model_calls ORDER BY 1 LIMIT 1";
    let seconds: f64 = column(&client, epoch).await[0].parse().unwrap();
    assert!(seconds > 1.7e9 && seconds < 1.9e9);
}

#[tokio::test(flavor = "multi_thread")]
async fn variables_and_the_query_builder_are_answered() {
    let client = connect(engine(whole_world()).await).await;
    let agents = column(
        &client,
        "SELECT DISTINCT agent_name FROM model_calls ORDER BY 1",
    )
    .await;
    assert!(!agents.is_empty());
    let list: Vec<String> = agents.iter().map(|agent| format!("'{agent}'")).collect();
    // Several values of a variable, and the one that stands for all.
    for condition in [
        format!("agent_name IN ({})", list.join(",")),
        "agent_name LIKE '%'".to_owned(),
    ] {
        let built = format!(
            "SELECT start_time AS \"time\", agent_name, SUM(cost_usd) AS \"cost\" FROM model_calls \
             WHERE ({condition} AND start_time >= '2000-01-01T00:00:00Z' AND start_time <= '2100-01-01T00:00:00Z') \
             GROUP BY start_time, agent_name ORDER BY start_time LIMIT 50"
        );
        assert!(!rows(&client, &built).await.is_empty());
    }
    let keyed =
        "SELECT agent_name AS __text, agent_name AS __value FROM model_calls GROUP BY 1 ORDER BY 1";
    assert_eq!(rows(&client, keyed).await.len(), agents.len());
}
